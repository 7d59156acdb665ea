// Making a worker with its rings, and taking it down. thread: main
#pragma once

#include <stdbool.h>

struct dp;
struct worker;

// Ports and tables must be there. NULL + errno.
struct worker *worker_new(struct dp *, unsigned id, bool sleeps);
// It must have stopped. NULL is allowed.
void worker_free(struct worker *);
