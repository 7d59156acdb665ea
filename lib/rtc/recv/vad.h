// Voice activity of one track from its RFC 6464 levels: "user is talking" for the call's display.
//
// The rule is rtcd's, exactly: the spread of the last 50 levels, not their height, decides. Different from
// rtcd: one monitor per track, and a change is reported only when there is one.
//
// thread: owner worker of the stream
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

#define VAD_RING 50                  // levels: 1 s at 50 packets/s
#define VAD_MIN_ON_NS (2 * NS_PER_S) // shortest time shown as talking

enum vad_change { VAD_SAME, VAD_ON, VAD_OFF };

// Zeroed is valid: silent, nothing heard.
struct vad {
	uint8_t level[VAD_RING];
	uint8_t at; // oldest entry once full
	uint8_t n;  // entries filled
	bool on;
	uint32_t sum;    // of level
	uint32_t sum_sq; // of level squared
	ns_t on_since;
};

// Feed one packet's level, muted or not.
//
// in: level  -dBov, 0 loud .. 127 silent
enum vad_change vad_push(struct vad *, uint8_t level, ns_t now);

// Muted: forget everything. VAD_OFF when it was on.
enum vad_change vad_reset(struct vad *);
