// A published track: where the streams of a publisher become one sequence of ranked packets, and where the
// list of its receivers hangs. Memory of a source is never used for anything else (source_gen tells
// generations apart), so a packet on its way between workers may carry a plain pointer.
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/media/seat.h"
#include "lib/base/clock.h"
#include "lib/base/seqlock.h"
#include "lib/ipc/wire.h"
#include "lib/rtc/recv/timeline.h"
#include "lib/rtc/recv/vad.h"

struct fanout;
struct stream;
struct video;

// RTP time of the track's output against our clock, for sender reports by the receivers' workers.
struct clock_map {
	ns_t at;      // our time
	uint32_t rtp; // output timestamp at that time
	uint32_t clock_hz;
	bool valid;
};

#define SOURCE_MAP_WORDS 2

struct source {
	// main writes, all workers read
	alignas(64) const struct fanout *_Atomic fanout; // rcu; NULL: nobody receives
	_Atomic uint32_t gen;
	struct video *video; // owned: NULL for audio; set before the source is seen

	// publisher's home worker
	alignas(64) struct stream *current; // borrowed: feeds the track now
	uint64_t rank_base;                 // rank = rank within the stream + rank_base
	uint64_t next_rank;                 // first never given
	uint64_t first_rank;                // of the current stream: late packets below belong to another
	struct timeline time;
	uint32_t sid;
	uint16_t id; // track number
	uint8_t kind;
	bool enabled;
	bool voice_owed; // the last voice event found no room
	uint8_t mid_len;
	uint32_t clock_hz;
	struct vad vad;
	struct ipc_track_add decl; // as last declared, but for enabled
	uint64_t every_next;       // first rank never given to receivers of every voice
	uint32_t every_turn;       // counts changes of the stream that feeds them
	ns_t paid_until;           // of a voice: time that what was forwarded of it is worth (publish.c)

	// written by the publisher's worker about once a second, read by all
	alignas(64) struct seqlock map_lock;
	_Atomic uint64_t map[SOURCE_MAP_WORDS]; // struct clock_map; rtp << 32 | clock_hz, 0: not valid

	struct seat seat;
};

// thread: publisher's home worker
void source_map_set(struct source *, const struct clock_map *);
// False while the publisher's worker has not given any. thread: any worker
bool source_map_get(const struct source *, struct clock_map *);

static inline uint32_t source_gen(const struct source *s)
{
	return atomic_load_explicit(&s->gen, memory_order_acquire); // pairs with the recycling in model.c
}

// Codec of a payload type, CODEC_NONE when the track does not have it.
uint8_t source_codec(const struct source *, uint8_t pt);
// Feedback the publisher understands for this payload type: enum ipc_fb bits.
uint8_t source_fb(const struct source *, uint8_t pt);
// Payload type that this one, of CODEC_RTX, repairs.
uint8_t source_apt(const struct source *, uint8_t pt);
// Take over what a (re)declaration says, except whether it is enabled. False: it says what the last one said.
// thread: publisher's home worker
bool source_declare(struct source *, const struct ipc_track_add *);
