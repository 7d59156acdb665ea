// Restore: when the store has been read and the dataplane has told its snapshot, sessions known to both are
// taken up. Resync: the same comparison without the store, when the link comes back later.
#include "controlplane/calls/resync.h"

#include <stdlib.h>

#include "controlplane/session/session.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

// A session of the snapshot, kept until both halves are known.
struct snap {
	LIST_ENTRY(snap) link;
	struct ipc_snap_session session;
	bool taken;
	unsigned n_tracks;
	struct ipc_snap_track tracks[IPC_MAX_TRACKS];
	uint64_t legs[IPC_MAX_LEGS / 64]; // bit: the dataplane feeds this leg
};

static struct snap *find_snap(struct hub *h, uint32_t sid)
{
	struct snap *n;

	LIST_FOREACH (n, &h->snaps[handle_slot(sid) % HUB_SNAP_BUCKETS], link)
		if (n->session.sid == sid)
			return n;
	return NULL;
}

static void clear(struct hub *h)
{
	for (unsigned i = 0; i < HUB_SNAP_BUCKETS; i++) {
		struct snap *n, *next;
		LIST_EACH_SAFE (n, &h->snaps[i], link, next)
			free(n);
		LIST_INIT(&h->snaps[i]);
	}
	h->n_snaps = 0;
}

void resync_snap(struct hub *h, const union ipc_msg *m)
{
	struct snap *n;

	switch (m->hdr.type) {
	case EVT_SNAP_SESSION:
		n = h->n_snaps < h->conf->limits.sessions * 2 ? calloc(1, sizeof(*n)) : NULL;
		if (n == NULL)
			return; // treated as one the dataplane does not have
		n->session = m->snap_session;
		LIST_INSERT_HEAD(&h->snaps[handle_slot(n->session.sid) % HUB_SNAP_BUCKETS], n, link);
		h->n_snaps++;
		break;
	case EVT_SNAP_TRACK:
		n = find_snap(h, m->snap_track.add.sid);
		if (n != NULL && n->n_tracks < IPC_MAX_TRACKS)
			n->tracks[n->n_tracks++] = m->snap_track;
		break;
	case EVT_SNAP_LEG:
		n = find_snap(h, m->snap_leg.add.sid);
		if (n != NULL && m->snap_leg.add.leg < IPC_MAX_LEGS)
			n->legs[m->snap_leg.add.leg / 64] |= UINT64_C(1) << (m->snap_leg.add.leg % 64);
		break;
	default:
		break;
	}
}

static void send_del(struct hub *h, uint32_t sid)
{
	struct ipc_session_ref m;

	ipc_begin(&m, CMD_SESSION_DEL);
	m.sid = sid;
	link_send(h->link, &m);
}

static void keep_leg(void *arg, const struct negotiate_leg *l)
{
	uint64_t *legs = arg;

	legs[l->leg / 64] &= ~(UINT64_C(1) << (l->leg % 64));
}

// Legs and tracks the dataplane has and we do not go; what we have is sent again.
static void reconcile(struct hub *h, struct session *s, struct snap *n)
{
	n->taken = true;
	if (n->session.liveness == LIVE_LOST || n->session.liveness == LIVE_NO_PATH) {
		session_on_liveness(s, n->session.liveness);
		return;
	}
	s->has_path = n->session.remote.family != 0;
	for (unsigned i = 0; i < n->n_tracks; i++) {
		uint16_t number = n->tracks[i].add.track;
		struct ipc_track_ref m;
		if (number < IPC_MAX_TRACKS && s->tracks[number].used) {
			session_restore_track(s, &n->tracks[i]);
			continue;
		}
		ipc_begin(&m, CMD_TRACK_DEL);
		m.sid = s->member.sid;
		m.track = number;
		link_send(h->link, &m);
	}
	session_publish_all(s); // when all of them are known: of twins only one is for each
	negotiate_each_leg(s->neg, keep_leg, n->legs);
	for (unsigned leg = 0; leg < IPC_MAX_LEGS; leg++) {
		struct ipc_leg_ref m;
		if (!(n->legs[leg / 64] >> (leg % 64) & 1))
			continue;
		ipc_begin(&m, CMD_LEG_DEL);
		m.sid = s->member.sid;
		m.leg = (uint16_t)leg;
		link_send(h->link, &m);
	}
	session_sync(s, true);
}

static bool same_session(const struct session *s, const struct snap *n)
{
	return n->session.cookie == s->cookie && (n->session.profile != 0) == s->has_keys;
}

// The link came back: sessions on both sides go on, others end or begin again.
static void compare(struct hub *h)
{
	struct session *s;
	uint32_t cursor = 0;

	while ((s = pool_next(h->sessions, &cursor, NULL)) != NULL) {
		struct snap *n = find_snap(h, s->member.sid);
		if (s->state == SESSION_CLOSED)
			continue;
		if (n != NULL && same_session(s, n))
			reconcile(h, s, n);
		else if (n == NULL && !s->has_keys && s->dtls == NULL)
			session_sync(s, false);
		else
			session_close(s, END_DATAPLANE);
	}
	for (unsigned i = 0; i < HUB_SNAP_BUCKETS; i++) {
		struct snap *n;
		LIST_FOREACH (n, &h->snaps[i], link)
			if (!n->taken && pool_find(h->sessions, n->session.sid) == NULL)
				send_del(h, n->session.sid);
	}
	clear(h);
}

// A record whose session the dataplane still has, with keys, comes back; any other ends with `close`.
static void restore_one(void *arg, const struct persist_record *r)
{
	struct hub *h = arg;
	struct snap *n = find_snap(h, r->sid);
	void *saved = n && n->session.profile != 0 ? malloc(r->sealed.len + 1) : NULL;
	int len = saved ? persist_open(n->session.cookie, r->sid, r->sealed, saved) : -ENOENT;
	struct session *s = NULL;

	if (len >= 0 && registry_find(&h->reg, r->client, r->join.session_id) == NULL)
		s = session_restore(h, &n->session, r, saved, (size_t)len);
	if (saved != NULL)
		explicit_bzero(saved, r->sealed.len + 1);
	free(saved);
	if (s == NULL) {
		log_notice("session %.*s: cannot be taken back", STR_ARG(r->join.session_id));
		persist_delete(h->persist, r->client, r->join.session_id);
		plugins_send_close(h->plugins, r->client, 0, r->join.session_id);
		return;
	}
	session_restore_tracks(s, n->tracks, n->n_tracks, r);
}

static void finish_restore(struct hub *h)
{
	struct session *s;
	uint32_t cursor = 0;

	h->restoring = false;
	loop_cancel(h->loop, &h->restore_limit);
	persist_each(h->persist, restore_one, h);
	persist_clear(h->persist);
	compare(h);
	while ((s = pool_next(h->sessions, &cursor, NULL)) != NULL) {
		if (s->state == SESSION_CLOSED)
			continue;
		session_want_all(s);
		negotiate_load_done(s->neg, loop_now(h->loop));
		negotiate_ready(s->neg, true, loop_now(h->loop));
		session_arm_negotiation(s);
	}
	log_notice("calls: %u sessions in %u calls taken back", h->reg.n_sessions, h->reg.n_calls);
	hub_replay(h);
}

static void try_restore(struct hub *h)
{
	if (h->restoring && h->dp_synced && h->store_read)
		finish_restore(h);
}

static void on_store_read(void *arg, int rc)
{
	struct hub *h = arg;

	if (rc < 0) { // away: asked again until the limit
		loop_arm_in(h->loop, &h->read_again, HUB_READ_AGAIN_MS * NS_PER_MS);
		return;
	}
	h->store_read = true;
	try_restore(h);
}

static void on_read_again(struct timer *t, ns_t now)
{
	struct hub *h = container_of(t, struct hub, read_again);

	persist_clear(h->persist); // a scan may have broken off half way
	if (h->restoring)
		persist_read(h->persist, on_store_read, h);
}

// Without store or dataplane there is nothing to take back: what was is told to end, and new calls served.
static void on_restore_limit(struct timer *t, ns_t now)
{
	struct hub *h = container_of(t, struct hub, restore_limit);

	if (!h->restoring)
		return;
	log_warn("calls: serving without what was before (%s away)", h->dp_synced ? "store" : "dataplane");
	loop_cancel(h->loop, &h->read_again);
	finish_restore(h);
}

void resync_start(struct hub *h)
{
	for (unsigned i = 0; i < HUB_SNAP_BUCKETS; i++)
		LIST_INIT(&h->snaps[i]);
	h->restoring = true;
	h->restore_limit.on_due = on_restore_limit;
	h->read_again.on_due = on_read_again;
	loop_arm_in(h->loop, &h->restore_limit, HUB_RESTORE_S * NS_PER_S);
	persist_read(h->persist, on_store_read, h);
}

void resync_link_up(struct hub *h)
{
	h->dp_synced = true;
	if (h->restoring)
		try_restore(h);
	else
		compare(h);
}

void resync_link_down(struct hub *h)
{
	h->dp_synced = false;
	clear(h);
}

void resync_end(struct hub *h)
{
	loop_cancel(h->loop, &h->restore_limit);
	loop_cancel(h->loop, &h->read_again);
	clear(h);
}
