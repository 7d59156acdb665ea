#include "dataplane/model.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/fanout.h"
#include "dataplane/flow.h"
#include "dataplane/leg.h"
#include "dataplane/mailbox.h"
#include "dataplane/model_priv.h"
#include "dataplane/reclaim.h"
#include "dataplane/session.h"
#include "dataplane/worker.h"
#include "lib/base/err.h"
#include "lib/base/list.h"

#define SOURCES_PER_CHUNK 32
#define MAX_USED_SSRCS 8192 // legs over the life of one session: 12 joins a minute for 11 hours

// --- memory -----------------------------------------------------------------------------------------

static void *zalloc(size_t size)
{
	void *p = aligned_alloc(64, RTE_ALIGN_CEIL(size, 64));

	if (p != NULL)
		memset(p, 0, size);
	return p;
}

static void key_free(void *key)
{
	seal_key_fini(key);
	free(key);
}

static void fanout_release(void *f)
{
	fanout_free(f);
}

// To be freed after the fan-out lists that mention it are replaced.
static void doom(struct model *m, void (*free_fn)(void *), void *object, struct worker *home)
{
	if (object == NULL)
		return;
	if (m->n_doomed == m->doomed_size) {
		m->doomed_size = m->doomed_size ? 2 * m->doomed_size : 64;
		m->doomed = realloc(m->doomed, m->doomed_size * sizeof(*m->doomed));
		MUST(m->doomed != NULL);
	}
	m->doomed[m->n_doomed].free_fn = free_fn;
	m->doomed[m->n_doomed].object = object;
	m->doomed[m->n_doomed++].home = home;
}

static bool grow_sources(struct model *m)
{
	struct source *chunk = zalloc(SOURCES_PER_CHUNK * sizeof(*chunk));
	void **list = realloc(m->source_chunks, (m->n_source_chunks + 1) * sizeof(*list));

	if (list != NULL)
		m->source_chunks = list;
	if (chunk == NULL || list == NULL) {
		free(chunk);
		return false;
	}
	m->source_chunks[m->n_source_chunks++] = chunk;
	for (unsigned i = 0; i < SOURCES_PER_CHUNK; i++) {
		chunk[i].current = (void *)m->free_sources;
		m->free_sources = &chunk[i];
	}
	return true;
}

static struct source *source_get(struct model *m)
{
	struct source *s;
	uint32_t gen, map_seq;

	if (m->free_sources == NULL && !grow_sources(m))
		return NULL;
	s = m->free_sources;
	m->free_sources = (void *)s->current;
	gen = source_gen(s);
	map_seq = atomic_load_explicit(&s->map_seq, memory_order_relaxed);
	// Nobody holds it but late packets and legs of its former life, which look at gen and fanout only.
	memset((char *)s + offsetof(struct source, current), 0,
	       sizeof(*s) - offsetof(struct source, current));
	atomic_store_explicit(&s->map_seq, (map_seq + 1) & ~1u, memory_order_relaxed);
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

	r->source->current = (void *)r->model->free_sources;
	r->model->free_sources = r->source;
	free(r);
}

// --- finding ----------------------------------------------------------------------------------------

static struct m_session *find_session(const struct model *m, uint32_t sid)
{
	uint32_t slot = sid & 0xffffff;
	struct m_session *s = slot < m->dp->max_sessions ? m->session[slot] : NULL;

	return s && s->sid == sid ? s : NULL;
}

static struct m_track *find_track(const struct model *m, uint32_t sid, uint16_t track)
{
	struct m_session *s = find_session(m, sid);

	return s && track < IPC_MAX_TRACKS ? s->track[track] : NULL;
}

static struct m_leg *find_leg(const struct m_session *s, uint16_t id)
{
	struct m_leg *leg;

	LIST_FOREACH (leg, &s->legs, of_session)
		if (leg->add.leg == id)
			return leg;
	return NULL;
}

static void post(struct m_session *s, struct mail mail)
{
	mail.session = s->session;
	mail_post(s->home, &mail);
}

static void mark_dirty(struct model *m, struct m_track *t)
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
	       a->clock_hz == b->clock_hz;
}

// An SSRC is sealed under a session's key once only: a new leg would start its numbers anew.
static int use_ssrc(struct m_session *s, uint32_t ssrc)
{
	for (uint32_t i = 0; i < s->n_used; i++)
		if (s->used_ssrc[i] == ssrc)
			return -EEXIST;
	if (s->n_used == MAX_USED_SSRCS)
		return -ENOSPC;
	if (s->n_used == s->used_size) {
		uint32_t size = s->used_size ? 2 * s->used_size : 16;
		uint32_t *grown = realloc(s->used_ssrc, size * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		s->used_ssrc = grown;
		s->used_size = size;
	}
	s->used_ssrc[s->n_used++] = ssrc;
	return 0;
}

static struct leg *make_leg(const struct m_session *s, const struct m_track *from,
			    const struct ipc_leg_add *add)
{
	struct leg *leg = zalloc(sizeof(*leg));

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
	return leg;
}

static int leg_add(struct model *m, const struct ipc_leg_add *add)
{
	struct m_session *s = find_session(m, add->sid);
	struct m_track *from = find_track(m, add->src_sid, add->src_track);
	struct m_leg *leg;
	int err;

	if (s == NULL || from == NULL)
		return -ENOENT;
	leg = find_leg(s, add->leg);
	if (leg != NULL)
		return same_leg(&leg->add, add) ? 0 : -EEXIST;
	if (from->owner == s || from->add.kind != add->kind)
		return -EINVAL;
	err = use_ssrc(s, add->ssrc);
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
	mark_dirty(m, from);
	post(s, (struct mail){.type = MAIL_LEG_ADD, .leg = leg->leg});
	return 0;
}

static void remove_leg(struct model *m, struct m_leg *leg, bool tell)
{
	if (tell)
		post(leg->owner, (struct mail){.type = MAIL_LEG_DEL, .leg = leg->leg});
	LIST_REMOVE(leg, of_session);
	LIST_REMOVE(leg, of_track);
	leg->owner->n_legs--;
	leg->from->n_legs--;
	mark_dirty(m, leg->from);
	doom(m, free, leg->leg, leg->owner->home);
	free(leg);
}

// --- tracks -----------------------------------------------------------------------------------------

static int track_mail(struct model *m, struct m_track *t)
{
	struct ipc_track_add *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return -ENOMEM;
	*copy = t->add;
	post(t->owner,
	     (struct mail){.type = MAIL_TRACK,
			   .track = {.source = t->source, .track = copy, .enabled = t->add.enabled}});
	doom(m, free, copy, t->owner->home);
	return 0;
}

static int track_add(struct model *m, const struct ipc_track_add *add)
{
	struct m_session *s = find_session(m, add->sid);
	struct m_track *t;

	if (s == NULL)
		return -ENOENT;
	t = s->track[add->track];
	if (t != NULL) {
		if (t->add.kind != add->kind)
			return -EEXIST;
		t->add = *add;
		return track_mail(m, t);
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL || (t->source = source_get(m)) == NULL) {
		free(t);
		return -ENOMEM;
	}
	LIST_INIT(&t->legs);
	t->owner = s;
	t->add = *add;
	s->track[add->track] = t;
	return track_mail(m, t);
}

static int track_gate(struct model *m, const struct ipc_track_gate *gate)
{
	struct m_track *t = find_track(m, gate->sid, gate->track);

	if (t == NULL)
		return -ENOENT;
	t->add.enabled = gate->enabled;
	post(t->owner,
	     (struct mail){.type = MAIL_GATE, .track = {.source = t->source, .enabled = gate->enabled}});
	return 0;
}

static void remove_track(struct model *m, struct m_track *t, bool tell)
{
	struct m_leg *leg, *next;
	struct source_return *r = malloc(sizeof(*r));

	MUST(r != NULL);
	LIST_EACH_SAFE (leg, &t->legs, of_track, next)
		remove_leg(m, leg, true);
	if (t->dirty)
		TAILQ_REMOVE(&m->dirty, t, dirty_link);
	doom(m, fanout_release, (void *)fanout_publish(t->source, NULL), NULL);
	if (tell)
		post(t->owner, (struct mail){.type = MAIL_TRACK_DEL, .track = {.source = t->source}});
	*r = (struct source_return){.model = m, .source = t->source};
	doom(m, source_put, r, t->owner->home);
	t->owner->track[t->add.track] = NULL;
	free(t);
}

static int track_del(struct model *m, const struct ipc_track_ref *ref)
{
	struct m_track *t = find_track(m, ref->sid, ref->track);

	if (t == NULL)
		return -ENOENT;
	remove_track(m, t, true);
	return 0;
}

static int leg_del(struct model *m, const struct ipc_leg_ref *ref)
{
	struct m_session *s = find_session(m, ref->sid);
	struct m_leg *leg = s ? find_leg(s, ref->leg) : NULL;

	if (leg == NULL)
		return -ENOENT;
	remove_leg(m, leg, true);
	return 0;
}

// --- sessions ---------------------------------------------------------------------------------------

static struct worker *least_loaded(const struct dp *dp)
{
	struct worker *best = dp->worker[0];

	for (unsigned i = 1; i < dp->n_workers; i++)
		if (dp->worker[i]->n_placed < best->n_placed)
			best = dp->worker[i];
	return best;
}

static int creds_mail(struct model *m, struct m_session *s, const struct ipc_session_ice *ice)
{
	struct ipc_session_ice *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return -ENOMEM;
	*copy = *ice;
	post(s, (struct mail){.type = MAIL_CREDS, .creds = copy});
	doom(m, free, copy, s->home);
	return 0;
}

static bool same_creds(const struct m_session *s, const char *ufrag, const char *pwd)
{
	return memcmp(s->ufrag, ufrag, IPC_UFRAG_LEN) == 0 && memcmp(s->pwd, pwd, IPC_PWD_LEN) == 0;
}

static struct m_session *make_session(struct model *m, const struct ipc_session_add *add)
{
	struct m_session *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->session = zalloc(sizeof(*s->session))) == NULL) {
		free(s);
		return NULL;
	}
	LIST_INIT(&s->legs);
	s->home = least_loaded(m->dp);
	s->sid = s->session->sid = add->sid;
	s->call = add->call;
	s->cookie = add->cookie;
	s->session->home = (uint8_t)s->home->id;
	memcpy(s->name, add->name, sizeof(s->name));
	memcpy(s->session->name, add->name, sizeof(add->name));
	memcpy(s->ufrag, add->ufrag, sizeof(s->ufrag));
	memcpy(s->pwd, add->pwd, sizeof(s->pwd));
	icelite_init(&s->session->ice, clock_now());
	return s;
}

static int session_add(struct model *m, const struct ipc_session_add *add)
{
	struct ipc_session_ice first = {.sid = add->sid};
	uint32_t slot = add->sid & 0xffffff;
	struct m_session *s;

	if (slot >= m->dp->max_sessions)
		return -ENOSPC;
	if ((s = m->session[slot]) != NULL)
		return s->sid == add->sid && same_creds(s, add->ufrag, add->pwd) ? 0 : -EEXIST;
	if (ufrag_find(m->dp, add->ufrag).sid != 0)
		return -EEXIST;
	s = make_session(m, add);
	if (s == NULL)
		return -ENOMEM;
	if (!ufrag_add(m->dp, s->ufrag, s->sid, (uint8_t)s->home->id)) {
		free(s->session);
		free(s);
		return -ENOSPC;
	}
	m->session[slot] = s;
	m->n_sessions++;
	s->home->n_placed++;
	memcpy(first.ufrag, add->ufrag, sizeof(first.ufrag));
	memcpy(first.pwd, add->pwd, sizeof(first.pwd));
	post(s, (struct mail){.type = MAIL_SESSION_ADD});
	// release: complete before it can be found; pairs with session_find
	atomic_store_explicit(&m->dp->session[slot], s->session, memory_order_release);
	return creds_mail(m, s, &first);
}

static int session_ice(struct model *m, const struct ipc_session_ice *ice)
{
	struct m_session *s = find_session(m, ice->sid);

	if (s == NULL)
		return -ENOENT;
	if (memcmp(s->ufrag, ice->ufrag, IPC_UFRAG_LEN) != 0) {
		if (!ufrag_add(m->dp, ice->ufrag, s->sid, (uint8_t)s->home->id))
			return -EEXIST;
		if (s->old_ufrag[0])
			ufrag_del(m->dp, s->old_ufrag);
		memcpy(s->old_ufrag, s->ufrag, sizeof(s->old_ufrag));
	}
	memcpy(s->ufrag, ice->ufrag, sizeof(s->ufrag));
	memcpy(s->pwd, ice->pwd, sizeof(s->pwd));
	return creds_mail(m, s, ice);
}

static struct seal_key *make_key(struct model *m, uint16_t profile, const uint8_t *key, const uint8_t *salt)
{
	struct seal_key *k = zalloc(seal_key_size(m->seal));

	if (k != NULL && seal_key_init(m->seal, k, profile, key, salt) < 0) {
		free(k);
		return NULL;
	}
	return k;
}

static int session_keys_cmd(struct model *m, const struct ipc_session_keys *keys)
{
	struct m_session *s = find_session(m, keys->sid);

	if (s == NULL)
		return -ENOENT;
	if (s->profile != 0) // a live session keeps its keys: DTLS restarts are refused
		return s->profile == keys->profile && s->rtcp_ssrc == keys->rtcp_ssrc ? 0 : -EEXIST;
	s->rx = make_key(m, keys->profile, keys->rx_key, keys->rx_salt);
	s->tx = make_key(m, keys->profile, keys->tx_key, keys->tx_salt);
	if (s->rx == NULL || s->tx == NULL) {
		if (s->rx)
			key_free(s->rx);
		if (s->tx)
			key_free(s->tx);
		s->rx = s->tx = NULL;
		return -EINVAL;
	}
	s->profile = keys->profile;
	s->rtcp_ssrc = keys->rtcp_ssrc;
	post(s,
	     (struct mail){.type = MAIL_KEYS, .keys = {.rx = s->rx, .tx = s->tx, .rtcp_ssrc = s->rtcp_ssrc}});
	return 0;
}

static int session_extmap(struct model *m, const struct ipc_session_extmap *map)
{
	struct m_session *s = find_session(m, map->sid);
	struct mail mail = {.type = MAIL_EXTMAP};

	if (s == NULL)
		return -ENOENT;
	memcpy(s->ext, map->id, sizeof(s->ext));
	memcpy(mail.ext, map->id, sizeof(mail.ext));
	post(s, mail);
	return 0;
}

static void remove_session(struct model *m, struct m_session *s)
{
	uint32_t slot = s->sid & 0xffffff;
	struct m_leg *leg, *next;

	atomic_store_explicit(&m->dp->session[slot], NULL, memory_order_release);
	ufrag_del(m->dp, s->ufrag);
	if (s->old_ufrag[0])
		ufrag_del(m->dp, s->old_ufrag);
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->track[i])
			remove_track(m, s->track[i], false);
	post(s, (struct mail){.type = MAIL_SESSION_DEL});
	LIST_EACH_SAFE (leg, &s->legs, of_session, next)
		remove_leg(m, leg, false);
	doom(m, key_free, s->rx, s->home);
	doom(m, key_free, s->tx, s->home);
	doom(m, free, s->session, s->home);
	s->home->n_placed--;
	m->session[slot] = NULL;
	m->n_sessions--;
	free(s->used_ssrc);
	free(s);
}

static int session_del(struct model *m, const struct ipc_session_ref *ref)
{
	struct m_session *s = find_session(m, ref->sid);

	if (s == NULL)
		return -ENOENT;
	remove_session(m, s);
	return 0;
}

// --- the whole --------------------------------------------------------------------------------------

int model_apply(struct model *m, const union ipc_msg *cmd)
{
	switch (cmd->hdr.type) {
	case CMD_SESSION_ADD:
		return session_add(m, &cmd->session_add);
	case CMD_SESSION_ICE:
		return session_ice(m, &cmd->session_ice);
	case CMD_SESSION_KEYS:
		return session_keys_cmd(m, &cmd->session_keys);
	case CMD_SESSION_EXTMAP:
		return session_extmap(m, &cmd->session_extmap);
	case CMD_SESSION_DEL:
		return session_del(m, &cmd->session_ref);
	case CMD_TRACK_ADD:
		return track_add(m, &cmd->track_add);
	case CMD_TRACK_GATE:
		return track_gate(m, &cmd->track_gate);
	case CMD_TRACK_DEL:
		return track_del(m, &cmd->track_ref);
	case CMD_LEG_ADD:
		return leg_add(m, &cmd->leg_add);
	case CMD_LEG_DEL:
		return leg_del(m, &cmd->leg_ref);
	default:
		return -EINVAL;
	}
}

static bool publish(struct model *m, struct m_track *t)
{
	struct leg **legs = malloc((t->n_legs + 1) * sizeof(*legs));
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
	doom(m, fanout_release, (void *)fanout_publish(t->source, f), NULL);
	statseg_add(statseg_block(m->dp->statseg, m->dp->n_workers), CTR_FANOUTS_BUILT, 1);
	return true;
}

bool model_flush(struct model *m)
{
	struct m_track *t, *next;

	TAILQ_EACH_SAFE (t, &m->dirty, dirty_link, next) {
		if (!publish(m, t))
			return true; // out of memory: the old lists stay, and with them what they mention
		t->dirty = false;
		TAILQ_REMOVE(&m->dirty, t, dirty_link);
	}
	for (unsigned i = 0; i < m->n_doomed; i++)
		reclaim_later(m->reclaim, m->doomed[i].free_fn, m->doomed[i].object, m->doomed[i].home);
	m->n_doomed = 0;
	return reclaim_run(m->reclaim);
}

uint32_t model_n_sessions(const struct model *m)
{
	return m->n_sessions;
}

struct model *model_new(struct dp *dp)
{
	struct model *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return err_null(ENOMEM);
	m->dp = dp;
	TAILQ_INIT(&m->dirty);
	m->session = calloc(dp->max_sessions, sizeof(*m->session));
	m->reclaim = reclaim_new(dp);
	m->seal = seal_engine_new(dp->conf->dataplane.seal);
	if (m->session == NULL || m->reclaim == NULL || m->seal == NULL) {
		model_free(m);
		return err_null(ENOMEM);
	}
	return m;
}

void model_free(struct model *m)
{
	if (m == NULL)
		return;
	for (uint32_t i = 0; m->session && i < m->dp->max_sessions; i++)
		if (m->session[i])
			remove_session(m, m->session[i]);
	if (m->reclaim)
		model_flush(m);
	reclaim_free(m->reclaim);
	for (unsigned i = 0; i < m->n_source_chunks; i++)
		free(m->source_chunks[i]);
	free(m->source_chunks);
	free(m->doomed);
	free(m->session);
	if (m->seal)
		seal_engine_free(m->seal);
	free(m);
}
