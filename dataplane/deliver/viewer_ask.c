// What receivers of video ask for: packets again, key frames; and what probes of their path are made of.
#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/viewer_priv.h"
#include "dataplane/media/bwe.h"
#include "dataplane/media/layer.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/media/layer_read.h"
#include "lib/rtc/wire/rtcp.h"

#define PROBE_BACK 32 // packets behind the newest that a probe may carry again
#define MAX_PAD 255

// --- packets again --------------------------------------------------------------------------------------

static bool may_resend(struct worker *w, struct leg *leg, const struct rtxring_entry *e, uint64_t index,
		       unsigned len)
{
	struct session *s = leg->session;
	struct resend_ask ask = {.index = index,
				 .n_bytes = viewer_wire_bytes(s, leg->viewer, len),
				 .target_bps = w->overload.stage >= OVERLOAD_PROBES ? s->bwe->target * 2 / 5
										    : s->bwe->target,
				 .rtt = s->rtt.smooth_ns,
				 .is_congested = s->bwe->is_congested,
				 .is_vital = e->tid == 0,
				 .now = w->now};

	return resend_allow(&leg->viewer->resend, &ask) == RESEND_OK;
}

// The place of a packet that will never come: padding, so that the receiver can go on. Sent under its index for the
// first time now, or once more as it was.
static bool send_filler(struct worker *w, struct viewer_slice *sl, struct leg *leg,
			const struct rtxring_entry *e, uint64_t index)
{
	struct viewer *v = leg->viewer;
	const struct rewrite_epoch *epoch = rewrite_epoch_of(&v->rw, index);
	uint16_t twcc;
	bool is_again = resend_twcc(&v->resend, index, &twcc);

	if (epoch == NULL || (is_again && !may_resend(w, leg, e, index, RTXRING_FILLER_PAD)))
		return false;
	if (!is_again) {
		twcc = bwe_sent(leg->session->bwe, viewer_wire_bytes(leg->session, v, RTXRING_FILLER_PAD), 0,
				w->now);
		resend_sent(&v->resend, index, twcc, w->now);
	}
	viewer_send_padding(w, sl, leg,
			    &(struct viewer_padding){.index = index,
						     .ts = e->ts + epoch->ts_offset,
						     .n_bytes = RTXRING_FILLER_PAD,
						     .same = &twcc});
	return true;
}

static bool send_seq(struct worker *w, struct viewer_slice *sl, struct leg *leg, uint16_t seq)
{
	struct viewer *v = leg->viewer;
	struct layer *l;
	struct rtxring_entry e;
	struct rte_mbuf *m;
	uint32_t source;
	uint64_t index, rank;
	unsigned cap;

	if (!rewrite_origin(&v->rw, seq, &index, &source, &rank))
		return false;
	cap = source % RTXRING_CAPS;
	l = viewer_layer(leg, source / RTXRING_CAPS);
	if (l == NULL)
		return false;
	switch (layer_find(l, cap, rank, &e, &m)) {
	case RTXRING_HELD:
		if (!may_resend(w, leg, &e, index, m->data_len - pkt_of(m)->hdr_len))
			return false;
		viewer_send_again(w, sl, leg, &(struct viewer_pkt){&e, m, cap}, index, 0);
		return true;
	case RTXRING_FILLER:
		return send_filler(w, sl, leg, &e, index);
	case RTXRING_MISSING: // it will be forwarded when it comes
	case RTXRING_UNKNOWN:
		break;
	}
	return false;
}

void viewer_nack(struct worker *w, struct session *s, struct leg *leg, const uint16_t *seq, unsigned n)
{
	struct viewer_slice sl;
	unsigned n_sent = 0;

	ASSERT_HOME(w, s);
	ASSERT_HOT(leg->session == s);
	if (!viewer_may_send(w, leg, 1))
		return;
	viewer_slice_begin(&sl);
	for (unsigned i = 0; i < n && i < RTCP_MAX_NACKS; i++) {
		if (sl.n == VIEWER_SLICE)
			viewer_slice_end(w, &sl);
		n_sent += viewer_slice_has_room(w, &sl) && send_seq(w, &sl, leg, seq[i]);
	}
	viewer_slice_end(w, &sl);
	leg->viewer->n_nacked += n;
	leg->viewer->n_resent += n_sent;
	count(w, CTR_RTP_RESENT, n_sent);
}

// --- key frames -----------------------------------------------------------------------------------------

static void ask_key(struct worker *w, struct session *s, struct leg *leg)
{
	struct viewer *v = leg->viewer;
	const struct simulcast *c = &v->choice;
	unsigned layer = c->now != SIMULCAST_NONE ? v->layer : c->want_layer;
	struct layer *l = viewer_layer(leg, layer);

	ASSERT_HOME(w, s);
	if (l == NULL || !keyreq_leg_allow(&v->asks, s->rtt.smooth_ns, w->now))
		return;
	v->n_key_requests++;
	layer_ask_key(l);
}

void viewer_pli(struct worker *w, struct session *s, struct leg *leg)
{
	ask_key(w, s, leg);
}

void viewer_fir(struct worker *w, struct session *s, struct leg *leg, uint8_t seq_nr)
{
	if (keyreq_leg_fir_is_new(&leg->viewer->asks, seq_nr))
		ask_key(w, s, leg);
}

// --- probes ---------------------------------------------------------------------------------------------

// A packet of the last ones again: useful redundancy. False: there is none.
static bool probe_again(struct worker *w, struct viewer_slice *sl, struct leg *leg, uint8_t cluster,
			unsigned max_bytes)
{
	struct viewer *v = leg->viewer;
	uint64_t index = v->rw.next_out - 1 - v->n_picked++ % PROBE_BACK, rank;
	struct layer *l;
	struct rtxring_entry e;
	struct rte_mbuf *m;
	uint32_t source;

	if (!rewrite_origin(&v->rw, (uint16_t)index, &index, &source, &rank))
		return false;
	l = viewer_layer(leg, source / RTXRING_CAPS);
	if (l == NULL || layer_find(l, source % RTXRING_CAPS, rank, &e, &m) != RTXRING_HELD)
		return false;
	if (viewer_wire_bytes(leg->session, v, m->data_len) > max_bytes)
		return false;
	viewer_send_again(w, sl, leg, &(struct viewer_pkt){&e, m, source % RTXRING_CAPS}, index, cluster);
	return sl->n > 0;
}

// Padding under numbers of the media itself, between two frames: what follows begins an epoch of its own.
static bool probe_media_pad(struct worker *w, struct viewer_slice *sl, struct leg *leg, uint8_t cluster)
{
	struct viewer *v = leg->viewer;

	if (v->is_in_frame || v->rw.n_epochs == 0)
		return false;
	viewer_send_padding(w, sl, leg,
			    &(struct viewer_padding){.index = rewrite_pad(&v->rw),
						     .ts = v->rw.last_ts,
						     .n_bytes = MAX_PAD,
						     .cluster = cluster});
	return true;
}

static bool probe_with(struct worker *w, struct viewer_slice *sl, struct leg *leg, uint8_t cluster,
		       unsigned max_bytes)
{
	struct viewer *v = leg->viewer;

	if (v->rw.n_epochs == 0)
		return false;
	if (v->rtx_pt == 0)
		return probe_media_pad(w, sl, leg, cluster);
	if (v->choice.now == SIMULCAST_NONE || !probe_again(w, sl, leg, cluster, max_bytes))
		viewer_send_padding(w, sl, leg,
				    &(struct viewer_padding){.index = v->rtx_index++,
							     .ts = v->rw.last_ts,
							     .n_bytes = MAX_PAD,
							     .is_rtx = true,
							     .cluster = cluster});
	return true;
}

unsigned viewer_probe(struct worker *w, struct session *s, uint8_t cluster, unsigned max_bytes)
{
	struct viewer_slice sl;
	unsigned bytes = 0;

	ASSERT_HOME(w, s);
	viewer_slice_begin(&sl);
	for (struct leg *leg = s->legs; leg && leg->viewer && bytes == 0; leg = leg->next)
		if (viewer_may_send(w, leg, 1) && viewer_slice_has_room(w, &sl) &&
		    probe_with(w, &sl, leg, cluster, max_bytes))
			bytes = viewer_wire_bytes(s, leg->viewer, sl.job[0].len);
	viewer_slice_end(w, &sl);
	return bytes;
}
