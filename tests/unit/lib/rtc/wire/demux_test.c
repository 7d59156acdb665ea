#include "lib/rtc/wire/demux.h"

#include "tests/unit/check.h"

#include <stdbool.h>
#include <stdlib.h>

// What RFC 7983 section 7 says for a first byte, when length and second byte are right.
static enum demux class_of(unsigned b0)
{
	if (b0 <= 3)
		return DEMUX_STUN;
	if (b0 >= 20 && b0 <= 63)
		return DEMUX_DTLS;
	if (b0 >= 64 && b0 <= 79)
		return DEMUX_TURN;
	return b0 >= 128 && b0 <= 191 ? DEMUX_RTP : DEMUX_UNKNOWN;
}

static size_t min_len(enum demux d)
{
	return d == DEMUX_STUN ? 20 : d == DEMUX_DTLS ? 13 : d == DEMUX_TURN ? 4 : d == DEMUX_RTP ? 16 : 0;
}

static void all_first_bytes(void)
{
	for (unsigned b0 = 0; b0 < 256; b0++) {
		for (size_t len = 0; len <= 30; len++) {
			uint8_t *p = malloc(len ? len : 1); // exact size: ASan sees a read past the end
			enum demux want = len == 0 ? DEMUX_UNKNOWN : class_of(b0), got;

			memset(p, 0, len ? len : 1);
			if (len)
				p[0] = (uint8_t)b0;
			got = demux_classify(p, len);
			if (want != DEMUX_UNKNOWN && len < min_len(want))
				want = DEMUX_SHORT;
			else if (want == DEMUX_STUN || want == DEMUX_DTLS)
				want = DEMUX_BAD; // no cookie, no version
			CHECK_EQ(got, want);
			free(p);
		}
	}
}

static void empty_and_single(void)
{
	uint8_t one = 0x80;

	CHECK_EQ(demux_classify(NULL, 0), DEMUX_UNKNOWN);
	CHECK_EQ(demux_classify(&one, 1), DEMUX_SHORT);
}

static void rtcp_or_rtp(void)
{
	uint8_t p[64] = {0x80};

	for (unsigned b1 = 0; b1 < 256; b1++) {
		p[1] = (uint8_t)b1;
		CHECK_EQ(demux_classify(p, sizeof(p)), b1 >= 192 && b1 <= 223 ? DEMUX_RTCP : DEMUX_RTP);
	}
	p[1] = 200;
	CHECK_EQ(demux_classify(p, 21), DEMUX_SHORT);
	CHECK_EQ(demux_classify(p, 22), DEMUX_RTCP);
}

static void stun_header(void)
{
	uint8_t p[28] = {0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42};

	CHECK_EQ(demux_classify(p, 28), DEMUX_STUN);
	p[3] = 4;
	CHECK_EQ(demux_classify(p, 28), DEMUX_BAD);
	p[3] = 7;
	CHECK_EQ(demux_classify(p, 27), DEMUX_BAD);
	p[3] = 8;
	p[7] ^= 1;
	CHECK_EQ(demux_classify(p, 28), DEMUX_BAD);
}

static void dtls_record(void)
{
	uint8_t p[20] = {22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};

	CHECK_EQ(demux_classify(p, 20), DEMUX_DTLS);
	p[2] = 0xfd;
	CHECK_EQ(demux_classify(p, 20), DEMUX_DTLS);
	p[12] = 8; // does not fit
	CHECK_EQ(demux_classify(p, 20), DEMUX_BAD);
	p[12] = 3; // a second record may follow
	CHECK_EQ(demux_classify(p, 20), DEMUX_DTLS);
	p[2] = 0xfc; // DTLS 1.3 has no such version on the wire
	CHECK_EQ(demux_classify(p, 20), DEMUX_BAD);
	p[0] = 32;
	CHECK_EQ(demux_classify(p, 20), DEMUX_BAD);
}

CU_TestInfo demux_tests[] = {
	{"every first byte with every short length is classified by the table", all_first_bytes},
	{"an empty and a one-byte payload are nothing", empty_and_single},
	{"second byte 192..223 is RTCP, payload types 64..95 with marker are not RTP", rtcp_or_rtp},
	{"a STUN header must carry the cookie and the right length", stun_header},
	{"a DTLS record must have a known version and fit", dtls_record},
	CU_TEST_INFO_NULL,
};
