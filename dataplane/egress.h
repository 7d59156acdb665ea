// From one opened packet to many sealed ones.
#pragma once

#include <stdint.h>

#include "dataplane/fanout.h"

#define EGRESS_SLICE 64 // receivers per call of the cipher

// Seal m for n receivers at home here and queue the results. m's data is the RTP packet without its tag;
// pkt_of(m) has hdr_len, ts, marker, level and codec. m stays the caller's (peek).
// thread: home worker of the receivers
void egress_fan(struct worker *, const struct receiver *receivers, uint32_t n, struct rte_mbuf *m_peek,
		uint64_t rank);

// Seal one RTCP compound for the session and queue it. thread: home worker
void egress_rtcp(struct worker *, struct session *, const uint8_t *compound, size_t len);
