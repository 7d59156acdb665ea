// Tracks the session sends: what they are, and what the dataplane is told about them.
//
// A video track is a screen or a camera by the stream id that its session announced. Until one has been announced it
// is held: declared, so that its first packet is noticed, but gated (D39). What was decided stays, whatever is
// announced later: a camera that is switched off and on again keeps its track and gets a new id.
#include "controlplane/session/session.h"

#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define SUFFIX_ALPHABET "abcdefghijklmnopqrstuvwxyz0123456789"

// --- classification --------------------------------------------------------------------------------
static bool is_camera_line(const struct track *t)
{
	return t->used && t->kind == KIND_VIDEO && (t->is_held || t->type != TYPE_SCREEN);
}

// A camera was announced under an id that no track has: it is the one video that is no screen, if there is just one
// (a twin of the same stream counts as the same).
static bool is_only_camera(const struct session *s, const struct track *t)
{
	if (s->video_id[0] == '\0')
		return false;
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		const struct track *o = &s->tracks[i];
		if (!is_camera_line(o))
			continue;
		if (track_has_stream(o, s->video_id) || (o != t && !track_same_stream(o, t)))
			return false;
	}
	return true;
}

// A screen id belongs to the session that announced it (D40). Returns false while nothing is known.
static bool classify(const struct session *s, const struct track *t, enum negotiate_type *type)
{
	bool is_screen = track_has_stream(t, s->screen_id);

	if (t->kind == KIND_AUDIO)
		*type = is_screen ? TYPE_SCREEN_AUDIO : TYPE_VOICE;
	else
		*type = is_screen ? TYPE_SCREEN : TYPE_VIDEO;
	return t->kind == KIND_AUDIO || is_screen || track_has_stream(t, s->video_id) || is_only_camera(s, t);
}

static bool gate_of(const struct session *s, const struct track *t)
{
	return t->type == TYPE_VOICE ? s->mic_on : !t->is_held && !t->withdrawn;
}

static void send_gate(struct session *s, const struct track *t)
{
	struct ipc_track_gate m;

	ipc_begin(&m, CMD_TRACK_GATE);
	m.sid = s->member.sid;
	m.track = t->number;
	m.enabled = gate_of(s, t);
	link_send(s->hub->link, &m);
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

static void classify_held(struct session *s);

static void track_end(struct session *s, struct track *t)
{
	bool is_video = t->kind == KIND_VIDEO;
	struct ipc_track_ref m;

	session_unpublish(s, t);
	if (t->live)
		session_count_track(s, "in", t->codec, -1);
	ipc_begin(&m, CMD_TRACK_DEL);
	m.sid = s->member.sid;
	m.track = t->number;
	link_send(s->hub->link, &m);
	*t = (struct track){};
	if (!is_video)
		return;
	session_publish_all(s); // a twin may take its place
	classify_held(s);       // and what is left may be the only one
}

// Encodings are numbered from the poorest. Senders name them in that order; those that do not are known by the names
// that browsers use.
static unsigned rid_rank(struct str rid)
{
	static const char known[] = "lqmhf"; // low, quarter, middle, high or half, full
	const char *at = rid.len == 1 ? strchr(known, rid.p[0]) : NULL;

	return at && *at ? (unsigned)(at - known) : UINT32_MAX;
}

static void fill_rids(struct ipc_track_add *m, const struct negotiate_upstream *u)
{
	unsigned order[IPC_TRACK_RIDS];
	bool is_known = true;

	for (unsigned i = 0; i < u->n_rids; i++) {
		order[i] = i;
		is_known &= rid_rank(u->rid[i]) != UINT32_MAX;
		for (unsigned k = i;
		     is_known && k > 0 && rid_rank(u->rid[order[k]]) < rid_rank(u->rid[order[k - 1]]); k--) {
			unsigned swap = order[k];
			order[k] = order[k - 1];
			order[k - 1] = swap;
		}
	}
	m->n_rids = (uint8_t)u->n_rids;
	for (unsigned i = 0; i < u->n_rids; i++) {
		struct str rid = u->rid[is_known ? order[i] : i];
		memcpy(m->rid[i], rid.p, rid.len);
	}
}

static void send_track(struct session *s, const struct track *t, const struct negotiate_upstream *u)
{
	struct ipc_track_add m;

	ipc_begin(&m, CMD_TRACK_ADD);
	m.sid = s->member.sid;
	m.track = t->number;
	m.kind = u->kind;
	m.enabled = gate_of(s, t);
	memcpy(m.mid, t->mid, sizeof(m.mid));
	m.clock_hz = u->clock_hz;
	memcpy(m.ssrc, u->ssrc, sizeof(m.ssrc));
	memcpy(m.rtx_ssrc, u->rtx_ssrc, sizeof(m.rtx_ssrc));
	fill_rids(&m, u);
	m.is_ranked = t->type == TYPE_VOICE;
	for (unsigned i = 0; i < u->n_codecs && i < IPC_TRACK_CODECS; i++) {
		m.codec[i].pt = u->codec[i].pt;
		m.codec[i].codec = u->codec[i].codec;
		m.codec[i].apt = u->codec[i].apt;
		m.codec[i].fb = u->codec[i].fb;
	}
	link_send(s->hub->link, &m);
}

static void sync_upstream(void *arg, const struct negotiate_upstream *u)
{
	struct session *s = arg;
	const struct track *t = track_by_mid(s, u->mid);

	if (t != NULL && u->active)
		send_track(s, t, u);
}

void session_sync_tracks(struct session *s)
{
	negotiate_each_upstream(s->neg, sync_upstream, s);
}

// It is this and nothing else, and goes to those it is for.
static void track_decide(struct session *s, struct track *t, enum negotiate_type type)
{
	if (!t->is_held && !t->withdrawn && t->type == type)
		return;
	if (!t->is_held)
		session_unpublish(s, t);
	t->is_held = t->withdrawn = false;
	t->type = type;
	persist_mark(s);
	if (t->kind == KIND_AUDIO) // takes part in the choice of speakers, or not any more
		session_sync_tracks(s);
	else
		send_gate(s, t);
	log_debug(SESSION_FMT ": track %u is %s", SESSION_ARG(s), t->number, negotiate_type_name(type));
	session_publish(s, t);
}

static void classify_held(struct session *s)
{
	enum negotiate_type type;

	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->tracks[i].used && s->tracks[i].is_held && classify(s, &s->tracks[i], &type))
			track_decide(s, &s->tracks[i], type);
}

static void track_fill(struct session *s, struct track *t, const struct negotiate_upstream *u)
{
	t->kind = u->kind;
	t->n_rids = (uint8_t)u->n_rids;
	if (!t->live)
		t->codec = u->n_codecs ? u->codec[0].codec : CODEC_NONE;
	if (!str_copy(u->stream_id, t->stream_id, sizeof(t->stream_id)))
		t->stream_id[0] = '\0';
}

void session_on_upstream(void *arg, const struct negotiate_upstream *u)
{
	struct session *s = arg;
	struct track *t = track_by_mid(s, u->mid);
	bool is_new;

	// For the dataplane the number of encodings is for life.
	if (t != NULL && (!u->active || u->is_new || u->n_rids != t->n_rids)) {
		track_end(s, t);
		t = NULL;
	}
	if (!u->active)
		return;
	is_new = t == NULL;
	if (is_new)
		t = track_new(s, u->mid);
	if (t == NULL) {
		log_warn(SESSION_FMT ": sends more than %d tracks, one is ignored", SESSION_ARG(s),
			 IPC_MAX_TRACKS);
		session_drop(s, "too_many_tracks");
		return;
	}
	track_fill(s, t, u);
	if (is_new || t->is_held)
		t->is_held = !classify(s, t, &t->type);
	send_track(s, t, u);
}

void session_on_track_live(struct session *s, const struct ipc_track_live *e)
{
	struct track *t = e->track < IPC_MAX_TRACKS ? &s->tracks[e->track] : NULL;
	bool is_video = e->codec == CODEC_VP8 || e->codec == CODEC_AV1;

	if (t == NULL || !t->used || t->live || is_video != (t->kind == KIND_VIDEO) ||
	    (!is_video && e->codec != CODEC_OPUS))
		return;
	t->live = true;
	t->codec = e->codec;
	session_count_track(s, "in", t->codec, 1);
	log_debug(SESSION_FMT ": %s is live", SESSION_ARG(s),
		  t->is_held ? "a track of an unknown kind" : negotiate_type_name(t->type));
	session_publish(s, t);
}

// --- talking ---------------------------------------------------------------------------------------
static void tell_voice(struct session *s, bool on)
{
	if (s->voice_on == on || s->member.call == NULL)
		return;
	s->voice_on = on;
	session_tell_plugin(s, DELIVER_ONE, on ? RTC_VOICE_ON : RTC_VOICE_OFF, STR_NONE);
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
// Its screen and the sound of it go to nobody any more (D41, D43).
static void withdraw_screen(struct session *s)
{
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		struct track *t = &s->tracks[i];
		if (!t->used || t->withdrawn || t->is_held ||
		    (t->type != TYPE_SCREEN && t->type != TYPE_SCREEN_AUDIO))
			continue;
		t->withdrawn = true;
		session_unpublish(s, t);
		send_gate(s, t);
	}
}

void session_screen_on(struct session *s, struct str data)
{
	struct call *c = s->member.call;
	char id[SESSION_MAX_STREAM_ID] = "";

	if (sigmsg_parse_id(data, "screenStreamID", id, sizeof(id)) < 0) {
		session_drop(s, "bad_screen_id");
		return;
	}
	if (c->presenter != 0 && c->presenter != s->member.sid) { // refused: our own id stays as it is (D40)
		log_info(SESSION_FMT ": shares a screen while another one does, ignored", SESSION_ARG(s));
		session_drop(s, "second_screen");
		return;
	}
	if (strcmp(s->screen_id, id) != 0)
		withdraw_screen(s);
	memcpy(s->screen_id, id, sizeof(id));
	c->presenter = s->member.sid;
	persist_mark(s);
	// Tracks may have come first; sound then passed for a voice. A camera stays one.
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		struct track *t = &s->tracks[i];
		if (!t->used || !track_has_stream(t, s->screen_id))
			continue;
		if (t->kind == KIND_AUDIO)
			track_decide(s, t, TYPE_SCREEN_AUDIO);
		else if (t->is_held || t->type == TYPE_SCREEN)
			track_decide(s, t, TYPE_SCREEN);
	}
}

void session_screen_off(struct session *s)
{
	if (s->member.call->presenter != s->member.sid)
		return;
	s->member.call->presenter = 0;
	s->screen_id[0] = '\0';
	persist_mark(s);
	withdraw_screen(s);
}

void session_video_on(struct session *s, struct str data)
{
	char id[SESSION_MAX_STREAM_ID] = "";

	if (sigmsg_parse_id(data, "videoStreamID", id, sizeof(id)) < 0) {
		session_drop(s, "bad_video_id");
		return;
	}
	memcpy(s->video_id, id, sizeof(id));
	persist_mark(s);
	classify_held(s);
}

// The track stays, silent. Only the id is forgotten, so that a screen that comes before its
// announcement does not pass for a camera that is off.
void session_video_off(struct session *s)
{
	s->video_id[0] = '\0';
	persist_mark(s);
}

// --- after a restart -------------------------------------------------------------------------------
static void adopt_upstream(void *arg, const struct negotiate_upstream *u)
{
	struct session *s = arg;
	struct track *t = track_by_mid(s, u->mid);

	if (t == NULL && u->active)
		t = track_new(s, u->mid);
	if (t == NULL || !u->active)
		return;
	track_fill(s, t, u);
	t->is_held = !classify(s, t, &t->type);
}

// What was decided about it stays decided.
static void adopt_saved(struct session *s, const struct persist_track *p)
{
	struct track *t = track_by_mid(s, p->mid);

	if (t == NULL || (t->kind == KIND_AUDIO) != (p->type == TYPE_VOICE || p->type == TYPE_SCREEN_AUDIO))
		return;
	str_copy(p->suffix, t->suffix, sizeof(t->suffix));
	if (p->is_held) // what came after the record was written decides
		return;
	t->is_held = false;
	t->type = (enum negotiate_type)p->type;
	t->withdrawn = p->withdrawn;
}

static void count_restored_leg(void *arg, const struct negotiate_leg *l)
{
	session_count_track(arg, "out", l->codec, 1);
}

void session_restore_tracks(struct session *s, const struct ipc_snap_track *known, unsigned n,
			    const struct persist_record *r)
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
	for (unsigned i = 0; i < r->n_tracks; i++)
		adopt_saved(s, &r->tracks[i]);
	negotiate_each_leg(s->neg, count_restored_leg, s);
	s->voice_on = n > 0; // who was said to talk is not known: the next word on it is passed on
}

// What happened while nobody listened: a first packet, a change of talking or silence.
void session_restore_track(struct session *s, const struct ipc_snap_track *e)
{
	struct track *t = e->add.track < IPC_MAX_TRACKS ? &s->tracks[e->add.track] : NULL;

	if (t == NULL || !t->used)
		return;
	if (e->live_ssrc != 0 && !t->live) {
		t->live = true;
		for (unsigned i = 0; i < IPC_TRACK_CODECS; i++) {
			uint8_t codec = e->add.codec[i].codec;
			if (e->add.codec[i].pt == e->live_pt && codec != CODEC_NONE && codec != CODEC_RTX)
				t->codec = codec;
		}
		session_count_track(s, "in", t->codec, 1);
	}
	if (t->type == TYPE_VOICE)
		tell_voice(s, e->voice_on && s->mic_on);
}
