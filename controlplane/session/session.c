// Life of a session from its join to its end, and what the plugin says of it.
#include "controlplane/session/session_priv.h"

#include <assert.h>

#include "controlplane/session/command.h"
#include "controlplane/session/signal/sigmsg.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

static const struct tokens_rate plugin_rate = {SESSION_PLUGIN_BURST, SESSION_PLUGIN_PER_S};

// --- timers -------------------------------------------------------------------------------------
static void on_session_limit(struct timer *t, ns_t now)
{
	struct session *s = container_of(t, struct session, limit_timer);

	session_error(s, "signaling");
	session_close(s, s->life == LIFE_JOINED ? END_NO_OFFER : END_NO_CHANNEL);
}

static void on_neg_timer(struct timer *t, ns_t now)
{
	struct session *s = container_of(t, struct session, neg_timer);

	session_env_refresh(s->env);
	negotiate_tick(s->neg, now);
	if (s->wants_again && s->life != LIFE_CLOSED) {
		s->wants_again = false;
		session_want_all(s);
	}
	session_arm_negotiation(s);
}

// --- ending -------------------------------------------------------------------------------------
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
			metric_add(s->env->metrics, M_SIGNALING_DROPS, METRIC_LABELS(str_of(rows[i].reason)),
				   rows[i].count);
}

static void count_end(struct session *s, enum session_end end)
{
	struct metrics *m = s->env->metrics;

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

// We may be deep in a callback of its DTLS or SCTP, so it is freed later.
static void take_apart(struct session *s, enum session_end end)
{
	struct session_env *env = s->env;

	assert(s->life == LIFE_CLOSED && s->member.call != NULL);
	loop_cancel(env->loop, &s->limit_timer);
	loop_cancel(env->loop, &s->neg_timer);
	loop_cancel(env->loop, &s->repair_timer);
	session_drop_held(s);
	session_dtls_close(s);
	session_unwanted(s);
	negotiate_each_leg(s->neg, count_leg, s);
	count_end(s, end);
	persist_forget(s);
	command_session_del(env->link, s->member.sid);
	plugins_send_close(env->plugins, session_client(s), s->conn, str_of(s->member.session_id));
	registry_leave(env->registry, &s->member);
	env->closed(env->arg, s);
}

void session_free(struct session *s)
{
	assert(s->life == LIFE_CLOSED && s->held_offer == NULL);
	dchan_free(s->dchan);
	dtls_free(s->dtls);
	negotiate_free(s->neg);
	pool_put(s->env->sessions, s->member.sid);
}

// --- making -------------------------------------------------------------------------------------
// A recorder or a transcriber is told by its user: a join says nothing about it.
static bool gets_every_voice(const struct session *s)
{
	const struct conf_list *users = &s->env->conf->audio.every_voice_users;

	for (unsigned i = 0; i < users->n; i++)
		if (strcmp(users->item[i], s->member.user_id) == 0)
			return true;
	return false;
}

void session_add(struct session *s)
{
	struct command_session c = {.sid = s->member.sid,
				    .call = s->member.call->number,
				    .cookie = s->cookie,
				    .ice = &s->ice,
				    .name = s->member.session_id,
				    .tenant = session_client(s),
				    .every_voice = gets_every_voice(s)};

	s->add_seq = command_session_add(s->env->link, &c);
}

void session_init(struct session *s, struct session_env *env, handle_t sid, conn_id conn)
{
	static const struct session_ops ops = {.closed = take_apart, .described = session_on_sdp};

	assert(s->life == LIFE_NEW && sid != 0);
	s->member.sid = sid;
	s->env = env;
	s->ops = &ops;
	s->conn = conn;
	s->mic_on = true;
	s->joined_at = loop_now(env->loop);
	s->limit_timer.on_due = on_session_limit;
	s->neg_timer.on_due = on_neg_timer;
	session_path_init(s);
}

void session_begin(struct session *s, enum life_event event)
{
	session_turn(s, event);
	metric_add(s->env->metrics, M_RTC_SESSIONS, METRIC_LABELS(session_client(s)), 1);
}

struct session *session_new(struct session_env *env, conn_id conn, struct str client,
			    const struct join_msg *j, enum join_result *result)
{
	handle_t sid;
	struct session *s = pool_get(env->sessions, &sid);

	if (s == NULL) {
		*result = errno == ENOSPC ? JOIN_FULL_NODE : JOIN_NO_MEMORY;
		return NULL;
	}
	session_init(s, env, sid, conn);
	session_new_ice(&s->ice);
	s->cookie = rand_u64();
	s->neg = negotiate_new(&env->neg, &s->ice, &session_negotiate_ops, s);
	*result = s->neg ? registry_join(env->registry, &s->member, client, j, s->joined_at) : JOIN_NO_MEMORY;
	if (*result != JOIN_OK) {
		negotiate_free(s->neg);
		pool_put(env->sessions, sid);
		return NULL;
	}
	session_begin(s, ON_JOINED);
	session_add(s);
	loop_arm_in(env->loop, &s->limit_timer, env->conf->rtc.first_offer_s * NS_PER_S);
	session_want_all(s);
	return s;
}

// --- the plugin ---------------------------------------------------------------------------------
void session_on_rtc(struct session *s, enum rtc_type type, struct str data)
{
	// Descriptions too: one that is refused costs as much reading as a good one (D17).
	if (!tokens_take(&s->plugin_messages, plugin_rate, loop_now(s->env->loop))) {
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
