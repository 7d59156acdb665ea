#include "dataplane/publish.h"

#include <string.h>

#include "dataplane/fanout.h"
#include "dataplane/reports.h"
#include "dataplane/mailbox.h"
#include "dataplane/session.h"
#include "dataplane/source.h"
#include "dataplane/stream.h"
#include "dataplane/video.h"
#include "dataplane/worker.h"

// Another SSRC of the same track takes over when the current one has been silent for so long.
#define TAKE_OVER_NS (500 * NS_PER_MS)
// Timestamps that left real time by more than this (media-plane 3.4) are re-based.
#define TS_JUMP_NS (1 * NS_PER_S)
#define FRAME_MS 20
#define TWCC_INTERVAL_NS (100 * NS_PER_MS)

// --- which track -------------------------------------------------------------------------------

static bool lists_ssrc(const struct source *src, uint32_t ssrc)
{
	for (unsigned i = 0; i < IPC_TRACK_SSRCS; i++)
		if (src->ssrc[i] == ssrc && ssrc != 0)
			return true;
	return false;
}

static bool lists_any_ssrc(const struct source *src)
{
	return src->ssrc[0] || src->ssrc[1] || src->ssrc[2] || src->ssrc[3];
}

// In this order: a listed SSRC, the MID extension, the payload type if only one track has it.
static struct source *find_track(const struct session *s, uint32_t ssrc, uint8_t pt, struct str mid)
{
	struct source *by_pt = NULL;
	unsigned n_by_pt = 0;

	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->track[i] && lists_ssrc(s->track[i], ssrc))
			return s->track[i];
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		struct source *src = s->track[i];
		if (src == NULL)
			continue;
		if (mid.len > 0 && str_eq(mid, (struct str){src->mid, src->mid_len}))
			return src;
		if (source_codec(src, pt) != CODEC_NONE && !lists_any_ssrc(src)) {
			by_pt = src;
			n_by_pt++;
		}
	}
	return mid.len == 0 && n_by_pt == 1 ? by_pt : NULL;
}

static void announce(struct worker *w, struct session *s, struct stream *st, uint8_t pt, uint8_t codec)
{
	struct note note = {.type = NOTE_TRACK_LIVE,
			    .sid = s->sid,
			    .live = {.track = st->source->id, .pt = pt, .codec = codec, .ssrc = st->ssrc}};

	st->announced = note_post(w, &note);
}

// --- what happens to every packet, forwarded or not ----------------------------------------------

static void log_twcc(struct worker *w, struct session *s, const struct pkt *pkt, uint16_t number)
{
	if (s->twcc == NULL) {
		struct twcc_state *t;
		if (rte_mempool_get(w->dp->twcc_pool, (void **)&t) < 0)
			return;
		twcc_log_init(&t->log, t->ring, TWCC_SLOTS, TWCC_INTERVAL_NS);
		s->twcc = t;
	}
	s->twcc->media_ssrc = pkt->ssrc;
	twcc_log_add(&s->twcc->log, number, pkt->arrival);
	session_due(w, s, twcc_log_due(&s->twcc->log));
}

static void post_voice(struct worker *w, struct source *src)
{
	struct note note = {
		.type = NOTE_VOICE, .sid = src->sid, .voice = {.track = src->id, .on = src->vad.on}};

	src->voice_owed = !note_post(w, &note);
}

static void on_voice(struct worker *w, struct source *src, enum vad_change change)
{
	if (change == VAD_SAME && !src->voice_owed)
		return;
	count(w, CTR_VOICE_ON, change == VAD_ON);
	count(w, CTR_VOICE_OFF, change == VAD_OFF);
	post_voice(w, src);
}

// --- place in the track's order ------------------------------------------------------------------

static uint32_t elapsed_ticks(const struct source *src, ns_t now)
{
	return (uint32_t)((now - src->last_forwarded) / NS_PER_MS * (int64_t)(src->clock_hz / 1000));
}

// Time goes on at the pace of the clock, in whole frames, never backwards.
static void rebase_ts(struct source *src, uint32_t ts, ns_t now)
{
	uint32_t frame = src->clock_hz / 1000 * FRAME_MS;
	uint32_t step = elapsed_ticks(src, now);

	if (frame == 0)
		return;
	step = RTE_MAX(step / frame, 1u) * frame;
	src->ts_offset = src->last_ts + step - ts;
}

// After a pause the source's timestamps should have gone on in real time; some clients' do not.
static bool ts_left_real_time(const struct source *src, uint32_t ts, ns_t now)
{
	int64_t ticks = (int32_t)(ts + src->ts_offset - src->last_ts);
	int64_t off = ticks - elapsed_ticks(src, now);
	int64_t limit = TS_JUMP_NS / NS_PER_MS * (src->clock_hz / 1000);

	return ticks <= 0 || off > limit || off < -limit;
}

// May this stream feed the track now? Only one does at a time, or two would take turns with the numbers.
static bool may_feed(const struct source *src, const struct stream *st, ns_t now)
{
	return src->current == st || src->current == NULL || !st->rank.started ||
	       now - src->last_forwarded > TAKE_OVER_NS;
}

// Give the packet its rank and output timestamp. False: too late for any place.
static bool place(struct source *src, struct stream *st, struct pkt *pkt, ns_t now)
{
	bool is_switch = src->current != st, resumed;
	uint64_t rank;

	if (!seqrank_take(&st->rank, pkt->index, &rank, &resumed))
		return false;
	if (is_switch) {
		src->current = st;
		src->rank_base = src->next_rank - rank;
		src->first_rank = src->next_rank;
		if (src->last_forwarded != 0)
			rebase_ts(src, pkt->ts, now);
	} else if (resumed && ts_left_real_time(src, pkt->ts, now)) {
		rebase_ts(src, pkt->ts, now);
	}
	pkt->index = rank + src->rank_base;
	pkt->ts += src->ts_offset;
	if (pkt->index < src->first_rank)
		return false;
	if ((is_switch || resumed) && src->forwarded)
		pkt->marker = 1;
	if (pkt->index >= src->next_rank) {
		src->next_rank = pkt->index + 1;
		src->last_ts = pkt->ts;
		src->last_forwarded = now;
		src->forwarded = true;
	}
	return true;
}

// Name of the reason a packet of this track is not forwarded, CTR_NONE when it is.
static enum counter refuse(const struct source *src, uint16_t payload_len, uint8_t codec)
{
	if (codec == CODEC_NONE)
		return DROP_BAD_PT;
	if (!src->enabled)
		return DROP_MUTED;
	if (payload_len == 0)
		return DROP_PADDING_ONLY;
	return CTR_NONE;
}

void publish_packet(struct worker *w, struct session *s, struct stream *st, struct rte_mbuf *m,
		    const struct rtp_view *v, uint16_t payload_len)
{
	struct pkt *pkt = pkt_of(m);
	struct rtp_exts exts;
	struct source *src;
	enum counter why;

	if (rtp_ext_read(rte_pktmbuf_mtod(m, const uint8_t *), v, s->ext, &exts) < 0)
		count(w, DROP_BAD_EXT, 1); // the block is ignored, the packet is not
	if (exts.has_twcc)
		log_twcc(w, s, pkt, exts.twcc);
	if (st->source == NULL)
		st->source = find_track(s, st->ssrc, v->pt, exts.mid);
	src = st->source;
	rx_stats_packet(&st->stats, pkt->index, pkt->ts, payload_len, pkt->arrival, src ? src->clock_hz : 0);
	reports_on_rtp(w, s, st, pkt);
	if (src == NULL) {
		drop(w, m, DROP_NO_TRACK);
		return;
	}
	pkt->codec = source_codec(src, v->pt);
	pkt->has_level = exts.has_level;
	pkt->level = (uint8_t)(exts.level | (exts.is_voice ? 0x80 : 0));
	if (exts.has_level)
		on_voice(w, src, vad_push(&src->vad, exts.level, w->now));
	if (!st->announced && pkt->codec != CODEC_NONE)
		announce(w, s, st, v->pt, pkt->codec);
	why = refuse(src, payload_len, pkt->codec);
	if (why != CTR_NONE) {
		seqrank_skip(&st->rank, pkt->index);
		drop(w, m, why);
	} else if (!may_feed(src, st, w->now) || !place(src, st, pkt, w->now)) {
		drop(w, m, DROP_STALE);
	} else {
		fanout_route(w, src, m);
	}
}

// --- mails about tracks ---------------------------------------------------------------------------

void publish_track(struct worker *w, struct session *s, struct source *src, const struct ipc_track_add *add,
		   bool enabled)
{
	unsigned i = add->track;

	if (s->track[i] == NULL) {
		s->track[i] = src;
		s->n_tracks++;
		w->n_tracks++;
	} else {
		stream_unbind(s, src);
	}
	source_declare(src, add);
	if (src->enabled != enabled)
		publish_gate(w, s, src, enabled);
}

void publish_gate(struct worker *w, struct session *s, struct source *src, bool enabled)
{
	src->enabled = enabled;
	if (!enabled)
		on_voice(w, src, vad_reset(&src->vad));
}

void publish_end(struct worker *w, struct source *src)
{
	for (unsigned i = 0; src->video && i < src->video->n_layers; i++)
		layer_clear(w, src->video->layer[i]);
}

void publish_track_del(struct worker *w, struct session *s, struct source *src)
{
	if (s->track[src->id] != src)
		return;
	on_voice(w, src, vad_reset(&src->vad));
	stream_unbind(s, src);
	publish_end(w, src);
	src->current = NULL;
	s->track[src->id] = NULL;
	s->n_tracks--;
	w->n_tracks--;
}
