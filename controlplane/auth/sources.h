// What is remembered about each address that asks: failures, registrations, how much of it is in the queue.
// At most max entries; the one not seen for longest makes room. Pure code, explicit now.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/clock.h"
#include "lib/base/hash.h"

struct source {
	uint8_t key[16];
	double failures_left; // token bucket
	ns_t at;              // of the bucket
	ns_t window;          // start of the registration minute
	unsigned n_registered;
	unsigned n_refs; // operations that point here: not evicted
	TAILQ_ENTRY(source) lru;
};

struct sources {
	struct map *map;          // owned
	TAILQ_HEAD(, source) lru; // least recently seen first
	unsigned n, max;
	double burst, per_s;
};

[[nodiscard]] int sources_init(struct sources *, unsigned max, double burst, double per_s); // 0, -ENOMEM
void sources_fini(struct sources *);

// The entry of key, made when new; seen now. NULL when all are in use or out of memory.
struct source *sources_get(struct sources *, const uint8_t key[16], ns_t now);
// May this source try (has it failures left)?
bool source_may_try(struct sources *, struct source *, ns_t now);
void source_failed(struct sources *, struct source *, ns_t now);
// Take one of n_per_min registrations; false when used up.
bool source_may_register(struct source *, unsigned n_per_min, ns_t now);
