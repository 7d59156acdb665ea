// A scan takes what a parser takes, member by member, and costs one look at each byte.
#include "controlplane/sys/jsonscan.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "tests/unit/check.h"

// Members of text, -EBADMSG when it is malformed.
static int count_members(struct str text)
{
	struct jsonscan_member m;
	struct jsonscan j;
	int n = 0, rc;

	if (jsonscan_begin(&j, text) < 0)
		return -EBADMSG;
	while ((rc = jsonscan_next(&j, &m)) > 0)
		n++;
	return rc < 0 ? rc : n;
}

static void members(void)
{
	struct str text = STR(" {\"a\" : \"b\\\"c\" ,\"n\":-1.5e+3,\"o\":{\"x\":[1,{},[],\"]\"],\"y\":null},\"z\":\"\"} rest");
	struct jsonscan_member m;
	struct jsonscan j;

	CHECK_EQ(jsonscan_begin(&j, text), 0);
	CHECK_EQ(jsonscan_next(&j, &m), 1);
	CHECK(str_eq(m.name, STR("a")) && m.kind == JSONSCAN_STRING && str_eq(m.value, STR("b\\\"c")));
	CHECK_EQ(jsonscan_next(&j, &m), 1);
	CHECK(str_eq(m.name, STR("n")) && m.kind == JSONSCAN_OTHER && str_eq(m.value, STR("-1.5e+3")));
	CHECK_EQ(jsonscan_next(&j, &m), 1);
	CHECK(str_eq(m.value, STR("{\"x\":[1,{},[],\"]\"],\"y\":null}")));
	CHECK_EQ(jsonscan_next(&j, &m), 1);
	CHECK(m.kind == JSONSCAN_STRING && m.value.p != NULL && m.value.len == 0);
	CHECK_EQ(jsonscan_next(&j, &m), 0);
	CHECK_EQ(jsonscan_next(&j, &m), 0);
	CHECK_EQ(count_members(STR("{}")), 0);
}

static void malformed(void)
{
	static const char *const bad[] = {
		"", " ", "[]", "\"a\"", "{", "{\"a\"", "{\"a\":", "{\"a\":\"", "{\"a\":\"b\"", "{\"a\":\"b\",",
		"{\"a\":\"b\",}", "{\"a\":\"\\", "{\"a\":\"\\\"}", "{a:1}", "{\"a\" 1}", "{\"a\":01}", "{\"a\":-}",
		"{\"a\":1.}", "{\"a\":1e}", "{\"a\":.5}", "{\"a\":tru}", "{\"a\":nul}", "{\"a\":[1}", "{\"a\":[1,]}",
		"{\"a\":[,1]}", "{\"a\":{1}}", "{\"a\":{\"b\"}}", "{\"a\":{\"b\":1,}}", "{\"a\":[1]]}", "{\"a\":1 2}",
		"{\"a\":\"\n\"}", "{,}", "{\"a\":\"b\" \"c\":\"d\"}",
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int rc = count_members(str_of(bad[i]));

		if (rc != -EBADMSG)
			check_note(__FILE__, __LINE__, "%s gave %d", bad[i], rc);
		CHECK_EQ(rc, -EBADMSG);
	}
}

static void depth(void)
{
	char text[256];

	for (int n = JSONSCAN_DEPTH; n <= JSONSCAN_DEPTH + 1; n++) {
		int len = sprintf(text, "{\"a\":");

		memset(text + len, '[', (size_t)n);
		memset(text + len + n, ']', (size_t)n);
		len += 2 * n;
		text[len++] = '}';
		CHECK_EQ(count_members((struct str){text, (size_t)len}), n > JSONSCAN_DEPTH ? -EBADMSG : 1);
	}
}

static void escapes(void)
{
	static const struct {
		const char *raw, *text; // NULL: refused
	} cases[] = {
		{"", ""},
		{"a\\r\\n\\t\\b\\f\\/\\\\\\\"", "a\r\n\t\b\f/\\\""},
		{"\\u0041\\u00e4\\u20AC", "A\u00e4\u20ac"},
		{"\\ud83d\\ude00", "\U0001f600"},
		{"\\ud83d", NULL},
		{"\\ud83d\\u0041", NULL},
		{"\\ude00", NULL},
		{"\\x41", NULL},
		{"\\u12", NULL},
		{"\\u12g4", NULL},
		{"\\", NULL},
		{"\xff", NULL},
		{"\xc0\x80", NULL},
	};
	char out[64];
	size_t len;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = jsonscan_unescape(str_of(cases[i].raw), out, &len);

		CHECK_EQ(rc, cases[i].text ? 0 : -EBADMSG);
		CHECK(rc < 0 || str_eq((struct str){out, len}, str_of(cases[i].text)));
	}
	CHECK(jsonscan_is(STR("t\\u0079pe"), STR("type")) && !jsonscan_is(STR("types"), STR("type")));
}

// 128 KiB of what costs a tree most.
static void cost(void)
{
	static const char *const units[] = {"\"a\":0,", "\"a\":[[]],", "\"\":\"\","};
	size_t size = 128 * 1024;
	char *text = malloc(size + 16);
	ns_t began;

	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t len = 1, n = strlen(units[i]);

		text[0] = '{';
		for (; len + n < size; len += n)
			memcpy(text + len, units[i], n);
		text[len - 1] = '}';
		began = clock_now();
		CHECK(count_members((struct str){text, len}) > 10000);
		CHECK(clock_now() - began < 100 * NS_PER_MS);
	}
	free(text);
}

CU_TestInfo jsonscan_tests[] = {
	{"members come one after another, strings raw and others whole", members},
	{"what is no object of JSON is refused", malformed},
	{"values are nested up to a limit", depth},
	{"escapes are resolved, lone surrogates and bad UTF-8 refused", escapes},
	{"many small values cost one look at each byte", cost},
	CU_TEST_INFO_NULL,
};
