#include <stdbool.h>
#include <errno.h>

#include "controlplane/http/httpmsg.h"
#include "tests/unit/check.h"

static int parse(const char *text, struct http_head *h)
{
	size_t len = strlen(text);

	CHECK_EQ(http_head_end(text, len, 0), len);
	return http_parse_head(text, len, h);
}

static void reads_a_request(void)
{
	struct http_head h;

	CHECK_EQ(parse("POST /login?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: foo, "
		       "Close\r\n\r\n",
		       &h),
		 0);
	CHECK(str_eq(h.method, STR("POST")) && str_eq(h.path, STR("/login")) && str_eq(h.query, STR("a=b")));
	CHECK_EQ(h.content_length, 5);
	CHECK(!h.keep_alive && !h.is_chunked);
	CHECK(str_eq(http_find(&h, STR("HOST")), STR("x")));
	CHECK_EQ(parse("GET http://h/version HTTP/1.1\nHost: h\n\n", &h), 0); // bare LF, absolute form
	CHECK(str_eq(h.path, STR("/version")) && h.keep_alive);
	CHECK_EQ(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &h), 0);
	CHECK(h.keep_alive);
}

static void head_end_is_incremental(void)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\nrest";

	for (size_t n = 1; n <= 27; n++) // as many bytes have come, all but the last were looked at
		CHECK_EQ(http_head_end(text, n, n - 1), n == 27 ? 27 : 0);
	CHECK_EQ(http_head_end(text, sizeof(text) - 1, 0), 27);
}

static void refuses(void)
{
	static const struct {
		const char *text;
		int rc;
	} rows[] = {
		{"GET /\r\n\r\n", -EBADMSG},
		{"GET / HTTP/2.0\r\nHost: x\r\n\r\n", -ENOTSUP},
		{"GET / HTTP/1.1\r\n\r\n", -EBADMSG}, // no Host
		{"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", -EBADMSG},
		{"GET / HTTP/1.1\r\nHost : x\r\n\r\n", -EBADMSG}, // blank before the colon
		{"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", -EBADMSG},
		{"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", -EBADMSG},
		{"GET / HTTP/1.1\r\nHost: x\x01\r\n\r\n", -EBADMSG},
		{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", -EBADMSG},
		{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", -EBADMSG},
		{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		 -EBADMSG},
		{"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", -ENOSYS},
		{"G\x7fT / HTTP/1.1\r\nHost: x\r\n\r\n", -EBADMSG},
		{"GET version HTTP/1.1\r\nHost: x\r\n\r\n", -EBADMSG},
	};
	struct http_head h;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_EQ(parse(rows[i].text, &h), rows[i].rc);
}

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

static void cleans_paths(void)
{
	static const char *const rows[][2] = {{"//system", "/system"},
					      {"/a/../version", "/version"},
					      {"/./ws", "/ws"},
					      {"/a//b/", "/a/b/"},
					      {"/..", "/"},
					      {"/%2e%2e/x", "/x"},
					      {"/a/b/..", "/a"}};
	char out[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CHECK(!http_path_is_clean(str_of(rows[i][0])));
		CHECK(http_path_clean(str_of(rows[i][0]), out, sizeof(out)) > 0);
		CHECK_STR(out, rows[i][1]);
		CHECK(http_path_is_clean(str_of(out)));
	}
	CHECK(http_path_is_clean(STR("/")) && http_path_is_clean(STR("/version")) &&
	      http_path_is_clean(STR("/version/")));
}

static void unescapes(void)
{
	char out[16];

	CHECK_EQ(http_unescape(STR("a%2Fb%20c"), out, sizeof(out)), 5);
	CHECK_STR(out, "a/b c");
	CHECK_EQ(http_unescape(STR("a%2"), out, sizeof(out)), -EBADMSG);
	CHECK_EQ(http_unescape(STR("%"), out, sizeof(out)), -EBADMSG);
	CHECK_EQ(http_unescape(STR("%zz"), out, sizeof(out)), -EBADMSG);
	CHECK_EQ(http_unescape(STR("0123456789abcdef"), out, sizeof(out)), -ENOSPC);
}

CU_TestInfo httpmsg_tests[] = {
	{"reads request line, headers, target forms, keep-alive", reads_a_request},
	{"the end of the head is found in steps", head_end_is_incremental},
	{"refuses what two readers could read differently", refuses},
	{"chunked bodies, one byte at a time and at once", chunked},
	{"malformed chunks are refused", bad_chunks},
	{"paths are cleaned as Go's server does", cleans_paths},
	{"percent-decoding is bounded and strict", unescapes},
	CU_TEST_INFO_NULL,
};
