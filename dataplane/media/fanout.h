// Who receives a track: an immutable list, grouped by the workers the receivers are at home on.
//
// Main builds a new list from the legs it knows, publishes it with one release store, and frees the old one
// after a grace period. A worker reads the pointer once per packet and holds it no longer than its round.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/media/source.h"
#include "dataplane/port/port.h"

struct leg;
struct session;

struct receiver {
	struct leg *leg;         // borrowed
	struct session *session; // borrowed: leg->session, here so that both can be prefetched at once
};

struct fanout {
	uint64_t workers;                     // bit per worker that has receivers
	uint64_t every;                       // bit per worker that has receivers of every voice (room.h)
	uint32_t first[PORT_MAX_WORKERS + 1]; // receivers of worker i: [first[i], first[i + 1])
	uint32_t n_every[PORT_MAX_WORKERS];   // the first ones of worker i that receive every voice
	struct receiver receiver[];
};

// A list of n legs, each at home where its session is. NULL when n is 0 or memory is short (errno ENOMEM).
// Per worker those of every voice come first, then those with the same payload type together. thread: main
struct fanout *fanout_new(struct leg *const *legs, uint32_t n);
void fanout_free(struct fanout *);

// Make it the list of the source; the caller retires the one that comes back. thread: main
static inline const struct fanout *fanout_publish(struct source *s, const struct fanout *f)
{
	// release: the list is complete before it can be seen; pairs with fanout_of
	return atomic_exchange_explicit(&s->fanout, f, memory_order_acq_rel);
}

// The list now; valid until the worker's next quiescent report. thread: any worker
static inline const struct fanout *fanout_of(const struct source *s)
{
	return atomic_load_explicit(&s->fanout, memory_order_acquire);
}
