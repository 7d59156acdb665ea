#include "dataplane/media/room.h"

#include <stdlib.h>

#include "dataplane/core/cacheline.h"
#include "dataplane/core/dp.h"
#include "dataplane/media/source.h"
#include "lib/base/err.h"

#define MEMBERS_MAX 8192      // of one room looked at; limits.sessions_per_call is below
#define CALM_TICK_NS NS_PER_S // while nobody is chosen: the worker may have become overloaded
#define FROM_OVERLOADED 2     // open microphones above which a worker that gives up voices chooses

struct room *room_new(uint32_t call, uint8_t k, uint16_t from)
{
	struct room *r = cacheline_zalloc(sizeof(*r));

	if (r == NULL)
		return err_null(ENOMEM);
	r->call = call;
	r->from = from;
	r->k = k;
	return r;
}

void room_free(void *room)
{
	struct room *r = room;

	free((void *)atomic_load_explicit(&r->list, memory_order_relaxed)); // the last list
	free(r);
}

// Take in what the publishers' workers noted since the last tick.
static void listen_to(struct seat *s)
{
	uint64_t heard = atomic_load_explicit(&s->heard, memory_order_relaxed);
	ns_t at = (ns_t)(heard >> 16) * NS_PER_MS;
	unsigned flags = heard >> 8 & 0xff, value = heard & 0xff;

	if (heard == s->seen)
		return;
	s->seen = heard;
	if (flags & SEAT_GUESS)
		speaker_guess(&s->speaker, value, at);
	else
		speaker_hear(&s->speaker, (uint8_t)value, flags & SEAT_VOICE_BIT, at);
}

// The list is another one: who was not in the one before begins anew.
static void meet_members(struct room *r, const struct room_list *l)
{
	uint32_t last = r->turn++;

	for (uint32_t i = 0; i < l->n; i++) {
		struct seat *s = &l->member[i].source->seat;
		if (s->gen != l->member[i].gen || s->turn != last)
			s->speaker = (struct speaker){};
		s->gen = l->member[i].gen;
		s->turn = r->turn;
	}
	r->seen = l;
}

static void silence_voice(struct source *src, bool yes)
{
	if (seat_is_silenced(&src->seat) != yes)
		atomic_store_explicit(&src->seat.is_silenced, yes, memory_order_relaxed);
}

static void choose_speakers(struct worker *w, struct room *r, const struct room_list *l)
{
	static _Thread_local struct speaker *member[MEMBERS_MAX];
	uint32_t n = RTE_MIN(l->n, (uint32_t)MEMBERS_MAX);
	uint64_t before = r->speakers.n_changes;

	for (uint32_t i = 0; i < n; i++) {
		listen_to(&l->member[i].source->seat);
		member[i] = &l->member[i].source->seat.speaker;
	}
	r->speakers.k = w->overload.stage >= OVERLOAD_VOICES ? 1 : r->k;
	speakers_tick(&r->speakers, member, n, w->now);
	for (uint32_t i = 0; i < n; i++)
		silence_voice(l->member[i].source, !member[i]->is_selected);
	count(w, CTR_SPEAKER_CHANGES, r->speakers.n_changes - before);
}

static void everybody(const struct room_list *l)
{
	for (uint32_t i = 0; l && i < l->n; i++)
		silence_voice(l->member[i].source, false);
}

// Some room between beginning and ending, so that one microphone does not toggle it.
static bool is_crowded(const struct worker *w, const struct room *r, uint32_t n)
{
	if (w->overload.stage >= OVERLOAD_VOICES)
		return n > FROM_OVERLOADED;
	return n > r->from || (r->is_choosing && n > r->from * 3u / 4);
}

static void room_tick(struct worker *w, struct room *r)
{
	const struct room_list *l =
		atomic_load_explicit(&r->list, memory_order_acquire); // pairs with model_room.c

	ASSERT_HOT(r->worker == w);
	r->is_choosing = l && l->n > 0 && is_crowded(w, r, l->n);
	if (!r->is_choosing) {
		everybody(l);
		r->seen = NULL; // a list may come to lie where this one was
		if (l && l->n > FROM_OVERLOADED)
			wheel_arm(&w->wheel, &r->timer, w->now + CALM_TICK_NS);
		return;
	}
	if (l != r->seen)
		meet_members(r, l);
	choose_speakers(w, r, l);
	wheel_arm(&w->wheel, &r->timer, w->now + SPEAKERS_TICK_NS);
}

static void on_room_due(struct timer *t, ns_t now)
{
	struct room *r = container_of(t, struct room, timer);

	room_tick(r->worker, r);
}

void room_start(struct worker *w, struct room *r)
{
	r->worker = w;
	r->timer.on_due = on_room_due;
	room_tick(w, r);
}

void room_changed(struct worker *w, struct room *r)
{
	r->seen = NULL; // another list may have come to lie where the last one was
	if (!r->is_choosing)
		room_tick(w, r);
}

void room_stop(struct worker *w, struct room *r)
{
	ASSERT_HOT(r->worker == w);
	wheel_cancel(&w->wheel, &r->timer);
}
