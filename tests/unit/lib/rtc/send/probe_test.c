#include "lib/rtc/send/probe.h"

#include "tests/unit/check.h"

#define MS NS_PER_MS

static struct probe p;
static struct probe_plan pl;
static bool is_full;

static bool want(uint32_t needed, uint32_t estimate, bool is_calm, ns_t now)
{
	return probe_want(&p,
			  &(struct probe_ask){.needed_bps = needed,
					      .estimate_bps = estimate,
					      .is_calm = is_calm,
					      .packet_bytes = 1200,
					      .now = now},
			  &pl);
}

// Send the plan at its rate; it arrives at `bps`. Loses the last n_lost packets.
static uint32_t play(double bps, unsigned n_lost, uint32_t estimate, ns_t now)
{
	unsigned n = 0;
	ns_t at = now;

	while (!probe_sent(&p, 1200, at)) {
		at += (ns_t)(1200 * 8e9 / pl.bps);
		n++;
	}
	n++;
	for (unsigned i = 0; i < n; i++) {
		struct sendhist_ack a = {.arrival_us = 7000000 + (int64_t)(i * 1200 * 8e6 / bps),
					 .n_bytes = 1200,
					 .cluster = pl.cluster,
					 .event = i + n_lost >= n ? SENDHIST_LOST : SENDHIST_ACKED};
		probe_ack(&p, &a);
	}
	return probe_result(&p, estimate, at + 100 * MS, &is_full);
}

static void plan(void)
{
	probe_init(&p, 0);
	CHECK(!want(2500000, 600000, true, 299 * MS)); // feedback first
	CHECK(!want(500000, 600000, true, 1000 * MS)); // nothing to gain
	CHECK(!want(2500000, 600000, false, 1000 * MS));
	CHECK(want(2500000, 600000, true, 1000 * MS));
	CHECK_EQ(pl.bps, 1800000); // three times what works
	CHECK_EQ(pl.n_bytes, 6000);
	CHECK(pl.cluster != 0);
	CHECK(!want(2500000, 600000, true, 1000 * MS)); // one at a time
	probe_init(&p, 0);
	CHECK(want(2500000, 2000000, true, 1000 * MS));
	CHECK_EQ(pl.bps, 3000000); // 1.2 times what is needed
}

static void results(void)
{
	uint32_t bps;

	probe_init(&p, 0);
	CHECK(want(2500000, 2000000, true, 1000 * MS));
	bps = play(3000000, 0, 2000000, 1000 * MS);
	CHECK(bps > 2900000 && bps < 3100000);
	CHECK(!is_full);
	CHECK(want(4000000, bps, true, 1500 * MS)); // at once: all of it got through
	bps = play(1000000, 0, bps, 1500 * MS);
	CHECK(bps > 930000 && bps < 970000); // 0.95 of what the link carried
	CHECK(is_full);
	CHECK(!want(4000000, 3000000, true, 6000 * MS));
	CHECK(want(4000000, 3000000, true, 7000 * MS));
	CHECK_EQ(play(3000000, 2, 3000000, 7000 * MS), 0); // below 80 % acknowledged
	CHECK(!want(4000000, 3000000, true, 14000 * MS));
	CHECK(want(4000000, 3000000, true, 15000 * MS));     // 7.5 s
	CHECK_EQ(play(12000000, 0, 3000000, 15000 * MS), 0); // arrived faster than twice the sending: absurd
}

// Media that goes out between the packets of a cluster is part of it, and takes the place of some of its bytes.
static void media_counts(void)
{
	probe_init(&p, 0);
	CHECK_EQ(probe_media(&p, 1200, 0), 0);
	CHECK_EQ(probe_due(&p), NS_NEVER);
	CHECK(want(2500000, 2000000, true, 1000 * MS));
	CHECK_EQ(probe_due(&p), 1000 * MS);
	CHECK_EQ(probe_media(&p, 1200, 1000 * MS), 0); // before its first packet
	CHECK(!probe_sent(&p, 1200, 1000 * MS));
	CHECK_EQ(probe_due(&p), 1000 * MS + 3200 * NS_PER_US); // 1200 bytes at 3 Mbit/s
	CHECK_EQ(probe_media(&p, 2400, 1001 * MS), pl.cluster);
	CHECK_EQ(probe_due(&p), 1000 * MS + 9600 * NS_PER_US);
	for (unsigned i = 0; i < 3; i++)
		CHECK(!probe_sent(&p, 1200, (1010 + 3 * i) * MS));
	CHECK(probe_sent(&p, 1200, 1020 * MS)); // five of its own
	CHECK_EQ(probe_due(&p), NS_NEVER);
	CHECK_EQ(probe_media(&p, 1200, 1021 * MS), 0);
	CHECK_EQ(p.n_probe_bytes, 6000);
	CHECK_EQ(p.n_media_bytes, 6000);
}

static void given_up(void)
{
	probe_init(&p, 0);
	CHECK(want(2500000, 600000, true, 1000 * MS));
	probe_sent(&p, 1200, 1010 * MS);
	CHECK_EQ(probe_result(&p, 600000, 1100 * MS, &is_full), 0);
	CHECK(p.is_running);
	CHECK_EQ(probe_result(&p, 600000, 2100 * MS, &is_full), 0);
	CHECK(!p.is_running);
	probe_reset(&p, 3000 * MS);
	CHECK(!want(2500000, 600000, true, 3290 * MS));
	CHECK(want(2500000, 600000, true, 4000 * MS));
}

static void volume(void)
{
	uint64_t n = 0;

	probe_init(&p, 0);
	for (ns_t now = 0; now < 600 * NS_PER_S; now += 10 * MS) {
		(void)probe_media(&p, 300, now);
		if (want(2500000, 600000, true, now)) {
			for (unsigned i = 0; i < 5; i++, n += 1200)
				probe_sent(&p, 1200, now + i * MS);
			p.backoff = 0; // never discouraged
		}
		(void)probe_result(&p, 600000, now, &is_full);
	}
	CHECK(n > 400000);
	CHECK(n <= PROBE_FREE_BYTES + 60000 * 300 / PROBE_SHARE);
}

CU_TestInfo probe_tests[] = {
	{"a probe is planned when it would pay and the link is calm", plan},
	{"a result is what got through; failures are tried again later and later", results},
	{"media between the packets of a cluster counts to it", media_counts},
	{"a cluster that nobody finishes is over after a second", given_up},
	{"probes are at most a tenth of the bytes", volume},
	CU_TEST_INFO_NULL,
};
