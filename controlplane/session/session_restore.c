// Sessions and the dataplane's snapshot: one comes back out of the store, or both sides are made to agree when the link
// has come back.
#include "controlplane/session/session_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/session/command.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

// --- its tracks ---------------------------------------------------------------------------------
static void adopt_upstream(void *arg, const struct negotiate_upstream *u)
{
	struct session *s = arg;
	struct track *t = track_by_mid(s, u->mid);

	if (t == NULL && u->active)
		t = track_new(s, u->mid);
	if (t == NULL || !u->active)
		return;
	track_fill(s, t, u);
	t->is_held = !track_classify(s, t, &t->type);
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

// Number the tracks as the dataplane has them and take them for what they were.
static void restore_tracks(struct session *s, const struct session_snap *n, const struct persist_record *r)
{
	for (unsigned i = 0; i < n->n_tracks; i++) {
		const struct ipc_track_add *known = &n->tracks[i].add;
		struct track *t = known->track < IPC_MAX_TRACKS ? &s->tracks[known->track] : NULL;
		if (t == NULL || t->used)
			continue;
		*t = (struct track){.used = true, .number = known->track};
		memcpy(t->mid, known->mid, sizeof(known->mid));
		track_new_suffix(t);
	}
	negotiate_each_upstream(s->neg, adopt_upstream, s);
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->tracks[i].used && s->tracks[i].codec == CODEC_NONE) // the client stopped it meanwhile
			s->tracks[i] = (struct track){};
	for (unsigned i = 0; i < r->n_tracks; i++)
		adopt_saved(s, &r->tracks[i]);
	negotiate_each_leg(s->neg, count_restored_leg, s);
	s->voice_on = n->n_tracks > 0; // who was said to talk is not known: the next word on it is passed on
}

// --- the session --------------------------------------------------------------------------------
static void restore_words(struct session *s, const struct persist_record *r)
{
	s->mic_on = r->mic_on;
	str_copy(r->video_id, s->video_id, sizeof(s->video_id));
	if (r->screen_id.len > 0 && str_copy(r->screen_id, s->screen_id, sizeof(s->screen_id)))
		s->member.call->presenter = s->member.sid;
}

// saved is negotiate_save's form.
static struct session *restore(struct session_env *env, const struct session_snap *n,
			       const struct persist_record *r, struct str saved)
{
	const struct ipc_snap_session *snap = &n->session;
	struct session *s = pool_get_at(env->sessions, snap->sid);

	if (s == NULL)
		return NULL;
	session_init(s, env, snap->sid, 0);
	memcpy(s->ice.ufrag, snap->ufrag, IPC_UFRAG_LEN);
	memcpy(s->ice.pwd, snap->pwd, IPC_PWD_LEN);
	s->cookie = snap->cookie;
	s->neg = negotiate_load(&env->neg, &session_negotiate_ops, s, saved.p, saved.len);
	if (s->neg == NULL || registry_restore(env->registry, &s->member, r->client, &r->join) != JOIN_OK) {
		negotiate_free(s->neg);
		pool_put(env->sessions, snap->sid);
		return NULL;
	}
	session_begin(s, ON_TAKEN_BACK); // without its data channel: descriptions go by WebSocket,
	if (r->join.flags.dc_signaling)  // but the client still answers there
		negotiate_assume_answers(s->neg);
	s->saved.is_stored = true;
	s->path = snap->liveness == LIVE_OK ? PATH_GOOD : PATH_SUSPECT;
	restore_words(s, r);
	restore_tracks(s, n, r);
	return s;
}

struct session *session_restore(struct session_env *env, const struct session_snap *n,
				const struct persist_record *r)
{
	char *saved = n->session.profile != 0 ? malloc(r->sealed.len + 1) : NULL;
	int len = saved ? persist_open(n->session.cookie, r->sid, r->sealed, saved) : -ENOENT;
	struct session *s = NULL;

	if (len >= 0 && registry_find(env->registry, r->client, r->join.session_id) == NULL)
		s = restore(env, n, r, (struct str){saved, (size_t)len});
	if (saved != NULL)
		explicit_bzero(saved, r->sealed.len + 1);
	free(saved);
	return s;
}

// --- agreeing with the dataplane ----------------------------------------------------------------
static void keep_leg(void *arg, const struct negotiate_leg *l)
{
	uint64_t *legs = arg;

	assert(l->leg < IPC_MAX_LEGS);
	legs[l->leg / 64] &= ~(UINT64_C(1) << (l->leg % 64));
}

// What happened while nobody listened: a first packet, a change of talking or silence.
static void catch_up_track(struct session *s, const struct ipc_snap_track *e)
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
		session_tell_voice(s, e->voice_on && s->mic_on);
}

// Tracks the dataplane has and we do not go; of the others it tells what we have missed.
static void agree_on_tracks(struct session *s, const struct session_snap *n)
{
	for (unsigned i = 0; i < n->n_tracks; i++) {
		uint16_t number = n->tracks[i].add.track;
		if (number < IPC_MAX_TRACKS && s->tracks[number].used)
			catch_up_track(s, &n->tracks[i]);
		else
			command_track_del(s->env->link, s->member.sid, number);
	}
	session_publish_all(s); // when all of them are known: of twins only one is for each
}

static void agree_on_legs(struct session *s, const struct session_snap *n)
{
	uint64_t legs[IPC_MAX_LEGS / 64];

	memcpy(legs, n->legs, sizeof(legs));
	negotiate_each_leg(s->neg, keep_leg, legs);
	for (unsigned leg = 0; leg < IPC_MAX_LEGS; leg++)
		if (legs[leg / 64] >> (leg % 64) & 1)
			command_leg_del(s->env->link, s->member.sid, (uint16_t)leg);
}

static void agree(struct session *s, const struct session_snap *n)
{
	if (n->session.liveness == LIVE_LOST || n->session.liveness == LIVE_NO_PATH) {
		session_on_liveness(s, n->session.liveness);
		return;
	}
	session_resume_path(s, n->session.remote.family != 0);
	agree_on_tracks(s, n);
	agree_on_legs(s, n);
	session_sync_media(s);
}

static bool is_same(const struct session *s, const struct session_snap *n)
{
	return n->session.cookie == s->cookie && (n->session.profile != 0) == life_has_keys(s->life);
}

void session_resync(struct session *s, const struct session_snap *n)
{
	if (n != NULL && is_same(s, n)) {
		agree(s, n);
	} else if (n == NULL && !life_has_keys(s->life) && s->dtls == NULL) {
		session_add(s); // it had nothing there that is lost now
		session_sync_media(s);
	} else {
		session_close(s, END_DATAPLANE);
	}
}
