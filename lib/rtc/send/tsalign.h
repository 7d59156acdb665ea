// Timestamps over a switch of simulcast layer: the layers of one source count from unrelated beginnings; the
// sender reports of both tell how they relate.
//
// The offset belongs to an epoch of lib/rtc/send/rewrite.h and stays for its length, so that resends are the same
// bytes. Where an exact offset would run time back a little, the next possible timestamp is used instead; what
// that is off is remembered and not carried on into the next switch. Sender reports use the same offset, so that
// lip sync does not see it.
//
// thread: worker of the receiver
// source: RFC 3550 section 6.4.1
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/rtc/recv/stats.h"

#define TSALIGN_WAIT_NS (1500 * NS_PER_MS)     // for a missing sender report, then arrival times count
#define TSALIGN_MAX_AHEAD_NS (200 * NS_PER_MS) // beyond: a report is wrong
#define TSALIGN_MAX_BACK_NS (50 * NS_PER_MS)   // beyond: ask for another key frame, once
#define TSALIGN_STEP_NS (1 * NS_PER_MS)        // smallest step forward

// Zeroed is valid. One per receiver and stream.
struct tsalign {
	uint32_t true_offset, used_offset;
	ns_t wait_since; // of the switch that is tried
	uint32_t wait_layer;
	uint8_t n_retries;
	bool is_waiting, has_offset;
};

struct tsalign_in {
	const struct sr_map *from, *to; // of the layer left and of the one to switch to
	uint32_t layer;                 // name of the latter
	uint32_t ts;                    // of its first packet
	uint32_t offset;                // rewrite_ts_offset: of the current epoch
	uint32_t last_ts;               // struct rewrite's last_ts and last_sent
	ns_t last_sent;
	uint32_t clock_hz;
	ns_t now;
};

enum tsalign_verdict {
	TSALIGN_OK,    // use *offset with rewrite_switch and REWRITE_TS_OFFSET
	TSALIGN_WAIT,  // no report yet: stay on the old layer, try the next key frame
	TSALIGN_RETRY, // the new layer lags too much: stay and ask for one more key frame
};

// A key frame of the layer that is wanted begins.
[[nodiscard]] enum tsalign_verdict tsalign_switch(struct tsalign *, const struct tsalign_in *,
						  uint32_t *offset);
