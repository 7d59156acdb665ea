// The path of a session, and its repair: a client whose network has changed does not restart ICE by itself, but takes
// an offer with new credentials. It goes by WebSocket, when the path has been silent. The answer may
// come by data channel once the new path stands, as the client needs nothing more of us to build it.
#include "controlplane/session/session_priv.h"

#include "controlplane/session/command.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define ICE_ALPHABET "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

void session_new_ice(struct negotiate_ice *ice)
{
	rand_text(ice->ufrag, IPC_UFRAG_LEN, ICE_ALPHABET);
	rand_text(ice->pwd, IPC_PWD_LEN, ICE_ALPHABET);
}

// --- repair -------------------------------------------------------------------------------------
// The old credentials stay good for a while, and so does the client's old half: any new one is accepted.
static void send_new_ice(struct session *s, const struct negotiate_ice *ice)
{
	struct negotiate_transport t;

	command_session_ice(s->env->link, s->member.sid, ice, STR_NONE,
			    negotiate_transport(s->neg, &t) ? t.pwd : STR_NONE);
}

// While an offer of this kind is unanswered it is made again as it was: the client may have applied it, and an answer
// then fits both.
static void restart_ice(struct session *s)
{
	struct negotiate_ice ice = s->ice;

	if (!negotiate_established(s->neg))
		return;
	if (!negotiate_restarts(s->neg)) {
		session_new_ice(&ice);
		send_new_ice(s, &ice);
	}
	session_env_refresh(s->env);
	if (negotiate_restart_ice(s->neg, &ice, loop_now(s->env->loop)) == 0) {
		s->ice = ice;
		log_info(SESSION_FMT ": ICE restart", SESSION_ARG(s));
	}
	session_arm_negotiation(s);
}

// Clients say something on the data channel every second.
static bool is_silent(const struct session *s)
{
	return s->path == PATH_SUSPECT ||
	       loop_now(s->env->loop) - s->heard_at >= SESSION_SILENT_MS * NS_PER_MS;
}

// Not sooner than pause after the last time.
static void repair(struct session *s, ns_t pause)
{
	ns_t now = loop_now(s->env->loop);

	if (!life_is_ready(s->life) || s->n_repairs == SESSION_REPAIRS)
		return;
	if (s->repaired_at != 0 && now - s->repaired_at < pause) {
		loop_arm(s->env->loop, &s->repair_timer, s->repaired_at + pause);
		return;
	}
	s->repaired_at = now;
	s->n_repairs++;
	restart_ice(s);
	if (s->life != LIFE_CLOSED)
		loop_arm_in(s->env->loop, &s->repair_timer, SESSION_REPAIR_S * NS_PER_S);
}

static void on_repair_timer(struct timer *t, ns_t now)
{
	struct session *s = container_of(t, struct session, repair_timer);

	if (is_silent(s))
		repair(s, 0);
	else
		s->n_repairs = 0;
}

// It was seen, or is heard again.
static void path_is_good(struct session *s)
{
	if (s->path == PATH_SUSPECT)
		s->path = PATH_GOOD;
	s->was_asked = false;
	s->n_repairs = 0;
	loop_cancel(s->env->loop, &s->repair_timer);
}

void session_path_init(struct session *s)
{
	s->repair_timer.on_due = on_repair_timer;
	s->heard_at = loop_now(s->env->loop);
}

// The user's WebSocket came back, maybe from another network, and what was offered on the old one, even a moment ago, may be
// lost or have been tried in vain: so the first time does not wait, those after it do. A path that has just been heard of is
// looked at once more when its silence would be long enough.
void session_on_reconnect(struct session *s, conn_id conn)
{
	s->conn = conn;
	s->n_repairs = 0;
	if (s->path == PATH_NONE)
		return;
	if (is_silent(s)) {
		repair(s, s->was_asked ? SESSION_SILENT_MS * NS_PER_MS : 0);
		s->was_asked = true;
	} else {
		loop_arm(s->env->loop, &s->repair_timer, s->heard_at + SESSION_SILENT_MS * NS_PER_MS);
	}
}

// --- the dataplane's view -----------------------------------------------------------------------
void session_on_path(struct session *s, const struct ipc_path *e)
{
	log_debug(SESSION_FMT ": path %s", SESSION_ARG(s), e->nominated ? "nominated" : "seen");
	s->path = PATH_GOOD;
	path_is_good(s);
	if (s->life == LIFE_ANSWERED)
		session_dtls_start(s);
}

static void path_is_suspect(struct session *s)
{
	if (s->path == PATH_GOOD)
		s->path = PATH_SUSPECT;
	metric_add(s->env->metrics, M_RTC_CONN_STATES, METRIC_LABELS(STR("disconnected")), 1);
	repair(s, SESSION_REPAIR_S * NS_PER_S);
}

void session_on_liveness(struct session *s, enum ipc_liveness_state state)
{
	switch (state) {
	case LIVE_OK:
		path_is_good(s);
		break;
	case LIVE_SUSPECT:
		path_is_suspect(s);
		break;
	case LIVE_LOST:
	case LIVE_NO_PATH:
		metric_add(s->env->metrics, M_RTC_CONN_STATES, METRIC_LABELS(STR("failed")), 1);
		session_close(s, state == LIVE_LOST ? END_PATH_LOST : END_NO_PATH);
		break;
	}
}

void session_resume_path(struct session *s, bool is_there)
{
	if (!is_there)
		s->path = PATH_NONE;
	else if (s->path == PATH_NONE)
		s->path = PATH_GOOD;
}
