#include "lib/rtc/wire/rtp.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/base/rand.h"

static void serial_arithmetic(void)
{
	static const struct {
		uint16_t a, b;
		int want;
	} t[] = {{1, 0, 1},           {0, 1, -1},           {0, 65535, 1},        {65535, 0, -1},
		 {0x7fff, 0, 0x7fff}, {0x8000, 0, -0x8000}, {0x8001, 0, -0x7fff}, {5, 5, 0}};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		CHECK_EQ(seq16_diff(t[i].a, t[i].b), t[i].want);
	CHECK_EQ(seq32_extend(0x1ffff, 0), 0x20000);
	CHECK_EQ(seq32_extend(0x20000, 0xffff), 0x1ffff);
	CHECK_EQ(seq32_extend(0, 0xffff), 0xffffffff);
}

static void extend_64(void)
{
	uint64_t v = 7;

	CHECK(!seq64_extend(3, 0xfff0, &v)); // would be negative
	CHECK_EQ(v, 7);
	CHECK(seq64_extend(0xffff, 3, &v));
	CHECK_EQ(v, 0x10003);
	CHECK(seq64_extend(0x10003, 0xffff, &v));
	CHECK_EQ(v, 0xffff);
}

static void parse_plain(void)
{
	static const uint8_t p[] = {0x82, 0xef, 0x12, 0x34, 1, 2, 3, 4, 0xa, 0xb, 0xc,
				    0xd,  0,    0,    0,    1, 0, 0, 0, 2,   'x', 'y'};
	struct rtp_view v;

	CHECK_EQ(rtp_parse(p, sizeof(p), 0, &v), 0);
	CHECK_EQ(v.pt, 111);
	CHECK(v.marker);
	CHECK_EQ(v.seq, 0x1234);
	CHECK_EQ(v.ts, 0x01020304);
	CHECK_EQ(v.ssrc, 0x0a0b0c0d);
	CHECK_EQ(v.n_csrc, 2);
	CHECK_EQ(v.hdr_len, 20);
	CHECK_EQ(v.payload_len, 2);
	CHECK_EQ(v.ext_profile, 0);
	CHECK_EQ(rtp_parse(p, sizeof(p), 2, &v), 0);
	CHECK_EQ(v.payload_len, 0);
	CHECK_EQ(rtp_parse(p, sizeof(p), 3, &v), -ENODATA);
}

static void parse_truncated(void)
{
	uint8_t p[100] = {0xb3, 96}; // P, X, three CSRCs
	struct rtp_view v;

	p[24] = 0xbe, p[25] = 0xde, p[27] = 2; // header 12 + 12 + 4 + 8 = 36
	for (size_t len = 0; len < 36 + 16; len++) {
		uint8_t *exact = malloc(len ? len : 1);
		memcpy(exact, p, len);
		CHECK_EQ(rtp_parse(exact, len, 16, &v), -ENODATA);
		free(exact);
	}
	CHECK_EQ(rtp_parse(p, 36 + 16, 16, &v), 0);
	CHECK_EQ(v.payload_len, 0);
	CHECK_EQ(v.ext_off, 28);
	CHECK_EQ(v.ext_len, 8);
	CHECK(v.has_pad);
}

static void parse_impossible(void)
{
	uint8_t p[12] = {0x8f, 111}; // CC 15
	uint8_t x[20] = {0x90, 111, [12] = 0xbe, 0xde, 0xff, 0xff};
	struct rtp_view v;

	CHECK_EQ(rtp_parse(p, sizeof(p), 0, &v), -ENODATA);
	CHECK_EQ(rtp_parse(x, sizeof(x), 0, &v), -ENODATA);
	p[0] = 0x40;
	CHECK_EQ(rtp_parse(p, sizeof(p), 0, &v), -EBADMSG);
}

static void padding(void)
{
	uint8_t p[8] = {0};

	CHECK_EQ(rtp_pad_len(p, 8), -EBADMSG); // count 0
	p[7] = 9;
	CHECK_EQ(rtp_pad_len(p, 8), -EBADMSG); // more than there is
	p[7] = 8;
	CHECK_EQ(rtp_pad_len(p, 8), 8); // padding only
	p[7] = 1;
	CHECK_EQ(rtp_pad_len(p, 8), 1);
	CHECK_EQ(rtp_pad_len(p, 0), -EBADMSG);
}

// A packet with an extension block of these bytes (length a multiple of 4), at its exact size.
static uint8_t *packet_with(uint16_t profile, const uint8_t *block, size_t len, struct rtp_view *v)
{
	uint8_t *p = malloc(16 + len);

	rtp_write(p, true, false, 111, 1, 2, 3);
	be16_put(p + 12, profile);
	be16_put(p + 14, (uint16_t)(len / 4));
	memcpy(p + 16, block, len);
	CHECK_EQ(rtp_parse(p, 16 + len, 0, v), 0);
	return p;
}

// Ids found in order, as text "id:len id:len", or "bad".
static const char *walk(uint16_t profile, const uint8_t *block, size_t len)
{
	static char text[256];
	struct rtp_ext_iter it;
	struct rtp_ext e;
	struct rtp_view v;
	uint8_t *p = packet_with(profile, block, len, &v);
	size_t n = 0;
	volatile uint8_t byte;

	text[0] = '\0';
	if (rtp_ext_begin(&it, p, &v) < 0)
		n = (size_t)snprintf(text, sizeof(text), "bad");
	while (rtp_ext_next(&it, &e)) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u:%u", n ? " " : "", e.id, e.len);
		for (unsigned i = 0; i < e.len; i++)
			byte = e.data[i]; // ASan: in bounds
		CHECK(e.data == p + e.off);
	}
	(void)byte;
	free(p);
	return text;
}
#define WALK(profile, ...) \
	walk(profile, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void one_byte_form(void)
{
	CHECK_STR(WALK(0xbede, 0x10, 0xaa, 0x31, 1, 2, 0, 0, 0), "1:1 3:2");
	CHECK_STR(WALK(0xbede, 0, 0, 0, 0), "");
	CHECK_STR(WALK(0xbede, 0, 0, 0x20, 0x7f), "2:1");
	CHECK_STR(WALK(0xbede, 0x10, 0xaa, 0xf0, 0x20), "1:1"); // id 15 ends the walk
	CHECK_STR(WALK(0xbede, 0xf3, 0xff, 0xff, 0xff), "");
	CHECK_STR(WALK(0xbede, 0x10, 0xaa, 0x23, 0xff), "bad"); // 4 bytes announced, 1 there
	CHECK_STR(WALK(0xbede, 0x10, 0xaa, 0, 0x20), "bad");
	CHECK_STR(WALK(0xbede, 0xe0, 0x01, 0, 0), "14:1");
	// id 0 with a length is no padding byte but an element nobody may use
	CHECK_STR(WALK(0xbede, 0x00, 0x01, 0x10, 0xaa, 0x10, 0xbb, 0, 0), "0:2 1:1");
}

static void two_byte_form(void)
{
	CHECK_STR(WALK(0x1000, 1, 0, 2, 1, 0xaa, 0, 0, 0), "1:0 2:1"); // length 0 is an element
	CHECK_STR(WALK(0x100f, 15, 1, 9, 0), "15:1");                  // 15 is an id like any other
	CHECK_STR(WALK(0x1001, 255, 2, 1, 2), "255:2");
	CHECK_STR(WALK(0x1000, 0, 0, 0, 7), "bad"); // id without a length byte
	CHECK_STR(WALK(0x1000, 5, 3, 1, 2), "bad");
	CHECK_STR(WALK(0x1000, 5, 255, 1, 2), "bad");
	CHECK_STR(WALK(0x1000, 1, 0, 0, 0), "1:0");
	CHECK_STR(WALK(0x1010, 1, 1, 2, 0), ""); // unknown profile: no elements
	CHECK_STR(WALK(0xabac, 0x10, 1, 2, 3), "");
}

static const uint8_t ids[RTP_N_EXTS] = {
	[RTP_EXT_RRID] = 11, [RTP_EXT_DD] = 12,  [RTP_EXT_MID] = 4,          [RTP_EXT_RID] = 10,
	[RTP_EXT_LEVEL] = 1, [RTP_EXT_TWCC] = 3, [RTP_EXT_ABS_SEND_TIME] = 2};

static void read_known(void)
{
	static const uint8_t block[] = {0xb0, 'r',  0xc0, 1,    0x10, 0x85, 0x22, 1, 2,    3,    0x31, 0xab,
					0xcd, 0x40, '0',  0xa0, 'h',  0x50, 1,    0, 0x10, 0x11, 0,    0};
	struct rtp_exts x;
	struct rtp_view v;
	uint8_t *p = packet_with(0xbede, block, sizeof(block), &v);

	CHECK_EQ(rtp_ext_read(p, &v, ids, &x), 0);
	CHECK(x.has_level && x.is_voice && x.level == 5); // the first of a kind counts
	CHECK(x.has_twcc && x.twcc == 0xabcd);
	CHECK(x.has_abs_send_time && x.abs_send_time == 0x010203);
	CHECK(str_eq(x.mid, STR("0")) && str_eq(x.rid, STR("h")) && str_eq(x.rrid, STR("r")));
	free(p);
}

static void read_wrong_length(void)
{
	static const uint8_t block[] = {0x11, 0x05, 0x05, 0x30, 0x01, 0, 0, 0}; // level of 2 bytes, TWCC of 1
	struct rtp_exts x;
	struct rtp_view v;
	uint8_t *p = packet_with(0xbede, block, sizeof(block), &v);

	CHECK_EQ(rtp_ext_read(p, &v, ids, &x), 0);
	CHECK(!x.has_level && !x.has_twcc);
	free(p);
}

static void read_malformed(void)
{
	static const uint8_t block[] = {0x10, 0x05, 0x37, 0x01};
	struct rtp_exts x;
	struct rtp_view v;
	uint8_t *p = packet_with(0xbede, block, sizeof(block), &v);

	CHECK_EQ(rtp_ext_read(p, &v, ids, &x), -EBADMSG);
	CHECK(!x.has_level); // nothing of a malformed block is used
	free(p);
}

static void write_block(void)
{
	uint8_t level = 0x7f, out[16];
	struct rtp_ext e[] = {{.id = 6, .data = &level, .len = 1},
			      {.id = 5, .len = 2},
			      {.id = 15, .len = 2},
			      {.id = 0, .len = 1}};
	static const uint8_t want[] = {0xbe, 0xde, 0, 2, 0x60, 0x7f, 0x51, 0, 0, 0, 0, 0};

	CHECK_EQ(rtp_ext_write(out, sizeof(out), e, 4), 12);
	CHECK_MEM(out, want, sizeof(want));
	CHECK_EQ(e[0].off, 5);
	CHECK_EQ(e[1].off, 7);
	CHECK_EQ(e[2].off, 0);
	CHECK_EQ(rtp_ext_write(out, 11, e, 4), -ENOSPC);
	CHECK_EQ(rtp_ext_write(out, 8, e, 4), -ENOSPC);
	CHECK_EQ(rtp_ext_write(out, sizeof(out), e + 2, 2), 0); // nothing left to carry
}

// Whatever is written is read back the same; whatever random bytes are read stays in bounds (ASan).
static void write_then_read(void)
{
	rand_seed(11);
	for (unsigned round = 0; round < 5000; round++) {
		uint8_t data[4][16], out[128];
		struct rtp_ext e[4], got;
		unsigned n = rand_u32() % 5;
		struct rtp_ext_iter it;
		int len;

		rand_bytes(data, sizeof(data));
		for (unsigned i = 0; i < n; i++)
			e[i] = (struct rtp_ext){.id = (uint8_t)(1 + rand_u32() % 14),
						.len = (uint8_t)(1 + rand_u32() % 16),
						.data = data[i]};
		rtp_write(out, n > 0, false, 1, 2, 3, 4);
		len = rtp_ext_write(out + 12, sizeof(out) - 12, e, n);
		CHECK_OR_RETURN(len >= 0 && len % 4 == 0);
		struct rtp_view v;
		CHECK_EQ(rtp_parse(out, (size_t)(12 + len), 0, &v), 0);
		CHECK_EQ(rtp_ext_begin(&it, out, &v), 0);
		for (unsigned i = 0; i < n; i++) {
			CHECK_OR_RETURN(rtp_ext_next(&it, &got));
			CHECK(got.id == e[i].id && got.len == e[i].len && got.off == e[i].off + 12);
			CHECK_MEM(got.data, data[i], got.len);
		}
		CHECK(!rtp_ext_next(&it, &got));
	}
	rand_seed(0);
}

CU_TestInfo rtp_tests[] = {
	{"16- and 32-bit serial numbers compare on a circle", serial_arithmetic},
	{"extending to 64 bits refuses to go below zero", extend_64},
	{"a header with CSRCs is read", parse_plain},
	{"every truncation of header and tag is refused without reading on", parse_truncated},
	{"15 CSRCs in 12 bytes and an extension of 65535 words are refused", parse_impossible},
	{"padding of 0, too much, and exactly all", padding},
	{"one-byte extensions: padding, id 15, overrun", one_byte_form},
	{"two-byte extensions: length 0, id 15, overrun, unknown form", two_byte_form},
	{"known extensions are read, the first of a kind counts", read_known},
	{"an extension of the wrong length is ignored alone", read_wrong_length},
	{"a malformed block yields nothing", read_malformed},
	{"a block is written with slots and padding", write_block},
	{"5000 random blocks are read back as written", write_then_read},
	CU_TEST_INFO_NULL,
};
