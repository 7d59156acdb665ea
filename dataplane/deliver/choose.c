#include "dataplane/deliver/choose.h"

#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/media/bwe.h"
#include "dataplane/media/layer.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/media/leg.h"
#include "dataplane/media/source.h"
#include "dataplane/media/video.h"
#include "lib/rtc/send/allocate.h"
#include "lib/rtc/send/rtxring.h"

#define DECIDE_NS (100 * NS_PER_MS)
#define PROBES_PER_RUN 4   // packets: a round that was late does not make a burst
#define NOMINAL_LOW 500000 // bit/s of layers not measured yet
#define NOMINAL_MIDDLE 1000000
#define NOMINAL_HIGH 2500000

static uint32_t nominal_bps(unsigned layer, unsigned n_layers)
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
		a->rung[i] = (struct simulcast_rung){.bps = info.bps ? info.bps : nominal_bps(i, v->n_layers),
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

// The best of each stream, whether or not it is sent.
static uint64_t legs_offered(const struct allocate_leg *a, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t best = 0;

		for (unsigned k = 0; k < a[i].n_rungs; k++)
			if (a[i].rung[k].is_active)
				best = RTE_MAX(best, a[i].rung[k].bps);
		sum += best;
	}
	return sum;
}

static void decide_layers(struct worker *w, struct session *s)
{
	struct allocate_leg a[IPC_MAX_LEGS];
	struct bwe *b = s->bwe;
	struct allocate_in in;
	unsigned n = legs_read(w, s, a);
	uint32_t needed;

	bwe_measure(w, s, legs_offered(a, n));
	in = (struct allocate_in){.budget_bps = simulcast_budget(b->target, b->audio_bps),
				  .loss = gcc_loss(&b->gcc),
				  .queue_ms = gcc_queue_ms(&b->gcc),
				  .is_proven = gcc_is_proven(&b->gcc, w->now),
				  .is_guess = !gcc_is_measured(&b->gcc),
				  .now = w->now};
	needed = allocate(a, n, &in);
	legs_tell(w, s, a, n);
	if (needed > 0 && s->send != SEND_NOT)
		bwe_probe_for(w, b, needed);
}

// --- over time ---------------------------------------------------------------------------------------

static void probe_send(struct worker *w, struct session *s)
{
	struct bwe *b = s->bwe;

	for (unsigned i = 0; i < PROBES_PER_RUN && w->now >= probe_due(&b->probe); i++)
		if (viewer_probe(w, s, b->plan.cluster, BWE_PROBE_PACKET) == 0) {
			probe_abandon(&b->probe, w->now);
			return;
		}
}

void choose_run(struct worker *w, struct session *s)
{
	struct bwe *b = s->bwe;
	ns_t due;

	ASSERT_HOME(w, s);
	if (b == NULL || s->legs == NULL || s->legs->viewer == NULL)
		return;
	if (w->now >= b->due || w->now - b->decided >= DECIDE_NS)
		decide_layers(w, s);
	probe_send(w, s);
	due = b->decided + DECIDE_NS;
	b->due = due;
	session_due(w, s, RTE_MIN(due, probe_due(&b->probe)));
}
