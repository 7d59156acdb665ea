#include "dataplane/media/bwe.h"

#include <stdlib.h>

#include "dataplane/core/cacheline.h"
#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/media/leg.h"
#include "lib/rtc/wire/rtcp.h"

#define AUDIO_NS NS_PER_S
#define AUDIO_MIN_BPS 50000       // reserved while nobody talks: somebody will
#define AUDIO_OVERHEAD 64         // bytes per packet beside the payload: IP, UDP, RTP, tag
#define REPORTS_NS (3 * NS_PER_S) // without transport-wide feedback for so long: report blocks count
#define CONGESTED_QUEUE_MS 100    // the pacer slows down from here on

static const struct gcc_conf conf = {
	.min_bps = GCC_MIN_BPS, .start_bps = GCC_START_BPS, .max_bps = GCC_MAX_BPS};

struct bwe *bwe_new(void)
{
	return cacheline_zalloc(sizeof(struct bwe));
}

void bwe_free(void *bwe)
{
	free(bwe);
}

static void target_set(struct worker *w, struct bwe *b)
{
	b->target = gcc_target(&b->gcc);
	b->is_congested = b->gcc.delay.usage == GCC_OVERUSE || gcc_queue_ms(&b->gcc) > CONGESTED_QUEUE_MS;
	// What was chosen leaves at its own pace at least, also while the estimate has not caught up with it.
	pacer_rate(&b->pacer, b->is_congested ? b->target : RTE_MAX(b->target, b->chosen_bps),
		   b->is_congested, w->now);
}

static void decide_now(struct worker *w, struct session *s)
{
	s->bwe->due = w->now;
	session_due(w, s, w->now);
}

void bwe_start(struct worker *w, struct session *s)
{
	struct bwe *b = s->bwe;

	ASSERT_HOME(w, s);
	gcc_init(&b->gcc, &conf, w->now);
	probe_init(&b->probe, w->now);
	sendhist_init(&b->hist, b->slot, BWE_SLOTS);
	pacer_init(&b->pacer, GCC_START_BPS, w->now);
	b->started = b->decided = b->audio_at = w->now;
	target_set(w, b);
	decide_now(w, s);
}

void bwe_leg_added(struct worker *w, struct session *s)
{
	decide_now(w, s);
}

void bwe_path_changed(struct worker *w, struct session *s)
{
	struct bwe *b = s->bwe;

	ASSERT_HOME(w, s);
	if (b == NULL)
		return;
	gcc_reset(&b->gcc, w->now);
	probe_reset(&b->probe, w->now);
	s->rtt = (struct rtt){};
	target_set(w, b);
	decide_now(w, s);
}

// --- what receivers tell --------------------------------------------------------------------------

static void probe_read(struct worker *w, struct bwe *b)
{
	bool is_full;
	uint32_t bps = probe_result(&b->probe, gcc_target(&b->gcc), w->now, &is_full);

	if (bps > 0)
		gcc_probe(&b->gcc, bps, is_full, w->now);
}

void bwe_on_twcc(struct worker *w, struct session *s, const struct rtcp_fb *fb)
{
	struct bwe *b = s->bwe;
	struct sendhist_iter it;
	struct sendhist_ack ack;
	int rc;

	ASSERT_HOME(w, s);
	count(w, CTR_RTCP_TWCC_RX, 1);
	rc = b ? sendhist_begin(&b->hist, &it, fb) : -ERANGE;
	if (rc < 0) {
		count(w, rc == -ERANGE ? CTR_RTCP_UNKNOWN : DROP_BAD_RTCP, 1);
		return;
	}
	while (sendhist_next(&b->hist, &it, w->now, &ack)) {
		gcc_ack(&b->gcc, &ack);
		probe_ack(&b->probe, &ack);
	}
	gcc_update(&b->gcc, s->rtt.smooth_ns, w->now);
	probe_read(w, b);
	target_set(w, b);
}

// Nobody expects more from this receiver than reports: its transport-wide feedback was not negotiated or never came.
static bool is_without_feedback(const struct worker *w, const struct session *s)
{
	const struct bwe *b = s->bwe;

	return b->gcc.is_by_reports || s->ext[EXT_TWCC] == 0 ||
	       (!b->gcc.has_feedback && w->now - b->started > REPORTS_NS);
}

void bwe_on_remb(struct worker *w, struct session *s, uint32_t bps)
{
	ASSERT_HOME(w, s);
	count(w, CTR_RTCP_REMB_RX, 1);
	if (s->bwe == NULL || !is_without_feedback(w, s))
		return;
	gcc_remb(&s->bwe->gcc, bps);
	target_set(w, s->bwe);
}

void bwe_on_block(struct worker *w, struct session *s, struct leg *leg, const struct rtcp_block *block)
{
	ASSERT_HOME(w, s);
	ASSERT_HOT(leg->session == s && leg->viewer);
	if (s->bwe == NULL || !leg->started || !is_without_feedback(w, s))
		return;
	gcc_report(&s->bwe->gcc, block->fraction, s->rtt.smooth_ns, w->now);
	target_set(w, s->bwe);
}

// --- what is sent -----------------------------------------------------------------------------------

// Voice comes first: what it takes is reserved, also for a while after it took more.
static void audio_measure(struct worker *w, struct session *s)
{
	struct bwe *b = s->bwe;
	uint64_t n_bytes = 0;
	uint32_t bps, slowly = b->audio_bps - b->audio_bps / 4;
	bool has_audio = false;

	if (w->now - b->audio_at < AUDIO_NS)
		return;
	for (const struct leg *leg = s->legs; leg; leg = leg->next)
		if (leg->viewer == NULL) {
			n_bytes += leg->n_octets + (uint64_t)leg->n_packets * AUDIO_OVERHEAD;
			has_audio = true;
		}
	bps = n_bytes > b->seen_audio && b->seen_audio > 0
		      ? (uint32_t)RTE_MIN((n_bytes - b->seen_audio) * 8 * NS_PER_S /
						  (uint64_t)(w->now - b->audio_at),
					  (uint64_t)GCC_MAX_BPS)
		      : 0;
	b->seen_audio = n_bytes;
	b->audio_at = w->now;
	gcc_other(&b->gcc, bps);
	b->audio_bps = RTE_MAX(RTE_MAX(bps, slowly), has_audio ? AUDIO_MIN_BPS : 0u);
}

static void video_measure(struct worker *w, struct bwe *b)
{
	ns_t dt = w->now - b->decided;
	uint64_t n = b->n_video_bytes - b->seen_video;
	double bps;

	if (dt <= 0)
		return;
	bps = (double)n * 8 * NS_PER_S / (double)dt;
	b->sent_bps = (uint32_t)(b->sent_bps + (bps - b->sent_bps) * 0.2);
	b->seen_video = b->n_video_bytes;
}

void bwe_measure(struct worker *w, struct session *s, uint64_t video_bps)
{
	struct bwe *b = s->bwe;

	ASSERT_HOME(w, s);
	gcc_offer(&b->gcc, (uint32_t)RTE_MIN(video_bps + b->audio_bps, (uint64_t)GCC_CEILING_BPS));
	audio_measure(w, s);
	video_measure(w, b);
	gcc_idle(&b->gcc, b->sent_bps, w->now);
	probe_read(w, b);
	target_set(w, b);
	b->decided = w->now;
}

void bwe_probe_for(struct worker *w, struct bwe *b, uint32_t video_bps)
{
	uint64_t needed = ((uint64_t)video_bps + b->audio_bps) * 100 / 95 + 1;
	struct probe_ask ask = {.needed_bps = (uint32_t)RTE_MIN(needed, (uint64_t)gcc_max(&b->gcc)),
				.estimate_bps = gcc_target(&b->gcc),
				.is_calm =
					gcc_is_calm(&b->gcc, w->now) && w->overload.stage < OVERLOAD_PROBES,
				.packet_bytes = BWE_PROBE_PACKET,
				.now = w->now};

	if (!probe_want(&b->probe, &ask, &b->plan))
		return;
	b->n_probes++;
	count(w, CTR_PROBES, 1);
}

void bwe_state(const struct bwe *b, ns_t now, struct ipc_session_state *st)
{
	st->estimate_bps = b->target;
	st->queue_ms = gcc_queue_ms(&b->gcc);
	st->loss = (uint16_t)(b->gcc.loss * 1000);
	st->n_probes = b->n_probes;
}
