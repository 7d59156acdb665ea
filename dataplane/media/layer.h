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
// Memory: payloads are copies in buffers of their own (core/payload.h), so that video that is kept never starves
// reception. They leave the ring after LAYER_KEEP_NS, when they are overwritten, and earlier when memory runs short,
// oldest first.
//
// thread: as marked. source: lib/rtc/send/rtxring.h
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/ipc/wire.h"

#define LAYER_MAX IPC_TRACK_RIDS
#define LAYER_KEEP_NS (2 * NS_PER_S)

struct layer; // layer_priv.h knows the inside
struct payload_store;
struct rte_mbuf;
struct worker;

// Flags of a packet in the ring (struct rtxring_entry).
enum layer_flags {
	LAYER_MARKER = 1, // last packet of a frame
	LAYER_START = 2,  // first packet of a frame
	LAYER_KEY = 4,    // ... of a key frame
	LAYER_SWITCH_UP =
		8, // first packet of a frame that needs no frame of a higher temporal layer before it
	LAYER_DISCARDABLE = 16,
};

// --- main ------------------------------------------------------------------------------------------

// n_slots: power of two, 64..4096. The store is borrowed. NULL: out of memory.
struct layer *layer_new(struct payload_store *, uint32_t n_slots);
// No payload may be left (layer_clear). NULL is allowed.
void layer_free(struct layer *);
// Slots for rtc.nack_buffer_size.
uint32_t layer_slots(uint32_t n_packets);

// --- publisher's home worker ------------------------------------------------------------------------

// Forget everything: the layer begins (anew), or its track ended.
void layer_clear(struct worker *, struct layer *);

enum layer_added {
	LAYER_REFUSED,   // known already, or given up
	LAYER_NO_MEMORY, // its place stays empty
	LAYER_IN_ORDER,  // new on top
	LAYER_LATE,      // fills a place that was kept
};

// Put a copy of a packet into the ring. pkt_of(m) has place, ts, arrival, marker, codec, layer, hdr_len, vp8, and
// source, gen as for a hand-over.
//
// in:  flags    enum layer_flags
// out: m_peek   the copy, kind PKT_FANOUT and is_late set, valid as after layer_read; NULL when there is none
enum layer_added layer_add(struct worker *, struct layer *, struct rte_mbuf *m, uint8_t flags,
			   struct rte_mbuf **m_peek);
// A packet without payload: takes no place, or fills one that was kept with nothing.
void layer_pad(struct worker *, struct layer *, uint64_t index, uint32_t ts);
// The packet will not come.
void layer_give_up(struct layer *, uint64_t index);
// Let go of payloads older than LAYER_KEEP_NS, of younger ones when memory is short.
void layer_expire(struct worker *, struct layer *);
