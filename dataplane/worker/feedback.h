// RTCP that clients send us: all of it ends here. What we send is made by reports.h.
#pragma once

struct rte_mbuf;
struct session;
struct worker;

// One SRTCP datagram of a session at home here. m is consumed. thread: home worker
void feedback_input(struct worker *, struct session *, struct rte_mbuf *m);
