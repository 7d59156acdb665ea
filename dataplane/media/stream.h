// One SSRC that a session sends: roll-over counter, replay window, statistics, and the track it feeds.
// Made on the publisher's home worker when its first packet authenticates, never before.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/core/session.h"
#include "lib/rtc/recv/srtpidx.h"
#include "lib/rtc/recv/stats.h"
#include "lib/rtc/send/rewrite.h"

struct clock_map;
struct source;
struct worker;

struct stream {
	struct stream *next; // of the session
	uint32_t ssrc;
	uint8_t pt;            // of the newest packet
	bool announced;        // NOTE_TRACK_LIVE went out for the track
	bool is_rtx;           // repairs the stream that feeds its layer
	uint8_t layer;         // of the source, when that is a video
	struct source *source; // borrowed; NULL: no track claims it
	ns_t born;
	ns_t ended; // a BYE said so; 0: none did
	struct srtpidx idx;
	struct seqrank rank;
	bool has_unopened;    // packets were left unopened since the last one that was not
	struct seqrank every; // for receivers of every voice, when there are any
	uint64_t every_base;  // rank for them = rank of every + every_base
	uint64_t every_first; // lowest of these; below lie those of another stream
	uint32_t every_turn;  // source's when every_base was made
	struct rx_stats stats;
	struct sr_map map;
	int32_t n_lost; // as counted in rtp_rx_lost
};

// All of these: thread: home worker

static inline struct stream *stream_find(const struct session *s, uint32_t ssrc)
{
	struct stream *st = s->streams;

	while (st != NULL && st->ssrc != ssrc)
		st = st->next;
	return st;
}

// Make one, in front of the others; what was known of a former life of its SSRC goes on with it. NULL: the session has as many
// as it may have (stream_find_ended), or no memory.
struct stream *stream_new(struct worker *, struct session *, uint32_t ssrc);
// Replay state that an SSRC without a stream begins with: what is left of its former life, if it had any.
struct srtpidx stream_first_state(const struct session *, uint32_t ssrc);
// The stream that may make room for another: the longest silent one of those that have ended; NULL: none has.
struct stream *stream_find_ended(const struct session *, ns_t now);
// Free one that has ended. Its highest index must be known elsewhere (tomb.h), and nothing may point to it any more
// (publish_forget).
void stream_end(struct worker *, struct session *, struct stream *);
void stream_free_all(struct worker *, struct session *);
// The track is gone or changed: its streams look for a track again with their next packet.
void stream_unbind(struct session *, const struct source *);
// RTP time of the stream against our clock: by its sender reports, by arrival when there is none for long. False: not yet.
bool stream_clock(const struct stream *, struct session *, ns_t now, struct clock_map *);
