// The data channel of a session: the client's words on it, and the signaling lock.
#include "controlplane/session/session_priv.h"

#include <assert.h>
#include <stdlib.h>

#include "controlplane/session/signal/dcmsg.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#define LOCK_PATIENCE (6 * NS_PER_S) // clients give up after five

static const struct tokens_rate dc_rate = {SESSION_DC_BURST, SESSION_DC_PER_S};

int session_dc_send(struct session *s, enum dchan_kind kind, const void *data, size_t len)
{
	int rc = s->life == LIFE_CHANNEL ? dchan_send(s->dchan, s->dc_stream, kind, data, len) : -ENOTCONN;

	if (rc < 0) {
		log_info(SESSION_FMT ": data-channel message not sent (%s)", SESSION_ARG(s), strerror(-rc));
		session_drop(s, "dc_send");
	}
	return rc;
}

// --- the signaling lock -------------------------------------------------------------------------
static void send_lock(struct session *s, bool granted)
{
	uint8_t msg[8];
	struct wbuf w = wbuf_of(msg, sizeof(msg));

	dcmsg_write_lock(&w, granted);
	session_dc_send(s, DCHAN_BINARY, msg, wbuf_len(&w));
}

static void lock_granted(struct session *s, ns_t now)
{
	ns_t waited =
		s->lock_asked_at != 0 && now - s->lock_asked_at <= LOCK_PATIENCE ? now - s->lock_asked_at : 0;

	s->lock_at = now;
	s->lock_asked_at = 0;
	metric_observe(s->env->metrics, M_RTC_LOCK_GRAB, METRIC_LABELS(session_client(s)),
		       (double)waited / NS_PER_S);
}

static void on_lock(struct session *s)
{
	ns_t now = loop_now(s->env->loop);
	bool granted = negotiate_lock(s->neg, now);

	if (granted)
		lock_granted(s, now);
	else if (s->lock_asked_at == 0 || now - s->lock_asked_at > LOCK_PATIENCE)
		s->lock_asked_at = now;
	send_lock(s, granted);
}

static void on_unlock(struct session *s)
{
	ns_t now = loop_now(s->env->loop);

	if (s->lock_at != 0)
		metric_observe(s->env->metrics, M_RTC_LOCK_HELD, METRIC_LABELS(session_client(s)),
			       (double)(now - s->lock_at) / NS_PER_S);
	s->lock_at = 0;
	negotiate_unlock(s->neg, now);
}

// --- messages -----------------------------------------------------------------------------------
static void on_dc_sdp(struct session *s, struct str zipped)
{
	size_t size = dcmsg_max_json(zipped.len);
	char *json = malloc(size);
	int len = json ? dcmsg_inflate(zipped, json, size) : -ENOMEM;

	if (len < 0) {
		log_info(SESSION_FMT ": SDP on the data channel refused (%s)", SESSION_ARG(s),
			 strerror(-len));
		session_drop(s, len == -E2BIG ? "dc_sdp_too_big" : "dc_sdp_bad");
	} else {
		s->ops->described(s, (struct str){json, (size_t)len}, true);
	}
	free(json);
}

static void send_pong(struct session *s)
{
	uint8_t msg[4];
	struct wbuf w = wbuf_of(msg, sizeof(msg));

	dcmsg_write_pong(&w);
	session_dc_send(s, DCHAN_BINARY, msg, wbuf_len(&w));
}

static void on_dcmsg(struct session *s, const struct dcmsg *m)
{
	switch (m->type) {
	case DCMSG_PING:
		send_pong(s);
		break;
	case DCMSG_TEXT_PING:
		session_dc_send(s, DCHAN_TEXT, "pong", 4);
		break;
	case DCMSG_SDP:
		on_dc_sdp(s, m->zipped);
		break;
	case DCMSG_LOSS:
		session_observe(s, M_RTC_CLIENT_LOSS_RATE, m->number);
		break;
	case DCMSG_RTT:
		session_observe(s, M_RTC_CLIENT_RTT, m->number);
		break;
	case DCMSG_JITTER:
		session_observe(s, M_RTC_CLIENT_JITTER, m->number);
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

static void on_dc_message(void *arg, uint16_t stream, enum dchan_kind kind, const uint8_t *data, size_t len)
{
	struct session *s = arg;
	struct dcmsg m;
	int rc;

	if (s->life != LIFE_CHANNEL || stream != s->dc_stream)
		return;
	if (!tokens_take(&s->dc_messages, dc_rate, loop_now(s->env->loop))) {
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

// --- the channel and its association ------------------------------------------------------------
// The first channel serves; a later one takes over only when it bears the name (D22).
static void on_dc_open(void *arg, uint16_t stream, struct str label, struct str protocol)
{
	struct session *s = arg;

	if (s->life == LIFE_CLOSED)
		return;
	if (s->life == LIFE_CHANNEL && !str_eq(label, STR("calls-dc"))) {
		session_drop(s, "dc_extra_channel");
		return;
	}
	log_debug(SESSION_FMT ": channel %u open, \"%.*s\"", SESSION_ARG(s), stream, STR_ARG(label));
	s->dc_stream = stream;
	session_become_ready(s, ON_CHANNEL);
}

// Signaling goes on by WebSocket.
static void lose_channel(struct session *s)
{
	if (s->life == LIFE_CHANNEL)
		session_turn(s, ON_CHANNEL_LOST);
}

static void on_dc_closed(void *arg, uint16_t stream)
{
	struct session *s = arg;

	if (stream == s->dc_stream)
		lose_channel(s);
}

static void on_association_down(void *arg)
{
	lose_channel(arg);
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

static const struct dchan_ops dchan_ops = {
	.send = on_sctp_send,
	.on_up = on_association_up,
	.on_open = on_dc_open,
	.on_message = on_dc_message,
	.on_closed = on_dc_closed,
	.on_down = on_association_down,
};

void session_dc_open(struct session *s)
{
	assert(s->life == LIFE_SECURED && s->dchan == NULL);
	s->dchan = dchan_new(&dchan_ops, s);
	if (s->dchan == NULL)
		log_error(SESSION_FMT ": no SCTP association (%s)", SESSION_ARG(s), strerror(errno));
	else
		sctp_clock_start(s->env->sctp_clock);
}
