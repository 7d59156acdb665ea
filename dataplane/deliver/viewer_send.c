// From a packet of the ring to a sealed one. The cipher reads the shared payload and writes the fresh buffer, unless
// numbers inside of the payload differ for this receiver: then it is copied, patched and sealed in place.
#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/egress.h"
#include "dataplane/deliver/viewer_priv.h"
#include "dataplane/media/bwe.h"
#include "dataplane/media/layer.h"
#include "lib/base/buf.h"
#include "lib/rtc/wire/rtp.h"

#define EXT_BYTES 8 // one-byte form: transport-wide number
#define OSN_BYTES 2 // RFC 4588
#define IPV4_UDP 28
#define IPV6_UDP 48

bool viewer_slice_fill(struct worker *w, struct viewer_slice *sl)
{
	if (!sl->is_dry && rte_pktmbuf_alloc_bulk(w->dp->tx_pool, sl->out, VIEWER_SLICE) == 0) {
		sl->n_bufs = VIEWER_SLICE;
		return true;
	}
	count(w, DROP_NO_MBUF, 1);
	sl->is_dry = true;
	return false;
}

void viewer_slice_end(struct worker *w, struct viewer_slice *sl)
{
	ASSERT_HOT(sl->n <= sl->n_bufs && sl->n_bufs <= VIEWER_SLICE);
	if (sl->n_bufs == 0)
		return;
	egress_send(w, sl->job, sl->out, sl->session, sl->n);
	if (sl->n < sl->n_bufs)
		mbufs_unused(sl->out + sl->n, sl->n_bufs - sl->n);
	count(w, CTR_RTP_TX_PACKETS, sl->n);
	count(w, CTR_RTP_TX_BYTES, sl->n_bytes);
	sl->n = sl->n_bufs = 0;
	sl->n_bytes = 0;
}

bool viewer_may_send(struct worker *w, const struct leg *leg, unsigned len)
{
	struct session *s = leg->session;

	if (s->tx_key == NULL)
		return false;
	if (s->send == SEND_FREE || (s->send == SEND_ASK && icelite_may_send(&s->ice, len)))
		return true;
	count(w, DROP_NO_PATH, 1);
	return false;
}

unsigned viewer_wire_bytes(const struct session *s, const struct viewer *v, unsigned payload_len)
{
	return payload_len + RTP_HDR_LEN + (v->twcc_id ? EXT_BYTES : 0) + s->rtp_tag +
	       (s->path.key.family == 6 ? IPV6_UDP : IPV4_UDP);
}

// A packet as it goes out, before it is sealed.
struct viewer_draft {
	uint8_t *hdr;       // in its buffer, with room for the payload behind it
	const uint8_t *src; // payload in the clear: behind the header, or shared by all receivers
	uint64_t index;     // SRTP
	uint32_t ssrc, ts;
	uint16_t twcc; // transport-wide number
	uint16_t len;  // of the payload
	uint8_t pt;
	uint8_t hdr_len;
	bool marker;
	bool is_base; // others are decoded from it
};

// Header with the transport-wide number; the payload comes behind it unless it is said to be elsewhere.
static inline void write_video_header(struct viewer_draft *d, const struct viewer *v)
{
	uint8_t *p = d->hdr;

	rtp_write(p, v->twcc_id != 0, d->marker, d->pt, (uint16_t)d->index, d->ts, d->ssrc);
	d->hdr_len = RTP_HDR_LEN;
	if (v->twcc_id != 0) {
		be32_put(p + RTP_HDR_LEN, 0xbede0001);
		p[RTP_HDR_LEN + 4] = (uint8_t)(v->twcc_id << 4 | 1);
		be16_put(p + RTP_HDR_LEN + 5, d->twcc);
		p[RTP_HDR_LEN + 7] = 0;
		d->hdr_len += EXT_BYTES;
	}
	d->src = p + d->hdr_len;
}

static uint16_t take_number(struct worker *w, struct session *s, const struct viewer *v, unsigned payload_len,
			    uint8_t cluster)
{
	return bwe_sent(s->bwe, viewer_wire_bytes(s, v, payload_len), cluster, w->now);
}

// What the leg is sent, over a second each.
static void rate_add(struct viewer *v, unsigned n_bytes, ns_t now)
{
	ns_t dt = now - v->rate_since;

	if (dt >= VIEWER_RATE_NS) {
		v->rate_bps = (uint32_t)((uint64_t)v->rate_bytes * 8 * NS_PER_S / (uint64_t)dt);
		v->rate_bytes = 0;
		v->rate_since = now;
	}
	v->rate_bytes += n_bytes;
}

static uint8_t *next_buffer(const struct viewer_slice *sl)
{
	return rte_pktmbuf_mtod(sl->out[sl->n], uint8_t *);
}

static inline void slice_add(struct worker *w, struct viewer_slice *sl, struct leg *leg,
			     const struct viewer_draft *d)
{
	struct session *s = leg->session;

	ASSERT_HOT(sl->n < sl->n_bufs && s->tx_key);
	ASSERT_HOT(d->len <= rte_pktmbuf_tailroom(sl->out[sl->n]));
	pkt_of(sl->out[sl->n])->class = d->is_base ? CLASS_KEY : CLASS_VIDEO;
	sl->job[sl->n] = (struct seal_rtp){.key = s->tx_key,
					   .hdr = d->hdr,
					   .src = d->src,
					   .dst = d->hdr + d->hdr_len,
					   .hdr_len = d->hdr_len,
					   .len = d->len,
					   .ssrc = d->ssrc,
					   .index = d->index};
	sl->session[sl->n++] = s;
	sl->n_bytes += d->len;
	rate_add(leg->viewer, d->len, w->now);
	if (!s->rtcp_armed)
		session_arm_reports(w, s);
}

static bool is_base(const struct rtxring_entry *e)
{
	return e->tid == 0 && !(e->flags & LAYER_DISCARDABLE);
}

static uint16_t payload_len(const struct viewer_pkt *p)
{
	return (uint16_t)(p->m->data_len - pkt_of(p->m)->hdr_len);
}

// The payload as this receiver is given it: shared, or a patched copy at dst.
static const uint8_t *payload_for(const struct viewer_pkt *p, uint16_t pid_offset, uint8_t tl0_offset,
				  uint8_t *dst, bool must_copy)
{
	const struct pkt *pkt = pkt_of(p->m);
	const uint8_t *payload = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, pkt->hdr_len);
	unsigned n_dropped = p->e->n_dropped[p->cap];
	bool is_plain = pkt->vp8.len == 0 || vp8_is_plain(pid_offset, tl0_offset, n_dropped);

	if (is_plain && !must_copy)
		return payload;
	memcpy(dst, payload, payload_len(p));
	if (!is_plain)
		vp8_patch(dst, &pkt->vp8, pid_offset, tl0_offset, n_dropped);
	return dst;
}

static void account_video(struct worker *w, struct leg *leg, unsigned len, uint32_t ts)
{
	leg->n_packets++;
	leg->n_octets += len;
	leg->last_ts = ts;
	leg->last_sent = w->now;
	leg->started = true;
}

void viewer_send(struct worker *w, struct viewer_slice *sl, struct leg *leg, const struct viewer_pkt *p,
		 const struct rewrite_out *out)
{
	struct viewer *v = leg->viewer;
	const struct pkt *pkt = pkt_of(p->m);
	struct viewer_draft d = {.hdr = next_buffer(sl),
				 .index = out->index,
				 .ssrc = leg->ssrc,
				 .ts = out->ts,
				 .len = payload_len(p),
				 .pt = leg->pt,
				 .marker = p->e->flags & LAYER_MARKER,
				 .is_base = is_base(p->e)};

	d.twcc = take_number(w, leg->session, v, d.len, 0);
	write_video_header(&d, v);
	d.src = payload_for(p, out->pid_offset, out->tl0_offset, d.hdr + d.hdr_len, false);
	if (!out->is_late && pkt->vp8.len)
		vp8_leg_sent(&v->vp8, &pkt->vp8, p->e->n_dropped[p->cap]);
	resend_sent(&v->resend, out->index, d.twcc, w->now);
	account_video(w, leg, d.len, out->ts);
	slice_add(w, sl, leg, &d);
}

// Which packet is sent again, and as part of which probe.
struct again {
	const struct rewrite_epoch *epoch; // that its index belongs to
	uint64_t index;                    // it was sent under
	uint8_t cluster;                   // of a probe, 0: none
};

static void send_rtx(struct worker *w, struct viewer_slice *sl, struct leg *leg, const struct viewer_pkt *p,
		     const struct again *again)
{
	struct viewer *v = leg->viewer;
	const struct rewrite_epoch *epoch = again->epoch;
	struct viewer_draft d = {.hdr = next_buffer(sl),
				 .index = v->rtx_index++,
				 .ssrc = v->rtx_ssrc,
				 .ts = p->e->ts + epoch->ts_offset,
				 .len = (uint16_t)(payload_len(p) + OSN_BYTES),
				 .pt = v->rtx_pt,
				 .marker = p->e->flags & LAYER_MARKER,
				 .is_base = is_base(p->e)};

	d.twcc = take_number(w, leg->session, v, d.len, again->cluster);
	write_video_header(&d, v);
	be16_put(d.hdr + d.hdr_len, (uint16_t)again->index);
	payload_for(p, epoch->pid_offset, epoch->tl0_offset, d.hdr + d.hdr_len + OSN_BYTES, true);
	slice_add(w, sl, leg, &d);
}

// RFC 7714 section 8.1: one nonce, one packet. So every byte is what it was, the transport-wide number too.
static void send_same(struct worker *w, struct viewer_slice *sl, struct leg *leg, const struct viewer_pkt *p,
		      const struct again *again)
{
	struct viewer *v = leg->viewer;
	const struct rewrite_epoch *epoch = again->epoch;
	struct viewer_draft d = {.hdr = next_buffer(sl),
				 .index = again->index,
				 .ssrc = leg->ssrc,
				 .ts = p->e->ts + epoch->ts_offset,
				 .len = payload_len(p),
				 .pt = leg->pt,
				 .marker = p->e->flags & LAYER_MARKER,
				 .is_base = is_base(p->e)};

	if (!resend_twcc(&v->resend, again->index, &d.twcc))
		return;
	write_video_header(&d, v);
	d.src = payload_for(p, epoch->pid_offset, epoch->tl0_offset, d.hdr + d.hdr_len, false);
	slice_add(w, sl, leg, &d);
}

void viewer_send_again(struct worker *w, struct viewer_slice *sl, struct leg *leg, const struct viewer_pkt *p,
		       uint64_t index, uint8_t cluster)
{
	struct again again = {
		.epoch = rewrite_epoch_of(&leg->viewer->rw, index), .index = index, .cluster = cluster};

	if (again.epoch == NULL)
		return;
	if (leg->viewer->rtx_pt == 0)
		send_same(w, sl, leg, p, &again);
	else if (leg->viewer->rtx_index < EGRESS_INDEX_END)
		send_rtx(w, sl, leg, p, &again);
}

void viewer_send_padding(struct worker *w, struct viewer_slice *sl, struct leg *leg,
			 const struct viewer_padding *pad)
{
	struct viewer *v = leg->viewer;
	struct viewer_draft d = {.hdr = next_buffer(sl),
				 .index = pad->index,
				 .ssrc = pad->is_rtx ? v->rtx_ssrc : leg->ssrc,
				 .ts = pad->ts,
				 .len = pad->n_bytes,
				 .pt = pad->is_rtx ? v->rtx_pt : leg->pt};
	uint8_t *payload;

	d.twcc = pad->same ? *pad->same : take_number(w, leg->session, v, pad->n_bytes, pad->cluster);
	write_video_header(&d, v);
	payload = d.hdr + d.hdr_len;
	d.hdr[0] |= 0x20; // P
	memset(payload, 0, pad->n_bytes);
	payload[pad->n_bytes - 1] = pad->n_bytes;
	slice_add(w, sl, leg, &d);
}
