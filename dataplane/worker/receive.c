// Receiving media, in passes over a burst: find key and index, authenticate and decrypt all at once, then
// per packet what may only be done for authenticated ones: replay window, statistics, binding to a track.
#include "dataplane/media/stream.h"

#include <string.h>

#include "dataplane/media/fanout.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/publish/publish.h"
#include "dataplane/publish/publish_video.h"
#include "dataplane/core/session.h"
#include "dataplane/media/source.h"
#include "dataplane/core/tomb.h"
#include "dataplane/core/dp.h"
#include "lib/rtc/wire/rtp.h"

#define NO_SR_NS (2 * NS_PER_S) // then arrival has to do for the clock, for want of sender reports
#define ENDED_NS (2 * NS_PER_S) // after a BYE, or the end of its track, an SSRC has no more to say
#define IDLE_NS (60 * NS_PER_S) // one that says nothing for so long has ended too

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

bool stream_clock(const struct stream *st, struct session *s, ns_t now, struct clock_map *map)
{
	*map = (struct clock_map){
		.at = now, .clock_hz = st->source ? st->source->clock_hz : 0, .valid = true};
	if (sr_map_rtp_at(&st->map, &s->clock, now, &map->rtp))
		return true;
	map->at = st->stats.last_arrival;
	map->rtp = st->stats.last_ts;
	map->valid = st->stats.started && now - st->born >= NO_SR_NS;
	return map->valid;
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

// The state an SSRC without a stream begins with: what is left of its former life, if it had any.
static struct srtpidx first_state(const struct session *s, uint32_t ssrc)
{
	struct srtpidx idx = {};
	uint64_t top;

	if (tomb_find(s, TOMB_RTP, ssrc, &top))
		srtpidx_restore(&idx, top);
	return idx;
}

static bool has_ended(const struct stream *st, ns_t now)
{
	ns_t silent = now - st->stats.last_arrival;

	return silent > IDLE_NS || (silent > ENDED_NS && (st->source == NULL || st->ended != 0));
}

// The stream that makes room for another: the longest silent one of those that have ended; NULL: none has.
static struct stream *find_ended(const struct session *s, ns_t now)
{
	struct stream *best = NULL;

	for (struct stream *st = s->streams; st; st = st->next)
		if (has_ended(st, now) && (!best || st->stats.last_arrival < best->stats.last_arrival))
			best = st;
	return best;
}

// Its highest index stays known, so that nothing of it can be replayed.
static bool stream_end(struct worker *w, struct session *s, struct stream *st)
{
	struct stream **at = &s->streams;

	if (!tomb_put(w, s, TOMB_RTP, st->ssrc, st->idx.top))
		return false;
	publish_forget(s, st);
	while (*at != st)
		at = &(*at)->next;
	*at = st->next;
	s->n_streams--;
	rte_mempool_put(w->dp->stream_pool, st);
	count(w, CTR_SSRCS_ENDED, 1);
	return true;
}

static bool has_room(struct worker *w, const struct session *s)
{
	return s->n_streams < SESSION_MAX_SSRCS || find_ended(s, w->now) != NULL;
}

static struct stream *stream_new(struct worker *w, struct session *s, uint32_t ssrc)
{
	struct stream *st = s->n_streams >= SESSION_MAX_SSRCS ? find_ended(s, w->now) : NULL;

	if (st != NULL && !stream_end(w, s, st))
		return NULL;
	if (s->n_streams >= SESSION_MAX_SSRCS || rte_mempool_get(w->dp->stream_pool, (void **)&st) < 0)
		return NULL;
	*st = (struct stream){.next = s->streams, .ssrc = ssrc, .born = w->now, .idx = first_state(s, ssrc)};
	tomb_take(s, TOMB_RTP, ssrc);
	s->streams = st;
	s->n_streams++;
	return st;
}

static int estimate(const struct job *job, uint64_t *index)
{
	struct srtpidx first;

	if (job->st != NULL)
		return srtpidx_estimate(&job->st->idx, job->v.seq, index);
	first = first_state(job->s, job->v.ssrc);
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
	struct srtpidx first = first_state(job->s, job->v.ssrc);
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

// Authenticate and decrypt what is prepared, all at once, and take what is authentic.
static void finish(struct worker *w, struct job *job, struct seal_rtp *rtp, unsigned n)
{
	seal_rtp_unprotect(w->seal, rtp, n);
	for (unsigned i = 0; i < n; i++) {
		if (rtp[i].err)
			drop(w, job[i].m, DROP_BAD_TAG);
		else
			take(w, &job[i]);
	}
}

void stream_receive(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	struct job job[BURST], first;
	struct seal_rtp rtp[BURST], first_rtp;
	unsigned n_jobs = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!prepare(w, pkts[i], &job[n_jobs], &rtp[n_jobs]))
			continue;
		if (job[n_jobs].st != NULL) {
			n_jobs++;
			continue;
		}
		first = job[n_jobs];
		first_rtp = rtp[n_jobs];
		finish(w, job, rtp, n_jobs); // it must not overtake them: it may repair one of theirs
		n_jobs = 0;
		if (open_first(w, &first, &first_rtp)) {
			take(w, &first);
		} else {
			first.s->n_bad++;
			drop(w, first.m, DROP_BAD_TAG);
		}
	}
	finish(w, job, rtp, n_jobs);
	publish_video_flush(w);
}
