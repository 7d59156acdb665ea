#include "dataplane/media/bwe.h"

#include <stdlib.h>

#include "dataplane/media/leg.h"
#include "dataplane/ctl/model_priv.h"
#include "dataplane/core/session.h"
#include "dataplane/media/source.h"
#include "dataplane/media/video.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/core/dp.h"
#include "lib/rtc/send/allocate.h"
#include "lib/rtc/wire/rtcp.h"

#define DECIDE_NS (100 * NS_PER_MS)
#define AUDIO_NS NS_PER_S
#define AUDIO_MIN_BPS 50000       // reserved while nobody talks: somebody will
#define AUDIO_OVERHEAD 64         // bytes per packet beside the payload: IP, UDP, RTP, tag
#define REPORTS_NS (3 * NS_PER_S) // without transport-wide feedback for so long: report blocks count
#define CONGESTED_QUEUE_MS 100    // the pacer slows down from here on
#define PROBE_PACKET 1500         // bytes
#define PROBES_PER_RUN 4          // packets: a round that was late does not make a burst
#define NOMINAL_LOW 500000        // bit/s of layers not measured yet
#define NOMINAL_MIDDLE 1000000
#define NOMINAL_HIGH 2500000

static const struct gcc_conf conf = {
	.min_bps = GCC_MIN_BPS, .start_bps = GCC_START_BPS, .max_bps = GCC_MAX_BPS};

struct bwe *bwe_new(void)
{
	return model_zalloc(sizeof(struct bwe));
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

static void due_set(struct worker *w, struct session *s, ns_t due)
{
	s->bwe->due = due;
	session_due(w, s, due);
}

void bwe_start(struct worker *w, struct session *s)
{
	struct bwe *b = s->bwe;

	gcc_init(&b->gcc, &conf, w->now);
	probe_init(&b->probe, w->now);
	sendhist_init(&b->hist, b->slot, BWE_SLOTS);
	pacer_init(&b->pacer, GCC_START_BPS, w->now);
	b->started = b->decided = b->audio_at = w->now;
	target_set(w, b);
	due_set(w, s, w->now);
}

void bwe_leg_added(struct worker *w, struct session *s)
{
	due_set(w, s, w->now);
}

void bwe_path_changed(struct worker *w, struct session *s)
{
	struct bwe *b = s->bwe;

	if (b == NULL)
		return;
	gcc_reset(&b->gcc, w->now);
	probe_reset(&b->probe, w->now);
	s->rtt = (struct rtt){};
	target_set(w, b);
	due_set(w, s, w->now);
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
	count(w, CTR_RTCP_REMB_RX, 1);
	if (s->bwe == NULL || !is_without_feedback(w, s))
		return;
	gcc_remb(&s->bwe->gcc, bps);
	target_set(w, s->bwe);
}

void bwe_on_block(struct worker *w, struct session *s, struct leg *leg, const struct rtcp_block *block)
{
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

// --- which layers -----------------------------------------------------------------------------------

static uint32_t nominal(unsigned layer, unsigned n_layers)
{
	if (n_layers == 1 || (n_layers == 3 && layer == 1))
		return NOMINAL_MIDDLE;
	return layer == 0 ? NOMINAL_LOW : NOMINAL_HIGH;
}

// One encoding with temporal layers: each cap is a rung, by the shares that encoders give them.
static void rungs_of_caps(struct allocate_leg *a, const struct layer_info *info, uint32_t bps)
{
	static const uint8_t share[2][3] = {{60, 100, 100}, {40, 60, 100}}; // percent
	unsigned n = RTE_MIN(info->n_tids, 3u);

	for (unsigned i = 0; i < n; i++)
		a->rung[i] = (struct simulcast_rung){.bps = (uint32_t)((uint64_t)bps * share[n - 2][i] / 100),
						     .cap = (uint8_t)(i + 1 == n ? RTXRING_ALL : i),
						     .is_active = info->is_active};
	a->n_rungs = (uint8_t)n;
}

static void rungs_of(struct allocate_leg *a, const struct leg *leg)
{
	const struct video *v = leg->source->video;
	struct layer_info info;

	if (source_gen(leg->source) != leg->source_gen || v == NULL)
		return; // the track ended
	for (unsigned i = 0; i < v->n_layers; i++) {
		layer_info(v->layer[i], &info);
		a->rung[i] = (struct simulcast_rung){.bps = info.bps ? info.bps : nominal(i, v->n_layers),
						     .layer = (uint8_t)i,
						     .cap = RTXRING_ALL,
						     .is_active = info.is_active};
	}
	a->n_rungs = v->n_layers;
	if (v->n_layers == 1 && info.n_tids > 1)
		rungs_of_caps(a, &info, a->rung[0].bps);
}

// An overloaded host gives up video in this order: docs/packet-path.md.
static void overload_limit(struct allocate_leg *a, unsigned stage)
{
	bool is_screen = a->importance == 0;

	a->is_barred = stage >= OVERLOAD_VIDEO || (stage >= OVERLOAD_SCREENS && !is_screen);
	if (stage >= OVERLOAD_SCREENS || (stage >= OVERLOAD_CAMERAS && !is_screen))
		a->max_rung = 0;
}

static unsigned legs_read(const struct worker *w, struct session *s, struct allocate_leg *a)
{
	unsigned n = 0;

	for (struct leg *leg = s->legs; leg && leg->viewer && n < IPC_MAX_LEGS; leg = leg->next, n++) {
		a[n] = (struct allocate_leg){.choice = viewer_choice(leg->viewer),
					     .importance = leg->importance,
					     .max_rung = SIMULCAST_RUNGS};
		rungs_of(&a[n], leg);
		overload_limit(&a[n], w->overload.stage);
	}
	return n;
}

static void legs_tell(struct worker *w, struct session *s, const struct allocate_leg *a, unsigned n)
{
	struct leg *leg = s->legs, *next;

	s->bwe->chosen_bps = 0;
	for (unsigned i = 0; i < n; i++, leg = next) {
		next = leg->next;
		s->bwe->chosen_bps += a[i].out.spend_bps;
		count(w, CTR_VIDEO_PAUSED, a[i].out.is_paused_now);
		count(w, CTR_VIDEO_RESUMED, a[i].out.is_resumed_now);
		if (a[i].is_changed)
			viewer_choice_changed(w, s, leg);
		if (a[i].out.ask_key && a[i].choice->wanted < w->now) // the first one did not come
			layer_ask_key(leg->source->video->layer[a[i].out.key_layer]);
	}
}

// What would be sent if it could be, as the target it needs.
static void probe_ask(struct worker *w, struct bwe *b, uint32_t video_bps)
{
	uint64_t needed = ((uint64_t)video_bps + b->audio_bps) * 100 / 95 + 1;
	struct probe_ask ask = {.needed_bps = (uint32_t)RTE_MIN(needed, (uint64_t)GCC_MAX_BPS),
				.estimate_bps = gcc_target(&b->gcc),
				.is_calm =
					gcc_is_calm(&b->gcc, w->now) && w->overload.stage < OVERLOAD_PROBES,
				.packet_bytes = PROBE_PACKET,
				.now = w->now};

	if (!probe_want(&b->probe, &ask, &b->plan))
		return;
	b->n_probes++;
	count(w, CTR_PROBES, 1);
}

static void decide(struct worker *w, struct session *s)
{
	struct allocate_leg a[IPC_MAX_LEGS];
	struct bwe *b = s->bwe;
	struct allocate_in in;
	unsigned n = legs_read(w, s, a);
	uint32_t needed;

	audio_measure(w, s);
	video_measure(w, b);
	gcc_idle(&b->gcc, b->sent_bps, w->now);
	probe_read(w, b);
	target_set(w, b);
	b->decided = w->now;
	in = (struct allocate_in){.budget_bps = simulcast_budget(b->target, b->audio_bps),
				  .loss = gcc_loss(&b->gcc),
				  .queue_ms = gcc_queue_ms(&b->gcc),
				  .is_proven = gcc_is_proven(&b->gcc, w->now),
				  .now = w->now};
	needed = allocate(a, n, &in);
	legs_tell(w, s, a, n);
	if (needed > 0 && s->send != SEND_NOT)
		probe_ask(w, b, needed);
}

// --- over time ---------------------------------------------------------------------------------------

static void probe_send(struct worker *w, struct session *s)
{
	struct bwe *b = s->bwe;

	for (unsigned i = 0; i < PROBES_PER_RUN && w->now >= probe_due(&b->probe); i++)
		if (viewer_probe(w, s, b->plan.cluster, PROBE_PACKET) == 0) {
			probe_abandon(&b->probe, w->now);
			return;
		}
}

void bwe_run(struct worker *w, struct session *s)
{
	struct bwe *b = s->bwe;
	ns_t due;

	if (b == NULL || s->legs == NULL || s->legs->viewer == NULL)
		return;
	if (w->now >= b->due || w->now - b->decided >= DECIDE_NS)
		decide(w, s);
	probe_send(w, s);
	due = b->decided + DECIDE_NS;
	b->due = due;
	session_due(w, s, RTE_MIN(due, probe_due(&b->probe)));
}

void bwe_state(const struct bwe *b, ns_t now, struct ipc_session_state *st)
{
	st->estimate_bps = b->target;
	st->queue_ms = gcc_queue_ms(&b->gcc);
	st->loss = (uint16_t)(b->gcc.loss * 1000);
	st->n_probes = b->n_probes;
}
