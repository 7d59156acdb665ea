// The way of an opened packet to the receivers of its track, on this worker and on others.
#pragma once

struct rte_mbuf;
struct source;
struct worker;

// Bring an opened packet of the source to all its receivers: own ones at once, others by one ring entry per
// worker. m is consumed. thread: publisher's home worker
void route_packet(struct worker *, struct source *, struct rte_mbuf *m);
// The second half on another worker. m is consumed. thread: home worker of the receivers
void route_arrived(struct worker *, struct rte_mbuf *m);
