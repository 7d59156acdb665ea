#include "lib/rtc/send/resend.h"

#include "tests/unit/check.h"

#include "lib/base/rand.h"

#define MS NS_PER_MS

static struct resend r;
static struct resend_slot slots[RESEND_SLOTS];

static enum resend_verdict ask(uint64_t index, ns_t now)
{
	return resend_allow(
		&r,
		&(struct resend_ask){
			.index = index, .n_bytes = 1200, .target_bps = 2000000, .rtt = 50 * MS, .now = now});
}

static void one_per_rtt(void)
{
	unsigned n = 0;

	resend_init(&r, slots);
	resend_sent(&r, 7, 0, 1000 * MS);
	CHECK_EQ(ask(7, 1030 * MS), RESEND_TOO_SOON);
	for (unsigned i = 0; i < 100; i++) // 100 times in 10 ms
		n += ask(7, 1040 * MS + i * MS / 10) == RESEND_OK;
	CHECK_EQ(n, 1);
	CHECK_EQ(ask(7, 1084 * MS), RESEND_OK);
	CHECK_EQ(ask(7, 1128 * MS), RESEND_OK);
	CHECK_EQ(ask(7, 2000 * MS), RESEND_TOO_OFTEN);
}

static void unknown(void)
{
	uint16_t twcc;

	resend_init(&r, slots);
	CHECK_EQ(ask(0, 0), RESEND_NEVER_SENT);
	resend_sent(&r, 5, 0xabcd, 0);
	CHECK(resend_twcc(&r, 5, &twcc));
	CHECK_EQ(twcc, 0xabcd);
	CHECK_EQ(ask(5 + RESEND_SLOTS, 500 * MS), RESEND_NEVER_SENT);
	resend_sent(&r, 5 + RESEND_SLOTS, 1, 0); // recycles
	CHECK_EQ(ask(5, 500 * MS), RESEND_NEVER_SENT);
	CHECK(!resend_twcc(&r, 5, &twcc));
}

// Whatever is asked for, a quarter of the target and a burst.
static void amplification(void)
{
	uint64_t n_bytes = 0, top = 1000;

	resend_init(&r, slots);
	rand_seed(11);
	for (ns_t now = 0; now < 20 * NS_PER_S; now += 5 * MS) {
		resend_sent(&r, top++, 0, now);
		for (unsigned k = 0; k < 10; k++)
			if (ask(top - 1 - rand_u32() % 500, now) == RESEND_OK)
				n_bytes += 1200;
	}
	CHECK(n_bytes <= 20 * 2000000 / 8 / 4 + 2000000 / 8 / 10);
	CHECK(n_bytes >= 20 * 2000000 / 8 / 4 / 2);
	rand_seed(0);
}

static void congested(void)
{
	struct resend_ask a = {.index = 1, .n_bytes = 100, .target_bps = 100000, .is_congested = true};

	resend_init(&r, slots);
	resend_sent(&r, 1, 0, 0);
	a.now = 200 * MS;
	CHECK_EQ(resend_allow(&r, &a), RESEND_CONGESTED);
	a.is_vital = true;
	CHECK_EQ(resend_allow(&r, &a), RESEND_OK);
}

CU_TestInfo resend_tests[] = {
	{"a number asked for 100 times in 10 ms is sent once, three times in all", one_per_rtt},
	{"what was never sent, or is no longer remembered, is not resent", unknown},
	{"resends stay below a quarter of the target rate", amplification},
	{"under congestion only what decoding depends on is resent", congested},
	CU_TEST_INFO_NULL,
};
