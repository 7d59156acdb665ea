#include "controlplane/http/httppath.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/check.h"

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

CU_TestInfo httppath_tests[] = {
	{"paths are cleaned as Go's server does", cleans_paths},
	{"percent-decoding is bounded and strict", unescapes},
	CU_TEST_INFO_NULL,
};
