#include "controlplane/http/httpchunks.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/check.h"

static void chunked(void)
{
	static const char wire[] = "5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\nnext";
	char out[64];
	size_t total = 0;
	struct http_chunks c = {};

	for (size_t i = 0; c.state != CHUNK_DONE && i < sizeof(wire) - 1; i++) { // one byte at a time
		size_t n;

		CHECK_EQ(http_chunks_feed(&c, wire + i, 1, out + total, &n), 1);
		total += n;
	}
	CHECK_EQ(total, 11);
	CHECK_MEM(out, "hello world", 11);
	c = (struct http_chunks){};
	CHECK_EQ(http_chunks_feed(&c, wire, sizeof(wire) - 1, out, &total), (int)sizeof(wire) - 1 - 4);
	CHECK_EQ(total, 11);
}

static void bad_chunks(void)
{
	static const char *const rows[] = {"x\r\n", "\r\n", "5\r\nhelloX", "fffffffff\r\n", "5 \rx"};
	char out[64];
	size_t n;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_chunks c = {};
		int rc = http_chunks_feed(&c, rows[i], strlen(rows[i]), out, &n);

		CHECK(rc == -EBADMSG || (i == 4 && c.state != CHUNK_DONE));
	}
}

CU_TestInfo httpchunks_tests[] = {
	{"chunked bodies, one byte at a time and at once", chunked},
	{"malformed chunks are refused", bad_chunks},
	CU_TEST_INFO_NULL,
};
