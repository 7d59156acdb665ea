// The statistics segment: a memfd that sluice-dp writes and others map read only. One block per writer
// (each worker, and main), on cache lines of its own; every counter is one 64-bit word that only its
// writer changes, so readers need no lock and writers no atomic read-modify-write.
//
//   writer   1 statseg_create  2 statseg_block per worker  3 statseg_add on it, from that thread only
//   reader   1 statseg_open on the descriptor it was handed  2 statseg_read, statseg_sum
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define STATSEG_MAX_BLOCKS 129 // 128 workers and main

// Drops come first and start at 1, so that one byte can say "pass" (0) or why a packet was dropped.
enum counter {
	CTR_NONE = 0,
#define DROP(id, reason, help) DROP_##id,
#include "lib/ipc/counters.def"
	N_DROPS, // one past the last reason
	CTR_BEFORE_FIRST = N_DROPS - 1,
#define COUNTER(id, name, unit, help) CTR_##id,
#include "lib/ipc/counters.def"
	GAUGE_FIRST,
	GAUGE_BEFORE_FIRST = GAUGE_FIRST - 1,
#define GAUGE(id, name, unit, help) GAUGE_##id,
#include "lib/ipc/counters.def"
	N_COUNTERS,
};

enum counter_kind { STAT_DROP, STAT_COUNTER, STAT_GAUGE };

struct counter_info {
	enum counter_kind kind;
	const char *name; // reason of a drop, else the name in counters.def
	const char *unit; // "packets", "bytes", ...
	const char *help;
};

// NULL for CTR_NONE and values out of range.
const struct counter_info *counter_info(unsigned id);

// --- writing -----------------------------------------------------------------------------------
struct statseg_block {
	alignas(64) _Atomic uint64_t v[(N_COUNTERS + 7) / 8 * 8]; // index: enum counter
};

// thread: the block's owner only
static inline void statseg_add(struct statseg_block *b, enum counter id, uint64_t n)
{
	uint64_t v = atomic_load_explicit(&b->v[id], memory_order_relaxed);

	atomic_store_explicit(&b->v[id], v + n, memory_order_relaxed);
}

static inline uint64_t statseg_get(const struct statseg_block *b, enum counter id)
{
	return atomic_load_explicit(&b->v[id], memory_order_relaxed);
}

static inline void statseg_set(struct statseg_block *b, enum counter gauge, uint64_t v)
{
	atomic_store_explicit(&b->v[gauge], v, memory_order_relaxed);
}

struct statseg;

// A new segment with zeroed blocks. NULL + errno. thread: any, once
struct statseg *statseg_create(unsigned n_blocks, uint64_t boot_id);
struct statseg_block *statseg_block(struct statseg *, unsigned i); // i < n_blocks
int statseg_fd(const struct statseg *); // borrowed; read-only descriptor to hand out

// --- reading -----------------------------------------------------------------------------------
// Map a segment read only and check its size, seals, version and counter names. fd stays the caller's.
// NULL + errno: EPROTO when it was written by another version, EBADMSG when it is not a segment.
struct statseg *statseg_open(int fd);

void statseg_close(struct statseg *); // of either side; NULL is allowed
uint64_t statseg_read(const struct statseg *, unsigned block, unsigned id); // 0 when out of range
uint64_t statseg_sum(const struct statseg *, unsigned id);                  // over all blocks
