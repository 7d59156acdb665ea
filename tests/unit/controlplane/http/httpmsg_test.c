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

CU_TestInfo httpmsg_tests[] = {
	{"reads request line, headers, target forms, keep-alive", reads_a_request},
	{"the end of the head is found in steps", head_end_is_incremental},
	{"refuses what two readers could read differently", refuses},
	CU_TEST_INFO_NULL,
};
