// What the dataplane says, to the sessions meant.
#include "controlplane/calls/hub_priv.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#define GONE_S 3 // sessions end when the dataplane stays away this long

// --- the link itself -------------------------------------------------------------------------------
static void on_synced(void *arg, bool is_same_boot)
{
	struct hub *h = arg;

	loop_cancel(h->env.loop, &h->link_gone);
	resync_link_up(h->resync);
}

static void on_down(void *arg)
{
	struct hub *h = arg;

	resync_link_down(h->resync);
	loop_arm_in(h->env.loop, &h->link_gone, GONE_S * NS_PER_S);
}

void hub_on_link_gone(struct timer *t, ns_t now)
{
	struct hub *h = container_of(t, struct hub, link_gone);

	log_error("dataplane: away for %d s, its sessions end", GONE_S);
	session_close_all(&h->env, END_DATAPLANE);
}

static void on_snap(void *arg, const union ipc_msg *m)
{
	struct hub *h = arg;

	resync_snap(h->resync, m);
}

// --- events ----------------------------------------------------------------------------------------
static void on_session_refused(struct hub *h, const struct ipc_ack *a)
{
	struct session *s;
	uint32_t cursor = 0;

	if (a->cmd != CMD_SESSION_ADD) {
		if ((s = session_find(&h->env, a->sid)) != NULL)
			session_on_refused(s, a);
		return;
	}
	while ((s = pool_next(h->env.sessions, &cursor, NULL)) != NULL) {
		if (s->add_seq != a->hdr.seq || s->life == LIFE_CLOSED)
			continue;
		session_close(s, END_DATAPLANE);
		return;
	}
}

static void on_link_event(void *arg, const union ipc_msg *m)
{
	struct hub *h = arg;
	struct session *s;

	switch (m->hdr.type) {
	case EVT_ACK:
		on_session_refused(h, &m->ack);
		queries_on_event(h->queries, m);
		break;
	case EVT_LEG_STATE:
	case EVT_SESSION_STATE:
		queries_on_event(h->queries, m);
		break;
	case EVT_PATH:
		if ((s = session_find(&h->env, m->path.sid)) != NULL)
			session_on_path(s, &m->path);
		break;
	case EVT_LIVENESS:
		if ((s = session_find(&h->env, m->liveness.sid)) != NULL)
			session_on_liveness(s, m->liveness.state);
		break;
	case EVT_TRACK_LIVE:
		if ((s = session_find(&h->env, m->track_live.sid)) != NULL)
			session_on_track_live(s, &m->track_live);
		break;
	case EVT_VOICE:
		if ((s = session_find(&h->env, m->voice.sid)) != NULL)
			session_on_voice(s, &m->voice);
		break;
	default:
		break;
	}
}

static void on_punt(void *arg, unsigned worker, const struct punt_hdr *hdr, const uint8_t *data, size_t len)
{
	struct hub *h = arg;
	struct session *s = session_find(&h->env, hdr->sid);

	ns_t began;

	if (s == NULL) {
		hub_drop(h, "punt_unknown");
	} else if (session_may_work(s)) { // else DTLS and SCTP send it again
		began = clock_work();
		session_on_datagram(s, worker, data, len);
		session_worked(s, "data channel", began);
	}
}

const struct link_ops hub_link_ops = {on_snap, on_synced, on_down, on_link_event, on_punt};
