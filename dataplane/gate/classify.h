// First pass over a burst: what each datagram is, by its first bytes (RFC 7983).
#pragma once

#include <stdint.h>

#include "dataplane/port/port.h"

enum pkt_kind {
	PKT_STUN,
	PKT_DTLS,
	PKT_RTP,
	PKT_RTCP,
	PKT_FANOUT, // opened RTP on its way to another worker's receivers
	PKT_GONE,   // no data: the connection it names was closed
	PKT_INJECT, // datagram of the control plane for the session
};

struct worker;

// Set pkt_of(m)->kind and ->arrival of each packet; what is none of ours is dropped by name.
//
// returns: packets left, moved together, order kept
unsigned classify(struct worker *, struct rte_mbuf **pkts, unsigned n);
