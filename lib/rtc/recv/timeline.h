// The timestamps of one output whose input may be another stream from one packet to the next (another SSRC of the same
// track, the same one after a pause): they go on at the pace of real time and never back.
//
// thread: worker of the publisher
// source: RFC 3550 section 5.1
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

#define TIMELINE_QUIET_NS (500 * NS_PER_MS) // then another stream may take over
#define TIMELINE_JUMP_NS (1 * NS_PER_S)     // what a stream's timestamps may be off real time after a pause

// Zeroed is valid: nothing came yet.
struct timeline {
	uint32_t offset; // output timestamp = timestamp + offset
	uint32_t last;   // output timestamp of the newest packet
	ns_t at;         // its arrival
	bool started;
};

// The newest packet, with its output timestamp.
static inline void timeline_newest(struct timeline *t, uint32_t out_ts, ns_t now)
{
	t->last = out_ts;
	t->at = now;
	t->started = true;
}

static inline bool timeline_is_quiet(const struct timeline *t, ns_t now)
{
	return now - t->at > TIMELINE_QUIET_NS;
}

// Another stream goes on with this packet: the offset becomes one that lets time have passed since the last packet, at least a
// frame. Without a packet before, or a clock, it stays.
//
// in: clock_hz  of the payload format, at least 1000, or 0: not known
//     frame_ms  time between two timestamps at least
//     grid_ms   the step is a multiple of it
void timeline_rebase(struct timeline *, uint32_t ts, uint32_t clock_hz, uint32_t frame_ms, uint32_t grid_ms,
		     ns_t now);

// Some clients stop counting while they pause. True: with the offset as it is, this packet would go back, or off real time by
// more than TIMELINE_JUMP_NS.
[[nodiscard]] bool timeline_has_left(const struct timeline *, uint32_t ts, uint32_t clock_hz, ns_t now);
