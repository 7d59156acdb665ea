#include "lib/rtc/send/simulcast.h"

#include <assert.h>

// --- measured rate ------------------------------------------------------------------------------

void layerrate_add(struct layerrate *r, uint32_t n_bytes, ns_t now)
{
	int64_t b = now / LAYERRATE_BUCKET_NS;

	if (!r->started || b - r->top >= LAYERRATE_BUCKETS || now < r->last)
		*r = (struct layerrate){.top = b, .first = now, .started = true};
	for (; r->top < b; r->top++)
		r->bytes[(uint64_t)(r->top + 1) % LAYERRATE_BUCKETS] = 0;
	r->bytes[(uint64_t)b % LAYERRATE_BUCKETS] += n_bytes;
	r->last = now;
}

uint32_t layerrate_bps(const struct layerrate *r, ns_t window, ns_t now)
{
	int64_t b = now / LAYERRATE_BUCKET_NS, n = window / LAYERRATE_BUCKET_NS, known;
	uint64_t sum = 0;

	if (!r->started)
		return 0;
	known = b - r->first / LAYERRATE_BUCKET_NS; // whole buckets since it began
	if (n > known)
		n = known;
	if (n > LAYERRATE_BUCKETS - 1)
		n = LAYERRATE_BUCKETS - 1;
	if (n < NS_PER_S / LAYERRATE_BUCKET_NS)
		return 0;
	for (int64_t i = b - n; i < b; i++)
		if (i <= r->top && i > r->top - LAYERRATE_BUCKETS)
			sum += r->bytes[(uint64_t)i % LAYERRATE_BUCKETS];
	return (uint32_t)(sum * 8 * NS_PER_S / (uint64_t)(n * LAYERRATE_BUCKET_NS));
}

bool layerrate_is_active(const struct layerrate *r, ns_t now)
{
	return r->started && now - r->last <= LAYERRATE_ACTIVE_NS;
}

// --- choice -------------------------------------------------------------------------------------

void simulcast_init(struct simulcast *s)
{
	*s = (struct simulcast){.now = SIMULCAST_NONE,
				.want = SIMULCAST_NONE,
				.above = NS_NEVER,
				.below = NS_NEVER,
				.starved = NS_NEVER,
				.choked = NS_NEVER,
				.changed = NS_NEVER,
				.began = NS_NEVER,
				.backoff = SIMULCAST_BACKOFF_NS};
}

static bool affords(const struct simulcast_in *in, int i, unsigned percent)
{
	return (uint64_t)in->budget_bps * 100 >= (uint64_t)in->rung[i].bps * percent;
}

static int top_of(const struct simulcast_in *in)
{
	return in->n_rungs == 0 ? -1 : in->max_rung < in->n_rungs ? in->max_rung : in->n_rungs - 1;
}

static int lowest_active(const struct simulcast_in *in)
{
	for (int i = 0; i <= top_of(in); i++)
		if (in->rung[i].is_active)
			return i;
	return SIMULCAST_NONE;
}

// Best rung for the budget: staying is easier than climbing. The lowest one is taken in any case.
static int best_of(const struct simulcast_in *in, int current)
{
	unsigned enter = in->is_proven ? SIMULCAST_PROVEN : SIMULCAST_ENTER;

	for (int i = top_of(in); i >= 0; i--)
		if (in->rung[i].is_active && affords(in, i, i > current ? enter : SIMULCAST_STAY))
			return i;
	return lowest_active(in);
}

static bool lasts(ns_t *since, bool is_so, ns_t now, ns_t how_long)
{
	if (!is_so)
		*since = NS_NEVER;
	else if (*since == NS_NEVER)
		*since = now;
	return is_so && now - *since >= how_long;
}

static void change_note(struct simulcast *s, ns_t now)
{
	if (s->changed != NS_NEVER && now - s->changed >= SIMULCAST_STABLE_NS)
		s->backoff = SIMULCAST_BACKOFF_NS;
	else if (s->changed != NS_NEVER)
		s->backoff = s->backoff * 3 / 2 < SIMULCAST_MAX_BACKOFF_NS ? s->backoff * 3 / 2
									   : SIMULCAST_MAX_BACKOFF_NS;
	s->changed = now;
	s->above = s->below = NS_NEVER;
}

static void want_set(struct simulcast *s, const struct simulcast_in *in, int rung)
{
	assert(rung >= 0 && rung < in->n_rungs);
	if (s->want == rung)
		return;
	s->want = (int8_t)rung;
	s->want_layer = in->rung[rung].layer;
	s->want_cap = in->rung[rung].cap;
	s->wanted = in->now;
	s->asked = NS_NEVER;
}

static void want_clear(struct simulcast *s)
{
	s->want = SIMULCAST_NONE;
	s->is_frozen = false;
}

static bool may_climb(const struct simulcast *s, ns_t now)
{
	return s->changed == NS_NEVER || now - s->changed >= s->backoff;
}

// On a rung that lives.
static void step(struct simulcast *s, const struct simulcast_in *in, struct simulcast_out *out)
{
	// A rung that is being climbed to counts as if it were reached: no wavering while its key frame is under way.
	int best = best_of(in, s->want > s->now ? s->want : s->now), higher = s->now + 1;
	bool is_bad = in->loss > SIMULCAST_LOSS_DOWN || in->queue_ms > SIMULCAST_QUEUE_DOWN;
	bool is_urgent = is_bad || s->now > top_of(in);
	bool is_below = lasts(&s->below, best < s->now, in->now, is_urgent ? 0 : SIMULCAST_HOLD_NS);
	bool is_above = lasts(&s->above, best > s->now, in->now, in->is_proven ? 0 : SIMULCAST_HOLD_NS);

	if (is_bad && best >= s->now && s->now > lowest_active(in)) {
		// The budget lags behind what the receiver suffers: one rung down.
		for (best = s->now - 1; !in->rung[best].is_active; best--)
			;
		is_below = true;
	}
	if (is_below) {
		want_set(s, in, best);
		s->is_frozen = in->loss > SIMULCAST_LOSS_FREEZE;
		return;
	}
	if (s->want != SIMULCAST_NONE && s->want > s->now &&
	    (is_bad || best < s->want || !in->rung[s->want].is_active))
		want_clear(s); // no longer pays
	if (s->want != SIMULCAST_NONE && s->want < s->now && best >= s->now)
		want_clear(s); // recovered before the key frame
	if (is_bad || !may_climb(s, in->now))
		return;
	if (is_above)
		want_set(s, in, best);
	while (higher <= top_of(in) && !in->rung[higher].is_active)
		higher++;
	if (best == s->now && higher <= top_of(in))
		out->probe_bps = (uint32_t)((uint64_t)in->rung[higher].bps * SIMULCAST_ENTER / 100);
}

// A change that waits for its key frame: ask, ask again, give a climb up.
static void chase(struct simulcast *s, const struct simulcast_in *in, struct simulcast_out *out)
{
	bool is_climb = s->now != SIMULCAST_NONE && s->want > s->now;

	if (s->want == SIMULCAST_NONE || (s->now != SIMULCAST_NONE && s->want_layer == s->now_layer))
		return; // a change of cap needs no key frame
	if (is_climb && in->now - s->wanted >= SIMULCAST_CANCEL_NS) {
		want_clear(s);
		change_note(s, in->now);
		return;
	}
	if (s->asked != NS_NEVER && in->now - s->asked < SIMULCAST_KEY_NS)
		return;
	s->asked = in->now;
	out->ask_key = true;
	out->key_layer = s->want_layer;
}

static void resume(struct simulcast *s, const struct simulcast_in *in, int low, struct simulcast_out *out)
{
	if (low == SIMULCAST_NONE || in->is_barred || (s->is_choked && !may_climb(s, in->now)))
		return;
	if (!in->is_guess &&
	    !affords(in, low, SIMULCAST_STAY)) { // nothing is sent that could show there is room again
		out->probe_bps = in->rung[low].bps;
		return;
	}
	s->is_paused = s->is_choked = false;
	out->is_resumed_now = true;
}

// What a higher layer left in front of a link that got narrow drains on its own: no reason to pause the lowest one.
static bool is_draining(const struct simulcast *s, uint32_t queue_ms)
{
	return s->choked == NS_NEVER || (uint64_t)queue_ms * 100 < (uint64_t)s->choked_ms * SIMULCAST_DRAIN;
}

// Video gives way before audio suffers: when not even half of the lowest rung fits, or when what does not fit piles
// up in front of the receiver.
static void pause_or_resume(struct simulcast *s, const struct simulcast_in *in, struct simulcast_out *out)
{
	int low = lowest_active(in);
	bool is_starved = low != SIMULCAST_NONE && !in->is_guess && !affords(in, low, SIMULCAST_PAUSE);
	bool is_choked = low != SIMULCAST_NONE && s->now == low && in->queue_ms > SIMULCAST_QUEUE_DOWN &&
			 !affords(in, low, 100);

	if (s->is_paused) {
		resume(s, in, low, out);
		return;
	}
	is_starved = lasts(&s->starved, is_starved, in->now, SIMULCAST_PAUSE_NS);
	if (is_choked && is_draining(s, in->queue_ms)) {
		s->choked = in->now;
		s->choked_ms = in->queue_ms;
	}
	is_choked = lasts(&s->choked, is_choked, in->now, SIMULCAST_CHOKED_NS);
	if (!is_starved && !is_choked && !in->is_barred)
		return;
	want_clear(s);
	is_choked &= !in->is_barred;
	if (is_choked)
		change_note(s, in->now);
	s->now = SIMULCAST_NONE;
	s->is_paused = true;
	s->is_choked = is_choked;
	s->starved = s->choked = NS_NEVER;
	out->is_paused_now = true;
}

// Where a layer and cap are in the ladder now, which may have got other rungs.
static int8_t rung_find(const struct simulcast_in *in, int8_t before, uint8_t layer, uint8_t cap)
{
	if (before == SIMULCAST_NONE ||
	    (before < in->n_rungs && in->rung[before].layer == layer && in->rung[before].cap == cap))
		return before;
	for (int i = 0; i < in->n_rungs; i++)
		if (in->rung[i].layer == layer && in->rung[i].cap == cap)
			return (int8_t)i;
	return SIMULCAST_NONE;
}

void simulcast_decide(struct simulcast *s, const struct simulcast_in *in, struct simulcast_out *out)
{
	int most;

	assert(in->n_rungs <= SIMULCAST_RUNGS);
	*out = (struct simulcast_out){};
	if (s->began == NS_NEVER)
		s->began = in->now;
	s->now = rung_find(in, s->now, s->now_layer, s->now_cap);
	s->want = rung_find(in, s->want, s->want_layer, s->want_cap);
	if (s->want == SIMULCAST_NONE || s->want > top_of(in))
		want_clear(s);
	pause_or_resume(s, in, out);
	if (s->is_paused)
		return;
	if (s->now != SIMULCAST_NONE && in->rung[s->now].is_active) {
		step(s, in, out);
	} else {
		// Nothing to lose: begin, or leave a dead layer, at once.
		int best = best_of(in, SIMULCAST_NONE);
		if (best > 0 && in->now - s->began < SIMULCAST_FIRST_NS && !affords(in, best, SIMULCAST_STAY))
			best = SIMULCAST_NONE; // the encodings begin one after the other
		if (best == SIMULCAST_NONE)
			want_clear(s);
		else if (s->want == SIMULCAST_NONE || !in->rung[s->want].is_active || best < s->want)
			want_set(s, in, best);
	}
	chase(s, in, out);
	most = s->want > s->now ? s->want : s->now;
	out->spend_bps = most == SIMULCAST_NONE ? 0 : in->rung[most].bps;
}

static void change_make(struct simulcast *s, ns_t now)
{
	bool is_first = s->now == SIMULCAST_NONE;

	s->now = s->want;
	s->now_layer = s->want_layer;
	s->now_cap = s->want_cap;
	want_clear(s);
	if (!is_first)
		change_note(s, now);
}

bool simulcast_on_key(struct simulcast *s, uint8_t layer, ns_t now)
{
	if (s->want == SIMULCAST_NONE || s->want_layer != layer)
		return false;
	change_make(s, now);
	return true;
}

bool simulcast_on_frame(struct simulcast *s, uint8_t tid, bool is_switch_up, ns_t now)
{
	if (s->want == SIMULCAST_NONE || s->now == SIMULCAST_NONE || s->want_layer != s->now_layer)
		return false;
	if (s->want_cap > s->now_cap && tid > 0 && !is_switch_up)
		return false;
	change_make(s, now);
	return true;
}
