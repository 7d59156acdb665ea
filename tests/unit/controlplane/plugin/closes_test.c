#include "controlplane/plugin/closes.h"

#include <stdio.h>

#include "tests/unit/check.h"

static struct {
	unsigned lost, expired, ran_out;
} seen;

static void on_lost(struct closes *c, const char *why)
{
	seen.lost++;
	seen.expired += strcmp(why, "close expired") == 0;
}

static void on_ran_out(struct closes *c)
{
	seen.ran_out++;
}

static const struct closes_ops ops = {on_lost, on_ran_out};

static bool first_is(const struct closes *c, const char *id)
{
	struct str got = STR_NONE;

	return closes_first(c, &got) && str_eq(got, str_of(id));
}

// The timer's moment, without the wait.
static void pass(struct loop *l, struct closes *c, ns_t time)
{
	loop_cancel(l, &c->timer);
	c->timer.on_due(&c->timer, loop_now(l) + time);
}

static void in_order_and_copied(void)
{
	struct loop *l = loop_new();
	char id[] = "s1";
	struct closes c;

	closes_init(&c, l, &ops);
	CHECK(!first_is(&c, "s1"));
	CHECK_EQ(closes_add(&c, str_of(id)), 0);
	id[1] = 'x';
	CHECK_EQ(closes_add(&c, STR("s2")), 0);
	CHECK(first_is(&c, "s1"));
	closes_drop_first(&c);
	CHECK(first_is(&c, "s2"));
	CHECK(timer_armed(&c.timer));
	closes_drop_first(&c);
	CHECK(c.n == 0 && !timer_armed(&c.timer));
	loop_free(l);
}

static void oldest_goes_when_full(void)
{
	struct loop *l = loop_new();
	struct closes c;
	char id[16];

	memset(&seen, 0, sizeof(seen));
	closes_init(&c, l, &ops);
	for (unsigned i = 0; i < CLOSES_MAX + 3; i++) {
		snprintf(id, sizeof(id), "s%u", i);
		CHECK_EQ(closes_add(&c, str_of(id)), 0);
	}
	CHECK_EQ(c.n, CLOSES_MAX);
	CHECK(seen.lost == 3 && seen.expired == 0);
	CHECK(first_is(&c, "s3"));
	closes_clear(&c);
	CHECK(c.n == 0 && !timer_armed(&c.timer));
	loop_free(l);
}

static void gone_when_their_time_is_over(void)
{
	struct loop *l = loop_new();
	struct closes c;

	memset(&seen, 0, sizeof(seen));
	closes_init(&c, l, &ops);
	CHECK_EQ(closes_add(&c, STR("s1")), 0);
	loop_turn(l, 20 * NS_PER_MS);
	CHECK_EQ(closes_add(&c, STR("s2")), 0);
	pass(l, &c, CLOSES_WAIT_NS - 10 * NS_PER_MS); // of the first
	CHECK(seen.lost == 1 && seen.expired == 1 && seen.ran_out == 0);
	CHECK(first_is(&c, "s2"));
	CHECK(timer_armed(&c.timer));
	pass(l, &c, CLOSES_WAIT_NS);
	CHECK(seen.expired == 2 && seen.ran_out == 1 && c.n == 0);
	loop_free(l);
}

CU_TestInfo closes_tests[] = {{"closes come back in their order", in_order_and_copied},
			      {"the oldest one goes when there are too many", oldest_goes_when_full},
			      {"each goes when its time is over", gone_when_their_time_is_over},
			      CU_TEST_INFO_NULL};
