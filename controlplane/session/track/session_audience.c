// Who receives the tracks of a session.
//
// Of two tracks with the same picture, one AV1 and one VP8, each receiver gets one. The choice is made anew whenever a
// track comes or goes, or what a receiver can take becomes known (D36). A viewer that got VP8 first is moved to AV1 on
// the same m-line, in one offer.
#include "controlplane/session/session_priv.h"

#include <assert.h>

#include "lib/base/err.h"
#include "lib/base/log.h"

static struct session *session_of(struct member *m)
{
	return container_of(m, struct session, member);
}

// --- which ---------------------------------------------------------------------------------------------
static bool is_published(const struct track *t)
{
	return t->used && t->live && !t->is_held && !t->withdrawn;
}

// How gladly the receiver takes this codec; 0: it cannot.
static unsigned appetite(const struct session *receiver, uint8_t codec)
{
	if (!negotiate_takes(receiver->neg, codec))
		return 0;
	if (codec != CODEC_AV1)
		return 2;
	if (receiver->member.flags.av1_support)
		return 3;
	return negotiate_has_offered(receiver->neg, codec) ? 1 : 0;
}

static bool is_twin(const struct track *a, const struct track *b)
{
	return is_published(b) && a->kind == KIND_VIDEO && b->kind == KIND_VIDEO && a->type == b->type &&
	       a->codec != b->codec && track_same_stream(a, b);
}

static bool is_for(const struct session *receiver, const struct session *sender, const struct track *t)
{
	unsigned wish = is_published(t) ? appetite(receiver, t->codec) : 0;

	for (unsigned i = 0; wish > 0 && i < IPC_MAX_TRACKS; i++)
		if (is_twin(t, &sender->tracks[i]) && appetite(receiver, sender->tracks[i].codec) > wish)
			return false;
	return wish > 0;
}

static bool can_receive(const struct session *receiver, const struct session *sender)
{
	return receiver != sender && receiver->neg != NULL && receiver->life != LIFE_CLOSED;
}

static void want(struct session *receiver, struct session *sender, const struct track *t)
{
	struct negotiate_want w = {.key = {sender->member.sid, t->number},
				   .type = t->type,
				   .codec = t->codec,
				   .session_id = str_of(sender->member.session_id),
				   .track_suffix = str_of(t->suffix)};
	int rc = negotiate_want(receiver->neg, &w, loop_now(receiver->env->loop));

	if (rc == 0)
		return;
	log_warn(SESSION_FMT ": cannot receive a track of %s (%s)", SESSION_ARG(receiver),
		 SESSION_ARG(sender), strerror(-rc));
	session_error(receiver, "track");
}

static void unwant(struct session *receiver, struct session *sender, const struct track *t)
{
	negotiate_unwant(receiver->neg, (struct negotiate_key){sender->member.sid, t->number},
			 loop_now(receiver->env->loop));
}

// The receiver is to have what is for it of the sender's video, and nothing else.
static void want_video(struct session *receiver, struct session *sender)
{
	for (unsigned pass = 0; pass < 2; pass++) { // what goes makes room for what comes
		for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
			const struct track *t = &sender->tracks[i];
			if (!t->used || t->kind != KIND_VIDEO)
				continue;
			if (!is_for(receiver, sender, t) && pass == 0)
				unwant(receiver, sender, t);
			else if (is_for(receiver, sender, t) && pass == 1)
				want(receiver, sender, t);
		}
	}
}

static void want_track(struct session *receiver, struct session *sender, const struct track *t)
{
	if (t->kind == KIND_VIDEO)
		want_video(receiver, sender);
	else if (is_published(t))
		want(receiver, sender, t);
}

// Do it for everybody in the call of s who can receive it.
static void for_receivers(struct session *s, const struct track *t,
			  void (*change)(struct session *receiver, struct session *sender,
					 const struct track *))
{
	struct member *m;

	if (s->member.call == NULL)
		return;
	LIST_FOREACH (m, &s->member.call->members, link) {
		struct session *r = session_of(m);
		if (!can_receive(r, s))
			continue;
		change(r, s, t);
		session_arm_negotiation(r);
	}
}

void session_publish(struct session *s, const struct track *t)
{
	assert(t == &s->tracks[t->number]);
	for_receivers(s, t, want_track);
}

void session_unpublish(struct session *s, const struct track *t)
{
	assert(t == &s->tracks[t->number]);
	for_receivers(s, t, unwant);
}

static void want_from(struct session *receiver, struct session *sender)
{
	if (!can_receive(receiver, sender))
		return;
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (sender->tracks[i].kind == KIND_AUDIO && is_published(&sender->tracks[i]))
			want(receiver, sender, &sender->tracks[i]);
	want_video(receiver, sender);
}

void session_want_all(struct session *s)
{
	struct member *m;

	if (s->member.call == NULL)
		return;
	LIST_FOREACH (m, &s->member.call->members, link)
		want_from(s, session_of(m));
	session_arm_negotiation(s);
}

void session_publish_all(struct session *s)
{
	struct member *m;

	if (s->member.call == NULL)
		return;
	LIST_FOREACH (m, &s->member.call->members, link) {
		want_from(session_of(m), s);
		session_arm_negotiation(session_of(m));
	}
}

void session_unwanted(struct session *s)
{
	struct member *m;

	LIST_FOREACH (m, &s->member.call->members, link) {
		struct session *r = session_of(m);
		if (r == s || r->neg == NULL)
			continue;
		negotiate_unwant_session(r->neg, s->member.sid, loop_now(s->env->loop));
		session_arm_negotiation(r);
	}
}
