#include "lib/base/tokens.h"

#include "tests/unit/check.h"

static const struct tokens_rate rate = {.burst = 5, .per_s = 2};

static unsigned take_all(struct tokens *t, ns_t now)
{
	unsigned n = 0;

	while (n < 100 && tokens_take(t, rate, now))
		n++;
	return n;
}

static void new_one_is_full(void)
{
	struct tokens t = {};

	CHECK_EQ(take_all(&t, NS_PER_S), 5);
	CHECK(!tokens_take(&t, rate, NS_PER_S));
}

static void fills_with_time(void)
{
	struct tokens t = {};

	take_all(&t, NS_PER_S);
	CHECK(!tokens_take(&t, rate, NS_PER_S + 400 * NS_PER_MS));
	CHECK(tokens_take(&t, rate, NS_PER_S + 600 * NS_PER_MS)); // what the refused try found is not lost
	CHECK_EQ(take_all(&t, 3 * NS_PER_S + 600 * NS_PER_MS), 4);
}

static void holds_no_more_than_a_burst(void)
{
	struct tokens t = {};

	take_all(&t, NS_PER_S);
	CHECK_EQ(take_all(&t, 3600 * NS_PER_S), 5);
}

static void given_back(void)
{
	struct tokens t = {};

	CHECK(tokens_take(&t, rate, NS_PER_S));
	tokens_give(&t, rate, NS_PER_S);
	tokens_give(&t, rate, NS_PER_S); // no more than it can hold
	CHECK_EQ(take_all(&t, NS_PER_S), 5);
	tokens_give(&t, rate, NS_PER_S);
	CHECK_EQ(take_all(&t, NS_PER_S), 1);
}

static void says_how_long(void)
{
	struct tokens t = {};
	ns_t wait;

	CHECK_EQ(tokens_wait(&t, rate, NS_PER_S), 0);
	take_all(&t, NS_PER_S);
	wait = tokens_wait(&t, rate, NS_PER_S);
	CHECK(wait >= NS_PER_S / 2 && wait < NS_PER_S / 2 + NS_PER_MS);
	CHECK(!tokens_take(&t, rate, NS_PER_S + wait - NS_PER_MS));
	CHECK(tokens_take(&t, rate, NS_PER_S + wait));
}

CU_TestInfo tokens_tests[] = {{"a new bucket is full", new_one_is_full},
			      {"fills at its rate", fills_with_time},
			      {"holds no more than a burst", holds_no_more_than_a_burst},
			      {"what is given back can be taken again", given_back},
			      {"says how long to wait", says_how_long},
			      CU_TEST_INFO_NULL};
