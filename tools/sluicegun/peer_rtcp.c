#include "tools/sluicegun/peer.h"

#include <string.h>

#include "lib/base/buf.h"

#define MAX_RTCP 1200

static void send_rtcp(struct peer *p, uint8_t *msg, size_t len, size_t size)
{
	int n = seal_rtcp_protect(p->w->seal, p->tx, msg, len, size, p->rtcp_index++);

	if (n > 0)
		peer_send(p, msg, (size_t)n);
}

// --- out -------------------------------------------------------------------------------------------------

static void write_sr(struct peer *p, const struct sender *s, struct wbuf *w)
{
	struct rtcp_sr sr = {.ssrc = s->ssrc,
			     .rtp = s->ts,
			     .ntp = clock_ntp(clock_wall()),
			     .n_packets = (uint32_t)s->n_packets,
			     .n_octets = (uint32_t)s->n_bytes};

	rtcp_write_sr(w, &sr, NULL, 0);
}

static unsigned write_blocks(struct peer *p, unsigned from, struct rtcp_block *block)
{
	unsigned n = 0;

	for (unsigned i = from; i < p->n_heard && n < RTCP_MAX_BLOCKS; i++)
		if (p->heard[i].stats.is_active)
			rx_stats_report(&p->heard[i].stats, p->heard[i].ssrc, p->w->now, &block[n++]);
	return n;
}

void peer_reports(struct peer *p)
{
	uint8_t msg[MAX_RTCP + SEAL_MAX_RTCP_GROWTH];
	struct wbuf w = wbuf_of(msg, MAX_RTCP);
	struct rtcp_block block[RTCP_MAX_BLOCKS];
	uint32_t ssrc = p->rtcp_ssrc;

	if (p->tx == NULL)
		return;
	for (unsigned i = 0; i < GUN_STREAMS; i++) {
		struct sender *s = peer_sender(p, i);

		if (s == NULL || s->n_packets == 0)
			continue;
		write_sr(p, s, &w);
		ssrc = s->ssrc;
	}
	rtcp_write_rr(&w, ssrc, block, write_blocks(p, 0, block));
	rtcp_write_sdes(&w, ssrc, str_of(p->desc->cname));
	if (!w.full)
		send_rtcp(p, msg, wbuf_len(&w), sizeof(msg));
}

void peer_pli(struct peer *p, uint32_t ssrc)
{
	uint8_t msg[64 + SEAL_MAX_RTCP_GROWTH];
	struct wbuf w = wbuf_of(msg, 64);

	rtcp_write_rr(&w, p->rtcp_ssrc, NULL, 0);
	rtcp_write_pli(&w, p->rtcp_ssrc, ssrc);
	send_rtcp(p, msg, wbuf_len(&w), sizeof(msg));
	p->w->tally->n_plis_out++;
}

static void ask_again(struct peer *p, struct heard *h)
{
	static struct nackgen_out out; // one at a time
	uint8_t msg[MAX_RTCP + SEAL_MAX_RTCP_GROWTH];
	struct wbuf w = wbuf_of(msg, MAX_RTCP);

	nackgen_tick(&h->nack, 0, p->w->now, &out);
	if (out.n_lost > 0)
		peer_pli(p, h->ssrc);
	if (out.n_seq == 0)
		return;
	rtcp_write_rr(&w, p->rtcp_ssrc, NULL, 0);
	rtcp_write_nack(&w, p->rtcp_ssrc, h->ssrc, out.seq, out.n_seq);
	if (!w.full)
		send_rtcp(p, msg, wbuf_len(&w), sizeof(msg));
	p->w->tally->n_nacks += out.n_seq;
}

void peer_feedback(struct peer *p)
{
	if (p->tx == NULL)
		return;
	for (unsigned i = 0; i < p->n_heard; i++)
		if (p->heard[i].has_nack && nackgen_due(&p->heard[i].nack) <= p->w->now)
			ask_again(p, &p->heard[i]);
	while (p->twcc_ring && twcc_log_due(&p->twcc) <= p->w->now) {
		uint8_t msg[TWCC_MAX_MSG + 64 + SEAL_MAX_RTCP_GROWTH];
		struct wbuf w = wbuf_of(msg, TWCC_MAX_MSG);

		if (twcc_log_write(&p->twcc, &w, p->rtcp_ssrc, 0, p->w->now) <= 0)
			break;
		send_rtcp(p, msg, wbuf_len(&w), sizeof(msg));
		p->w->tally->n_twcc++;
	}
}

// --- in --------------------------------------------------------------------------------------------------

static void on_feedback(struct peer *p, const struct rtcp_pkt *pkt)
{
	struct rtcp_fb fb;
	uint16_t seq[RTCP_MAX_NACKS];
	uint32_t ssrc;
	uint8_t seq_nr;

	if (rtcp_fb_read(pkt, &fb) < 0)
		return;
	if (pkt->pt == RTCP_RTPFB && pkt->count == RTPFB_NACK) {
		peer_resend(p, fb.media, seq, rtcp_nack_read(&fb, seq, RTCP_MAX_NACKS));
	} else if (pkt->pt == RTCP_PSFB && pkt->count == PSFB_PLI) {
		peer_want_key(p, fb.media);
		p->w->tally->n_plis_in++;
	} else if (pkt->pt == RTCP_PSFB && pkt->count == PSFB_FIR) {
		for (unsigned i = 0; rtcp_fir_read(&fb, i, &ssrc, &seq_nr) == 0; i++)
			peer_want_key(p, ssrc);
		p->w->tally->n_plis_in++;
	}
}

static void on_sr(struct peer *p, const struct rtcp_pkt *pkt)
{
	struct rtcp_sr sr;
	struct heard *h;

	if (rtcp_sr_read(pkt, &sr) == 0 && (h = peer_heard(p, sr.ssrc)) != NULL)
		rx_stats_sr(&h->stats, sr.ntp, p->w->now);
}

void peer_on_rtcp(struct peer *p, uint8_t *msg, size_t len)
{
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	uint32_t index; // no replay window: servers count for the session or for each SSRC
	int n;

	if (p->rx == NULL)
		return;
	n = seal_rtcp_unprotect(p->w->seal, p->rx, msg, len, &index);
	if (n < 0) {
		p->w->tally->n_bad++;
		return;
	}
	rtcp_begin(&it, msg, (size_t)n);
	while (rtcp_next(&it, &pkt)) {
		if (pkt.pt == RTCP_RTPFB || pkt.pt == RTCP_PSFB)
			on_feedback(p, &pkt);
		else if (pkt.pt == RTCP_SR)
			on_sr(p, &pkt);
	}
}
