#include "lib/base/utf8.h"

#include "tests/unit/check.h"

static void utf8(void)
{
	CHECK(utf8_is_valid(STR("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xa4")));
	CHECK(!utf8_is_valid(STR("\xc0\xaf")));         // overlong
	CHECK(!utf8_is_valid(STR("\xed\xa0\x80")));     // surrogate
	CHECK(!utf8_is_valid(STR("\xf4\x90\x80\x80"))); // above U+10FFFF
	CHECK(!utf8_is_valid(STR("\xe2\x82")));         // cut off
	CHECK(!utf8_is_valid(STR("\x80")));
}

CU_TestInfo utf8_tests[] = {
	{"UTF-8 without overlong forms and surrogates", utf8},
	CU_TEST_INFO_NULL,
};
