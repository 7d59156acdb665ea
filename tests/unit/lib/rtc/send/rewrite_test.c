#include "lib/rtc/send/rewrite.h"

#include "tests/unit/check.h"

#include <stdlib.h>

#include "lib/base/rand.h"
#include "lib/rtc/wire/rtp.h"

#define HZ 48000
#define FRAME 960
#define MS NS_PER_MS

// --- ranks --------------------------------------------------------------------------------------

static struct seqrank q;

// Rank of an index, -1 when it is to be dropped.
static int64_t take(uint64_t index)
{
	uint64_t rank = 0;
	bool resumed;

	return seqrank_take(&q, index, &rank, &resumed) ? (int64_t)rank : -1;
}

static void ranks_keep_losses(void)
{
	q = (struct seqrank){};
	CHECK_EQ(take(100), 100);
	CHECK_EQ(take(101), 101);
	CHECK_EQ(take(105), 105);
	CHECK_EQ(take(103), 103); // late, its place was kept
	CHECK_EQ(take(99), -1);   // from before the beginning
}

static void ranks_close_mutes(void)
{
	uint64_t rank;
	bool resumed;

	q = (struct seqrank){};
	take(100);
	for (uint64_t i = 102; i < 150; i++) // 101 is lost; muted from 102 on
		if (i % 5)                   // some of the muted are lost too
			seqrank_skip(&q, i);
	CHECK(seqrank_take(&q, 150, &rank, &resumed));
	CHECK(resumed);
	CHECK_EQ(rank, 102);
	CHECK_EQ(take(101), 101); // the lost one may still come
	CHECK_EQ(take(110), -1);  // a muted one may not
	CHECK_EQ(take(140), -1);
	CHECK(seqrank_take(&q, 151, &rank, &resumed));
	CHECK(!resumed);
	CHECK_EQ(rank, 103);
}

static void ranks_start_muted(void)
{
	q = (struct seqrank){};
	seqrank_skip(&q, 0);
	seqrank_skip(&q, 1);
	seqrank_skip(&q, 4);
	CHECK_EQ(take(5), 0);
	CHECK_EQ(take(3), -1);
	seqrank_skip(&q, 2); // late and muted: nothing moves
	CHECK_EQ(take(6), 1);
}

// More mutes than are remembered: packets from before the oldest remembered one are too old to place.
static void ranks_forget(void)
{
	q = (struct seqrank){};
	for (uint64_t i = 0; i <= 200; i++) {
		if (i % 10 == 5)
			seqrank_skip(&q, i);
		else if (i % 10 != 3) // lost for now
			CHECK_OR_RETURN(take(i) == (int64_t)(i - (i + 4) / 10));
	}
	CHECK_EQ(take(193), 193 - 19);
	CHECK_EQ(take(133), 133 - 13);
	CHECK_EQ(take(83), -1);
}

// Losses, mutes and late packets at random: ranks keep the order of indices, are never given twice, and skip no more
// than was lost.
static void ranks_random(void)
{
	enum { N = 200000 };
	int64_t *rank = malloc(N * sizeof(*rank));
	uint64_t at = 0, last = 0;
	unsigned n_late = 0;
	bool muted = false;

	rand_seed(5);
	q = (struct seqrank){};
	for (unsigned i = 0; i < N; i++)
		rank[i] = -1;
	while (at + 20 < N) {
		uint32_t r = rand_u32();
		uint64_t lost = r % 20 == 0 ? 1 + r / 64 % 10 : 0;

		if (r / 1024 % 50 == 0)
			muted = !muted;
		if (r / 8 % 10 == 0 && at > 30) { // something late
			uint64_t late = at - 1 - rand_u32() % 25;
			if (rank[late] < 0 && !muted) {
				rank[late] = take(late);
				n_late += rank[late] >= 0;
			}
		}
		at += 1 + lost;
		if (muted)
			seqrank_skip(&q, at);
		else
			rank[at] = take(at);
	}
	for (uint64_t i = 1; i < N; i++) {
		if (rank[i] < 0)
			continue;
		if (last > 0) {
			CHECK_OR_RETURN(rank[i] > rank[last]);
			CHECK_OR_RETURN(rank[i] - rank[last] <= (int64_t)(i - last));
		}
		last = i;
	}
	CHECK(n_late > 500);
	free(rank);
	rand_seed(0);
}

// --- legs ---------------------------------------------------------------------------------------

static struct rewrite leg;

static void begin(uint16_t start)
{
	rewrite_init(&leg, start, HZ, FRAME);
}

// Send one packet, switching when asked to: the output, index 0 when it is to be dropped.
static struct rewrite_out send_at(struct rewrite_in in)
{
	struct rewrite_out out = {};
	enum rewrite_verdict v = rewrite_packet(&leg, &in, &out);

	if (v == REWRITE_SWITCH_NEEDED) {
		rewrite_switch(&leg, &in, leg.n_epochs ? REWRITE_TS_ELAPSED : REWRITE_TS_KEEP, 1000, 0);
		v = rewrite_packet(&leg, &in, &out);
		CHECK_EQ(v, REWRITE_OK);
	}
	if (v != REWRITE_OK)
		out = (struct rewrite_out){};
	return out;
}

// Packet number n of a source whose clock runs with real time.
static struct rewrite_in voice(uint64_t n)
{
	return (struct rewrite_in){
		.rank = n, .source = 1, .ts = (uint32_t)(n * FRAME), .now = (ns_t)n * 20 * MS};
}

static void first_and_next(void)
{
	struct rewrite_out o;

	begin(0x7fff);
	o = send_at(voice(5000));
	CHECK_EQ(o.index, 0x7fff);
	CHECK_EQ(o.ts, 5000 * FRAME + 1000);
	CHECK(o.set_marker);
	o = send_at(voice(5001));
	CHECK_EQ(o.index, 0x8000);
	CHECK(!o.set_marker && !o.is_late);
	o = send_at(voice(5004)); // lost upstream: lost downstream
	CHECK_EQ(o.index, 0x8003);
	o = send_at(voice(5002));
	CHECK(o.index == 0x8001 && o.is_late);
	CHECK_EQ(o.ts, 5002 * FRAME + 1000);
	CHECK_EQ(send_at(voice(4999)).index, 0); // before the leg began
}

static void start_range(void)
{
	for (uint64_t r = 0; r < 1u << 20; r += 37) {
		uint16_t s = rewrite_start_seq((uint32_t)(r * 4099));
		CHECK_OR_RETURN(s >= 1 && s <= 0x7fff);
	}
	CHECK_EQ(rewrite_start_seq(0x7ffe), 0x7fff);
	CHECK_EQ(rewrite_start_seq(0x7fff), 1);
}

// The source has wrapped three times, the leg starts at roll-over counter 0 and wraps by itself.
static void late_joiner(void)
{
	uint64_t n = 3 * 65536 + 65500;

	begin(100);
	CHECK_EQ(send_at(voice(n)).index, 100);
	for (uint64_t i = 1; i < 70000; i++)
		CHECK_OR_RETURN(send_at(voice(n + i)).index == 100 + i);
	CHECK_EQ(leg.next_out >> 16, 1);
}

// Muted for 60 s at the source: no gap, 60 s later on the timeline, marker.
static void mute_60_s(void)
{
	struct rewrite_in in;
	struct rewrite_out o;
	uint64_t rank;
	bool resumed;

	begin(7);
	q = (struct seqrank){};
	for (uint64_t i = 0; i < 100; i++) {
		CHECK(seqrank_take(&q, i, &rank, &resumed));
		o = send_at(voice(i));
	}
	CHECK_EQ(o.index, 106);
	for (uint64_t i = 100; i < 3100; i++)
		seqrank_skip(&q, i);
	CHECK(seqrank_take(&q, 3100, &rank, &resumed));
	in = voice(3100);
	in.rank = rank;
	in.resumed = resumed;
	o = send_at(in);
	CHECK_EQ(o.index, 107);
	CHECK_EQ(o.ts, 3100 * FRAME + 1000);
	CHECK(o.set_marker);
}

// The publisher stopped its clock while muted (replaceTrack): the leg's clock goes on.
static void clock_stood_still(void)
{
	struct rewrite_in in;
	struct rewrite_out o;

	begin(7);
	send_at(voice(100));
	in = (struct rewrite_in){
		.rank = 101, .source = 1, .ts = 101 * FRAME, .resumed = true, .now = voice(3100).now};
	o = send_at(in);
	CHECK_EQ(o.index, 8);
	CHECK_EQ(o.ts, 3100 * FRAME + 1000);
	in.rank++, in.ts += FRAME, in.now += 20 * MS, in.resumed = false;
	CHECK_EQ(send_at(in).ts, 3101 * FRAME + 1000); // and the new offset stays
	// a clock that jumped backwards by a day
	in = (struct rewrite_in){
		.rank = 110, .source = 1, .ts = 0x80000000, .resumed = true, .now = in.now + 200 * MS};
	o = send_at(in);
	CHECK_EQ(o.ts, 3111 * FRAME + 1000);
}

static void network_stall_is_no_mute(void)
{
	struct rewrite_in in;

	begin(7);
	send_at(voice(100));
	for (uint64_t i = 101; i < 300; i++) { // four seconds arrive at once
		in = voice(i);
		in.now = voice(300).now;
		CHECK_OR_RETURN(send_at(in).ts == i * FRAME + 1000);
	}
}

static void paused_leg(void)
{
	struct rewrite_out o;

	begin(7);
	for (uint64_t i = 10; i < 20; i++)
		send_at(voice(i));
	rewrite_pause(&leg);
	o = send_at(voice(500)); // others heard 20..499
	CHECK_EQ(o.index, 17);
	CHECK_EQ(o.ts, 500 * FRAME + 1000);
	CHECK(o.set_marker);
	CHECK_EQ(send_at(voice(499)).index, 0); // not for this leg: its number belongs to another packet
	CHECK_EQ(send_at(voice(21)).index, 0);
	CHECK_EQ(send_at(voice(501)).index, 18);
}

static void big_gap_is_closed(void)
{
	begin(7);
	send_at(voice(10));
	CHECK_EQ(send_at(voice(2010)).index, 2007); // 1999 lost: shown
	CHECK_EQ(send_at(voice(4012)).index, 2008); // 2001 lost: closed
	CHECK_EQ(send_at(voice(4012)).ts, 4012 * FRAME + 1000);
	CHECK_EQ(send_at(voice(3000)).index, 0);
}

static void switch_of_source(void)
{
	struct rewrite_in b = {.rank = 70, .source = 2, .ts = 0xfffffff0, .now = 2040 * MS};
	struct rewrite_out o;

	begin(7);
	send_at(voice(100)); // at 2000 ms
	send_at(voice(102)); // at 2040 ms; 101 is late
	o = send_at(b);
	CHECK_EQ(o.index, 10);
	CHECK_EQ(o.ts, 103 * FRAME + 1000); // at least one frame on
	CHECK(o.set_marker);
	o = send_at(voice(101)); // fills its gap in the epoch before
	CHECK(o.index == 8 && o.ts == 101 * FRAME + 1000 && o.is_late);
	struct rewrite_in a = voice(103); // newer than the switch: not for this leg
	CHECK_EQ(rewrite_packet(&leg, &a, &o), REWRITE_SWITCH_NEEDED);
	b.rank++, b.ts += FRAME, b.now += 20 * MS;
	o = send_at(b);
	CHECK(o.index == 11 && o.ts == 104 * FRAME + 1000 && !o.set_marker);
}

static void switch_with_gap(void)
{
	struct rewrite_in b = {.rank = 70, .source = 2, .ts = 5, .now = 2020 * MS};
	struct rewrite_out o;
	uint32_t source, offset;
	uint64_t index, rank;

	begin(7);
	send_at(voice(100));
	rewrite_switch(&leg, &b, REWRITE_TS_OFFSET, 77, 1);
	CHECK_EQ(rewrite_packet(&leg, &b, &o), REWRITE_OK);
	CHECK_EQ(o.index, 9); // 8 stays unused
	CHECK_EQ(o.ts, 5 + 77);
	CHECK(rewrite_ts_offset(&leg, &offset) && offset == 77);
	CHECK(rewrite_origin(&leg, 7, &index, &source, &rank) && source == 1 && rank == 100);
	CHECK(rewrite_origin(&leg, 9, &index, &source, &rank) && source == 2 && rank == 70 && index == 9);
	CHECK(!rewrite_origin(&leg, 10, &index, &source, &rank)); // never sent
	CHECK(!rewrite_origin(&leg, 6, &index, &source, &rank));
}

static void switch_same_clock(void)
{
	struct rewrite_in b = voice(103);
	struct rewrite_out o;

	begin(7);
	send_at(voice(100));
	b.source = 2;
	b.rank = 9;
	rewrite_switch(&leg, &b, REWRITE_TS_KEEP, 0, 0);
	CHECK_EQ(rewrite_packet(&leg, &b, &o), REWRITE_OK);
	CHECK(o.index == 8 && o.ts == 103 * FRAME + 1000);
}

static void origin_window(void)
{
	uint32_t source;
	uint64_t index, rank;

	begin(0x7000);
	CHECK(!rewrite_origin(&leg, 0x7000, &index, &source, &rank)); // nothing sent
	for (uint64_t i = 0; i < 70000; i++)
		send_at(voice(i));
	uint16_t last = (uint16_t)(0x7000 + 69999);
	for (unsigned back = 0; back < 3000; back++) {
		bool found = rewrite_origin(&leg, (uint16_t)(last - back), &index, &source, &rank);
		CHECK_OR_RETURN(found == (back < REWRITE_BACK));
		if (found)
			CHECK_OR_RETURN(rank == 69999 - back && index == 0x7000 + 69999 - back);
	}
}

// The invariant of the ciphers, over everything a leg can go through: no output index for two packets, numbers grow,
// timestamps never run back, origin finds what was sent.
static void one_plaintext_per_index(void)
{
	enum { N = 200000, SOURCES = 3 };
	uint64_t *owner = calloc(2 * N, sizeof(*owner)); // (source << 40 | rank) + 1 that took the index
	uint64_t rank[SOURCES] = {1000, 2000, 3000}, top = 0;
	uint32_t active = 0, ts_top = 0;
	unsigned n_late = 0;
	ns_t now = 0;

	rand_seed(8);
	begin(rewrite_start_seq(rand_u32()));
	for (unsigned i = 0; i < N; i++) {
		uint32_t r = rand_u32();
		struct rewrite_in in;
		struct rewrite_out o;

		now += 20 * MS;
		if (r % 997 == 0)
			active = r / 1000 % SOURCES;
		if (r % 499 == 0)
			rewrite_pause(&leg);
		for (unsigned s = 0; s < SOURCES; s++) // all sources go on, with losses
			rank[s] += 1 + (rand_u32() % 30 == 0 ? rand_u32() % 5 : 0);
		in = (struct rewrite_in){.rank = rank[active], .source = active, .now = now};
		if (r / 7 % 10 == 0)
			in.rank -= 1 + rand_u32() % 60;
		if (r / 7 % 50 == 0)
			in.source = r / 11 % SOURCES, in.rank = rank[in.source] - rand_u32() % 100;
		in.ts = (uint32_t)(in.rank * FRAME + in.source * 0x50000000u);
		enum rewrite_verdict v = rewrite_packet(&leg, &in, &o);
		if (v == REWRITE_SWITCH_NEEDED && in.source == active) {
			rewrite_switch(&leg, &in, leg.n_epochs ? REWRITE_TS_ELAPSED : REWRITE_TS_KEEP, 9,
				       r & 1);
			v = rewrite_packet(&leg, &in, &o);
			CHECK_OR_RETURN(v == REWRITE_OK);
		}
		if (v != REWRITE_OK)
			continue;
		uint64_t id = ((uint64_t)in.source << 40 | in.rank) + 1, index, from;
		uint32_t source;
		CHECK_OR_RETURN(o.index < 2 * N);
		CHECK_OR_RETURN(owner[o.index] == 0 || owner[o.index] == id);
		owner[o.index] = id;
		CHECK_OR_RETURN(o.is_late == (o.index <= top && top != 0));
		if (!o.is_late) {
			CHECK_OR_RETURN(top == 0 || seq32_diff(o.ts, ts_top) >= 0);
			top = o.index;
			ts_top = o.ts;
		}
		n_late += o.is_late;
		CHECK_OR_RETURN(rewrite_origin(&leg, (uint16_t)o.index, &index, &source, &from));
		CHECK_OR_RETURN(index == o.index && source == in.source && from == in.rank);
	}
	CHECK(top > N / 2);
	CHECK(n_late > 1000);
	free(owner);
	rand_seed(0);
}

CU_TestInfo rewrite_tests[] = {
	{"ranks keep the places of lost packets", ranks_keep_losses},
	{"a mute leaves no gap, its late packets are dropped", ranks_close_mutes},
	{"a source that starts muted", ranks_start_muted},
	{"mutes are remembered for a while", ranks_forget},
	{"200000 random packets: ranks keep order and skip only what was lost", ranks_random},
	{"a leg starts at its own number; loss stays visible, late packets fill it", first_and_next},
	{"start numbers are 1 to 32767", start_range},
	{"a late joiner starts at roll-over counter 0 and wraps by itself", late_joiner},
	{"muted for 60 s: contiguous numbers, 60 s of timestamp, marker", mute_60_s},
	{"a publisher's clock that stood still or jumped is bridged", clock_stood_still},
	{"a stall of the network does not count as a mute", network_stall_is_no_mute},
	{"a paused leg continues without a gap and takes nothing late from the pause", paused_leg},
	{"more than 2000 lost packets are closed up", big_gap_is_closed},
	{"a switch of source continues numbers and time, late packets of the old one fit in",
	 switch_of_source},
	{"a switch can leave a number unused", switch_with_gap},
	{"a switch to another SSRC of the same clock keeps the offset", switch_same_clock},
	{"origin knows the last 1024 numbers, across the wrap", origin_window},
	{"200000 packets through pauses and switches: one plaintext per index", one_plaintext_per_index},
	CU_TEST_INFO_NULL,
};
