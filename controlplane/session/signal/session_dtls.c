// DTLS of a session: the handshake, the keys it gives to the dataplane, and what ends it.
#include "controlplane/session/session_priv.h"

#include "controlplane/session/command.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

static void arm_dtls(struct session *s)
{
	ns_t due = s->dtls ? dtls_due(s->dtls, loop_now(s->env->loop)) : NS_NEVER;

	if (due == NS_NEVER)
		loop_cancel(s->env->loop, &s->dtls_timer);
	else
		loop_arm(s->env->loop, &s->dtls_timer, due);
}

static void on_dtls_timer(struct timer *t, ns_t now)
{
	struct session *s = container_of(t, struct session, dtls_timer);

	dtls_tick(s->dtls, now);
	if (s->life != LIFE_CLOSED)
		arm_dtls(s);
}

static void on_dtls_send(void *arg, const uint8_t *datagram, size_t len)
{
	struct session *s = arg;

	if (link_punt(s->env->link, s->worker, s->member.sid, datagram, len) < 0)
		session_drop(s, "punt_send");
}

static int send_keys(struct session *s)
{
	struct keys k;
	int rc = dtls_export(s->dtls, &k);

	if (rc < 0)
		return rc;
	rc = command_session_keys(s->env->link, s->member.sid, &k, negotiate_new_ssrc(s->neg));
	keys_wipe(&k);
	return rc;
}

static bool wants_data(const struct session *s)
{
	struct negotiate_transport t;

	return negotiate_transport(s->neg, &t) && t.has_data;
}

static void on_dtls_up(void *arg)
{
	struct session *s = arg;

	if (s->life == LIFE_CLOSED)
		return;
	if (send_keys(s) < 0) {
		session_close(s, END_DATAPLANE);
		return;
	}
	log_debug(SESSION_FMT ": DTLS is up", SESSION_ARG(s));
	session_turn(s, ON_SECURED);
	persist_mark(s);
	metric_add(s->env->metrics, M_RTC_CONN_STATES, METRIC_LABELS(STR("connected")), 1);
	session_observe(s, M_RTC_CONNECTION_TIME, (double)(loop_now(s->env->loop) - s->joined_at) / NS_PER_S);
	if (wants_data(s))
		session_dc_open(s);
	else
		session_become_ready(s, ON_NO_CHANNEL);
}

static void on_dtls_data(void *arg, const uint8_t *data, size_t len)
{
	struct session *s = arg;

	if (s->life != LIFE_CLOSED && s->dchan != NULL)
		dchan_input(s->dchan, data, len);
}

static void on_dtls_down(void *arg, enum dtls_end why)
{
	struct session *s = arg;

	if (s->life == LIFE_CLOSED)
		return;
	log_info(SESSION_FMT ": DTLS ended (%s)", SESSION_ARG(s), dtls_end_text(why));
	if (why != DTLS_END_CLOSED)
		metric_add(s->env->metrics, M_RTC_CONN_STATES, METRIC_LABELS(STR("failed")), 1);
	session_close(s, why == DTLS_END_CLOSED ? END_PEER_CLOSED : END_DTLS);
}

static const struct dtls_ops dtls_ops = {on_dtls_send, on_dtls_up, on_dtls_data, on_dtls_down};

// In the role and with the certificate that the client's offer says. False: it has none to have, or none any more.
static bool open_dtls(struct session *s)
{
	struct negotiate_transport t;
	struct dtls_fingerprint peer;

	if (s->dtls != NULL)
		return true;
	if (s->life != LIFE_ANSWERED || !negotiate_transport(s->neg, &t))
		return false; // taken back after a restart, or nothing agreed yet
	peer.len = t.fingerprint->len;
	memcpy(peer.value, t.fingerprint->hash, sizeof(peer.value));
	s->dtls =
		dtls_new(s->env->dtls, t.we_are_dtls_client ? DTLS_CLIENT : DTLS_SERVER, &peer, &dtls_ops, s);
	if (s->dtls == NULL) {
		log_error(SESSION_FMT ": no DTLS (%s)", SESSION_ARG(s), strerror(errno));
		return false;
	}
	s->dtls_timer.on_due = on_dtls_timer;
	dtls_start(s->dtls, loop_now(s->env->loop));
	return true;
}

void session_dtls_start(struct session *s)
{
	struct negotiate_transport t;

	if (negotiate_transport(s->neg, &t) && t.we_are_dtls_client && open_dtls(s))
		arm_dtls(s);
}

void session_on_datagram(struct session *s, unsigned worker, const uint8_t *data, size_t len)
{
	if (s->life == LIFE_CLOSED)
		return;
	s->heard_at = loop_now(s->env->loop);
	s->worker = (uint8_t)worker;
	if (!open_dtls(s)) {
		session_drop(s, "dtls_unexpected");
		return;
	}
	dtls_input(s->dtls, data, len, loop_now(s->env->loop));
	if (s->life != LIFE_CLOSED)
		arm_dtls(s);
}

void session_dtls_close(struct session *s)
{
	loop_cancel(s->env->loop, &s->dtls_timer);
	if (s->dtls != NULL)
		dtls_close(s->dtls);
}
