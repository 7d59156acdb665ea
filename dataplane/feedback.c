#include "dataplane/feedback.h"

#include <string.h>

#include "dataplane/egress.h"
#include "dataplane/ice.h"
#include "dataplane/leg.h"
#include "dataplane/session.h"
#include "dataplane/source.h"
#include "dataplane/stream.h"
#include "dataplane/worker.h"
#include "lib/rtc/rtcp.h"

#define REPORT_NS (1 * NS_PER_S) // mean interval; each one is drawn from half to one and a half of it
#define REPORT_IDLE 3            // intervals without media before the timer stops
#define NO_SR_NS (2 * NS_PER_S)  // then sender reports are anchored on arrival for want of better
#define MAX_COMPOUND 1200        // bytes
#define SR_BYTES 28
#define SDES_EVERY 5
#define LSR_GUESSES 16 // wrong LSRs before report blocks are no proof any more: a second has 65536 right ones
#define RTCP_PER_S 200 // datagrams of a session
#define RTCP_BURST 200

// --- in -------------------------------------------------------------------------------------------

static struct leg *find_leg(const struct session *s, uint32_t ssrc)
{
	struct leg *leg = s->legs;

	while (leg != NULL && leg->ssrc != ssrc)
		leg = leg->next;
	return leg;
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
	}
}

// Tell the receivers' workers where the track's clock is now.
static void publish_map(struct worker *w, struct session *s, struct stream *st)
{
	struct source *src = st->source;
	struct clock_map map = {.at = w->now, .valid = true};

	if (src == NULL || src->current != st)
		return;
	map.clock_hz = src->clock_hz;
	if (!sr_map_rtp_at(&st->map, &s->clock, w->now, &map.rtp)) {
		if (w->now - st->born < NO_SR_NS || !st->stats.started)
			return;
		map.at = st->stats.last_arrival;
		map.rtp = st->stats.last_ts;
	}
	map.rtp += src->ts_offset;
	source_map_set(src, &map);
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
	    sr_map_on_sr(&st->map, &s->clock, sr.ntp, sr.rtp, st->source->clock_hz, w->now) == 0)
		publish_map(w, s, st);
}

static void on_packet(struct worker *w, struct session *s, const struct rtcp_pkt *pkt)
{
	switch (pkt->pt) {
	case RTCP_SR:
		on_sr(w, s, pkt);
		break;
	case RTCP_RR:
		on_blocks(w, s, pkt);
		break;
	case RTCP_BYE: // not relayed; the stream simply stops being reported
		count(w, CTR_RTCP_BYE_RX, 1);
		break;
	case RTCP_RTPFB:
		count(w, CTR_RTCP_NACK_RX, pkt->count == RTPFB_NACK);
		break;
	case RTCP_PSFB:
		count(w, CTR_RTCP_PLI_RX, pkt->count == PSFB_PLI || pkt->count == PSFB_FIR);
		break;
	default: // SDES, APP, XR and unknown types end here
		break;
	}
}

// Replay window of the SSRC that sent this compound; NULL when the session uses too many.
static struct rtcp_sender *find_sender(struct session *s, uint32_t ssrc)
{
	for (unsigned i = 0; i < s->n_rtcp_senders; i++)
		if (s->rtcp_sender[i].ssrc == ssrc)
			return &s->rtcp_sender[i];
	return NULL;
}

static struct rtcp_sender *add_sender(struct session *s, uint32_t ssrc)
{
	struct rtcp_sender *sender;

	if (s->n_rtcp_senders == SESSION_RTCP_SENDERS)
		return NULL;
	sender = &s->rtcp_sender[s->n_rtcp_senders++];
	*sender = (struct rtcp_sender){.ssrc = ssrc};
	return sender;
}

// Authenticate and decrypt in place. Plain bytes, or 0 with the reason.
static size_t open_compound(struct worker *w, struct session *s, struct rte_mbuf *m, bool *is_newer,
			    enum counter *why)
{
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	uint32_t index, ssrc = be32_get(p + 4);
	struct rtcp_sender *sender = find_sender(s, ssrc);
	int len;

	*why = DROP_BAD_RTCP;
	if (seal_rtcp_peek_index(s->profile, p, m->data_len, &index) < 0)
		return 0;
	*why = DROP_REPLAY_RTCP;
	if (sender && srtcpidx_check(&sender->idx, index) < 0)
		return 0;
	*why = DROP_BAD_TAG_RTCP;
	len = seal_rtcp_unprotect(w->seal, s->rx_key, p, m->data_len, &index);
	if (len <= 0)
		return 0;
	if (sender == NULL)
		sender = add_sender(s, ssrc);
	*why = DROP_SSRC_LIMIT;
	if (sender == NULL)
		return 0;
	*is_newer = !sender->idx.started || index > sender->idx.top;
	srtcpidx_accept(&sender->idx, index);
	return (size_t)len;
}

void feedback_input(struct worker *w, struct session *s, struct rte_mbuf *m)
{
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	enum counter why;
	bool is_newer = false;
	size_t len;

	icelite_on_rx(&s->ice, pkt_of(m)->pair, m->data_len);
	if (s->rx_key == NULL || !bucket_take(&s->rtcp_in, w->now, RTCP_PER_S, RTCP_BURST)) {
		drop(w, m, s->rx_key ? DROP_BAD_RTCP : DROP_NOT_KEYED);
		return;
	}
	len = open_compound(w, s, m, &is_newer, &why);
	if (len == 0) {
		drop(w, m, why);
		return;
	}
	count(w, CTR_RTCP_RX_PACKETS, 1);
	session_on_media(w, s, pkt_of(m)->pair, is_newer);
	rtcp_begin(&it, rte_pktmbuf_mtod(m, const uint8_t *), len);
	while (rtcp_next(&it, &pkt))
		on_packet(w, s, &pkt);
	count(w, DROP_BAD_RTCP, it.bad);
	rte_pktmbuf_free(m);
}

// --- out ------------------------------------------------------------------------------------------

static void flush(struct worker *w, struct session *s, struct wbuf *out, uint32_t first_ssrc)
{
	if (wbuf_len(out) == 0)
		return;
	if (s->n_rtcp_sent++ % SDES_EVERY == 0)
		rtcp_write_sdes(out, first_ssrc, str_of(s->name));
	egress_rtcp(w, s, out->start, wbuf_len(out));
	*out = wbuf_of(out->start, MAX_COMPOUND);
}

// Bytes to keep free in a compound for the SDES that may end it.
static size_t sdes_room(const struct session *s)
{
	return 4 + 4 + 2 + strlen(s->name) + 4;
}

static bool leg_report(struct worker *w, struct leg *leg, struct rtcp_sr *sr)
{
	struct clock_map map;

	if (leg->n_packets == leg->sr_packets || source_gen(leg->source) != leg->source_gen ||
	    !source_map_get(leg->source, &map))
		return false;
	*sr = (struct rtcp_sr){.ssrc = leg->ssrc,
			       .ntp = clock_ntp(w->dp->wall_offset + w->now),
			       .rtp = map.rtp +
				      (uint32_t)((w->now - map.at) / NS_PER_US * map.clock_hz / 1000000),
			       .n_packets = leg->n_packets,
			       .n_octets = leg->n_octets};
	leg->sr_packets = leg->n_packets;
	leg->sr_mid[1] = leg->sr_mid[0];
	leg->sr_at[1] = leg->sr_at[0];
	leg->sr_mid[0] = (uint32_t)(sr->ntp >> 16);
	leg->sr_at[0] = w->now;
	return true;
}

// Sender reports of the legs that sent since their last one, packed. True when any leg sent.
static bool report_legs(struct worker *w, struct session *s)
{
	uint8_t bytes[MAX_COMPOUND];
	struct wbuf out = wbuf_of(bytes, sizeof(bytes));
	uint32_t first_ssrc = 0;
	bool active = false;
	struct rtcp_sr sr;

	for (struct leg *leg = s->legs; leg; leg = leg->next) {
		active |= w->now - leg->last_sent < REPORT_IDLE * REPORT_NS && leg->started;
		if (!leg_report(w, leg, &sr))
			continue;
		if (wbuf_room(&out) < SR_BYTES + sdes_room(s))
			flush(w, s, &out, first_ssrc);
		if (wbuf_len(&out) == 0)
			first_ssrc = leg->ssrc;
		rtcp_write_sr(&out, &sr, NULL, 0);
		count(w, CTR_RTCP_SR_TX, 1);
	}
	flush(w, s, &out, first_ssrc);
	return active;
}

// Receiver reports about the SSRCs that sent since the last one. True when any stream is alive.
static bool report_streams(struct worker *w, struct session *s)
{
	uint8_t bytes[MAX_COMPOUND];
	struct wbuf out = wbuf_of(bytes, sizeof(bytes));
	struct rtcp_block block[RTCP_MAX_BLOCKS];
	unsigned n = 0;
	bool active = false;

	for (struct stream *st = s->streams; st; st = st->next) {
		active |= w->now - st->stats.last_arrival < REPORT_IDLE * REPORT_NS;
		if (!st->stats.is_active)
			continue;
		publish_map(w, s, st);
		if (n == RTCP_MAX_BLOCKS)
			continue;
		rx_stats_report(&st->stats, st->ssrc, w->now, &block[n]);
		if (block[n].lost > st->n_lost) { // late packets may lower it again: counted once
			count(w, CTR_RTP_RX_LOST, (uint64_t)(block[n].lost - st->n_lost));
			st->n_lost = block[n].lost;
		}
		n++;
	}
	if (n > 0) {
		rtcp_write_rr(&out, s->rtcp_ssrc, block, n);
		count(w, CTR_RTCP_RR_TX, 1);
		flush(w, s, &out, s->rtcp_ssrc);
	}
	return active;
}

static void run_reports(struct worker *w, struct session *s)
{
	bool sending = report_legs(w, s), receiving = report_streams(w, s);

	s->rtcp_armed = sending || receiving;
	s->rtcp_due = w->now + REPORT_NS / 2 + (ns_t)(worker_random(w) % REPORT_NS);
}

static void run_twcc(struct worker *w, struct session *s)
{
	struct twcc_log *log = &s->twcc->log;
	uint8_t bytes[TWCC_MAX_MSG];
	int len;

	while (w->now >= twcc_log_due(log)) {
		struct wbuf out = wbuf_of(bytes, sizeof(bytes));
		len = twcc_log_write(log, &out, s->rtcp_ssrc, s->twcc->media_ssrc, w->now);
		if (len <= 0)
			return;
		count(w, CTR_RTCP_TWCC_TX, 1);
		egress_rtcp(w, s, bytes, (size_t)len);
	}
}

void feedback_arm(struct worker *w, struct session *s)
{
	s->rtcp_armed = true;
	s->rtcp_due = w->now + REPORT_NS / 2 + (ns_t)(worker_random(w) % REPORT_NS);
	session_due(w, s, s->rtcp_due);
}

void feedback_on_rtp(struct worker *w, struct session *s, struct stream *st, const struct pkt *pkt)
{
	st->pt = pkt->pt;
	if (!s->rtcp_armed)
		feedback_arm(w, s);
}

void feedback_run(struct worker *w, struct session *s)
{
	if (s->rtcp_armed && w->now >= s->rtcp_due)
		run_reports(w, s);
	if (s->rtcp_armed)
		session_due(w, s, s->rtcp_due);
	if (s->twcc) {
		run_twcc(w, s);
		if (twcc_log_due(&s->twcc->log) != NS_NEVER)
			session_due(w, s, twcc_log_due(&s->twcc->log));
	}
}
