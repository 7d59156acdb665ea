// What all parts of a session stand on: its state, its end, what it counts and tells, and when its negotiation is due.
#include "controlplane/session/session_priv.h"

#include <assert.h>

#include "lib/base/err.h"
#include "lib/base/log.h"

const char *session_end_text(enum session_end end)
{
	static const char *const text[] = {
		[END_LEAVE] = "leave",
		[END_NO_OFFER] = "no_offer",
		[END_BAD_OFFER] = "bad_offer",
		[END_NO_CHANNEL] = "no_data_channel",
		[END_NO_PATH] = "no_path",
		[END_PATH_LOST] = "path_lost",
		[END_DTLS] = "dtls_failed",
		[END_PEER_CLOSED] = "peer_closed",
		[END_DATAPLANE] = "dataplane",
		[END_CLIENT_GONE] = "client_unregistered",
		[END_OVER_BUDGET] = "over_budget",
		[END_SHUTDOWN] = "shutdown",
		[END_ORPHAN] = "orphan",
	};
	return end < ARRAY_LEN(text) ? text[end] : "unknown";
}

struct session *session_find(const struct session_env *env, uint32_t sid)
{
	struct session *s = pool_find(env->sessions, sid);

	return s && s->life != LIFE_CLOSED ? s : NULL;
}

// --- state --------------------------------------------------------------------------------------
void session_turn(struct session *s, enum life_event event)
{
	enum life next = life_next(s->life, event);

	if (next == LIFE_ILLEGAL)
		log_error(SESSION_FMT ": event %d in state %s", SESSION_ARG(s), event, life_name(s->life));
	assert(next != LIFE_ILLEGAL);
	s->life = next;
}

void session_close(struct session *s, enum session_end end)
{
	if (s->life == LIFE_CLOSED)
		return;
	session_turn(s, ON_CLOSED);
	log_info(SESSION_FMT ": closed (%s)", SESSION_ARG(s), session_end_text(end));
	s->ops->closed(s, end);
}

void session_close_all(const struct session_env *env, enum session_end end)
{
	struct session *s;
	uint32_t cursor = 0;

	while ((s = pool_next(env->sessions, &cursor, NULL)) != NULL)
		session_close(s, end);
}

void session_become_ready(struct session *s, enum life_event event)
{
	ns_t now = loop_now(s->env->loop);
	bool was_ready = life_is_ready(s->life);

	session_turn(s, event);
	assert(life_is_ready(s->life));
	if (was_ready)
		return;
	loop_cancel(s->env->loop, &s->limit_timer);
	session_observe(s, M_RTC_DC_OPEN_TIME, (double)(now - s->answered_at) / NS_PER_S);
	negotiate_ready(s->neg, true, now);
	session_arm_negotiation(s);
}

// --- what it makes us compute -------------------------------------------------------------------
bool session_may_work(struct session *s)
{
	ns_t now = loop_now(s->env->loop);

	if (budget_may(&s->work, session_work, now) && tenant_may_work(s->member.call->group, now))
		return true;
	session_drop(s, "over_budget");
	if (budget_over(&s->work, now) < SESSION_OVER_S * NS_PER_S)
		return false;
	log_warn(SESSION_FMT " of %.*s: causes more work than it may, for %d s", SESSION_ARG(s),
		 STR_ARG(session_client(s)), SESSION_OVER_S);
	session_close(s, END_OVER_BUDGET);
	return false;
}

void session_worked(struct session *s, const char *kind, ns_t began)
{
	ns_t now = loop_now(s->env->loop), cost = clock_work() - began;

	budget_charge(&s->work, session_work, cost, now);
	if (s->life == LIFE_CLOSED)
		return; // out of its tenant already
	tenant_worked(s->member.call->group, cost, now);
	loop_note(s->env->loop, kind, cost, session_client(s), str_of(s->member.session_id));
}

// --- what it counts and tells -------------------------------------------------------------------
void session_error(struct session *s, const char *type)
{
	metric_add(s->env->metrics, M_RTC_ERRORS, METRIC_LABELS(session_client(s), str_of(type)), 1);
}

void session_drop(struct session *s, const char *reason)
{
	metric_add(s->env->metrics, M_SIGNALING_DROPS, METRIC_LABELS(str_of(reason)), 1);
}

void session_observe(struct session *s, enum metric which, double value)
{
	metric_observe(s->env->metrics, which, METRIC_LABELS(session_client(s)), value);
}

void session_count_track(struct session *s, const char *direction, uint8_t codec, double delta)
{
	struct str type = codec == CODEC_OPUS  ? STR("audio/opus")
			  : codec == CODEC_VP8 ? STR("video/VP8")
					       : STR("video/AV1");

	metric_add(s->env->metrics, M_RTC_RTP_TRACKS,
		   METRIC_LABELS(str_of(direction), session_client(s), type), delta);
}

void session_tell_plugin(struct session *s, enum deliver policy, enum rtc_type type, struct str data)
{
	plugins_send_rtc(s->env->plugins, s->conn, policy,
			 &(struct rtc_msg){.client = session_client(s),
					   .user_id = str_of(s->member.user_id),
					   .session_id = str_of(s->member.session_id),
					   .call_id = str_of(s->member.call->id),
					   .type = type,
					   .data = data});
}

// --- its negotiation ----------------------------------------------------------------------------
void session_arm_negotiation(struct session *s)
{
	ns_t due;

	if (s->life == LIFE_CLOSED)
		return;
	due = s->wants_again ? loop_now(s->env->loop) : negotiate_next_due(s->neg);
	if (due == NS_NEVER)
		loop_cancel(s->env->loop, &s->neg_timer);
	else
		loop_arm(s->env->loop, &s->neg_timer, due);
	persist_touch(s);
}
