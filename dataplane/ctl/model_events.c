// What workers report enters the model and becomes events for the control plane.
#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/ctl/model_priv.h"
#include "dataplane/gate/flow.h"

static size_t on_path(struct m_session *s, const struct note *note, struct ipc_path *ev)
{
	s->has_path = note->path.key.family != 0;
	s->path = note->path.key;
	if (!s->has_path)
		return 0; // its loss is told by EVT_LIVENESS
	ipc_begin(ev, EVT_PATH);
	ev->sid = s->sid;
	ev->nominated = note->path.nominated;
	model_addr_of_key(&ev->remote, &ev->local, &s->path);
	return sizeof(*ev);
}

static size_t on_live(struct m_track *t, const struct note *note, struct ipc_track_live *ev)
{
	t->live_ssrc = note->live.ssrc;
	t->live_pt = note->live.pt;
	ipc_begin(ev, EVT_TRACK_LIVE);
	ev->sid = note->sid;
	ev->track = note->live.track;
	ev->pt = note->live.pt;
	ev->codec = note->live.codec;
	ev->ssrc = note->live.ssrc;
	memcpy(ev->rid, note->live.rid, sizeof(ev->rid));
	return sizeof(*ev);
}

static size_t on_voice(struct m_track *t, const struct note *note, struct ipc_voice *ev)
{
	t->voice_on = note->voice.on;
	ipc_begin(ev, EVT_VOICE);
	ev->sid = note->sid;
	ev->track = note->voice.track;
	ev->on = note->voice.on;
	return sizeof(*ev);
}

static size_t on_leg_state(struct m_session *s, const struct note *note, struct ipc_leg_state *ev)
{
	struct m_leg *leg = model_find_leg(s, note->leg_state.leg);
	struct ipc_hdr hdr;

	if (leg == NULL)
		return 0;
	ipc_begin(ev, EVT_LEG_STATE);
	hdr = ev->hdr;
	*ev = note->leg_state;
	ev->hdr.type = hdr.type;
	ev->hdr.len = hdr.len;
	ev->sid = s->sid;
	ev->src_sid = leg->add.src_sid;
	ev->src_track = leg->add.src_track;
	return sizeof(*ev);
}

static size_t on_session_state(struct m_session *s, const struct note *note, struct ipc_session_state *ev)
{
	struct ipc_addr local;
	struct ipc_hdr hdr;

	ipc_begin(ev, EVT_SESSION_STATE);
	hdr = ev->hdr;
	*ev = note->session_state;
	ev->hdr.type = hdr.type;
	ev->hdr.len = hdr.len;
	ev->sid = s->sid;
	if (s->has_path)
		model_addr_of_key(&ev->remote, &local, &s->path);
	return sizeof(*ev);
}

size_t model_note(struct model *m, const struct note *note, union ipc_msg *event)
{
	struct m_session *s = model_find_session(m, note->sid);

	if (s == NULL)
		return 0;
	switch ((enum note_type)note->type) {
	case NOTE_PATH:
		return on_path(s, note, &event->path);
	case NOTE_LIVENESS:
		s->liveness = note->liveness;
		ipc_begin(&event->liveness, EVT_LIVENESS);
		event->liveness.sid = s->sid;
		event->liveness.state = note->liveness;
		return sizeof(event->liveness);
	case NOTE_TRACK_LIVE:
		return s->track[note->live.track]
			       ? on_live(s->track[note->live.track], note, &event->track_live)
			       : 0;
	case NOTE_VOICE:
		return s->track[note->voice.track]
			       ? on_voice(s->track[note->voice.track], note, &event->voice)
			       : 0;
	case NOTE_UFRAG_GONE:
		if (memcmp(s->old_ufrag, note->ufrag, IPC_UFRAG_LEN) == 0) {
			ufrag_del(m->dp, s->old_ufrag);
			s->old_ufrag[0] = 0;
		}
		return 0;
	case NOTE_LEG_STATE:
		return on_leg_state(s, note, &event->leg_state);
	case NOTE_SESSION_STATE:
		return on_session_state(s, note, &event->session_state);
	case NOTE_PUNT_BROKEN:
		break;
	}
	return 0;
}
