// Processor time that somebody may use: a burst, a share, and how long it has been too much.
#include "controlplane/sys/budget.h"

#include "tests/unit/check.h"

static const struct budget_rate rate = {100 * NS_PER_MS, 0.05};

static void burst_and_share(void)
{
	struct budget b = {};
	ns_t now = NS_PER_S;

	CHECK(budget_may(&b, rate, now));
	budget_charge(&b, rate, 99 * NS_PER_MS, now);
	CHECK(budget_may(&b, rate, now));
	budget_charge(&b, rate, 11 * NS_PER_MS,
		      now); // the last piece of work is always done: a debt of 10 ms
	CHECK(!budget_may(&b, rate, now));
	CHECK(!budget_may(&b, rate, now + 200 * NS_PER_MS)); // at 5 % that takes 200 ms
	CHECK(budget_may(&b, rate, now + 201 * NS_PER_MS));
	CHECK(budget_may(&b, rate, now + 3600 * NS_PER_S)); // never more than full
	budget_charge(&b, rate, 101 * NS_PER_MS, now + 3600 * NS_PER_S);
	CHECK(!budget_may(&b, rate, now + 3600 * NS_PER_S));
}

// Within its share for ever.
static void steady(void)
{
	struct budget b = {};
	ns_t now = NS_PER_S;

	for (int i = 0; i < 10000; i++, now += 20 * NS_PER_MS) {
		CHECK(budget_may(&b, rate, now));
		budget_charge(&b, rate, NS_PER_MS, now);
	}
	CHECK_EQ(budget_over(&b, now), 0);
}

// Who takes all it can get hovers about the limit: that counts as one time of being over.
static void over(void)
{
	struct budget b = {};
	ns_t now = NS_PER_S, began;

	for (; budget_may(&b, rate, now); now += NS_PER_MS)
		budget_charge(&b, rate, 2 * NS_PER_MS, now);
	began = now;
	for (; now < began + 5 * NS_PER_S; now += NS_PER_MS)
		if (budget_may(&b, rate, now))
			budget_charge(&b, rate, 2 * NS_PER_MS, now);
	CHECK(budget_over(&b, now) >= 5 * NS_PER_S);
	CHECK(!budget_may(&b, rate, now) || b.used > rate.burst / 2);
	now += NS_PER_S * 11 / 10; // half of it is back
	CHECK(budget_may(&b, rate, now));
	CHECK_EQ(budget_over(&b, now), 0);
}

CU_TestInfo budget_tests[] = {
	{"a burst is there at once, and comes back at the share; a debt is paid first", burst_and_share},
	{"who stays within the share is never over", steady},
	{"who takes all there is stays over until half has come back", over},
	CU_TEST_INFO_NULL,
};
