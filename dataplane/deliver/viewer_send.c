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

// Header with the transport-wide number. Returns its length.
static uint8_t write_header(uint8_t *p, const struct viewer *v, bool marker, uint8_t pt, uint64_t index,
			    uint32_t ts, uint32_t ssrc, uint16_t twcc)
{
	rtp_write(p, v->twcc_id != 0, marker, pt, (uint16_t)index, ts, ssrc);
	if (v->twcc_id == 0)
		return RTP_HDR_LEN;
	be32_put(p + RTP_HDR_LEN, 0xbede0001);
	p[RTP_HDR_LEN + 4] = (uint8_t)(v->twcc_id << 4 | 1);
	be16_put(p + RTP_HDR_LEN + 5, twcc);
	p[RTP_HDR_LEN + 7] = 0;
	return RTP_HDR_LEN + EXT_BYTES;
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

// is_base: others are decoded from it.
static void slice_add(struct worker *w, struct viewer_slice *sl, struct leg *leg, bool is_base,
		      struct seal_rtp job)
{
	struct session *s = leg->session;

	job.key = s->tx_key;
	pkt_of(sl->out[sl->n])->class = is_base ? CLASS_KEY : CLASS_VIDEO;
	sl->job[sl->n] = job;
	sl->session[sl->n++] = s;
	sl->n_bytes += job.len;
	rate_add(leg->viewer, job.len, w->now);
	if (!s->rtcp_armed)
		session_arm_reports(w, s);
}

static bool is_base(const struct rtxring_entry *e)
{
	return e->tid == 0 && !(e->flags & LAYER_DISCARDABLE);
}

// The payload as this receiver is given it: shared, or a patched copy at dst.
static const uint8_t *payload_for(struct rte_mbuf *m, const struct rtxring_entry *e, unsigned cap,
				  uint16_t pid_offset, uint8_t tl0_offset, uint8_t *dst, bool must_copy)
{
	const struct pkt *pkt = pkt_of(m);
	const uint8_t *payload = rte_pktmbuf_mtod_offset(m, const uint8_t *, pkt->hdr_len);
	bool is_plain = pkt->vp8.len == 0 || vp8_is_plain(pid_offset, tl0_offset, e->n_dropped[cap]);

	if (is_plain && !must_copy)
		return payload;
	memcpy(dst, payload, m->data_len - pkt->hdr_len);
	if (!is_plain)
		vp8_patch(dst, &pkt->vp8, pid_offset, tl0_offset, e->n_dropped[cap]);
	return dst;
}

static void account(struct worker *w, struct leg *leg, unsigned len, uint32_t ts)
{
	leg->n_packets++;
	leg->n_octets += len;
	leg->last_ts = ts;
	leg->last_sent = w->now;
	leg->started = true;
}

void viewer_send(struct worker *w, struct viewer_slice *sl, struct leg *leg, const struct rtxring_entry *e,
		 unsigned cap, struct rte_mbuf *m, const struct rewrite_out *out)
{
	struct viewer *v = leg->viewer;
	const struct pkt *pkt = pkt_of(m);
	uint16_t len = (uint16_t)(m->data_len - pkt->hdr_len);
	uint8_t *hdr = rte_pktmbuf_mtod(sl->out[sl->n], uint8_t *);
	uint16_t twcc = take_number(w, leg->session, v, len, 0);
	uint8_t hdr_len =
		write_header(hdr, v, e->flags & LAYER_MARKER, leg->pt, out->index, out->ts, leg->ssrc, twcc);
	const uint8_t *src = payload_for(m, e, cap, out->pid_offset, out->tl0_offset, hdr + hdr_len, false);

	if (!out->is_late && pkt->vp8.len)
		vp8_leg_sent(&v->vp8, &pkt->vp8, e->n_dropped[cap]);
	resend_sent(&v->resend, out->index, twcc, w->now);
	account(w, leg, len, out->ts);
	slice_add(w, sl, leg, is_base(e),
		  (struct seal_rtp){.hdr = hdr,
				    .src = src,
				    .dst = hdr + hdr_len,
				    .hdr_len = hdr_len,
				    .len = len,
				    .ssrc = leg->ssrc,
				    .index = out->index});
}

static void send_rtx(struct worker *w, struct viewer_slice *sl, struct leg *leg,
		     const struct rtxring_entry *e, unsigned cap, const struct rewrite_epoch *epoch,
		     struct rte_mbuf *m, uint64_t index, uint8_t cluster)
{
	struct viewer *v = leg->viewer;
	uint16_t len = (uint16_t)(m->data_len - pkt_of(m)->hdr_len + OSN_BYTES);
	uint8_t *hdr = rte_pktmbuf_mtod(sl->out[sl->n], uint8_t *);
	uint16_t twcc = take_number(w, leg->session, v, len, cluster);
	uint8_t hdr_len = write_header(hdr, v, e->flags & LAYER_MARKER, v->rtx_pt, v->rtx_index,
				       e->ts + epoch->ts_offset, v->rtx_ssrc, twcc);

	be16_put(hdr + hdr_len, (uint16_t)index);
	payload_for(m, e, cap, epoch->pid_offset, epoch->tl0_offset, hdr + hdr_len + OSN_BYTES, true);
	slice_add(w, sl, leg, is_base(e),
		  (struct seal_rtp){.hdr = hdr,
				    .src = hdr + hdr_len,
				    .dst = hdr + hdr_len,
				    .hdr_len = hdr_len,
				    .len = len,
				    .ssrc = v->rtx_ssrc,
				    .index = v->rtx_index++});
}

// RFC 7714 section 8.1: one nonce, one packet. So every byte is what it was, the transport-wide number too.
static void send_same(struct worker *w, struct viewer_slice *sl, struct leg *leg,
		      const struct rtxring_entry *e, unsigned cap, const struct rewrite_epoch *epoch,
		      struct rte_mbuf *m, uint64_t index)
{
	struct viewer *v = leg->viewer;
	uint8_t *hdr = rte_pktmbuf_mtod(sl->out[sl->n], uint8_t *);
	const uint8_t *src;
	uint8_t hdr_len;
	uint16_t twcc;

	if (!resend_twcc(&v->resend, index, &twcc))
		return;
	hdr_len = write_header(hdr, v, e->flags & LAYER_MARKER, leg->pt, index, e->ts + epoch->ts_offset,
			       leg->ssrc, twcc);
	src = payload_for(m, e, cap, epoch->pid_offset, epoch->tl0_offset, hdr + hdr_len, false);
	slice_add(w, sl, leg, is_base(e),
		  (struct seal_rtp){.hdr = hdr,
				    .src = src,
				    .dst = hdr + hdr_len,
				    .hdr_len = hdr_len,
				    .len = (uint16_t)(m->data_len - pkt_of(m)->hdr_len),
				    .ssrc = leg->ssrc,
				    .index = index});
}

void viewer_send_again(struct worker *w, struct viewer_slice *sl, struct leg *leg,
		       const struct rtxring_entry *e, unsigned cap, struct rte_mbuf *m, uint64_t index,
		       uint8_t cluster)
{
	const struct rewrite_epoch *epoch = rewrite_epoch_of(&leg->viewer->rw, index);

	if (epoch == NULL)
		return;
	if (leg->viewer->rtx_pt == 0)
		send_same(w, sl, leg, e, cap, epoch, m, index);
	else if (leg->viewer->rtx_index < EGRESS_INDEX_END)
		send_rtx(w, sl, leg, e, cap, epoch, m, index, cluster);
}

void viewer_send_padding(struct worker *w, struct viewer_slice *sl, struct leg *leg, bool is_rtx,
			 uint64_t index, uint32_t ts, uint8_t n_pad, uint8_t cluster, const uint16_t *same)
{
	struct viewer *v = leg->viewer;
	uint32_t ssrc = is_rtx ? v->rtx_ssrc : leg->ssrc;
	uint8_t *hdr = rte_pktmbuf_mtod(sl->out[sl->n], uint8_t *);
	uint16_t twcc = same ? *same : take_number(w, leg->session, v, n_pad, cluster);
	uint8_t hdr_len = write_header(hdr, v, false, is_rtx ? v->rtx_pt : leg->pt, index, ts, ssrc, twcc);

	hdr[0] |= 0x20; // P
	memset(hdr + hdr_len, 0, n_pad);
	hdr[hdr_len + n_pad - 1] = n_pad;
	slice_add(w, sl, leg, false,
		  (struct seal_rtp){.hdr = hdr,
				    .src = hdr + hdr_len,
				    .dst = hdr + hdr_len,
				    .hdr_len = hdr_len,
				    .len = n_pad,
				    .ssrc = ssrc,
				    .index = index});
}
