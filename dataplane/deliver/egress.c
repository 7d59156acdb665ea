// The hot loop. Per receiver: its leg's line, its session's first lines, its key schedule, one fresh mbuf.
// The header of a class (payload type, extension ids) is made once and copied; sequence number, timestamp
// and SSRC are patched; the cipher reads the shared plaintext and writes the mbuf, so it is the copy.
#include "dataplane/deliver/egress.h"

#include <string.h>

#include <rte_prefetch.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/media/leg.h"
#include "lib/base/buf.h"
#include "lib/rtc/send/rewrite.h"
#include "lib/rtc/wire/rtp.h"

// An SRTCP index is never used twice: this many, then no more RTCP (3 years at 20/s; RFC 3711 section 9.2).
#define RTCP_INDEX_END ((1u << 31) - (1u << 20))

#define MAX_HDR (RTP_HDR_LEN + 8) // one extension of one byte

// Header that all receivers of a class share.
struct class
{
	uint8_t pt, level_id, hdr_len;
	uint8_t hdr[MAX_HDR];
};

static void make_class(struct class *c, const struct leg *leg, uint8_t level_id, const struct pkt *pkt)
{
	struct rtp_ext level = {.id = level_id, .data = &pkt->level, .len = 1};
	int ext_len = 0;

	if (level_id && pkt->has_level)
		ext_len = rtp_ext_write(c->hdr + RTP_HDR_LEN, sizeof(c->hdr) - RTP_HDR_LEN, &level, 1);
	rtp_write(c->hdr, ext_len > 0, pkt->marker, leg->pt, 0, pkt->ts, 0);
	c->pt = leg->pt;
	c->level_id = level_id;
	c->hdr_len = (uint8_t)(RTP_HDR_LEN + RTE_MAX(ext_len, 0));
}

// May this receiver have the packet now? Sets the leg's numbers going with its first packet.
static bool admit(struct worker *w, struct leg *leg, struct session *s, const struct pkt *pkt, uint64_t rank,
		  unsigned len)
{
	ASSERT_HOME(w, s);
	if (s->tx_key == NULL || leg->codec != pkt->codec)
		return false;
	if (s->send != SEND_FREE && (s->send == SEND_NOT || !icelite_may_send(&s->ice, len))) {
		count(w, DROP_NO_PATH, 1);
		return false;
	}
	if (!leg->started) {
		leg->base = rewrite_start_seq((uint32_t)worker_random(w)) - rank;
		leg->first_rank = rank;
		leg->started = true;
	}
	if (rank + leg->base >= EGRESS_INDEX_END) {
		count(w, DROP_SEAL_ERROR, 1);
		return false;
	}
	return rank >= leg->first_rank;
}

static void write_voice_header(uint8_t *hdr, const struct class *c, const struct leg *leg, uint64_t index)
{
	memcpy(hdr, c->hdr, MAX_HDR);
	be16_put(hdr + 2, (uint16_t)index);
	be32_put(hdr + 8, leg->ssrc);
}

static void account_voice(struct worker *w, struct leg *leg, struct session *s, const struct pkt *pkt,
			  unsigned len)
{
	leg->n_packets++;
	leg->n_octets += len;
	leg->last_ts = pkt->ts;
	leg->last_sent = w->now;
	if (!s->rtcp_armed)
		session_arm_reports(w, s);
}

// Packets of a slice between the passes.
struct slice {
	unsigned n;
	struct seal_rtp job[EGRESS_SLICE];
	struct rte_mbuf *out[EGRESS_SLICE];
	struct session *session[EGRESS_SLICE];
};

// First pass: a header and a job for each receiver that may have the packet.
static void fill_slice(struct worker *w, struct slice *sl, const struct receiver *to, uint32_t n,
		       struct rte_mbuf *m, uint64_t rank)
{
	const struct pkt *pkt = pkt_of(m);
	const uint8_t *payload = rte_pktmbuf_mtod_offset(m, const uint8_t *, pkt->hdr_len);
	uint16_t len = (uint16_t)(m->data_len - pkt->hdr_len);
	struct class c = {.hdr_len = 0};

	for (uint32_t i = 0; i < n; i++) {
		struct leg *leg = to[i].leg;
		struct session *s = to[i].session;

		if (i + 6 < n)
			rte_prefetch0(to[i + 6].leg);
		if (i + 4 < n)
			rte_prefetch0(to[i + 4].session);
		if (!admit(w, leg, s, pkt, rank, len))
			continue;
		if (c.hdr_len == 0 || c.pt != leg->pt || c.level_id != s->ext[EXT_LEVEL])
			make_class(&c, leg, s->ext[EXT_LEVEL], pkt);
		uint64_t index = rank + leg->base;
		uint8_t *hdr = rte_pktmbuf_mtod(sl->out[sl->n], uint8_t *);
		write_voice_header(hdr, &c, leg, index);
		sl->job[sl->n] = (struct seal_rtp){.key = s->tx_key,
						   .hdr = hdr,
						   .src = payload,
						   .dst = hdr + c.hdr_len,
						   .hdr_len = c.hdr_len,
						   .len = len,
						   .ssrc = leg->ssrc,
						   .index = index};
		pkt_of(sl->out[sl->n])->class = CLASS_AUDIO;
		sl->session[sl->n++] = s;
		account_voice(w, leg, s, pkt, len);
	}
}

// Second pass: seal all at once, queue what came out.
void egress_send(struct worker *w, struct seal_rtp *job, struct rte_mbuf **out,
		 struct session *const *session, unsigned n)
{
	ASSERT_HOT(n <= EGRESS_SLICE);
	seal_rtp_protect(w->seal, job, n);
	for (unsigned i = 0; i < n; i++) {
		if (job[i].err) {
			drop(w, out[i], DROP_SEAL_ERROR);
			continue;
		}
		out[i]->data_len = (uint16_t)(job[i].hdr_len + job[i].len + session[i]->rtp_tag);
		out[i]->pkt_len = out[i]->data_len;
		worker_send(w, &session[i]->path, out[i]);
	}
}

// Up to EGRESS_SLICE receivers.
static void fan_slice(struct worker *w, const struct receiver *to, uint32_t n, struct rte_mbuf *m,
		      uint64_t rank)
{
	struct slice sl;

	ASSERT_HOT(n <= EGRESS_SLICE);
	if (rte_pktmbuf_alloc_bulk(w->dp->tx_pool, sl.out, n) != 0) {
		count(w, DROP_NO_MBUF, n);
		return;
	}
	sl.n = 0;
	fill_slice(w, &sl, to, n, m, rank);
	egress_send(w, sl.job, sl.out, sl.session, sl.n);
	if (sl.n < n)
		mbufs_unused(sl.out + sl.n, n - sl.n);
	count(w, CTR_RTP_TX_PACKETS, sl.n);
	count(w, CTR_RTP_TX_BYTES, (uint64_t)sl.n * (m->data_len - pkt_of(m)->hdr_len));
}

void egress_fan(struct worker *w, const struct receiver *to, uint32_t n, struct rte_mbuf *m, uint64_t rank)
{
	const struct pkt *pkt = pkt_of(m);

	if (MAX_HDR + (m->data_len - pkt->hdr_len) + SEAL_MAX_TAG > PORT_MAX_PAYLOAD) {
		count(w, DROP_TOO_BIG, n);
		return;
	}
	for (uint32_t i = 0; i < n; i += EGRESS_SLICE)
		fan_slice(w, to + i, RTE_MIN(n - i, EGRESS_SLICE), m, rank);
}

void egress_rtcp(struct worker *w, struct session *s, const uint8_t *compound, size_t len)
{
	struct rte_mbuf *m;
	int sealed;

	ASSERT_HOME(w, s);
	if (s->tx_key == NULL || s->send == SEND_NOT || s->rtcp_index >= RTCP_INDEX_END)
		return;
	if (s->send == SEND_ASK && !icelite_may_send(&s->ice, (unsigned)len + SEAL_MAX_RTCP_GROWTH))
		return;
	m = worker_packet(w, compound, len);
	if (m == NULL)
		return;
	sealed = seal_rtcp_protect(w->seal, s->tx_key, rte_pktmbuf_mtod(m, uint8_t *), len,
				   len + SEAL_MAX_RTCP_GROWTH, s->rtcp_index);
	if (sealed < 0) {
		drop(w, m, DROP_SEAL_ERROR);
		return;
	}
	s->rtcp_index++;
	m->data_len = (uint16_t)sealed;
	m->pkt_len = m->data_len;
	count(w, CTR_RTCP_TX_PACKETS, 1);
	worker_send(w, &s->path, m);
}
