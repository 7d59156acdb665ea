#include "lib/rtc/recv/speakers.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "lib/base/err.h"

#define SILENT 127
#define RISE 0.5f
#define FALL 0.1f
#define LONG 0.05f
#define VOICE_BIT_GAIN 1.2f
#define GUESS_PENALTY 1000.0f // more than any score
#define GUESS_FLOOR 50.0f
#define DOMINANT_MIN_DB 3.0f  // of lasting energy
#define DOMINANT_KEPT_DB 6.0f // of brief energy: never out

// --- one member -------------------------------------------------------------------------------------

static void floor_note(struct speaker *s, uint8_t loudness, ns_t now)
{
	if (!s->has_floor) {
		memset(s->floor, SILENT, sizeof(s->floor));
		s->has_floor = true;
		s->floor_since = now;
	}
	if (now - s->floor_since > SPEAKERS_FLOOR_NS) {
		s->floor[2] = s->floor[1];
		s->floor[1] = s->floor[0];
		s->floor[0] = loudness;
		s->floor_since = now;
	}
	if (loudness < s->floor[0])
		s->floor[0] = loudness;
}

static unsigned noise_floor(const struct speaker *s)
{
	unsigned low = s->floor[0];

	for (size_t i = 1; i < ARRAY_LEN(s->floor); i++)
		low = s->floor[i] < low ? s->floor[i] : low;
	return low < SPEAKERS_MAX_FLOOR ? low : SPEAKERS_MAX_FLOOR;
}

// Nobody speaks at one level for a minute.
static uint8_t believe(struct speaker *s, uint8_t level, ns_t now)
{
	int off = (int)level - s->steady_at;

	if (s->steady_since == 0 || off > 1 || off < -1) {
		s->steady_at = level;
		s->steady_since = now;
	}
	if (now - s->steady_since > SPEAKERS_LIAR_NS && level < SPEAKERS_LIAR_LEVEL)
		return SPEAKERS_LIAR_LEVEL;
	return level;
}

static void hear(struct speaker *s, uint8_t level, ns_t now)
{
	s->level = believe(s, level, now);
	s->heard = now;
	floor_note(s, (uint8_t)(SILENT - s->level), now);
}

void speaker_hear(struct speaker *s, uint8_t level, bool is_voice, ns_t now)
{
	s->is_voice = is_voice;
	s->is_guess = false;
	hear(s, level < SILENT ? level : SILENT, now);
}

void speaker_guess(struct speaker *s, unsigned payload_bytes, ns_t now)
{
	s->is_voice = false;
	s->is_guess = true;
	s->heard = now; // no floor, no doubt: sizes are too coarse for either
	s->level = payload_bytes <= 2 ? SILENT : payload_bytes <= 20 ? 90 : 50;
}

static void member_tick(struct speaker *s, ns_t now)
{
	float loud = (float)(SILENT - s->level) - (s->is_guess ? GUESS_FLOOR : (float)noise_floor(s));

	s->energy = s->heard == 0 || now - s->heard > SPEAKERS_GONE_NS || loud < 0 ? 0 : loud;
	s->brief += (s->energy > s->brief ? RISE : FALL) * (s->energy - s->brief);
	s->lasting += LONG * (s->energy - s->lasting);
	s->score = (s->brief + s->lasting / 2) * (s->is_voice ? VOICE_BIT_GAIN : 1) +
		   (s->is_selected ? SPEAKERS_BONUS_DB : 0) - (s->is_guess ? GUESS_PENALTY : 0);
	if (s->brief >= SPEAKERS_QUIET_DB)
		s->quiet_since = 0;
	else if (s->quiet_since == 0)
		s->quiet_since = now;
}

// --- the set ----------------------------------------------------------------------------------------

static void dominant_set(struct speakers *sp, struct speaker *s)
{
	sp->dominant = s;
	sp->rival = NULL;
}

static void dominant_tick(struct speakers *sp, struct speaker *const *member, unsigned n, ns_t now)
{
	struct speaker *best = NULL;

	for (unsigned i = 0; i < n; i++)
		if (member[i]->is_selected && (best == NULL || member[i]->lasting > best->lasting))
			best = member[i];
	if (best == NULL || best == sp->dominant || best->lasting < DOMINANT_MIN_DB) {
		sp->rival = NULL;
		return;
	}
	if (sp->dominant == NULL) {
		dominant_set(sp, best);
		return;
	}
	if (best->lasting < sp->dominant->lasting + SPEAKERS_LEAD_DB) {
		sp->rival = NULL;
		return;
	}
	if (sp->rival != best) {
		sp->rival = best;
		sp->rival_since = now;
	}
	if (now - sp->rival_since >= SPEAKERS_LEAD_NS)
		dominant_set(sp, best);
}

static bool change_take(struct speakers *sp)
{
	if (sp->changes < 1)
		return false;
	sp->changes -= 1;
	sp->n_changes++;
	return true;
}

static void leave(struct speakers *sp, struct speaker *s)
{
	s->is_selected = false;
	s->n_strong = 0;
	if (sp->dominant == s)
		dominant_set(sp, NULL);
}

static void enter(struct speaker *s, ns_t now)
{
	s->is_selected = true;
	s->entered = now;
	s->n_strong = 0;
}

// The member of the set that would have to go first, NULL when nobody may go. Counts those that take one of K places.
static struct speaker *weakest_of(const struct speakers *sp, struct speaker *const *member, unsigned n,
				  ns_t now, unsigned *n_places)
{
	struct speaker *weakest = NULL;

	*n_places = 0;
	for (unsigned i = 0; i < n; i++) {
		struct speaker *s = member[i];
		if (!s->is_selected || s == sp->dominant)
			continue;
		++*n_places;
		if (now - s->entered >= SPEAKERS_HOLD_NS && (weakest == NULL || s->score < weakest->score))
			weakest = s;
	}
	return weakest;
}

static bool may_enter(const struct speaker *s)
{
	return !s->is_selected && s->energy > SPEAKERS_ENTER_DB && s->level < SPEAKERS_ENTER_LEVEL;
}

// The best one outside of the set that has been strong for long enough.
static struct speaker *candidate_of(struct speaker *const *member, unsigned n)
{
	struct speaker *best = NULL;

	for (unsigned i = 0; i < n; i++)
		if (may_enter(member[i]) && member[i]->n_strong >= SPEAKERS_ENTER_TICKS &&
		    (best == NULL || member[i]->score > best->score))
			best = member[i];
	return best;
}

// Fewer places than there were.
static void shrink(struct speakers *sp, struct speaker *const *member, unsigned n, ns_t now)
{
	for (;;) {
		unsigned n_places;
		struct speaker *weakest = weakest_of(sp, member, n, now, &n_places);

		if (n_places <= sp->k || weakest == NULL)
			return;
		leave(sp, weakest);
	}
}

static void set_tick(struct speakers *sp, struct speaker *const *member, unsigned n, ns_t now)
{
	shrink(sp, member, n, now);
	for (;;) {
		unsigned n_places;
		struct speaker *weakest = weakest_of(sp, member, n, now, &n_places);
		struct speaker *best = candidate_of(member, n);
		bool has_place = n_places < sp->k;

		if (best == NULL || (!has_place && (weakest == NULL || best->score <= weakest->score)) ||
		    !change_take(sp))
			return;
		if (!has_place)
			leave(sp, weakest);
		enter(best, now);
		if (sp->dominant == NULL)
			dominant_set(sp, best);
	}
}

// Who left since the last call is forgotten.
static void drop_absent(struct speakers *sp, struct speaker *const *member, unsigned n)
{
	bool has_dominant = false, has_rival = false;

	for (unsigned i = 0; i < n; i++) {
		has_dominant |= member[i] == sp->dominant;
		has_rival |= member[i] == sp->rival;
	}
	if (!has_dominant)
		dominant_set(sp, NULL);
	else if (!has_rival)
		sp->rival = NULL;
}

void speakers_tick(struct speakers *sp, struct speaker *const *member, unsigned n, ns_t now)
{
	assert(sp->k >= 1 && sp->k <= SPEAKERS_MAX);
	if (sp->ticked == 0)
		sp->changes = SPEAKERS_CHANGES_PER_S;
	else
		sp->changes += (float)(now - sp->ticked) / NS_PER_S * SPEAKERS_CHANGES_PER_S;
	if (sp->changes > SPEAKERS_CHANGES_PER_S)
		sp->changes = SPEAKERS_CHANGES_PER_S;
	sp->ticked = now;
	drop_absent(sp, member, n);
	for (unsigned i = 0; i < n; i++) {
		struct speaker *s = member[i];

		member_tick(s, now);
		if (s->is_selected && s->quiet_since != 0 && now - s->quiet_since >= SPEAKERS_QUIET_NS)
			leave(sp, s);
		s->n_strong = may_enter(s) ? (uint8_t)(s->n_strong + (s->n_strong < UINT8_MAX)) : 0;
	}
	if (sp->dominant && sp->dominant->brief < DOMINANT_KEPT_DB && sp->dominant->lasting < DOMINANT_MIN_DB)
		dominant_set(sp, NULL); // an ordinary member of the set from here on
	dominant_tick(sp, member, n, now);
	set_tick(sp, member, n, now);
}
