#include "controlplane/session/signal/dcmsg.h"

#include <math.h>
#include <stdlib.h>
#include <zlib.h>

#include "lib/base/err.h"
#include "tests/unit/check.h"

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static void reads_types(void)
{
	static const struct {
		uint8_t data[12];
		size_t len;
		int rc;
		unsigned type;
	} cases[] = {
		{{0x01}, 1, 0, DCMSG_PING},
		{{0xcc, 0x01}, 2, 0, DCMSG_PING},
		{{0xcd, 0x00, 0x01}, 3, 0, DCMSG_PING},
		{{0xd0, 0x07}, 2, 0, DCMSG_LOCK},
		{{0xd3, 0, 0, 0, 0, 0, 0, 0, 8}, 9, 0, DCMSG_UNLOCK},
		{{0xcf, 0xff, 0, 0, 0, 0, 0, 0, 8}, 9, 0, DCMSG_UNLOCK}, // modulo 256
		{{0x07, 0xff, 0xff}, 3, 0, DCMSG_LOCK},                  // what follows does not matter
		{{'p', 'i', 'n', 'g'}, 4, 0, DCMSG_TEXT_PING},
		{{'p', 'i', 'n'}, 3, -ENOTSUP, 0x70},
		{{0x2a}, 1, -ENOTSUP, 42},
		{{0xc0}, 1, -ENOTSUP, 0},
		{{0xff}, 1, -ENOTSUP, 255},
		{{0xa1, 'x'}, 2, -EBADMSG, 0},
		{{0xcc}, 1, -EBADMSG, 0},
		{{0x00}, 0, -ENODATA, 0},
		{{0x03}, 1, -EBADMSG, DCMSG_SDP},
		{{0x03, 0xc6, 0xff, 0xff, 0xff, 0xff}, 6, -EBADMSG, DCMSG_SDP},
		{{0x03, 0xc4, 0x02, 'a', 'b'}, 5, 0, DCMSG_SDP},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dcmsg m;
		CHECK_EQ(dcmsg_parse(cases[i].data, cases[i].len, &m), cases[i].rc);
		CHECK_EQ(m.type, cases[i].type);
	}
}

static int parse_number(double v, struct dcmsg *m)
{
	uint8_t data[10] = {DCMSG_RTT, 0xcb};
	uint64_t bits;

	memcpy(&bits, &v, 8);
	be64_put(data + 2, bits);
	return dcmsg_parse(data, sizeof(data), m);
}

static void checks_numbers(void)
{
	struct dcmsg m;

	CHECK_EQ(dcmsg_parse(BYTES(4, 0xcb, 0x3f, 0xa9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a), &m), 0);
	CHECK(fabs(m.number - 0.05) < 1e-12);
	CHECK_EQ(dcmsg_parse(BYTES(5, 0x00), &m), 0); // JavaScript's 0
	CHECK(m.number == 0);
	CHECK_EQ(dcmsg_parse(BYTES(6, 0xc0), &m), 0);
	CHECK_EQ(parse_number(0.25, &m), 0);
	CHECK(m.number == 0.25);
	CHECK_EQ(parse_number(NAN, &m), -ERANGE);
	CHECK_EQ(parse_number(INFINITY, &m), -ERANGE);
	CHECK_EQ(parse_number(-INFINITY, &m), -ERANGE);
	CHECK_EQ(parse_number(-0.001, &m), -ERANGE);
	CHECK_EQ(dcmsg_parse(BYTES(5, 0xff), &m), -ERANGE); // -1
	CHECK_EQ(dcmsg_parse(BYTES(5, 0xa1, '1'), &m), -EBADMSG);
	CHECK_EQ(dcmsg_parse(BYTES(5), &m), -EBADMSG);
}

static void sdp_round_trip(void)
{
	uint8_t out[256];
	char json[256];
	struct wbuf w = wbuf_of(out, sizeof(out));
	struct dcmsg m;

	CHECK_EQ(dcmsg_write_sdp(&w, STR("{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\"}")), 0);
	CHECK_MEM(out, ((uint8_t[]){0xcc, 0x03, 0xc4}), 3);
	CHECK_MEM(out + 4, ((uint8_t[]){0x78, 0x9c, 0xab, 0x56, 0x2a, 0xa9}), 6);
	CHECK_EQ(dcmsg_parse(out, wbuf_len(&w), &m), 0);
	CHECK_EQ(dcmsg_inflate(m.zipped, json, sizeof(json)), 32);
	CHECK_MEM(json, "{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\"}", 32);
	w = wbuf_of(out, 16);
	CHECK_EQ(dcmsg_write_sdp(&w, STR("{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\"}")), -ENOBUFS);
}

static void zlib_bomb(void)
{
	size_t size = 64 << 20;
	uLongf len = compressBound(size);
	uint8_t *zeros = calloc(1, size), *bomb = malloc(len);
	char *out = malloc(DCMSG_MAX_JSON);

	CHECK_OR_RETURN(zeros && bomb && out);
	CHECK_EQ(compress(bomb, &len, zeros, size), Z_OK);
	CHECK(len < DCMSG_MAX_JSON);
	CHECK_EQ(dcmsg_inflate((struct str){(char *)bomb, len}, out, DCMSG_MAX_JSON), -E2BIG);
	len = compressBound(size);
	CHECK_EQ(compress(bomb, &len, zeros, DCMSG_MAX_JSON), Z_OK);
	CHECK_EQ(dcmsg_inflate((struct str){(char *)bomb, len}, out, DCMSG_MAX_JSON), DCMSG_MAX_JSON);
	CHECK_EQ(dcmsg_inflate((struct str){(char *)bomb, len - 5}, out, DCMSG_MAX_JSON), -EBADMSG);
	CHECK_EQ(dcmsg_inflate(STR("x"), out, DCMSG_MAX_JSON), -EBADMSG);
	CHECK_EQ(dcmsg_inflate(STR("not zlib at all"), out, DCMSG_MAX_JSON), -EBADMSG);
	CHECK_EQ(dcmsg_inflate(STR_NONE, out, DCMSG_MAX_JSON), -EBADMSG);
	free(zeros);
	free(bomb);
	free(out);
}

static void writes_exactly(void)
{
	uint8_t out[128];
	struct wbuf w = wbuf_of(out, sizeof(out));
	const struct dcmsg_line line = {STR("1"), STR("voice"), STR("s1")};

	dcmsg_write_pong(&w);
	dcmsg_write_lock(&w, true);
	dcmsg_write_lock(&w, false);
	CHECK_MEM(out, ((uint8_t[]){0xcc, 2, 0xcc, 7, 0xc3, 0xcc, 7, 0xc2}), 8);
	w = wbuf_of(out, sizeof(out));
	dcmsg_write_map(&w, &line, 1);
	static const uint8_t want[] = {0xcc, 0x09, 0x81, 0xa1, 0x31, 0x82, 0xa4, 0x74, 0x79, 0x70,
				       0x65, 0xa5, 0x76, 0x6f, 0x69, 0x63, 0x65, 0xa9, 0x73, 0x65,
				       0x6e, 0x64, 0x65, 0x72, 0x5f, 0x69, 0x64, 0xa2, 0x73, 0x31};
	CHECK_EQ(wbuf_len(&w), sizeof(want));
	CHECK_MEM(out, want, sizeof(want));
}

CU_TestInfo dcmsg_tests[] = {
	{"every integer form is a type; empty, cut and unknown ones are told apart", reads_types},
	{"D19: numbers that would spoil the statistics are refused", checks_numbers},
	{"an SDP message survives the round trip and looks as rtcd's", sdp_round_trip},
	{"D17: a zlib bomb inflates to the limit and no further", zlib_bomb},
	{"D18: a declared length counts only when the bytes are there", reads_types},
	{"D23: pong, lock reply and media map are byte for byte what clients know", writes_exactly},
	CU_TEST_INFO_NULL,
};
