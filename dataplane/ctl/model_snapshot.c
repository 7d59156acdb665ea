// The model as the control plane gets it when it connects: each session with its tracks and legs.
#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/ctl/model_priv.h"

static void write_session(const struct m_session *s, struct ipc_snap_session *out)
{
	ipc_begin(out, EVT_SNAP_SESSION);
	out->sid = s->sid;
	out->call = s->call;
	out->cookie = s->cookie;
	memcpy(out->name, s->name, sizeof(out->name));
	memcpy(out->ufrag, s->ufrag, sizeof(out->ufrag));
	memcpy(out->pwd, s->pwd, sizeof(out->pwd));
	out->profile = s->profile;
	out->worker = (uint8_t)s->home->id;
	out->liveness = s->liveness;
	out->rtcp_ssrc = s->rtcp_ssrc;
	if (s->has_path)
		model_addr_of_key(&out->remote, &out->local, &s->path);
	memcpy(out->ext, s->ext, sizeof(out->ext));
}

static int send_session(const struct m_session *s, int (*send)(void *arg, const void *msg), void *arg)
{
	union ipc_msg msg;
	struct m_leg *leg;
	int err;

	write_session(s, &msg.snap_session);
	err = send(arg, &msg);
	for (unsigned i = 0; err == 0 && i < IPC_MAX_TRACKS; i++) {
		const struct m_track *t = s->track[i];
		if (t == NULL)
			continue;
		ipc_begin(&msg.snap_track, EVT_SNAP_TRACK);
		msg.snap_track.add = t->add;
		msg.snap_track.live_ssrc = t->live_ssrc;
		msg.snap_track.live_pt = t->live_pt;
		msg.snap_track.voice_on = t->voice_on;
		err = send(arg, &msg);
	}
	LIST_FOREACH (leg, &s->legs, of_session) {
		if (err < 0)
			break;
		ipc_begin(&msg.snap_leg, EVT_SNAP_LEG);
		msg.snap_leg.add = leg->add;
		err = send(arg, &msg);
	}
	return err;
}

bool model_snapshot(struct model *m, uint32_t *slot, int (*send)(void *arg, const void *msg), void *arg)
{
	while (*slot < m->dp->max_sessions && m->session[*slot] == NULL)
		(*slot)++;
	if (*slot == m->dp->max_sessions)
		return false;
	if (send_session(m->session[*slot], send, arg) == 0)
		(*slot)++;
	return true;
}
