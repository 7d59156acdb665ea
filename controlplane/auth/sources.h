// What is remembered about each address that asks, or about each client at an address: failures, guesses, registrations.
// At most max entries; the one not seen for longest makes room. Pure code, explicit now.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/tokens.h"

struct source {
	uint8_t key[16];
	struct tokens failures; // wrong keys that it may still present
	struct tokens guesses;  // of them such as were compared with the admin's
	ns_t told;              // last line in the log about it, 0: none
	ns_t window;            // start of the registration minute
	unsigned n_registered;
	unsigned n_refs; // operations that point here: not evicted
	TAILQ_ENTRY(source) lru;
};

struct sources {
	struct map *map;          // owned
	TAILQ_HEAD(, source) lru; // least recently seen first
	unsigned n, max;
};

[[nodiscard]] int sources_init(struct sources *, unsigned max); // 0, -ENOMEM
void sources_fini(struct sources *);

// The entry of key, made when new; seen now. NULL when all are in use or out of memory.
struct source *sources_get(struct sources *, const uint8_t key[16], ns_t now);
// Take one of n_per_min registrations; false when used up.
bool source_may_register(struct source *, unsigned n_per_min, ns_t now);
ns_t source_register_wait(const struct source *, ns_t now); // until the next minute of registrations begins
