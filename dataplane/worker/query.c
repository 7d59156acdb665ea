#include "dataplane/worker/query.h"

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/media/bwe.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/media/leg.h"
#include "dataplane/media/source.h"
#include "dataplane/media/video.h"
#include "lib/rtc/send/simulcast.h"

#define NO_LAYER 0xff

static void answer_leg(struct worker *w, const struct session *s, const struct leg *leg, uint32_t seq)
{
	struct note note = {.type = NOTE_LEG_STATE, .sid = s->sid};
	struct ipc_leg_state *st = &note.leg_state;
	const struct video *v = leg->source->video;

	st->layer = NO_LAYER;
	viewer_state(leg->viewer, w->now, st);
	st->hdr.seq = seq;
	st->leg = leg->id;
	st->is_paused = viewer_choice(leg->viewer)->is_paused;
	if (source_gen(leg->source) == leg->source_gen && v != NULL) {
		st->n_layers = v->n_layers;
		for (unsigned i = 0; i < v->n_layers; i++) {
			struct layer_info info;
			layer_info(v->layer[i], &info);
			st->layer_bps[i] = info.is_active ? info.bps : 0;
		}
	}
	note_post(w, &note);
}

void query_answer(struct worker *w, struct session *s, uint32_t seq)
{
	struct note note = {.type = NOTE_SESSION_STATE, .sid = s->sid};

	ASSERT_HOME(w, s);
	for (const struct leg *leg = s->legs; leg && leg->viewer; leg = leg->next)
		answer_leg(w, s, leg, seq);
	note.session_state.hdr.seq = seq;
	note.session_state.rtt_us = (uint32_t)(s->rtt.smooth_ns / NS_PER_US);
	if (s->bwe)
		bwe_state(s->bwe, w->now, &note.session_state);
	note_post(w, &note);
}
