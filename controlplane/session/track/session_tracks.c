// The tracks a session sends: its table of them, and what the dataplane is told about each.
#include "controlplane/session/session_priv.h"

#include <assert.h>
#include <string.h>

#include "controlplane/session/command.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

// --- the table ----------------------------------------------------------------------------------
struct track *track_by_mid(struct session *s, struct str mid)
{
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->tracks[i].used && str_eq(str_of(s->tracks[i].mid), mid))
			return &s->tracks[i];
	return NULL;
}

void track_new_suffix(struct track *t)
{
	rand_text(t->suffix, sizeof(t->suffix) - 1, "abcdefghijklmnopqrstuvwxyz0123456789");
}

struct track *track_new(struct session *s, struct str mid)
{
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		struct track *t = &s->tracks[i];
		if (t->used)
			continue;
		*t = (struct track){.used = true, .number = (uint16_t)i};
		if (!str_copy(mid, t->mid, sizeof(t->mid)))
			return NULL;
		track_new_suffix(t);
		return t;
	}
	return NULL;
}

void track_fill(struct session *s, struct track *t, const struct negotiate_upstream *u)
{
	t->kind = u->kind;
	t->n_rids = (uint8_t)u->n_rids;
	if (!t->live)
		t->codec = u->n_codecs ? u->codec[0].codec : CODEC_NONE;
	if (!str_copy(u->stream_id, t->stream_id, sizeof(t->stream_id)))
		t->stream_id[0] = '\0';
}

// --- to the dataplane ---------------------------------------------------------------------------
static bool gate_of(const struct session *s, const struct track *t)
{
	return t->type == TYPE_VOICE ? s->mic_on : !t->is_held && !t->withdrawn;
}

void track_send_gate(struct session *s, const struct track *t)
{
	assert(t->used && t == &s->tracks[t->number]);
	command_track_gate(s->env->link, s->member.sid, t->number, gate_of(s, t));
}

static void track_declare(struct session *s, const struct track *t, const struct negotiate_upstream *u)
{
	struct command_track c = {
		.number = t->number, .enabled = gate_of(s, t), .is_ranked = t->type == TYPE_VOICE};

	command_track_add(s->env->link, s->member.sid, &c, u);
}

static void sync_upstream(void *arg, const struct negotiate_upstream *u)
{
	struct session *s = arg;
	const struct track *t = track_by_mid(s, u->mid);

	if (t != NULL && u->active)
		track_declare(s, t, u);
}

void session_sync_tracks(struct session *s)
{
	negotiate_each_upstream(s->neg, sync_upstream, s);
}

// --- what it is ---------------------------------------------------------------------------------
// It is this and nothing else, and goes to those it is for.
void track_decide(struct session *s, struct track *t, enum negotiate_type type)
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
		track_send_gate(s, t);
	log_debug(SESSION_FMT ": track %u is %s", SESSION_ARG(s), t->number, negotiate_type_name(type));
	session_publish(s, t);
}

void session_decide_held(struct session *s)
{
	enum negotiate_type type;

	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->tracks[i].used && s->tracks[i].is_held && track_classify(s, &s->tracks[i], &type))
			track_decide(s, &s->tracks[i], type);
}

// --- what the client and the dataplane say of it ------------------------------------------------
static void track_end(struct session *s, struct track *t)
{
	bool is_video = t->kind == KIND_VIDEO;

	session_unpublish(s, t);
	if (t->live)
		session_count_track(s, "in", t->codec, -1);
	command_track_del(s->env->link, s->member.sid, t->number);
	*t = (struct track){};
	if (!is_video)
		return;
	session_publish_all(s); // a twin may take its place
	session_decide_held(s); // and what is left may be the only one
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
		t->is_held = !track_classify(s, t, &t->type);
	track_declare(s, t, u);
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
