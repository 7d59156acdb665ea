// Datagrams in. All that waits on a socket is read in one call, media of it is opened in one burst; the kernel's
// time of arrival is what counts, so the loop may come late without spoiling what is measured.
#include "tools/sluicegun/peer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/rtc/codec/vp8.h"
#include "lib/rtc/wire/demux.h"

#define BATCH 64
#define MAX_HEARD 1024       // SSRCs of one participant
#define LEG_GRACE_PACKETS 60 // a stream this young may not be heard yet

struct arrival {
	uint64_t wall_us;
	struct heard *h;
	struct rtp_view v;
};

// One socket at a time.
static struct {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	union ice_addr from[BATCH];
	uint8_t control[BATCH][64];
	uint8_t pkt[BATCH][2048];
	struct seal_rtp job[BATCH];
	struct arrival arrival[BATCH];
	unsigned n;
} in;

static_assert(BATCH <= SEAL_MAX_BURST);

struct heard *peer_heard(struct peer *p, uint32_t ssrc)
{
	for (unsigned i = 0; i < p->n_heard; i++)
		if (p->heard[i].ssrc == ssrc)
			return &p->heard[i];
	return NULL;
}

static struct heard *add(struct peer *p, uint32_t ssrc, uint8_t kind)
{
	struct heard *h;

	if (p->n_heard == p->max_heard) {
		unsigned n = p->max_heard ? 2u * p->max_heard : 4;

		if (n > MAX_HEARD)
			return NULL;
		h = realloc(p->heard, n * sizeof(*h));
		if (h == NULL)
			return NULL;
		p->heard = h;
		p->max_heard = (uint16_t)n;
	}
	h = &p->heard[p->n_heard++];
	*h = (struct heard){.ssrc = ssrc, .kind = kind};
	return h;
}

struct heard *peer_heard_add(struct peer *p, const struct desc_source *s)
{
	struct heard *h = peer_heard(p, s->ssrc), *rtx;

	if (h == NULL)
		h = add(p, s->ssrc, s->kind);
	if (h == NULL)
		return NULL;
	h->kind = s->kind;
	h->has_twcc = s->has_twcc;
	if (s->kind == SDP_VIDEO && s->has_nack && h->items == NULL &&
	    (h->items = malloc(NACKGEN_ITEMS * sizeof(*h->items))) != NULL) {
		h->has_nack = true;
		nackgen_init(&h->nack, h->items, NACKGEN_ITEMS);
	}
	if (s->has_twcc && p->twcc_ring == NULL &&
	    (p->twcc_ring = calloc(PEER_TWCC_SLOTS, sizeof(*p->twcc_ring))) != NULL)
		twcc_log_init(&p->twcc, p->twcc_ring, PEER_TWCC_SLOTS, 100 * NS_PER_MS);
	if (s->rtx != 0 && peer_heard(p, s->rtx) == NULL && (rtx = add(p, s->rtx, s->kind)) != NULL)
		rtx->rtx_of = s->ssrc;
	return peer_heard(p, s->ssrc); // add may have moved the array
}

// --- books -----------------------------------------------------------------------------------------------

// Which of the packet, and what became of it.
static void enter(struct peer *p, struct heard *h, const uint8_t *payload, size_t len, uint64_t index,
		  uint64_t wall_us, bool is_resent)
{
	struct tally *t = p->w->tally;
	bool is_video = h->kind == SDP_VIDEO;
	struct mark m;
	enum track_verdict v;

	if (!mark_read(payload, len, &m))
		return; // padding, probes
	h->stream = m.stream;
	if (p->w->conf->simulcast && is_video) {
		// Layers change on the way: the numbers of the server's own stream show what is missing.
		struct mark own = {.count = (uint32_t)index};

		v = track_add(&h->track, &own);
	} else {
		v = track_add(&h->track, &m);
	}
	if (v == TRACK_DUP || v == TRACK_OLD) {
		*(v == TRACK_DUP ? &t->n_dup : &t->n_old) += 1;
		return;
	}
	t->n_late += v == TRACK_LATE;
	*(is_video ? &t->video_in : &t->voice_in) += 1;
	t->bytes_in += len;
	if (!is_resent)
		hist_add(is_video ? &t->video_us : &t->voice_us, mark_latency_us(&m, wall_us));
}

static void on_resent(struct peer *p, struct heard *rtx, const uint8_t *payload, size_t len, uint64_t wall_us)
{
	struct heard *h = peer_heard(p, rtx->rtx_of);
	uint64_t index;

	if (h == NULL || !h->has_nack || !nackgen_rtx(&h->nack, payload, len, &index))
		return;
	if (nackgen_packet(&h->nack, index, false, p->w->now) != NACKGEN_RECOVERED)
		return;
	p->w->tally->n_rtx++;
	enter(p, h, payload + 2, len - 2, index, wall_us, true);
}

static void on_media(struct peer *p, const struct arrival *a, const struct seal_rtp *job)
{
	struct heard *h = a->h;
	size_t len = job->len - seal_rtp_tag_len(p->profile);
	uint64_t index;
	struct rtp_exts exts;

	// Two copies in one burst both passed the first look.
	if (srtpidx_estimate(&h->idx, a->v.seq, &index) < 0) {
		p->w->tally->n_dup++;
		return;
	}
	srtpidx_accept(&h->idx, index);
	if (p->twcc_ring && rtp_ext_read(job->hdr, &a->v, p->desc->ext_id, &exts) == 0 && exts.has_twcc)
		twcc_log_add(&p->twcc, exts.twcc, p->w->now);
	if (a->v.has_pad) {
		int pad = rtp_pad_len(job->dst, len);

		if (pad < 0)
			return;
		len -= (size_t)pad;
	}
	rx_stats_packet(&h->stats, index, a->v.ts, (uint32_t)len, p->w->now,
			h->kind == SDP_AUDIO ? 48000 : 90000);
	if (h->rtx_of != 0) {
		on_resent(p, h, job->dst, len, a->wall_us);
		return;
	}
	if (h->has_nack && nackgen_packet(&h->nack, index, len > 0 && vp8_is_key(job->dst, len),
					  p->w->now) == NACKGEN_OVERFLOW)
		peer_pli(p, h->ssrc);
	enter(p, h, job->dst, len, index, a->wall_us, false);
}

static void open_burst(struct peer *p)
{
	if (in.n == 0)
		return;
	seal_rtp_unprotect(p->w->seal, in.job, in.n);
	for (unsigned i = 0; i < in.n; i++)
		if (in.job[i].err == 0)
			on_media(p, &in.arrival[i], &in.job[i]);
		else
			p->w->tally->n_bad++;
	in.n = 0;
}

// --- reading ---------------------------------------------------------------------------------------------

static void on_rtp(struct peer *p, uint8_t *pkt, size_t len, uint64_t wall_us)
{
	struct arrival *a = &in.arrival[in.n];
	uint64_t index;
	int rc;

	if (p->rx == NULL || rtp_parse(pkt, len, seal_rtp_tag_len(p->profile), &a->v) < 0)
		return;
	a->h = peer_heard(p, a->v.ssrc);
	if (a->h == NULL) {
		// Not announced. The pointers of what is waiting would move with the array.
		open_burst(p);
		a = &in.arrival[0];
		if (rtp_parse(pkt, len, seal_rtp_tag_len(p->profile), &a->v) < 0 ||
		    (a->h = add(p, a->v.ssrc, a->v.pt == DESC_OPUS ? SDP_AUDIO : SDP_VIDEO)) == NULL)
			return;
	}
	a->wall_us = wall_us;
	rc = srtpidx_estimate(&a->h->idx, a->v.seq, &index);
	if (rc < 0) {
		*(rc == -EALREADY ? &p->w->tally->n_dup : &p->w->tally->n_old) += 1;
		return;
	}
	in.job[in.n++] = (struct seal_rtp){.key = p->rx,
					   .hdr = pkt,
					   .src = pkt + a->v.hdr_len,
					   .dst = pkt + a->v.hdr_len,
					   .hdr_len = a->v.hdr_len,
					   .len = (uint16_t)(len - a->v.hdr_len),
					   .ssrc = a->v.ssrc,
					   .index = index};
}

static uint64_t arrival_us(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec ts;

			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
		}
	return gun_wall_us();
}

static bool is_lost_here(struct peer *p)
{
	bool lost = p->w->conf->loss > 0 && rng_unit(&p->w->rng) < p->w->conf->loss;

	p->w->tally->n_dropped += lost;
	return lost;
}

static void on_datagram(struct peer *p, unsigned i)
{
	uint8_t *pkt = in.pkt[i];
	size_t len = in.msg[i].msg_len;

	switch (demux_classify(pkt, len)) {
	case DEMUX_RTP:
		if (!is_lost_here(p))
			on_rtp(p, pkt, len, arrival_us(&in.msg[i].msg_hdr));
		break;
	case DEMUX_RTCP:
		if (!is_lost_here(p))
			peer_on_rtcp(p, pkt, len);
		break;
	case DEMUX_STUN:
		peer_on_stun(p, pkt, len, &in.from[i]);
		break;
	case DEMUX_DTLS:
		open_burst(p); // it may end the participant's stay
		peer_on_dtls(p, pkt, len);
		break;
	default:
		p->w->tally->n_bad++;
	}
}

void peer_receive(struct peer *p)
{
	int n;

	do {
		for (unsigned i = 0; i < BATCH; i++) {
			in.iov[i] = (struct iovec){in.pkt[i], sizeof(in.pkt[i])};
			in.msg[i].msg_hdr = (struct msghdr){.msg_name = &in.from[i],
							    .msg_namelen = sizeof(in.from[i]),
							    .msg_iov = &in.iov[i],
							    .msg_iovlen = 1,
							    .msg_control = in.control[i],
							    .msg_controllen = sizeof(in.control[i])};
		}
		n = p->fd < 0 ? 0 : recvmmsg(p->fd, in.msg, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			on_datagram(p, (unsigned)i);
		open_burst(p);
	} while (n == BATCH);
}

// --- at the end ------------------------------------------------------------------------------------------

// Packets of a stream that this participant should have had: those up to the last that was sent, when its sender
// still is in the same stay. Of video that is dropped here only those up to the newest that came: nobody asks for a last one
// that nothing follows.
static uint64_t lost(struct peer *p, const struct heard *h)
{
	uint64_t sent = atomic_load_explicit(&p->w->shared->sent[h->stream], memory_order_relaxed);
	bool is_end = p->w->is_over && h->track.generation == (uint8_t)(sent >> 32) &&
		      !((p->w->conf->simulcast || p->w->conf->loss > 0) && h->kind == SDP_VIDEO);

	return is_end ? track_lost_until(&h->track, sent & UINT32_MAX) : track_lost(&h->track);
}

static bool hears(const struct peer *p, uint32_t stream)
{
	for (unsigned i = 0; i < p->n_heard; i++)
		if (p->heard[i].track.started && p->heard[i].stream == stream)
			return true;
	return false;
}

// Streams of the call that were sent for a while and never arrived here.
static uint64_t missing(struct peer *p)
{
	const struct gun_conf *c = p->w->conf;
	uint64_t n = 0;

	for (uint32_t id = p->call * c->people; id < (p->call + 1) * c->people; id++)
		for (unsigned k = 0; id != p->speaks_as && k < 2; k++) {
			uint32_t s = id * GUN_STREAMS + k;
			uint64_t sent = atomic_load_explicit(&p->w->shared->sent[s], memory_order_relaxed);

			if ((sent & UINT32_MAX) > LEG_GRACE_PACKETS && !hears(p, s) &&
			    !(k == 1 && c->simulcast && hears(p, s + 1)))
				n++;
		}
	return n;
}

void peer_finish(struct peer *p)
{
	struct tally *t = p->w->tally;

	for (unsigned i = 0; i < p->n_heard; i++) {
		struct heard *h = &p->heard[i];

		if (!h->track.started)
			continue;
		*(h->kind == SDP_VIDEO ? &t->video_lost : &t->voice_lost) += lost(p, h);
		t->n_legs++;
	}
	if (p->w->is_over && p->state == PEER_READY && p->w->conf->churn == 0 &&
	    (p->w->conf->n_publishers == 0 || p->tracks == 0))
		t->n_missing += missing(p);
}
