// Pacing of one receiver's video: key frames, replays and probes leave spread out, so that they neither fill the
// receiver's queue nor look like congestion to the estimator. Audio and RTCP pass by.
//
// What waits is not packets but a range of indices in the ring that all receivers of a layer share
// (lib/rtc/send/rtxring.h): a paced receiver simply lags. Without a backlog a packet takes one comparison.
//
// thread: worker of the receiver
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

#define PACER_BURST_BYTES 12000             // ten packets
#define PACER_BURST_NS (5 * NS_PER_MS)      // or this much of the rate, when that is more
#define PACER_MAX_AGE_NS (500 * NS_PER_MS)  // older backlog is dropped up to the next key frame
#define PACER_MAX_DEBT_NS (500 * NS_PER_MS) // what went past the bucket holds others up no longer than this
#define PACER_SPREAD_NS (40 * NS_PER_MS)    // key frames of a large call begin within
#define PACER_SPREAD_MIN 50                 // receivers

// One per receiver.
struct pacer {
	uint64_t bps;   // rate of the bucket
	uint64_t boost; // while a replay runs: at least this rate
	int64_t credit; // bit-nanoseconds (bits times 1e9); negative after packets that did not ask
	ns_t filled;
};

// One per receiver and stream. Zeroed is valid: nothing waits.
struct pacer_leg {
	uint64_t at,
		end; // source indices [at, end) wait; what is below is over, only late packets come from there
	ns_t not_before;
	bool is_replay;
};

void pacer_init(struct pacer *, uint32_t target_bps, ns_t now);

// 2.5 times the target, 1.25 times while congested.
void pacer_rate(struct pacer *, uint32_t target_bps, bool is_congested, ns_t now);

// Take credit for a packet that has no leg (resends, probes).
//
// returns: false when it must wait
[[nodiscard]] bool pacer_take(struct pacer *, uint32_t n_bytes, ns_t now);

enum pacer_verdict {
	PACER_SEND,  // credit was taken
	PACER_WAIT,  // later
	PACER_STALE, // backlog too old: pacer_drop, pause the stream (rewrite_pause), ask for a key frame
};

// A packet of the leg's layer arrives.
//
// in:      index  in the shared ring; late ones included
// returns: PACER_SEND: send it now; PACER_WAIT: it belongs to the backlog, pacer_head will come to it
enum pacer_verdict pacer_live(struct pacer *, struct pacer_leg *, uint64_t index, uint32_t n_bytes, ns_t now);

// Begin a new receiver with what lies in the ring from a key frame on, at four times the layer's rate. Live
// packets queue behind.
//
// in: from, end   indices [from, end)
//     not_before  see pacer_spread
void pacer_replay(struct pacer *, struct pacer_leg *, uint64_t from, uint64_t end, uint32_t layer_bps,
		  ns_t not_before);

// First index that waits.
static inline bool pacer_waits(const struct pacer_leg *l, uint64_t *index)
{
	*index = l->at;
	return l->at < l->end;
}

// Shall the first waiting packet go? Then send it and call pacer_next. When the ring does not hold it (missing,
// padding, above the cap), call pacer_next at once: should it come late, pacer_live lets it pass.
//
// in: arrival  of the packet; its age counts except in a replay
enum pacer_verdict pacer_head(struct pacer *, const struct pacer_leg *, uint32_t n_bytes, ns_t arrival,
			      ns_t now);
void pacer_next(struct pacer *, struct pacer_leg *);

// Forget the backlog.
void pacer_drop(struct pacer *, struct pacer_leg *);

// When a packet of this size can go; now or earlier when it can.
ns_t pacer_due(const struct pacer *, const struct pacer_leg *, uint32_t n_bytes);

// How long after its arrival a key frame may begin at this receiver: the receivers of a large call are spread.
//
// in: hash  of the receiver, evenly distributed
ns_t pacer_spread(uint32_t hash, uint32_t n_receivers);
