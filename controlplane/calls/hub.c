// The calls' root: plugin messages to sessions, dataplane events to sessions, start, restore and end.
#include <stdlib.h>

#include "controlplane/calls/hub_state.h"
#include "controlplane/calls/query.h"
#include "controlplane/calls/resync.h"
#include "controlplane/session/session.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/peer/selftest.h"

// A plugin message that came while state was read back; replayed in order.
struct hub_deferred {
	STAILQ_ENTRY(hub_deferred) next;
	enum { LATE_JOIN, LATE_LEAVE, LATE_RECONNECT, LATE_RTC } kind;
	conn_id conn;
	enum rtc_type type;
	struct join_flags flags;
	struct {
		size_t at, len;
	} part[6]; // client, call, user, session, channel, data; into text
	char text[];
};
enum { PART_CLIENT, PART_CALL, PART_USER, PART_SESSION, PART_CHANNEL, PART_DATA };

static void drop(struct hub *h, const char *reason)
{
	metric_add(h->metrics, M_SIGNALING_DROPS, METRIC_LABELS(str_of(reason)), 1);
}

static struct session *find(struct hub *h, struct str client, struct str session_id)
{
	struct member *m = registry_find(&h->reg, client, session_id);

	return m ? container_of(m, struct session, member) : NULL;
}

static struct session *by_sid(struct hub *h, uint32_t sid)
{
	struct session *s = pool_find(h->sessions, sid);

	return s && s->state != SESSION_CLOSED ? s : NULL;
}

static void reap(struct deferred *d)
{
	struct hub *h = container_of(d, struct hub, reap);
	struct session *s;

	while ((s = STAILQ_FIRST(&h->dead)) != NULL) {
		STAILQ_REMOVE_HEAD(&h->dead, next_dead);
		session_free(s);
	}
}

void hub_refresh_candidates(struct hub *h)
{
	struct nat_candidate found[NAT_MAX_CANDIDATES];
	unsigned n, kept = 0;

	nat_set_tcp_port(h->nat, link_tcp_port(h->link));
	n = nat_candidates(h->nat, found);
	for (unsigned i = 0; i < n; i++) {
		struct sdp_candidate *c = &h->candidates[kept];
		if (sdp_candidate_init(c, str_of(found[i].addr), found[i].port, found[i].is_tcp, i) < 0)
			continue;
		c->priority = found[i].priority;
		c->foundation = (uint32_t)strtoul(found[i].foundation, NULL, 10);
		kept++;
	}
	h->neg.candidates = h->candidates;
	h->neg.n_candidates = kept;
}

// --- messages while restoring ------------------------------------------------------------------------
static size_t deferred_size(const struct hub_deferred *d)
{
	return sizeof(*d) + d->part[5].at + d->part[5].len;
}

// Returns false when there is no room for it.
static bool defer_message(struct hub *h, struct hub_deferred proto, const struct str part[6])
{
	struct hub_deferred *d;
	size_t len = 0;

	for (int i = 0; i < 6; i++)
		len += part[i].len;
	d = h->n_waiting < HUB_DEFERRED && h->waiting_bytes + sizeof(*d) + len <= HUB_DEFERRED_BYTES
		    ? malloc(sizeof(*d) + len)
		    : NULL;
	if (d == NULL) {
		drop(h, "restoring");
		return false;
	}
	*d = proto;
	len = 0;
	for (int i = 0; i < 6; i++) {
		d->part[i].at = len;
		d->part[i].len = part[i].len;
		if (part[i].len > 0)
			memcpy(d->text + len, part[i].p, part[i].len);
		len += part[i].len;
	}
	STAILQ_INSERT_TAIL(&h->waiting, d, next);
	h->n_waiting++;
	h->waiting_bytes += deferred_size(d);
	return true;
}

static struct str part_of(const struct hub_deferred *d, int i)
{
	return (struct str){d->text + d->part[i].at, d->part[i].len};
}

static void replay(struct hub *h, const struct hub_deferred *d)
{
	struct str client = part_of(d, PART_CLIENT), session = part_of(d, PART_SESSION);
	struct join_msg j = {.call_id = part_of(d, PART_CALL),
			     .user_id = part_of(d, PART_USER),
			     .session_id = session,
			     .channel_id = part_of(d, PART_CHANNEL),
			     .flags = d->flags};

	switch (d->kind) {
	case LATE_JOIN:
		hub_plugin_ops.join(h, d->conn, client, &j);
		break;
	case LATE_LEAVE:
		hub_plugin_ops.leave(h, d->conn, client, session);
		break;
	case LATE_RECONNECT:
		hub_plugin_ops.reconnect(h, d->conn, client, session);
		break;
	case LATE_RTC:
		hub_plugin_ops.rtc(h, d->conn, client, session, d->type, part_of(d, PART_DATA));
		break;
	}
}

static void drop_waiting(struct hub *h, bool replays)
{
	struct hub_deferred *d;

	while ((d = STAILQ_FIRST(&h->waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&h->waiting, next);
		h->n_waiting--;
		h->waiting_bytes -= deferred_size(d);
		if (replays)
			replay(h, d);
		free(d);
	}
}

void hub_replay(struct hub *h)
{
	drop_waiting(h, true);
}

// --- the plugin ----------------------------------------------------------------------------------------
static bool refuses_while_draining(struct hub *h, struct str client, const struct join_msg *j)
{
	return h->draining && registry_call(&h->reg, client, j->call_id) == NULL;
}

static void hub_join(void *arg, conn_id conn, struct str client, const struct join_msg *j)
{
	struct hub *h = arg;
	enum join_result result = JOIN_OK;
	struct session *s = NULL;

	if (h->restoring) {
		struct hub_deferred d = {.kind = LATE_JOIN, .conn = conn, .flags = j->flags};
		if (!defer_message(h, d,
				   (struct str[]){client, j->call_id, j->user_id, j->session_id,
						  j->channel_id, STR_NONE})) {
			metric_add(h->metrics, M_JOINS_REFUSED, METRIC_LABELS(STR("restoring")), 1);
			plugins_send_close(h->plugins, client, conn, j->session_id);
		}
		return;
	}
	if (find(h, client, j->session_id) != NULL) {
		log_info("session %.*s: joined already, join ignored", STR_ARG(j->session_id));
		metric_add(h->metrics, M_JOINS_REFUSED, METRIC_LABELS(STR("duplicate")), 1);
		return; // no close: it would end the living one (D53)
	}
	if (link_is_full(h->link))
		result = JOIN_OVERLOADED;
	else if (!refuses_while_draining(h, client, j))
		s = session_new(h, conn, client, j, &result);
	if (s == NULL) {
		const char *why = result == JOIN_OK ? "draining" : join_result_text(result);
		log_warn("session %.*s: join refused (%s)", STR_ARG(j->session_id), why);
		metric_add(h->metrics, M_JOINS_REFUSED, METRIC_LABELS(str_of(why)), 1);
		plugins_send_close(h->plugins, client, conn, j->session_id);
		return;
	}
	log_info(SESSION_FMT ": joined call %s", SESSION_ARG(s), s->member.call->id);
}

static void hub_join_invalid(void *arg, conn_id conn, struct str client, struct str session_id)
{
	struct hub *h = arg;
	metric_add(h->metrics, M_JOINS_REFUSED, METRIC_LABELS(STR("invalid")), 1);
	if (find(h, client, session_id) == NULL)
		plugins_send_close(h->plugins, client, conn, session_id);
}

static void unknown(struct hub *h, struct str session_id, const char *what)
{
	log_debug("session %.*s: %s for a session that is not here", STR_ARG(session_id), what);
	drop(h, "unknown_session");
}

static void hub_leave(void *arg, conn_id conn, struct str client, struct str session_id)
{
	struct hub *h = arg;
	struct session *s = find(h, client, session_id);

	if (h->restoring) {
		defer_message(h, (struct hub_deferred){.kind = LATE_LEAVE, .conn = conn},
			      (struct str[]){client, STR_NONE, STR_NONE, session_id, STR_NONE, STR_NONE});
	} else if (s == NULL) {
		unknown(h, session_id, "leave");
	} else {
		s->conn = conn;
		session_close(s, END_LEAVE);
	}
}

static void hub_reconnect(void *arg, conn_id conn, struct str client, struct str session_id)
{
	struct hub *h = arg;
	struct session *s = find(h, client, session_id);

	if (h->restoring) {
		defer_message(h, (struct hub_deferred){.kind = LATE_RECONNECT, .conn = conn},
			      (struct str[]){client, STR_NONE, STR_NONE, session_id, STR_NONE, STR_NONE});
	} else if (s == NULL) {
		// Its join or its first offer fell into a restart. Without a word the client would wait for media
		// until it gives up by itself.
		unknown(h, session_id, "reconnect");
		plugins_send_close(h->plugins, client, conn, session_id);
	} else {
		session_on_reconnect(s, conn);
	}
}

static void hub_rtc(void *arg, conn_id conn, struct str client, struct str session_id, enum rtc_type type,
		    struct str data)
{
	struct hub *h = arg;
	struct session *s = find(h, client, session_id);

	if (h->restoring) {
		defer_message(h, (struct hub_deferred){.kind = LATE_RTC, .conn = conn, .type = type},
			      (struct str[]){client, STR_NONE, STR_NONE, session_id, STR_NONE, data});
	} else if (s == NULL) {
		unknown(h, session_id, "message");
	} else {
		s->conn = conn; // routes follow the newest connection it was heard on (D13)
		session_on_rtc(s, type, data);
	}
}

// That a connection has closed tells nothing: sessions outlive it, and the next message or `reconnect` moves them to
// another one.
const struct plugin_ops hub_plugin_ops = {hub_join, hub_join_invalid, hub_leave, hub_reconnect, hub_rtc};

void hub_client_gone(struct hub *h, struct str client)
{
	struct group *g;
	struct member *m;

	while ((g = registry_group(&h->reg, client)) != NULL &&
	       (m = map_next(g->members, &(size_t){0}, NULL)) != NULL)
		session_close(container_of(m, struct session, member), END_CLIENT_GONE);
}

static void emit_one(const struct member *m, session_emit_fn emit, void *arg)
{
	emit(arg, &(struct session_view){.group_id = str_of(m->call->group->client),
					 .call_id = str_of(m->call->id),
					 .user_id = str_of(m->user_id),
					 .session_id = str_of(m->session_id),
					 .channel_id = str_of(m->channel_id),
					 .flags = m->flags});
}

int hub_sessions(struct hub *h, struct str client, struct str call_id, struct str session_id,
		 const char **what, session_emit_fn emit, void *arg)
{
	struct call *c = registry_call(&h->reg, client, call_id);
	struct member *m;

	if (c == NULL) {
		*what = registry_group(&h->reg, client) ? "call" : "group";
		return -ENOENT;
	}
	if (session_id.len == 0) {
		LIST_FOREACH (m, &c->members, link)
			emit_one(m, emit, arg);
		return 0;
	}
	m = registry_find(&h->reg, client, session_id);
	if (m == NULL || m->call != c) {
		*what = "session";
		return -ENOENT;
	}
	emit_one(m, emit, arg);
	return 0;
}

void hub_load(const struct hub *h, struct hub_load *out)
{
	*out = (struct hub_load){.n_sessions = h->reg.n_sessions,
				 .n_calls = h->reg.n_calls,
				 .draining = h->draining,
				 .restoring = h->restoring};
}

struct link *hub_link(struct hub *h)
{
	return h->link;
}

// --- draining ------------------------------------------------------------------------------------------
static void tell_drained(struct deferred *d)
{
	struct hub *h = container_of(d, struct hub, tell_drained);
	void (*fn)(void *) = h->drained;

	h->drained = NULL;
	if (fn != NULL)
		fn(h->drained_arg);
}

void hub_check_drained(struct hub *h)
{
	if (h->draining && h->drained != NULL && h->reg.n_sessions == 0)
		loop_defer(h->loop, &h->tell_drained);
}

void hub_drain(struct hub *h, void (*drained)(void *arg), void *arg)
{
	h->draining = true;
	h->drained = drained;
	h->drained_arg = arg;
	hub_check_drained(h);
}

// --- the dataplane -----------------------------------------------------------------------------------------
static void on_synced(void *arg, bool is_same_boot)
{
	struct hub *h = arg;

	loop_cancel(h->loop, &h->dp_gone);
	resync_link_up(h);
}

static void on_dp_down(void *arg)
{
	struct hub *h = arg;

	resync_link_down(h);
	loop_arm_in(h->loop, &h->dp_gone, HUB_DP_GONE_S * NS_PER_S);
}

static void on_dp_gone(struct timer *t, ns_t now)
{
	struct hub *h = container_of(t, struct hub, dp_gone);
	struct session *s;
	uint32_t cursor = 0;

	log_error("dataplane: away for %d s, its sessions end", HUB_DP_GONE_S);
	while ((s = pool_next(h->sessions, &cursor, NULL)) != NULL)
		session_close(s, END_DATAPLANE);
}

static void on_refused(struct hub *h, const struct ipc_ack *a)
{
	struct session *s;
	uint32_t cursor = 0;

	if (a->cmd != CMD_SESSION_ADD)
		return;
	while ((s = pool_next(h->sessions, &cursor, NULL)) != NULL) {
		if (s->add_seq != a->hdr.seq || s->state == SESSION_CLOSED)
			continue;
		session_close(s, END_DATAPLANE);
		return;
	}
}

static void on_event(void *arg, const union ipc_msg *m)
{
	struct hub *h = arg;
	struct session *s;

	switch (m->hdr.type) {
	case EVT_ACK:
		on_refused(h, &m->ack);
		query_on_event(h, m);
		break;
	case EVT_LEG_STATE:
	case EVT_SESSION_STATE:
		query_on_event(h, m);
		break;
	case EVT_PATH:
		if ((s = by_sid(h, m->path.sid)) != NULL)
			session_on_path(s, &m->path);
		break;
	case EVT_LIVENESS:
		if ((s = by_sid(h, m->liveness.sid)) != NULL)
			session_on_liveness(s, m->liveness.state);
		break;
	case EVT_TRACK_LIVE:
		if ((s = by_sid(h, m->track_live.sid)) != NULL)
			session_on_track_live(s, &m->track_live);
		break;
	case EVT_VOICE:
		if ((s = by_sid(h, m->voice.sid)) != NULL)
			session_on_voice(s, &m->voice);
		break;
	default:
		break;
	}
}

static void on_punt(void *arg, unsigned worker, const struct punt_hdr *hdr, const uint8_t *data, size_t len)
{
	struct hub *h = arg;
	struct session *s = by_sid(h, hdr->sid);

	if (s != NULL)
		session_on_datagram(s, worker, data, len);
	else
		drop(h, "punt_unknown");
}

static void on_snap(void *arg, const union ipc_msg *m)
{
	resync_snap(arg, m);
}

static const struct link_ops link_ops = {on_snap, on_synced, on_dp_down, on_event, on_punt};

static void on_sctp_clock(struct timer *t, ns_t now)
{
	struct hub *h = container_of(t, struct hub, sctp_clock);
	bool goes_on = h->reg.n_sessions > 0;

	link_doze(h->link, goes_on);
	link_look(h->link);
	dchan_clock(now);
	if (goes_on)
		loop_arm_in(h->loop, t,
			    (link_awaits(h->link) ? HUB_SCTP_CLOCK_MS : HUB_SCTP_IDLE_MS) * NS_PER_MS);
}

// --- start and end -------------------------------------------------------------------------------------------
static int init_negotiation(struct hub *h)
{
	const struct conf *c = h->conf;
	struct dtls_fingerprint fp;
	int rc = dtls_fingerprint_parse(&fp, STR("sha-256"), str_of(dtls_ctx_fingerprint(h->dtls)));

	if (rc < 0)
		return rc;
	h->neg = (struct negotiate_conf){.voice_lines = c->limits.voice_lines,
					 .max_message_size = DCHAN_MAX_MSG,
					 .answer_timeout = c->rtc.answer_s * NS_PER_S,
					 .lock_lease = c->rtc.lock_lease_s * NS_PER_S,
					 .dtls_active =
						 c->rtc.dtls_role && strcmp(c->rtc.dtls_role, "active") == 0,
					 .video = true,
					 .rtx = c->rtc.rtx};
	h->neg.fingerprint.len = fp.len;
	memcpy(h->neg.fingerprint.hash, fp.value, fp.len);
	return 0;
}

static int prove_dtls(struct hub *h)
{
	const char *why;
	int rc = peer_selftest(h->dtls, loop_now(h->loop), &why);

	if (rc < 0)
		log_error("DTLS with ourselves fails: %s. A crypto policy of this machine (openssl.cnf) must "
			  "allow DTLS 1.2, P-256 and AES-GCM",
			  why);
	return rc;
}

static int open_parts(struct hub *h)
{
	const struct conf *c = h->conf;
	struct registry_limits limits = {.sessions = c->limits.sessions,
					 .sessions_per_client = c->limits.sessions_per_client,
					 .sessions_per_call = c->limits.sessions_per_call,
					 .calls_per_client = c->limits.calls_per_client,
					 .joins_per_s = c->limits.joins_per_s};
	int rc;

	if (registry_init(&h->reg, &limits) < 0 || dchan_start(loop_now(h->loop)) < 0)
		return -ENOMEM;
	h->sessions = pool_new(sizeof(struct session), c->limits.sessions);
	h->dtls = dtls_ctx_new();
	h->nat = nat_new(h->loop, c);
	h->persist = persist_new(h);
	h->link = link_new(h->loop, c->dataplane.socket, &link_ops, h);
	if (!h->sessions || !h->dtls || !h->nat || !h->persist || !h->link)
		return -ENOMEM;
	rc = prove_dtls(h);
	if (rc < 0)
		return rc;
	return init_negotiation(h);
}

struct hub *hub_new(struct loop *loop, const struct conf *conf, struct plugins *plugins, struct store *store,
		    struct metrics *metrics)
{
	struct hub *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	*h = (struct hub){.loop = loop, .conf = conf, .plugins = plugins, .store = store, .metrics = metrics};
	STAILQ_INIT(&h->dead);
	STAILQ_INIT(&h->waiting);
	TAILQ_INIT(&h->queries);
	h->reap.fn = reap;
	h->tell_drained.fn = tell_drained;
	h->sctp_clock.on_due = on_sctp_clock;
	h->dp_gone.on_due = on_dp_gone;
	if (open_parts(h) < 0) {
		log_error("calls: cannot start (%s)", strerror(errno));
		hub_free(h);
		return err_null(ENOMEM);
	}
	hub_refresh_candidates(h);
	resync_start(h);
	return h;
}

void hub_free(struct hub *h)
{
	struct session *s;
	uint32_t cursor = 0;

	if (h == NULL)
		return;
	h->drained = NULL;
	while (h->sessions && (s = pool_next(h->sessions, &cursor, NULL)) != NULL)
		session_close(s, END_SHUTDOWN);
	reap(&h->reap);
	loop_defer_cancel(h->loop, &h->reap);
	loop_defer_cancel(h->loop, &h->tell_drained);
	loop_cancel(h->loop, &h->sctp_clock);
	loop_cancel(h->loop, &h->dp_gone);
	drop_waiting(h, false);
	query_drop_all(h);
	resync_end(h);
	persist_free(h->persist);
	dchan_stop();
	link_free(h->link);
	nat_free(h->nat);
	dtls_ctx_free(h->dtls);
	pool_free(h->sessions);
	registry_fini(&h->reg);
	free(h);
}
