// Who talks: the microphone as the plugin says, and the voice that the dataplane hears.
#include "controlplane/session/session_priv.h"

void session_tell_voice(struct session *s, bool on)
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
	session_tell_voice(s, e->on);
}

void session_set_mic(struct session *s, bool on)
{
	s->mic_on = on;
	persist_mark(s);
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->tracks[i].used && s->tracks[i].type == TYPE_VOICE)
			track_send_gate(s, &s->tracks[i]);
	if (!on)
		session_tell_voice(s, false);
}
