// From one opened packet to many sealed ones.
#pragma once

#include <stdint.h>

#include "dataplane/media/fanout.h"

struct rte_mbuf;
struct seal_rtp;
struct worker;

#define EGRESS_SLICE 64 // receivers per call of the cipher

// Seal m for n receivers at home here and queue the results. m's data is the RTP packet without its tag;
// pkt_of(m) has hdr_len, ts, marker, level and codec. m stays the caller's (peek).
// thread: home worker of the receivers
void egress_fan(struct worker *, const struct receiver *receivers, uint32_t n, struct rte_mbuf *m_peek,
		uint64_t rank);

// Seal n packets and queue those that could be: out[i] has its header and room for the rest, for session[i]. out are
// consumed. thread: home worker of the receivers
void egress_send(struct worker *, struct seal_rtp *job, struct rte_mbuf **out, struct session *const *session,
		 unsigned n);

// An SRTP index has 48 bits; behind them numbers, and with them nonces, would come again (RFC 3711 section 9.2).
#define EGRESS_INDEX_END (UINT64_C(1) << 48)

// Seal one RTCP compound for the session and queue it. thread: home worker
void egress_rtcp(struct worker *, struct session *, const uint8_t *compound, size_t len);
