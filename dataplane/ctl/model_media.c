// Tracks and legs of the model: what a publisher offers, who receives it, and the lists made from that.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/core/cacheline.h"
#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/core/session.h"
#include "dataplane/ctl/model_priv.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/media/bwe.h"
#include "dataplane/media/fanout.h"
#include "dataplane/media/leg.h"
#include "dataplane/media/video.h"
#include "dataplane/publish/video_new.h"
#include "lib/base/err.h"
#include "lib/base/list.h"

#define SOURCES_PER_CHUNK 32
#define USED_SSRCS 8192 // remembered per session: 12 joins a minute for 11 hours

// --- sources: memory that is never used for anything else -------------------------------------------

// Sources of a kind and number of layers stay so: 0 layers is audio.
static bool grow_sources(struct model *m, unsigned n_layers)
{
	struct source *chunk = cacheline_zalloc(SOURCES_PER_CHUNK * sizeof(*chunk));
	void **list = realloc(m->source_chunks, (m->n_source_chunks + 1) * sizeof(*list));

	if (list != NULL)
		m->source_chunks = list;
	if (chunk == NULL || list == NULL) {
		free(chunk);
		return false;
	}
	m->source_chunks[m->n_source_chunks++] = chunk;
	for (unsigned i = 0; i < SOURCES_PER_CHUNK; i++) {
		chunk[i].current = (void *)m->free_sources[n_layers];
		m->free_sources[n_layers] = &chunk[i];
	}
	return true;
}

static struct source *source_get(struct model *m, unsigned n_layers)
{
	struct source *s;
	uint32_t gen;

	if (m->free_sources[n_layers] == NULL && !grow_sources(m, n_layers))
		return NULL;
	s = m->free_sources[n_layers];
	if (n_layers > 0 && s->video == NULL && (s->video = video_new(m->dp, s, n_layers)) == NULL)
		return NULL;
	m->free_sources[n_layers] = (void *)s->current;
	gen = source_gen(s);
	// Nobody holds it but late packets and legs of its former life, which look at gen, fanout and map only.
	memset((char *)s + offsetof(struct source, current), 0,
	       offsetof(struct source, map_lock) - offsetof(struct source, current));
	s->seat = (struct seat){};
	source_map_set(s, &(struct clock_map){});
	atomic_store_explicit(&s->gen, gen + 1, memory_order_release); // pairs with source_gen
	return s;
}

struct source_return {
	struct model *model;
	struct source *source;
};

static void source_put(void *p)
{
	struct source_return *r = p;
	unsigned n_layers = r->source->video ? r->source->video->n_layers : 0;

	r->source->current = (void *)r->model->free_sources[n_layers];
	r->model->free_sources[n_layers] = r->source;
	free(r);
}

void model_free_sources(struct model *m)
{
	for (unsigned i = 0; i < m->n_source_chunks; i++) {
		struct source *chunk = m->source_chunks[i];

		for (unsigned k = 0; k < SOURCES_PER_CHUNK; k++)
			video_free(chunk[k].video);
		free(chunk);
	}
	free(m->source_chunks);
}

// --- finding -----------------------------------------------------------------------------------------

static struct m_track *find_track(const struct model *m, uint32_t sid, uint16_t track)
{
	struct m_session *s = model_find_session(m, sid);

	return s && track < IPC_MAX_TRACKS ? s->track[track] : NULL;
}

static void fanout_release(void *f)
{
	fanout_free(f);
}

static void mark_track(struct model *m, struct m_track *t)
{
	if (t->dirty)
		return;
	t->dirty = true;
	TAILQ_INSERT_TAIL(&m->dirty, t, dirty_link);
}

// --- legs -------------------------------------------------------------------------------------------

static bool same_leg(const struct ipc_leg_add *a, const struct ipc_leg_add *b)
{
	return a->kind == b->kind && a->pt == b->pt && a->src_sid == b->src_sid &&
	       a->src_track == b->src_track && a->codec == b->codec && a->ssrc == b->ssrc &&
	       a->clock_hz == b->clock_hz && a->rtx_pt == b->rtx_pt && a->rtx_ssrc == b->rtx_ssrc;
}

// An SSRC is sealed under a session's key once only: a new leg would start its numbers anew.
// The control plane counts through a permutation of all 32-bit numbers and keeps the count in its store, so one that comes again
// is a count that was lost, and among the last; or it belongs to a leg that is still there. Older ones are forgotten: a
// session that has spent thousands is not to be without legs for ever.
static int use_ssrc(struct m_session *s, uint32_t ssrc)
{
	uint32_t n_known = s->n_used < USED_SSRCS ? s->n_used : USED_SSRCS;
	const struct m_leg *leg;

	for (uint32_t i = 0; i < n_known; i++)
		if (s->used_ssrc[i] == ssrc)
			return -EEXIST;
	LIST_FOREACH (leg, &s->legs, of_session)
		if (leg->add.ssrc == ssrc || (leg->add.rtx_pt != 0 && leg->add.rtx_ssrc == ssrc))
			return -EEXIST;
	if (s->n_used == s->used_size && s->used_size < USED_SSRCS) {
		uint32_t size = s->used_size ? 2 * s->used_size : 16;
		uint32_t *grown = realloc(s->used_ssrc, size * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		s->used_ssrc = grown;
		s->used_size = size;
	}
	s->used_ssrc[s->n_used++ % USED_SSRCS] = ssrc;
	return 0;
}

static struct leg *make_leg(const struct m_session *s, const struct m_track *from,
			    const struct ipc_leg_add *add)
{
	struct leg *leg = cacheline_zalloc(sizeof(*leg));

	if (leg == NULL)
		return NULL;
	leg->ssrc = add->ssrc;
	leg->pt = add->pt;
	leg->codec = add->codec;
	leg->session = s->session;
	leg->source = from->source;
	leg->source_gen = source_gen(from->source);
	leg->clock_hz = add->clock_hz;
	leg->sid = s->sid;
	leg->id = add->leg;
	leg->kind = add->kind;
	leg->importance = add->importance;
	if (add->kind == KIND_VIDEO && (leg->viewer = viewer_new(add)) == NULL) {
		free(leg);
		return NULL;
	}
	return leg;
}

static void leg_free(void *p)
{
	struct leg *leg = p;

	viewer_free(leg->viewer);
	free(leg);
}

int model_leg_add(struct model *m, const struct ipc_leg_add *add)
{
	struct m_session *s = model_find_session(m, add->sid);
	struct m_track *from = find_track(m, add->src_sid, add->src_track);
	struct m_leg *leg;
	int err;

	if (s == NULL || from == NULL)
		return -ENOENT;
	leg = model_find_leg(s, add->leg);
	if (leg != NULL)
		return same_leg(&leg->add, add) ? 0 : -EEXIST;
	if (from->owner == s || from->add.kind != add->kind)
		return -EINVAL;
	if (add->kind == KIND_VIDEO && s->bwe == NULL && (s->bwe = bwe_new()) == NULL)
		return -ENOMEM;
	err = use_ssrc(s, add->ssrc);
	if (err == 0 && add->rtx_pt != 0)
		err = use_ssrc(s, add->rtx_ssrc);
	if (err < 0)
		return err;
	leg = calloc(1, sizeof(*leg));
	if (leg == NULL || (leg->leg = make_leg(s, from, add)) == NULL) {
		free(leg);
		return -ENOMEM;
	}
	leg->owner = s;
	leg->from = from;
	leg->add = *add;
	LIST_INSERT_HEAD(&s->legs, leg, of_session);
	LIST_INSERT_HEAD(&from->legs, leg, of_track);
	s->n_legs++;
	from->n_legs++;
	mark_track(m, from);
	model_post(s, (struct mail){.type = MAIL_LEG_ADD, .leg = {leg->leg, s->bwe}});
	return 0;
}

void model_remove_leg(struct model *m, struct m_leg *leg, bool tell)
{
	assert(leg->owner->n_legs > 0 && leg->from->n_legs > 0);
	if (tell)
		model_post(leg->owner, (struct mail){.type = MAIL_LEG_DEL, .leg = {leg->leg}});
	LIST_REMOVE(leg, of_session);
	LIST_REMOVE(leg, of_track);
	leg->owner->n_legs--;
	leg->from->n_legs--;
	mark_track(m, leg->from);
	model_retire(m, leg_free, leg->leg, leg->owner->home);
	free(leg);
}

// --- tracks -----------------------------------------------------------------------------------------

static int track_mail(struct model *m, struct m_track *t)
{
	struct ipc_track_add *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return -ENOMEM;
	*copy = t->add;
	model_post(t->owner,
		   (struct mail){.type = MAIL_TRACK,
				 .track = {.source = t->source, .track = copy, .enabled = t->add.enabled}});
	model_retire(m, free, copy, t->owner->home);
	return 0;
}

// Layers that a declaration needs; 0 for audio.
static unsigned n_layers_of(const struct ipc_track_add *add)
{
	return add->kind != KIND_VIDEO ? 0 : RTE_MAX(add->n_rids, 1u);
}

// Open microphones are those whose gate is open.
static void follow_gate(struct model *m, struct m_track *t)
{
	if (t->add.enabled)
		model_room_enter(m, t);
	else
		model_room_leave(m, t);
}

int model_track_add(struct model *m, const struct ipc_track_add *add)
{
	struct m_session *s = model_find_session(m, add->sid);
	struct m_track *t;

	if (s == NULL)
		return -ENOENT;
	t = s->track[add->track];
	if (t != NULL) {
		if (t->add.kind != add->kind || n_layers_of(add) > n_layers_of(&t->add))
			return -EEXIST;
		t->add = *add;
		follow_gate(m, t);
		return track_mail(m, t);
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL || (t->source = source_get(m, n_layers_of(add))) == NULL) {
		free(t);
		return -ENOMEM;
	}
	LIST_INIT(&t->legs);
	t->owner = s;
	t->add = *add;
	s->track[add->track] = t;
	follow_gate(m, t);
	return track_mail(m, t);
}

int model_track_gate(struct model *m, const struct ipc_track_gate *gate)
{
	struct m_track *t = find_track(m, gate->sid, gate->track);

	if (t == NULL)
		return -ENOENT;
	t->add.enabled = gate->enabled;
	follow_gate(m, t);
	model_post(t->owner, (struct mail){.type = MAIL_GATE,
					   .track = {.source = t->source, .enabled = gate->enabled}});
	return 0;
}

void model_remove_track(struct model *m, struct m_track *t, bool tell)
{
	struct m_leg *leg, *next;
	struct source_return *r = malloc(sizeof(*r));

	assert(t->owner->track[t->add.track] == t);
	// cannot: tracks of a session are limited; no memory for a few bytes is the end of any process
	MUST(r != NULL);
	LIST_EACH_SAFE (leg, &t->legs, of_track, next)
		model_remove_leg(m, leg, true);
	model_room_leave(m, t);
	if (t->dirty)
		TAILQ_REMOVE(&m->dirty, t, dirty_link);
	model_retire(m, fanout_release, (void *)fanout_publish(t->source, NULL), NULL);
	if (tell)
		model_post(t->owner, (struct mail){.type = MAIL_TRACK_DEL, .track = {.source = t->source}});
	*r = (struct source_return){.model = m, .source = t->source};
	model_retire(m, source_put, r, t->owner->home);
	t->owner->track[t->add.track] = NULL;
	free(t);
}

int model_track_del(struct model *m, const struct ipc_track_ref *ref)
{
	struct m_track *t = find_track(m, ref->sid, ref->track);

	if (t == NULL)
		return -ENOENT;
	model_remove_track(m, t, true);
	return 0;
}

int model_leg_del(struct model *m, const struct ipc_leg_ref *ref)
{
	struct m_session *s = model_find_session(m, ref->sid);
	struct m_leg *leg = s ? model_find_leg(s, ref->leg) : NULL;

	if (leg == NULL)
		return -ENOENT;
	model_remove_leg(m, leg, true);
	return 0;
}

// --- publishing ---------------------------------------------------------------------------------------

bool model_publish(struct model *m, struct m_track *t)
{
	struct leg **legs = calloc(t->n_legs + 1, sizeof(*legs));
	struct fanout *f = NULL;
	struct m_leg *leg;
	uint32_t n = 0;

	if (legs == NULL)
		return false;
	LIST_FOREACH (leg, &t->legs, of_track)
		legs[n++] = leg->leg;
	f = fanout_new(legs, n);
	free(legs);
	if (f == NULL && n > 0)
		return false;
	model_retire(m, fanout_release, (void *)fanout_publish(t->source, f), NULL);
	statseg_add(statseg_block(m->dp->statseg, m->dp->n_workers), CTR_FANOUTS_BUILT, 1);
	return true;
}
