// What plugins say, to the sessions meant.
#include "controlplane/calls/hub_priv.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

static struct session *find_session(struct hub *h, struct str client, struct str session_id)
{
	struct member *m = registry_find(&h->registry, client, session_id);

	return m ? container_of(m, struct session, member) : NULL;
}

static void count_unknown(struct hub *h, struct str session_id, const char *what)
{
	log_debug("session %.*s: %s for a session that is not here", STR_ARG(session_id), what);
	hub_drop(h, "unknown_session");
}

// False: there is no room, it is lost.
static bool keep_late(struct hub *h, const struct late_msg *m)
{
	bool kept = late_keep(&h->late, m);

	if (!kept)
		hub_drop(h, "restoring");
	return kept;
}

// --- joins -----------------------------------------------------------------------------------------
static void count_refused_join(struct hub *h, const char *why)
{
	metric_add(h->env.metrics, M_JOINS_REFUSED, METRIC_LABELS(str_of(why)), 1);
}

// Its end is all a plugin can be told of a join.
static void refuse_join(struct hub *h, conn_id conn, struct str client, struct str session_id,
			const char *why)
{
	count_refused_join(h, why);
	plugins_send_close(h->env.plugins, client, conn, session_id);
}

static void keep_join(struct hub *h, conn_id conn, struct str client, const struct join_msg *j)
{
	const struct late_msg m = {.kind = LATE_JOIN, .conn = conn, .client = client, .join = *j};

	if (!keep_late(h, &m))
		refuse_join(h, conn, client, j->session_id, "restoring");
}

static bool is_drained_away(struct hub *h, struct str client, const struct join_msg *j)
{
	return h->draining && registry_call(&h->registry, client, j->call_id) == NULL;
}

// NULL with the word why.
static struct session *admit(struct hub *h, conn_id conn, struct str client, const struct join_msg *j,
			     const char **why)
{
	enum join_result result = JOIN_OK;
	struct session *s;

	if (link_is_full(h->env.link)) {
		*why = join_result_text(JOIN_OVERLOADED);
		return NULL;
	}
	if (is_drained_away(h, client, j)) {
		*why = "draining";
		return NULL;
	}
	s = session_new(&h->env, conn, client, j, &result);
	*why = join_result_text(result);
	return s;
}

static void on_join(void *arg, conn_id conn, struct str client, const struct join_msg *j)
{
	struct hub *h = arg;
	const char *why;
	struct session *s;

	if (resync_is_restoring(h->resync)) {
		keep_join(h, conn, client, j);
		return;
	}
	if (find_session(h, client, j->session_id) != NULL) {
		log_info("session %.*s: joined already, join ignored", STR_ARG(j->session_id));
		count_refused_join(h, "duplicate");
		return; // no close: it would end the living one (D53)
	}
	s = admit(h, conn, client, j, &why);
	if (s == NULL) {
		log_warn("session %.*s: join refused (%s)", STR_ARG(j->session_id), why);
		refuse_join(h, conn, client, j->session_id, why);
		return;
	}
	log_info(SESSION_FMT ": joined call %s", SESSION_ARG(s), s->member.call->id);
}

static void on_join_invalid(void *arg, conn_id conn, struct str client, struct str session_id)
{
	struct hub *h = arg;

	count_refused_join(h, "invalid");
	if (find_session(h, client, session_id) == NULL)
		plugins_send_close(h->env.plugins, client, conn, session_id);
}

// --- sessions --------------------------------------------------------------------------------------
static void on_leave(void *arg, conn_id conn, struct str client, struct str session_id)
{
	struct hub *h = arg;
	struct session *s = find_session(h, client, session_id);

	if (resync_is_restoring(h->resync)) {
		keep_late(h, &(struct late_msg){.kind = LATE_LEAVE,
						.conn = conn,
						.client = client,
						.join.session_id = session_id});
	} else if (s == NULL) {
		count_unknown(h, session_id, "leave");
	} else {
		s->conn = conn;
		session_close(s, END_LEAVE);
	}
}

static void on_reconnect(void *arg, conn_id conn, struct str client, struct str session_id)
{
	struct hub *h = arg;
	struct session *s = find_session(h, client, session_id);

	if (resync_is_restoring(h->resync)) {
		keep_late(h, &(struct late_msg){.kind = LATE_RECONNECT,
						.conn = conn,
						.client = client,
						.join.session_id = session_id});
	} else if (s == NULL) {
		// Its join or its first offer fell into a restart. Without a word the client would wait for media
		// until it gives up by itself.
		count_unknown(h, session_id, "reconnect");
		plugins_send_close(h->env.plugins, client, conn, session_id);
	} else {
		session_on_reconnect(s, conn);
	}
}

static void on_rtc(void *arg, conn_id conn, struct str client, struct str session_id, enum rtc_type type,
		   struct str data)
{
	struct hub *h = arg;
	struct session *s = find_session(h, client, session_id);

	if (resync_is_restoring(h->resync)) {
		keep_late(h, &(struct late_msg){.kind = LATE_RTC,
						.conn = conn,
						.client = client,
						.join.session_id = session_id,
						.type = type,
						.data = data});
	} else if (s == NULL) {
		count_unknown(h, session_id, "message");
	} else if (session_may_work(s)) {
		ns_t began = clock_work();

		s->conn = conn; // routes follow the newest connection it was heard on (D13)
		session_on_rtc(s, type, data);
		session_worked(s, "plugin message", began);
	}
}

const struct plugin_ops hub_plugin_ops = {on_join, on_join_invalid, on_leave, on_reconnect, on_rtc};
