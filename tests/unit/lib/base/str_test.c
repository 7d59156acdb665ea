#include "tests/unit/check.h"

#include "lib/base/str.h"

static void test_cut_walks_a_list(void)
{
	struct str rest = STR("a,,b");

	CHECK(str_eq(str_cut(&rest, ','), STR("a")));
	CHECK(str_eq(str_cut(&rest, ','), STR("")));
	CHECK(str_eq(str_cut(&rest, ','), STR("b")));
	CHECK_EQ(rest.len, 0);
	CHECK_EQ(str_cut(&rest, ',').len, 0);
}

static void test_numbers_are_digits_only(void)
{
	static const struct {
		const char *text;
		uint64_t max, want;
		bool ok;
	} cases[] = {
		{"0", 10, 0, true},
		{"10", 10, 10, true},
		{"11", 10, 0, false},
		{"", 10, 0, false},
		{"+1", 10, 0, false},
		{" 1", 10, 0, false},
		{"1x", 10, 0, false},
		{"18446744073709551615", UINT64_MAX, UINT64_MAX, true},
		{"18446744073709551616", UINT64_MAX, 0, false},
		{"99999999999999999999999", UINT64_MAX, 0, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t v = 0;

		CHECK_EQ(str_u64(str_of(cases[i].text), cases[i].max, &v), cases[i].ok);
		if (cases[i].ok)
			CHECK(v == cases[i].want);
	}
}

static void test_copy_needs_room_for_the_terminator(void)
{
	char small[3], exact[4];

	CHECK(!str_copy(STR("abc"), small, sizeof(small)));
	CHECK_STR(small, "");
	CHECK(str_copy(STR("abc"), exact, sizeof(exact)));
	CHECK_STR(exact, "abc");
	CHECK(str_copy(STR_NONE, small, sizeof(small)));
	CHECK_STR(small, "");
}

static void test_comparisons_take_empty_views(void)
{
	CHECK(str_eq(STR_NONE, STR("")));
	CHECK(str_ieq(STR("AbC"), STR("aBc")));
	CHECK(!str_eq(STR("abc"), STR("abd")));
	CHECK(str_starts(STR("stun:x"), STR("stun:")));
	CHECK(!str_starts(STR("st"), STR("stun:")));
	CHECK(str_starts(STR("x"), STR_NONE));
	CHECK(str_eq(str_trim(STR(" \t a b \t")), STR("a b")));
	CHECK_EQ(str_trim(STR("  ")).len, 0);
	CHECK_EQ(str_skip(STR("abc"), 4).len, 0);
	CHECK(str_eq(str_skip(STR("abc"), 1), STR("bc")));
}

CU_TestInfo str_tests[] = {
	{"cutting walks a list, empty items too", test_cut_walks_a_list},
	{"numbers are digits only and bounded", test_numbers_are_digits_only},
	{"a copy that does not fit is empty", test_copy_needs_room_for_the_terminator},
	{"comparisons and trimming take empty views", test_comparisons_take_empty_views},
	CU_TEST_INFO_NULL,
};
