// DTLS and the data channel of a session, and how descriptions reach the client.
#include "controlplane/session/session.h"

#include <stdlib.h>

#include "controlplane/session/signal/dcmsg.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#define MAX_MAP (64 * 1024) // bytes of a media map: 192 lines of at most 120
#define HELD_POLL (10 * NS_PER_MS)
#define LOCK_PATIENCE (6 * NS_PER_S) // clients give up after five

// --- the data channel ------------------------------------------------------------------------------
static int send_dc(struct session *s, enum dchan_kind kind, const void *data, size_t len)
{
	int rc = s->has_dc ? dchan_send(s->dchan, s->dc_stream, kind, data, len) : -ENOTCONN;

	if (rc < 0) {
		log_info(SESSION_FMT ": data-channel message not sent (%s)", SESSION_ARG(s), strerror(-rc));
		session_drop(s, "dc_send");
	}
	return rc;
}

static void send_lock(struct session *s, bool granted)
{
	uint8_t msg[8];
	struct wbuf w = wbuf_of(msg, sizeof(msg));

	dcmsg_write_lock(&w, granted);
	send_dc(s, DCHAN_BINARY, msg, wbuf_len(&w));
}

static void lock_granted(struct session *s, ns_t now)
{
	ns_t waited =
		s->lock_asked_at != 0 && now - s->lock_asked_at <= LOCK_PATIENCE ? now - s->lock_asked_at : 0;

	s->lock_at = now;
	s->lock_asked_at = 0;
	metric_observe(s->hub->metrics, M_RTC_LOCK_GRAB, METRIC_LABELS(session_client(s)),
		       (double)waited / NS_PER_S);
}

static void on_lock(struct session *s)
{
	ns_t now = loop_now(s->hub->loop);
	bool granted = negotiate_lock(s->neg, now);

	if (granted)
		lock_granted(s, now);
	else if (s->lock_asked_at == 0 || now - s->lock_asked_at > LOCK_PATIENCE)
		s->lock_asked_at = now;
	send_lock(s, granted);
}

static void on_unlock(struct session *s)
{
	ns_t now = loop_now(s->hub->loop);

	if (s->lock_at != 0)
		metric_observe(s->hub->metrics, M_RTC_LOCK_HELD, METRIC_LABELS(session_client(s)),
			       (double)(now - s->lock_at) / NS_PER_S);
	s->lock_at = 0;
	negotiate_unlock(s->neg, now);
}

static void on_dc_sdp(struct session *s, struct str zipped)
{
	char *json = malloc(DCMSG_MAX_JSON);
	int len = json ? dcmsg_inflate(zipped, json, DCMSG_MAX_JSON) : -ENOMEM;

	if (len < 0) {
		log_info(SESSION_FMT ": SDP on the data channel refused (%s)", SESSION_ARG(s),
			 strerror(-len));
		session_drop(s, len == -E2BIG ? "dc_sdp_too_big" : "dc_sdp_bad");
	} else {
		session_on_sdp(s, (struct str){json, (size_t)len}, true);
	}
	free(json);
}

static void send_pong(struct session *s)
{
	uint8_t msg[4];
	struct wbuf w = wbuf_of(msg, sizeof(msg));

	dcmsg_write_pong(&w);
	send_dc(s, DCHAN_BINARY, msg, wbuf_len(&w));
}

static void observe(struct session *s, enum metric which, double value)
{
	metric_observe(s->hub->metrics, which, METRIC_LABELS(session_client(s)), value);
}

static void on_dcmsg(struct session *s, const struct dcmsg *m)
{
	switch (m->type) {
	case DCMSG_PING:
		send_pong(s);
		break;
	case DCMSG_TEXT_PING:
		send_dc(s, DCHAN_TEXT, "pong", 4);
		break;
	case DCMSG_SDP:
		on_dc_sdp(s, m->zipped);
		break;
	case DCMSG_LOSS:
		observe(s, M_RTC_CLIENT_LOSS_RATE, m->number);
		break;
	case DCMSG_RTT:
		observe(s, M_RTC_CLIENT_RTT, m->number);
		break;
	case DCMSG_JITTER:
		observe(s, M_RTC_CLIENT_JITTER, m->number);
		break;
	case DCMSG_LOCK:
		on_lock(s);
		break;
	case DCMSG_UNLOCK:
		on_unlock(s);
		break;
	case DCMSG_PONG:
	case DCMSG_MEDIA_MAP:
		break;
	}
}

static void on_message(void *arg, uint16_t stream, enum dchan_kind kind, const uint8_t *data, size_t len)
{
	struct session *s = arg;
	struct dcmsg m;
	int rc;

	if (s->state == SESSION_CLOSED || !s->has_dc || stream != s->dc_stream)
		return;
	if (!bucket_take(&s->dc_messages, loop_now(s->hub->loop), SESSION_DC_BURST, SESSION_DC_PER_S)) {
		session_drop(s, "dc_rate");
		return;
	}
	rc = dcmsg_parse(data, len, &m);
	if (rc < 0) {
		session_drop(s, rc == -ENOTSUP ? "dc_unknown" : rc == -ERANGE ? "dc_number" : "dc_malformed");
		return;
	}
	on_dcmsg(s, &m);
	session_arm_negotiation(s);
}

static void become_ready(struct session *s)
{
	ns_t now = loop_now(s->hub->loop);

	if (s->state != SESSION_NEGOTIATED)
		return;
	s->state = SESSION_READY;
	loop_cancel(s->hub->loop, &s->life);
	observe(s, M_RTC_DC_OPEN_TIME, (double)(now - s->negotiated_at) / NS_PER_S);
	negotiate_ready(s->neg, true, now);
	session_arm_negotiation(s);
}

// The first channel serves; a later one takes over only when it bears the name (D22).
static void on_open(void *arg, uint16_t stream, struct str label, struct str protocol)
{
	struct session *s = arg;

	if (s->state == SESSION_CLOSED)
		return;
	if (s->has_dc && !str_eq(label, STR("calls-dc"))) {
		session_drop(s, "dc_extra_channel");
		return;
	}
	log_debug(SESSION_FMT ": channel %u open, \"%.*s\"", SESSION_ARG(s), stream, STR_ARG(label));
	s->dc_stream = stream;
	s->has_dc = true;
	become_ready(s);
}

static void on_channel_closed(void *arg, uint16_t stream)
{
	struct session *s = arg;

	if (s->has_dc && stream == s->dc_stream)
		s->has_dc = false; // signaling goes on by WebSocket
}

static void on_association_down(void *arg)
{
	struct session *s = arg;

	s->has_dc = false;
}

static void on_association_up(void *arg)
{
}

static void on_sctp_send(void *arg, const uint8_t *packet, size_t len)
{
	struct session *s = arg;

	if (s->dtls != NULL && dtls_send(s->dtls, packet, len) < 0)
		session_drop(s, "sctp_send"); // SCTP sends it again
}

static const struct dchan_ops dchan_ops = {on_sctp_send, on_association_up, on_open,
					   on_message,   on_channel_closed, on_association_down};

// --- DTLS ------------------------------------------------------------------------------------------
static void arm_dtls(struct session *s)
{
	ns_t due = s->dtls ? dtls_due(s->dtls, loop_now(s->hub->loop)) : NS_NEVER;

	if (due == NS_NEVER)
		loop_cancel(s->hub->loop, &s->dtls_timer);
	else
		loop_arm(s->hub->loop, &s->dtls_timer, due);
}

static void on_dtls_timer(struct timer *t, ns_t now)
{
	struct session *s = container_of(t, struct session, dtls_timer);

	dtls_tick(s->dtls, now);
	if (s->state != SESSION_CLOSED)
		arm_dtls(s);
}

static void on_dtls_send(void *arg, const uint8_t *datagram, size_t len)
{
	struct session *s = arg;

	if (link_punt(s->hub->link, s->worker, s->member.sid, datagram, len) < 0)
		session_drop(s, "punt_send");
}

static int send_keys(struct session *s)
{
	struct ipc_session_keys m;
	struct keys k;
	int rc = dtls_export(s->dtls, &k);

	if (rc < 0)
		return rc;
	ipc_begin(&m, CMD_SESSION_KEYS);
	m.sid = s->member.sid;
	m.profile = k.profile;
	m.rtcp_ssrc = negotiate_new_ssrc(s->neg);
	memcpy(m.rx_key, k.rx_key, sizeof(m.rx_key));
	memcpy(m.tx_key, k.tx_key, sizeof(m.tx_key));
	memcpy(m.rx_salt, k.rx_salt, sizeof(m.rx_salt));
	memcpy(m.tx_salt, k.tx_salt, sizeof(m.tx_salt));
	rc = link_send(s->hub->link, &m);
	explicit_bzero(&m, sizeof(m));
	keys_wipe(&k);
	return rc;
}

static void on_dtls_up(void *arg)
{
	struct session *s = arg;
	struct hub *h = s->hub;

	if (s->state == SESSION_CLOSED)
		return;
	if (send_keys(s) < 0) {
		session_close(s, END_DATAPLANE);
		return;
	}
	log_debug(SESSION_FMT ": DTLS is up", SESSION_ARG(s));
	s->has_keys = true;
	persist_mark(s);
	metric_add(h->metrics, M_RTC_CONN_STATES, METRIC_LABELS(STR("connected")), 1);
	observe(s, M_RTC_CONNECTION_TIME, (double)(loop_now(h->loop) - s->joined_at) / NS_PER_S);
	if (!s->wants_data) {
		become_ready(s);
		return;
	}
	s->dchan = dchan_new(&dchan_ops, s);
	if (s->dchan == NULL)
		log_error(SESSION_FMT ": no SCTP association (%s)", SESSION_ARG(s), strerror(errno));
	else if (!timer_armed(&h->sctp_clock))
		loop_arm_in(h->loop, &h->sctp_clock, HUB_SCTP_CLOCK_MS * NS_PER_MS);
}

static void on_dtls_data(void *arg, const uint8_t *data, size_t len)
{
	struct session *s = arg;

	if (s->state != SESSION_CLOSED && s->dchan != NULL)
		dchan_input(s->dchan, data, len);
}

static void on_dtls_down(void *arg, enum dtls_end why)
{
	struct session *s = arg;

	if (s->state == SESSION_CLOSED)
		return;
	log_info(SESSION_FMT ": DTLS ended (%s)", SESSION_ARG(s), dtls_end_text(why));
	if (why != DTLS_END_CLOSED)
		metric_add(s->hub->metrics, M_RTC_CONN_STATES, METRIC_LABELS(STR("failed")), 1);
	session_close(s, why == DTLS_END_CLOSED ? END_PEER_CLOSED : END_DTLS);
}

static const struct dtls_ops dtls_ops = {on_dtls_send, on_dtls_up, on_dtls_data, on_dtls_down};

static bool open_dtls(struct session *s)
{
	if (s->dtls != NULL)
		return true;
	if (s->has_keys || s->state == SESSION_JOINED || s->peer.len == 0)
		return false; // taken back after a restart, or nothing agreed yet
	s->dtls =
		dtls_new(s->hub->dtls, s->is_dtls_client ? DTLS_CLIENT : DTLS_SERVER, &s->peer, &dtls_ops, s);
	if (s->dtls == NULL) {
		log_error(SESSION_FMT ": no DTLS (%s)", SESSION_ARG(s), strerror(errno));
		return false;
	}
	s->dtls_timer.on_due = on_dtls_timer;
	dtls_start(s->dtls, loop_now(s->hub->loop));
	return true;
}

void session_link_start(struct session *s)
{
	if (s->is_dtls_client && open_dtls(s))
		arm_dtls(s);
}

void session_on_datagram(struct session *s, unsigned worker, const uint8_t *data, size_t len)
{
	if (s->state == SESSION_CLOSED)
		return;
	s->heard_at = loop_now(s->hub->loop);
	s->worker = (uint8_t)worker;
	if (!open_dtls(s)) {
		session_drop(s, "dtls_unexpected");
		return;
	}
	dtls_input(s->dtls, data, len, loop_now(s->hub->loop));
	if (s->state != SESSION_CLOSED)
		arm_dtls(s);
}

void session_link_close(struct session *s)
{
	loop_cancel(s->hub->loop, &s->dtls_timer);
	loop_cancel(s->hub->loop, &s->held_timer);
	if (s->dtls != NULL)
		dtls_close(s->dtls);
	s->has_dc = false;
}

// --- descriptions out ------------------------------------------------------------------------------
static void send_map(struct session *s, const struct negotiate_sdp *sdp)
{
	struct dcmsg_line *lines = calloc(sdp->n_map + 1, sizeof(*lines));
	uint8_t *msg = malloc(MAX_MAP);
	struct wbuf w = wbuf_of(msg, MAX_MAP);

	if (lines == NULL || msg == NULL)
		goto out;
	for (unsigned i = 0; i < sdp->n_map; i++)
		lines[i] =
			(struct dcmsg_line){sdp->map[i].mid, str_of(sdp->map[i].type), sdp->map[i].sender_id};
	dcmsg_write_map(&w, lines, sdp->n_map);
	if (!w.full)
		send_dc(s, DCHAN_BINARY, msg, wbuf_len(&w));
	link_await(s->hub->link);
out:
	free(lines);
	free(msg);
}

static void send_by_ws(struct session *s, struct str json)
{
	session_tell_plugin(s, DELIVER_ALL, RTC_SDP, json);
}

static int send_by_dc(struct session *s, struct str json)
{
	size_t size = json.len + 1024;
	uint8_t *msg = malloc(size);
	struct wbuf w = wbuf_of(msg, size);
	int rc = msg ? dcmsg_write_sdp(&w, json) : -ENOMEM;

	if (rc == 0)
		rc = send_dc(s, DCHAN_BINARY, msg, wbuf_len(&w));
	link_await(s->hub->link); // a long one waits for room in the peer's window
	free(msg);
	return rc;
}

static void drop_held(struct session *s)
{
	free(s->held_offer);
	s->held_offer = NULL;
	loop_cancel(s->hub->loop, &s->held_timer);
}

static void on_held_timer(struct timer *t, ns_t now)
{
	struct session *s = container_of(t, struct session, held_timer);

	if (s->has_dc && !dchan_is_flushed(s->dchan) &&
	    now - s->held_since < SESSION_MAP_ACK_MS * NS_PER_MS) {
		loop_arm_in(s->hub->loop, t, HELD_POLL);
		return;
	}
	send_by_ws(s, str_of(s->held_offer));
	drop_held(s);
}

// Map and offer travel on different transports: the map first, the offer when the client has it (D27).
static void hold_offer(struct session *s, struct str json)
{
	drop_held(s);
	s->held_offer = strndup(json.p, json.len);
	if (s->held_offer == NULL)
		return; // the answer time-out makes another one
	s->held_since = loop_now(s->hub->loop);
	s->held_timer.on_due = on_held_timer;
	loop_arm_in(s->hub->loop, &s->held_timer, HELD_POLL);
}

static void route(struct session *s, const struct negotiate_sdp *sdp, struct str json)
{
	if (!sdp->is_offer) {
		if (!s->answers_by_dc || send_by_dc(s, json) < 0)
			send_by_ws(s, json);
		return;
	}
	drop_held(s);
	if (s->has_dc && !sdp->ice_restart)
		send_map(s, sdp);
	if (sdp->ice_restart || !s->has_dc)
		send_by_ws(s, json);
	else if (!s->member.flags.dc_signaling)
		hold_offer(s, json);
	else
		send_by_dc(s, json);
}

void session_send_sdp(struct session *s, const struct negotiate_sdp *sdp)
{
	size_t size = sdp->text.len * 2 + 128; // CRLF grows to four bytes; nothing else in SDP of ours grows
	char *json = malloc(size);
	struct wbuf w = wbuf_of(json, size);

	if (json == NULL)
		return;
	log_debug(SESSION_FMT ": %s sent, %u lines in the map", SESSION_ARG(s),
		  sdp->is_offer ? "offer" : "answer", sdp->n_map);
	sigmsg_write_sdp(&w, sdp->is_offer ? SIGMSG_OFFER : SIGMSG_ANSWER, sdp->text);
	if (w.full)
		log_error(SESSION_FMT ": description too long", SESSION_ARG(s));
	else
		route(s, sdp, (struct str){json, wbuf_len(&w)});
	free(json);
}
