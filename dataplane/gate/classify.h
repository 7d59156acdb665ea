// First pass over a burst: what each datagram is, by its first bytes (RFC 7983).
#pragma once

#include <stdint.h>

#include "dataplane/port/port.h"

struct worker;

// Set pkt_of(m)->kind and ->arrival of each packet; what is none of ours is dropped by name.
//
// returns: packets left, moved together, order kept
unsigned classify(struct worker *, struct rte_mbuf **pkts, unsigned n);
