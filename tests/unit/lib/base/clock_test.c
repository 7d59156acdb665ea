#include "tests/unit/check.h"

#include "lib/base/clock.h"

static void test_monotonic_never_goes_back(void)
{
	ns_t before = clock_now();

	for (int i = 0; i < 1000; i++) {
		ns_t now = clock_now();

		CHECK(now >= before);
		before = now;
	}
	CHECK(clock_wall() > INT64_C(1700000000) * NS_PER_S); // after 2023
}

static void test_ntp_counts_from_1900(void)
{
	CHECK(clock_ntp(0) == UINT64_C(2208988800) << 32);
	// half a second is the top bit of the fraction
	CHECK(clock_ntp(NS_PER_S / 2) == (UINT64_C(2208988800) << 32 | UINT64_C(0x80000000)));
	CHECK_EQ(clock_ntp(NS_PER_S - 1) >> 32, 2208988800);
	// 2036-02-07 06:28:16: era 1 begins, the seconds start again at 0
	CHECK_EQ(clock_ntp(INT64_C(2085978496) * NS_PER_S) >> 32, 0);
}

CU_TestInfo clock_tests[] = {
	{"monotonic time never goes back", test_monotonic_never_goes_back},
	{"NTP time counts from 1900 and wraps in 2036", test_ntp_counts_from_1900},
	CU_TEST_INFO_NULL,
};
