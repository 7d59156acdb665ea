#include "dataplane/ctl/keyring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/err.h"
#include "lib/seal/seal.h"

#define KEYS_PER_CHUNK 64

struct keyring_chunk {
	struct keyring_chunk *next;
	void *memory; // mapped
};

struct keyring {
	struct seal_engine *engine; // borrowed
	size_t key_size;            // rounded to cache lines
	struct keyring_chunk *chunks; // owned
	void *free;                 // list through the first word of free keys
};

struct keyring *keyring_new(struct seal_engine *engine)
{
	struct keyring *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return err_null(ENOMEM);
	r->engine = engine;
	r->key_size = (seal_key_size(engine) + 63) / 64 * 64;
	return r;
}

static size_t chunk_size(const struct keyring *r)
{
	return r->key_size * KEYS_PER_CHUNK;
}

void keyring_free(struct keyring *r)
{
	if (r == NULL)
		return;
	for (struct keyring_chunk *c = r->chunks, *next; c; c = next) {
		next = c->next;
		munmap(c->memory, chunk_size(r));
		free(c);
	}
	free(r);
}

static int grow(struct keyring *r)
{
	struct keyring_chunk *c = malloc(sizeof(*c));
	void *memory = mmap(NULL, chunk_size(r), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (c == NULL || memory == MAP_FAILED) {
		free(c);
		return -ENOMEM;
	}
	madvise(memory, chunk_size(r), MADV_DONTDUMP); // best effort: an old kernel would dump them
	*c = (struct keyring_chunk){.next = r->chunks, .memory = memory};
	r->chunks = c;
	for (unsigned i = 0; i < KEYS_PER_CHUNK; i++) {
		void **key = (void **)((char *)memory + i * r->key_size);
		*key = r->free;
		r->free = key;
	}
	return 0;
}

static void give_back(struct keyring *r, void *key)
{
	explicit_bzero(key, r->key_size);
	*(void **)key = r->free;
	r->free = key;
}

struct seal_key *keyring_get(struct keyring *r, uint16_t profile, const uint8_t *master_key,
			     const uint8_t *master_salt)
{
	void *key;

	if (r->free == NULL && grow(r) < 0)
		return err_null(ENOMEM);
	key = r->free;
	r->free = *(void **)key;
	memset(key, 0, sizeof(void *));
	if (seal_key_init(r->engine, key, profile, master_key, master_salt) < 0) {
		give_back(r, key);
		return err_null(EINVAL);
	}
	return key;
}

void keyring_put(struct keyring *r, struct seal_key *key)
{
	seal_key_fini(key);
	give_back(r, key);
}
