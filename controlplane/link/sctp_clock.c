#include "controlplane/link/sctp_clock.h"

#include <assert.h>

#include "lib/base/err.h"
#include "lib/peer/dchan.h"

static void on_tick(struct timer *t, ns_t now)
{
	struct sctp_clock *c = container_of(t, struct sctp_clock, timer);
	bool goes_on = *c->n_sessions > 0;

	link_doze(c->link, goes_on);
	link_look(c->link);
	dchan_clock(now);
	if (goes_on)
		loop_arm_in(c->loop, t, (link_awaits(c->link) ? SCTP_CLOCK_MS : SCTP_IDLE_MS) * NS_PER_MS);
}

void sctp_clock_init(struct sctp_clock *c, struct loop *loop, struct link *link, const uint32_t *n_sessions)
{
	*c = (struct sctp_clock){
		.loop = loop, .link = link, .n_sessions = n_sessions, .timer.on_due = on_tick};
}

void sctp_clock_start(struct sctp_clock *c)
{
	assert(c->link != NULL);
	if (!timer_armed(&c->timer))
		loop_arm_in(c->loop, &c->timer, SCTP_CLOCK_MS * NS_PER_MS);
}

void sctp_clock_stop(struct sctp_clock *c)
{
	if (c->loop != NULL)
		loop_cancel(c->loop, &c->timer);
}
