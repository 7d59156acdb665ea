// Packets of a session that wait for something to come: a few, and for a second at most.
//
// They are buffers that ports receive into, so all that wait on a worker share a lot, far smaller than the pool, and what
// waits for one tenant may be as much as the lot has left: of an empty one it gets half, and others still find room. A
// packet without room is given up, as DROP_PARKING_FULL.
#pragma once

#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/ipc/statseg.h"

struct rte_mbuf;
struct worker;

#define PARKING_MAX 8             // per session and reason
#define PARKING_NS (1 * NS_PER_S) // since a packet's arrival
#define PARKING_POOL_SHARE 4      // the lots of all workers are one part in so many of the pool
#define PARKING_TENANTS 1024      // tenants that are told apart; more share

// Of a worker. Zeroed but for max is valid.
struct parking_lot {
	uint32_t n, max; // packets
	uint16_t held[PARKING_TENANTS];
};

// Zeroed is valid. Owned by the session. thread, of all of these: home worker
struct parking {
	struct rte_mbuf *m[PARKING_MAX]; // owned, oldest first
	uint16_t tenant;                 // index of parking_lot.held
	uint8_t n;
};

// Take in a packet; the oldest one makes room. m is consumed. why: counted for each packet that is given up.
void parking_add(struct worker *, struct parking *, struct rte_mbuf *m, enum counter why);
// Give up those that waited for too long.
void parking_expire(struct worker *, struct parking *, enum counter why);
// Take out those that did not; how many. They are the caller's.
unsigned parking_take(struct worker *, struct parking *, struct rte_mbuf *out[PARKING_MAX], enum counter why);
// Give up all.
void parking_clear(struct worker *, struct parking *, enum counter why);
