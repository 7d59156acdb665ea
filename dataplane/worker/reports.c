#include "dataplane/worker/reports.h"

#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/egress.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/media/leg.h"
#include "dataplane/media/source.h"
#include "dataplane/media/stream.h"
#include "dataplane/publish/arrivals.h"
#include "lib/rtc/wire/rtcp.h"

#define REPORT_IDLE 3     // intervals without media before the timer stops
#define MAX_COMPOUND 1200 // bytes
#define SR_BYTES 28
#define SDES_EVERY 5

void reports_map(struct worker *w, struct session *s, struct stream *st)
{
	struct source *src = st->source;
	struct clock_map map;

	if (src == NULL || src->current != st || !stream_clock(st, s, w->now, &map))
		return;
	map.rtp += src->time.offset;
	source_map_set(src, &map);
}

static void send_reports(struct worker *w, struct session *s, struct wbuf *out, uint32_t first_ssrc)
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
	    !(leg->viewer ? viewer_clock(leg, &map) : source_map_get(leg->source, &map)))
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
		active |= w->now - leg->last_sent < REPORT_IDLE * SESSION_REPORT_NS && leg->started;
		if (!leg_report(w, leg, &sr))
			continue;
		if (wbuf_room(&out) < SR_BYTES + sdes_room(s))
			send_reports(w, s, &out, first_ssrc);
		if (wbuf_len(&out) == 0)
			first_ssrc = leg->ssrc;
		rtcp_write_sr(&out, &sr, NULL, 0);
		count(w, CTR_RTCP_SR_TX, 1);
	}
	send_reports(w, s, &out, first_ssrc);
	return active;
}

static void report_stream(struct worker *w, struct stream *st, struct rtcp_block *block)
{
	rx_stats_report(&st->stats, st->ssrc, w->now, block);
	if (block->lost > st->n_lost) { // late packets may lower it again: counted once
		count(w, CTR_RTP_RX_LOST, (uint64_t)(block->lost - st->n_lost));
		st->n_lost = block->lost;
	}
}

static void send_blocks(struct worker *w, struct session *s, const struct rtcp_block *block, unsigned n)
{
	uint8_t bytes[MAX_COMPOUND];
	struct wbuf out = wbuf_of(bytes, sizeof(bytes));

	if (n == 0)
		return;
	rtcp_write_rr(&out, s->rtcp_ssrc, block, n);
	count(w, CTR_RTCP_RR_TX, 1);
	send_reports(w, s, &out, s->rtcp_ssrc);
}

// Receiver reports about all SSRCs that sent since the last one, repairs and unknown ones too; as many reports as that
// takes. True when any stream is alive.
static bool report_streams(struct worker *w, struct session *s)
{
	struct rtcp_block block[RTCP_MAX_BLOCKS];
	unsigned n = 0;
	bool active = false;

	for (struct stream *st = s->streams; st; st = st->next) {
		active |= w->now - st->stats.last_arrival < REPORT_IDLE * SESSION_REPORT_NS;
		if (!st->stats.is_active)
			continue;
		reports_map(w, s, st);
		report_stream(w, st, &block[n++]);
		if (n < RTCP_MAX_BLOCKS)
			continue;
		send_blocks(w, s, block, n);
		n = 0;
	}
	send_blocks(w, s, block, n);
	return active;
}

static void run_due(struct worker *w, struct session *s)
{
	bool sending = report_legs(w, s), receiving = report_streams(w, s);

	s->rtcp_armed = sending || receiving;
	s->rtcp_due = session_next_report(w);
}

void reports_run(struct worker *w, struct session *s)
{
	ASSERT_HOME(w, s);
	if (s->rtcp_armed && w->now >= s->rtcp_due)
		run_due(w, s);
	if (s->rtcp_armed)
		session_due(w, s, s->rtcp_due);
	arrivals_run(w, s);
}
