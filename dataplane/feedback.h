// RTCP. Everything that comes from clients ends here; what we send is made here from our own numbers.
#pragma once

#include <stdint.h>

#include "dataplane/port.h"

struct session;
struct stream;
struct worker;

// One SRTCP datagram of a session at home here. m is consumed. thread: home worker
void feedback_input(struct worker *, struct session *, struct rte_mbuf *m);

// An authentic RTP packet came in (before it is placed): keeps reports about its stream going.
void feedback_on_rtp(struct worker *, struct session *, struct stream *, const struct pkt *);

// Start the report timer of a session that begins to send or receive media.
void feedback_arm(struct worker *, struct session *);

// Whatever is due: reports, transport-wide feedback; sets the timer again. thread: home worker
void feedback_run(struct worker *, struct session *);
