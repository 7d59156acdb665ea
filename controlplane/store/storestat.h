// The store in /metrics: sluice_store_*.
#pragma once

#include "controlplane/sys/metrics.h"
#include "controlplane/store/store.h"

[[nodiscard]] int storestat_init(struct metrics *, struct store *); // 0, or -errno
