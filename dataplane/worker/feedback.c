#include "dataplane/worker/feedback.h"

#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/core/tomb.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/gate/ice.h"
#include "dataplane/media/bwe.h"
#include "dataplane/media/leg.h"
#include "dataplane/media/source.h"
#include "dataplane/media/stream.h"
#include "dataplane/publish/publish_video.h"
#include "dataplane/worker/reports.h"
#include "lib/rtc/wire/rtcp.h"

#define LSR_GUESSES 16 // wrong LSRs before report blocks are no proof any more: a second has 65536 right ones
#define RTCP_PER_S 200 // datagrams of a session
#define RTCP_BURST 200
#define MAX_TWCC 8 // messages of a compound
#define MAX_KEY_REQUESTS 32

// Reports list the same SSRCs in the same order each time: the search goes on behind the one found last.
static struct leg *find_leg(struct session *s, uint32_t ssrc)
{
	struct leg *start = s->told ? s->told->next : NULL;

	for (struct leg *leg = start; leg != NULL; leg = leg->next)
		if (leg->ssrc == ssrc)
			return s->told = leg;
	for (struct leg *leg = s->legs; leg != start; leg = leg->next)
		if (leg->ssrc == ssrc)
			return s->told = leg;
	return NULL;
}

// A block that names a sender report exactly proves that its sender got it. The name is a time, so it could be
// guessed with many tries: what names none of ours counts, and too many of those end this kind of proof (that by
// STUN goes on).
static void on_lsr(struct session *s, const struct leg *leg, uint32_t lsr)
{
	for (unsigned i = 0; i < 2; i++)
		if (leg->sr_mid[i] == lsr && s->n_bad_lsr < LSR_GUESSES) {
			icelite_on_acked(&s->ice, leg->sr_at[i]);
			ice_refresh(s);
			if (s->send == SEND_FREE)
				s->n_bad_lsr = 0;
			return;
		}
	s->n_bad_lsr = (uint8_t)(s->n_bad_lsr + (s->n_bad_lsr < UINT8_MAX));
}

// Reports about what we sent: only SSRCs of the session's legs count.
static void on_blocks(struct worker *w, struct session *s, const struct rtcp_pkt *pkt)
{
	uint64_t now_ntp = clock_ntp(w->dp->wall_offset + w->now);
	struct rtcp_block block;

	for (unsigned i = 0; rtcp_block_read(pkt, i, &block) == 0; i++) {
		struct leg *leg = find_leg(s, block.ssrc);
		int64_t rtt;

		if (leg == NULL)
			continue;
		leg->lost_fraction = block.fraction;
		leg->jitter = block.jitter;
		if (s->send == SEND_ASK && block.lsr != 0)
			on_lsr(s, leg, block.lsr);
		rtt = rtt_of(&block, now_ntp);
		if (rtt > 0)
			rtt_sample(&s->rtt, rtt, w->now);
		if (leg->viewer)
			bwe_on_block(w, s, leg, &block);
	}
}

static void on_sr(struct worker *w, struct session *s, const struct rtcp_pkt *pkt)
{
	struct stream *st;
	struct rtcp_sr sr;

	if (rtcp_sr_read(pkt, &sr) < 0)
		return;
	on_blocks(w, s, pkt);
	st = stream_find(s, sr.ssrc);
	if (st == NULL)
		return;
	rx_stats_sr(&st->stats, sr.ntp, w->now);
	if (st->source &&
	    sr_map_on_sr(&st->map, &s->clock, sr.ntp, sr.rtp, st->source->clock_hz, w->now) == 0) {
		if (st->source->video)
			publish_video_sr(w, s, st);
		else
			reports_map(w, s, st);
	}
}

// Not relayed: the stream stops being reported, and makes room for others when it stays silent.
static void on_bye(struct worker *w, struct session *s, const struct rtcp_pkt *pkt)
{
	uint32_t ssrc;

	count(w, CTR_RTCP_BYE_RX, 1);
	for (unsigned i = 0; rtcp_bye_read(pkt, i, &ssrc) == 0; i++) {
		struct stream *st = stream_find(s, ssrc);

		if (st != NULL)
			st->ended = w->now;
	}
}

// What one compound may still make us do: the rest of it is ignored.
struct allowance {
	unsigned n_nacks, n_twcc, n_key_requests;
};

// The video leg that feedback is about, NULL (counted) when there is none.
static struct leg *find_video(struct worker *w, struct session *s, uint32_t ssrc)
{
	struct leg *leg = find_leg(s, ssrc);

	if (leg && leg->viewer)
		return leg;
	count(w, CTR_RTCP_UNKNOWN, 1);
	return NULL;
}

static void on_nack(struct worker *w, struct session *s, const struct rtcp_fb *fb, struct allowance *left)
{
	struct leg *leg = find_video(w, s, fb->media);
	uint16_t seq[RTCP_MAX_NACKS];
	unsigned n;

	count(w, CTR_RTCP_NACK_RX, 1);
	if (leg == NULL || left->n_nacks == 0)
		return;
	n = rtcp_nack_read(fb, seq, left->n_nacks);
	left->n_nacks -= n;
	viewer_nack(w, s, leg, seq, n);
}

static void on_rtpfb(struct worker *w, struct session *s, const struct rtcp_pkt *pkt, struct allowance *left)
{
	struct rtcp_fb fb;

	if (rtcp_fb_read(pkt, &fb) < 0) {
		count(w, DROP_BAD_RTCP, 1);
	} else if (pkt->count == RTPFB_NACK) {
		on_nack(w, s, &fb, left);
	} else if (pkt->count == RTPFB_TWCC && left->n_twcc > 0) {
		left->n_twcc--;
		bwe_on_twcc(w, s, &fb);
	}
}

static void on_fir(struct worker *w, struct session *s, const struct rtcp_fb *fb, struct allowance *left)
{
	struct leg *leg;
	uint32_t ssrc;
	uint8_t nr;

	for (unsigned i = 0; left->n_key_requests > 0 && rtcp_fir_read(fb, i, &ssrc, &nr) == 0; i++) {
		left->n_key_requests--;
		leg = find_video(w, s, ssrc);
		if (leg)
			viewer_fir(w, s, leg, nr);
	}
}

static void on_psfb(struct worker *w, struct session *s, const struct rtcp_pkt *pkt, struct allowance *left)
{
	struct rtcp_fb fb;
	struct leg *leg;
	uint32_t bps;

	if (rtcp_fb_read(pkt, &fb) < 0) {
		count(w, DROP_BAD_RTCP, 1);
		return;
	}
	count(w, CTR_RTCP_PLI_RX, pkt->count == PSFB_PLI || pkt->count == PSFB_FIR);
	if (pkt->count == PSFB_FIR) {
		on_fir(w, s, &fb, left);
	} else if (pkt->count == PSFB_PLI && left->n_key_requests > 0) {
		left->n_key_requests--;
		leg = find_video(w, s, fb.media);
		if (leg)
			viewer_pli(w, s, leg);
	} else if (pkt->count == PSFB_AFB && rtcp_remb_read(&fb, &bps) == 0) {
		bwe_on_remb(w, s, bps);
	}
}

static void on_packet(struct worker *w, struct session *s, const struct rtcp_pkt *pkt, struct allowance *left)
{
	switch (pkt->pt) {
	case RTCP_SR:
		on_sr(w, s, pkt);
		break;
	case RTCP_RR:
		on_blocks(w, s, pkt);
		break;
	case RTCP_BYE:
		on_bye(w, s, pkt);
		break;
	case RTCP_RTPFB:
		on_rtpfb(w, s, pkt, left);
		break;
	case RTCP_PSFB:
		on_psfb(w, s, pkt, left);
		break;
	default: // SDES, APP, XR and unknown types end here
		break;
	}
}

// Replay window of the SSRC that sent this compound; NULL: it has none yet.
static struct rtcp_sender *find_sender(struct session *s, uint32_t ssrc)
{
	for (unsigned i = 0; i < s->n_rtcp_senders; i++)
		if (s->rtcp_sender[i].ssrc == ssrc)
			return &s->rtcp_sender[i];
	return NULL;
}

// The one that was used least recently makes room; its highest index stays known.
static struct rtcp_sender *reuse_sender(struct worker *w, struct session *s)
{
	struct rtcp_sender *old = &s->rtcp_sender[0];

	for (unsigned i = 1; i < s->n_rtcp_senders; i++)
		if (s->rtcp_sender[i].last < old->last)
			old = &s->rtcp_sender[i];
	return tomb_put(w, s, TOMB_RTCP, old->ssrc, old->idx.top) ? old : NULL;
}

static struct rtcp_sender *add_sender(struct worker *w, struct session *s, uint32_t ssrc)
{
	struct rtcp_sender *sender;
	uint64_t top;

	if (s->n_rtcp_senders < SESSION_RTCP_SENDERS)
		sender = &s->rtcp_sender[s->n_rtcp_senders++];
	else if ((sender = reuse_sender(w, s)) == NULL)
		return NULL;
	*sender = (struct rtcp_sender){.ssrc = ssrc};
	if (tomb_find(s, TOMB_RTCP, ssrc, &top))
		srtcpidx_restore(&sender->idx, (uint32_t)top);
	tomb_take(s, TOMB_RTCP, ssrc);
	return sender;
}

// Was this index used before? By the window of its sender, or by what is left of that.
static bool is_replayed(const struct session *s, const struct rtcp_sender *sender, uint32_t ssrc,
			uint32_t index)
{
	uint64_t top;

	if (sender != NULL)
		return srtcpidx_check(&sender->idx, index) < 0;
	return tomb_find(s, TOMB_RTCP, ssrc, &top) && index <= top;
}

// Authenticate and decrypt in place, within the session's rate. Plain bytes, or 0 with the reason.
static size_t open_compound(struct worker *w, struct session *s, struct rte_mbuf *m, bool *is_newer,
			    enum counter *why)
{
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	uint32_t index, ssrc = be32_get(p + 4);
	struct rtcp_sender *sender = find_sender(s, ssrc);
	int len;

	*why = DROP_NOT_KEYED;
	if (s->rx_key == NULL)
		return 0;
	*why = DROP_RTCP_RATE;
	if (!bucket_take(&s->rtcp_in, w->now, RTCP_PER_S, RTCP_BURST))
		return 0;
	*why = DROP_BAD_RTCP;
	if (seal_rtcp_peek_index(s->profile, p, m->data_len, &index) < 0)
		return 0;
	*why = DROP_REPLAY_RTCP;
	if (is_replayed(s, sender, ssrc, index))
		return 0;
	*why = DROP_BAD_TAG_RTCP;
	len = seal_rtcp_unprotect(w->seal, s->rx_key, p, m->data_len, &index);
	if (len <= 0)
		return 0;
	if (sender == NULL)
		sender = add_sender(w, s, ssrc);
	*why = DROP_SSRC_LIMIT;
	if (sender == NULL)
		return 0;
	*is_newer = !sender->idx.started || index > sender->idx.top;
	srtcpidx_accept(&sender->idx, index);
	sender->last = w->now;
	return (size_t)len;
}

void feedback_input(struct worker *w, struct session *s, struct rte_mbuf *m)
{
	struct allowance left = {RTCP_MAX_NACKS, MAX_TWCC, MAX_KEY_REQUESTS};
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	enum counter why;
	bool is_newer = false;
	size_t len;

	ASSERT_HOME(w, s);
	icelite_on_rx(&s->ice, pkt_of(m)->pair, m->data_len);
	len = open_compound(w, s, m, &is_newer, &why);
	if (len == 0) {
		drop(w, m, why);
		return;
	}
	count(w, CTR_RTCP_RX_PACKETS, 1);
	ice_on_media(w, s, pkt_of(m)->pair, is_newer);
	rtcp_begin(&it, rte_pktmbuf_mtod(m, const uint8_t *), len);
	while (rtcp_next(&it, &pkt))
		on_packet(w, s, &pkt, &left);
	count(w, DROP_BAD_RTCP, it.bad);
	mbuf_done(m);
}
