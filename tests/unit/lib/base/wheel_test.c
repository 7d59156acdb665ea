#include "tests/unit/check.h"

#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "lib/base/wheel.h"

struct probe {
	struct timer timer;
	struct wheel *wheel;
	ns_t fired_at;
	int n_fired;
	ns_t again_after; // re-arm this much later, 0: no
	struct timer *cancels;
};

static void on_probe(struct timer *t, ns_t now)
{
	struct probe *p = container_of(t, struct probe, timer);

	p->fired_at = now;
	p->n_fired++;
	if (p->again_after)
		wheel_arm(p->wheel, t, now + p->again_after);
	if (p->cancels)
		wheel_cancel(p->wheel, p->cancels);
}

static struct probe probe_of(struct wheel *w)
{
	return (struct probe){.timer.on_due = on_probe, .wheel = w};
}

static void test_fires_at_the_tick_never_early(void)
{
	static const ns_t after[] = {1,
				     NS_PER_MS,
				     NS_PER_MS + 1,
				     255 * NS_PER_MS,
				     256 * NS_PER_MS,
				     257 * NS_PER_MS,
				     NS_PER_S,
				     65535 * NS_PER_MS,
				     65536 * NS_PER_MS,
				     100 * NS_PER_S,
				     3600 * NS_PER_S,
				     86400 * NS_PER_S,
				     30 * 86400 * NS_PER_S,
				     60 * 86400 * NS_PER_S};
	ns_t start = 123456789;

	for (size_t i = 0; i < ARRAY_LEN(after); i++) {
		static struct wheel w;
		struct probe p = probe_of(&w);
		ns_t due = start + 5 * NS_PER_MS + after[i];

		wheel_init(&w, start);
		CHECK_EQ(wheel_advance(&w, start + 5 * NS_PER_MS, 0), 0);
		wheel_arm(&w, &p.timer, due);
		CHECK(timer_armed(&p.timer));
		CHECK_EQ(wheel_advance(&w, due - 1, 0), 0);
		CHECK_EQ(wheel_advance(&w, due + WHEEL_TICK_NS, 0), 1);
		CHECK_EQ(p.n_fired, 1);
		CHECK(!timer_armed(&p.timer));
		CHECK_EQ(w.n_armed, 0);
	}
}

static void test_past_and_never(void)
{
	static struct wheel w;
	struct probe p = probe_of(&w);

	wheel_init(&w, NS_PER_S);
	wheel_arm(&w, &p.timer, 0);
	CHECK_EQ(wheel_advance(&w, NS_PER_S, 0), 1); // same tick, no time has passed
	wheel_arm(&w, &p.timer, NS_NEVER);
	CHECK(!timer_armed(&p.timer));
	CHECK(wheel_next(&w) == NS_NEVER);
	wheel_arm(&w, &p.timer, NS_NEVER - 1);
	CHECK_EQ(wheel_advance(&w, 1000 * 86400 * NS_PER_S, 0), 0);
	CHECK(timer_armed(&p.timer));
	wheel_cancel(&w, &p.timer);
	wheel_cancel(&w, &p.timer);
	CHECK_EQ(w.n_armed, 0);
}

static void test_callbacks_may_rearm_and_cancel(void)
{
	static struct wheel w;
	struct probe every = probe_of(&w), a = probe_of(&w), b = probe_of(&w);

	wheel_init(&w, 0);
	every.again_after = 10 * NS_PER_MS;
	wheel_arm(&w, &every.timer, 10 * NS_PER_MS);
	for (ns_t now = 0; now <= NS_PER_S; now += NS_PER_MS)
		wheel_advance(&w, now, 0);
	CHECK_EQ(every.n_fired, 100);
	wheel_cancel(&w, &every.timer);
	// two of the same tick cancel each other: exactly one fires
	a.cancels = &b.timer;
	b.cancels = &a.timer;
	wheel_arm(&w, &a.timer, 2 * NS_PER_S);
	wheel_arm(&w, &b.timer, 2 * NS_PER_S);
	CHECK_EQ(wheel_advance(&w, 3 * NS_PER_S, 0), 1);
	CHECK_EQ(a.n_fired + b.n_fired, 1);
	CHECK_EQ(w.n_armed, 0);
}

static void test_rearming_in_the_past_does_not_loop(void)
{
	static struct wheel w;
	struct probe p = probe_of(&w);

	wheel_init(&w, 0);
	p.again_after = -5;
	wheel_arm(&w, &p.timer, NS_PER_MS);
	CHECK_EQ(wheel_advance(&w, NS_PER_S, 0), 1);
	CHECK_EQ(wheel_advance(&w, NS_PER_S, 0), 1);
	wheel_cancel(&w, &p.timer);
}

static void test_the_bound_leaves_the_rest_for_later(void)
{
	static struct wheel w;
	static struct probe p[100];
	int n = 0;

	wheel_init(&w, 0);
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		p[i] = probe_of(&w);
		wheel_arm(&w, &p[i].timer, i < 50 ? 5 * NS_PER_MS : (ns_t)i * NS_PER_MS);
	}
	CHECK_EQ(wheel_advance(&w, NS_PER_S, 7), 7);
	CHECK(wheel_next(&w) <= NS_PER_S);
	wheel_cancel(&w, &p[99].timer);
	for (size_t i = 0; i < 50; i++) // cancelling what waits over the bound
		if (p[i].n_fired == 0) {
			wheel_cancel(&w, &p[i].timer);
			break;
		}
	for (int k; (k = (int)wheel_advance(&w, NS_PER_S, 7)) > 0;) {
		CHECK(k <= 7);
		n += k;
	}
	CHECK_EQ(n, 100 - 7 - 2);
	CHECK(wheel_next(&w) == NS_NEVER);
}

static void test_next_is_a_lower_bound_that_gets_there(void)
{
	static struct wheel w;
	struct probe p = probe_of(&w);
	ns_t due = 12345678 * NS_PER_MS, now = 0;
	int n_wakes = 0;

	wheel_init(&w, 0);
	CHECK(wheel_next(&w) == NS_NEVER);
	wheel_arm(&w, &p.timer, due);
	while (p.n_fired == 0 && n_wakes++ < 10) {
		ns_t next = wheel_next(&w);

		CHECK(next > now && next <= due);
		now = next;
		wheel_advance(&w, now, 0);
	}
	CHECK(p.fired_at == due);
	CHECK(n_wakes <= WHEEL_LEVELS); // one cascade per level at most
}

// Against a model: each fires in the first advance at or after its tick.
static void test_random_timers_match_a_model(void)
{
	static struct wheel w;
	static struct probe p[300];
	ns_t due[ARRAY_LEN(p)], now = 777, end = 400 * NS_PER_S;

	rand_seed(11);
	wheel_init(&w, now);
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		p[i] = probe_of(&w);
		due[i] = now + (ns_t)(rand_u64() % (i % 2 ? 300 : 300000)) * NS_PER_MS;
		wheel_arm(&w, &p[i].timer, due[i]);
	}
	while (now < end) {
		ns_t before = now;

		now += (ns_t)(rand_u64() % (uint64_t)(3 * NS_PER_S));
		wheel_advance(&w, now, 0);
		for (size_t i = 0; i < ARRAY_LEN(p); i++) {
			if (p[i].n_fired)
				CHECK(p[i].fired_at >= due[i]);
			else
				CHECK(due[i] > before - WHEEL_TICK_NS);
			if (!p[i].n_fired && rand_u32() % 50 == 0) { // move it
				due[i] = now + (ns_t)(rand_u64() % 90000) * NS_PER_MS;
				wheel_arm(&w, &p[i].timer, due[i]);
			}
		}
	}
	rand_seed(0);
	wheel_advance(&w, now + 100 * NS_PER_S, 0);
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		CHECK_EQ(p[i].n_fired, 1);
	CHECK_EQ(w.n_armed, 0);
}

CU_TestInfo wheel_tests[] = {
	{"a timer fires within a tick of its time and never early, on every level",
	 test_fires_at_the_tick_never_early},
	{"a time in the past fires at the next advance, NS_NEVER does not", test_past_and_never},
	{"callbacks may re-arm themselves and cancel others", test_callbacks_may_rearm_and_cancel},
	{"re-arming in the past does not loop", test_rearming_in_the_past_does_not_loop},
	{"what is over the bound fires later, or is cancelled", test_the_bound_leaves_the_rest_for_later},
	{"sleeping until wheel_next gets there in a few steps", test_next_is_a_lower_bound_that_gets_there},
	{"random timers match a model", test_random_timers_match_a_model},
	CU_TEST_INFO_NULL,
};
