#include "tools/sluicegun/plan.h"

#include "tests/unit/check.h"

#include "tools/sluicegun/mark.h"

static void test_voice(void)
{
	struct rng r = {1};
	unsigned min = 1000, max = 0, n_small = 0;
	double sum = 0;

	for (unsigned i = 0; i < 100000; i++) {
		unsigned n = plan_voice_bytes(&r);

		min = n < min ? n : min;
		max = n > max ? n : max;
		n_small += n < 60;
		sum += n;
	}
	CHECK(min >= MARK_LEN && max <= PLAN_MAX_VOICE);
	CHECK(sum / 100000 > 165 && sum / 100000 < 173);
	CHECK(n_small > 6500 && n_small < 7500);
}

// Packets of payload and 64 bytes around each, one key frame and the rest in three seconds.
static double wire_bps(unsigned bps, struct rng *r)
{
	unsigned frames = PLAN_KEY_NS / PLAN_FRAME_NS, n = 200;
	double bytes = 0;

	for (unsigned i = 0; i < n * frames; i++) {
		unsigned payload = plan_frame_bytes(r, bps, i % frames == 0);
		unsigned packets = (payload + PLAN_MAX_PAYLOAD - 1) / PLAN_MAX_PAYLOAD;

		bytes += payload + 64.0 * packets;
	}
	return bytes * 8 / (n * (double)PLAN_KEY_NS / NS_PER_S);
}

static void test_screen(void)
{
	struct rng r = {2};
	double bps = wire_bps(PLAN_SCREEN_BPS, &r), low = wire_bps(500000, &r);

	CHECK(bps > 0.97 * PLAN_SCREEN_BPS && bps < 1.03 * PLAN_SCREEN_BPS);
	CHECK(low > 0.94 * 500000 && low < 1.08 * 500000);
}

static void test_seed(void)
{
	struct rng a = {77}, b = {77}, c = {78};
	bool same = true, other = true;

	for (unsigned i = 0; i < 100; i++) {
		uint64_t x = rng_next(&a);

		same = same && x == rng_next(&b);
		other = other && x == rng_next(&c);
	}
	CHECK(same);
	CHECK(!other);
}

static void test_waiting(void)
{
	struct rng r = {3};
	double sum = 0;

	for (unsigned i = 0; i < 100000; i++)
		sum += rng_exponential(&r, 60);
	CHECK(sum / 100000 > 59 && sum / 100000 < 61);
	for (unsigned i = 0; i < 10000; i++)
		CHECK(rng_below(&r, 3) < 3);
}

static void test_levels(void)
{
	struct rng r = {4};
	struct spurt s = {};
	unsigned talking = 0, n = 50 * 600;

	for (unsigned i = 0; i < n; i++) {
		uint8_t level = plan_level(&s, &r, i * PLAN_VOICE_NS);

		CHECK((level >= 25 && level <= 50) || (level >= 90 && level <= 127));
		talking += level <= 50;
	}
	// 2.1 of 3.4 seconds
	CHECK(talking > n * 55 / 100 && talking < n * 69 / 100);
}

CU_TestInfo plan_tests[] = {
	{"voice has the sizes of the sample speech", test_voice},
	{"a screen takes its bit rate on the wire, key frames included", test_screen},
	{"one seed gives one load", test_seed},
	{"waiting times have the mean asked for", test_waiting},
	{"a speaker talks about three fifths of the time", test_levels},
	CU_TEST_INFO_NULL,
};
