// Receiving media: from a burst of sealed packets to authentic ones.
#pragma once

struct rte_mbuf;
struct worker;

// Open, check and forward a burst of RTP packets that belong to sessions at home here. All are consumed.
// thread: home worker
void receive_rtp(struct worker *, struct rte_mbuf **pkts, unsigned n);
