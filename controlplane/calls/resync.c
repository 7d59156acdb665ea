// Restore: when the store has been read and the dataplane has told its snapshot, sessions known to both are
// taken up. Resync: the same comparison without the store, when the link comes back later.
#include "controlplane/calls/resync.h"

#include <assert.h>
#include <stdlib.h>

#include "controlplane/session/command.h"
#include "controlplane/session/session.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#define BUCKETS 1024

// A session of the snapshot, kept until both halves are known.
struct snap {
	LIST_ENTRY(snap) link;
	struct session_snap s;
};

struct resync {
	struct session_env *env; // borrowed
	void (*restored)(void *arg);
	void *arg;
	struct timer limit, read_again;
	LIST_HEAD(, snap) snaps[BUCKETS]; // what the dataplane said it has, by slot of its sid
	unsigned n_snaps;
	bool restoring, link_is_up, store_is_read;
};

// --- the snapshot ----------------------------------------------------------------------------------
static struct snap *snap_find(struct resync *r, uint32_t sid)
{
	struct snap *n;

	LIST_FOREACH (n, &r->snaps[handle_slot(sid) % BUCKETS], link)
		if (n->s.session.sid == sid)
			return n;
	return NULL;
}

static void snaps_clear(struct resync *r)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct snap *n, *next;
		LIST_EACH_SAFE (n, &r->snaps[i], link, next)
			free(n);
		LIST_INIT(&r->snaps[i]);
	}
	r->n_snaps = 0;
}

// One for which there is no room is treated as one the dataplane does not have.
static void snap_add(struct resync *r, const struct ipc_snap_session *m)
{
	struct snap *n = r->n_snaps < r->env->conf->limits.sessions * 2 ? calloc(1, sizeof(*n)) : NULL;

	if (n == NULL)
		return;
	n->s.session = *m;
	LIST_INSERT_HEAD(&r->snaps[handle_slot(m->sid) % BUCKETS], n, link);
	r->n_snaps++;
}

void resync_snap(struct resync *r, const union ipc_msg *m)
{
	struct snap *n;

	switch (m->hdr.type) {
	case EVT_SNAP_SESSION:
		snap_add(r, &m->snap_session);
		break;
	case EVT_SNAP_TRACK:
		n = snap_find(r, m->snap_track.add.sid);
		if (n != NULL && n->s.n_tracks < IPC_MAX_TRACKS)
			n->s.tracks[n->s.n_tracks++] = m->snap_track;
		break;
	case EVT_SNAP_LEG:
		n = snap_find(r, m->snap_leg.add.sid);
		if (n != NULL && m->snap_leg.add.leg < IPC_MAX_LEGS)
			n->s.legs[m->snap_leg.add.leg / 64] |= UINT64_C(1) << (m->snap_leg.add.leg % 64);
		break;
	default:
		break;
	}
}

// --- both halves are known -------------------------------------------------------------------------
// Sessions on both sides go on, others end or begin again.
static void compare_sessions(struct resync *r)
{
	struct session_env *env = r->env;
	struct session *s;
	uint32_t cursor = 0;

	while ((s = pool_next(env->sessions, &cursor, NULL)) != NULL) {
		struct snap *n = snap_find(r, s->member.sid);
		if (s->life != LIFE_CLOSED)
			session_resync(s, n ? &n->s : NULL);
	}
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct snap *n;
		LIST_FOREACH (n, &r->snaps[i], link)
			if (pool_find(env->sessions, n->s.session.sid) == NULL)
				command_session_del(env->link, n->s.session.sid);
	}
	snaps_clear(r);
}

// A record whose session the dataplane still has, with keys, comes back; any other ends with `close`.
static void restore_one(void *arg, const struct persist_record *record)
{
	struct resync *r = arg;
	struct snap *n = snap_find(r, record->sid);

	if (n != NULL && session_restore(r->env, &n->s, record) != NULL)
		return;
	log_notice("session %.*s: cannot be taken back", STR_ARG(record->join.session_id));
	persist_delete(r->env->persist, record->client, record->join.session_id);
	plugins_send_close(r->env->plugins, record->client, 0, record->join.session_id);
}

static void resume_negotiations(struct session_env *env)
{
	struct session *s;
	uint32_t cursor = 0;

	while ((s = pool_next(env->sessions, &cursor, NULL)) != NULL) {
		if (s->life == LIFE_CLOSED)
			continue;
		session_want_all(s);
		negotiate_load_done(s->neg, loop_now(env->loop));
		negotiate_ready(s->neg, true, loop_now(env->loop));
		session_arm_negotiation(s);
	}
}

static void finish_restore(struct resync *r)
{
	struct session_env *env = r->env;

	assert(r->restoring);
	r->restoring = false;
	loop_cancel(env->loop, &r->limit);
	persist_each(env->persist, restore_one, r);
	persist_clear(env->persist);
	compare_sessions(r);
	resume_negotiations(env);
	log_notice("calls: %u sessions in %u calls taken back", env->registry->n_sessions,
		   env->registry->n_calls);
	r->restored(r->arg);
}

static void try_restore(struct resync *r)
{
	if (r->restoring && r->link_is_up && r->store_is_read)
		finish_restore(r);
}

// --- reading the store -----------------------------------------------------------------------------
static void on_store_read(void *arg, int rc)
{
	struct resync *r = arg;

	if (rc < 0) { // away: asked again until the limit
		loop_arm_in(r->env->loop, &r->read_again, RESYNC_READ_AGAIN_MS * NS_PER_MS);
		return;
	}
	r->store_is_read = true;
	try_restore(r);
}

static void on_read_again(struct timer *t, ns_t now)
{
	struct resync *r = container_of(t, struct resync, read_again);

	persist_clear(r->env->persist); // a scan may have broken off half way
	if (r->restoring)
		persist_read(r->env->persist, on_store_read, r);
}

// Without store or dataplane there is nothing to take back: what was is told to end, and new calls served.
static void on_restore_limit(struct timer *t, ns_t now)
{
	struct resync *r = container_of(t, struct resync, limit);

	if (!r->restoring)
		return;
	log_warn("calls: serving without what was before (%s away)", r->link_is_up ? "store" : "dataplane");
	loop_cancel(r->env->loop, &r->read_again);
	finish_restore(r);
}

// --- the link, start and end -----------------------------------------------------------------------
void resync_link_up(struct resync *r)
{
	r->link_is_up = true;
	if (r->restoring)
		try_restore(r);
	else
		compare_sessions(r);
}

void resync_link_down(struct resync *r)
{
	r->link_is_up = false;
	snaps_clear(r);
}

bool resync_is_restoring(const struct resync *r)
{
	return r->restoring;
}

struct resync *resync_new(struct session_env *env, void (*restored)(void *arg), void *arg)
{
	struct resync *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->env = env;
	r->restored = restored;
	r->arg = arg;
	for (unsigned i = 0; i < BUCKETS; i++)
		LIST_INIT(&r->snaps[i]);
	assert(env->persist != NULL && env->registry != NULL && env->sessions != NULL);
	r->restoring = true;
	r->limit.on_due = on_restore_limit;
	r->read_again.on_due = on_read_again;
	loop_arm_in(env->loop, &r->limit, RESYNC_RESTORE_S * NS_PER_S);
	persist_read(env->persist, on_store_read, r);
	return r;
}

void resync_free(struct resync *r)
{
	if (r == NULL)
		return;
	loop_cancel(r->env->loop, &r->limit);
	loop_cancel(r->env->loop, &r->read_again);
	snaps_clear(r);
	free(r);
}
