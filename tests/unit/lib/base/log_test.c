#include "tests/unit/check.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

static void test_levels_by_name(void)
{
	enum log_level level = LOG_ERROR;

	CHECK(log_level_parse("DeBug", &level) && level == LOG_DEBUG);
	CHECK(log_level_parse("notice", &level) && level == LOG_NOTICE);
	CHECK(!log_level_parse("loud", &level) && !log_level_parse("", &level));
	log_set_level(LOG_WARN);
	CHECK(log_enabled(LOG_ERROR) && log_enabled(LOG_WARN) && !log_enabled(LOG_NOTICE));
	log_set_level(LOG_INFO);
}

static void test_a_site_is_rate_limited(void)
{
	struct log_site site = {0};
	unsigned n = 0, n_suppressed = 0;
	long long now = 1000 * NS_PER_S;

	for (int i = 0; i < 100; i++)
		n += log_site_allows(&site, now, &n_suppressed);
	CHECK_EQ(n, 20);
	CHECK(!log_site_allows(&site, now + NS_PER_S / 5 - 1, &n_suppressed));
	CHECK(log_site_allows(&site, now + NS_PER_S / 5, &n_suppressed));
	CHECK_EQ(n_suppressed, 81);
	CHECK(!log_site_allows(&site, now + NS_PER_S / 5, &n_suppressed));
	n = 0;
	for (int i = 0; i < 1000; i++) // 10 s: five a second
		n += log_site_allows(&site, now + NS_PER_S + i * 10 * NS_PER_MS, &n_suppressed);
	CHECK(n >= 50 && n <= 54);
	n = 0;
	for (int i = 0; i < 100; i++) // rested for a minute: a burst again
		n += log_site_allows(&site, now + 90 * NS_PER_S, &n_suppressed);
	CHECK_EQ(n, 20);
}

static const char *format(enum log_format f, const char *text, unsigned n_suppressed, size_t size)
{
	static char out[512];
	const struct log_line line = {LOG_WARN,    "sluice-cp", "a.c:7", text, 1700000000123 * NS_PER_MS,
				      n_suppressed};
	size_t len = log_format_line(out, size, f, &line);

	CHECK(len <= size);
	out[len] = '\0';
	return out;
}

static void test_lines_have_their_format(void)
{
	CHECK_STR(format(LOG_TEXT, "hello", 0, 500), "2023-11-14 22:13:20.123Z sluice-cp warn: hello\n");
	CHECK_STR(format(LOG_JOURNAL, "hello", 0, 500), "<4>hello\n");
	CHECK_STR(format(LOG_JOURNAL, "hello", 3, 500), "<4>(suppressed 3) hello\n");
	CHECK_STR(format(LOG_JSON, "say \"hi\"", 3, 500),
		  "{\"timestamp\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warn\",\"program\":\"sluice-cp\","
		  "\"caller\":\"a.c:7\",\"suppressed\":3,\"msg\":\"say \\\"hi\\\"\"}\n");
}

static void test_nothing_forges_a_line(void)
{
	CHECK_STR(format(LOG_JOURNAL, "a\n<0>b\x1b[m\xff", 0, 500), "<4>a\\x0a<0>b\\x1b[m\\xff\n");
	CHECK_STR(format(LOG_JOURNAL, "\xc3\xa4 \xe2\x82\xac \xc0\xaf \xed\xa0\x80", 0, 500),
		  "<4>\xc3\xa4 \xe2\x82\xac \\xc0\\xaf \\xed\\xa0\\x80\n");
	CHECK(strstr(format(LOG_JSON, "a\n\xff", 0, 500), "\"msg\":\"a\\u000a\\ufffd\"}\n"));
}

static void test_long_lines_are_cut_whole(void)
{
	char text[2000];
	const char *line;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	line = format(LOG_JSON, text, 0, 400);
	CHECK(strlen(line) > 300 && strcmp(line + strlen(line) - 3, "\"}\n") == 0);
	line = format(LOG_TEXT, text, 0, 400);
	CHECK_EQ(line[strlen(line) - 1], '\n');
}

CU_TestInfo log_tests[] = {
	{"levels are found by name and filter", test_levels_by_name},
	{"a call site prints a burst of 20, then 5 a second, and counts the rest",
	 test_a_site_is_rate_limited},
	{"text, journal and JSON lines have their format", test_lines_have_their_format},
	{"nothing from outside forges a line", test_nothing_forges_a_line},
	{"a long line is cut and stays one line", test_long_lines_are_cut_whole},
	CU_TEST_INFO_NULL,
};
