// The process in /metrics, under the names of rtcd's process collector (rtcd_process_*).
#pragma once

#include "controlplane/sys/metrics.h"

// Register the collector. 0, or -errno.
[[nodiscard]] int procstat_init(struct metrics *);
