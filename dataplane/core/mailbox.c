#include "dataplane/core/mailbox.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ring_elem.h>

#include "dataplane/media/bwe.h"
#include "dataplane/gate/ice.h"
#include "dataplane/media/leg.h"
#include "dataplane/publish/publish.h"
#include "dataplane/worker/query.h"
#include "dataplane/media/room.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/core/dp.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

// --- mail -----------------------------------------------------------------------------------------

static void do_mail(struct worker *w, const struct mail *mail);

// One more look at a worker that has not done what main waits for.
static void wait_for(struct worker *w, ns_t *began)
{
	worker_wake(w);
	sched_yield();
	if (*began == 0)
		*began = clock_now();
	if (clock_now() - *began > STALL_FATAL_NS) {
		log_error("worker %u takes no commands: giving up", w->id);
		abort();
	}
}

void mail_post(struct worker *to, const struct mail *mail)
{
	ns_t began = 0;

	if (atomic_load_explicit(&to->dp->stop, memory_order_relaxed)) { // workers have returned: tidying up
		mail_drain(to);
		do_mail(to, mail);
		return;
	}
	while (rte_ring_sp_enqueue_elem(to->mail, (void *)(uintptr_t)mail, sizeof(*mail)) != 0)
		wait_for(to, &began);
	to->n_mails_posted++;
	worker_wake(to);
}

void mail_wait(struct worker *w)
{
	ns_t began = 0;

	// acquire: the worker has let go of what the mails took away; pairs with mail_drain
	while (!atomic_load_explicit(&w->dp->stop, memory_order_relaxed) &&
	       atomic_load_explicit(&w->n_mails_done, memory_order_acquire) < w->n_mails_posted)
		wait_for(w, &began);
}

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

// --- notes ----------------------------------------------------------------------------------------

bool note_post(struct worker *w, const struct note *note)
{
	if (rte_ring_sp_enqueue_elem(w->notes, (void *)(uintptr_t)note, sizeof(*note)) != 0) {
		count(w, CTR_EVENTS_LOST, 1);
		return false;
	}
	w->noted = true;
	return true;
}

void note_flush(struct worker *w)
{
	const uint64_t one = 1;

	if (!w->noted)
		return;
	w->noted = false;
	atomic_thread_fence(memory_order_seq_cst); // the note before the look; pairs with the sleep of ctl.c
	if (atomic_load_explicit(&w->dp->main_asleep, memory_order_relaxed) &&
	    write(w->dp->main_doorbell, &one, sizeof(one)) < 0)
		count(w, CTR_EVENTS_LOST, 0); // the counter is full: main is being woken already
}

bool note_take(struct worker *from, struct note *note)
{
	return rte_ring_sc_dequeue_elem(from->notes, note, sizeof(*note)) == 0;
}
