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
// Memory: payloads are copies in buffers of their own (struct layer_store), so that video that is kept never starves
// reception. They leave the ring after LAYER_KEEP_NS, when they are overwritten, and earlier when memory runs short,
// oldest first.
//
// thread: as marked. source: lib/rtc/send/rtxring.h
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"
#include "dataplane/media/source.h"
#include "lib/base/clock.h"
#include "lib/ipc/wire.h"
#include "lib/rtc/send/rtxring.h"
#include "lib/rtc/recv/stats.h"

#define LAYER_MAX IPC_TRACK_RIDS
#define LAYER_KEEP_NS (2 * NS_PER_S)

struct layer;       // layer.c knows the inside
struct layer_store; // memory of the payloads of all layers
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

// What the publisher's worker tells about a layer some ten times a second.
struct layer_info {
	uint32_t bps;           // as it comes in, 0: not measured yet
	bool is_active;         // a packet within the last 2 s
	bool has_key;           // a key frame came since the layer began
	uint8_t n_tids;         // temporal layers seen, up to 4; 0, 1: none
	struct sr_map sr;       // of the publisher, in timestamps of the ring: for tsalign
	struct clock_map clock; // timestamps of the ring against our time: for sender reports
};

// --- any worker ------------------------------------------------------------------------------------

// Highest index in the ring; false while nothing came.
bool layer_top(const struct layer *, uint64_t *index);

// The packet with this index for receivers with this temporal cap. On RTXRING_HELD *m is it: RTP header (in its
// publisher's numbers) and payload in the clear, pkt_of(*m) with hdr_len, ts, marker, codec, vp8. Borrowed until the
// end of the round; read only.
enum rtxring_state layer_read(const struct layer *, unsigned cap, uint64_t index, struct rtxring_entry *,
			      struct rte_mbuf **m_peek);
// The same by rank (what a NACK asks for, by lib/rtc/send/rewrite.h).
enum rtxring_state layer_find(const struct layer *, unsigned cap, uint64_t rank, struct rtxring_entry *,
			      struct rte_mbuf **m_peek);
// First packet of a key frame that a receiver may begin with at once.
bool layer_key(const struct layer *, ns_t now, uint64_t *index);
// First key frame start in [from, top] that is held; false: none.
bool layer_next_key(const struct layer *, uint64_t from, uint64_t *index);

// A receiver needs a key frame: asked for by the publisher's worker under the rules of lib/rtc/send/keyreq.h.
void layer_ask_key(struct layer *);

void layer_info(const struct layer *, struct layer_info *);

// --- main ------------------------------------------------------------------------------------------

// NULL: out of memory.
struct layer_store *layer_store_open(uint64_t n_bytes);
void layer_store_close(struct layer_store *); // NULL is allowed

// n_slots: power of two, 64..4096. The store is borrowed. NULL: out of memory.
struct layer *layer_new(struct layer_store *, uint32_t n_slots);
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
// Wishes for a key frame so far; wraps.
uint32_t layer_wishes(const struct layer *);
void layer_tell(struct layer *, const struct layer_info *);

// Payloads that left rings of this worker's publishers and wait for their grace period: chained by handle.
struct layer_grave {
	uint32_t oldest, newest; // these have a token; LAYER_NO_HANDLE: none
	uint32_t fresh, fresh_end;
	ns_t at; // of the last token
};
#define LAYER_NO_HANDLE UINT32_MAX
void layer_grave_init(struct layer_grave *);
// Free what may be freed: once a round. thread: the worker
void layer_bury(struct worker *);
