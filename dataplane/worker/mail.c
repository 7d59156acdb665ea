#include "dataplane/worker/mail.h"

#include <string.h>

#include <rte_ring_elem.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/gate/ice.h"
#include "dataplane/media/bwe.h"
#include "dataplane/media/leg.h"
#include "dataplane/media/room.h"
#include "dataplane/publish/publish.h"
#include "dataplane/worker/query.h"
#include "dataplane/worker/session_life.h"

// Video comes before voice, in order of importance.
static bool goes_before(const struct leg *leg, const struct leg *other)
{
	if (leg->viewer == NULL || other->viewer == NULL)
		return other->viewer == NULL;
	return leg->importance < other->importance;
}

static void leg_add(struct worker *w, struct session *s, struct leg *leg, struct bwe *bwe)
{
	struct leg **at = &s->legs;

	ASSERT_HOT(leg->session == s);
	while (*at && !goes_before(leg, *at))
		at = &(*at)->next;
	leg->next = *at;
	*at = leg;
	s->n_legs++;
	w->n_legs++;
	if (bwe && s->bwe == NULL) {
		s->bwe = bwe;
		bwe_start(w, s);
	}
	if (leg->viewer) {
		viewer_start(w, s, leg);
		bwe_leg_added(w, s);
	}
}

static void leg_del(struct worker *w, struct session *s, struct leg *leg)
{
	for (struct leg **at = &s->legs; *at; at = &(*at)->next)
		if (*at == leg) {
			*at = leg->next;
			if (s->told == leg)
				s->told = NULL;
			s->n_legs--;
			w->n_legs--;
			if (leg->viewer)
				viewer_stop(w, s, leg);
			return;
		}
}

static void do_mail(struct worker *w, const struct mail *mail)
{
	struct session *s = mail->session;

	ASSERT_HOT(s == NULL || s->home == w->id);
	switch ((enum mail_type)mail->type) {
	case MAIL_SESSION_ADD:
		session_start(w, s);
		break;
	case MAIL_SESSION_DEL:
		session_stop(w, s);
		break;
	case MAIL_CREDS:
		ice_creds(w, s, mail->creds);
		break;
	case MAIL_KEYS:
		session_keys(w, s, mail->keys.rx, mail->keys.tx, mail->keys.rtcp_ssrc);
		break;
	case MAIL_EXTMAP:
		memcpy(s->ext, mail->ext, sizeof(s->ext));
		break;
	case MAIL_TRACK:
		publish_track(w, s, mail->track.source, mail->track.track, mail->track.enabled);
		break;
	case MAIL_GATE:
		publish_gate(w, s, mail->track.source, mail->track.enabled);
		break;
	case MAIL_TRACK_DEL:
		publish_track_del(w, s, mail->track.source);
		break;
	case MAIL_LEG_ADD:
		leg_add(w, s, mail->leg.leg, mail->leg.bwe);
		break;
	case MAIL_LEG_DEL:
		leg_del(w, s, mail->leg.leg);
		break;
	case MAIL_QUERY:
		query_answer(w, s, mail->seq);
		break;
	case MAIL_ROOM_ADD:
		room_start(w, mail->room);
		break;
	case MAIL_ROOM_CHANGED:
		room_changed(w, mail->room);
		break;
	case MAIL_ROOM_DEL:
		room_stop(w, mail->room);
		break;
	case MAIL_PUNT:
		w->punt = mail->punt;
		break;
	}
}

unsigned mail_drain(struct worker *w)
{
	struct mail mail;
	unsigned n = 0;

	while (n < MAIL_RING && rte_ring_sc_dequeue_elem(w->mail, &mail, sizeof(mail)) == 0) {
		do_mail(w, &mail);
		n++;
	}
	if (n > 0) {
		uint64_t done = atomic_load_explicit(&w->n_mails_done, memory_order_relaxed);
		// release: what the mails pointed to is no longer used; pairs with reclaim_run
		atomic_store_explicit(&w->n_mails_done, done + n, memory_order_release);
	}
	return n;
}
