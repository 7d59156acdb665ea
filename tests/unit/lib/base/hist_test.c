#include "tests/unit/check.h"

#include "lib/base/hist.h"

static void test_buckets_are_contiguous(void)
{
	unsigned before = 0;

	for (uint64_t v = 1; v < 100000; v++) {
		unsigned b = hist_bucket(v);

		CHECK(b == before || b == before + 1);
		CHECK(v <= hist_bucket_top(b));
		CHECK(b == 0 || v > hist_bucket_top(b - 1));
		before = b;
	}
	CHECK_EQ(hist_bucket(HIST_MAX), HIST_BUCKETS - 1);
	CHECK_EQ(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
	CHECK_EQ(hist_bucket_top(HIST_BUCKETS - 1), HIST_MAX);
}

static void test_percentiles_are_within_a_step(void)
{
	static struct hist h;

	memset(&h, 0, sizeof(h));
	CHECK_EQ(hist_percentile(&h, 50), 0);
	for (uint64_t v = 1; v <= 10000; v++)
		hist_add(&h, v);
	for (int p = 1; p <= 100; p++) {
		uint64_t got = hist_percentile(&h, p), want = (uint64_t)p * 100;

		CHECK(got >= want && got <= want + want / HIST_SUB + 1);
	}
	CHECK_EQ(hist_percentile(&h, 0), 1);
	CHECK_EQ(hist_percentile(&h, 100), 10000);
	CHECK_EQ((int)(hist_mean(&h) * 10), 50005);
}

static void test_merging_is_adding(void)
{
	static struct hist a, b, both;

	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t v = i * i * i;

		hist_add(i % 2 ? &a : &b, v);
		hist_add(&both, v);
	}
	hist_merge(&a, &b);
	CHECK_MEM(&a, &both, sizeof(a));
}

CU_TestInfo hist_tests[] = {
	{"buckets are contiguous and cover everything", test_buckets_are_contiguous},
	{"a percentile is at most one step too high", test_percentiles_are_within_a_step},
	{"merging two is the same as adding to one", test_merging_is_adding},
	CU_TEST_INFO_NULL,
};
