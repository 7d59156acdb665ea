#include "tools/sluicegun/mark.h"

#include "tests/unit/check.h"

static enum track_verdict push(struct track *t, uint32_t count, uint8_t generation)
{
	struct mark m = {.count = count, .generation = generation};

	return track_add(t, &m);
}

static void test_round_trip(void)
{
	uint8_t payload[40] = {};
	struct mark in = {.stream = 70001, .count = 0xfffffffe, .sent_us = 0xfedcba987654, .generation = 200},
		    out;

	mark_write(payload + sizeof(payload) - MARK_LEN, &in);
	CHECK_OR_RETURN(mark_read(payload, sizeof(payload), &out));
	CHECK_EQ(out.stream, in.stream);
	CHECK_EQ(out.count, in.count);
	CHECK_EQ(out.sent_us, in.sent_us);
	CHECK_EQ(out.generation, in.generation);
}

static void test_foreign(void)
{
	uint8_t payload[MARK_LEN] = {};
	struct mark m = {};

	CHECK(!mark_read(payload, sizeof(payload), &m));
	mark_write(payload, &m);
	CHECK(mark_read(payload, sizeof(payload), &m));
	CHECK(!mark_read(payload + 1, sizeof(payload) - 1, &m));
	CHECK(!mark_read(payload, 0, &m));
}

static void test_latency(void)
{
	struct mark m = {.sent_us = (UINT64_C(1) << 48) - 5};

	CHECK_EQ(mark_latency_us(&m, (UINT64_C(1) << 48) + 10), 15);
	CHECK_EQ(mark_latency_us(&m, (UINT64_C(1) << 48) - 6), 0);
}

static void test_whole_stream(void)
{
	struct track t = {};

	for (uint32_t i = 100; i < 10000; i++)
		CHECK_EQ(push(&t, i, 0), TRACK_NEW);
	CHECK_EQ(track_lost(&t), 0);
	CHECK_EQ(track_lost_until(&t, 10000), 0);
	CHECK_EQ(track_lost_until(&t, 10003), 3);
	CHECK_EQ(t.n, 9900);
}

static void test_gap_late_dup(void)
{
	struct track t = {};

	push(&t, 7, 0);
	CHECK_EQ(push(&t, 10, 0), TRACK_NEW);
	CHECK_EQ(track_lost(&t), 2);
	CHECK_EQ(push(&t, 8, 0), TRACK_LATE);
	CHECK_EQ(push(&t, 8, 0), TRACK_DUP);
	CHECK_EQ(push(&t, 10, 0), TRACK_DUP);
	CHECK_EQ(track_lost(&t), 1);
	CHECK_EQ(push(&t, 5, 0), TRACK_LATE); // swapped at the very beginning
	CHECK_EQ(track_lost(&t), 2);          // 6 and 9
}

static void test_window(void)
{
	struct track t = {};

	push(&t, 0, 0);
	CHECK_EQ(push(&t, TRACK_WINDOW - 1, 0), TRACK_NEW);
	CHECK_EQ(push(&t, 1, 0), TRACK_LATE);
	CHECK_EQ(push(&t, TRACK_WINDOW + 1, 0), TRACK_NEW);
	CHECK_EQ(push(&t, 1, 0), TRACK_OLD);
	CHECK_EQ(push(&t, 2, 0), TRACK_LATE);
	CHECK_EQ(push(&t, 100 * TRACK_WINDOW, 0), TRACK_NEW);
	CHECK_EQ(push(&t, 100 * TRACK_WINDOW - 1, 0), TRACK_LATE);
	CHECK_EQ(track_lost(&t), 100 * TRACK_WINDOW + 1 - 7);
}

static void test_generation(void)
{
	struct track t = {};

	push(&t, 50, 255);
	push(&t, 53, 255);
	CHECK_EQ(push(&t, 0, 0), TRACK_NEW); // 0 follows 255
	CHECK_EQ(push(&t, 52, 255), TRACK_OLD);
	CHECK_EQ(track_lost(&t), 2);
	CHECK_EQ(track_lost_until(&t, 2), 3);
}

static void test_never_started(void)
{
	struct track t = {};

	CHECK_EQ(track_lost(&t), 0);
	CHECK_EQ(track_lost_until(&t, 1000), 0);
}

CU_TestInfo mark_tests[] = {
	{"a mark is read as it was written", test_round_trip},
	{"what carries no mark is not taken for one", test_foreign},
	{"latency survives the wrap of the clock and is never negative", test_latency},
	{"a whole stream has no loss, its unsent end counts", test_whole_stream},
	{"gaps, late packets and duplicates are told apart", test_gap_late_dup},
	{"what is older than the window is not delivered", test_window},
	{"a sender that rejoined starts a new count", test_generation},
	{"a stream never heard has no loss of its own", test_never_started},
	CU_TEST_INFO_NULL,
};
