// The dataplane in /metrics: sluice_dp_*, read from its statistics segment at each scrape, and the link.
#pragma once

#include "controlplane/link/link.h"
#include "controlplane/sys/metrics.h"

[[nodiscard]] int linkstat_init(struct metrics *, struct link *); // borrowed; 0, or -errno
