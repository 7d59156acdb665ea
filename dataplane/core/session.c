#include "dataplane/core/session.h"

#include "dataplane/core/dp.h"
#include "lib/base/pool.h"

struct session *session_anywhere(struct worker *w, uint32_t sid)
{
	uint32_t slot = handle_slot(sid);
	struct session *s;

	if (slot >= w->dp->max_sessions)
		return NULL;
	// acquire: the session is complete before it can be seen; pairs with the publication in model.c
	s = atomic_load_explicit(&w->dp->session[slot], memory_order_acquire);
	return s && s->sid == sid ? s : NULL;
}

struct session *session_find(struct worker *w, uint32_t sid)
{
	struct session *s = session_anywhere(w, sid);

	return s && s->home == w->id && !s->dead ? s : NULL;
}

void session_due(struct worker *w, struct session *s, ns_t due)
{
	ASSERT_HOME(w, s);
	if (!timer_armed(&s->timer) || due < s->timer.due)
		wheel_arm(&w->wheel, &s->timer, due);
}

ns_t session_next_report(struct worker *w)
{
	return w->now + SESSION_REPORT_NS / 2 + (ns_t)(worker_random(w) % SESSION_REPORT_NS);
}

void session_arm_reports(struct worker *w, struct session *s)
{
	ASSERT_HOME(w, s);
	s->rtcp_armed = true;
	s->rtcp_due = session_next_report(w);
	session_due(w, s, s->rtcp_due);
}

bool bucket_take(struct bucket *b, ns_t now, unsigned per_s, unsigned burst)
{
	int64_t gained = (now - b->at) * per_s / NS_PER_S;

	ASSERT_HOT(per_s > 0 && burst > 0 && burst <= UINT16_MAX);
	if (b->at == 0 || gained > burst) {
		b->tokens = (uint16_t)burst;
		b->at = now;
	} else if (gained > 0) {
		b->tokens = (uint16_t)RTE_MIN(b->tokens + gained, burst);
		b->at = now;
	}
	if (b->tokens == 0)
		return false;
	b->tokens--;
	return true;
}
