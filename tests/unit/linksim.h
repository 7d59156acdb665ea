// A bottleneck link and a sender of elastic or layered video over it, with the real feedback path: transport-wide
// log of the receiver, RTCP, history of the sender, estimator and probes. Seeded, no clock: one call is one run.
#pragma once

#include <math.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "lib/rtc/send/gcc.h"
#include "lib/rtc/send/probe.h"
#include "lib/rtc/wire/rtcp.h"
#include "lib/rtc/send/sendhist.h"
#include "lib/rtc/wire/twcc.h"

#define SIM_PACKET 1200
#define SIM_PIPE 8192
#define SIM_FB 16

struct sim {
	// link; may be changed between runs
	double link_bps;
	ns_t delay; // one way
	uint32_t queue_max;
	double loss;       // 0..1, random
	unsigned burst_ms; // > 0: within each such time nothing gets through for 50 ms
	bool no_feedback;
	bool no_probes;
	double app_max_bps; // the encoder makes no more
	double app_bps;     // > 0: a fixed rate, as a forwarded layer has one ...
	double app_vary; // ... on average: frames vary by this share of it, and each third second brings a key frame ...
	double key_factor; // ... so many times as large as others
	double jitter_ms;

	ns_t now, busy_until, last_arrival;
	double backlog, credit;
	struct probe_plan plan;
	struct {
		uint16_t seq;
		ns_t arrival;
	} pipe[SIM_PIPE];
	unsigned head, tail;
	struct {
		uint8_t msg[TWCC_MAX_MSG];
		int len;
		ns_t at;
	} fb[SIM_FB];
	unsigned fb_head, fb_tail;
	struct twcc_log log;
	uint32_t log_ring[4096];
	struct sendhist hist;
	struct sendhist_slot slots[4096];
	struct gcc gcc;
	struct probe probe;
	// what was seen since sim_mark
	double sum_target, sum_sent;
	unsigned n_ms;
	uint32_t min_target, max_target;
	ns_t max_queue;
	uint64_t n_sent, n_lost, n_probe_bytes, n_bytes;
};

static inline void sim_mark(struct sim *s)
{
	s->sum_target = s->sum_sent = 0;
	s->n_ms = 0;
	s->min_target = UINT32_MAX;
	s->max_target = 0;
	s->max_queue = 0;
	s->n_sent = s->n_lost = s->n_probe_bytes = s->n_bytes = 0;
}

// seed: not 0, which would be chance.
static inline struct sim *sim_new(double link_bps, uint64_t seed)
{
	struct sim *s = calloc(1, sizeof(*s));

	MUST(seed != 0);
	rand_seed(seed);
	s->link_bps = link_bps;
	s->delay = 25 * NS_PER_MS;
	s->queue_max = 60000;
	s->app_max_bps = 3e6;
	s->now = 1000 * NS_PER_S;
	gcc_init(&s->gcc,
		 &(struct gcc_conf){
			 .min_bps = GCC_MIN_BPS, .start_bps = GCC_START_BPS, .max_bps = GCC_MAX_BPS},
		 s->now);
	probe_init(&s->probe, s->now);
	sendhist_init(&s->hist, s->slots, 4096);
	twcc_log_init(&s->log, s->log_ring, 4096, 100 * NS_PER_MS);
	sim_mark(s);
	return s;
}

static inline void sim_free(struct sim *s)
{
	free(s);
	rand_seed(0);
}

static inline double sim_random(void)
{
	return rand_u32() / 4294967296.0;
}

static inline void sim_send(struct sim *s, uint8_t cluster)
{
	uint8_t tag = cluster ? cluster : probe_media(&s->probe, SIM_PACKET, s->now);
	uint16_t seq = sendhist_add(&s->hist, SIM_PACKET, tag, s->now);
	ns_t begin = s->busy_until > s->now ? s->busy_until : s->now, arrival;
	bool is_burst = s->burst_ms && s->now / NS_PER_MS % s->burst_ms < 50;
	double queued = (double)(begin - s->now) * s->link_bps / 8e9;

	s->n_sent++;
	s->n_bytes += SIM_PACKET;
	s->sum_sent += SIM_PACKET * 8;
	if (cluster) {
		s->n_probe_bytes += SIM_PACKET;
		(void)probe_sent(&s->probe, SIM_PACKET, s->now);
	}
	if (queued + SIM_PACKET > s->queue_max || sim_random() < s->loss || is_burst) {
		s->n_lost++;
		return;
	}
	if (begin - s->now > s->max_queue)
		s->max_queue = begin - s->now;
	s->busy_until = begin + (ns_t)(SIM_PACKET * 8e9 / s->link_bps);
	arrival = s->busy_until + s->delay + (ns_t)(sim_random() * s->jitter_ms * NS_PER_MS);
	if (arrival < s->last_arrival)
		arrival = s->last_arrival;
	s->last_arrival = arrival;
	s->pipe[s->head % SIM_PIPE].seq = seq;
	s->pipe[s->head++ % SIM_PIPE].arrival = arrival;
}

static inline void sim_receive(struct sim *s)
{
	int len;

	while (s->tail != s->head && s->pipe[s->tail % SIM_PIPE].arrival <= s->now) {
		twcc_log_add(&s->log, s->pipe[s->tail % SIM_PIPE].seq, s->pipe[s->tail % SIM_PIPE].arrival);
		s->tail++;
	}
	if (s->now < twcc_log_due(&s->log))
		return;
	for (;;) {
		unsigned i = s->fb_head % SIM_FB;
		struct wbuf w = wbuf_of(s->fb[i].msg, TWCC_MAX_MSG);
		len = twcc_log_write(&s->log, &w, 1, 2, s->now);
		if (len <= 0)
			break;
		if (s->no_feedback)
			continue;
		s->fb[i].len = len;
		s->fb[i].at = s->now + s->delay;
		s->fb_head++;
	}
}

static inline void sim_feedback(struct sim *s)
{
	while (s->fb_tail != s->fb_head && s->fb[s->fb_tail % SIM_FB].at <= s->now) {
		unsigned i = s->fb_tail++ % SIM_FB;
		struct sendhist_iter it;
		struct sendhist_ack a;
		struct rtcp_iter ri;
		struct rtcp_pkt pkt;
		struct rtcp_fb fb;
		uint32_t bps;
		bool is_full;

		rtcp_begin(&ri, s->fb[i].msg, (size_t)s->fb[i].len);
		if (!rtcp_next(&ri, &pkt) || rtcp_fb_read(&pkt, &fb) < 0 ||
		    sendhist_begin(&s->hist, &it, &fb) < 0)
			continue;
		while (sendhist_next(&s->hist, &it, s->now, &a)) {
			gcc_ack(&s->gcc, &a);
			probe_ack(&s->probe, &a);
		}
		gcc_update(&s->gcc, 2 * s->delay, s->now);
		bps = probe_result(&s->probe, gcc_target(&s->gcc), s->now, &is_full);
		if (bps)
			gcc_probe(&s->gcc, bps, is_full, s->now);
	}
}

static inline double sim_frame_factor(const struct sim *s)
{
	double others;

	if (s->app_bps <= 0 || s->app_vary <= 0)
		return 1;
	others = 91 / (90 + s->key_factor);
	return others *
	       (s->now / NS_PER_MS % 3003 < 33 ? s->key_factor : 1 + s->app_vary * (2 * sim_random() - 1));
}

static inline void sim_media(struct sim *s)
{
	double target = gcc_target(&s->gcc),
	       rate = s->app_bps > 0 ? s->app_bps : fmin(target * 0.95, s->app_max_bps);

	if (s->now / NS_PER_MS % 33 == 0)
		s->backlog += rate * 0.033 / 8 * sim_frame_factor(s);
	s->credit = fmin(s->credit + fmax(target, rate) * 2.5 / 8000, 2 * SIM_PACKET);
	while (s->backlog >= SIM_PACKET && s->credit >= SIM_PACKET) {
		sim_send(s, 0);
		s->backlog -= SIM_PACKET;
		s->credit -= SIM_PACKET;
	}
}

static inline void sim_probe(struct sim *s)
{
	uint32_t bps;
	bool is_full;

	bps = probe_result(&s->probe, gcc_target(&s->gcc), s->now, &is_full);
	if (bps)
		gcc_probe(&s->gcc, bps, is_full, s->now);
	if (probe_due(&s->probe) == NS_NEVER && !s->no_probes) {
		struct probe_ask a = {.needed_bps = (uint32_t)s->app_max_bps,
				      .estimate_bps = gcc_target(&s->gcc),
				      .is_calm = gcc_is_calm(&s->gcc, s->now),
				      .packet_bytes = SIM_PACKET,
				      .now = s->now};
		(void)probe_want(&s->probe, &a, &s->plan);
	}
	while (s->now >= probe_due(&s->probe))
		sim_send(s, s->plan.cluster);
}

// One millisecond.
static inline void sim_step(struct sim *s)
{
	uint32_t target;

	s->now += NS_PER_MS;
	sim_receive(s);
	sim_feedback(s);
	sim_media(s);
	sim_probe(s);
	gcc_idle(&s->gcc, s->app_bps > 0 ? (uint32_t)s->app_bps : 1000000, s->now);
	target = gcc_target(&s->gcc);
	s->sum_target += target;
	s->n_ms++;
	s->min_target = target < s->min_target ? target : s->min_target;
	s->max_target = target > s->max_target ? target : s->max_target;
}

static inline void sim_run(struct sim *s, unsigned ms)
{
	while (ms-- > 0)
		sim_step(s);
}

static inline double sim_mean_target(const struct sim *s)
{
	return s->sum_target / s->n_ms;
}
static inline double sim_mean_sent(const struct sim *s)
{
	return s->sum_sent * 1000 / s->n_ms;
}
