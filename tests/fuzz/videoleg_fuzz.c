// One layer and one receiver of it, driven by operations (two bytes each): packets with loss, reordering, padding and
// temporal layers; switches of cap, pauses, NACKs, give-ups, backlog. The invariant of the ciphers must hold: an output
// number carries one plaintext; and what was forwarded never reads as missing.
#include "lib/base/err.h"
#include "lib/rtc/recv/nackgen.h"
#include "lib/rtc/send/pacer.h"
#include "lib/rtc/send/resend.h"
#include "lib/rtc/send/rewrite.h"
#include "lib/rtc/send/rtxring.h"

#define SLOTS 64
#define SHADOW 8192

static struct rtxring ring;
static struct rtxring_slot slots[SLOTS];
static _Atomic uint64_t inverse[SLOTS * RTXRING_CAPS];
static struct nackgen nack;
static struct nackgen_item items[128];
static struct resend resend;
static struct resend_slot resends[RESEND_SLOTS];
static struct pacer pacer;
static struct pacer_leg leg;
static struct rewrite rw;
static struct {
	uint64_t index, what;
} shadow[SHADOW];
static uint64_t top_out, newest;
static bool has_out;
static unsigned cap;
static ns_t now;

static void shadow_put(uint64_t out, uint64_t what)
{
	MUST(shadow[out % SHADOW].index != out || shadow[out % SHADOW].what == what);
	shadow[out % SHADOW].index = out;
	shadow[out % SHADOW].what = what;
}

static uint64_t what_of(const struct rtxring_entry *e, uint32_t ts)
{
	return e->state == RTXRING_FILLER ? (uint64_t)ts << 1 : (e->index << 32 | ts) << 1 | 1;
}

static void forward(const struct rtxring_entry *e)
{
	struct rewrite_in in = {
		.rank = e->rank[cap], .source = rtxring_source(0, cap), .ts = e->ts, .now = now};
	struct rewrite_out out;
	enum rewrite_verdict v;

	if (!(e->caps & 1u << cap))
		return;
	v = rewrite_packet(&rw, &in, &out);
	if (v == REWRITE_SWITCH_NEEDED && !e->is_late) {
		rewrite_switch(&rw, &in, REWRITE_TS_KEEP, 9, newest & 1);
		MUST(rewrite_packet(&rw, &in, &out) == REWRITE_OK);
	} else if (v != REWRITE_OK) {
		return;
	}
	MUST(!has_out || out.is_late == (out.index <= top_out));
	if (!out.is_late)
		top_out = out.index;
	has_out = true;
	resend_sent(&resend, out.index, 0, now);
	shadow_put(out.index, what_of(e, out.ts));
}

static void packet(uint64_t i, uint8_t arg)
{
	struct rtxring_pkt p = {.index = i,
				.ts = (uint32_t)i * 3000,
				.tid = arg & 3,
				.is_padding = (arg & 0x1c) == 0x1c,
				.n_bytes = 1000,
				.arrival = now,
				.is_key_start = (arg & 0xe0) == 0xe0};
	struct rtxring_entry e;

	(void)nackgen_packet(&nack, i, p.is_key_start, now);
	if (!rtxring_add(&ring, &p, &e))
		return;
	MUST(e.state == RTXRING_HELD && e.index == i);
	(void)pacer_live(&pacer, &leg, i, 1000, now);
	MUST(leg.at <= leg.end);
	forward(&e);
}

static void nacked(uint16_t seq)
{
	struct resend_ask ask = {.n_bytes = 1000, .target_bps = 1000000, .now = now};
	const struct rewrite_epoch *ep;
	struct rtxring_entry e;
	enum rtxring_state st;
	uint64_t out, rank;
	uint32_t source;

	if (!rewrite_origin(&rw, seq, &out, &source, &rank))
		return;
	MUST(out <= top_out && (uint16_t)out == seq);
	ep = rewrite_epoch_of(&rw, out);
	MUST(ep && ep->source == source);
	st = rtxring_find(&ring, source % RTXRING_CAPS, rank, &e);
	if (st == RTXRING_MISSING)
		MUST(shadow[out % SHADOW].index != out);
	if (st == RTXRING_HELD || st == RTXRING_FILLER)
		shadow_put(out, what_of(&e, e.ts + ep->ts_offset));
	ask.index = out;
	(void)resend_allow(&resend, &ask);
}

static void tick(void)
{
	struct nackgen_out o;

	nackgen_tick(&nack, 0, now, &o);
	for (unsigned i = 0; i < o.n_lost; i++)
		(void)rtxring_give_up(&ring, o.lost[i]);
}

static void begin(void)
{
	memset(shadow, 0, sizeof(shadow));
	rtxring_init(&ring, slots, inverse, SLOTS);
	nackgen_init(&nack, items, ARRAY_LEN(items));
	resend_init(&resend, resends);
	leg = (struct pacer_leg){};
	pacer_init(&pacer, 600000, 0);
	rewrite_init(&rw, 100, 90000, 3000);
	newest = 0xfff0;
	top_out = 0;
	has_out = false;
	cap = RTXRING_ALL;
	now = NS_PER_S;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t at;

	begin();
	for (; size >= 2; data += 2, size -= 2) {
		uint8_t arg = data[1];
		now += NS_PER_MS * (data[0] >> 3);
		switch (data[0] & 7) {
		case 0:
		case 1:
			packet(++newest, arg);
			break;
		case 2:
			newest += arg;
			break;
		case 3:
			if (arg < newest)
				packet(newest - arg, arg);
			break;
		case 4:
			nacked((uint16_t)(top_out - arg));
			break;
		case 5:
			cap = arg & 3;
			if (arg & 4)
				rewrite_pause(&rw);
			break;
		case 6:
			tick();
			break;
		case 7:
			for (unsigned i = 0; i < arg && pacer_waits(&leg, &at); i++)
				if (pacer_head(&pacer, &leg, 1000, now, now) == PACER_SEND)
					pacer_next(&pacer, &leg);
			break;
		}
	}
	return 0;
}
