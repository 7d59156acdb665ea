// When a publisher's packets arrived, told to it (transport-wide congestion control feedback).
//
// Every authenticated packet that carries a number counts, whatever becomes of it: holes would look like loss.
// Publishers of video get a longer log.
//
// thread: home worker of the publisher. source: lib/rtc/wire/twcc.h
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"
#include "lib/rtc/wire/twcc.h"

#define TWCC_SLOTS 256        // 5 s of voice
#define TWCC_VIDEO_SLOTS 4096 // 4 s of 10 Mbit/s

struct session;
struct worker;

struct twcc_state {
	struct twcc_log log;
	uint32_t media_ssrc; // of the last packet logged
	bool is_wide;        // from the pool of long ones
	uint32_t ring[];     // TWCC_SLOTS or TWCC_VIDEO_SLOTS
};

void arrivals_log(struct worker *, struct session *, const struct pkt *, uint16_t number);
// The publisher began to send video.
void arrivals_widen(struct worker *, struct session *);
// A frame of video is complete: a good time to report.
void arrivals_frame(struct worker *, struct session *);
// Report what is due, and set the timer. Part of the session's timer.
void arrivals_run(struct worker *, struct session *);
void arrivals_free(struct worker *, struct session *);
