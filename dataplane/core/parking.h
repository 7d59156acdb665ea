// Packets of a session that wait for something to come: a few, and for a second at most.
#pragma once

#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/ipc/statseg.h"

struct rte_mbuf;
struct worker;

#define PARKING_MAX 8
#define PARKING_NS (1 * NS_PER_S) // since a packet's arrival

// Zeroed is valid. Owned by the session. thread, of all of these: home worker
struct parking {
	struct rte_mbuf *m[PARKING_MAX]; // owned, oldest first
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
