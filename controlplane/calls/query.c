// Answers carry no name but the session's: the oldest question about it is meant. One that was given up leaves an
// answer behind, which ends with the number of a question that is not there.
#include "controlplane/calls/query.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "controlplane/sys/json.h"
#include "controlplane/session/session.h"
#include "lib/base/err.h"

struct query {
	TAILQ_ENTRY(query) link;
	struct hub *hub; // borrowed
	uint32_t sid, seq;
	query_done_fn done;
	void *arg;
	struct timer limit;
	unsigned n_legs;
	struct ipc_leg_state legs[QUERY_MAX_VIDEOS];
};

static void query_free(struct query *q)
{
	loop_cancel(q->hub->loop, &q->limit);
	TAILQ_REMOVE(&q->hub->queries, q, link);
	q->hub->n_queries--;
	free(q);
}

static void query_fail(struct query *q, int err)
{
	query_done_fn done = q->done;
	void *arg = q->arg;

	query_free(q);
	done(arg, err, NULL);
}

static void on_limit(struct timer *t, ns_t now)
{
	query_fail(container_of(t, struct query, limit), -ETIMEDOUT);
}

int hub_query(struct hub *h, struct str client, struct str call_id, struct str session_id, const char **what,
	      query_done_fn done, void *arg)
{
	struct call *c = registry_call(&h->reg, client, call_id);
	struct member *m = c ? registry_find(&h->reg, client, session_id) : NULL;
	struct ipc_session_ref msg;
	struct query *q;

	*what = c ? "session" : registry_group(&h->reg, client) ? "call" : "group";
	if (m == NULL || m->call != c)
		return -ENOENT;
	if (h->n_queries == QUERY_MAX)
		return -EBUSY;
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	ipc_begin(&msg, CMD_QUERY);
	msg.sid = m->sid;
	if (link_send(h->link, &msg) < 0) {
		free(q);
		return -ENOTCONN;
	}
	q->hub = h;
	q->sid = m->sid;
	q->seq = msg.hdr.seq;
	q->done = done;
	q->arg = arg;
	q->limit.on_due = on_limit;
	TAILQ_INSERT_TAIL(&h->queries, q, link);
	h->n_queries++;
	loop_arm_in(h->loop, &q->limit, QUERY_LIMIT_MS * NS_PER_MS);
	return 0;
}

void hub_query_forget(struct hub *h, const void *arg)
{
	struct query *q, *next;

	TAILQ_EACH_SAFE (q, &h->queries, link, next)
		if (q->arg == arg)
			query_free(q);
}

void query_drop_all(struct hub *h)
{
	while (!TAILQ_EMPTY(&h->queries))
		query_free(TAILQ_FIRST(&h->queries));
}

// --- answers -----------------------------------------------------------------------------------------
static const struct session *living(struct hub *h, uint32_t sid)
{
	const struct session *s = pool_find(h->sessions, sid);

	return s && s->state != SESSION_CLOSED ? s : NULL;
}

// Its source may have ended since.
static bool fill_video(struct hub *h, const struct ipc_leg_state *l, struct query_video *v)
{
	const struct session *sender = living(h, l->src_sid);
	const struct track *t = sender ? &sender->tracks[l->src_track] : NULL;

	if (t == NULL || !t->used)
		return false;
	*v = (struct query_video){.sender_id = str_of(sender->member.session_id),
				  .type = negotiate_type_name(t->type),
				  .codec = t->codec == CODEC_AV1 ? "AV1" : "VP8",
				  .state = *l};
	return true;
}

static void answer(struct query *q, const struct ipc_session_state *state)
{
	const struct session *s = living(q->hub, q->sid);
	struct query_video videos[QUERY_MAX_VIDEOS];
	struct query_view view = {.state = *state, .video = videos};
	query_done_fn done = q->done;
	void *arg = q->arg;

	if (s == NULL) {
		query_fail(q, -ENOENT);
		return;
	}
	view.session_id = str_of(s->member.session_id);
	for (unsigned i = 0; i < q->n_legs; i++)
		view.n_videos += fill_video(q->hub, &q->legs[i], &videos[view.n_videos]);
	query_free(q);
	done(arg, 0, &view);
}

static struct query *oldest(struct hub *h, uint32_t sid)
{
	struct query *q;

	TAILQ_FOREACH (q, &h->queries, link)
		if (q->sid == sid)
			return q;
	return NULL;
}

static void on_refused(struct hub *h, const struct ipc_ack *a)
{
	struct query *q;

	TAILQ_FOREACH (q, &h->queries, link) {
		if (q->seq == a->hdr.seq) {
			query_fail(q, a->err);
			return;
		}
	}
}

void query_on_event(struct hub *h, const union ipc_msg *m)
{
	struct query *q;

	if (m->hdr.type == EVT_ACK) {
		on_refused(h, &m->ack);
	} else if (m->hdr.type == EVT_LEG_STATE) {
		q = oldest(h, m->leg_state.sid);
		if (q != NULL && q->n_legs < QUERY_MAX_VIDEOS)
			q->legs[q->n_legs++] = m->leg_state;
	} else if ((q = oldest(h, m->session_state.sid)) != NULL) {
		if (q->seq == m->hdr.seq)
			answer(q, &m->session_state);
		else
			q->n_legs = 0; // they were of an answer that came too late
	}
}

// --- as JSON -----------------------------------------------------------------------------------------
static void write_path(struct wbuf *w, const struct ipc_addr *a)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (a->family == 0 ||
	    inet_ntop(a->family == 6 ? AF_INET6 : AF_INET, a->ip, text, sizeof(text)) == NULL) {
		wbuf_printf(w, "null");
		return;
	}
	wbuf_printf(w, "{\"protocol\":\"%s\",\"address\":\"%s\",\"port\":%u}", a->proto == 6 ? "tcp" : "udp",
		    text, a->port);
}

static void write_video(struct wbuf *w, const struct query_video *v)
{
	const struct ipc_leg_state *s = &v->state;

	wbuf_printf(w, "{\"sender_id\":");
	json_write_str(w, v->sender_id);
	wbuf_printf(w, ",\"type\":\"%s\",\"codec\":\"%s\",\"layer\":", v->type, v->codec);
	if (s->layer < s->n_layers)
		wbuf_printf(w, "%u", s->layer);
	else
		wbuf_printf(w, "null");
	wbuf_printf(w, ",\"layer_bps\":[");
	for (unsigned i = 0; i < s->n_layers && i < IPC_TRACK_RIDS; i++)
		wbuf_printf(w, "%s%u", i > 0 ? "," : "", s->layer_bps[i]);
	wbuf_printf(w,
		    "],\"sent_bps\":%u,\"paused\":%s,\"switches\":%u,\"nacked\":%u,\"resent\":%u,"
		    "\"key_requests\":%u}",
		    s->sent_bps, s->is_paused ? "true" : "false", s->n_switches, s->n_nacked, s->n_resent,
		    s->n_key_requests);
}

void query_write_json(struct wbuf *w, const struct query_view *v)
{
	const struct ipc_session_state *s = &v->state;

	wbuf_printf(w, "{\"session_id\":");
	json_write_str(w, v->session_id);
	wbuf_printf(w,
		    ",\"estimate_bps\":%u,\"rtt_ms\":%u.%03u,\"loss\":%u.%03u,\"queue_ms\":%u,\"probes\":%u,"
		    "\"path\":",
		    s->estimate_bps, s->rtt_us / 1000, s->rtt_us % 1000, s->loss / 1000u, s->loss % 1000u,
		    s->queue_ms, s->n_probes);
	write_path(w, &s->remote);
	wbuf_printf(w, ",\"video\":[");
	for (unsigned i = 0; i < v->n_videos; i++) {
		if (i > 0)
			wbuf_printf(w, ",");
		write_video(w, &v->video[i]);
	}
	wbuf_printf(w, "]}\n");
}
