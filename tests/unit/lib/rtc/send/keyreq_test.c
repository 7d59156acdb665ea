#include "lib/rtc/send/keyreq.h"

#include "tests/unit/check.h"

#define MS NS_PER_MS

static struct keyreq k;
static ns_t start = 7 * NS_PER_S;

static void begin(void)
{
	k = (struct keyreq){};
	CHECK_EQ(keyreq_due(&k), NS_NEVER);
}

// Run millisecond by millisecond; when the first `n` requests were sent, relative to start.
static unsigned run(ns_t from, ns_t to, bool is_needed, ns_t *at, unsigned n)
{
	unsigned got = 0;

	for (ns_t t = from; t < to; t += MS) {
		if (!keyreq_poll(&k, 100 * MS, is_needed, start + t))
			continue;
		if (got < n)
			at[got] = t;
		got++;
	}
	return got;
}

static void thousand_at_once(void)
{
	ns_t at[4];

	begin();
	for (unsigned i = 0; i < 40; i++)
		keyreq_ask(&k, 40, start);
	CHECK_EQ(run(0, 100 * MS, true, at, 4), 1);
	CHECK_EQ(at[0], 0);
	keyreq_on_key(&k, start + 150 * MS);
	CHECK_EQ(keyreq_due(&k), NS_NEVER);

	begin();
	for (unsigned i = 0; i < 1000; i++)
		keyreq_ask(&k, 1000, start + i * 250000);
	CHECK_EQ(run(250 * MS, 700 * MS, true, at, 4), 1);
	CHECK_EQ(at[0], KEYREQ_GATHER_NS);
}

static void trailing(void)
{
	ns_t at[4];

	begin();
	keyreq_ask(&k, 3, start);
	CHECK(keyreq_poll(&k, 0, true, start));
	keyreq_on_key(&k, start + 50 * MS);
	keyreq_ask(&k, 3, start + 100 * MS); // lost it
	CHECK_EQ(run(100 * MS, 1000 * MS, true, at, 4), 1);
	CHECK_EQ(at[0], KEYREQ_HOLD_NS);
}

static void retries(void)
{
	ns_t at[8];

	begin();
	keyreq_ask(&k, 1, start);
	CHECK_EQ(run(0, 16000 * MS, true, at, 8), 7);
	CHECK_EQ(at[0], 0);
	CHECK_EQ(at[1], 500 * MS);
	CHECK_EQ(at[2], 1500 * MS);
	CHECK_EQ(at[3], 3500 * MS);
	CHECK_EQ(at[4], 7500 * MS);
	CHECK_EQ(at[5], 11500 * MS);
	CHECK_EQ(run(16000 * MS, 30000 * MS, false, at, 8), 0);
	CHECK_EQ(keyreq_due(&k), NS_NEVER);
}

static void key_frame_serves_who_asked_before(void)
{
	begin();
	keyreq_ask(&k, 2, start);
	CHECK(keyreq_poll(&k, 0, true, start));
	keyreq_ask(&k, 2, start + 80 * MS);
	keyreq_on_key(&k, start + 60 * MS); // began before the second wish
	CHECK_EQ(keyreq_due(&k), start + 500 * MS);
	keyreq_on_key(&k, start + 90 * MS);
	CHECK_EQ(keyreq_due(&k), NS_NEVER);
}

// 300 subscribers that always want one: three at once, then one in three seconds.
static void crowd_budget(void)
{
	unsigned n = 0;

	begin();
	for (ns_t t = 0; t < 60 * NS_PER_S; t += 10 * MS) {
		keyreq_ask(&k, 300, start + t);
		if (keyreq_poll(&k, 100 * MS, true, start + t)) {
			n++;
			keyreq_on_key(&k, start + t + 5 * MS);
		}
	}
	CHECK(n >= 20 && n <= 20 + KEYREQ_BUDGET_BURST);
}

static void one_receiver(void)
{
	struct keyreq_leg l = {};
	unsigned n = 0;

	for (ns_t t = 0; t < 10 * NS_PER_S; t += 10 * MS)
		n += keyreq_leg_allow(&l, 50 * MS, start + t);
	CHECK_EQ(n, 3);
	CHECK(keyreq_leg_allow(&l, 50 * MS, start + 10 * NS_PER_S));
	CHECK(!keyreq_leg_allow(&l, 50 * MS, start + 10 * NS_PER_S + 249 * MS));
	CHECK(keyreq_leg_allow(&l, 50 * MS, start + 10 * NS_PER_S + 250 * MS));
}

static void fir(void)
{
	struct keyreq_leg l = {};

	CHECK(keyreq_leg_fir_is_new(&l, 0));
	CHECK(!keyreq_leg_fir_is_new(&l, 0));
	CHECK(keyreq_leg_fir_is_new(&l, 1));
	CHECK(!keyreq_leg_fir_is_new(&l, 0)); // reordered
	CHECK(keyreq_leg_fir_is_new(&l, 100));
	CHECK(keyreq_leg_fir_is_new(&l, 200));
	CHECK(keyreq_leg_fir_is_new(&l, 3)); // wrapped
}

CU_TestInfo keyreq_tests[] = {
	{"1000 subscribers at once make one request", thousand_at_once},
	{"a wish inside the hold-off is asked for at its end", trailing},
	{"a lost request is repeated while somebody waits", retries},
	{"a key frame serves who asked before it began", key_frame_serves_who_asked_before},
	{"a crowd gets one key frame per three seconds", crowd_budget},
	{"one receiver may ask three times in ten seconds", one_receiver},
	{"repeated and reordered FIRs count once", fir},
	CU_TEST_INFO_NULL,
};
