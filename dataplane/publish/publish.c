#include "dataplane/publish/publish.h"

#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/route.h"
#include "dataplane/media/fanout.h"
#include "dataplane/media/source.h"
#include "dataplane/media/stream.h"
#include "dataplane/publish/arrivals.h"
#include "dataplane/publish/bind.h"
#include "dataplane/publish/publish_video.h"

#define FRAME_MS 20
#define SILENT_LEVEL 127 // of RFC 6464
#define OPEN_EVERY \
	16 // of the packets of a silenced voice one is opened: index, path and statistics stay true

#define VOICE_PACKET_NS (5 * NS_PER_MS / 2)
#define VOICE_BYTE_NS 8000
#define VOICE_BURST_NS (500 * NS_PER_MS)

// --- voice activity ------------------------------------------------------------------------------

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

// What a packet tells of its loudness: to the display, and where speakers are chosen.
static void hear(struct worker *w, struct source *src, const struct rtp_exts *exts, unsigned payload_len)
{
	if (exts->has_level)
		on_voice(w, src, vad_push(&src->vad, exts->level, w->now));
	if (src->decl.is_ranked && src->enabled)
		seat_hear(&src->seat, exts->has_level, exts->level, exts->is_voice, payload_len, w->now);
}

// Read the clear extensions of a packet, and enter its arrival for transport-wide feedback.
static void read_exts(struct worker *w, struct session *s, struct rte_mbuf *m, const struct rtp_view *v,
		      struct rtp_exts *exts)
{
	if (rtp_ext_read(rte_pktmbuf_mtod(m, const uint8_t *), v, s->ext, exts) < 0)
		count(w, DROP_BAD_EXT, 1); // the block is ignored, the packet is not
	if (exts->has_twcc)
		arrivals_log(w, s, pkt_of(m), exts->twcc);
}

// An authentic packet came in (before it is placed): reports about its stream go on.
static void keep_reporting(struct worker *w, struct session *s, struct stream *st, const struct pkt *pkt)
{
	st->pt = pkt->pt;
	if (!s->rtcp_armed)
		session_arm_reports(w, s);
}

// --- place in the track's order ------------------------------------------------------------------

// May this stream feed the track now? Only one does at a time, or two would take turns with the numbers.
static bool may_feed(const struct source *src, const struct stream *st, ns_t now)
{
	return src->current == st || src->current == NULL || !st->rank.started ||
	       timeline_is_quiet(&src->time, now);
}

// Give the packet its rank and output timestamp. False: too late for any place.
static bool place_voice(struct source *src, struct stream *st, struct pkt *pkt, ns_t now)
{
	bool is_switch = src->current != st, resumed;
	uint64_t rank;

	if (!seqrank_take(&st->rank, pkt->index, &rank, &resumed))
		return false;
	if (is_switch) {
		src->current = st;
		src->rank_base = src->next_rank - rank;
		src->first_rank = src->next_rank;
		timeline_rebase(&src->time, pkt->ts, src->clock_hz, FRAME_MS, FRAME_MS, now);
	} else if (resumed && timeline_has_left(&src->time, pkt->ts, src->clock_hz, now)) {
		timeline_rebase(&src->time, pkt->ts, src->clock_hz, FRAME_MS, FRAME_MS, now);
	}
	pkt->rank = rank + src->rank_base;
	pkt->ts += src->time.offset;
	if (pkt->rank < src->first_rank)
		return false;
	if ((is_switch || resumed) && src->time.started)
		pkt->marker = 1;
	if (pkt->rank >= src->next_rank) {
		src->next_rank = pkt->rank + 1;
		timeline_newest(&src->time, pkt->ts, now);
	}
	return true;
}

// --- receivers of every voice: ranks that do not skip what others are not sent ------------------------

static bool place_every(struct source *src, struct stream *st, struct pkt *pkt)
{
	uint64_t rank;
	bool resumed;

	if (!seqrank_take(&st->every, pkt->index, &rank, &resumed))
		return false;
	if (st->every_turn == 0 || st->every_turn != src->every_turn) {
		st->every_turn = ++src->every_turn;
		st->every_base = src->every_next - rank;
		st->every_first = src->every_next;
	}
	pkt->every_rank = rank + st->every_base;
	if (pkt->every_rank < st->every_first)
		return false;
	src->every_next = RTE_MAX(src->every_next, pkt->every_rank + 1);
	return true;
}

// --- who is heard (room.h) ----------------------------------------------------------------------------

// Packets since the last opened one were left unopened: they shall leave no gap.
static void close_up(struct stream *st, uint64_t index)
{
	seqrank_skip(&st->rank, st->rank.top + 1);
	seqrank_skip(&st->rank, index - 1);
	st->has_unopened = false;
}

// By its own word, which is not authentic: who lies is not heard.
static bool is_silent(const struct session *s, struct rte_mbuf *m, const struct rtp_view *v)
{
	struct rtp_exts exts = {};

	return rtp_ext_read(rte_pktmbuf_mtod(m, const uint8_t *), v, s->ext, &exts) == 0 && exts.has_level &&
	       exts.level == SILENT_LEVEL;
}

bool publish_may_stay_closed(struct worker *w, const struct session *s, const struct stream *st,
			     uint64_t index, struct rte_mbuf *m, const struct rtp_view *v)
{
	const struct source *src = st->source;
	const struct fanout *f;
	bool is_left_out;

	if (src == NULL || src->video || !src->enabled || !st->rank.started || index % OPEN_EVERY == 0)
		return false;
	is_left_out = (src->decl.is_ranked && seat_is_silenced(&src->seat)) ||
		      (w->overload.stage >= OVERLOAD_VOICES && is_silent(s, m, v));
	f = is_left_out ? fanout_of(src) : NULL;
	return is_left_out && (f == NULL || f->every == 0) && index > st->idx.top &&
	       index - st->idx.top < 2 * OPEN_EVERY;
}

void publish_unopened(struct worker *w, struct session *s, struct stream *st, struct rte_mbuf *m,
		      const struct rtp_view *v)
{
	struct pkt *pkt = pkt_of(m);
	struct rtp_exts exts;

	ASSERT_HOME(w, s);
	read_exts(w, s, m, v, &exts);
	rx_stats_packet(&st->stats, pkt->index, v->ts, v->payload_len, pkt->arrival, st->source->clock_hz);
	keep_reporting(w, s, st, pkt);
	hear(w, st->source, &exts, v->payload_len);
	st->has_unopened = true;
	drop(w, m, DROP_SILENCED);
}

// Name of the reason a packet of this track is not forwarded, CTR_NONE when it is.
static enum counter refuse_voice(const struct source *src, uint16_t payload_len, uint8_t codec)
{
	if (codec == CODEC_NONE)
		return DROP_BAD_PT;
	if (!src->enabled)
		return DROP_MUTED;
	if (payload_len == 0)
		return DROP_PADDING_ONLY;
	return CTR_NONE;
}

// A voice is forwarded to everybody in its call, so it may cost what a voice costs: packets of 2.5 ms, the shortest of Opus, or
// as many bytes as 20 ms at its highest rate need twice over. After a stall of the network half a second of it may come at once.
static bool is_within_rate(struct source *src, uint16_t payload_len, ns_t now)
{
	ns_t cost = RTE_MAX(VOICE_PACKET_NS, (ns_t)payload_len * VOICE_BYTE_NS);
	ns_t paid = RTE_MAX(src->paid_until, now);

	if (paid - now > VOICE_BURST_NS)
		return false;
	src->paid_until = paid + cost;
	return true;
}

static void send_voice(struct worker *w, struct source *src, struct stream *st, struct rte_mbuf *m)
{
	struct pkt *pkt = pkt_of(m);
	const struct fanout *f = fanout_of(src);

	pkt->has_every = f && f->every && place_every(src, st, pkt);
	pkt->is_silenced = src->decl.is_ranked && seat_is_silenced(&src->seat);
	if (pkt->is_silenced) {
		seqrank_skip(&st->rank, pkt->index);
		pkt->ts += src->time.offset;
	} else if (!place_voice(src, st, pkt, w->now)) {
		drop(w, m, DROP_STALE);
		return;
	}
	if (pkt->is_silenced && !pkt->has_every)
		drop(w, m, DROP_SILENCED);
	else
		route_packet(w, src, m);
}

static void publish_voice(struct worker *w, struct stream *st, struct rte_mbuf *m,
			  const struct rtp_exts *exts, uint16_t payload_len)
{
	struct source *src = st->source;
	struct pkt *pkt = pkt_of(m);
	enum counter why;

	pkt->has_level = exts->has_level;
	pkt->level = (uint8_t)(exts->level | (exts->is_voice ? 0x80 : 0));
	hear(w, src, exts, payload_len);
	if (st->has_unopened)
		close_up(st, pkt->index);
	why = refuse_voice(src, payload_len, pkt->codec);
	if (why != CTR_NONE) {
		seqrank_skip(&st->rank, pkt->index);
		seqrank_skip(&st->every, pkt->index);
		drop(w, m, why);
	} else if (!may_feed(src, st, w->now)) {
		drop(w, m, DROP_STALE);
	} else if (!is_within_rate(src, payload_len, w->now)) {
		drop(w, m, DROP_VOICE_RATE); // leaves a gap: to receivers it is lost
	} else {
		send_voice(w, src, st, m);
	}
}

// --- which track ---------------------------------------------------------------------------------

static void announce(struct worker *w, struct session *s, struct stream *st, const struct pkt *pkt)
{
	const struct source *src = st->source;
	struct note note = {.type = NOTE_TRACK_LIVE,
			    .sid = s->sid,
			    .live = {.track = src->id, .pt = pkt->pt, .codec = pkt->codec, .ssrc = st->ssrc}};

	if (src->video && src->decl.n_rids > 0)
		memcpy(note.live.rid, src->decl.rid[st->layer], sizeof(note.live.rid));
	st->announced = note_post(w, &note);
}

// False: not yet, or not at all.
static bool bind_stream(struct worker *w, struct session *s, struct stream *st, uint8_t pt,
			const struct rtp_exts *exts, enum counter *why)
{
	struct binding b;

	if (st->source != NULL)
		return true;
	switch (bind_find(s, st->ssrc, pt, exts, &b)) {
	case BIND_FOUND:
		st->source = b.source;
		st->layer = b.layer;
		st->is_rtx = b.is_rtx;
		if (b.source->video)
			publish_video_bound(w, s, st);
		return true;
	case BIND_UNKNOWN_RID:
		*why = DROP_UNKNOWN_RID;
		return false;
	case BIND_NOT_YET:
		break;
	}
	*why = DROP_NO_TRACK;
	return false;
}

// The packet belongs to a track.
static void forward_packet(struct worker *w, struct session *s, struct stream *st, struct rte_mbuf *m,
			   const struct rtp_exts *exts, uint16_t payload_len)
{
	struct pkt *pkt = pkt_of(m);

	pkt->codec = source_codec(st->source, pkt->pt);
	if (!st->announced && pkt->codec != CODEC_NONE && pkt->codec != CODEC_RTX)
		announce(w, s, st, pkt);
	if (st->source->video)
		publish_video(w, s, st, m, payload_len);
	else
		publish_voice(w, st, m, exts, payload_len);
}

// A track came: what waited may be its.
static void retry_unclaimed(struct worker *w, struct session *s)
{
	struct rte_mbuf *waiting[PARKING_MAX];
	unsigned n = parking_take(w, &s->unclaimed, waiting, DROP_NO_TRACK);

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *data = rte_pktmbuf_mtod(waiting[i], const uint8_t *);
		struct pkt *pkt = pkt_of(waiting[i]);
		struct stream *st = stream_find(s, pkt->ssrc);
		enum counter why = DROP_NO_TRACK;
		struct rtp_exts exts;
		struct rtp_view v;

		if (st == NULL || rtp_parse(data, waiting[i]->data_len, 0, &v) < 0) {
			drop(w, waiting[i], DROP_NO_TRACK);
			continue;
		}
		(void)!rtp_ext_read(data, &v, s->ext, &exts); // a bad block was counted at first
		if (bind_stream(w, s, st, pkt->pt, &exts, &why))
			forward_packet(w, s, st, waiting[i], &exts,
				       (uint16_t)(waiting[i]->data_len - pkt->hdr_len));
		else if (why == DROP_NO_TRACK)
			parking_add(w, &s->unclaimed, waiting[i], DROP_NO_TRACK);
		else
			drop(w, waiting[i], why);
	}
	publish_video_flush(w);
}

void publish_packet(struct worker *w, struct session *s, struct stream *st, struct rte_mbuf *m,
		    const struct rtp_view *v, uint16_t payload_len)
{
	struct pkt *pkt = pkt_of(m);
	enum counter why = CTR_NONE;
	struct rtp_exts exts;
	bool is_bound;

	ASSERT_HOME(w, s);
	ASSERT_HOT(pkt->sid == s->sid);
	read_exts(w, s, m, v, &exts);
	is_bound = bind_stream(w, s, st, v->pt, &exts, &why);
	rx_stats_packet(&st->stats, pkt->index, pkt->ts, payload_len, pkt->arrival,
			is_bound ? st->source->clock_hz : 0);
	keep_reporting(w, s, st, pkt);
	if (is_bound)
		forward_packet(w, s, st, m, &exts, payload_len);
	else if (why == DROP_NO_TRACK && payload_len > 0)
		parking_add(w, &s->unclaimed, m, DROP_NO_TRACK);
	else
		drop(w, m, why);
}

// --- mails about tracks ---------------------------------------------------------------------------

void publish_track(struct worker *w, struct session *s, struct source *src, const struct ipc_track_add *add,
		   bool enabled)
{
	unsigned i = add->track;
	bool is_new = s->track[i] == NULL;

	ASSERT_HOME(w, s);
	ASSERT_HOT(i < IPC_MAX_TRACKS);
	if (is_new) {
		s->track[i] = src;
		s->n_tracks++;
		w->n_tracks++;
	}
	if (source_declare(src, add) && !is_new)
		stream_unbind(s, src);
	if (src->enabled != enabled)
		publish_gate(w, s, src, enabled);
	retry_unclaimed(w, s);
}

void publish_gate(struct worker *w, struct session *s, struct source *src, bool enabled)
{
	ASSERT_HOME(w, s);
	ASSERT_HOT(s->track[src->id] == src);
	src->enabled = enabled;
	if (src->video)
		publish_video_gate(w, s, src);
	else if (!enabled)
		on_voice(w, src, vad_reset(&src->vad));
}

// Let go of what the track keeps.
static void end_source(struct worker *w, struct source *src)
{
	if (src->video)
		publish_video_end(w, src);
	src->current = NULL;
}

void publish_track_del(struct worker *w, struct session *s, struct source *src)
{
	ASSERT_HOME(w, s);
	if (s->track[src->id] != src)
		return;
	if (src->video == NULL)
		on_voice(w, src, vad_reset(&src->vad));
	stream_unbind(s, src);
	end_source(w, src);
	s->track[src->id] = NULL;
	s->n_tracks--;
	w->n_tracks--;
}

void publish_stop(struct worker *w, struct session *s)
{
	ASSERT_HOME(w, s);
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->track[i])
			end_source(w, s->track[i]);
	parking_clear(w, &s->unclaimed, DROP_NO_TRACK);
}

void publish_forget(struct session *s, const struct stream *st)
{
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		struct source *src = s->track[i];

		if (src && src->video)
			publish_video_forget(src, st);
		else if (src && src->current == st)
			src->current = NULL;
	}
}
