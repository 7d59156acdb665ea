// One receiver's budget shared by the video it could get: which rung each stream is given.
//
// More important streams first, each the best the budget allows. Streams of equal importance share: none is given a
// higher rung while another could not have the one below it, then the first in order get what is left.
//
// thread: worker of the receiver
// units:  bit/s
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/rtc/send/simulcast.h"

struct allocate_leg {
	struct simulcast *choice; // borrowed
	struct simulcast_rung rung[SIMULCAST_RUNGS];
	uint8_t n_rungs;
	uint8_t max_rung;
	uint8_t importance; // 0 first
	bool is_barred;
	// what came out
	bool is_changed; // other rung, paused or resumed, or a key frame is to be asked for
	struct simulcast_out out;
};

struct allocate_in {
	uint32_t budget_bps; // simulcast_budget
	uint16_t loss;       // per mille
	uint32_t queue_ms;
	bool is_proven;
	bool is_guess; // not gcc_is_measured
	ns_t now;
};

// Decide for all streams, which come in order of importance.
//
// returns: total that would be sent if one stream could have its next rung; 0: none wants to, or may
uint32_t allocate(struct allocate_leg *, unsigned n, const struct allocate_in *);
