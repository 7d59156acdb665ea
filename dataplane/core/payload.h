// Buffers of video that is kept: copies in memory of their own, so that they never starve reception. Each has a handle for
// life, so a reader that found one in a ring needs nothing else to get at the packet; one that is taken out of its ring
// is freed a grace period later.
#pragma once

#include <stdint.h>

#include "dataplane/port/dpdk.h"

struct worker;

#define PAYLOAD_NONE UINT32_MAX // no handle

struct payload {
	struct rte_mbuf *m; // constant
	// retired
	uint64_t token;
	uint32_t next;
};

struct payload_store {
	struct rte_mempool *pool; // owned
	uint32_t n;
	struct payload *payload; // owned: by handle
};

// Those that left rings of this worker's publishers and wait for their grace period: chained by handle.
struct payload_retired {
	uint32_t oldest, newest; // these have a token; PAYLOAD_NONE: none
	uint32_t fresh, fresh_end;
	ns_t at; // of the last token
};

// NULL: out of memory. thread: main
struct payload_store *payload_store_open(uint64_t n_bytes);
void payload_store_close(struct payload_store *); // NULL is allowed

// The buffer of a handle. thread: any worker
static inline struct rte_mbuf *payload_of(const struct payload_store *s, uint32_t handle)
{
	return s->payload[handle].m;
}

void payload_retired_init(struct payload_retired *);
// No reader finds the buffer any more, but some may have: free it later. thread: the worker
void payload_retire(struct worker *, struct payload_store *, uint32_t handle);
// Free what may be freed: once a round. thread: the worker
void payload_reclaim(struct worker *);
