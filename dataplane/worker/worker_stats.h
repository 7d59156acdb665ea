// What a worker counts for itself and for its ports, brought into its block of the statistics segment.
#pragma once

#include "lib/base/clock.h"

struct worker;

#define WORKER_STATS_NS (250 * NS_PER_MS) // a worker that turns does it so often

// Also measures how loaded the worker is. thread: the worker
void worker_stats_publish(struct worker *);
