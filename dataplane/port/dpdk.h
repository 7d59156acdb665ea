// The DPDK headers everybody here needs, and one clash settled: rte_cycles.h defines NS_PER_S as a 32-bit
// number, which overflows in "30 * NS_PER_S". Include this before or after lib/base/clock.h, both work.
#pragma once

#include <stdbool.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#undef container_of // defined alike in lib/base/err.h
#undef NS_PER_S
#define NS_PER_S INT64_C(1000000000)

#include "lib/base/clock.h"
#include "lib/base/err.h"

// rte_ring_empty with loads that the memory model knows (DPDK's are plain, and ThreadSanitizer says so).
static inline bool ring_is_empty(const struct rte_ring *r)
{
	return __atomic_load_n(&r->prod.tail, __ATOMIC_RELAXED) ==
	       __atomic_load_n(&r->cons.tail, __ATOMIC_RELAXED);
}
