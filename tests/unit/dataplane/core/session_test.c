// What sessions are bounded by.
#include "dataplane/core/session.h"
#include "tests/unit/check.h"

static void buckets(void)
{
	struct bucket b = {};
	unsigned n = 0;
	ns_t now = 1000 * NS_PER_S;

	while (bucket_take(&b, now, 50, 60))
		n++;
	CHECK_EQ(n, 60);
	for (n = 0; bucket_take(&b, now + 100 * NS_PER_MS, 50, 60);)
		n++;
	CHECK_EQ(n, 5);
	for (n = 0; bucket_take(&b, now + 3600 * NS_PER_S, 50, 60);)
		n++;
	CHECK_EQ(n, 60);
	b = (struct bucket){};
	n = 0;
	for (unsigned ms = 0; ms < 10000; ms++) // asked every millisecond, it still gives its rate
		n += bucket_take(&b, now + ms * NS_PER_MS, 50, 60);
	CHECK(n >= 60 + 490 && n <= 60 + 510);
}

CU_TestInfo session_tests[] = {
	{"a token bucket gives its burst, then its rate", buckets},
	CU_TEST_INFO_NULL,
};
