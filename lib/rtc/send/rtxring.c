// Memory order: the writer clears `key` before it changes a slot and sets it when the slot is whole; a reader
// loads it before and after. All stores release and all loads acquire, which orders every field against both
// (and costs nothing on x86). `word` alone changes in place: missing becomes held or filler, held is let go.
#include "lib/rtc/send/rtxring.h"

#include <assert.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/rtc/wire/rtp.h"

static_assert(sizeof(struct rtxring_slot) == 64);

#define ALL_CAPS ((1u << RTXRING_CAPS) - 1)

// --- word ---------------------------------------------------------------------------------------

struct word {
	enum rtxring_state state;
	uint8_t owned; // caps that count it: the rank is its own
	uint8_t caps;  // caps that get the payload; owned ones that do not get filler
	uint8_t tid, flags;
	uint32_t handle;
};

static uint64_t word_pack(struct word w)
{
	return (uint64_t)w.handle << 32 | (uint64_t)w.flags << 16 | (uint64_t)w.tid << 10 |
	       (uint64_t)w.caps << 6 | (uint64_t)w.owned << 2 | w.state;
}

static struct word word_unpack(uint64_t v)
{
	return (struct word){.state = v & 3,
			     .owned = v >> 2 & ALL_CAPS,
			     .caps = v >> 6 & ALL_CAPS,
			     .tid = v >> 10 & 3,
			     .flags = (uint8_t)(v >> 16),
			     .handle = (uint32_t)(v >> 32)};
}

#define GET(p) atomic_load_explicit(p, memory_order_acquire)        // pairs with PUT, see top of file
#define PUT(p, v) atomic_store_explicit(p, v, memory_order_release) // pairs with GET

// --- writing ------------------------------------------------------------------------------------

void rtxring_init(struct rtxring *r, struct rtxring_slot *slot, _Atomic uint64_t *of_rank, uint32_t n_slots)
{
	assert(n_slots >= 64 && n_slots <= 4096 && (n_slots & (n_slots - 1)) == 0);
	*r = (struct rtxring){.slot = slot, .of_rank = of_rank, .mask = n_slots - 1};
	rtxring_reset(r);
}

void rtxring_reset(struct rtxring *r)
{
	r->started = false;
	r->has_dropped = 0;
	memset(r->n_dropped, 0, sizeof(r->n_dropped));
	PUT(&r->top, 0);
	PUT(&r->key_index, 0);
	for (uint32_t i = 0; i <= r->mask; i++)
		PUT(&r->slot[i].key, 0);
	for (uint32_t i = 0; i < (r->mask + 1) * RTXRING_CAPS; i++)
		PUT(&r->of_rank[i], 0);
}

static struct rtxring_slot *slot_of(const struct rtxring *r, uint64_t index)
{
	return &r->slot[index & r->mask];
}

static _Atomic uint64_t *inverse_of(const struct rtxring *r, unsigned cap, uint64_t rank)
{
	return &r->of_rank[cap * (r->mask + 1) + (rank & r->mask)];
}

static uint64_t dropped_pack(const uint16_t n[RTXRING_CAPS])
{
	uint64_t v = 0;

	for (unsigned t = 0; t < RTXRING_CAPS; t++)
		v |= (uint64_t)n[t] << (16 * t);
	return v;
}

// Write a whole slot with the ring's ranks as they are now.
static void slot_write(struct rtxring *r, uint64_t index, uint32_t ts, struct word w)
{
	struct rtxring_slot *s = slot_of(r, index);

	PUT(&s->key, 0);
	for (unsigned t = 0; t < RTXRING_CAPS; t++)
		PUT(&s->rank[t], r->rank[t]);
	PUT(&s->n_dropped, dropped_pack(r->n_dropped));
	PUT(&s->ts, ts);
	PUT(&s->word, word_pack(w));
	PUT(&s->key, index + 1);
	for (unsigned t = 0; t < RTXRING_CAPS; t++)
		if (w.owned & 1u << t)
			PUT(inverse_of(r, t, r->rank[t]), index);
}

// [first, end) did not arrive: each keeps a place in every cap.
static void gap_reserve(struct rtxring *r, uint64_t first, uint64_t end)
{
	uint64_t n_out = end - first > r->mask ? end - first - r->mask : 0; // would be overwritten at once

	for (unsigned t = 0; t < RTXRING_CAPS; t++)
		r->rank[t] += n_out;
	for (uint64_t i = first + n_out; i < end; i++) {
		for (unsigned t = 0; t < RTXRING_CAPS; t++)
			r->rank[t]++;
		slot_write(r, i, r->last_ts, (struct word){.state = RTXRING_MISSING, .owned = ALL_CAPS});
	}
}

// Caps that leave this packet's frame out; the frame counts once.
static void frame_drop(struct rtxring *r, unsigned cap, uint32_t ts)
{
	if ((r->has_dropped & 1u << cap) && r->dropped_ts[cap] == ts)
		return;
	r->has_dropped |= (uint8_t)(1u << cap);
	r->dropped_ts[cap] = ts;
	r->n_dropped[cap]++;
}

static uint8_t caps_from(uint8_t tid)
{
	return (uint8_t)(ALL_CAPS << (tid < RTXRING_CAPS ? tid : RTXRING_ALL) & ALL_CAPS);
}

static void key_note(struct rtxring *r, const struct rtxring_pkt *p, bool in_order)
{
	if (p->is_key_start && in_order) {
		r->key_packets = r->key_bytes = 0;
		PUT(&r->key_arrival, p->arrival);
		PUT(&r->key_index, p->index + 1);
	}
	if (GET(&r->key_index) == 0)
		return;
	r->key_packets++;
	r->key_bytes += p->n_bytes;
	if (r->key_packets > RTXRING_KEY_PACKETS || r->key_bytes > RTXRING_KEY_BYTES ||
	    r->key_packets > (r->mask + 1) / 2)
		PUT(&r->key_index, 0);
}

static void entry_read(const struct rtxring_slot *s, uint64_t index, struct rtxring_entry *e)
{
	struct word w = word_unpack(GET(&s->word));
	uint64_t n = GET(&s->n_dropped);

	*e = (struct rtxring_entry){.index = index,
				    .ts = GET(&s->ts),
				    .handle = w.handle,
				    .state = w.state,
				    .caps = w.state == RTXRING_HELD ? w.caps : 0,
				    .tid = w.tid,
				    .flags = w.flags};
	for (unsigned t = 0; t < RTXRING_CAPS; t++) {
		e->rank[t] = GET(&s->rank[t]);
		e->n_dropped[t] = (uint16_t)(n >> (16 * t));
	}
}

static bool add_late(struct rtxring *r, const struct rtxring_pkt *p, struct rtxring_entry *out)
{
	struct rtxring_slot *s = slot_of(r, p->index);
	struct word w = word_unpack(GET(&s->word));

	if (GET(&s->key) != p->index + 1 || w.state != RTXRING_MISSING)
		return false;
	if (p->is_padding) {
		w.state = RTXRING_FILLER;
	} else {
		w.state = RTXRING_HELD;
		w.caps = caps_from(p->tid);
		w.tid = p->tid & 3;
		w.flags = p->flags;
		w.handle = p->handle;
		PUT(&s->ts, p->ts);
	}
	PUT(&s->word, word_pack(w));
	key_note(r, p, false);
	entry_read(s, p->index, out);
	out->is_late = true;
	return w.state == RTXRING_HELD;
}

bool rtxring_add(struct rtxring *r, const struct rtxring_pkt *p, struct rtxring_entry *out)
{
	uint64_t top = GET(&r->top);
	struct word w = {.state = RTXRING_UNKNOWN};

	if (!r->started) {
		r->started = true;
		for (unsigned t = 0; t < RTXRING_CAPS; t++)
			r->rank[t] = p->index;
		r->last_ts = p->ts;
	} else if (p->index <= top) {
		return add_late(r, p, out);
	} else {
		gap_reserve(r, top + 1, p->index);
	}
	if (!p->is_padding) {
		w = (struct word){.state = RTXRING_HELD,
				  .owned = caps_from(p->tid),
				  .caps = caps_from(p->tid),
				  .tid = p->tid & 3,
				  .flags = p->flags,
				  .handle = p->handle};
		r->last_ts = p->ts;
	}
	for (unsigned t = 0; t < RTXRING_CAPS; t++) {
		if (w.owned & 1u << t)
			r->rank[t]++;
		else if (!p->is_padding)
			frame_drop(r, t, p->ts);
	}
	slot_write(r, p->index, p->ts, w);
	PUT(&r->top, p->index);
	key_note(r, p, true);
	entry_read(slot_of(r, p->index), p->index, out);
	return !p->is_padding;
}

bool rtxring_give_up(struct rtxring *r, uint64_t index)
{
	struct rtxring_slot *s = slot_of(r, index);
	struct word w = word_unpack(GET(&s->word));

	if (GET(&s->key) != index + 1 || w.state != RTXRING_MISSING)
		return false;
	w.state = RTXRING_FILLER;
	PUT(&s->word, word_pack(w));
	return true;
}

void rtxring_drop(struct rtxring *r, uint64_t index)
{
	struct rtxring_slot *s = slot_of(r, index);
	struct word w = word_unpack(GET(&s->word));

	if (GET(&s->key) != index + 1 || w.state != RTXRING_HELD)
		return;
	w.state = RTXRING_UNKNOWN;
	PUT(&s->word, word_pack(w));
	if (GET(&r->key_index) != 0 && index + 1 >= GET(&r->key_index))
		PUT(&r->key_index, 0);
}

// --- reading ------------------------------------------------------------------------------------

enum rtxring_state rtxring_at(const struct rtxring *r, unsigned cap, uint64_t index, struct rtxring_entry *e)
{
	const struct rtxring_slot *s = slot_of(r, index);
	struct word w;

	e->state = RTXRING_UNKNOWN;
	if (GET(&s->key) != index + 1)
		return RTXRING_UNKNOWN;
	w = word_unpack(GET(&s->word));
	entry_read(s, index, e);
	// The word may have changed between the two loads, only forwards: take the entry's.
	if (GET(&s->key) != index + 1 || !(w.owned & 1u << cap))
		e->state = RTXRING_UNKNOWN;
	else if (e->state == RTXRING_HELD && !(e->caps & 1u << cap))
		e->state = RTXRING_FILLER; // came late and is above the cap
	return e->state;
}

enum rtxring_state rtxring_find(const struct rtxring *r, unsigned cap, uint64_t rank, struct rtxring_entry *e)
{
	enum rtxring_state st;

	ASSERT_HOT(cap < RTXRING_CAPS);
	st = rtxring_at(r, cap, GET(inverse_of(r, cap, rank)), e);
	if (st != RTXRING_UNKNOWN && e->rank[cap] != rank)
		e->state = st = RTXRING_UNKNOWN; // recycled
	return st;
}

bool rtxring_key(const struct rtxring *r, ns_t now, uint64_t *index)
{
	uint64_t k = GET(&r->key_index);

	*index = k - 1;
	return k != 0 && now - GET(&r->key_arrival) <= RTXRING_KEY_AGE_NS;
}
