// How a worker sleeps while nothing is to be done: what wakes it, and that no wake-up is lost.
#pragma once

struct worker;

// Open what it sleeps on: doorbells, and descriptors of the ports. 0, -errno; what is open is closed by worker_free.
// thread: main
int sleep_open(struct worker *);

// Sleep until the next timer, or until there is something to do. thread: the worker
void sleep_idle(struct worker *);
