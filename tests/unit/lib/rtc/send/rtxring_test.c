#include "lib/rtc/send/rtxring.h"

#include "tests/unit/check.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "lib/rtc/send/rewrite.h"
#include "lib/rtc/codec/vp8.h"

#define SLOTS 1024
#define MS NS_PER_MS

static struct rtxring ring;
static struct rtxring_slot slots[2][SLOTS];
static _Atomic uint64_t inverse[2][SLOTS * RTXRING_CAPS];
static struct rtxring_entry e;

static void begin(void)
{
	rtxring_init(&ring, slots[0], inverse[0], SLOTS);
}

// Every frame is one packet here: its timestamp is its index times 3000.
static bool add(uint64_t index, uint8_t tid)
{
	return rtxring_add(&ring,
			   &(struct rtxring_pkt){.index = index,
						 .ts = (uint32_t)index * 3000,
						 .handle = (uint32_t)index,
						 .tid = tid,
						 .n_bytes = 1000},
			   &e);
}

static bool add_padding(uint64_t index)
{
	return rtxring_add(&ring, &(struct rtxring_pkt){.index = index, .is_padding = true}, &e);
}

static void caps(void)
{
	static const uint8_t tid[] = {0, 2, 1, 2, 0, 2, 1, 2};
	uint64_t first[RTXRING_CAPS] = {};

	begin();
	for (uint64_t i = 0; i < 8; i++) {
		CHECK(add(100 + i, tid[i]));
		for (unsigned t = 0; t < RTXRING_CAPS; t++) {
			CHECK_EQ(e.caps >> t & 1, t >= tid[i]);
			if (i == 0)
				first[t] = e.rank[t];
		}
	}
	CHECK_EQ(e.rank[3] - first[3], 7);
	CHECK_EQ(e.rank[2] - first[2], 7);
	CHECK_EQ(e.rank[1] - first[1], 3); // last one of cap 1
	CHECK_EQ(e.rank[0] - first[0], 1);
	CHECK_EQ(e.n_dropped[0], 6);
	CHECK_EQ(e.n_dropped[1], 4);
	CHECK_EQ(e.n_dropped[3], 0);
	CHECK_EQ(rtxring_find(&ring, 1, first[1] + 3, &e), RTXRING_HELD);
	CHECK_EQ(e.index, 106);
	CHECK_EQ(e.handle, 106);
	CHECK_EQ(rtxring_find(&ring, 0, first[0] + 1, &e), RTXRING_HELD);
	CHECK_EQ(e.index, 104);
	CHECK_EQ(rtxring_find(&ring, 0, first[0] + 2, &e), RTXRING_UNKNOWN);
}

static void padding_leaves_no_gap(void)
{
	uint64_t rank;

	begin();
	CHECK(add(10, 0));
	rank = e.rank[3];
	CHECK(!add_padding(11));
	CHECK(!add_padding(12));
	CHECK(add(13, 0));
	CHECK_EQ(e.rank[3], rank + 1);
	CHECK(!add_padding(11)); // a replay changes nothing
	CHECK(!add(12, 0));
}

static void late_media_and_padding(void)
{
	uint64_t rank;

	begin();
	CHECK(add(10, 0));
	rank = e.rank[0];
	CHECK(add(14, 0));
	CHECK_EQ(e.rank[0], rank + 4);
	CHECK_EQ(rtxring_find(&ring, 0, rank + 1, &e), RTXRING_MISSING);
	CHECK(!add_padding(11));
	CHECK_EQ(rtxring_find(&ring, 0, rank + 1, &e), RTXRING_FILLER);
	CHECK(add(12, 2)); // above cap 0
	CHECK(e.is_late);
	CHECK_EQ(e.caps, 0xc);
	CHECK_EQ(rtxring_find(&ring, 0, rank + 2, &e), RTXRING_FILLER);
	CHECK_EQ(e.ts, 36000);
	CHECK_EQ(rtxring_find(&ring, 2, rank + 2, &e), RTXRING_HELD);
	CHECK(rtxring_give_up(&ring, 13));
	CHECK_EQ(rtxring_find(&ring, 3, rank + 3, &e), RTXRING_FILLER);
	CHECK(!add(13, 0)); // filler may have been sent under its number
	CHECK(!rtxring_give_up(&ring, 12));
	CHECK(!rtxring_give_up(&ring, 99));
}

static void recycled(void)
{
	uint64_t rank;

	begin();
	CHECK(add(10, 0));
	rank = e.rank[3];
	CHECK(add(12, 0));
	for (uint64_t i = 13; i < 11 + SLOTS; i++)
		CHECK_OR_RETURN(add(i, 0));
	CHECK_EQ(rtxring_find(&ring, 3, rank, &e), RTXRING_UNKNOWN);
	CHECK_EQ(rtxring_find(&ring, 3, rank + 1, &e), RTXRING_MISSING);
	CHECK(add(11 + SLOTS, 0));
	CHECK(!add(11, 0));
	CHECK_EQ(rtxring_find(&ring, 3, rank + 1, &e), RTXRING_UNKNOWN);
	rtxring_drop(&ring, 500);
	CHECK_EQ(rtxring_at(&ring, 3, 500, &e), RTXRING_UNKNOWN);
	CHECK_EQ(rtxring_at(&ring, 3, 501, &e), RTXRING_HELD);
}

static void huge_gap(void)
{
	uint64_t rank;

	begin();
	CHECK(add(1, 0));
	rank = e.rank[3];
	CHECK(add(UINT64_C(1) << 47, 0)); // bounded work
	CHECK_EQ(e.rank[3] - rank, (UINT64_C(1) << 47) - 1);
	CHECK_EQ(rtxring_find(&ring, 3, e.rank[3] - 1, &e), RTXRING_MISSING);
	CHECK_EQ(rtxring_find(&ring, 3, rank, &e), RTXRING_UNKNOWN);
}

static void key_cache(void)
{
	struct rtxring_pkt p = {.index = 50, .is_key_start = true, .n_bytes = 1000, .arrival = 5 * NS_PER_S};
	uint64_t index;

	begin();
	CHECK(!rtxring_key(&ring, 0, &index));
	CHECK(rtxring_add(&ring, &p, &e));
	CHECK(rtxring_key(&ring, 6 * NS_PER_S, &index));
	CHECK_EQ(index, 50);
	CHECK(!rtxring_key(&ring, 8 * NS_PER_S, &index)); // too old
	for (uint64_t i = 51; i < 50 + SLOTS / 2; i++)
		CHECK_OR_RETURN(add(i, 0));
	CHECK(rtxring_key(&ring, 6 * NS_PER_S, &index));
	CHECK(add(50 + SLOTS / 2, 0));
	CHECK(!rtxring_key(&ring, 6 * NS_PER_S, &index)); // too many
	p.index = 5000;
	CHECK(rtxring_add(&ring, &p, &e));
	CHECK(rtxring_key(&ring, 6 * NS_PER_S, &index));
	rtxring_drop(&ring, 5000);
	CHECK(!rtxring_key(&ring, 6 * NS_PER_S, &index));
}

// --- everything at once -------------------------------------------------------------------------
// Two layers with three temporal layers, loss, reordering, padding and give-ups, forwarded to receivers that switch
// layer and cap, pause and NACK at random. A shadow of every receiver remembers what it was sent under each number.

#define LEGS 4
#define LAYERS 2
#define STEPS 1000000
#define LATE_MAX 64
#define WINDOW (1u << 16)

struct sent {
	uint64_t index;
	uint64_t what; // fingerprint of header and payload
};

struct leg {
	struct rewrite rw;
	struct vp8_leg vp8;
	unsigned layer, cap;
	uint64_t top;
	uint16_t pid; // of the highest number
	bool has_top;
	struct sent *shadow; // by output index modulo WINDOW
};

struct layer {
	struct rtxring ring;
	uint64_t index;
	uint16_t pid;
	uint32_t ts;
	uint8_t tid, n_left; // packets left of the frame
	unsigned n_late;
	struct rtxring_pkt late[LATE_MAX];
};

static struct leg leg[LEGS];
static struct layer layer[LAYERS];
static uint64_t n_resent, n_filler, n_switched, n_late_sent, n_lookups;

// What a packet says on the wire: filler has no payload, a VP8 payload its rewritten picture id.
static uint64_t fingerprint(uint32_t source, const struct rtxring_entry *en, uint32_t ts, uint16_t pid_offset)
{
	unsigned cap = source % RTXRING_CAPS;
	bool is_filler = en->state == RTXRING_FILLER;
	uint64_t h = is_filler ? 0xf111e4 : en->index * LAYERS + source / RTXRING_CAPS + 1;

	h = (h ^ ts) * 0x9e3779b97f4a7c15u;
	h ^= is_filler ? 0 : (uint16_t)(en->handle + pid_offset - en->n_dropped[cap]) & 0x7fff;
	return h * 0x9e3779b97f4a7c15u | 1;
}

// A number carries one plaintext.
static bool shadow_put(struct leg *l, uint64_t index, uint64_t what)
{
	struct sent *s = &l->shadow[index % WINDOW];

	if (s->index == index && s->what != 0 && s->what != what)
		return false;
	*s = (struct sent){index, what};
	return true;
}

static bool leg_forward(struct leg *l, unsigned lay, const struct rtxring_entry *en, bool may_switch,
			ns_t now)
{
	struct rewrite_in in = {
		.rank = en->rank[l->cap], .source = rtxring_source(lay, l->cap), .ts = en->ts, .now = now};
	struct rewrite_out out;
	struct vp8_desc d = {
		.has_picture_id = true, .is_picture_id_15 = true, .picture_id = (uint16_t)en->handle};
	enum rewrite_verdict v;
	bool has_switched = false;

	if (lay != l->layer || !(en->caps & 1u << l->cap))
		return true;
	v = rewrite_packet(&l->rw, &in, &out);
	if (v == REWRITE_SWITCH_NEEDED && may_switch && !en->is_late) {
		rewrite_switch(&l->rw, &in, l->has_top ? REWRITE_TS_ELAPSED : REWRITE_TS_KEEP, 77,
			       rand_u32() & 1);
		vp8_leg_switch(&l->vp8, &d, en->n_dropped[l->cap]);
		rewrite_vp8(&l->rw, l->vp8.pid_offset, 0);
		n_switched++;
		has_switched = true;
		v = rewrite_packet(&l->rw, &in, &out);
		if (v != REWRITE_OK)
			return false;
	}
	if (v != REWRITE_OK)
		return true;
	if (!out.is_late && l->has_top && out.index <= l->top)
		return false; // backward or duplicate
	if (out.is_late && out.index >= l->top)
		return false;
	if (!out.is_late && out.pid_offset != l->vp8.pid_offset)
		return false; // an epoch forgot it
	if (!out.is_late) {
		uint16_t pid = (uint16_t)(en->handle + out.pid_offset - en->n_dropped[l->cap]) & 0x7fff;
		unsigned step = (pid - l->pid) & 0x7fff;
		if (l->has_top && (step >= 0x4000 || (has_switched && step != 1)))
			return false; // picture ids go on by one over a switch, and never back
		l->pid = pid;
	}
	if (!out.is_late) {
		l->top = out.index;
		l->has_top = true;
		vp8_leg_sent(&l->vp8, &d, en->n_dropped[l->cap]);
	}
	n_late_sent += out.is_late;
	return shadow_put(l, out.index, fingerprint(in.source, en, out.ts, out.pid_offset));
}

static bool leg_nack(struct leg *l)
{
	uint16_t seq = (uint16_t)(l->top - rand_u32() % 1100);
	struct rtxring_entry en;
	enum rtxring_state st;
	const struct rewrite_epoch *ep;
	uint64_t index, rank;
	uint32_t source;

	if (!l->has_top || !rewrite_origin(&l->rw, seq, &index, &source, &rank))
		return true;
	n_lookups++;
	if ((uint16_t)index != seq || index > l->top)
		return false;
	ep = rewrite_epoch_of(&l->rw, index);
	st = rtxring_find(&layer[source / RTXRING_CAPS].ring, source % RTXRING_CAPS, rank, &en);
	if (!ep || ep->source != source)
		return false;
	if (st == RTXRING_MISSING || st == RTXRING_UNKNOWN) {
		const struct sent *s = &l->shadow[index % WINDOW];
		// Something that was sent never reads as missing.
		return !(st == RTXRING_MISSING && s->index == index && s->what != 0);
	}
	n_resent++;
	n_filler += st == RTXRING_FILLER;
	return shadow_put(l, index, fingerprint(source, &en, en.ts + ep->ts_offset, ep->pid_offset));
}

static bool forward_all(unsigned lay, const struct rtxring_entry *en, bool may_switch, ns_t now)
{
	for (unsigned i = 0; i < LEGS; i++)
		if (!leg_forward(&leg[i], lay, en, may_switch, now))
			return false;
	return true;
}

// One packet leaves the publisher of a layer; it arrives, is lost, or is late.
static bool layer_step(unsigned lay, ns_t now)
{
	struct layer *l = &layer[lay];
	bool is_start = l->n_left == 0;
	struct rtxring_entry en;
	uint32_t r = rand_u32();

	l->index += r % 5000 == 0 ? 1500 + r / 5000 % 1000 : 1;
	if (is_start) {
		static const uint8_t pattern[] = {0, 2, 1, 2};
		l->ts += 3000;
		l->pid++;
		l->tid = pattern[l->pid % 4];
		l->n_left = (uint8_t)(1 + r / 64 % 6);
	}
	l->n_left--;
	struct rtxring_pkt p = {
		.index = l->index, .ts = l->ts, .handle = l->pid & 0x7fff, .tid = l->tid, .n_bytes = 1200};
	if (r / 512 % 40 == 0)
		p.is_padding = true;
	if (r / 4096 % 12 == 0 && l->n_late < LATE_MAX) {
		l->late[l->n_late++] = p;
		return true;
	}
	if (!rtxring_add(&l->ring, &p, &en))
		return true;
	return forward_all(lay, &en, is_start, now);
}

static bool late_step(unsigned lay, ns_t now)
{
	struct layer *l = &layer[lay];
	unsigned i = l->n_late ? rand_u32() % l->n_late : 0;
	struct rtxring_entry en;
	struct rtxring_pkt p;

	if (l->n_late < 4)
		return true;
	p = l->late[i];
	l->late[i] = l->late[--l->n_late];
	if (rand_u32() % 4 == 0)
		rtxring_give_up(&l->ring, p.index); // and it comes nevertheless
	return !rtxring_add(&l->ring, &p, &en) || forward_all(lay, &en, false, now);
}

static void legs_wander(unsigned step)
{
	struct leg *l = &leg[step % LEGS];

	if (rand_u32() % 300 == 0)
		l->layer ^= 1;
	if (rand_u32() % 300 == 0)
		l->cap = rand_u32() % RTXRING_CAPS;
	if (rand_u32() % 700 == 0)
		rewrite_pause(&l->rw);
}

static void million(void)
{
	ns_t now = 0;

	rand_seed(2026);
	n_resent = n_filler = n_switched = n_late_sent = n_lookups = 0;
	for (unsigned i = 0; i < LAYERS; i++) {
		layer[i] = (struct layer){
			.index = 0xfff0 + i * 777, .pid = (uint16_t)(0x7ff0 * i), .ts = i * 0xfffff000u};
		rtxring_init(&layer[i].ring, slots[i], inverse[i], SLOTS);
	}
	for (unsigned i = 0; i < LEGS; i++) {
		leg[i] =
			(struct leg){.layer = i & 1, .cap = i, .shadow = calloc(WINDOW, sizeof(struct sent))};
		rewrite_init(&leg[i].rw, rewrite_start_seq(rand_u32()), 90000, 3000);
	}
	for (unsigned step = 0; step < STEPS; step++) {
		now += 2 * MS;
		legs_wander(step);
		CHECK_OR_RETURN(layer_step(step & 1, now));
		CHECK_OR_RETURN(late_step(rand_u32() & 1, now));
		CHECK_OR_RETURN(leg_nack(&leg[rand_u32() % LEGS]));
	}
	CHECK(n_switched > 2000);
	CHECK(n_late_sent > 20000);
	CHECK(n_resent > STEPS / 2);
	CHECK(n_filler > 10000);
	for (unsigned i = 0; i < LEGS; i++) {
		CHECK(leg[i].top > 3 * 65536); // wrapped
		free(leg[i].shadow);
	}
	rand_seed(0);
}

// --- two threads --------------------------------------------------------------------------------
// The publisher's worker writes a small ring as fast as it can; a receiver's worker reads. An entry is whole or unknown:
// handle, timestamp and rank belong to the index that was asked for.

#define SMALL 64
#define RACE_PACKETS 300000

static _Atomic bool race_over;
static _Atomic uint64_t race_top;

static void *race_read(void *arg)
{
	uint64_t *n_bad = arg, n_found = 0;
	struct rtxring_entry en;

	while (!race_over) {
		uint64_t top = race_top;
		for (unsigned back = 0; back < SMALL + 4 && back < top; back++) {
			uint64_t index = top - back;
			enum rtxring_state st = rtxring_at(&ring, RTXRING_ALL, index, &en);
			bool is_late = index % 7 == 3;
			if (st == RTXRING_UNKNOWN)
				continue;
			n_found++;
			*n_bad += en.index != index || en.rank[RTXRING_ALL] != index + 1;
			*n_bad += st == RTXRING_MISSING && !is_late;
			*n_bad += st == RTXRING_HELD &&
				  (en.handle != (uint32_t)index || en.ts != (uint32_t)index * 3000);
			*n_bad += rtxring_find(&ring, RTXRING_ALL, index + 1, &en) != RTXRING_UNKNOWN &&
				  en.index != index;
		}
	}
	if (n_found == 0)
		++*n_bad;
	return NULL;
}

static void race(void)
{
	pthread_t reader;
	uint64_t n_bad = 0;

	rtxring_init(&ring, slots[0], inverse[0], SMALL);
	race_over = false;
	race_top = 0;
	CHECK_OR_RETURN(add(1, 0));
	CHECK_OR_RETURN(pthread_create(&reader, NULL, race_read, &n_bad) == 0);
	for (uint64_t i = 2; i < RACE_PACKETS; i++) {
		if (i % 7 != 3)
			(void)add(i, 0);
		if (i % 7 == 5)
			(void)add(i - 2, 0); // the late one
		race_top = i;
	}
	race_over = true;
	pthread_join(reader, NULL);
	CHECK_EQ(n_bad, 0);
}

CU_TestInfo rtxring_tests[] = {
	{"a packet has a rank for each temporal cap, and the rank finds it", caps},
	{"padding in order leaves no gap", padding_leaves_no_gap},
	{"a reserved place is filled by late media, or by filler once and for good",
	 late_media_and_padding},
	{"recycled and dropped packets are not found", recycled},
	{"a gap of 2^47 packets is bounded work", huge_gap},
	{"the key-frame cache ends by age, packets and drops", key_cache},
	{"a million switches, losses, reorderings and wraps: a number carries one plaintext", million},
	{"another thread reads whole entries or none", race},
	CU_TEST_INFO_NULL,
};
