#include "dataplane/core/overload.h"

#include "tests/unit/check.h"

#define STEP (250 * NS_PER_MS)

static struct overload o;
static uint64_t n_busy, n_idle;
static ns_t now;

static void begin(void)
{
	overload_init(&o, 100 * NS_PER_MS);
	n_busy = n_idle = 0;
	now = 7 * NS_PER_S;
	(void)overload_measure(&o, 0, 0, now);
}

static void run(unsigned percent, ns_t age, ns_t time)
{
	for (ns_t end = now + time; now < end;) {
		now += STEP;
		n_busy += percent * 10000;
		n_idle += (100 - percent) * 10000;
		overload_age(&o, age / 2);
		overload_age(&o, age);
		overload_age(&o, age / 3);
		(void)overload_measure(&o, n_busy, n_idle, now);
	}
}

// A ramp and back.
static void stages_in_order(void)
{
	unsigned seen = 0;

	begin();
	for (unsigned percent = 0; percent <= 100; percent++) {
		uint8_t before = o.stage;
		run(percent, 0, 2 * NS_PER_S);
		CHECK(o.stage == before || o.stage == before + 1);
		seen |= 1u << o.stage;
		if (percent == 69)
			CHECK_EQ(o.stage, OVERLOAD_NONE);
		if (percent == 78)
			CHECK_EQ(o.stage, OVERLOAD_PROBES);
	}
	CHECK_EQ(seen, 0xf);
	CHECK_EQ(o.stage, OVERLOAD_SCREENS); // a busy core alone does not end video
	run(80, 0, 60 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_SCREENS); // 15 % below 90 is 75
	run(70, 0, 30 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_CAMERAS);
	run(10, 0, 30 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_NONE);
}

static void short_peaks(void)
{
	begin();
	run(20, 0, 5 * NS_PER_S);
	for (unsigned i = 0; i < 20; i++) {
		run(100, 0, STEP);
		run(20, 90 * NS_PER_MS, STEP);
		run(20, 0, 3 * STEP);
	}
	CHECK_EQ(o.stage, OVERLOAD_NONE);
}

static void waiting_packets(void)
{
	begin();
	run(10, 60 * NS_PER_MS, 10 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_SCREENS);
	run(10, 150 * NS_PER_MS, 1500 * NS_PER_MS);
	CHECK_EQ(o.stage, OVERLOAD_VIDEO);
	run(10, 0, 4 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_VIDEO);
	run(10, 150 * NS_PER_MS, 3 * NS_PER_S); // without video they wait all the same
	CHECK_EQ(o.stage, OVERLOAD_VOICES);
	run(10, 150 * NS_PER_MS, 60 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_VOICES);
	run(10, 0, 4 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_VOICES);
	run(10, 0, 2 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_VIDEO);
	run(10, 0, 30 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_NONE);
}

static void full_ports(void)
{
	begin();
	for (unsigned i = 0; i < 8; i++) {
		overload_refused(&o);
		run(10, 0, STEP);
	}
	CHECK_EQ(o.stage, OVERLOAD_PROBES);
	for (unsigned i = 0; i < 100; i++) { // however long
		overload_refused(&o);
		run(10, 0, STEP);
	}
	CHECK_EQ(o.stage, OVERLOAD_PROBES);
	run(10, 0, 4 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_PROBES);
	run(10, 0, 2 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_NONE);
	overload_refused(&o); // once
	run(10, 0, 5 * NS_PER_S);
	CHECK_EQ(o.stage, OVERLOAD_NONE);
}

// Cycle counters that jump, a clock that stands: nothing but the stage moves, and by one.
static void odd_counts(void)
{
	begin();
	CHECK(!overload_measure(&o, 0, 0, now));
	CHECK(!overload_measure(&o, UINT64_MAX, UINT64_MAX, now));
	for (unsigned i = 0; i < 1000; i++) {
		uint8_t before = o.stage;
		now += STEP;
		(void)overload_measure(&o, UINT64_MAX / 1000 * i, i * i, now);
		CHECK(o.stage <= before + 1 && o.busy <= 1000);
	}
}

CU_TestInfo overload_tests[] = {
	{"stages come in order, each after a second, and go with hysteresis", stages_in_order},
	{"short peaks of load are no overload", short_peaks},
	{"packets that wait are overload, whatever the load", waiting_packets},
	{"a port that does not take all ends probes, and nothing else", full_ports},
	{"counters that jump move the stage by one at most", odd_counts},
	CU_TEST_INFO_NULL,
};
