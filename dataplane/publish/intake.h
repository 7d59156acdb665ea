// The publisher's side of a layer: which SSRC feeds it, what is missing and was asked for again, when to ask for a key
// frame, and what the receivers' workers are told about it.
//
// Numbers: a layer is fed in *runs*, stretches of one SSRC without a break. Within a run the index in the ring is that
// of the stream plus a constant. What is held back (a track that is not enabled), and gaps too wide to be asked for,
// end a run: the next one goes on right behind the last.
//
// thread: home worker of the publisher
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/media/layer.h"
#include "lib/rtc/recv/nackgen.h"
#include "lib/rtc/recv/timeline.h"
#include "lib/rtc/send/keyreq.h"
#include "lib/rtc/send/simulcast.h"

struct pkt;
struct session;
struct source;
struct stream;
struct worker;

// Type-stable like the layer.
struct intake {
	struct stream *media; // borrowed: feeds the layer, NULL: nothing yet
	bool in_run;
	bool has_key;         // since the layer began
	bool was_active;      // as told last
	uint8_t n_tids[2];    // temporal layers seen since the last key frame, and between the two before
	uint8_t fir_seq;      // of the next FIR
	uint64_t base;        // index in the ring = index of the stream + base
	uint64_t first;       // of the run, in the ring
	struct timeline time; // of the ring
	ns_t due;             // of intake_tick, NS_NEVER: the layer has been silent for long
	ns_t told;            // when layer_tell was called last
	uint32_t n_wishes;    // of the layer, that were seen
	struct keyreq keyreq;
	struct layerrate rate;
	struct nackgen nack; // in indices of the stream
	struct nackgen_item item[NACKGEN_ITEMS];
};

struct intake *intake_new(void); // NULL: out of memory. thread: main
void intake_free(struct intake *);

// The layer begins: nothing came yet.
void intake_reset(struct intake *, const struct layer *);
// What comes next begins a new run.
void intake_pause(struct intake *);
// A packet of this stream: may it feed the layer now? Only one does at a time.
bool intake_may_feed(const struct intake *, const struct stream *, ns_t now);

// Find the packet's place: pkt->index gives way to pkt->place, and pkt->ts becomes the time of the ring.
//
// returns: false: it has none, being late for its run
bool intake_place(struct worker *, struct source *, unsigned layer, struct stream *, struct pkt *,
		  bool is_key_start);
// A packet, placed, of so many bytes went into the ring.
void intake_added(struct intake *, const struct pkt *, unsigned n_bytes, bool is_key_start);
// A key frame is needed.
void intake_ask_key(struct worker *, struct source *, unsigned layer);

// Tell the receivers' workers how the layer is now; something feeds it.
void intake_tell(struct worker *, struct session *, struct source *, unsigned layer);
// Everything that is due for this layer. Sets in->due.
void intake_tick(struct worker *, struct session *, struct source *, unsigned layer);
