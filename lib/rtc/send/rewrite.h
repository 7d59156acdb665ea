// Sequence numbers and timestamps of a forwarded stream.
//
// Two halves, so that the per-receiver half is a handful of integers:
//  - struct seqrank, one per source layer on the publisher's worker, gives every packet a *rank*: its number
//    among those that are forwarded. Lost packets keep their place (receivers shall see the gap and a late
//    packet shall fill it), suppressed ones (muted, padding only) do not.
//  - struct rewrite, one per leg on the receiver's worker, turns (source, rank, timestamp) into an output
//  index
//    and timestamp. out = rank + offset inside an *epoch*; a new epoch begins at the start, on a switch of
//    source or layer, and after a pause, and continues the numbers of the one before.
//
// Video layers take their ranks from lib/rtc/send/rtxring.h instead of struct seqrank: it counts per temporal cap and
// finds the packet of a rank again.
//
// Invariant that the ciphers depend on: an output index is used for one plaintext only. Epochs own disjoint
// ranges of output indices, and inside one, index and rank determine each other.
//
// source: RFC 3550 section 5.1; RFC 3711 section 9.1 (no keystream reuse)
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

// --- source half --------------------------------------------------------------------------------

#define SEQRANK_HOLES 8

// Zeroed is valid. Owner: worker of the publisher.
struct seqrank {
	uint64_t top;       // highest index seen
	uint64_t n_skipped; // indices up to top that got no rank
	bool started;
	bool in_hole;   // top itself was suppressed
	uint8_t newest; // entry of hole last written
	uint8_t n_holes;
	struct {
		uint64_t first, end; // indices [first, end) were suppressed
		uint64_t n_before;   // suppressed indices before first
	} hole[SEQRANK_HOLES];
	uint64_t floor; // late packets below are no longer mapped (their hole was forgotten)
};

// Rank of a packet that is forwarded.
//
// in:      index    srtpidx index; each at most once
// out:     rank
//          resumed  first packet in order after suppressed ones (set the marker, check the timestamp)
// returns: false for a late packet that fell into a suppressed stretch or is too old to be mapped: drop it
[[nodiscard]] bool seqrank_take(struct seqrank *, uint64_t index, uint64_t *rank, bool *resumed);

// A packet that is not forwarded: it leaves no gap. Between two suppressed packets lost ones leave none
// either.
void seqrank_skip(struct seqrank *, uint64_t index);

// --- receiver half ------------------------------------------------------------------------------

#define REWRITE_EPOCHS 8
#define REWRITE_BACK 1024 // output indices behind the highest that are still mapped
// Lost packets that leave a gap; more are closed up: nobody asks for so many again, and receivers guess the roll-over
// counter from the gap.
#define REWRITE_MAX_GAP 2000

struct rewrite_epoch {
	uint64_t first_out;  // output index its range begins with; it ends where the next one begins
	uint64_t first_rank; // rank mapped to first_out
	uint32_t source;     // caller's name of source and layer
	uint32_t ts_offset;  // ts_out = ts + ts_offset
	uint16_t pid_offset; // VP8, see rewrite_vp8
	uint8_t tl0_offset;
};

// Owner: worker of the receiver. Use:
//   1. rewrite_init with a random start (rewrite_start_seq)
//   2. rewrite_packet for every packet; REWRITE_SWITCH_NEEDED: decide whether the packet may start an epoch
//      (audio: any; video: a key frame's first packet), then rewrite_switch and ask again
//   3. rewrite_pause when the leg is not to be fed for a while: the next packet continues without a gap
struct rewrite {
	uint64_t next_out; // first index never used
	ns_t last_sent;    // when the highest index was sent
	uint32_t last_ts;  // its output timestamp
	uint32_t clock_hz;
	uint32_t frame_ticks; // shortest timestamp step between two frames of a switch, RTP clock units
	uint8_t newest;       // entry of epoch that is current
	uint8_t n_epochs;     // 0: nothing sent yet
	bool paused;
	struct rewrite_epoch epoch[REWRITE_EPOCHS]; // ring
};

struct rewrite_in {
	uint64_t rank;
	uint32_t source;
	uint32_t ts;
	bool resumed; // from seqrank_take
	ns_t now;
};

struct rewrite_out {
	uint64_t index; // 48 bits, ROC << 16 | seq
	uint32_t ts;
	uint16_t pid_offset; // VP8, of the packet's epoch
	uint8_t tl0_offset;
	bool set_marker; // audio: first packet after a pause, a switch or suppressed packets
	bool is_late;    // fills a gap behind the highest index
};

enum rewrite_verdict {
	REWRITE_OK,
	REWRITE_SWITCH_NEEDED, // first packet of the leg, or of a source or layer that is not current: the
			       // one to switch to, or the one left behind (drop it then)
	REWRITE_LATE,          // belongs to before the epoch or outside the window: drop
};

// A start from 32 random bits: within [1, 0x7fff], so that early loss cannot hide a roll-over.
static inline uint16_t rewrite_start_seq(uint32_t random)
{
	return (uint16_t)(1 + random % 0x7fff);
}

// in: start_seq    see rewrite_start_seq
//     frame_ticks  e.g. 960 for 20 ms of Opus, 3000 for video
void rewrite_init(struct rewrite *, uint16_t start_seq, uint32_t clock_hz, uint32_t frame_ticks);

// Map one packet; on REWRITE_OK its index counts as used.
[[nodiscard]] enum rewrite_verdict rewrite_packet(struct rewrite *, const struct rewrite_in *,
						  struct rewrite_out *);

enum rewrite_ts {
	REWRITE_TS_KEEP, // first epoch: ts_arg is the offset to use (may be 0); later: same clock as before
	REWRITE_TS_ELAPSED, // unrelated clock: last timestamp plus the time that passed, in whole frames
	REWRITE_TS_OFFSET,  // ts_arg is the new offset, derived by the caller (sender reports of two layers)
};

// Begin a new epoch at this packet, which must be passed to rewrite_packet next.
//
// in: n_gap  output numbers left unused before it (1 when the last frame of the old layer was cut)
void rewrite_switch(struct rewrite *, const struct rewrite_in *, enum rewrite_ts, uint32_t ts_arg,
		    unsigned n_gap);

// VP8 offsets of the epoch that rewrite_switch just began (vp8_leg_switch). They are part of what a packet says
// on the wire, so each epoch keeps its own; epochs that begin by themselves inherit them.
void rewrite_vp8(struct rewrite *, uint16_t pid_offset, uint8_t tl0_offset);

// The leg stops taking packets; the next one starts a new epoch by itself, on the same clock.
void rewrite_pause(struct rewrite *);

// A number for a packet that is not from any source: padding that probes the path. It belongs to no rank, so the next
// packet needs rewrite_switch (REWRITE_TS_KEEP, same clock). Only after the first epoch began.
uint64_t rewrite_pad(struct rewrite *);
#define REWRITE_NO_SOURCE UINT32_MAX // of the epoch that such numbers make up
static inline bool rewrite_is_padded(const struct rewrite *r)
{
	return r->n_epochs > 0 && r->epoch[r->newest].source == REWRITE_NO_SOURCE;
}

// Offset to add to the source's RTP time in a sender report; false before the first packet.
bool rewrite_ts_offset(const struct rewrite *, uint32_t *ts_offset);

// Which packet went out under this 16-bit number (a NACK).
//
// out:     index, source, rank
// returns: false when it was never sent or is more than REWRITE_BACK behind
bool rewrite_origin(const struct rewrite *, uint16_t seq, uint64_t *index, uint32_t *source, uint64_t *rank);

// Epoch of an index that rewrite_origin gave: with it a resend is the same bytes as the packet that was sent.
const struct rewrite_epoch *rewrite_epoch_of(const struct rewrite *, uint64_t index);
