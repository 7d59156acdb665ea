#include "dataplane/worker/sleep.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "dataplane/core/dp.h"
#include "dataplane/gate/punt.h"
#include "dataplane/worker/worker_stats.h"
#include "lib/ipc/bell.h"

#define NAP_MS 1 // sleep of a worker whose port has no descriptor to wait on

// What wakes it: the ports by their number, and
enum { WOKEN_BY_WORKER = PORT_MAX, WOKEN_BY_PUNT };

static int watch_fd(struct worker *w, int fd, uint32_t what, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u32 = what};

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

int sleep_open(struct worker *w)
{
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->punt_bell = bell_new();
	if (w->epoll_fd < 0 || w->doorbell < 0 || w->punt_bell < 0 ||
	    watch_fd(w, w->doorbell, WOKEN_BY_WORKER, EPOLLIN | EPOLLET) < 0 ||
	    watch_fd(w, w->punt_bell, WOKEN_BY_PUNT, EPOLLIN | EPOLLET) < 0)
		return -errno;
	for (unsigned i = 0; i < w->dp->n_ports; i++) {
		struct port *p = w->dp->port[i];
		int fd = p->ops->wait_fd ? p->ops->wait_fd(p, w->id) : -1;

		if (fd < 0)
			w->naps = true;
		else if (watch_fd(w, fd, i, EPOLLIN) < 0)
			return -errno;
	}
	w->may_skip = w->sleeps && !w->naps;
	return 0;
}

static bool rings_are_empty(const struct worker *w)
{
	for (unsigned i = 0; i < w->dp->n_workers; i++)
		if (w->in[i] && !ring_is_empty(w->in[i]))
			return false;
	return ring_is_empty(w->mail);
}

// Milliseconds until the next timer, -1 for none; rounded up, so that it has come when we wake. An overloaded worker looks
// whether it still is, also when everybody has left: it may be why nobody comes.
static int sleep_ms(const struct worker *w)
{
	ns_t next = wheel_next(&w->wheel);

	if (w->naps)
		return NAP_MS;
	if (w->overload.stage != OVERLOAD_NONE)
		next = RTE_MIN(next, w->stats_due);
	if (next == NS_NEVER)
		return -1;
	if (next <= w->now)
		return 1;
	return (int)RTE_MIN((next - w->now + NS_PER_MS - 1) / NS_PER_MS, INT64_C(60000));
}

static void tell_woken(struct worker *w, uint32_t what)
{
	if (what == WOKEN_BY_PUNT)
		punt_woken(w);
	if (what >= PORT_MAX)
		return;
	w->n_skip[what] = 0;
	if (w->dp->port[what]->ops->woken)
		w->dp->port[what]->ops->woken(w->dp->port[what], w->id);
}

// Ports that were not readable need no look in the round of what woke us, and in the one that finds nothing more to do.
static void wait_for_something(struct worker *w, int ms)
{
	struct epoll_event ev[4 + PORT_MAX];
	int n = epoll_wait(w->epoll_fd, ev, ARRAY_LEN(ev), ms);

	if (w->may_skip)
		memset(w->n_skip, 2, sizeof(w->n_skip));
	for (int i = 0; i < n; i++)
		tell_woken(w, ev[i].data.u32);
	count(w, CTR_SLEEPS, 1);
}

// Counters of a worker that wakes often are as fresh as those of one that does not sleep: publishing them at each sleep would
// touch a line of every port.
void sleep_idle(struct worker *w)
{
	int ms = sleep_ms(w);

	if (ms < 0 || ms > WORKER_STATS_NS / NS_PER_MS)
		worker_stats_publish(w);
	atomic_store_explicit(&w->asleep, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst); // the flag before the look; pairs with worker_wake
	if (rings_are_empty(w) && punt_may_sleep(w) &&
	    !atomic_load_explicit(&w->dp->stop, memory_order_relaxed)) {
		rte_rcu_qsbr_thread_offline(w->dp->qsbr, w->id);
		wait_for_something(w, ms);
		rte_rcu_qsbr_thread_online(w->dp->qsbr, w->id);
	}
	atomic_store_explicit(&w->beat, clock_now(), memory_order_relaxed);
	atomic_store_explicit(&w->asleep, 0,
			      memory_order_release); // the beat before awake; pairs with watchdog
}
