// The parts of a video leg as the dataplane puts them together: ring of two simulcast layers, choice, timestamps,
// VP8 numbers and rewriter, with loss and reordering before the server.
#include "lib/rtc/send/simulcast.h"

#include "tests/unit/check.h"

#include <stdlib.h>

#include "lib/base/rand.h"
#include "lib/rtc/send/rewrite.h"
#include "lib/rtc/wire/rtp.h"
#include "lib/rtc/send/rtxring.h"
#include "lib/rtc/send/tsalign.h"
#include "lib/rtc/codec/vp8.h"

#define MS NS_PER_MS
#define SLOTS 1024
#define LAYERS 2
#define HELD 32

static struct rtxring_slot slots[LAYERS][SLOTS];
static _Atomic uint64_t inverse[LAYERS][SLOTS * RTXRING_CAPS];

struct source {
	struct rtxring ring;
	struct sr_map sr;
	uint64_t index;
	uint32_t ts_base;
	uint16_t pid;
	uint8_t tl0;
	ns_t lag; // its encoder is so much slower
	unsigned n_held;
	struct rtxring_pkt held[HELD]; // under way, will come late
};
static struct source source[LAYERS];

static struct {
	struct simulcast choice;
	struct rewrite rw;
	struct vp8_leg vp8;
	struct tsalign align;
	uint64_t top;
	uint32_t ts;
	uint16_t pid;
	uint8_t tl0;
	bool has_sent;
	unsigned n_switches, n_retries, n_waits;
	unsigned layer;
} leg;

// handle carries what the payload would: picture id, TL0PICIDX.
static struct vp8_desc desc_of(uint32_t handle)
{
	return (struct vp8_desc){.has_picture_id = true,
				 .is_picture_id_15 = true,
				 .has_tl0 = true,
				 .picture_id = handle & 0x7fff,
				 .tl0 = (uint8_t)(handle >> 16)};
}

enum { KEY = 1, START = 2 };

// Decide whether the leg changes to this key frame, and with which timestamps.
static bool leg_switch(unsigned layer, const struct rewrite_in *in, const struct vp8_desc *d, ns_t now)
{
	uint32_t offset = 0;

	if (leg.has_sent && layer != leg.layer) {
		struct tsalign_in ai = {.from = &source[leg.layer].sr,
					.to = &source[layer].sr,
					.layer = layer,
					.ts = in->ts,
					.last_ts = leg.rw.last_ts,
					.last_sent = leg.rw.last_sent,
					.clock_hz = 90000,
					.now = now};
		(void)rewrite_ts_offset(&leg.rw, &ai.offset);
		switch (tsalign_switch(&leg.align, &ai, &offset)) {
		case TSALIGN_WAIT:
			leg.n_waits++;
			return false;
		case TSALIGN_RETRY:
			leg.n_retries++;
			return false;
		case TSALIGN_OK:
			break;
		}
	}
	if (!simulcast_on_key(&leg.choice, (uint8_t)layer, now))
		return false;
	rewrite_switch(&leg.rw, in, leg.has_sent ? REWRITE_TS_OFFSET : REWRITE_TS_KEEP, offset, leg.has_sent);
	vp8_leg_switch(&leg.vp8, d, 0);
	rewrite_vp8(&leg.rw, leg.vp8.pid_offset, leg.vp8.tl0_offset);
	leg.layer = layer;
	leg.n_switches++;
	return true;
}

static bool leg_packet(unsigned layer, const struct rtxring_entry *e, ns_t now)
{
	struct rewrite_in in = {.rank = e->rank[RTXRING_ALL],
				.source = rtxring_source(layer, RTXRING_ALL),
				.ts = e->ts,
				.now = now};
	struct vp8_desc d = desc_of(e->handle);
	struct rewrite_out out;
	uint16_t pid;
	uint8_t tl0;
	bool has_switched = false;

	if ((e->flags & KEY) && !e->is_late && leg.choice.want != SIMULCAST_NONE &&
	    leg.choice.want_layer == layer)
		has_switched = leg_switch(layer, &in, &d, now);
	if (rewrite_packet(&leg.rw, &in, &out) != REWRITE_OK)
		return true;
	pid = (uint16_t)(d.picture_id + out.pid_offset) & 0x7fff;
	tl0 = (uint8_t)(d.tl0 + out.tl0_offset);
	if (out.is_late)
		return out.index < leg.top;
	if (leg.has_sent) {
		CHECK(out.index > leg.top);
		if (seq32_diff(out.ts, leg.ts) < (has_switched ? 1 : 0) ||
		    seq32_diff(out.ts, leg.ts) > 2 * 90000)
			return false;
		if (((pid - leg.pid) & 0x7fff) > 1000)
			return false;
		if (has_switched && (pid != ((leg.pid + 1) & 0x7fff) || tl0 != (uint8_t)(leg.tl0 + 1)))
			return false;
	}
	vp8_leg_sent(&leg.vp8, &d, 0);
	leg.top = out.index;
	leg.ts = out.ts;
	leg.pid = pid;
	leg.tl0 = tl0;
	leg.has_sent = true;
	return true;
}

static bool source_packet(unsigned layer, const struct rtxring_pkt *p, ns_t now)
{
	struct rtxring_entry e;

	return !rtxring_add(&source[layer].ring, p, &e) || leg_packet(layer, &e, now);
}

// One frame of a layer: 3 packets (l) or 8 (h), some lost, some late.
static bool source_frame(unsigned layer, bool is_key, ns_t now)
{
	struct source *s = &source[layer];
	unsigned n = layer ? 8 : 3;

	s->pid = (s->pid + 1) & 0x7fff;
	s->tl0++;
	for (unsigned i = 0; i < n; i++) {
		struct rtxring_pkt p = {.index = ++s->index,
					.ts = s->ts_base + (uint32_t)((now - s->lag) * 9 / 100000),
					.handle = s->pid | (uint32_t)s->tl0 << 16,
					.n_bytes = 1100,
					.arrival = now,
					.flags = (uint8_t)(i == 0 ? START | (is_key ? KEY : 0) : 0),
					.is_key_start = is_key && i == 0};
		uint32_t r = rand_u32();

		if (r % 50 == 0)
			continue; // lost
		if (r % 50 == 1 && s->n_held < HELD) {
			s->held[s->n_held++] = p;
			continue;
		}
		if (!source_packet(layer, &p, now))
			return false;
		if (s->n_held && r % 7 == 0) {
			p = s->held[--s->n_held];
			if (!source_packet(layer, &p, now))
				return false;
		}
	}
	return true;
}

static void source_report(unsigned layer, ns_t now)
{
	struct source *s = &source[layer];

	s->sr = (struct sr_map){.ntp = (UINT64_C(0xe8000000) << 32) + ((uint64_t)(now / NS_PER_S) << 32) +
				       ((uint64_t)(now % NS_PER_S) << 32) / NS_PER_S,
				.rtp = s->ts_base + (uint32_t)(now * 9 / 100000),
				.clock_hz = 90000,
				.valid = true};
}

static void begin(ns_t lag_of_h)
{
	memset(&leg, 0, sizeof(leg));
	simulcast_init(&leg.choice);
	rewrite_init(&leg.rw, rewrite_start_seq(rand_u32()), 90000, 3000);
	for (unsigned i = 0; i < LAYERS; i++) {
		source[i] = (struct source){.index = 0xfff0,
					    .ts_base = rand_u32(),
					    .pid = rand_u32() & 0x7fff,
					    .tl0 = (uint8_t)rand_u32(),
					    .lag = i ? lag_of_h : 0};
		rtxring_init(&source[i].ring, slots[i], inverse[i], SLOTS);
	}
}

// l -> h -> l ... with a budget that swings.
static void swing(ns_t lag_of_h, unsigned n_switches)
{
	struct simulcast_rung rung[] = {{.bps = 500000, .layer = 0, .cap = RTXRING_ALL, .is_active = true},
					{.bps = 2500000, .layer = 1, .cap = RTXRING_ALL, .is_active = true}};
	ns_t now = 1000 * NS_PER_S;
	bool key[LAYERS] = {};

	begin(lag_of_h);
	for (unsigned frame = 0; leg.n_switches < n_switches && frame < n_switches * 200; frame++) {
		struct simulcast_in in = {.rung = rung,
					  .n_rungs = LAYERS,
					  .max_rung = 1,
					  .budget_bps = frame / 45 % 2 ? 600000 : 3000000,
					  .is_proven = true,
					  .queue_ms = frame / 45 % 2 ? 300 : 0,
					  .now = now};
		struct simulcast_out out;

		now += 33 * MS + (ns_t)(rand_u32() % 5) * MS;
		if (frame % 30 == 20)
			source_report(frame / 30 % 2, now);
		leg.choice.changed = NS_NEVER; // no back-off here
		simulcast_decide(&leg.choice, &in, &out);
		if (out.ask_key)
			key[out.key_layer] = true;
		for (unsigned i = 0; i < LAYERS; i++) {
			bool is_key = key[i] && (frame & 3) == i;
			key[i] = key[i] && !is_key;
			CHECK_OR_RETURN(source_frame(i, is_key, now));
			if (is_key && leg.choice.want != SIMULCAST_NONE && leg.choice.want_layer == i)
				key[i] = true; // lost, late, or not taken: once more
		}
	}
	CHECK_EQ(leg.n_switches, n_switches);
}

static void thousand(void)
{
	rand_seed(91);
	swing(0, 1000);
	CHECK_EQ(leg.n_retries, 0);
	CHECK(leg.n_waits > 0); // no report in the beginning
	rand_seed(0);
}

static void lagging(void)
{
	rand_seed(92);
	swing(100 * MS, 200);
	CHECK(leg.n_retries > 50);
	rand_seed(0);
}

CU_TestInfo videoleg_tests[] = {
	{"1000 switches l-h-l with loss and reorder: numbers, time, picture id and TL0PICIDX go on",
	 thousand},
	{"the same with a layer that lags by 100 ms", lagging},
	CU_TEST_INFO_NULL,
};
