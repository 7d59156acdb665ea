// The process in /metrics, under the names of rtcd's process collector (rtcd_process_*), and how long its loop keeps others
// waiting.
#pragma once

#include "controlplane/sys/loop.h"
#include "controlplane/sys/metrics.h"

// Register the collector. 0, or -errno.
[[nodiscard]] int procstat_init(struct metrics *, struct loop *);
