// One worker without a thread, receivers with keys of their own, and a card: sources that are sent through them.
//
// Voice goes through egress_fan as dataplane/media/fanout.c calls it. Video goes as from a publisher's worker: into the ring
// of its layer, out of it by audience_serve, with pacer, transport-wide numbers, rewriting and what resends need.
#pragma once

#include "dataplane/core/dp.h"
#include "lib/conf/conf.h"
#include "lib/seal/seal.h"
#include "tests/perf/support/card.h"

struct bench_case {
	const char *name;
	enum seal_profile profile;
	uint16_t len; // payload bytes
	bool is_video;
	uint8_t burst; // video: packets of a frame, which come at once
};

struct fanout;
struct keyring;
struct receiver;
struct source;

struct bed {
	struct conf conf;
	struct dp *dp;
	struct worker *w;
	struct port *kernel; // what dp opened, put back for its close
	struct card card;
	struct keyring *keys;
	const struct bench_case *is; // that the receivers are made for
	unsigned n;
	struct receiver *to;
	struct rte_mbuf *m; // the packet that all receive
	// video
	struct source *source;
	struct fanout *list;
	uint64_t index;
};

// A dataplane of one worker. 1. bed_open  2. bed_card  3. bed_fill, bed_settle, bed_send, bed_empty  4. bed_close
void bed_open(struct bed *);
void bed_close(struct bed *);

// A card with so many buffers on their way in place of the one before.
void bed_card(struct bed *, unsigned n_ring);

// n receivers of this case, and the packet they will get.
void bed_fill(struct bed *, const struct bench_case *, unsigned n);
void bed_empty(struct bed *);

// Send once to all receivers. Returns how many packets that were.
uint64_t bed_send(struct bed *);

// Time passes between samples, as it does between frames.
void bed_wait(struct bed *);

// Until everybody is sent what comes at once, and for some time: video begins with its key frame, paced and not with all
// receivers at the same time.
void bed_settle(struct bed *);
