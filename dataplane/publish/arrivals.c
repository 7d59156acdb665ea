#include "dataplane/publish/arrivals.h"

#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/egress.h"

#define INTERVAL_NS (100 * NS_PER_MS)
#define FRAME_NS (20 * NS_PER_MS) // between two reports at ends of frames

static struct twcc_state *state_new(struct worker *w, bool is_wide)
{
	struct twcc_state *t;

	if (rte_mempool_get(is_wide ? w->dp->twcc_wide_pool : w->dp->twcc_pool, (void **)&t) < 0)
		return NULL;
	t->is_wide = is_wide;
	t->media_ssrc = 0;
	twcc_log_init(&t->log, t->ring, is_wide ? TWCC_VIDEO_SLOTS : TWCC_SLOTS, INTERVAL_NS);
	return t;
}

static void state_free(struct worker *w, struct twcc_state *t)
{
	rte_mempool_put(t->is_wide ? w->dp->twcc_wide_pool : w->dp->twcc_pool, t);
}

void arrivals_log(struct worker *w, struct session *s, const struct pkt *pkt, uint16_t number)
{
	ASSERT_HOME(w, s);
	if (s->twcc == NULL && (s->twcc = state_new(w, false)) == NULL)
		return;
	s->twcc->media_ssrc = pkt->ssrc;
	twcc_log_add(&s->twcc->log, number, pkt->arrival);
	session_due(w, s, twcc_log_due(&s->twcc->log));
}

static void send_arrivals(struct worker *w, struct session *s)
{
	uint8_t bytes[TWCC_MAX_MSG];
	struct twcc_log *log = &s->twcc->log;

	while (log->n_pending > 0) {
		struct wbuf out = wbuf_of(bytes, sizeof(bytes));
		int len = twcc_log_write(log, &out, s->rtcp_ssrc, s->twcc->media_ssrc, w->now);

		if (len <= 0)
			return;
		count(w, CTR_RTCP_TWCC_TX, 1);
		egress_rtcp(w, s, bytes, (size_t)len);
	}
}

void arrivals_widen(struct worker *w, struct session *s)
{
	struct twcc_state *wide;

	ASSERT_HOME(w, s);
	if (s->twcc == NULL || s->twcc->is_wide || (wide = state_new(w, true)) == NULL)
		return;
	send_arrivals(w, s); // what the short one knows; the long one begins after it
	wide->log.fb_count = s->twcc->log.fb_count;
	wide->media_ssrc = s->twcc->media_ssrc;
	state_free(w, s->twcc);
	s->twcc = wide;
}

void arrivals_frame(struct worker *w, struct session *s)
{
	if (s->twcc && w->now - s->twcc->log.last_sent >= FRAME_NS)
		send_arrivals(w, s);
}

void arrivals_run(struct worker *w, struct session *s)
{
	ASSERT_HOME(w, s);
	if (s->twcc == NULL)
		return;
	if (w->now >= twcc_log_due(&s->twcc->log))
		send_arrivals(w, s);
	if (twcc_log_due(&s->twcc->log) != NS_NEVER)
		session_due(w, s, twcc_log_due(&s->twcc->log));
}

void arrivals_free(struct worker *w, struct session *s)
{
	if (s->twcc)
		state_free(w, s->twcc);
	s->twcc = NULL;
}
