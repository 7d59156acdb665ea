// Frames of a TCP stream, cut anywhere.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/deframe.h"
#include "tests/unit/check.h"

static uint8_t stream[1 << 20];

static size_t put(size_t at, size_t len, uint8_t fill)
{
	be16_put(stream + at, (uint16_t)len);
	memset(stream + at + DEFRAME_HDR, fill, len);
	return at + DEFRAME_HDR + len;
}

// Feed `size` bytes in pieces; how many frames came out, each of the right length and content.
static unsigned feed(size_t size, size_t piece, const uint16_t *lens)
{
	struct deframe d;
	unsigned n = 0;

	deframe_init(&d);
	for (size_t at = 0; at < size; at += piece) {
		uint8_t *p = stream + at, *frame;
		size_t left = size - at < piece ? size - at : piece;
		int len;

		while ((len = deframe_next(&d, &p, &left, &frame)) > 0) {
			CHECK_EQ(len, lens[n]);
			CHECK(frame[0] == (uint8_t)n && frame[len - 1] == (uint8_t)n);
			n++;
		}
		CHECK_EQ(len, 0);
		CHECK_EQ(left, 0);
	}
	CHECK(!deframe_is_partial(&d));
	return n;
}

static void any_cut(void)
{
	static const size_t pieces[] = {1, 2, 3, 7, 100, 1473, 1474, 1475, 4096, sizeof(stream)};
	uint16_t lens[200];
	size_t size = 0;

	for (unsigned i = 0; i < 200; i++) {
		lens[i] = (uint16_t)(i % 7 == 0 ? DEFRAME_MAX : 1 + rand_u32() % DEFRAME_MAX);
		size = put(size, lens[i], (uint8_t)i);
		if (i % 5 == 0)
			size = put(size, 0, 0); // ignored
	}
	for (unsigned i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		CHECK_EQ(feed(size, pieces[i], lens), 200);
}

// The end of what is fed byte by byte or at once.
static int end_of(size_t size, size_t piece)
{
	struct deframe d;
	int len = 0;

	deframe_init(&d);
	for (size_t at = 0; at < size && len >= 0; at += piece) {
		uint8_t *p = stream + at, *frame;
		size_t left = size - at < piece ? size - at : piece;

		while ((len = deframe_next(&d, &p, &left, &frame)) > 0)
			;
	}
	return len;
}

static void too_long(void)
{
	for (size_t piece = 1; piece <= 5000; piece += 4999) {
		CHECK_EQ(end_of(put(0, DEFRAME_MAX, 1), piece), 0);
		CHECK_EQ(end_of(put(0, DEFRAME_MAX + 1, 1), piece), -EMSGSIZE);
		CHECK_EQ(end_of(put(put(0, 3, 1), 65535, 1), piece), -EMSGSIZE);
		be16_put(stream, DEFRAME_MAX + 1);
		CHECK_EQ(end_of(DEFRAME_HDR, piece), -EMSGSIZE); // the length alone says it
	}
}

static void empty_frames(void)
{
	for (size_t piece = 1; piece <= 100; piece += 99) {
		memset(stream, 0, 100);
		CHECK_EQ(end_of(2 * 9, piece), 0);
		CHECK_EQ(end_of(2 * 10, piece), -EPROTO);
		CHECK_EQ(end_of(put(2 * 9, 4, 1) + 2 * 9, piece), 0); // not in a row
	}
}

CU_TestInfo deframe_tests[] = {
	{"a stream cut anywhere gives the same frames", any_cut},
	{"a length above 1472 ends the connection", too_long},
	{"ten frames of length 0 in a row end the connection", empty_frames},
	CU_TEST_INFO_NULL,
};
