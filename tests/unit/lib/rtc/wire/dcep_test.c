#include "lib/rtc/wire/dcep.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

// What Chromium sends for createDataChannel("calls-dc").
static const uint8_t calls_dc[] = {3, 0, 0,   0,   0,   0,   0,   0,   0,   8,
				   0, 0, 'c', 'a', 'l', 'l', 's', '-', 'd', 'c'};

static void open_message(void)
{
	struct dcep_open o;

	CHECK_EQ(dcep_parse(calls_dc, sizeof(calls_dc), &o), DCEP_OPEN);
	CHECK_EQ(o.channel, DCEP_RELIABLE);
	CHECK(str_eq(o.label, STR("calls-dc")));
	CHECK_EQ(o.protocol.len, 0);
}

static void truncated(void)
{
	struct dcep_open o;

	for (size_t len = 0; len < sizeof(calls_dc); len++) {
		uint8_t *p = malloc(len ? len : 1);
		memcpy(p, calls_dc, len);
		CHECK_EQ(dcep_parse(p, len, &o), -ENODATA);
		free(p);
	}
}

static void strange(void)
{
	uint8_t p[32] = {2};
	struct dcep_open o;

	CHECK_EQ(dcep_parse(p, 1, &o), DCEP_ACK);
	p[0] = 1;
	CHECK_EQ(dcep_parse(p, 12, &o), -ENOTSUP);
	p[0] = 3, p[1] = 0x03; // no such channel type
	CHECK_EQ(dcep_parse(p, 12, &o), -ENOTSUP);
	p[1] = 0x82; // unordered, timed
	CHECK_EQ(dcep_parse(p, 12, &o), DCEP_OPEN);
	p[8] = 0xff, p[9] = 0xff; // label longer than the message
	CHECK_EQ(dcep_parse(p, 32, &o), -ENODATA);
}

static void written(void)
{
	uint8_t buf[64];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	struct dcep_open o = {.label = STR("calls-dc")};

	dcep_write_open(&w, &o);
	CHECK_EQ(wbuf_len(&w), sizeof(calls_dc));
	CHECK_MEM(buf, calls_dc, sizeof(calls_dc));
	w = wbuf_of(buf, sizeof(calls_dc) - 1);
	dcep_write_open(&w, &o);
	CHECK(w.full && wbuf_len(&w) == 0);
	w = wbuf_of(buf, 1);
	dcep_write_ack(&w);
	CHECK(!w.full && buf[0] == 2);
}

CU_TestInfo dcep_tests[] = {
	{"the OPEN of calls-dc is read", open_message},
	{"every truncation is refused", truncated},
	{"unknown messages, channel types and impossible lengths are refused", strange},
	{"OPEN and ACK are written, or nothing when they do not fit", written},
	CU_TEST_INFO_NULL,
};
