// How loaded a worker is, as the stage up to which others give way so that the voices of those who speak go on.
//
//   stage  from busy share or age of packets        what is given up (each stage includes those before)
//   1      70 %, or a port does not take all        probes; resends are limited more
//   2      80 %                                     high layers of cameras; new sessions
//   3      90 %, or packets wait half as long as    cameras; high layers of screens
//          makes them stale
//   4      packets wait so long that they are stale all video
//   5      the same, still                          silent voices, unopened; all but one chosen voice and the dominant
//
// A stage is entered when its condition held for a second, and left when the load has been 15 % (of all time) below
// its threshold for 5 s, one stage at a time.
//
// Pure: no clock, no worker. thread: owner
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

enum overload_stage {
	OVERLOAD_NONE,
	OVERLOAD_PROBES,
	OVERLOAD_CAMERAS,
	OVERLOAD_SCREENS,
	OVERLOAD_VIDEO,
	OVERLOAD_VOICES,
};

#define OVERLOAD_STEP_NS (200 * NS_PER_MS) // shortest time that is measured
#define OVERLOAD_ENTER_NS (1 * NS_PER_S)
#define OVERLOAD_LEAVE_NS (5 * NS_PER_S)
#define OVERLOAD_LEAVE_LESS 150 // per mille

struct overload {
	uint8_t stage;   // enum overload_stage
	uint16_t busy;   // per mille, smoothed over a second
	ns_t stale_ns;   // age at which packets are dropped
	ns_t max_age;    // of packets since the last measurement
	bool refused;    // by a port since then
	uint64_t n_busy; // cycles at the last measurement
	uint64_t n_idle;
	ns_t measured;     // last time
	ns_t above, below; // since when, NS_NEVER: not
	bool started;
};

void overload_init(struct overload *, ns_t stale_ns);

// A packet waited so long inside the dataplane.
static inline void overload_age(struct overload *o, ns_t age)
{
	if (age > o->max_age)
		o->max_age = age;
}

// A port did not take all it was given: its queue or socket is full.
static inline void overload_refused(struct overload *o)
{
	o->refused = true;
}

// A few times a second, or more often.
//
// in:      n_busy, n_idle  cycles since the worker began
// returns: true: the stage changed
bool overload_measure(struct overload *, uint64_t n_busy, uint64_t n_idle, ns_t now);
