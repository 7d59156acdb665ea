// Legs the session receives, and the ops of its negotiation: the negotiation decides when a leg may be fed, the
// dataplane does it.
#include "controlplane/session/session_priv.h"

#include "controlplane/session/command.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

// --- what the session receives ------------------------------------------------------------------
static void on_leg_up(void *arg, const struct negotiate_leg *l)
{
	struct session *s = arg;

	log_debug(SESSION_FMT ": leg %u up, mid %.*s, SSRC %08x", SESSION_ARG(s), l->leg, STR_ARG(l->mid),
		  l->ssrc);
	command_leg_add(s->env->link, s->member.sid, l);
	session_count_track(s, "out", l->codec, 1);
}

static void on_leg_down(void *arg, const struct negotiate_leg *l)
{
	struct session *s = arg;

	log_debug(SESSION_FMT ": leg %u down", SESSION_ARG(s), l->leg);
	command_leg_del(s->env->link, s->member.sid, l->leg);
	session_count_track(s, "out", l->codec, -1);
}

static void on_extmap(void *arg, const uint8_t id[IPC_N_EXTS])
{
	struct session *s = arg;

	command_session_extmap(s->env->link, s->member.sid, id);
}

static void sync_ice(struct session *s, const struct negotiate_transport *t)
{
	command_session_ice(s->env->link, s->member.sid, &s->ice, t->ufrag, t->pwd);
}

static int on_transport(void *arg, const struct negotiate_transport *t, struct negotiate_ice *local)
{
	struct session *s = arg;

	if (t->ice_restart) {
		session_new_ice(&s->ice);
		*local = s->ice;
	}
	sync_ice(s, t);
	return 0;
}

static void on_send_sdp(void *arg, const struct negotiate_sdp *sdp)
{
	session_send_sdp(arg, sdp);
}

// Comes from inside the negotiation, which must not be called back: the timer does it.
static void on_room(void *arg)
{
	struct session *s = arg;

	s->wants_again = true;
	loop_arm_in(s->env->loop, &s->neg_timer, 0);
}

static void on_too_long(void *arg)
{
	struct session *s = arg;

	log_error(SESSION_FMT ": a description for it would be too long", SESSION_ARG(s));
	session_close(s, END_BAD_OFFER);
}

const struct negotiate_ops session_negotiate_ops = {
	.send_sdp = on_send_sdp,
	.transport = on_transport,
	.upstream = session_on_upstream,
	.extmap = on_extmap,
	.leg_up = on_leg_up,
	.leg_down = on_leg_down,
	.room = on_room,
	.too_long = on_too_long,
};

// --- refusals -----------------------------------------------------------------------------------
void session_on_refused(struct session *s, const struct ipc_ack *a)
{
	ns_t now = loop_now(s->env->loop);

	if (now >= s->refusal_logged + NS_PER_S)
		log_warn(SESSION_FMT " of %.*s: %s refused (%s)", SESSION_ARG(s), STR_ARG(session_client(s)),
			 ipc_type_name(a->cmd), strerror(-a->err));
	s->refusal_logged = now;
	// -ENOENT: the publisher has just gone, and its track is about to be unwanted
	if (a->cmd != CMD_LEG_ADD || a->err == -ENOENT || s->neg == NULL)
		return;
	if (negotiate_leg_failed(s->neg, a->leg, now))
		session_arm_negotiation(s);
	else
		session_close(s, END_DATAPLANE);
}

// --- telling the dataplane again ----------------------------------------------------------------
static void sync_leg(void *arg, const struct negotiate_leg *l)
{
	struct session *s = arg;

	command_leg_add(s->env->link, s->member.sid, l);
}

void session_sync_media(struct session *s)
{
	struct negotiate_transport t;
	uint8_t ids[IPC_N_EXTS];

	if (negotiate_transport(s->neg, &t))
		sync_ice(s, &t);
	negotiate_extmap(s->neg, ids);
	on_extmap(s, ids);
	session_sync_tracks(s);
	negotiate_each_leg(s->neg, sync_leg, s);
}
