// libuv behind loop.h. Timers hang in one wheel that a single uv timer drives: it is set from a prepare
// handle, just before uv waits, so that arming costs nothing but list work. Deferred calls run there too;
// an idle handle keeps uv from waiting while some are queued.
#include "controlplane/sys/loop.h"

#include <assert.h>
#include <stdlib.h>

#include <uv.h>

#include "lib/base/err.h"
#include "lib/base/log.h"

struct loop_signal {
	uv_signal_t handle;
	void (*fn)(void *arg, int signum);
	void *arg;
	struct loop_signal *next;
};

struct loop {
	uv_loop_t uv;
	uv_timer_t wheel_timer, turn_timer;
	uv_prepare_t prepare;
	uv_idle_t idle; // active while deferred calls are queued
	struct wheel wheel;
	ns_t now;
	TAILQ_HEAD(, deferred) deferred;
	struct loop_signal *signals; // owned
	struct loop_lag lag;
	ns_t turn_began;          // 0: it waits
	ns_t logged;              // when a long turn was
	struct {                  // the dearest work of this turn
		const char *kind; // NULL: none
		ns_t cost;
		char client[64], session[64];
	} work;
};

struct loop_fd {
	uv_poll_t handle;
	loop_fd_fn fn; // NULL once unwatched
	void *arg;     // borrowed
	unsigned events;
};

ns_t loop_now(const struct loop *l)
{
	return l->now;
}

static void update_now(struct loop *l)
{
	uv_update_time(&l->uv);
	l->now = clock_now();
}

// --- what holds it up ------------------------------------------------------------------------------
static void copy_name(struct str s, char *out, size_t size)
{
	s.len = s.len < size ? s.len : size - 1;
	str_copy(s, out, size);
}

void loop_note(struct loop *l, const char *kind, ns_t cost, struct str client, struct str session)
{
	if (l->work.kind != NULL && cost <= l->work.cost)
		return;
	l->work.kind = kind;
	l->work.cost = cost;
	copy_name(client, l->work.client, sizeof(l->work.client));
	copy_name(session, l->work.session, sizeof(l->work.session));
}

void loop_lag_take(struct loop *l, struct loop_lag *out)
{
	*out = l->lag;
	l->lag.longest = 0;
}

// At most once a second.
static void log_turn(struct loop *l, ns_t now, ns_t took)
{
	if (l->logged != 0 && now - l->logged < NS_PER_S)
		return;
	l->logged = now;
	if (l->work.kind == NULL)
		log_warn("loop: a turn took %lld ms", (long long)(took / NS_PER_MS));
	else
		log_warn("loop: a turn took %lld ms; the dearest was %s, %lld ms, client %s, session %s",
			 (long long)(took / NS_PER_MS), l->work.kind, (long long)(l->work.cost / NS_PER_MS),
			 l->work.client[0] ? l->work.client : "-",
			 l->work.session[0] ? l->work.session : "-");
}

// All that the turn had to do is done; the loop waits.
static void end_turn(struct loop *l)
{
	ns_t now = clock_now(), took = l->turn_began != 0 ? now - l->turn_began : 0;

	l->turn_began = 0;
	l->lag.n_turns++;
	l->lag.busy += took;
	if (took > l->lag.longest)
		l->lag.longest = took;
	if (took > LOOP_LAG_LOGGED) {
		l->lag.n_late++;
		log_turn(l, now, took);
	}
	l->work.kind = NULL;
}

// Each call by libuv begins here.
static void on_called(struct loop *l)
{
	update_now(l);
	if (l->turn_began == 0)
		l->turn_began = l->now;
}

static void on_wheel(uv_timer_t *t)
{
	struct loop *l = t->data;

	on_called(l);
	wheel_advance(&l->wheel, l->now, 0);
}

static void run_deferred(struct loop *l)
{
	struct deferred mark = {.fn = NULL}, *d;

	// Those queued by the calls themselves wait for the next turn, so that reading goes on in between.
	TAILQ_INSERT_TAIL(&l->deferred, &mark, link);
	while ((d = TAILQ_FIRST(&l->deferred)) != &mark) {
		TAILQ_REMOVE(&l->deferred, d, link);
		d->queued = false;
		d->fn(d);
	}
	TAILQ_REMOVE(&l->deferred, &mark, link);
}

static void set_wheel_timer(struct loop *l)
{
	ns_t due = wheel_next(&l->wheel);
	uint64_t ms = 0;

	if (due == NS_NEVER) {
		uv_timer_stop(&l->wheel_timer);
		return;
	}
	if (due > l->now)
		ms = (uint64_t)((due - l->now + NS_PER_MS - 1) / NS_PER_MS);
	uv_timer_start(&l->wheel_timer, on_wheel, ms, 0);
}

static void on_idle(uv_idle_t *)
{
}

static void on_prepare(uv_prepare_t *p)
{
	struct loop *l = p->data;

	on_called(l);
	run_deferred(l);
	if (TAILQ_EMPTY(&l->deferred))
		uv_idle_stop(&l->idle);
	else
		uv_idle_start(&l->idle, on_idle);
	set_wheel_timer(l);
	end_turn(l);
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));
	int rc;

	if (l == NULL)
		return NULL;
	rc = uv_loop_init(&l->uv);
	if (rc < 0) {
		free(l);
		return err_null(-rc);
	}
	TAILQ_INIT(&l->deferred);
	l->now = clock_now();
	wheel_init(&l->wheel, l->now);
	uv_timer_init(&l->uv, &l->wheel_timer);
	uv_timer_init(&l->uv, &l->turn_timer);
	uv_prepare_init(&l->uv, &l->prepare);
	uv_idle_init(&l->uv, &l->idle);
	l->wheel_timer.data = l->turn_timer.data = l->prepare.data = l->idle.data = l;
	uv_prepare_start(&l->prepare, on_prepare);
	return l;
}

static void on_fd_closed(uv_handle_t *h)
{
	free(container_of(h, struct loop_fd, handle));
}

static void close_handle(uv_handle_t *h, void *)
{
	if (uv_is_closing(h))
		return;
	if (h->type == UV_POLL)
		log_warn("loop: a descriptor is still watched at the end");
	uv_close(h, h->type == UV_POLL ? on_fd_closed : NULL);
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	run_deferred(l);
	do { // again when a finished work item opened something
		uv_walk(&l->uv, close_handle, NULL);
		uv_run(&l->uv, UV_RUN_DEFAULT);
	} while (uv_loop_close(&l->uv) == UV_EBUSY);
	for (struct loop_signal *s = l->signals, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	free(l);
}

void loop_run(struct loop *l)
{
	uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
	uv_stop(&l->uv);
}

static void on_turn(uv_timer_t *)
{
}

void loop_turn(struct loop *l, ns_t timeout)
{
	update_now(l);
	uv_timer_start(&l->turn_timer, on_turn, (uint64_t)(timeout / NS_PER_MS), 0);
	uv_run(&l->uv, timeout > 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
	uv_timer_stop(&l->turn_timer);
	update_now(l);
}

void loop_arm(struct loop *l, struct timer *t, ns_t due)
{
	assert(t->on_due != NULL);
	wheel_arm(&l->wheel, t, due);
}

void loop_arm_in(struct loop *l, struct timer *t, ns_t delay)
{
	assert(t->on_due != NULL);
	wheel_arm(&l->wheel, t, clock_now() + delay);
}

void loop_cancel(struct loop *l, struct timer *t)
{
	wheel_cancel(&l->wheel, t);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct loop_fd *w = container_of(h, struct loop_fd, handle);
	unsigned ready = 0;

	on_called(h->data);
	if (w->fn == NULL)
		return;
	if (status < 0)
		ready = w->events;
	if (events & UV_READABLE)
		ready |= LOOP_READ;
	if (events & UV_WRITABLE)
		ready |= LOOP_WRITE;
	if (events & UV_DISCONNECT)
		ready |= LOOP_HUP;
	w->fn(w->arg, ready);
}

struct loop_fd *loop_watch(struct loop *l, int fd, unsigned events, loop_fd_fn fn, void *arg)
{
	struct loop_fd *w = calloc(1, sizeof(*w));
	int rc;

	if (w == NULL)
		return NULL;
	rc = uv_poll_init(&l->uv, &w->handle, fd);
	if (rc < 0) {
		free(w);
		return err_null(-rc);
	}
	w->handle.data = l;
	w->fn = fn;
	w->arg = arg;
	loop_rewatch(w, events);
	return w;
}

void loop_rewatch(struct loop_fd *w, unsigned events)
{
	int uv_events = 0;

	assert(w->fn != NULL); // not after loop_unwatch
	if (events == w->events)
		return;
	w->events = events;
	if (events & LOOP_READ)
		uv_events |= UV_READABLE;
	if (events & LOOP_WRITE)
		uv_events |= UV_WRITABLE;
	if (events & LOOP_HUP)
		uv_events |= UV_DISCONNECT;
	if (uv_events == 0)
		uv_poll_stop(&w->handle);
	else
		uv_poll_start(&w->handle, uv_events, on_poll);
}

void loop_unwatch(struct loop_fd *w)
{
	if (w == NULL)
		return;
	w->fn = NULL;
	uv_close((uv_handle_t *)&w->handle, on_fd_closed);
}

static void on_signal(uv_signal_t *h, int signum)
{
	struct loop_signal *s = container_of(h, struct loop_signal, handle);

	on_called(h->data);
	s->fn(s->arg, signum);
}

int loop_on_signal(struct loop *l, int signum, void (*fn)(void *arg, int signum), void *arg)
{
	struct loop_signal *s = calloc(1, sizeof(*s));
	int rc;

	if (s == NULL)
		return -ENOMEM;
	rc = uv_signal_init(&l->uv, &s->handle);
	if (rc < 0) {
		free(s);
		return rc;
	}
	s->handle.data = l;
	s->fn = fn;
	s->arg = arg;
	s->next = l->signals;
	l->signals = s;
	return uv_signal_start(&s->handle, on_signal, signum);
}

struct loop_work_item {
	uv_work_t req;
	struct work *item;
};

static void on_work(uv_work_t *req)
{
	struct work *item = container_of(req, struct loop_work_item, req)->item;

	item->run(item);
}

static void on_work_done(uv_work_t *req, int)
{
	struct loop_work_item *w = container_of(req, struct loop_work_item, req);
	struct work *item = w->item;

	on_called(container_of(req->loop, struct loop, uv));
	free(w);
	item->impl = NULL;
	item->done(item);
}

int loop_work(struct loop *l, struct work *item)
{
	struct loop_work_item *w = calloc(1, sizeof(*w));
	int rc;

	assert(item->run != NULL && item->done != NULL);
	if (w == NULL)
		return -ENOMEM;
	w->item = item;
	item->impl = w;
	rc = uv_queue_work(&l->uv, &w->req, on_work, on_work_done);
	if (rc < 0) {
		item->impl = NULL;
		free(w);
	}
	return rc;
}

void loop_defer(struct loop *l, struct deferred *d)
{
	if (d->queued)
		return;
	assert(d->fn != NULL);
	d->queued = true;
	TAILQ_INSERT_TAIL(&l->deferred, d, link);
	// Matters only when called between prepare and the wait, that is never; harmless elsewhere.
	uv_idle_start(&l->idle, on_idle);
}

void loop_defer_cancel(struct loop *l, struct deferred *d)
{
	if (!d->queued)
		return;
	d->queued = false;
	TAILQ_REMOVE(&l->deferred, d, link);
}
