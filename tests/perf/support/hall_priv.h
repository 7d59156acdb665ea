// What the parts of the hall share.
#pragma once

#include <rte_ring.h>

#include "tests/perf/support/hall.h"

#define HALL_PT 111
#define HALL_TWCC 3 // extension id

extern const struct port_ops hall_ops;

// A datagram of the person as the port gives it up.
struct rte_mbuf *hall_mbuf(uint32_t person, const void *data, size_t len);

// The person's keys, the same both ways.
void hall_secret(uint32_t person, uint8_t key[32], uint8_t salt[16]);

// The person watches from now on. thread: main, before it has a video leg
void hall_watch_add(uint32_t person);
// thread: main, when the workers have stopped
void hall_watch_free(void);

// A packet arrives at the person with this address. thread: the worker of the queue
void hall_watched(unsigned queue, const uint8_t *address, const uint8_t *rtp, uint64_t now);

// Answers that are due, at most n. thread: the worker of the queue
unsigned hall_watch(unsigned queue, uint64_t now, struct rte_mbuf **pkts, unsigned n);
