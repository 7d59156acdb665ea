#include "lib/rtc/recv/stats.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/rand.h"

#define MS NS_PER_MS
#define S NS_PER_S

static struct rx_stats r;

static void packet(uint64_t index, uint32_t ts, ns_t at)
{
	rx_stats_packet(&r, index, ts, 100, at, 48000);
}

static void no_loss(void)
{
	struct rtcp_block b;

	r = (struct rx_stats){};
	for (uint32_t i = 0; i < 50; i++)
		packet(65500 + i, i * 960, (ns_t)i * 20 * MS);
	CHECK(r.is_active);
	rx_stats_report(&r, 7, 1000 * MS, &b);
	CHECK(b.ssrc == 7 && b.fraction == 0 && b.lost == 0 && b.jitter == 0 && b.lsr == 0 && b.dlsr == 0);
	CHECK_EQ(b.ext_seq, 65549); // cycle count 1
	CHECK(!r.is_active);
	CHECK_EQ(r.n_bytes, 5000);
}

// RFC 3550 A.3 by hand.
static void loss(void)
{
	struct rtcp_block b;

	r = (struct rx_stats){};
	for (uint32_t i = 0; i < 100; i++)
		if (i % 4 != 1)
			packet(i, i * 960, (ns_t)i * 20 * MS);
	rx_stats_report(&r, 7, 0, &b);
	CHECK_EQ(b.lost, 25);
	CHECK_EQ(b.fraction, 64);
	for (uint32_t i = 100; i < 200; i++)
		packet(i, i * 960, (ns_t)i * 20 * MS);
	rx_stats_report(&r, 7, 0, &b);
	CHECK(b.lost == 25 && b.fraction == 0); // cumulative stays, interval is clean
	packet(1, 960, 4000 * MS);              // two of the lost come late
	packet(5, 960, 4000 * MS);
	rx_stats_report(&r, 7, 0, &b);
	CHECK(b.lost == 23 && b.fraction == 0);
	rx_stats_report(&r, 7, 0, &b); // nothing received, nothing expected
	CHECK(b.lost == 23 && b.fraction == 0);
}

static void loss_clamped(void)
{
	struct rtcp_block b;

	r = (struct rx_stats){};
	packet(0, 0, 0);
	packet(UINT64_C(1) << 30, 0, 0);
	rx_stats_report(&r, 7, 0, &b);
	CHECK(b.lost == 0x7fffff && b.fraction == 255);
}

static void nothing_received(void)
{
	struct rtcp_block b;

	r = (struct rx_stats){};
	rx_stats_report(&r, 7, 0, &b);
	CHECK(b.lost == 0 && b.fraction == 0 && b.ext_seq == 0);
}

// A.8: packets alternately 10 ms late: D = 480 units each time, the estimate converges to it.
static void jitter(void)
{
	struct rtcp_block b;

	r = (struct rx_stats){};
	for (uint32_t i = 0; i < 1000; i++)
		packet(i, i * 960, (ns_t)i * 20 * MS + (i % 2) * 10 * MS);
	rx_stats_report(&r, 7, 0, &b);
	CHECK(b.jitter >= 470 && b.jitter <= 480);
	packet(1000, 0x40000000, 20000 * MS); // timestamps set anew: no jitter
	rx_stats_report(&r, 7, 0, &b);
	CHECK(b.jitter <= 480);
	packet(1001, 0x40000000 + 960 + 48000 * 5, 20020 * MS); // five seconds of it are the network's
	rx_stats_report(&r, 7, 0, &b);
	CHECK(b.jitter > 10000);
}

static void lsr_dlsr(void)
{
	struct rtcp_block b;

	r = (struct rx_stats){};
	packet(1, 0, 0);
	rx_stats_sr(&r, 0x1122334455667788, 10 * S);
	rx_stats_report(&r, 7, 10 * S + 1500 * MS, &b);
	CHECK_EQ(b.lsr, 0x33445566);
	CHECK_EQ(b.dlsr, 65536 * 3 / 2);
	rx_stats_report(&r, 7, 10 * S + 5000 * S, &b); // too old to say
	CHECK(b.lsr == 0 && b.dlsr == 0);
}

static void round_trip(void)
{
	uint64_t now =
		UINT64_C(0xb705200012345678); // RFC 3550 figure 2: A = b710:8000, LSR b705:2000, DLSR 5.25 s
	struct rtcp_block b = {.lsr = 0xb7052000, .dlsr = 0x00054000};

	now = UINT64_C(0x0000b71080000000);
	CHECK_EQ(rtt_of(&b, now), 6125 * MS);
	b.lsr = 0;
	CHECK_EQ(rtt_of(&b, now), -ENODATA);
	b = (struct rtcp_block){.lsr = 0xb7052000, .dlsr = 0xffffffff};
	CHECK(rtt_of(&b, now) == -ERANGE || rtt_of(&b, now) > 0);
	b.dlsr = 0x10000000; // longer than the SR is old
	CHECK_EQ(rtt_of(&b, now), -ERANGE);
	b.dlsr = 0x000b6000; // exactly
	CHECK_EQ(rtt_of(&b, now), -ERANGE);
	b.lsr = 0xb7052000 - (40 << 16), b.dlsr = 0; // more than 30 s
	CHECK_EQ(rtt_of(&b, now), -ERANGE);
}

static void rtt_smooth(void)
{
	struct rtt t = {};

	rtt_sample(&t, 100 * MS, 0);
	CHECK(t.smooth_ns == 100 * MS && t.min_ns == 100 * MS);
	rtt_sample(&t, 180 * MS, 1 * S);
	CHECK(t.smooth_ns == 110 * MS && t.min_ns == 100 * MS);
	for (unsigned i = 2; i < 9; i++)
		rtt_sample(&t, 200 * MS, (ns_t)i * S);
	CHECK_EQ(t.min_ns, 100 * MS);
	for (unsigned i = 9; i < 40; i++)
		rtt_sample(&t, 200 * MS, (ns_t)i * S);
	CHECK_EQ(t.min_ns, 200 * MS); // the old minimum is forgotten
}

static void ntp_difference(void)
{
	CHECK_EQ(ntp_diff_ns(UINT64_C(5) << 32, UINT64_C(3) << 32), 2 * S);
	CHECK_EQ(ntp_diff_ns(UINT64_C(3) << 32, UINT64_C(5) << 32), -2 * S);
	CHECK_EQ(ntp_diff_ns(UINT64_C(0x180000000), UINT64_C(1) << 32), 500 * MS);
	CHECK_EQ(ntp_diff_ns(UINT64_C(1) << 32, UINT64_C(0x180000000)), -500 * MS);
	CHECK_EQ(ntp_diff_ns(UINT64_C(1) << 32, UINT64_C(0xffffffff) << 32), 2 * S); // 2036
}

// A publisher whose clock started at NTP second 3900000000; audio and video with their own bases.
#define NTP0 UINT64_C(3900000000)
struct pub {
	struct pub_clock clock;
	struct sr_map audio, video;
};

static uint64_t ntp_at(ns_t t)
{
	return ((NTP0 + (uint64_t)(t / S)) << 32) + ((uint64_t)(t % S) << 32) / S;
}

static int sr(struct pub *p, struct sr_map *m, ns_t sent, ns_t delay)
{
	uint32_t hz = m == &p->audio ? 48000 : 90000, base = m == &p->audio ? 111 : 0xfffff000;

	return sr_map_on_sr(m, &p->clock, ntp_at(sent), base + (uint32_t)(sent / MS * (hz / 1000)), hz,
			    sent + delay);
}

// Audio and video SRs delayed by 20 ms plus up to 80 ms each: what we report keeps them together.
static void lip_sync(void)
{
	struct pub p = {};
	uint32_t last = 0;

	rand_seed(2);
	for (ns_t t = 0; t < 600 * S; t += 1 * S) {
		uint32_t a, v;
		CHECK_EQ(sr(&p, &p.audio, t, (20 + rand_u32() % 80) * MS), 0);
		CHECK_EQ(sr(&p, &p.video, t + 300 * MS, (20 + rand_u32() % 80) * MS), 0);
		ns_t now = t + 700 * MS;
		CHECK_OR_RETURN(sr_map_rtp_at(&p.audio, &p.clock, now, &a) &&
				sr_map_rtp_at(&p.video, &p.clock, now, &v));
		int32_t a_ms = (int32_t)(a - 111) / 48, v_ms = (int32_t)(v - 0xfffff000) / 90;
		CHECK_OR_RETURN(abs(a_ms - v_ms) <= 1); // the same instant of the publisher
		CHECK_OR_RETURN(t < 100 * S ||
				abs(a_ms - (int32_t)(now / MS - 20)) <= 6); // settled: 20 ms of path
		CHECK_OR_RETURN(t == 0 || a - last >= 47 * 1000);           // steady
		last = a;
	}
	rand_seed(0);
}

static void slew(void)
{
	struct pub p = {};
	uint32_t before, after;

	CHECK_EQ(sr(&p, &p.audio, 0, 500 * MS), 0); // the first was slow
	CHECK(sr_map_rtp_at(&p.audio, &p.clock, 1000 * MS, &before));
	CHECK_EQ(sr(&p, &p.audio, 1 * S, 20 * MS), 0); // this was quick: 480 ms less
	CHECK(sr_map_rtp_at(&p.audio, &p.clock, 2000 * MS, &after));
	CHECK(after - before >= 48000 && after - before <= 48000 + 2 * 48); // 1 ms per second, no jump
}

static void bad_srs(void)
{
	struct pub p = {};
	struct sr_map kept;

	CHECK_EQ(sr_map_on_sr(&p.audio, &p.clock, 0, 1, 48000, 0), -EINVAL);
	CHECK(!p.audio.valid && !p.clock.started);
	CHECK_EQ(sr_map_on_sr(&p.audio, &p.clock, ntp_at(0), 1, 0, 0), -EINVAL);
	CHECK_EQ(sr(&p, &p.audio, 10 * S, 0), 0);
	kept = p.audio;
	CHECK_EQ(sr(&p, &p.audio, 5 * S, 5 * S), -EINVAL); // NTP went back
	// ten per cent off over two seconds
	CHECK_EQ(sr_map_on_sr(&p.audio, &p.clock, ntp_at(12 * S), kept.rtp + 96000 * 11 / 10, 48000, 12 * S),
		 -EINVAL);
	CHECK(p.audio.rtp == kept.rtp && p.audio.ntp == kept.ntp);
	// two per cent are tolerated
	CHECK_EQ(
		sr_map_on_sr(&p.audio, &p.clock, ntp_at(12 * S), kept.rtp + 96000 * 102 / 100, 48000, 12 * S),
		0);
}

static void no_sr(void)
{
	struct pub p = {};
	uint32_t rtp;

	CHECK(!sr_map_rtp_at(&p.audio, &p.clock, 5 * S, &rtp));
}

static void clock_was_set(void)
{
	struct pub p = {};
	uint32_t rtp;

	CHECK_EQ(sr(&p, &p.audio, 10 * S, 20 * MS), 0);
	CHECK_EQ(sr(&p, &p.video, 10 * S, 20 * MS), 0);
	for (unsigned i = 1; i <= 5; i++) { // an hour back; the RTP clock goes on
		ns_t t = (10 + i) * S;
		int rc = sr_map_on_sr(&p.audio, &p.clock, ntp_at(t) - (UINT64_C(3600) << 32),
				      111 + (uint32_t)(t / MS * 48), 48000, t + 20 * MS);
		CHECK_EQ(rc, i < 5 ? -EINVAL : 0);
	}
	CHECK(sr_map_rtp_at(&p.audio, &p.clock, 15 * S + 520 * MS, &rtp));
	CHECK_EQ(rtp, 111 + 15500 * 48);
	CHECK(!sr_map_rtp_at(&p.video, &p.clock, 16 * S, &rtp)); // its last SR is of the old clock
}

CU_TestInfo stats_tests[] = {
	{"no loss across the wrap, extended number with cycle", no_loss},
	{"RFC 3550 A.3: loss in the interval and in total, late packets count back", loss},
	{"cumulative loss is clamped to 24 bits", loss_clamped},
	{"a report without packets", nothing_received},
	{"RFC 3550 A.8: jitter converges, new timestamp bases do not count", jitter},
	{"LSR and DLSR, none when too old", lsr_dlsr},
	{"round trip as in RFC 3550 figure 2; LSR 0 and absurd DLSR are ignored", round_trip},
	{"round trip is smoothed, its minimum forgotten after 20 s", rtt_smooth},
	{"NTP differences across signs and eras", ntp_difference},
	{"audio and video stay together with 80 ms of jitter for 10 minutes", lip_sync},
	{"the clock offset moves by 1 ms per second", slew},
	{"NTP 0 or backwards and a clock 10 % off are refused", bad_srs},
	{"without a sender report there is no mapping", no_sr},
	{"a publisher whose clock was set is believed the fifth time", clock_was_set},
	CU_TEST_INFO_NULL,
};
