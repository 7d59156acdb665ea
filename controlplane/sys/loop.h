// The event loop: timers, file descriptors, signals, work off the loop, deferred calls. The only header
// the control plane knows of its loop; loop.c alone knows libuv.
//
// thread: everything here belongs to the loop's thread, except what a struct work says.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/base/wheel.h"

struct loop;

struct loop *loop_new(void);   // NULL + errno
void loop_free(struct loop *); // closes what is left open; NULL is allowed
void loop_run(struct loop *);  // until loop_stop
void loop_stop(struct loop *); // loop_run returns at the end of this turn

// One turn: waits at most timeout for something to happen, not at all when it is 0. Tests and shutdown.
void loop_turn(struct loop *, ns_t timeout);

// Time of this turn, same clock as clock_now(); cheap.
ns_t loop_now(const struct loop *);

// --- what holds it up ------------------------------------------------------------------------------
#define LOOP_LAG_LOGGED (100 * NS_PER_MS)

// Work of this turn: the dearest is named in the log when the turn takes longer than LOOP_LAG_LOGGED. kind: static text
void loop_note(struct loop *, const char *kind, ns_t cost, struct str client, struct str session);

struct loop_lag {
	uint64_t n_turns, n_late; // late: longer than LOOP_LAG_LOGGED
	ns_t busy;                // sum of all turns
	ns_t longest;             // turn since the last loop_lag_take
};
// During a turn nobody else is served: how long it takes is what the others wait.
void loop_lag_take(struct loop *, struct loop_lag *);

// --- timers: set timer.on_due, then arm. Resolution 1 ms, never early, no allocation ---------------
void loop_arm(struct loop *, struct timer *, ns_t due);      // absolute; re-arms when armed
void loop_arm_in(struct loop *, struct timer *, ns_t delay); // from now
void loop_cancel(struct loop *, struct timer *);             // unarmed is allowed

// --- file descriptors ------------------------------------------------------------------------------
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HUP = 4 };
struct loop_fd;
// events: bits that are ready. An error on the descriptor shows as all bits asked for.
typedef void (*loop_fd_fn)(void *arg, unsigned events);

// Watch fd (non-blocking, owned by the caller) for events. NULL + errno. The fd must stay open until
// loop_unwatch, which may be called from the callback; no callback comes after it.
struct loop_fd *loop_watch(struct loop *, int fd, unsigned events, loop_fd_fn, void *arg);
void loop_rewatch(struct loop_fd *, unsigned events); // 0 pauses; no cost when unchanged
void loop_unwatch(struct loop_fd *);                  // frees it; NULL is allowed

// --- signals ---------------------------------------------------------------------------------------
// fn runs on the loop, at any number of signals. Lives as long as the loop. 0 or -errno.
[[nodiscard]] int loop_on_signal(struct loop *, int signum, void (*fn)(void *arg, int signum), void *arg);

// --- work off the loop -----------------------------------------------------------------------------
struct work {
	void (*run)(struct work *);  // on a pool thread: touches only what hangs on this item
	void (*done)(struct work *); // on the loop, always called once; owns the item again
	void *impl;                  // loop's
};
// Hand item over until done is called. 0 or -ENOMEM (then done is not called). The caller bounds how many.
[[nodiscard]] int loop_work(struct loop *, struct work *item);

// --- deferred calls --------------------------------------------------------------------------------
struct deferred {
	void (*fn)(struct deferred *); // set by the owner
	TAILQ_ENTRY(deferred) link;    // loop's
	bool queued;                   // loop's
};
// Call d->fn once before the loop waits again, after the current callback has returned.
void loop_defer(struct loop *, struct deferred *); // queued already: nothing
void loop_defer_cancel(struct loop *, struct deferred *);
