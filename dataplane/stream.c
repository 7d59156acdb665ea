// Receiving media, in passes over a burst: find key and index, authenticate and decrypt all at once, then
// per packet what may only be done for authenticated ones: replay window, statistics, binding to a track.
#include "dataplane/stream.h"

#include <string.h>

#include "dataplane/fanout.h"
#include "dataplane/mailbox.h"
#include "dataplane/publish.h"
#include "dataplane/session.h"
#include "dataplane/worker.h"
#include "lib/rtc/rtp.h"

// A packet between the passes.
struct job {
	struct rte_mbuf *m;
	struct session *s;
	struct stream *st; // NULL: first of its SSRC
	struct rtp_view v;
};

struct stream *stream_find(const struct session *s, uint32_t ssrc)
{
	struct stream *st = s->streams;

	while (st != NULL && st->ssrc != ssrc)
		st = st->next;
	return st;
}

void stream_free_all(struct worker *w, struct session *s)
{
	for (struct stream *st = s->streams, *next; st; st = next) {
		next = st->next;
		rte_mempool_put(w->dp->stream_pool, st);
	}
	s->streams = NULL;
	s->n_streams = 0;
}

void stream_unbind(struct session *s, const struct source *src)
{
	for (struct stream *st = s->streams; st; st = st->next)
		if (st->source == src) {
			st->source = NULL;
			st->announced = false;
		}
}

static void park(struct worker *w, struct session *s, struct rte_mbuf *m)
{
	if (s->n_parked == SESSION_PARK ||
	    (s->n_parked > 0 && w->now - pkt_of(s->parked[0])->arrival > SESSION_PARK_NS)) {
		drop(w, s->parked[0], DROP_NOT_KEYED);
		memmove(s->parked, s->parked + 1, --s->n_parked * sizeof(s->parked[0]));
	}
	s->parked[s->n_parked++] = m;
}

void stream_unpark(struct worker *w, struct session *s)
{
	unsigned n = 0;

	while (n < s->n_parked && w->now - pkt_of(s->parked[n])->arrival > SESSION_PARK_NS)
		drop(w, s->parked[n++], DROP_NOT_KEYED);
	s->n_parked = (uint8_t)(s->n_parked - n);
	memmove(s->parked, s->parked + n, s->n_parked * sizeof(s->parked[0]));
}

// Unknown SSRCs cost a cipher run each: a session that keeps failing is not given any more in this second.
static bool may_try_unknown(struct worker *w, struct session *s)
{
	if (w->now - s->bad_since > NS_PER_S) {
		s->bad_since = w->now;
		s->n_bad = 0;
	}
	return s->n_bad < SESSION_BAD_TAGS;
}

// First pass for one packet: everything that can be judged on the clear header. False: it is gone.
static bool prepare(struct worker *w, struct rte_mbuf *m, struct job *job, struct seal_rtp *rtp)
{
	static const struct srtpidx fresh;
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
		park(w, s, m);
		return false;
	}
	*job = (struct job){.m = m, .s = s};
	why = DROP_BAD_RTP;
	if (rtp_parse(data, m->data_len, s->rtp_tag, &job->v) < 0)
		goto refuse;
	job->st = stream_find(s, job->v.ssrc);
	why = job->st ? DROP_BAD_TAG : DROP_SSRC_LIMIT;
	if (job->st == NULL && (s->n_streams >= SESSION_MAX_SSRCS || !may_try_unknown(w, s)))
		goto refuse;
	err = srtpidx_estimate(job->st ? &job->st->idx : &fresh, job->v.seq, &pkt->index);
	why = err == -EALREADY ? DROP_REPLAY_DUP : DROP_REPLAY;
	if (err < 0)
		goto refuse;
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
	static const struct srtpidx fresh;
	uint8_t plain[2048];
	uint8_t *in_place = rtp->dst;
	uint64_t index;
	bool ok;

	rtp->dst = plain;
	ok = seal_rtp_unprotect(w->seal, rtp, 1) == 1;
	if (!ok && srtpidx_trial(&fresh, job->v.seq, &index)) {
		rtp->index = pkt_of(job->m)->index = index;
		ok = seal_rtp_unprotect(w->seal, rtp, 1) == 1;
	}
	if (ok)
		memcpy(in_place, plain, rtp->len - job->s->rtp_tag);
	rtp->dst = in_place;
	return ok;
}

static struct stream *stream_new(struct worker *w, struct session *s, uint32_t ssrc)
{
	struct stream *st;

	if (s->n_streams >= SESSION_MAX_SSRCS || rte_mempool_get(w->dp->stream_pool, (void **)&st) < 0)
		return NULL;
	*st = (struct stream){.next = s->streams, .ssrc = ssrc, .born = w->now};
	s->streams = st;
	s->n_streams++;
	return st;
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
static void take(struct worker *w, struct job *job)
{
	struct pkt *pkt = pkt_of(job->m);
	struct session *s = job->s;
	struct stream *st = stream_find(s, job->v.ssrc);
	uint16_t payload_len;
	bool is_newer;

	if (st == NULL)
		st = stream_new(w, s, job->v.ssrc);
	if (st == NULL) {
		drop(w, job->m, DROP_SSRC_LIMIT);
		return;
	}
	if (!accept_index(st, pkt, job->v.seq, &is_newer)) {
		drop(w, job->m, DROP_REPLAY_DUP);
		return;
	}
	session_on_media(w, s, pkt->pair, is_newer);
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

void stream_receive(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	struct job job[BURST];
	struct seal_rtp rtp[BURST];
	unsigned n_jobs = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!prepare(w, pkts[i], &job[n_jobs], &rtp[n_jobs]))
			continue;
		if (job[n_jobs].st == NULL) {
			struct job first = job[n_jobs];
			if (open_first(w, &first, &rtp[n_jobs])) {
				take(w, &first);
			} else {
				first.s->n_bad++;
				drop(w, first.m, DROP_BAD_TAG);
			}
			continue;
		}
		n_jobs++;
	}
	seal_rtp_unprotect(w->seal, rtp, n_jobs);
	for (unsigned i = 0; i < n_jobs; i++) {
		if (rtp[i].err)
			drop(w, job[i].m, DROP_BAD_TAG);
		else
			take(w, &job[i]);
	}
}
