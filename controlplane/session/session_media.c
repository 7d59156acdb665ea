// Legs the session receives, and the ops of its negotiation: the negotiation decides when a leg may be fed, the
// dataplane does it.
#include "controlplane/session/session.h"

#include "lib/base/err.h"
#include "lib/base/log.h"

// --- what the session receives ---------------------------------------------------------------------
static void send_leg(struct session *s, const struct negotiate_leg *l)
{
	struct ipc_leg_add m;

	ipc_begin(&m, CMD_LEG_ADD);
	m.sid = s->member.sid;
	m.leg = l->leg;
	m.kind = l->kind;
	m.pt = l->pt;
	m.src_sid = l->key.sid;
	m.src_track = l->key.track;
	m.codec = l->codec;
	m.rtx_pt = l->rtx_pt;
	m.ssrc = l->ssrc;
	m.rtx_ssrc = l->rtx_ssrc;
	m.clock_hz = l->clock_hz;
	m.importance = l->type == TYPE_SCREEN ? 0 : 1;
	m.fb = l->fb;
	memcpy(m.mid, l->mid.p, l->mid.len < sizeof(m.mid) ? l->mid.len : sizeof(m.mid));
	link_send(s->hub->link, &m);
}

static void on_leg_up(void *arg, const struct negotiate_leg *l)
{
	struct session *s = arg;

	log_debug(SESSION_FMT ": leg %u up, mid %.*s, SSRC %08x", SESSION_ARG(s), l->leg, STR_ARG(l->mid),
		  l->ssrc);
	send_leg(s, l);
	session_count_track(s, "out", l->codec, 1);
}

static void on_leg_down(void *arg, const struct negotiate_leg *l)
{
	struct session *s = arg;
	struct ipc_leg_ref m;

	log_debug(SESSION_FMT ": leg %u down", SESSION_ARG(s), l->leg);
	ipc_begin(&m, CMD_LEG_DEL);
	m.sid = s->member.sid;
	m.leg = l->leg;
	link_send(s->hub->link, &m);
	session_count_track(s, "out", l->codec, -1);
}

static void on_extmap(void *arg, const uint8_t id[IPC_N_EXTS])
{
	struct session *s = arg;
	struct ipc_session_extmap m;

	ipc_begin(&m, CMD_SESSION_EXTMAP);
	m.sid = s->member.sid;
	memcpy(m.id, id, sizeof(m.id));
	link_send(s->hub->link, &m);
}

static int on_transport(void *arg, const struct negotiate_transport *t, struct negotiate_ice *local)
{
	struct session *s = arg;
	struct ipc_session_ice m;

	s->peer.len = t->fingerprint->len;
	memcpy(s->peer.value, t->fingerprint->hash, sizeof(s->peer.value));
	s->is_dtls_client = t->we_are_dtls_client;
	s->wants_data = t->has_data;
	if (t->ice_restart) {
		session_new_ice(&s->ice);
		*local = s->ice;
	}
	ipc_begin(&m, CMD_SESSION_ICE);
	m.sid = s->member.sid;
	memcpy(m.ufrag, s->ice.ufrag, sizeof(m.ufrag));
	memcpy(m.pwd, s->ice.pwd, sizeof(m.pwd));
	if (t->ufrag.len <= sizeof(m.remote_ufrag) && t->pwd.len < sizeof(m.remote_pwd)) {
		m.remote_ufrag_len = (uint8_t)t->ufrag.len;
		memcpy(m.remote_ufrag, t->ufrag.p, t->ufrag.len);
		memcpy(m.remote_pwd, t->pwd.p, t->pwd.len);
	}
	link_send(s->hub->link, &m);
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
	loop_arm_in(s->hub->loop, &s->neg_timer, 0);
}

const struct negotiate_ops session_negotiate_ops = {
	.send_sdp = on_send_sdp,
	.transport = on_transport,
	.upstream = session_on_upstream,
	.extmap = on_extmap,
	.leg_up = on_leg_up,
	.leg_down = on_leg_down,
	.room = on_room,
};

// --- telling the dataplane again -------------------------------------------------------------------
static void sync_leg(void *arg, const struct negotiate_leg *l)
{
	send_leg(arg, l);
}

void session_sync_media(struct session *s)
{
	uint8_t ids[IPC_N_EXTS];

	negotiate_extmap(s->neg, ids);
	on_extmap(s, ids);
	session_sync_tracks(s);
	negotiate_each_leg(s->neg, sync_leg, s);
}
