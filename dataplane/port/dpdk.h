// The DPDK headers everybody here needs, and how a packet buffer is given back. One clash is settled: rte_cycles.h
// defines NS_PER_S as a 32-bit number, which overflows in "30 * NS_PER_S". Include this before or after
// lib/base/clock.h, both work.
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

// A buffer goes back to its pool by one of these names, each of which is a reason; DPDK's own functions do not compile
// from here on. A packet that somebody was to get is given up by drop(), which counts why, and by nothing else.

// What m came for is done: it was read, copied, sent or handed on, or it was a notice. NULL is allowed.
static inline void mbuf_done(struct rte_mbuf *m)
{
	rte_pktmbuf_free(m);
}

static inline void mbufs_done(struct rte_mbuf **m, unsigned n)
{
	rte_pktmbuf_free_bulk(m, n);
}

// Taken from a pool ahead of need and never filled, or filled in vain while the original goes its way. NULL is allowed.
static inline void mbuf_unused(struct rte_mbuf *m)
{
	rte_pktmbuf_free(m);
}

static inline void mbufs_unused(struct rte_mbuf **m, unsigned n)
{
	rte_pktmbuf_free_bulk(m, n);
}

// Given up on its way: for drop() and for ports alone, which count it under a reason.
static inline void mbuf_lost(struct rte_mbuf *m)
{
	rte_pktmbuf_free(m);
}

static inline void mbufs_lost(struct rte_mbuf **m, unsigned n)
{
	rte_pktmbuf_free_bulk(m, n);
}

// tools/devtools/check-poison shows that these do not compile.
#pragma GCC poison rte_pktmbuf_free rte_pktmbuf_free_bulk rte_pktmbuf_free_seg rte_mbuf_raw_free

// rte_ring_empty with loads that the memory model knows (DPDK's are plain, and ThreadSanitizer says so).
static inline bool ring_is_empty(const struct rte_ring *r)
{
	return __atomic_load_n(&r->prod.tail, __ATOMIC_RELAXED) ==
	       __atomic_load_n(&r->cons.tail, __ATOMIC_RELAXED);
}
