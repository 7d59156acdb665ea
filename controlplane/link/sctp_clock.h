// The pace of SCTP, of all data channels together: usrsctp keeps one clock, which ticks here while there are sessions.
// Between ticks the link may doze, so that acknowledgements on data channels do not wake the process one by one.
//
// thread: loop.
#pragma once

#include <stdint.h>

#include "controlplane/link/link.h"
#include "controlplane/sys/loop.h"

enum sctp_clock_pace {
	SCTP_CLOCK_MS = 50, // while a description is under way
	SCTP_IDLE_MS = 150, // while pings are all that data channels carry
};

struct sctp_clock {
	struct loop *loop; // borrowed, as the next two
	struct link *link;
	const uint32_t *n_sessions; // 0: it stops
	struct timer timer;
};

void sctp_clock_init(struct sctp_clock *, struct loop *, struct link *, const uint32_t *n_sessions);
void sctp_clock_start(struct sctp_clock *); // running already: nothing
void sctp_clock_stop(struct sctp_clock *);  // for good; zeroed: nothing
