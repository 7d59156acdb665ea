#include "dataplane/ctl/model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/core/cacheline.h"
#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/core/session.h"
#include "dataplane/ctl/keyring.h"
#include "dataplane/ctl/model_priv.h"
#include "dataplane/ctl/reclaim.h"
#include "dataplane/gate/flow.h"
#include "dataplane/media/bwe.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/pool.h"

// --- memory -----------------------------------------------------------------------------------------

struct key_return {
	struct keyring *ring;
	struct seal_key *key;
};

static void key_free(void *p)
{
	struct key_return *r = p;

	keyring_put(r->ring, r->key);
	free(r);
}

static void retire_key(struct model *m, struct seal_key *key, struct worker *home)
{
	struct key_return *r;

	if (key == NULL)
		return;
	r = malloc(sizeof(*r));
	// cannot: sessions are limited by the configuration; no memory for a few bytes is the end of any
	// process
	MUST(r != NULL);
	*r = (struct key_return){.ring = m->keyring, .key = key};
	model_retire(m, key_free, r, home);
}

// Passwords do not stay behind in freed memory.
static void creds_free(void *creds)
{
	explicit_bzero(creds, sizeof(struct ipc_session_ice));
	free(creds);
}

static void session_free(void *session)
{
	explicit_bzero(session, sizeof(struct session));
	free(session);
}

static void m_session_free(struct m_session *s)
{
	free(s->used_ssrc);
	explicit_bzero(s, sizeof(*s));
	free(s);
}

// --- sessions ---------------------------------------------------------------------------------------

// Sessions at home there; one that is full comes after all that are not.
static uint64_t load_of(const struct worker *w)
{
	return statseg_get(w->stats, GAUGE_FULL) << 32 | w->n_placed;
}

static struct worker *least_loaded(const struct dp *dp)
{
	struct worker *best = dp->worker[0];

	for (unsigned i = 1; i < dp->n_workers; i++)
		if (load_of(dp->worker[i]) < load_of(best))
			best = dp->worker[i];
	return best;
}

static int creds_mail(struct model *m, struct m_session *s, const struct ipc_session_ice *ice)
{
	struct ipc_session_ice *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return -ENOMEM;
	*copy = *ice;
	model_post(s, (struct mail){.type = MAIL_CREDS, .creds = copy});
	model_retire(m, creds_free, copy, s->home);
	return 0;
}

static bool same_creds(const struct m_session *s, const char *ufrag, const char *pwd)
{
	return memcmp(s->ufrag, ufrag, IPC_UFRAG_LEN) == 0 && memcmp(s->pwd, pwd, IPC_PWD_LEN) == 0;
}

static struct m_session *make_session(struct model *m, const struct ipc_session_add *add)
{
	struct m_session *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->session = cacheline_zalloc(sizeof(*s->session))) == NULL) {
		free(s);
		return NULL;
	}
	LIST_INIT(&s->legs);
	s->home = least_loaded(m->dp);
	s->sid = s->session->sid = add->sid;
	s->call = add->call;
	s->cookie = add->cookie;
	s->flags = add->flags;
	s->session->every_voice = add->flags & SESSION_EVERY_VOICE;
	s->session->home = (uint8_t)s->home->id;
	s->session->sealed.tenant = s->session->unclaimed.tenant = add->tenant % PARKING_TENANTS;
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
	uint32_t slot = handle_slot(add->sid);
	struct m_session *s;
	int err;

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
		session_free(s->session);
		m_session_free(s);
		return -ENOSPC;
	}
	m->session[slot] = s;
	m->n_sessions++;
	s->home->n_placed++;
	memcpy(first.ufrag, add->ufrag, sizeof(first.ufrag));
	memcpy(first.pwd, add->pwd, sizeof(first.pwd));
	model_post(s, (struct mail){.type = MAIL_SESSION_ADD});
	// release: complete before it can be found; pairs with session_find
	atomic_store_explicit(&m->dp->session[slot], s->session, memory_order_release);
	err = creds_mail(m, s, &first);
	explicit_bzero(&first, sizeof(first));
	return err;
}

static int session_ice(struct model *m, const struct ipc_session_ice *ice)
{
	struct m_session *s = model_find_session(m, ice->sid);

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

static int session_keyed(struct model *m, const struct ipc_session_keys *keys)
{
	struct m_session *s = model_find_session(m, keys->sid);

	if (s == NULL)
		return -ENOENT;
	if (s->profile != 0) // a live session keeps its keys: DTLS restarts are refused
		return s->profile == keys->profile && s->rtcp_ssrc == keys->rtcp_ssrc ? 0 : -EEXIST;
	s->rx = keyring_get(m->keyring, keys->profile, keys->rx_key, keys->rx_salt);
	if (s->rx == NULL)
		return -errno;
	s->tx = keyring_get(m->keyring, keys->profile, keys->tx_key, keys->tx_salt);
	if (s->tx == NULL) {
		int err = -errno;
		keyring_put(m->keyring, s->rx);
		s->rx = NULL;
		return err;
	}
	s->profile = keys->profile;
	s->rtcp_ssrc = keys->rtcp_ssrc;
	model_post(s, (struct mail){.type = MAIL_KEYS,
				    .keys = {.rx = s->rx, .tx = s->tx, .rtcp_ssrc = s->rtcp_ssrc}});
	return 0;
}

static int session_extmap(struct model *m, const struct ipc_session_extmap *map)
{
	struct m_session *s = model_find_session(m, map->sid);
	struct mail mail = {.type = MAIL_EXTMAP};

	if (s == NULL)
		return -ENOENT;
	memcpy(s->ext, map->id, sizeof(s->ext));
	memcpy(mail.ext, map->id, sizeof(mail.ext));
	model_post(s, mail);
	return 0;
}

static void remove_session(struct model *m, struct m_session *s)
{
	uint32_t slot = handle_slot(s->sid);
	struct m_leg *leg, *next;

	assert(m->session[slot] == s && m->n_sessions > 0 && s->home->n_placed > 0);
	atomic_store_explicit(&m->dp->session[slot], NULL, memory_order_release);
	ufrag_del(m->dp, s->ufrag);
	if (s->old_ufrag[0])
		ufrag_del(m->dp, s->old_ufrag);
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->track[i])
			model_remove_track(m, s->track[i], false);
	model_post(s, (struct mail){.type = MAIL_SESSION_DEL});
	LIST_EACH_SAFE (leg, &s->legs, of_session, next)
		model_remove_leg(m, leg, false);
	retire_key(m, s->rx, s->home);
	retire_key(m, s->tx, s->home);
	model_retire(m, session_free, s->session, s->home);
	model_retire(m, bwe_free, s->bwe, s->home);
	s->home->n_placed--;
	m->session[slot] = NULL;
	m->n_sessions--;
	m_session_free(s);
}

static int session_del(struct model *m, const struct ipc_session_ref *ref)
{
	struct m_session *s = model_find_session(m, ref->sid);

	if (s == NULL)
		return -ENOENT;
	remove_session(m, s);
	return 0;
}

// --- the whole --------------------------------------------------------------------------------------

static int session_query(struct model *m, const union ipc_msg *cmd)
{
	struct m_session *s = model_find_session(m, cmd->session_ref.sid);

	if (s == NULL)
		return -ENOENT;
	model_post(s, (struct mail){.type = MAIL_QUERY, .seq = cmd->hdr.seq});
	return 0;
}

int model_apply(struct model *m, const union ipc_msg *cmd)
{
	switch (cmd->hdr.type) {
	case CMD_SESSION_ADD:
		return session_add(m, &cmd->session_add);
	case CMD_SESSION_ICE:
		return session_ice(m, &cmd->session_ice);
	case CMD_SESSION_KEYS:
		return session_keyed(m, &cmd->session_keys);
	case CMD_SESSION_EXTMAP:
		return session_extmap(m, &cmd->session_extmap);
	case CMD_SESSION_DEL:
		return session_del(m, &cmd->session_ref);
	case CMD_TRACK_ADD:
		return model_track_add(m, &cmd->track_add);
	case CMD_TRACK_GATE:
		return model_track_gate(m, &cmd->track_gate);
	case CMD_TRACK_DEL:
		return model_track_del(m, &cmd->track_ref);
	case CMD_LEG_ADD:
		return model_leg_add(m, &cmd->leg_add);
	case CMD_QUERY:
		return session_query(m, cmd);
	case CMD_LEG_DEL:
		return model_leg_del(m, &cmd->leg_ref);
	default:
		return -EINVAL;
	}
}

bool model_flush(struct model *m)
{
	struct m_track *t, *next;

	if (!model_room_publish(m))
		return true;
	TAILQ_EACH_SAFE (t, &m->dirty, dirty_link, next) {
		if (!model_publish(m, t))
			return true; // out of memory: the old lists stay, and with them what they mention
		t->dirty = false;
		TAILQ_REMOVE(&m->dirty, t, dirty_link);
	}
	for (unsigned i = 0; i < m->n_retired; i++)
		reclaim_later(m->reclaim, m->retired[i].free_fn, m->retired[i].object, m->retired[i].home);
	m->n_retired = 0;
	return reclaim_run(m->reclaim);
}

struct model *model_new(struct dp *dp)
{
	struct model *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return err_null(ENOMEM);
	m->dp = dp;
	TAILQ_INIT(&m->dirty);
	TAILQ_INIT(&m->dirty_rooms);
	m->session = calloc(dp->max_sessions, sizeof(*m->session));
	m->reclaim = reclaim_new(dp);
	m->seal = seal_engine_new(dp->conf->dataplane.seal);
	m->keyring = m->seal ? keyring_new(m->seal) : NULL;
	if (m->session == NULL || m->reclaim == NULL || m->keyring == NULL) {
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
	model_free_sources(m);
	free(m->retired);
	free(m->session);
	keyring_free(m->keyring);
	if (m->seal)
		seal_engine_free(m->seal);
	free(m);
}
