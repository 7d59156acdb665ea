// What publisher and receivers of a layer tell each other: how it comes in, and that a key frame is needed.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/media/source.h"
#include "lib/rtc/recv/stats.h"

struct layer;

// What the publisher's worker tells about a layer some ten times a second.
struct layer_info {
	uint32_t bps;           // as it comes in, 0: not measured yet
	bool is_active;         // a packet within the last 2 s
	bool has_key;           // a key frame came since the layer began
	uint8_t n_tids;         // temporal layers seen, up to 4; 0, 1: none
	struct sr_map sr;       // of the publisher, in timestamps of the ring: for tsalign
	struct clock_map clock; // timestamps of the ring against our time: for sender reports
};

// thread: publisher's home worker
void layer_tell(struct layer *, const struct layer_info *);
// thread: any worker
void layer_info(const struct layer *, struct layer_info *);

// A receiver needs a key frame: asked for by the publisher's worker under the rules of lib/rtc/send/keyreq.h.
// thread: any worker
void layer_ask_key(struct layer *);
// Wishes for a key frame so far; wraps. thread: publisher's home worker
uint32_t layer_wishes(const struct layer *);
