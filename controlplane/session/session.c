// Life of a session, and what the plugin and the dataplane tell it.
#include "controlplane/session/session.h"

#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

const char *session_end_text(enum session_end end)
{
	static const char *const text[] = {
		[END_LEAVE] = "leave",         [END_NO_OFFER] = "no_offer",
		[END_BAD_OFFER] = "bad_offer", [END_NO_CHANNEL] = "no_data_channel",
		[END_NO_PATH] = "no_path",     [END_PATH_LOST] = "path_lost",
		[END_DTLS] = "dtls_failed",    [END_PEER_CLOSED] = "peer_closed",
		[END_DATAPLANE] = "dataplane", [END_CLIENT_GONE] = "client_unregistered",
		[END_SHUTDOWN] = "shutdown",   [END_ORPHAN] = "orphan",
	};
	return end < ARRAY_LEN(text) ? text[end] : "unknown";
}

bool bucket_take(struct bucket *b, ns_t now, double burst, double per_s)
{
	b->tokens = b->filled == 0 ? burst : b->tokens + (double)(now - b->filled) / NS_PER_S * per_s;
	b->filled = now;
	if (b->tokens > burst)
		b->tokens = burst;
	if (b->tokens < 1)
		return false;
	b->tokens -= 1;
	return true;
}

void session_error(struct session *s, const char *type)
{
	metric_add(s->hub->metrics, M_RTC_ERRORS, METRIC_LABELS(session_client(s), str_of(type)), 1);
}

void session_drop(struct session *s, const char *reason)
{
	metric_add(s->hub->metrics, M_SIGNALING_DROPS, METRIC_LABELS(str_of(reason)), 1);
}

void session_tell_plugin(struct session *s, enum deliver policy, enum rtc_type type, struct str data)
{
	plugins_send_rtc(s->hub->plugins, s->conn, policy,
			 &(struct rtc_msg){.client = session_client(s),
					   .user_id = str_of(s->member.user_id),
					   .session_id = str_of(s->member.session_id),
					   .call_id = str_of(s->member.call->id),
					   .type = type,
					   .data = data});
}

// --- timers ----------------------------------------------------------------------------------------
static void on_life_timer(struct timer *t, ns_t now)
{
	struct session *s = container_of(t, struct session, life);

	session_error(s, "signaling");
	session_close(s, s->state == SESSION_JOINED ? END_NO_OFFER : END_NO_CHANNEL);
}

static void on_neg_timer(struct timer *t, ns_t now)
{
	struct session *s = container_of(t, struct session, neg_timer);

	hub_refresh_candidates(s->hub);
	negotiate_tick(s->neg, now);
	if (s->wants_again) {
		s->wants_again = false;
		session_want_all(s);
	}
	session_arm_negotiation(s);
}

void session_arm_negotiation(struct session *s)
{
	ns_t due;

	if (s->state == SESSION_CLOSED)
		return;
	due = s->wants_again ? loop_now(s->hub->loop) : negotiate_next_due(s->neg);
	if (due == NS_NEVER)
		loop_cancel(s->hub->loop, &s->neg_timer);
	else
		loop_arm(s->hub->loop, &s->neg_timer, due);
	persist_touch(s);
}

// --- making ----------------------------------------------------------------------------------------
// A recorder or a transcriber is told by its user: a join says nothing about it.
static bool gets_every_voice(const struct session *s)
{
	const struct conf_list *users = &s->hub->conf->audio.every_voice_users;

	for (unsigned i = 0; i < users->n; i++)
		if (strcmp(users->item[i], s->member.user_id) == 0)
			return true;
	return false;
}

static void send_add(struct session *s)
{
	struct ipc_session_add m;

	ipc_begin(&m, CMD_SESSION_ADD);
	m.sid = s->member.sid;
	m.call = s->member.call->number;
	m.cookie = s->cookie;
	memcpy(m.ufrag, s->ice.ufrag, sizeof(m.ufrag));
	memcpy(m.pwd, s->ice.pwd, sizeof(m.pwd));
	memcpy(m.name, s->member.session_id, strnlen(s->member.session_id, sizeof(m.name)));
	m.flags = gets_every_voice(s) ? SESSION_EVERY_VOICE : 0;
	s->in_dp = link_send(s->hub->link, &m) == 0;
	s->add_seq = m.hdr.seq;
}

static struct session *make(struct hub *h, struct session *s, handle_t sid, conn_id conn)
{
	s->member.sid = sid;
	s->hub = h;
	s->conn = conn;
	s->mic_on = true;
	s->joined_at = loop_now(h->loop);
	s->life.on_due = on_life_timer;
	s->neg_timer.on_due = on_neg_timer;
	session_path_init(s);
	return s;
}

static void count_new(struct session *s)
{
	metric_add(s->hub->metrics, M_RTC_SESSIONS, METRIC_LABELS(session_client(s)), 1);
}

struct session *session_new(struct hub *h, conn_id conn, struct str client, const struct join_msg *j,
			    enum join_result *result)
{
	handle_t sid;
	struct session *s = pool_get(h->sessions, &sid);

	if (s == NULL) {
		*result = errno == ENOSPC ? JOIN_FULL_NODE : JOIN_NO_MEMORY;
		return NULL;
	}
	make(h, s, sid, conn);
	session_new_ice(&s->ice);
	s->cookie = rand_u64();
	s->neg = negotiate_new(&h->neg, &s->ice, &session_negotiate_ops, s);
	*result = s->neg ? registry_join(&h->reg, &s->member, client, j, s->joined_at) : JOIN_NO_MEMORY;
	if (*result != JOIN_OK) {
		negotiate_free(s->neg);
		pool_put(h->sessions, sid);
		return NULL;
	}
	count_new(s);
	send_add(s);
	loop_arm_in(h->loop, &s->life, h->conf->rtc.first_offer_s * NS_PER_S);
	session_want_all(s);
	return s;
}

struct session *session_restore(struct hub *h, const struct ipc_snap_session *snap,
				const struct persist_record *r, const void *saved, size_t len)
{
	struct session *s = pool_get_at(h->sessions, snap->sid);
	struct negotiate_transport t;

	if (s == NULL)
		return NULL;
	make(h, s, snap->sid, 0);
	memcpy(s->ice.ufrag, snap->ufrag, IPC_UFRAG_LEN);
	memcpy(s->ice.pwd, snap->pwd, IPC_PWD_LEN);
	s->cookie = snap->cookie;
	s->neg = negotiate_load(&h->neg, &session_negotiate_ops, s, saved, len);
	if (s->neg == NULL || registry_restore(&h->reg, &s->member, r->client, &r->join) != JOIN_OK) {
		negotiate_free(s->neg);
		pool_put(h->sessions, snap->sid);
		return NULL;
	}
	count_new(s);
	s->in_dp = s->has_keys = s->has_path = s->is_stored = true;
	s->state = SESSION_READY; // without its data channel: descriptions go by WebSocket
	if (r->join.flags.dc_signaling) // but the client still answers there
		negotiate_assume_answers(s->neg);
	s->is_suspect = snap->liveness != LIVE_OK;
	s->mic_on = r->mic_on;
	str_copy(r->video_id, s->video_id, sizeof(s->video_id));
	if (r->screen_id.len > 0 && str_copy(r->screen_id, s->screen_id, sizeof(s->screen_id)))
		s->member.call->presenter = snap->sid;
	if (negotiate_transport(s->neg, &t)) {
		s->peer.len = t.fingerprint->len;
		memcpy(s->peer.value, t.fingerprint->hash, sizeof(s->peer.value));
	}
	return s;
}

// --- ending ----------------------------------------------------------------------------------------
static void send_del(struct session *s)
{
	struct ipc_session_ref m;

	ipc_begin(&m, CMD_SESSION_DEL);
	m.sid = s->member.sid;
	link_send(s->hub->link, &m);
}

// What the negotiation counted goes where its other losses are counted.
static void count_negotiation(struct session *s)
{
	struct negotiate_stats n;

	negotiate_stats(s->neg, &n);
	const struct {
		const char *reason;
		uint32_t count;
	} rows[] = {
		{"answer_timeout", n.answer_timeouts},
		{"lock_lease_expired", n.leases_expired},
		{"foreign_unlock", n.foreign_unlocks},
		{"track_refused", n.tracks_refused},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].count > 0)
			metric_add(s->hub->metrics, M_SIGNALING_DROPS, METRIC_LABELS(str_of(rows[i].reason)),
				   rows[i].count);
}

static void count_end(struct session *s, enum session_end end)
{
	struct metrics *m = s->hub->metrics;

	count_negotiation(s);

	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->tracks[i].used && s->tracks[i].live)
			session_count_track(s, "in", s->tracks[i].codec, -1);
	metric_add(m, M_RTC_SESSIONS, METRIC_LABELS(session_client(s)), -1);
	metric_add(m, M_RTC_CONN_STATES, METRIC_LABELS(STR("closed")), 1);
	metric_add(m, M_SESSIONS_CLOSED, METRIC_LABELS(str_of(session_end_text(end))), 1);
}

static void count_leg(void *arg, const struct negotiate_leg *l)
{
	session_count_track(arg, "out", l->codec, -1);
}

void session_close(struct session *s, enum session_end end)
{
	struct hub *h = s->hub;

	if (s->state == SESSION_CLOSED)
		return;
	s->state = SESSION_CLOSED;
	log_info(SESSION_FMT ": closed (%s)", SESSION_ARG(s), session_end_text(end));
	loop_cancel(h->loop, &s->life);
	loop_cancel(h->loop, &s->neg_timer);
	loop_cancel(h->loop, &s->repair_timer);
	session_link_close(s);
	session_unwanted(s);
	negotiate_each_leg(s->neg, count_leg, s);
	count_end(s, end);
	persist_forget(s);
	send_del(s);
	plugins_send_close(h->plugins, session_client(s), s->conn, str_of(s->member.session_id));
	registry_leave(&h->reg, &s->member);
	STAILQ_INSERT_TAIL(&h->dead, s, next_dead); // we may be deep in a callback of its DTLS or SCTP
	loop_defer(h->loop, &h->reap);
	hub_check_drained(h);
}

void session_free(struct session *s)
{
	dchan_free(s->dchan);
	dtls_free(s->dtls);
	negotiate_free(s->neg);
	free(s->held_offer);
	pool_put(s->hub->sessions, s->member.sid);
}

// --- descriptions in -------------------------------------------------------------------------------
static void on_offer(struct session *s, struct str text, bool by_dc)
{
	ns_t now = loop_now(s->hub->loop);
	const char *why = "";
	int rc;

	if (!bucket_take(&s->offers, now, SESSION_OFFERS_BURST, SESSION_OFFERS_PER_S)) {
		session_drop(s, "offer_rate");
		return;
	}
	hub_refresh_candidates(s->hub);
	s->answers_by_dc = by_dc;
	rc = negotiate_remote_offer(s->neg, text, now, &why);
	if (rc == -EBUSY) {
		session_drop(s, "offer_collision");
	} else if (rc < 0) {
		log_info(SESSION_FMT ": offer refused (%s)", SESSION_ARG(s),
			 why && *why ? why : strerror(-rc));
		session_error(s, "signaling");
		if (s->state == SESSION_JOINED)
			session_close(s, END_BAD_OFFER);
	} else if (s->state == SESSION_JOINED) {
		s->state = SESSION_NEGOTIATED;
		s->negotiated_at = now;
		loop_arm_in(s->hub->loop, &s->life, s->hub->conf->rtc.dc_open_s * NS_PER_S);
		if (s->has_path)
			session_link_start(s);
	}
}

static void on_answer(struct session *s, struct str text)
{
	const char *why = "";
	int rc = negotiate_remote_answer(s->neg, text, loop_now(s->hub->loop), &why);

	if (rc == 0)
		return;
	log_info(SESSION_FMT ": answer refused (%s)", SESSION_ARG(s), why && *why ? why : strerror(-rc));
	session_drop(s, rc == -EALREADY || rc == -ESTALE ? "answer_stale" : "answer_bad");
}

void session_on_sdp(struct session *s, struct str json, bool by_dc)
{
	struct sigmsg_sdp m;
	int rc = sigmsg_parse_sdp(json, &m);

	if (rc < 0) {
		log_info(SESSION_FMT ": SDP message refused (%s)", SESSION_ARG(s), strerror(-rc));
		session_error(s, "signaling");
		if (s->state == SESSION_JOINED)
			session_close(s, END_BAD_OFFER);
		return;
	}
	if (m.type == SIGMSG_OFFER)
		on_offer(s, m.sdp, by_dc);
	else
		on_answer(s, m.sdp);
	sigmsg_free(&m);
	session_arm_negotiation(s);
}

// --- the plugin --------------------------------------------------------------------------------------
void session_on_rtc(struct session *s, enum rtc_type type, struct str data)
{
	// Descriptions too: one that is refused costs as much reading as a good one (D17).
	if (!bucket_take(&s->plugin_messages, loop_now(s->hub->loop), SESSION_PLUGIN_BURST,
			 SESSION_PLUGIN_PER_S)) {
		session_drop(s, "plugin_rate");
		return;
	}
	switch (type) {
	case RTC_SDP:
		session_on_sdp(s, data, false);
		break;
	case RTC_ICE: // we are ICE-lite: checks tell us where the client is
		if (sigmsg_check_candidate(data) < 0)
			session_error(s, "ice");
		break;
	case RTC_MUTE:
		session_set_mic(s, false);
		break;
	case RTC_UNMUTE:
		session_set_mic(s, true);
		break;
	case RTC_SCREEN_ON:
		session_screen_on(s, data);
		break;
	case RTC_SCREEN_OFF:
		session_screen_off(s);
		break;
	case RTC_VIDEO_ON:
		session_video_on(s, data);
		break;
	case RTC_VIDEO_OFF:
		session_video_off(s);
		break;
	default:
		session_drop(s, "rtc_type");
		break;
	}
}

// --- the dataplane -----------------------------------------------------------------------------------
void session_sync(struct session *s, bool is_known)
{
	struct negotiate_transport t;

	if (!is_known)
		send_add(s);
	if (negotiate_transport(s->neg, &t)) {
		struct negotiate_ice ice = s->ice;
		t.ice_restart = false;
		session_negotiate_ops.transport(s, &t, &ice);
	}
	session_sync_media(s);
}
