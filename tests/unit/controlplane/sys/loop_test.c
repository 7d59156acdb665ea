#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "controlplane/sys/loop.h"
#include "lib/base/err.h"
#include "tests/unit/check.h"

static unsigned order[8], n_order;

struct mark {
	struct deferred d;
	struct timer t;
	struct work w;
	struct loop *loop;
	unsigned id;
	bool again;
};

static void on_deferred(struct deferred *d)
{
	struct mark *m = container_of(d, struct mark, d);

	order[n_order++ % 8] = m->id;
	if (m->again) {
		m->again = false;
		loop_defer(m->loop, d);
	}
}

static void on_timer(struct timer *t, ns_t now)
{
	order[n_order++ % 8] = container_of(t, struct mark, t)->id;
}

static void defers(void)
{
	struct loop *l = loop_new();
	struct mark a = {.d.fn = on_deferred, .loop = l, .id = 1, .again = true},
		    b = {.d.fn = on_deferred, .id = 2}, c = {.d.fn = on_deferred, .id = 3};

	n_order = 0;
	loop_defer(l, &a.d);
	loop_defer(l, &b.d);
	loop_defer(l, &b.d); // queued already
	loop_defer(l, &c.d);
	loop_defer_cancel(l, &c.d);
	loop_turn(l, 0);
	CHECK_EQ(n_order, 2); // what a queued meanwhile waits for the next turn
	CHECK(order[0] == 1 && order[1] == 2);
	loop_turn(l, NS_PER_S); // does not wait: something is queued
	CHECK_EQ(n_order, 3);
	loop_free(l);
}

static void on_slow(struct deferred *d)
{
	usleep(120 * 1000);
}

static void measures_turns(void)
{
	struct loop *l = loop_new();
	struct mark a = {.d.fn = on_slow};
	struct loop_lag lag;

	loop_turn(l, 0);
	loop_lag_take(l, &lag);
	CHECK_EQ(lag.n_late, 0);
	loop_note(l, "test", NS_PER_MS, STR("client"), STR("session"));
	loop_defer(l, &a.d);
	loop_turn(l, 0);
	loop_lag_take(l, &lag);
	CHECK_EQ(lag.n_late, 1);
	CHECK(lag.longest >= 120 * NS_PER_MS && lag.busy >= lag.longest);
	loop_turn(l, 20 * NS_PER_MS); // waiting is no work
	loop_lag_take(l, &lag);
	CHECK(lag.longest < 20 * NS_PER_MS);
	loop_free(l);
}

static void times(void)
{
	struct loop *l = loop_new();
	struct mark a = {.t.on_due = on_timer, .id = 1}, b = {.t.on_due = on_timer, .id = 2},
		    c = {.t.on_due = on_timer, .id = 3};
	ns_t from = clock_now();

	n_order = 0;
	loop_arm_in(l, &a.t, 60 * NS_PER_MS);
	loop_arm_in(l, &b.t, 20 * NS_PER_MS);
	loop_arm_in(l, &c.t, 10 * NS_PER_MS);
	loop_cancel(l, &c.t);
	while (n_order < 2 && clock_now() - from < 2 * NS_PER_S)
		loop_turn(l, NS_PER_S);
	CHECK(order[0] == 2 && order[1] == 1);
	CHECK(clock_now() - from >= 60 * NS_PER_MS && clock_now() - from < NS_PER_S);
	loop_free(l);
}

static unsigned seen;
static struct loop_fd *watched;

static void on_fd(void *arg, unsigned events)
{
	char c;

	seen |= events;
	if (events & LOOP_READ && read(*(int *)arg, &c, 1) == 1 && c == 'x') {
		loop_unwatch(watched); // from its own callback
		watched = NULL;
	}
}

static void watches(void)
{
	struct loop *l = loop_new();
	int fd[2];

	CHECK_EQ(pipe(fd), 0);
	seen = 0;
	watched = loop_watch(l, fd[0], LOOP_READ, on_fd, &fd[0]);
	CHECK_EQ(write(fd[1], "a", 1), 1);
	loop_turn(l, NS_PER_S);
	CHECK_EQ(seen, LOOP_READ);
	loop_rewatch(watched, 0);
	seen = 0;
	CHECK_EQ(write(fd[1], "x", 1), 1);
	loop_turn(l, 20 * NS_PER_MS);
	CHECK_EQ(seen, 0);
	loop_rewatch(watched, LOOP_READ);
	loop_turn(l, NS_PER_S);
	CHECK(watched == NULL);
	close(fd[0]);
	close(fd[1]);
	loop_free(l);
}

static void run(struct work *w)
{
	container_of(w, struct mark, w)->id += 1;
}

static void done(struct work *w)
{
	struct mark *m = container_of(w, struct mark, w);

	m->again = true;
	loop_stop(m->loop);
}

static void works(void)
{
	struct loop *l = loop_new();
	struct mark m = {.w = {run, done, NULL}, .loop = l, .id = 1};

	CHECK_EQ(loop_work(l, &m.w), 0);
	loop_run(l);
	CHECK(m.again);
	CHECK_EQ(m.id, 2);
	m.again = false;
	CHECK_EQ(loop_work(l, &m.w), 0);
	loop_free(l); // waits: done is always called
	CHECK(m.again);
}

static void on_signal(void *arg, int signum)
{
	*(int *)arg = signum;
}

static void signals(void)
{
	struct loop *l = loop_new();
	int got = 0;

	CHECK_EQ(loop_on_signal(l, SIGUSR1, on_signal, &got), 0);
	CHECK_EQ(raise(SIGUSR1), 0);
	for (int i = 0; i < 50 && got == 0; i++)
		loop_turn(l, 20 * NS_PER_MS);
	CHECK_EQ(got, SIGUSR1);
	loop_free(l);
}

CU_TestInfo loop_tests[] = {
	{"long turns are measured and counted, waiting is not", measures_turns},
	{"deferred calls run once, before the loop waits", defers},
	{"timers fire in order, not early", times},
	{"descriptors: pause, go on, unwatch from the callback", watches},
	{"work runs off the loop and comes back, also at the end", works},
	{"signals arrive on the loop", signals},
	CU_TEST_INFO_NULL,
};
