#include "lib/rtc/recv/timeline.h"

#include "tests/unit/check.h"

#define HZ 48000
#define FRAME 960 // 20 ms
#define MS NS_PER_MS

static struct timeline begun(uint32_t last, ns_t at)
{
	struct timeline t = {};

	timeline_newest(&t, last, at);
	return t;
}

static void first_packet_is_as_it_is(void)
{
	struct timeline t = {};

	timeline_rebase(&t, 12345, HZ, 20, 20, 7 * NS_PER_S);
	CHECK_EQ(t.offset, 0);
}

static void other_stream_goes_on_in_whole_frames(void)
{
	struct timeline t = begun(1000, NS_PER_S);

	timeline_rebase(&t, 0xfffffff0, HZ, 20, 20, NS_PER_S + 70 * MS);
	CHECK_EQ(0xfffffff0 + t.offset, 1000 + 3 * FRAME);
	timeline_rebase(&t, 5, HZ, 20, 20, NS_PER_S + 3 * MS); // at least one
	CHECK_EQ(5 + t.offset, 1000 + FRAME);
	timeline_rebase(&t, 5, 0, 20, 20, NS_PER_S + 90 * MS); // no clock: nothing to count with
	CHECK_EQ(5 + t.offset, 1000 + FRAME);
	timeline_rebase(&t, 5, 90000, 33, 1, NS_PER_S + 71 * MS); // a fine grid
	CHECK_EQ(5 + t.offset, 1000 + 71 * 90);
	timeline_rebase(&t, 5, 90000, 33, 1, NS_PER_S + 2 * MS);
	CHECK_EQ(5 + t.offset, 1000 + 33 * 90);
}

static void long_pauses_do_not_overflow(void)
{
	struct timeline t = begun(7, NS_PER_S);
	ns_t day = 86400 * NS_PER_S;

	timeline_rebase(&t, 0, 90000, 33, 33, NS_PER_S + day);
	// 33 ms into a day of 86400 s: 2618181 times
	CHECK_EQ(t.offset, (uint32_t)(7 + UINT64_C(2618181) * 33 * 90));
}

static void leaving_real_time_is_noticed(void)
{
	struct timeline t = begun(100 * FRAME, NS_PER_S);
	ns_t later = NS_PER_S + 5 * NS_PER_S;
	uint32_t at_pace = 100 * FRAME + 5 * HZ;

	CHECK(!timeline_has_left(&t, at_pace, HZ, later));
	CHECK(!timeline_has_left(&t, at_pace + HZ, HZ, later));
	CHECK(timeline_has_left(&t, at_pace + HZ + 1, HZ, later));
	CHECK(!timeline_has_left(&t, at_pace - HZ, HZ, later));
	CHECK(timeline_has_left(&t, at_pace - HZ - 1, HZ, later));
	CHECK(timeline_has_left(&t, 100 * FRAME, HZ, NS_PER_S + MS)); // stands still
	CHECK(timeline_has_left(&t, 99 * FRAME, HZ, NS_PER_S + MS));
	CHECK(!timeline_has_left(&t, 101 * FRAME, HZ, NS_PER_S + 20 * MS));
}

static void quiet_after_half_a_second(void)
{
	struct timeline t = begun(1, NS_PER_S);

	CHECK(!timeline_is_quiet(&t, NS_PER_S + TIMELINE_QUIET_NS));
	CHECK(timeline_is_quiet(&t, NS_PER_S + TIMELINE_QUIET_NS + 1));
}

CU_TestInfo timeline_tests[] = {
	{"a first packet is as it is", first_packet_is_as_it_is},
	{"another stream goes on in whole frames", other_stream_goes_on_in_whole_frames},
	{"long pauses do not overflow", long_pauses_do_not_overflow},
	{"leaving real time is noticed", leaving_real_time_is_noticed},
	{"quiet after half a second", quiet_after_half_a_second},
	CU_TEST_INFO_NULL,
};
