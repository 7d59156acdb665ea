#include "tests/unit/check.h"

#include "lib/base/buf.h"

static void test_reads_in_network_order(void)
{
	const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	struct rbuf r = rbuf_of(bytes, sizeof(bytes));

	CHECK_EQ(rbuf_u8(&r), 1);
	CHECK_EQ(rbuf_u16(&r), 0x0203);
	CHECK_EQ(rbuf_u32(&r), 0x04050607);
	CHECK_EQ(rbuf_u64(&r), 0x08090a0b0c0d0e0f);
	CHECK_EQ(rbuf_left(&r), 0);
	CHECK(!r.bad);
	CHECK_EQ(be24_get(bytes), 0x010203);
}

static void test_reading_past_the_end_is_sticky(void)
{
	const uint8_t bytes[] = {1, 2, 3};
	struct rbuf r = rbuf_of(bytes, sizeof(bytes));

	CHECK_EQ(rbuf_u16(&r), 0x0102);
	CHECK_EQ(rbuf_u16(&r), 0);
	CHECK(r.bad);
	CHECK_EQ(rbuf_u8(&r), 0); // although one byte was left before
	CHECK(rbuf_take(&r, 0) == NULL);
}

static void test_a_write_that_does_not_fit_leaves_nothing(void)
{
	uint8_t bytes[5] = {0};
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));

	wbuf_u16(&w, 0x0102);
	wbuf_u32(&w, 0xffffffff);
	CHECK(w.full);
	wbuf_u8(&w, 9); // would fit, but the error is sticky
	CHECK_EQ(wbuf_len(&w), 2);
	CHECK_MEM(bytes, "\1\2\0\0\0", 5);
}

static void test_printf_writes_no_terminator(void)
{
	char bytes[8] = "xxxxxxx";
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));

	wbuf_printf(&w, "%s-%d", "ab", 12);
	CHECK_EQ(wbuf_len(&w), 5);
	wbuf_printf(&w, "%s", "too long");
	CHECK(w.full);
	CHECK_EQ(wbuf_len(&w), 5);
	CHECK_MEM(bytes, "ab-12", 5);
}

static void test_what_was_written_reads_back(void)
{
	uint8_t bytes[32];
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));
	struct rbuf r;

	wbuf_u8(&w, 0xfe);
	wbuf_u16(&w, 0xfedc);
	wbuf_u32(&w, 0xfedcba98);
	wbuf_u64(&w, 0xfedcba9876543210);
	wbuf_bytes(&w, "\xab\xcd\xef", 3);
	r = rbuf_of(bytes, wbuf_len(&w));
	CHECK_EQ(rbuf_u8(&r), 0xfe);
	CHECK_EQ(rbuf_u16(&r), 0xfedc);
	CHECK_EQ(rbuf_u32(&r), 0xfedcba98);
	CHECK(rbuf_u64(&r) == 0xfedcba9876543210);
	CHECK_EQ(be24_get(rbuf_take(&r, 3)), 0xabcdef);
	CHECK(!r.bad && rbuf_left(&r) == 0);
}

CU_TestInfo buf_tests[] = {
	{"numbers are read in network order", test_reads_in_network_order},
	{"reading past the end yields zeros from then on", test_reading_past_the_end_is_sticky},
	{"a write that does not fit leaves nothing partial", test_a_write_that_does_not_fit_leaves_nothing},
	{"printf writes no terminator and never overflows", test_printf_writes_no_terminator},
	{"what was written reads back", test_what_was_written_reads_back},
	CU_TEST_INFO_NULL,
};
