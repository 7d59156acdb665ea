// RTCP that we send: reports about what comes in and what goes out, and transport-wide feedback, all made from our own
// numbers. thread: home worker of the session
#pragma once

struct session;
struct stream;
struct worker;

// Tell the receivers' workers where the clock of this stream's track is now.
void reports_map(struct worker *, struct session *, struct stream *);

// Whatever is due: reports, transport-wide feedback; sets the timer again.
void reports_run(struct worker *, struct session *);
