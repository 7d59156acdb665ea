// A few words that one thread writes and any number read, all of one version: readers look again when the writer was at it,
// the writer never waits. For what changes seldom and is read by the packet.
//
// The words are atomics so that a read that is thrown away is no data race.
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct seqlock {
	_Atomic uint32_t seq; // odd while the words change
};

// thread: the one writer
static inline void seqlock_write(struct seqlock *l, _Atomic uint64_t *words, const uint64_t *from, unsigned n)
{
	uint32_t seq = atomic_load_explicit(&l->seq, memory_order_relaxed);

	atomic_store_explicit(&l->seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release); // odd before the words; pairs with seqlock_read
	for (unsigned i = 0; i < n; i++)
		atomic_store_explicit(&words[i], from[i], memory_order_relaxed);
	atomic_store_explicit(&l->seq, seq + 2, memory_order_release); // words before even
}

// thread: any
static inline void seqlock_read(const struct seqlock *l, const _Atomic uint64_t *words, uint64_t *to,
				unsigned n)
{
	uint32_t before, after;

	do {
		before = atomic_load_explicit(&l->seq, memory_order_acquire);
		for (unsigned i = 0; i < n; i++)
			to[i] = atomic_load_explicit(&words[i], memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire); // words before the second look
		after = atomic_load_explicit(&l->seq, memory_order_relaxed);
	} while (before != after || (before & 1));
}
