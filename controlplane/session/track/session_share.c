// Screens and cameras as they are announced: which stream is which, and what ends with a share.
#include "controlplane/session/session_priv.h"

#include <string.h>

#include "controlplane/session/signal/sigmsg.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

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
		track_send_gate(s, t);
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
	session_decide_held(s);
}

// The track stays, silent. Only the id is forgotten, so that a screen that comes before its
// announcement does not pass for a camera that is off.
void session_video_off(struct session *s)
{
	s->video_id[0] = '\0';
	persist_mark(s);
}
