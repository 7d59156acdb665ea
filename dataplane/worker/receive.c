// Receiving media, in passes over a burst: find key and index, authenticate and decrypt all at once, then
// per packet what may only be done for authenticated ones: replay window, statistics, binding to a track.
#include "dataplane/worker/receive.h"

#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/core/tomb.h"
#include "dataplane/gate/ice.h"
#include "dataplane/media/stream.h"
#include "dataplane/publish/publish.h"
#include "dataplane/publish/publish_video.h"
#include "lib/rtc/wire/rtp.h"

// A packet between the passes.
struct job {
	struct rte_mbuf *m;
	struct session *s;
	struct stream *st; // NULL: first of its SSRC
	struct rtp_view v;
};

// Unknown SSRCs cost a cipher run each: a session that keeps failing is not given any more in this second.
static bool may_try_unknown(struct worker *w, struct session *s)
{
	if (w->now - s->bad_since > NS_PER_S) {
		s->bad_since = w->now;
		s->n_bad = 0;
	}
	return s->n_bad < SESSION_BAD_TAGS;
}

static bool has_room(struct worker *w, const struct session *s)
{
	return s->n_streams < SESSION_MAX_SSRCS || stream_find_ended(s, w->now) != NULL;
}

// The stream of an SSRC that is authentic; one that has ended makes room for it. NULL: nothing does. The highest index of
// what goes stays known, so that nothing of it can be replayed.
static struct stream *make_stream(struct worker *w, struct session *s, uint32_t ssrc)
{
	struct stream *old = s->n_streams >= SESSION_MAX_SSRCS ? stream_find_ended(s, w->now) : NULL;

	if (old != NULL) {
		if (!tomb_put(w, s, TOMB_RTP, old->ssrc, old->idx.top))
			return NULL;
		publish_forget(s, old);
		stream_end(w, s, old);
	}
	return stream_new(w, s, ssrc);
}

static int estimate(const struct job *job, uint64_t *index)
{
	struct srtpidx first;

	if (job->st != NULL)
		return srtpidx_estimate(&job->st->idx, job->v.seq, index);
	first = stream_first_state(job->s, job->v.ssrc);
	return srtpidx_estimate(&first, job->v.seq, index);
}

// First pass for one packet: everything that can be judged on the clear header. False: it is gone.
static bool prepare(struct worker *w, struct rte_mbuf *m, struct job *job, struct seal_rtp *rtp)
{
	struct pkt *pkt = pkt_of(m);
	struct session *s = session_find(w, pkt->sid);
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
	enum counter why;
	int err;

	if (s == NULL) {
		drop(w, m, DROP_NO_FLOW);
		return false;
	}
	icelite_on_rx(&s->ice, pkt->pair, m->data_len);
	if (s->rx_key == NULL) {
		parking_add(w, &s->sealed, m, DROP_NOT_KEYED);
		return false;
	}
	*job = (struct job){.m = m, .s = s};
	why = DROP_BAD_RTP;
	if (rtp_parse(data, m->data_len, s->rtp_tag, &job->v) < 0)
		goto refuse;
	job->st = stream_find(s, job->v.ssrc);
	why = job->st ? DROP_BAD_TAG : DROP_SSRC_LIMIT;
	if (job->st == NULL && (!has_room(w, s) || !may_try_unknown(w, s)))
		goto refuse;
	err = estimate(job, &pkt->index);
	why = err == -EALREADY ? DROP_REPLAY_DUP : DROP_REPLAY;
	if (err < 0)
		goto refuse;
	if (job->st && publish_may_stay_closed(w, s, job->st, pkt->index, m, &job->v)) {
		publish_unopened(w, s, job->st, m, &job->v);
		return false;
	}
	pkt->hdr_len = job->v.hdr_len;
	*rtp = (struct seal_rtp){.key = s->rx_key,
				 .hdr = data,
				 .src = data + job->v.hdr_len,
				 .dst = data + job->v.hdr_len,
				 .hdr_len = job->v.hdr_len,
				 .len = (uint16_t)(m->data_len - job->v.hdr_len),
				 .ssrc = job->v.ssrc,
				 .index = pkt->index};
	return true;
refuse:
	drop(w, m, why);
	return false;
}

// The first packet of an SSRC is opened apart: when it fails, another index may be worth a try, and a failed
// GCM run has destroyed what it worked on.
static bool open_first(struct worker *w, struct job *job, struct seal_rtp *rtp)
{
	struct srtpidx first = stream_first_state(job->s, job->v.ssrc);
	uint8_t plain[2048];
	uint8_t *in_place = rtp->dst;
	uint64_t index;
	bool ok;

	rtp->dst = plain;
	ok = seal_rtp_unprotect(w->seal, rtp, 1) == 1;
	if (!ok && srtpidx_trial(&first, job->v.seq, &index)) {
		rtp->index = pkt_of(job->m)->index = index;
		ok = seal_rtp_unprotect(w->seal, rtp, 1) == 1;
	}
	if (ok)
		memcpy(in_place, plain, rtp->len - job->s->rtp_tag);
	rtp->dst = in_place;
	return ok;
}

// The packet is authentic: enter it into the replay window. False when it came twice in this burst.
static bool accept_index(struct stream *st, const struct pkt *pkt, uint16_t seq, bool *is_newer)
{
	uint64_t index;

	*is_newer = !st->idx.started || pkt->index > st->idx.top;
	if (st->idx.started && (srtpidx_estimate(&st->idx, seq, &index) < 0 || index != pkt->index))
		return false;
	srtpidx_accept(&st->idx, pkt->index);
	return true;
}

// Cut tag and padding off; false when the padding count is impossible.
static bool trim(struct job *job, uint16_t *payload_len)
{
	struct rte_mbuf *m = job->m;
	uint8_t *payload = rte_pktmbuf_mtod_offset(m, uint8_t *, job->v.hdr_len);
	int pad = 0;

	*payload_len = job->v.payload_len;
	if (job->v.has_pad) {
		pad = rtp_pad_len(payload, *payload_len);
		if (pad < 0)
			return false;
	}
	*payload_len = (uint16_t)(*payload_len - pad);
	m->data_len = (uint16_t)(job->v.hdr_len + *payload_len);
	m->pkt_len = m->data_len;
	return true;
}

// Second half for one authentic packet. m is consumed.
static void take_packet(struct worker *w, struct job *job)
{
	struct pkt *pkt = pkt_of(job->m);
	struct session *s = job->s;
	struct stream *st = stream_find(s, job->v.ssrc);
	uint16_t payload_len;
	bool is_newer;

	ASSERT_HOME(w, s);
	if (st == NULL)
		st = make_stream(w, s, job->v.ssrc);
	if (st == NULL) {
		drop(w, job->m, DROP_SSRC_LIMIT);
		return;
	}
	if (!accept_index(st, pkt, job->v.seq, &is_newer)) {
		drop(w, job->m, DROP_REPLAY_DUP);
		return;
	}
	ice_on_media(w, s, pkt->pair, is_newer);
	pkt->ts = job->v.ts;
	pkt->ssrc = job->v.ssrc;
	pkt->seq = job->v.seq;
	pkt->pt = job->v.pt;
	pkt->marker = job->v.marker;
	count(w, CTR_RTP_RX_PACKETS, 1);
	if (!trim(job, &payload_len)) {
		drop(w, job->m, DROP_BAD_PADDING);
		return;
	}
	count(w, CTR_RTP_RX_BYTES, payload_len);
	publish_packet(w, s, st, job->m, &job->v, payload_len);
}

// Authenticate and decrypt what is prepared, all at once, and take what is authentic.
static void open_burst(struct worker *w, struct job *job, struct seal_rtp *rtp, unsigned n)
{
	seal_rtp_unprotect(w->seal, rtp, n);
	for (unsigned i = 0; i < n; i++) {
		if (rtp[i].err)
			drop(w, job[i].m, DROP_BAD_TAG);
		else
			take_packet(w, &job[i]);
	}
}

void receive_rtp(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	struct job job[BURST], first;
	struct seal_rtp rtp[BURST], first_rtp;
	unsigned n_jobs = 0;

	ASSERT_HOT(n <= BURST);
	for (unsigned i = 0; i < n; i++) {
		if (!prepare(w, pkts[i], &job[n_jobs], &rtp[n_jobs]))
			continue;
		if (job[n_jobs].st != NULL) {
			n_jobs++;
			continue;
		}
		first = job[n_jobs];
		first_rtp = rtp[n_jobs];
		open_burst(w, job, rtp, n_jobs); // it must not overtake them: it may repair one of theirs
		n_jobs = 0;
		if (open_first(w, &first, &first_rtp)) {
			take_packet(w, &first);
		} else {
			first.s->n_bad++;
			drop(w, first.m, DROP_BAD_TAG);
		}
	}
	open_burst(w, job, rtp, n_jobs);
	publish_video_flush(w);
}
