// Descriptions that a client sends, to its negotiation.
#include "controlplane/session/session_priv.h"

#include "controlplane/session/signal/sigmsg.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

static const struct tokens_rate offer_rate = {SESSION_OFFERS_BURST, SESSION_OFFERS_PER_S};

// The first offer is answered: the path may stand already.
static void on_answered(struct session *s, ns_t now)
{
	session_turn(s, ON_ANSWERED);
	s->answered_at = now;
	loop_arm_in(s->env->loop, &s->limit_timer, s->env->conf->rtc.dc_open_s * NS_PER_S);
	if (s->path != PATH_NONE)
		session_dtls_start(s);
}

static void refuse_sdp(struct session *s)
{
	session_error(s, "signaling");
	if (s->life == LIFE_JOINED)
		session_close(s, END_BAD_OFFER);
}

static void on_offer(struct session *s, struct str text, bool by_dc)
{
	ns_t now = loop_now(s->env->loop);
	const char *why = "";
	int rc;

	if (!tokens_take(&s->offers, offer_rate, now)) {
		session_drop(s, "offer_rate");
		return;
	}
	session_env_refresh(s->env);
	s->answers_by_dc = by_dc;
	rc = negotiate_remote_offer(s->neg, text, now, &why);
	if (rc == -EBUSY) {
		session_drop(s, "offer_collision");
	} else if (rc < 0) {
		log_info(SESSION_FMT ": offer refused (%s)", SESSION_ARG(s),
			 why && *why ? why : strerror(-rc));
		refuse_sdp(s);
	} else if (s->life == LIFE_JOINED) {
		on_answered(s, now);
	}
}

static void on_answer(struct session *s, struct str text)
{
	const char *why = "";
	int rc = negotiate_remote_answer(s->neg, text, loop_now(s->env->loop), &why);

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
		refuse_sdp(s);
		return;
	}
	if (m.type == SIGMSG_OFFER)
		on_offer(s, m.sdp, by_dc);
	else
		on_answer(s, m.sdp);
	sigmsg_free(&m);
	session_arm_negotiation(s);
}
