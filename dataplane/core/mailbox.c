#include "dataplane/core/mailbox.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_ring_elem.h>

#include "dataplane/core/dp.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

// --- mail -----------------------------------------------------------------------------------------

// One more look at a worker that has not done what main waits for.
static void wait_for(struct worker *w, ns_t *began)
{
	worker_wake(w);
	sched_yield();
	if (*began == 0)
		*began = clock_now();
	if (clock_now() - *began > STALL_FATAL_NS) {
		log_error("worker %u takes no commands: giving up", w->id);
		// cannot: a worker takes its mails each turn, whatever packets say; one that does not for 10
		// s is stuck
		abort();
	}
}

void mail_post(struct worker *to, const struct mail *mail)
{
	ns_t began = 0;

	assert(mail->type <= MAIL_QUERY);
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
