// What a track is: a voice, a screen, the sound of a screen, a camera.
//
// A video track is a screen or a camera by the stream id that its session announced. Until one has been announced it
// is held: declared, so that its first packet is noticed, but gated (D39). What was decided stays, whatever is
// announced later: a camera that is switched off and on again keeps its track and gets a new id.
#include "controlplane/session/session_priv.h"

#include <string.h>

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
bool track_classify(const struct session *s, const struct track *t, enum negotiate_type *type)
{
	bool is_screen = track_has_stream(t, s->screen_id);

	if (t->kind == KIND_AUDIO)
		*type = is_screen ? TYPE_SCREEN_AUDIO : TYPE_VOICE;
	else
		*type = is_screen ? TYPE_SCREEN : TYPE_VIDEO;
	return t->kind == KIND_AUDIO || is_screen || track_has_stream(t, s->video_id) || is_only_camera(s, t);
}
