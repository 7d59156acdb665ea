// RTCP that we send: reports about what comes in and what goes out, and transport-wide feedback, all made from our own
// numbers. thread: home worker of the session
#pragma once

#include "dataplane/port/port.h"

struct session;
struct stream;
struct worker;

// An authentic RTP packet came in (before it is placed): keeps reports about its stream going.
void reports_on_rtp(struct worker *, struct session *, struct stream *, const struct pkt *);

// Start the report timer of a session that begins to send or receive media.
void reports_arm(struct worker *, struct session *);

// Tell the receivers' workers where the clock of this stream's track is now.
void reports_map(struct worker *, struct session *, struct stream *);

// Whatever is due: reports, transport-wide feedback; sets the timer again.
void reports_run(struct worker *, struct session *);
