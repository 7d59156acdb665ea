// Which encoding of a stream one receiver gets: a ladder of rungs, its budget, and when to climb or step down.
//
// A rung is a simulcast layer, or a layer cut to a temporal cap. Changing the layer takes a key frame of the new
// one, until which the old one goes on; changing only the cap takes a frame boundary.
//
// thread: worker of the receiver; layerrate: worker of the publisher
// units:  bit/s
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

// --- measured rate of a layer -------------------------------------------------------------------

#define LAYERRATE_BUCKET_NS (250 * NS_PER_MS)
#define LAYERRATE_BUCKETS 24
#define LAYERRATE_SHORT_NS (2 * NS_PER_S) // window for large layers
#define LAYERRATE_LONG_NS (5 * NS_PER_S)  // for the lowest one, which may be sparse
#define LAYERRATE_ACTIVE_NS (2 * NS_PER_S)

// Zeroed is valid. One per source layer.
struct layerrate {
	uint32_t bytes[LAYERRATE_BUCKETS];
	int64_t top; // number of the newest bucket
	ns_t first, last;
	bool started;
};
void layerrate_add(struct layerrate *, uint32_t n_bytes, ns_t now);
// 0: not measured yet
uint32_t layerrate_bps(const struct layerrate *, ns_t window, ns_t now);
// A packet within the last 2 s?
bool layerrate_is_active(const struct layerrate *, ns_t now);

// --- choice -------------------------------------------------------------------------------------

#define SIMULCAST_RUNGS 6
#define SIMULCAST_NONE (-1)

#define SIMULCAST_ENTER 110                       // percent of a rung's rate to climb to it
#define SIMULCAST_PROVEN 100                      // the same when a probe has just shown that it fits
#define SIMULCAST_STAY 90                         // percent to stay on it
#define SIMULCAST_HOLD_NS (2 * NS_PER_S)          // a condition must last so long
#define SIMULCAST_BACKOFF_NS (10 * NS_PER_S)      // after a change, times 1.5 per change ...
#define SIMULCAST_MAX_BACKOFF_NS (120 * NS_PER_S) // ... up to this
#define SIMULCAST_STABLE_NS (300 * NS_PER_S)      // after which it begins anew
#define SIMULCAST_LOSS_DOWN 100                   // per mille: step down at once
#define SIMULCAST_LOSS_FREEZE 200                 // per mille: and do not wait for the key frame
#define SIMULCAST_QUEUE_DOWN 200                  // ms
#define SIMULCAST_PAUSE 50                        // percent of the lowest rung's rate ...
#define SIMULCAST_PAUSE_NS (5 * NS_PER_S)         // ... for so long: pause
#define SIMULCAST_CHOKED_NS (2 * NS_PER_S)        // so does a long queue, when the lowest rung does not fit
#define SIMULCAST_DRAIN 90                        // ... and is not down to this percent of itself meanwhile
#define SIMULCAST_KEY_NS (3 * NS_PER_S)           // without the key frame: ask again
#define SIMULCAST_FIRST_NS \
	(1 * NS_PER_S) // for a lower rung to appear, before one that does not fit is begun with
#define SIMULCAST_CANCEL_NS (10 * NS_PER_S) // then a climb is given up

struct simulcast_rung {
	uint32_t bps;   // measured, or nominal while unknown
	uint8_t layer;  // source layer
	uint8_t cap;    // temporal cap, see lib/rtc/send/rtxring.h
	bool is_active; // layerrate_is_active
};

// Zeroed is not valid: simulcast_init. One per receiver and stream.
struct simulcast {
	int8_t now;  // rung that is forwarded, SIMULCAST_NONE: nothing yet, or paused
	int8_t want; // rung to change to, SIMULCAST_NONE: none
	uint8_t want_layer, now_layer, want_cap, now_cap;
	bool is_paused;                     // for want of budget
	bool is_choked;                     // paused because of the queue: resume after the back-off only
	bool is_frozen;                     // now is not forwarded, although want has no key frame yet
	ns_t above, below, starved, choked; // since when, NS_NEVER: not
	uint32_t choked_ms;                 // the queue at that time
	ns_t wanted, asked;
	ns_t began;   // first decision, NS_NEVER: none yet
	ns_t changed; // NS_NEVER: never
	ns_t backoff;
};

struct simulcast_in {
	const struct simulcast_rung *rung; // borrowed; ascending rate
	uint8_t n_rungs;
	uint8_t max_rung;  // no higher one, by a limit that has nothing to do with the link
	uint16_t loss;     // per mille
	uint32_t queue_ms; // gcc_queue_ms
	uint32_t
		budget_bps; // what is left for this stream: simulcast_budget less what more important ones take
	bool is_proven;     // the estimate comes from a probe: no need to wait
	bool is_guess;      // the budget is: the lowest rung is not paused for want of it
	bool is_barred;     // no video now, whatever the budget: the host is overloaded
	ns_t now;
};

struct simulcast_out {
	uint32_t spend_bps; // of the budget
	uint32_t probe_bps; // > 0: the next rung would need so much; probe
	bool ask_key;       // of layer key_layer, now
	uint8_t key_layer;
	bool is_paused_now, is_resumed_now; // events for control
};

void simulcast_init(struct simulcast *);

// Part of the target for video: retransmissions and probes live in the rest.
static inline uint32_t simulcast_budget(uint32_t target_bps, uint32_t audio_bps)
{
	uint32_t v = (uint32_t)((uint64_t)target_bps * 95 / 100);

	return v > audio_bps ? v - audio_bps : 0;
}

// Every 100 ms or so, and when a layer dies or appears. Streams in order of importance.
void simulcast_decide(struct simulcast *, const struct simulcast_in *, struct simulcast_out *);

// A key frame of a layer begins. When it is the one that is wanted (want, want_layer), ask tsalign_switch first, and
// this only when timestamps allow; else the next key frame will do.
//
// returns: true: the receiver changes to this layer with this packet (rewrite_switch)
[[nodiscard]] bool simulcast_on_key(struct simulcast *, uint8_t layer, ns_t now);

// A frame of the current layer begins: may the temporal cap change here? Down at any frame; up only at one that
// no frame left out is needed for.
//
// in:      tid           of the frame
//          is_switch_up  Y bit, or key frame
// returns: true: it changes with this packet (rewrite_switch, as ranks are those of the new cap)
[[nodiscard]] bool simulcast_on_frame(struct simulcast *, uint8_t tid, bool is_switch_up, ns_t now);
