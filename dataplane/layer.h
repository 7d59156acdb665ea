// One encoding of a video track: the packets of one SSRC, kept once for everybody who forwards or resends them.
//
// The publisher's home worker adds packets; the workers of the receivers *pull*: each receiver (viewer.h) has a
// cursor into the ring of the layer it is given, and takes from there what it may have. So live packets, paced
// ones, the replay of the key-frame cache and retransmissions are the same thing, and the fan-out of a key frame to
// a thousand people can stop anywhere to let voice pass.
//
// Lifetime: memory of a layer is type-stable like that of its source (source_gen tells generations apart). A
// payload that leaves the ring is freed a grace period later, so what layer_read gave stays valid until the end of
// the worker's round.
//
// thread: as marked. source: lib/rtc/rtxring.h
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port.h"
#include "lib/base/clock.h"
#include "lib/ipc/wire.h"
#include "lib/rtc/rtxring.h"
#include "lib/rtc/stats.h"

#define LAYER_MAX IPC_TRACK_RIDS

struct layer; // layer.c knows the inside

// Flags of a packet in the ring (struct rtxring_entry).
enum layer_flags {
	LAYER_MARKER = 1, // last packet of a frame
	LAYER_START = 2,  // first packet of a frame
	LAYER_KEY = 4,    // ... of a key frame
	LAYER_SWITCH_UP =
		8, // first packet of a frame that needs no frame of a higher temporal layer before it
	LAYER_DISCARDABLE = 16,
};

// What the publisher's worker tells about a layer some ten times a second.
struct layer_info {
	uint32_t bps;   // as it comes in, 0: not measured yet
	bool is_active; // a packet within the last 2 s
	bool has_key;   // a key frame came since the layer began
	struct sr_map sr;
};

// --- any worker ------------------------------------------------------------------------------------

// Highest index in the ring; false while nothing came.
bool layer_top(const struct layer *, uint64_t *index);

// The packet with this index for receivers with this temporal cap. On RTXRING_HELD *m is it: RTP header (in its
// publisher's numbers) and payload in the clear, pkt_of(*m) with hdr_len, ts, marker, vp8. Borrowed until the end of
// the round; read only.
enum rtxring_state layer_read(const struct layer *, unsigned cap, uint64_t index, struct rtxring_entry *,
			      struct rte_mbuf **m_peek);
// The same by rank (what a NACK asks for, by lib/rtc/rewrite.h).
enum rtxring_state layer_find(const struct layer *, unsigned cap, uint64_t rank, struct rtxring_entry *,
			      struct rte_mbuf **m_peek);
// First packet of a key frame that a receiver may begin with at once.
bool layer_key(const struct layer *, ns_t now, uint64_t *index);
// First key frame start in [from, top]; false: none.
bool layer_next_key(const struct layer *, uint64_t from, uint64_t *index);

// A receiver needs a key frame: asked for by the publisher's worker under the rules of lib/rtc/keyreq.h.
void layer_ask_key(struct layer *);

void layer_info(const struct layer *, struct layer_info *);
