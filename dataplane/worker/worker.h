// The loop of a worker: what it does round by round.
#pragma once

#include "lib/base/clock.h"

struct worker;

// Thread main of a worker; returns when dp->stop is set.
int worker_run(void *worker);

// One round of it: receive, do mails, fire timers, send what that gave. Returns how much there was to do.
// thread: the worker, registered with dp->qsbr
unsigned worker_round(struct worker *, ns_t now);
