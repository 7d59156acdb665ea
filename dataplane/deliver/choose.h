// Which layer of each video a session is sent: chosen from the estimate (media/bwe.h) by lib/rtc/send/allocate.h, and
// what tests the estimate: packets of probes. thread: home worker of the receiver
#pragma once

struct session;
struct worker;

// Whatever is due: silence, decisions each 100 ms, probes. Part of the session's timer.
void choose_run(struct worker *, struct session *);
