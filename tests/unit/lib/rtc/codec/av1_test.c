#include "lib/rtc/codec/av1.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>

static int parse(const char *bytes, size_t len, struct av1_agg *a)
{
	uint8_t *p = calloc(1, len ? len : 1); // exact size, for the sanitizer
	memcpy(p, bytes, len);
	int rc = av1_agg_parse(p, len, a);
	free(p);
	return rc;
}

static void aggregation(void)
{
	struct av1_agg a;

	// N, W = 2: a sequence header of 3 bytes, then a frame without length
	CHECK_EQ(parse("\x28\x03\x08\x11\x22\x30\x33", 7, &a), 0);
	CHECK(a.is_new_sequence && !a.is_continued && !a.is_unfinished);
	CHECK_EQ(a.n_elements, 2);
	CHECK_EQ(a.first_obu, AV1_OBU_SEQUENCE);
	// Z, W = 2: the end of an OBU, then a frame header
	CHECK_EQ(parse("\xa0\x02\xff\xff\x18\x33", 6, &a), 0);
	CHECK(a.is_continued);
	CHECK_EQ(a.first_obu, AV1_OBU_FRAME_HDR);
	// Z, Y, W = 1: the middle of an OBU
	CHECK_EQ(parse("\xd0\x30", 2, &a), 0);
	CHECK(a.is_continued && a.is_unfinished);
	CHECK_EQ(a.first_obu, AV1_OBU_NONE);
	// W = 0: every element has a length
	CHECK_EQ(parse("\x00\x02\x30\x01", 4, &a), 0);
	CHECK_EQ(a.first_obu, AV1_OBU_FRAME);
}

static void malformed(void)
{
	struct av1_agg a;

	CHECK_EQ(parse("", 0, &a), -ENODATA);
	CHECK_EQ(parse("\x10", 1, &a), -ENODATA);
	CHECK_EQ(parse("\x88\x30\x00", 3, &a), -EBADMSG);             // Z and N
	CHECK_EQ(parse("\x00\x05\x30\x01", 4, &a), -EBADMSG);         // overruns
	CHECK_EQ(parse("\x00\x80\x80\x80\x80\x01", 6, &a), -EBADMSG); // length of 5 bytes
	CHECK_EQ(parse("\x00\x80", 2, &a), -EBADMSG);
	CHECK_EQ(parse("\x10\x80", 2, &a), 0); // forbidden bit: no type
	CHECK_EQ(a.first_obu, AV1_OBU_NONE);
}

CU_TestInfo av1_tests[] = {
	{"the aggregation header and the first OBU of a packet", aggregation},
	{"malformed AV1 payloads claim nothing", malformed},
	CU_TEST_INFO_NULL,
};
