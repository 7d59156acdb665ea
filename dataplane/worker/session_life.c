#include "dataplane/worker/session_life.h"

#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/core/tomb.h"
#include "dataplane/deliver/choose.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/gate/ice.h"
#include "dataplane/media/leg.h"
#include "dataplane/media/stream.h"
#include "dataplane/publish/arrivals.h"
#include "dataplane/publish/publish.h"
#include "dataplane/publish/publish_video.h"
#include "dataplane/worker/receive.h"
#include "dataplane/worker/reports.h"

// ICE state moves slowly: all sessions are looked at in four groups, so that a worker with thousands of idle
// sessions wakes eight times a second, not thousands.
#define ICE_TICK_NS (500 * NS_PER_MS)
#define ICE_TICK_GROUPS 4
#define ICE_PROVING_NS (100 * NS_PER_MS) // while an address is to be proven

// --- the timer ------------------------------------------------------------------------------------

static ns_t next_ice_tick(const struct session *s, ns_t now)
{
	ns_t phase = (ns_t)(s->sid % ICE_TICK_GROUPS) * (ICE_TICK_NS / ICE_TICK_GROUPS);

	return ((now - phase) / ICE_TICK_NS + 1) * ICE_TICK_NS + phase;
}

static void on_session_due(struct timer *t, ns_t now)
{
	struct session *s = container_of(t, struct session, timer);
	struct worker *w = s->worker;
	struct icelite_out out;

	if (now >= s->ice_due) {
		icelite_tick(&s->ice, &w->ice, now, &out);
		ice_apply(w, s, &out, NULL);
		ice_pay(w, s);
		parking_expire(w, &s->sealed, DROP_NOT_KEYED);
		parking_expire(w, &s->unclaimed, DROP_NO_TRACK);
		s->ice_due = s->send == SEND_ASK ? now + ICE_PROVING_NS : next_ice_tick(s, now);
	}
	session_due(w, s, s->ice_due);
	publish_video_run(w, s);
	choose_run(w, s);
	reports_run(w, s);
	viewer_run(w, s);
}

// --- life -----------------------------------------------------------------------------------------

void session_start(struct worker *w, struct session *s)
{
	ASSERT_HOME(w, s);
	ASSERT_HOT(!timer_armed(&s->timer));
	s->worker = w;
	s->timer.on_due = on_session_due;
	s->ice_due = next_ice_tick(s, w->now);
	session_due(w, s, s->ice_due);
	w->n_sessions++;
}

void session_stop(struct worker *w, struct session *s)
{
	ASSERT_HOME(w, s);
	ASSERT_HOT(!s->dead && w->n_sessions > 0 && w->n_legs >= s->n_legs && w->n_tracks >= s->n_tracks);
	s->dead = true;
	s->send = SEND_NOT;
	w->n_legs -= s->n_legs;
	w->n_tracks -= s->n_tracks;
	for (struct leg *leg = s->legs; leg; leg = leg->next)
		if (leg->viewer)
			viewer_stop(w, s, leg);
	s->legs = s->told = NULL;
	s->bwe = NULL;
	wheel_cancel(&w->wheel, &s->timer);
	ice_close(w, s);
	parking_clear(w, &s->sealed, DROP_NOT_KEYED);
	publish_stop(w, s);
	stream_free_all(w, s);
	arrivals_free(w, s);
	tombs_free(w, s);
	w->n_sessions--;
}

// The handshake proves the address that our flight went to and the answer came from, which need not be the one
// selected by now. -1: none.
static int proven_by_dtls(const struct session *s)
{
	if (s->dtls_to == 0 || s->dtls_from == 0) // keys without a handshake through here
		return s->ice.selected;
	return s->dtls_to == s->dtls_from ? s->dtls_to - 1 : -1;
}

void session_keys(struct worker *w, struct session *s, const struct seal_key *rx, const struct seal_key *tx,
		  uint32_t rtcp_ssrc)
{
	struct rte_mbuf *parked[PARKING_MAX];
	struct icelite_out out;

	ASSERT_HOME(w, s);
	ASSERT_HOT(s->tx_key == NULL && s->rx_key == NULL);
	s->rx_key = rx;
	s->tx_key = tx;
	s->rtcp_ssrc = rtcp_ssrc;
	s->profile = (uint16_t)seal_key_profile(tx);
	s->rtp_tag = (uint8_t)seal_rtp_tag_len(seal_key_profile(tx));
	if (s->dtls_from != 0) {
		icelite_on_handshake(&s->ice, s->dtls_from - 1u, w->now, &out);
		ice_apply(w, s, &out, NULL);
	}
	icelite_on_keys(&s->ice, proven_by_dtls(s));
	ice_refresh(s);
	ice_prove(w, s);
	receive_rtp(w, parked, parking_take(w, &s->sealed, parked, DROP_NOT_KEYED));
}
