// Tracks the session sends, and who gets them; legs it receives. The negotiation decides when a leg may be
// fed, the dataplane does it.
#include "controlplane/session.h"

#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define SUFFIX_ALPHABET "abcdefghijklmnopqrstuvwxyz0123456789"

static struct session *session_of(struct member *m)
{
	return container_of(m, struct session, member);
}

// --- classification --------------------------------------------------------------------------------
// A screen id belongs to the session that announced it (D40).
static enum negotiate_type classify(const struct session *s, const struct track *t)
{
	bool is_screen = s->screen_id[0] != '\0' && strcmp(s->screen_id, t->stream_id) == 0;

	if (t->kind == KIND_AUDIO)
		return is_screen ? TYPE_SCREEN_AUDIO : TYPE_VOICE;
	return is_screen ? TYPE_SCREEN : TYPE_VIDEO;
}

static bool gate_of(const struct session *s, const struct track *t)
{
	return t->type != TYPE_VOICE || s->mic_on;
}

static void send_gate(struct session *s, const struct track *t)
{
	struct ipc_track_gate m;

	ipc_begin(&m, CMD_TRACK_GATE);
	m.sid = s->member.sid;
	m.track = t->number;
	m.enabled = gate_of(s, t);
	dp_send(s->hub->dp, &m);
}

// --- who wants what --------------------------------------------------------------------------------
static void want(struct session *receiver, struct session *sender, const struct track *t)
{
	struct negotiate_want w = {.key = {sender->member.sid, t->number},
				   .type = t->type,
				   .codec = t->codec,
				   .session_id = str_of(sender->member.session_id),
				   .track_suffix = str_of(t->suffix)};
	int rc;

	if (receiver == sender || receiver->neg == NULL || receiver->state == SESSION_CLOSED)
		return;
	rc = negotiate_want(receiver->neg, &w, loop_now(receiver->hub->loop));
	if (rc < 0 && rc != -ENOTSUP) {
		log_warn(SESSION_FMT ": cannot receive a track of %s (%s)", SESSION_ARG(receiver),
			 SESSION_ARG(sender), strerror(-rc));
		session_error(receiver, "track");
	}
	session_arm_negotiation(receiver);
}

static void publish(struct session *s, const struct track *t)
{
	struct member *m;

	if (s->member.call == NULL)
		return;
	LIST_FOREACH (m, &s->member.call->members, link)
		want(session_of(m), s, t);
}

static void unpublish(struct session *s, const struct track *t)
{
	struct member *m;

	if (s->member.call == NULL)
		return;
	LIST_FOREACH (m, &s->member.call->members, link) {
		struct session *r = session_of(m);
		if (r == s || r->neg == NULL)
			continue;
		negotiate_unwant(r->neg, (struct negotiate_key){s->member.sid, t->number},
				 loop_now(s->hub->loop));
		session_arm_negotiation(r);
	}
}

void session_want_all(struct session *s)
{
	struct member *m;

	if (s->member.call == NULL)
		return;
	LIST_FOREACH (m, &s->member.call->members, link) {
		struct session *sender = session_of(m);
		for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
			if (sender->tracks[i].used && sender->tracks[i].live && !sender->tracks[i].withdrawn)
				want(s, sender, &sender->tracks[i]);
	}
}

void session_unwanted(struct session *s)
{
	struct member *m;

	LIST_FOREACH (m, &s->member.call->members, link) {
		struct session *r = session_of(m);
		if (r == s || r->neg == NULL)
			continue;
		negotiate_unwant_session(r->neg, s->member.sid, loop_now(s->hub->loop));
		session_arm_negotiation(r);
	}
}

static void count_track(struct session *s, const char *direction, uint8_t codec, double delta)
{
	struct str type = codec == CODEC_OPUS  ? STR("audio/opus")
			  : codec == CODEC_VP8 ? STR("video/VP8")
					       : STR("video/AV1");

	metric_add(s->hub->metrics, M_RTC_RTP_TRACKS,
		   METRIC_LABELS(str_of(direction), session_client(s), type), delta);
}

// --- what the session sends ------------------------------------------------------------------------
static struct track *track_by_mid(struct session *s, struct str mid)
{
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->tracks[i].used && str_eq(str_of(s->tracks[i].mid), mid))
			return &s->tracks[i];
	return NULL;
}

static struct track *track_new(struct session *s, struct str mid)
{
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		struct track *t = &s->tracks[i];
		if (t->used)
			continue;
		*t = (struct track){.used = true, .number = (uint16_t)i};
		if (!str_copy(mid, t->mid, sizeof(t->mid)))
			return NULL;
		rand_text(t->suffix, 8, SUFFIX_ALPHABET);
		return t;
	}
	return NULL;
}

static void track_end(struct session *s, struct track *t)
{
	struct ipc_track_ref m;

	unpublish(s, t);
	if (t->live)
		count_track(s, "in", t->codec, -1);
	ipc_begin(&m, CMD_TRACK_DEL);
	m.sid = s->member.sid;
	m.track = t->number;
	dp_send(s->hub->dp, &m);
	*t = (struct track){};
}

static void send_track(struct session *s, const struct track *t, const struct negotiate_upstream *u)
{
	struct ipc_track_add m;
	unsigned n_ssrcs = 0;

	ipc_begin(&m, CMD_TRACK_ADD);
	m.sid = s->member.sid;
	m.track = t->number;
	m.kind = u->kind;
	m.enabled = gate_of(s, t);
	memcpy(m.mid, t->mid, sizeof(m.mid));
	m.clock_hz = u->clock_hz;
	for (unsigned i = 0; i < u->n_ssrcs && n_ssrcs < IPC_TRACK_SSRCS; i++)
		m.ssrc[n_ssrcs++] = u->ssrc[i];
	for (unsigned i = 0; i < u->n_codecs && i < IPC_TRACK_CODECS; i++) {
		m.codec[i].pt = u->codec[i].pt;
		m.codec[i].codec = u->codec[i].codec;
		m.codec[i].apt = u->codec[i].apt;
		m.codec[i].fb = u->codec[i].fb;
	}
	dp_send(s->hub->dp, &m);
}

static void on_upstream(void *arg, const struct negotiate_upstream *u)
{
	struct session *s = arg;
	struct track *t = track_by_mid(s, u->mid);

	if (t != NULL && (!u->active || u->is_new)) {
		track_end(s, t);
		t = NULL;
	}
	if (!u->active)
		return;
	if (t == NULL)
		t = track_new(s, u->mid);
	if (t == NULL) {
		log_warn(SESSION_FMT ": sends more than %d tracks, one is ignored", SESSION_ARG(s),
			 IPC_MAX_TRACKS);
		session_drop(s, "too_many_tracks");
		return;
	}
	t->kind = u->kind;
	if (!t->live)
		t->codec = u->n_codecs ? u->codec[0].codec : CODEC_NONE;
	if (!str_copy(u->stream_id, t->stream_id, sizeof(t->stream_id)))
		t->stream_id[0] = '\0';
	if (!t->latched)
		t->type = classify(s, t);
	send_track(s, t, u);
}

void session_on_track_live(struct session *s, const struct ipc_track_live *e)
{
	struct track *t = e->track < IPC_MAX_TRACKS ? &s->tracks[e->track] : NULL;

	if (t == NULL || !t->used || t->live)
		return;
	t->live = true;
	t->codec = e->codec;
	if (!t->latched && classify(s, t) != t->type) {
		t->type = classify(s, t);
		send_gate(s, t);
	}
	t->latched = true;
	count_track(s, "in", t->codec, 1);
	log_debug(SESSION_FMT ": %s is live", SESSION_ARG(s), negotiate_type_name(t->type));
	publish(s, t);
}

// --- talking ---------------------------------------------------------------------------------------
static void tell_voice(struct session *s, bool on)
{
	if (s->voice_on == on || s->member.call == NULL)
		return;
	s->voice_on = on;
	plugins_send_rtc(s->hub->plugins, session_client(s), s->conn, DELIVER_ONE,
			 on ? RTC_VOICE_ON : RTC_VOICE_OFF, str_of(s->member.user_id),
			 str_of(s->member.session_id), str_of(s->member.call->id), STR_NONE);
}

void session_on_voice(struct session *s, const struct ipc_voice *e)
{
	const struct track *t = e->track < IPC_MAX_TRACKS ? &s->tracks[e->track] : NULL;

	if (t == NULL || !t->used || t->type != TYPE_VOICE)
		return;
	if (e->on && !s->mic_on)
		return;
	tell_voice(s, e->on);
}

void session_set_mic(struct session *s, bool on)
{
	s->mic_on = on;
	persist_mark(s);
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->tracks[i].used && s->tracks[i].type == TYPE_VOICE)
			send_gate(s, &s->tracks[i]);
	if (!on)
		tell_voice(s, false);
}

// --- screen and camera -----------------------------------------------------------------------------
void session_screen_on(struct session *s, struct str data)
{
	struct call *c = s->member.call;
	char id[SESSION_MAX_STREAM_ID];

	if (sigmsg_parse_id(data, "screenStreamID", id, sizeof(id)) < 0) {
		session_drop(s, "bad_screen_id");
		return;
	}
	if (c->presenter != 0 && c->presenter != s->member.sid) { // refused: our own id stays as it is (D40)
		log_info(SESSION_FMT ": shares a screen while another one does, ignored", SESSION_ARG(s));
		session_drop(s, "second_screen");
		return;
	}
	memcpy(s->screen_id, id, sizeof(id));
	c->presenter = s->member.sid;
	persist_mark(s);
}

void session_screen_off(struct session *s)
{
	if (s->member.call->presenter != s->member.sid)
		return;
	s->member.call->presenter = 0;
	s->screen_id[0] = '\0';
	persist_mark(s);
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		struct track *t = &s->tracks[i];
		if (!t->used || (t->type != TYPE_SCREEN && t->type != TYPE_SCREEN_AUDIO))
			continue;
		t->withdrawn = true;
		unpublish(s, t);
	}
}

void session_video_on(struct session *s, struct str data)
{
	char id[SESSION_MAX_STREAM_ID];

	if (sigmsg_parse_id(data, "videoStreamID", id, sizeof(id)) < 0)
		session_drop(s, "bad_video_id");
	else
		memcpy(s->video_id, id, sizeof(id));
}

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
	memcpy(m.mid, l->mid.p, l->mid.len < sizeof(m.mid) ? l->mid.len : sizeof(m.mid));
	dp_send(s->hub->dp, &m);
}

static void on_leg_up(void *arg, const struct negotiate_leg *l)
{
	struct session *s = arg;

	log_debug(SESSION_FMT ": leg %u up, mid %.*s, SSRC %08x", SESSION_ARG(s), l->leg, STR_ARG(l->mid),
		  l->ssrc);
	send_leg(s, l);
	count_track(s, "out", l->codec, 1);
}

static void on_leg_down(void *arg, struct negotiate_key key, uint16_t leg)
{
	struct session *s = arg;
	struct ipc_leg_ref m;

	log_debug(SESSION_FMT ": leg %u down", SESSION_ARG(s), leg);
	ipc_begin(&m, CMD_LEG_DEL);
	m.sid = s->member.sid;
	m.leg = leg;
	dp_send(s->hub->dp, &m);
	count_track(s, "out", CODEC_OPUS, -1);
}

static void on_extmap(void *arg, const uint8_t id[IPC_N_EXTS])
{
	struct session *s = arg;
	struct ipc_session_extmap m;

	ipc_begin(&m, CMD_SESSION_EXTMAP);
	m.sid = s->member.sid;
	memcpy(m.id, id, sizeof(m.id));
	dp_send(s->hub->dp, &m);
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
		rand_text(s->ice.ufrag, IPC_UFRAG_LEN, SUFFIX_ALPHABET);
		rand_text(s->ice.pwd, IPC_PWD_LEN, SUFFIX_ALPHABET);
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
	dp_send(s->hub->dp, &m);
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
	.upstream = on_upstream,
	.extmap = on_extmap,
	.leg_up = on_leg_up,
	.leg_down = on_leg_down,
	.room = on_room,
};

// --- telling the dataplane again -------------------------------------------------------------------
static void sync_upstream(void *arg, const struct negotiate_upstream *u)
{
	struct session *s = arg;
	const struct track *t = track_by_mid(s, u->mid);

	if (t != NULL && u->active)
		send_track(s, t, u);
}

static void sync_leg(void *arg, const struct negotiate_leg *l)
{
	send_leg(arg, l);
}

void session_sync_media(struct session *s)
{
	uint8_t ids[IPC_N_EXTS];

	negotiate_extmap(s->neg, ids);
	on_extmap(s, ids);
	negotiate_each_upstream(s->neg, sync_upstream, s);
	negotiate_each_leg(s->neg, sync_leg, s);
}

static void adopt_upstream(void *arg, const struct negotiate_upstream *u)
{
	struct session *s = arg;
	struct track *t = track_by_mid(s, u->mid);

	if (t == NULL && u->active)
		t = track_new(s, u->mid);
	if (t == NULL || !u->active)
		return;
	t->kind = u->kind;
	t->codec = u->n_codecs ? u->codec[0].codec : CODEC_NONE;
	if (!str_copy(u->stream_id, t->stream_id, sizeof(t->stream_id)))
		t->stream_id[0] = '\0';
	t->type = classify(s, t);
}

void session_restore_numbers(struct session *s, const struct ipc_snap_track *known, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct track *t = known[i].add.track < IPC_MAX_TRACKS ? &s->tracks[known[i].add.track] : NULL;
		if (t == NULL || t->used)
			continue;
		*t = (struct track){.used = true, .number = known[i].add.track};
		memcpy(t->mid, known[i].add.mid, sizeof(known[i].add.mid));
		rand_text(t->suffix, 8, SUFFIX_ALPHABET);
	}
	negotiate_each_upstream(s->neg, adopt_upstream, s);
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->tracks[i].used && s->tracks[i].codec == CODEC_NONE) // the client stopped it meanwhile
			s->tracks[i] = (struct track){};
	s->voice_on = n > 0; // who was said to talk is not known: the next word on it is passed on
}

// What happened while nobody listened: a first packet, a change of talking or silence.
void session_restore_track(struct session *s, const struct ipc_snap_track *e)
{
	struct track *t = e->add.track < IPC_MAX_TRACKS ? &s->tracks[e->add.track] : NULL;

	if (t == NULL || !t->used)
		return;
	if (e->live_ssrc != 0 && !t->live) {
		t->live = t->latched = true;
		count_track(s, "in", t->codec, 1);
		publish(s, t);
	}
	if (t->type == TYPE_VOICE)
		tell_voice(s, e->voice_on && s->mic_on);
}
