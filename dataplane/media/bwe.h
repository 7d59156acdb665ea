// How much video a session may be sent: transport-wide numbers out, feedback in, an estimate, and probes when more
// would be worth having. What is made of it is in deliver/choose.h.
//
// One per session that receives video; made by main with its first video leg (MAIL_LEG_ADD), freed with the session.
// thread: home worker of the session
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/ipc/wire.h"
#include "lib/rtc/send/gcc.h"
#include "lib/rtc/send/pacer.h"
#include "lib/rtc/send/probe.h"
#include "lib/rtc/send/sendhist.h"

struct leg;
struct rtcp_block;
struct rtcp_fb;
struct session;
struct worker;

#define BWE_SLOTS 1024        // packets remembered; a second of 10 Mbit/s
#define BWE_PROBE_PACKET 1500 // bytes

// Made by main; everything after bwe_new is the home worker's.
struct bwe {
	struct pacer pacer; // of the session's video
	struct sendhist hist;
	struct gcc gcc;
	struct probe probe;
	ns_t due;        // of choose_run
	uint32_t target; // bit/s, as the pacer and the limits of resends use it
	bool is_congested;
	struct probe_plan plan;             // that is being sent
	ns_t started, decided;              // the last decision
	uint64_t n_video_bytes, seen_video; // sent; at the last decision
	uint32_t sent_bps;                  // video, smoothed over half a second
	uint32_t chosen_bps;                // of the layers that were chosen, as their publishers send them
	uint32_t audio_bps;                 // measured each second
	uint64_t seen_audio;                // bytes, at the last of them
	ns_t audio_at;
	uint32_t n_probes;
	struct sendhist_slot slot[BWE_SLOTS];
};

// thread: main. NULL: out of memory.
struct bwe *bwe_new(void);
void bwe_free(void *bwe);

// The estimator of the session starts with its first video leg.
void bwe_start(struct worker *, struct session *);
// A video leg came: a decision is due at once (deliver/choose.h).
void bwe_leg_added(struct worker *, struct session *);
// Another path was selected.
void bwe_path_changed(struct worker *, struct session *);

// Fetch what bwe_sent and the pacer touch, but for the place in the history (sendhist_prefetch).
static inline void bwe_prefetch(const struct bwe *b)
{
	__builtin_prefetch(&b->pacer);
	__builtin_prefetch(&b->hist.n_sent);
	__builtin_prefetch(&b->probe.n_media_bytes);
	__builtin_prefetch(&b->probe.is_running);
	__builtin_prefetch(&b->n_video_bytes);
}

// A packet of video, RTX or probe goes out: its transport-wide number. n_bytes: on the wire, UDP and IP included.
static inline uint16_t bwe_sent(struct bwe *b, unsigned n_bytes, uint8_t cluster, ns_t now)
{
	b->n_video_bytes += n_bytes;
	if (cluster == 0)
		cluster = probe_media(&b->probe, (uint16_t)n_bytes, now);
	else
		(void)probe_sent(&b->probe, (uint16_t)n_bytes, now);
	return sendhist_add(&b->hist, (uint16_t)n_bytes, cluster, now);
}

void bwe_on_twcc(struct worker *, struct session *, const struct rtcp_fb *);
void bwe_on_remb(struct worker *, struct session *, uint32_t bps);
// A report block about a video leg.
void bwe_on_block(struct worker *, struct session *, struct leg *, const struct rtcp_block *);

// Bring the estimate up to date for a decision that is made now: what voice and video took, silence, results of probes.
//
// in: video_bps  the best encodings of all streams together
void bwe_measure(struct worker *, struct session *, uint64_t video_bps);
// Probe whether so much video could be sent, if it is worth it and nothing speaks against it.
void bwe_probe_for(struct worker *, struct bwe *, uint32_t video_bps);

// For CMD_QUERY.
void bwe_state(const struct bwe *, ns_t now, struct ipc_session_state *);
