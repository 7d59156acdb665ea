#include <stdbool.h>
#include <stdlib.h>

#include "controlplane/http/wsframe.h"
#include "tests/unit/check.h"

// A masked client frame into out; returns its length.
static size_t frame(uint8_t *out, uint8_t first, const void *payload, size_t len)
{
	static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	size_t n = 2;

	out[0] = first;
	if (len < 126) {
		out[1] = (uint8_t)(0x80 | len);
	} else if (len < 65536) {
		out[1] = 0x80 | 126;
		out[n++] = (uint8_t)(len >> 8);
		out[n++] = (uint8_t)len;
	} else {
		out[1] = 0x80 | 127;
		for (int i = 7; i >= 0; i--)
			out[n++] = (uint8_t)((uint64_t)len >> (8 * i));
	}
	memcpy(out + n, mask, 4);
	n += 4;
	for (size_t i = 0; i < len; i++)
		out[n + i] = ((const uint8_t *)payload)[i] ^ mask[i & 3];
	return n + len;
}

static struct wsframe_event read_one(const void *bytes, size_t len, size_t max)
{
	struct wsframe_reader r;
	struct wsframe_event ev;
	uint8_t *copy = malloc(len + 1);

	memcpy(copy, bytes, len);
	wsframe_init(&r, max);
	wsframe_read(&r, copy, len, &ev);
	wsframe_fini(&r);
	free(copy);
	ev.payload = STR_NONE;
	return ev;
}

static void expect_error(const void *bytes, size_t len, uint16_t code)
{
	struct wsframe_event ev = read_one(bytes, len, 1000);

	CHECK_EQ(ev.what, WSFRAME_ERROR);
	CHECK_EQ(ev.code, code);
}

static void byte_by_byte(void)
{
	struct wsframe_reader r;
	struct wsframe_event ev;
	uint8_t buf[64];
	size_t n = frame(buf, 0x02, "Hel", 3), n_ping = frame(buf + n, 0x89, "p", 1), n_end;

	n_end = frame(buf + n + n_ping, 0x80, "lo", 2);
	wsframe_init(&r, 100);
	for (size_t i = 0; i < n + n_ping + n_end; i++) {
		CHECK_EQ(wsframe_read(&r, buf + i, 1, &ev), 1);
		if (i + 1 == n + n_ping) { // a control frame between two fragments
			CHECK_EQ(ev.what, WSFRAME_PING);
			CHECK(str_eq(ev.payload, STR("p")));
		} else if (i + 1 == n + n_ping + n_end) {
			CHECK_EQ(ev.what, WSFRAME_MESSAGE);
			CHECK(str_eq(ev.payload, STR("Hello")));
			CHECK(!ev.is_text);
		} else {
			CHECK_EQ(ev.what, WSFRAME_MORE);
		}
	}
	wsframe_fini(&r);
}

static void empty_and_large(void)
{
	struct wsframe_reader r;
	struct wsframe_event ev;
	uint8_t *big = calloc(1, 70000), *wire = malloc(70100);
	size_t n = frame(wire, 0x82, big, 70000);

	wsframe_init(&r, 70000);
	CHECK_EQ(wsframe_read(&r, wire, n, &ev), n);
	CHECK_EQ(ev.what, WSFRAME_MESSAGE);
	CHECK_EQ(ev.payload.len, 70000);
	n = frame(wire, 0x81, "", 0);
	CHECK_EQ(wsframe_read(&r, wire, n, &ev), n);
	CHECK_EQ(ev.what, WSFRAME_MESSAGE);
	CHECK(ev.is_text && ev.payload.len == 0);
	CHECK(r.message_cap <= 65536); // the large buffer was given back
	wsframe_fini(&r);
	free(big);
	free(wire);
}

static void protocol_errors(void)
{
	uint8_t buf[300];
	char long_ping[126] = {};

	expect_error("\x82\x03"
		     "abc",
		     5, 1002);                             // unmasked
	expect_error(buf, frame(buf, 0xc2, "x", 1), 1002); // RSV1
	expect_error(buf, frame(buf, 0x83, "x", 1), 1002); // opcode 3
	expect_error(buf, frame(buf, 0x8b, "x", 1), 1002); // opcode 11
	expect_error(buf, frame(buf, 0x09, "x", 1), 1002); // fragmented ping
	expect_error(buf, frame(buf, 0x89, long_ping, 126), 1002);
	expect_error(buf, frame(buf, 0x80, "x", 1), 1002); // continuation of nothing
	expect_error(buf, frame(buf, 0x88, "\x03", 1), 1002);
	expect_error(buf, frame(buf, 0x88, "\x03\xed", 2), 1002);     // 1005 may not be sent
	expect_error(buf, frame(buf, 0x88, "\x03\xe8\xff", 3), 1002); // reason is not UTF-8
}

static void message_inside_message(void)
{
	struct wsframe_reader r;
	struct wsframe_event ev;
	uint8_t buf[64];
	size_t n = frame(buf, 0x02, "a", 1);

	n += frame(buf + n, 0x82, "b", 1);
	wsframe_init(&r, 100);
	wsframe_read(&r, buf, n, &ev);
	CHECK_EQ(ev.what, WSFRAME_ERROR);
	CHECK_EQ(ev.code, 1002);
	wsframe_fini(&r);
}

static void too_large(void)
{
	struct wsframe_reader r;
	struct wsframe_event ev;
	uint8_t buf[64];
	size_t n = frame(buf, 0x02, "aaaaaaaaaa", 10);

	n += frame(buf + n, 0x80, "b", 1);
	wsframe_init(&r, 10); // the sum of the fragments counts
	wsframe_read(&r, buf, n, &ev);
	CHECK_EQ(ev.what, WSFRAME_ERROR);
	CHECK_EQ(ev.code, 1009);
	wsframe_fini(&r);
	// a declared length near 2^64 is refused before anything is reserved
	expect_error("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"
		     "mask",
		     14, 1009);
}

static void close_codes(void)
{
	uint8_t buf[64];
	struct wsframe_event ev = read_one(buf, frame(buf, 0x88, "", 0), 10);

	CHECK_EQ(ev.what, WSFRAME_CLOSE);
	CHECK_EQ(ev.code, 1005);
	ev = read_one(buf,
		      frame(buf, 0x88,
			    "\x03\xe8"
			    "bye",
			    5),
		      10);
	CHECK_EQ(ev.what, WSFRAME_CLOSE);
	CHECK_EQ(ev.code, 1000);
}

static void headers_we_write(void)
{
	uint8_t h[WS_MAX_HEADER];

	CHECK_EQ(wsframe_header(h, WS_BINARY, 125), 2);
	CHECK_MEM(h, "\x82\x7d", 2);
	CHECK_EQ(wsframe_header(h, WS_BINARY, 126), 4);
	CHECK_MEM(h, "\x82\x7e\x00\x7e", 4);
	CHECK_EQ(wsframe_header(h, WS_BINARY, 65536), 10);
	CHECK_MEM(h, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
}

static void keys(void)
{
	CHECK(wsframe_key_is_valid(STR("dGhlIHNhbXBsZSBub25jZQ==")));
	CHECK(!wsframe_key_is_valid(STR("dGhlIHNhbXBsZSBub25jZQ=")));
	CHECK(!wsframe_key_is_valid(STR("dGhlIHNhbXBsZSBub25jZQAA")));
	CHECK(!wsframe_key_is_valid(STR("dGhlIHNhbXBs ZSBub25jZ==")));
}

// Three connections of one owner that begin messages and leave them.
static void shared_memory(void)
{
	struct wsframe_share share = {.most = 384 << 10};
	size_t len = 128 << 10;
	uint8_t *zeros = calloc(1, len), *bytes = malloc(len + 32);
	struct wsframe_reader r[3];
	struct wsframe_event ev;

	for (unsigned i = 0; i < 3; i++) {
		size_t n = frame(bytes, 0x02, zeros, len);

		wsframe_init(&r[i], 1 << 20);
		r[i].share = &share;
		wsframe_read(&r[i], bytes, n - 1, &ev);
		CHECK_EQ(ev.what, WSFRAME_MORE);
	}
	CHECK_EQ(share.held, 3 * len);
	frame(bytes, 0x02, zeros, len);
	wsframe_fini(&r[0]);
	wsframe_init(&r[0], 1 << 20); // the first is replaced by one that wants twice as much
	r[0].share = &share;
	bytes[0] = 0x02;
	memcpy(bytes + 1, (uint8_t[]){0xff, 0, 0, 0, 0, 0, 8, 0, 0, 1, 2, 3, 4}, 13);
	wsframe_read(&r[0], bytes, len, &ev);
	CHECK_EQ(ev.what, WSFRAME_MORE);
	memset(bytes, 0, len);
	wsframe_read(&r[0], bytes, len, &ev);
	CHECK_EQ(ev.what, WSFRAME_ERROR);
	CHECK_EQ(ev.code, WS_CLOSE_TRY_LATER);
	for (unsigned i = 0; i < 3; i++)
		wsframe_fini(&r[i]);
	CHECK_EQ(share.held, 0);
	free(zeros);
	free(bytes);
}

CU_TestInfo wsframe_tests[] = {
	{"unfinished messages of one owner share a limit, and who goes beyond it is closed", shared_memory},
	{"fragments and a ping between them, one byte at a time", byte_by_byte},
	{"empty and 70000-byte messages; large buffers are given back", empty_and_large},
	{"unmasked, reserved bits, bad opcodes, bad control frames are 1002", protocol_errors},
	{"a message inside a fragmented one is 1002", message_inside_message},
	{"more than the limit is 1009, by the sum of the fragments", too_large},
	{"close codes", close_codes},
	{"headers of 125, 126 and 65536 bytes", headers_we_write},
	{"a key is base64 of 16 bytes", keys},
	CU_TEST_INFO_NULL,
};
