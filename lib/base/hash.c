// The map: power-of-two table, linear probing, tombstones. A deletion moves nothing, so iterating and
// deleting can be mixed; tombstones go when the table is rebuilt. Keyed at random: whoever chooses the
// keys cannot choose the collisions.
#include "lib/base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"

#define MAP_MIN_SLOTS 16

// --- SipHash-1-3 -------------------------------------------------------------------------------
static inline uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static inline uint64_t le64(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint64_t hash_sip13(const uint64_t key[2], const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t v[4] = {
		key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d),
		key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573),
	};
	uint64_t last = (uint64_t)len << 56;
	size_t whole = len & ~(size_t)7;

	for (size_t i = 0; i < whole; i += 8) {
		uint64_t m = le64(p + i, 8);

		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	if (len > whole)
		last |= le64(p + whole, len - whole);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

// --- map ---------------------------------------------------------------------------------------
struct entry {
	uint64_t hash;
	char *key;   // owned; NULL: never used, or a tombstone when is_grave
	size_t len;  // bytes of key
	void *value; // borrowed
	bool is_grave;
};

struct map {
	uint64_t key[2];
	struct entry *slots; // owned
	size_t n_slots;      // power of two
	size_t n_live;
	size_t n_filled; // live and graves: what a probe must walk over
};

struct map *map_new(void)
{
	struct map *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return err_null(ENOMEM);
	m->slots = calloc(MAP_MIN_SLOTS, sizeof(*m->slots));
	if (m->slots == NULL) {
		free(m);
		return err_null(ENOMEM);
	}
	m->n_slots = MAP_MIN_SLOTS;
	rand_bytes(m->key, sizeof(m->key));
	return m;
}

void map_free(struct map *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n_slots; i++)
		free(m->slots[i].key);
	free(m->slots);
	free(m);
}

static struct entry *entry_find(const struct map *m, struct str key, uint64_t hash)
{
	for (size_t i = hash & (m->n_slots - 1);; i = (i + 1) & (m->n_slots - 1)) {
		struct entry *e = &m->slots[i];

		if (e->key == NULL && !e->is_grave)
			return NULL; // the table is never full, so the walk ends here at the latest
		if (e->key && e->hash == hash && e->len == key.len && memcmp(e->key, key.p, key.len) == 0)
			return e;
	}
}

static struct entry *slot_for(struct entry *slots, size_t n_slots, uint64_t hash)
{
	size_t i = hash & (n_slots - 1);

	while (slots[i].key != NULL)
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

// Rebuild so that one more entry fits below 3/4 fill; drops the graves.
static int map_make_room(struct map *m)
{
	size_t n_slots = m->n_slots;
	struct entry *slots;

	if ((m->n_filled + 1) * 4 <= m->n_slots * 3)
		return 0;
	while ((m->n_live + 1) * 2 > n_slots)
		n_slots *= 2;
	slots = calloc(n_slots, sizeof(*slots));
	if (slots == NULL)
		return err_set(ENOMEM);
	for (size_t i = 0; i < m->n_slots; i++)
		if (m->slots[i].key)
			*slot_for(slots, n_slots, m->slots[i].hash) = m->slots[i];
	free(m->slots);
	m->slots = slots;
	m->n_slots = n_slots;
	m->n_filled = m->n_live;
	return 0;
}

int map_put(struct map *m, struct str key, void *value)
{
	uint64_t hash = hash_sip13(m->key, key.p, key.len);
	struct entry *e;
	char *copy;

	// cannot: callers put pointers to objects that they hold
	MUST(value != NULL);
	if (entry_find(m, key, hash))
		return err_set(EEXIST);
	if (map_make_room(m) < 0)
		return -ENOMEM;
	copy = malloc(key.len + 1);
	if (copy == NULL)
		return err_set(ENOMEM);
	if (key.len > 0)
		memcpy(copy, key.p, key.len);
	copy[key.len] = '\0';
	e = slot_for(m->slots, m->n_slots, hash);
	m->n_filled += !e->is_grave;
	m->n_live++;
	assert(m->n_live <= m->n_filled && m->n_filled < m->n_slots); // or a search would not end
	*e = (struct entry){.hash = hash, .key = copy, .len = key.len, .value = value};
	return 0;
}

void *map_find(const struct map *m, struct str key)
{
	struct entry *e = entry_find(m, key, hash_sip13(m->key, key.p, key.len));

	return e ? e->value : NULL;
}

void *map_del(struct map *m, struct str key)
{
	struct entry *e = entry_find(m, key, hash_sip13(m->key, key.p, key.len));
	void *value;

	if (e == NULL)
		return NULL;
	value = e->value;
	free(e->key);
	*e = (struct entry){.is_grave = true};
	m->n_live--;
	return value;
}

size_t map_count(const struct map *m)
{
	return m->n_live;
}

void *map_next(const struct map *m, size_t *cursor, struct str *key)
{
	while (*cursor < m->n_slots) {
		const struct entry *e = &m->slots[(*cursor)++];

		if (e->key) {
			if (key)
				*key = (struct str){e->key, e->len};
			return e->value;
		}
	}
	return NULL;
}
