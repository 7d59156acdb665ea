// The least an IP host must answer, for devices we own whole and that have no kernel behind them: ARP requests
// and neighbour solicitations for our addresses, and echo requests to them. On devices that the kernel shares
// (net_af_packet, net_af_xdp) or gets the rest of (a tap), the kernel answers, and this is not used.
//
// Nothing is learned here: replies to peers go back to where they came from (frame_path).
//
// thread: any, no state
// source: RFC 826, RFC 4861 sections 7.1.1 and 7.2.4, RFC 792, RFC 4443 section 4.2
#pragma once

#include "dataplane/port/frame.h"

// Turn a request into its answer, in place. False when there is nothing to answer; then m is unchanged.
[[nodiscard]] bool neigh_answer(const struct frame_ours *, struct rte_mbuf *m_peek);

// Write a gratuitous ARP (IPv4) or an unsolicited neighbour advertisement (IPv6) for address i of ours into an
// empty m: switches and neighbours learn where we are. Returns false when it does not fit.
[[nodiscard]] bool neigh_announce(const struct frame_ours *, unsigned i, struct rte_mbuf *m_peek);
