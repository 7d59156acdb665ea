// `close` messages of one client that wait for a connection of it: in their order, bounded in number and in time.
//
// thread: loop.
#pragma once

#include <stdbool.h>
#include <sys/queue.h>

#include "controlplane/sys/loop.h"
#include "lib/base/str.h"

#define CLOSES_WAIT_NS (60 * NS_PER_S)
#define CLOSES_MAX 1000

struct closes;
struct closes_ops {
	void (*lost)(struct closes *, const char *why); // one that nobody took; why: a metric label
	void (*ran_out)(struct closes *);               // the last one's time is over; closes may be freed
};

struct waiting_close;
struct closes {
	struct loop *loop;            // borrowed
	const struct closes_ops *ops; // borrowed
	STAILQ_HEAD(, waiting_close) list;
	unsigned n;
	struct timer timer; // of the oldest
};

void closes_init(struct closes *, struct loop *, const struct closes_ops *);
void closes_clear(struct closes *); // nothing is called; ready for reuse, and for freeing

// Copies the id. The oldest one goes when there are CLOSES_MAX. returns: 0, -ENOMEM
[[nodiscard]] int closes_add(struct closes *, struct str session_id);
// The oldest, until the next call that changes them. False: none.
bool closes_first(const struct closes *, struct str *session_id);
void closes_drop_first(struct closes *);
