#include "lib/rtc/send/pacer.h"

#include "tests/unit/check.h"

#include "lib/base/rand.h"

#define MS NS_PER_MS

static struct pacer p;
static struct pacer_leg l;

static void begin(uint32_t bps)
{
	pacer_init(&p, bps, 0);
	l = (struct pacer_leg){};
}

// Visit every millisecond: how many packets of 1200 bytes leave until the backlog is empty.
static unsigned drain(ns_t *now, ns_t until, ns_t arrival)
{
	unsigned n = 0;
	uint64_t i;

	for (; *now < until; *now += MS) {
		while (pacer_waits(&l, &i) && pacer_head(&p, &l, 1200, arrival, *now) == PACER_SEND) {
			pacer_next(&p, &l);
			n++;
		}
		if (!pacer_waits(&l, &i))
			break;
	}
	return n;
}

static void fast_path(void)
{
	begin(1000000);
	for (uint64_t i = 0; i < 1000; i++) // 960 kbit/s
		CHECK_OR_RETURN(pacer_live(&p, &l, i, 1200, (ns_t)i * 10 * MS) == PACER_SEND);
}

static void key_frame(void)
{
	unsigned n_sent = 0;
	uint64_t i;
	ns_t now = 0;

	begin(1000000);
	for (i = 0; i < 60; i++) // 72 kB at once
		n_sent += pacer_live(&p, &l, i, 1200, 0) == PACER_SEND;
	CHECK_EQ(n_sent, 10);
	CHECK(pacer_waits(&l, &i));
	CHECK_EQ(i, 10);
	CHECK_EQ(drain(&now, 1000 * MS, 0), 50);
	CHECK(now >= 50 * 1200 * 8 * NS_PER_S / 2500000 - MS &&
	      now <= 50 * 1200 * 8 * NS_PER_S / 2500000 + 2 * MS);
	CHECK_EQ(pacer_live(&p, &l, 60, 1200, now + 5 * MS), PACER_SEND); // no backlog any more
}

static void congested(void)
{
	ns_t now = 0;

	begin(1000000);
	pacer_rate(&p, 1000000, true, 0);
	for (uint64_t i = 0; i < 60; i++)
		(void)pacer_live(&p, &l, i, 1200, 0);
	CHECK_EQ(drain(&now, 1000 * MS, 0), 50);
	CHECK(now > 50 * 1200 * 8 * NS_PER_S / 1250000 - MS);
}

static void late_and_missing(void)
{
	uint64_t i;

	begin(100000);
	while (pacer_take(&p, 1200, 0))
		;
	CHECK_EQ(pacer_live(&p, &l, 10, 1200, 0), PACER_WAIT);
	CHECK_EQ(pacer_live(&p, &l, 13, 1200, 0), PACER_WAIT);
	CHECK_EQ(pacer_live(&p, &l, 12, 1200, 0), PACER_WAIT); // late, but before the cursor has passed
	CHECK_EQ(l.end, 14);
	pacer_next(&p, &l);                                    // 10
	pacer_next(&p, &l);                                    // 11 is missing
	CHECK_EQ(pacer_live(&p, &l, 11, 1200, 0), PACER_SEND); // later it passes
	CHECK(pacer_waits(&l, &i));
	CHECK_EQ(i, 12);
	CHECK(pacer_due(&p, &l, 1200) > 0);
	CHECK_EQ(pacer_head(&p, &l, 1200, 0, pacer_due(&p, &l, 1200) - 1), PACER_WAIT);
	CHECK_EQ(pacer_head(&p, &l, 1200, 0, pacer_due(&p, &l, 1200)), PACER_SEND);
}

static void stale(void)
{
	uint64_t i;

	begin(100000);
	for (i = 0; i < 100; i++)
		(void)pacer_live(&p, &l, i, 1200, 0);
	CHECK_EQ(pacer_head(&p, &l, 1200, 0, 500 * MS), PACER_SEND);
	CHECK_EQ(pacer_head(&p, &l, 1200, 0, 501 * MS), PACER_STALE);
	pacer_drop(&p, &l);
	CHECK(!pacer_waits(&l, &i));
	CHECK_EQ(pacer_live(&p, &l, 100, 1200, 2000 * MS), PACER_SEND);
}

static void replay(void)
{
	ns_t now = 1000 * MS;
	uint64_t i;

	begin(600000);
	while (pacer_take(&p, 1200, now))
		;
	pacer_replay(&p, &l, 500, 600, 2500000, now + 20 * MS);
	CHECK_EQ(pacer_live(&p, &l, 600, 1200, now), PACER_WAIT); // behind
	CHECK_EQ(pacer_head(&p, &l, 1200, 0, now + 19 * MS), PACER_WAIT);
	CHECK_EQ(drain(&now, 3000 * MS, 0), 101);    // its age does not count
	CHECK(now >= 1080 * MS && now <= 1120 * MS); // 10 Mbit/s
	CHECK(!pacer_waits(&l, &i));
	CHECK_EQ(p.boost, 0);
	pacer_replay(&p, &l, 5, 5, 2500000, 0); // nothing to replay
	CHECK_EQ(p.boost, 0);
}

static void spread(void)
{
	CHECK_EQ(pacer_spread(UINT32_MAX, 50), 0);
	CHECK_EQ(pacer_spread(0, 1000), 0);
	CHECK(pacer_spread(UINT32_MAX, 1000) < PACER_SPREAD_NS);
	CHECK_EQ(pacer_spread(0x80000000, 1000), PACER_SPREAD_NS / 2);
}

// Packets in any order and size, drained at random times: each goes once, unless it is skipped, and the rate holds.
static void random_order(void)
{
	enum { N = 50000 };
	static uint8_t state[N]; // 1 arrived, 2 sent
	uint64_t sent_bytes = 0, i, late = 0;
	bool has_late = false;
	ns_t now = 0;

	memset(state, 0, sizeof(state));
	rand_seed(17);
	begin(1000000);
	for (uint64_t k = 0; k < N; k++) {
		uint64_t index = k;

		now += (ns_t)(rand_u32() % 8) * MS; // about 2.7 Mbit/s: backlog comes and goes
		if (rand_u32() % 20 == 0 && !has_late) {
			late = k;
			has_late = true;
			continue;
		}
		for (unsigned twice = 0; twice < 2; twice++) {
			if (twice && !(has_late && rand_u32() % 8 == 0))
				break;
			if (twice) {
				index = late;
				has_late = false;
			}
			CHECK_OR_RETURN(state[index] == 0);
			state[index] = 1;
			if (pacer_live(&p, &l, index, 1200, now) == PACER_SEND) {
				state[index] = 2;
				sent_bytes += 1200;
			}
		}
		while (rand_u32() % 4 && pacer_waits(&l, &i)) {
			if (state[i] == 1) {
				if (pacer_head(&p, &l, 1200, now, now) != PACER_SEND)
					break;
				state[i] = 2;
				sent_bytes += 1200;
			} else {
				CHECK_OR_RETURN(state[i] == 0); // missing
			}
			pacer_next(&p, &l);
		}
	}
	for (uint64_t k = 0; k < l.at; k++)
		CHECK_OR_RETURN(state[k] != 1);
	CHECK(sent_bytes <= (uint64_t)now / NS_PER_MS * 2500 / 8 + PACER_BURST_BYTES + 1200);
	CHECK(sent_bytes > (uint64_t)N * 1200 * 8 / 10);
	rand_seed(0);
}

CU_TestInfo pacer_tests[] = {
	{"without a backlog packets pass", fast_path},
	{"a key frame leaves at 2.5 times the target", key_frame},
	{"under congestion it leaves at 1.25 times the target", congested},
	{"late packets wait or pass, missing ones are stepped over", late_and_missing},
	{"a backlog of more than 500 ms is dropped", stale},
	{"a replay runs at four times the layer's rate, live packets behind it", replay},
	{"key frames of a large call are spread over 40 ms", spread},
	{"50000 packets at random: each leaves once, the rate holds", random_order},
	CU_TEST_INFO_NULL,
};
