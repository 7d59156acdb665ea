// The store in /metrics: sluice_store_*.
#pragma once

#include "controlplane/metrics.h"
#include "controlplane/store.h"

[[nodiscard]] int storestat_init(struct metrics *, struct store *); // 0, or -errno
