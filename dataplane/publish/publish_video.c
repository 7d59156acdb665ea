#include "dataplane/publish/publish_video.h"

#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/media/fanout.h"
#include "dataplane/media/stream.h"
#include "dataplane/media/video.h"
#include "dataplane/publish/arrivals.h"
#include "dataplane/publish/intake.h"
#include "lib/rtc/codec/av1.h"

// --- what a packet is ----------------------------------------------------------------------------------

static uint8_t vp8_flags(struct pkt *pkt, const uint8_t *payload, size_t len)
{
	struct vp8_desc *d = &pkt->vp8;
	uint8_t flags = 0;

	if (vp8_parse(payload, len, d) < 0) {
		*d = (struct vp8_desc){}; // passed on as it is; it begins nothing
		return 0;
	}
	if (vp8_is_key(payload, len))
		flags |= LAYER_KEY | LAYER_SWITCH_UP;
	if (d->is_start)
		flags |= LAYER_START;
	if (d->is_start && (d->is_switch_up || !d->has_tid || d->tid == 0))
		flags |= LAYER_SWITCH_UP;
	return flags | (d->is_discardable ? LAYER_DISCARDABLE : 0);
}

// Without a dependency descriptor there is no telling layers apart: all of it or nothing.
static uint8_t av1_flags(const struct intake *in, const struct pkt *pkt, const uint8_t *payload, size_t len)
{
	struct av1_agg agg;

	if (av1_agg_parse(payload, len, &agg) < 0)
		return 0;
	if (agg.is_new_sequence || (!agg.is_continued && agg.first_obu == AV1_OBU_SEQUENCE))
		return LAYER_START | LAYER_KEY | LAYER_SWITCH_UP;
	return !agg.is_continued && (!in->time.started || pkt->ts + in->time.offset != in->time.last)
		       ? LAYER_START
		       : 0;
}

static uint8_t flags_of(const struct intake *in, struct rte_mbuf *m, uint16_t len)
{
	struct pkt *pkt = pkt_of(m);
	const uint8_t *payload = rte_pktmbuf_mtod_offset(m, const uint8_t *, pkt->hdr_len);
	uint8_t flags = pkt->marker ? LAYER_MARKER : 0;

	pkt->vp8 = (struct vp8_desc){};
	if (len == 0)
		return 0;
	if (pkt->codec == CODEC_VP8)
		flags |= vp8_flags(pkt, payload, len);
	else if (pkt->codec == CODEC_AV1)
		flags |= av1_flags(in, pkt, payload, len);
	return flags;
}

// A repair packet becomes the one that it repairs: RFC 4588 section 4. False: nobody misses that.
static bool unwrap_rtx(const struct intake *in, const struct source *src, struct rte_mbuf *m, uint16_t *len)
{
	struct pkt *pkt = pkt_of(m);
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
	uint64_t index;

	if (in->media == NULL || pkt->codec != CODEC_RTX ||
	    !nackgen_rtx(&in->nack, data + pkt->hdr_len, *len, &index))
		return false;
	pkt->pt = source_apt(src, pkt->pt);
	pkt->codec = source_codec(src, pkt->pt);
	pkt->index = index;
	pkt->seq = (uint16_t)index;
	pkt->ssrc = in->media->ssrc;
	memmove(data + 2, data, pkt->hdr_len);
	data = (uint8_t *)rte_pktmbuf_adj(m, 2);
	*len = (uint16_t)(*len - 2);
	data[1] = (uint8_t)((data[1] & 0x80) | pkt->pt);
	be16_put(data + 2, pkt->seq);
	be32_put(data + 8, pkt->ssrc);
	return true;
}

// --- telling the receivers' workers --------------------------------------------------------------------

// m, held by the ring, goes to the workers of this set as a notice.
static void notify_workers(struct worker *w, uint64_t workers, struct rte_mbuf *m)
{
	rte_mbuf_refcnt_update(m, (int16_t)__builtin_popcountll(workers));
	for (; workers; workers &= workers - 1) {
		count(w, CTR_FANOUT_NOTICES, 1);
		worker_hand_over(w, (unsigned)__builtin_ctzll(workers), m);
	}
}

static void on_late(struct worker *w, struct source *src, struct rte_mbuf *m)
{
	const struct fanout *f = fanout_of(src);
	uint64_t own = UINT64_C(1) << w->id;

	if (f == NULL)
		return;
	notify_workers(w, f->workers & ~own, m);
	if (f->workers & own)
		viewer_late(w, src, m);
}

// The newest packet of each source stands for all of the burst.
static void on_news(struct worker *w, const struct source *src, struct rte_mbuf *m)
{
	unsigned i = 0;

	ASSERT_HOT(w->n_news <= BURST);
	while (i < w->n_news && pkt_of(w->news[i])->source != src)
		i++;
	if (i == BURST) {
		publish_video_flush(w);
		i = 0;
	}
	w->news[i] = m;
	w->n_news = RTE_MAX(w->n_news, i + 1);
}

void publish_video_flush(struct worker *w)
{
	uint64_t own = UINT64_C(1) << w->id;

	for (unsigned i = 0; i < w->n_news; i++) {
		struct source *src = pkt_of(w->news[i])->source;
		const struct fanout *f = fanout_of(src);

		if (f == NULL)
			continue;
		notify_workers(w, f->workers & ~own, w->news[i]);
		if (f->workers & own)
			audience_wake(w, src);
	}
	w->n_news = 0;
}

// --- packets -------------------------------------------------------------------------------------------

// The packet has its place: into the ring with it. m stays the caller's.
static void keep_packet(struct worker *w, struct source *src, unsigned layer, struct rte_mbuf *m,
			uint8_t flags)
{
	struct pkt *pkt = pkt_of(m);
	struct rte_mbuf *kept;

	pkt->layer = (uint8_t)layer;
	pkt->source = src;
	pkt->gen = source_gen(src);
	switch (layer_add(w, src->video->layer[layer], m, flags, &kept)) {
	case LAYER_IN_ORDER:
		on_news(w, src, kept);
		break;
	case LAYER_LATE:
		on_late(w, src, kept);
		break;
	case LAYER_NO_MEMORY:
		count(w, DROP_NO_MBUF, 1);
		intake_ask_key(w, src, layer);
		return;
	case LAYER_REFUSED:
		count(w, DROP_TOO_LATE, 1);
		return;
	}
	intake_added(src->video->intake[layer], pkt_of(kept), m->data_len, flags & LAYER_KEY);
}

static void keep_ticking(struct worker *w, struct session *s, struct intake *in)
{
	ns_t soon = w->now + NACKGEN_TICK_NS;

	if (in->due > soon)
		in->due = soon;
	session_due(w, s, in->due);
}

// Name of the reason a packet goes no further than the statistics, CTR_NONE when it does.
static enum counter refuse_video(const struct source *src, const struct intake *in, const struct stream *st,
				 const struct pkt *pkt, ns_t now)
{
	if (pkt->codec == CODEC_NONE || pkt->codec == CODEC_RTX)
		return DROP_BAD_PT;
	if (!src->enabled)
		return DROP_MUTED;
	if (!intake_may_feed(in, st, now))
		return DROP_STALE;
	return CTR_NONE;
}

void publish_video(struct worker *w, struct session *s, struct stream *st, struct rte_mbuf *m, uint16_t len)
{
	struct source *src = st->source;
	unsigned layer = st->layer;
	struct intake *in = src->video->intake[layer];
	struct pkt *pkt = pkt_of(m);
	enum counter why;
	uint8_t flags;

	ASSERT_HOME(w, s);
	ASSERT_HOT(layer < src->video->n_layers);
	if (pkt->marker)
		arrivals_frame(w, s);
	if (st->is_rtx && !unwrap_rtx(in, src, m, &len)) {
		drop(w, m, DROP_RTX_UNNEEDED);
		return;
	}
	if (st->is_rtx)
		st = in->media;
	why = refuse_video(src, in, st, pkt, w->now);
	if (why == DROP_MUTED && in->media == NULL)
		in->media = st; // whom to ask for a key frame at the release
	if (why == CTR_NONE) {
		flags = flags_of(in, m, len);
		if (!intake_place(w, src, layer, st, pkt, flags & LAYER_KEY)) {
			why = DROP_TOO_LATE;
		} else if (len == 0) {
			layer_pad(w, src->video->layer[layer], pkt->place, pkt->ts);
			why = DROP_PADDING_ONLY;
		} else {
			keep_packet(w, src, layer, m, flags);
		}
		keep_ticking(w, s, in);
	}
	if (why != CTR_NONE)
		drop(w, m, why);
	else
		mbuf_done(m); // the ring has a copy
}

// --- over time -------------------------------------------------------------------------------------------

void publish_video_run(struct worker *w, struct session *s)
{
	ASSERT_HOME(w, s);
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		struct video *v = s->track[i] ? s->track[i]->video : NULL;

		for (unsigned k = 0; v && k < v->n_layers; k++) {
			struct intake *in = v->intake[k];

			// A layer that has been silent for long is looked at when the session is anyway.
			if (w->now >= in->due || in->due == NS_NEVER)
				intake_tick(w, s, s->track[i], k);
			if (in->due != NS_NEVER)
				session_due(w, s, in->due);
		}
	}
}

void publish_video_bound(struct worker *w, struct session *s, struct stream *st)
{
	arrivals_widen(w, s);
}

void publish_video_sr(struct worker *w, struct session *s, struct stream *st)
{
	struct intake *in = st->source->video->intake[st->layer];

	if (in->media == st)
		intake_tell(w, s, st->source, st->layer);
}

void publish_video_gate(struct worker *w, struct session *s, struct source *src)
{
	for (unsigned i = 0; i < src->video->n_layers; i++) {
		struct intake *in = src->video->intake[i];

		if (!src->enabled)
			intake_pause(in);
		else if (in->media == NULL)
			continue;
		else
			intake_ask_key(w, src, i);
		keep_ticking(w, s, in);
	}
}

void publish_video_end(struct worker *w, struct source *src)
{
	for (unsigned i = 0; i < src->video->n_layers; i++) {
		layer_clear(w, src->video->layer[i]);
		intake_reset(src->video->intake[i], src->video->layer[i]);
	}
}

void publish_video_forget(struct source *src, const struct stream *st)
{
	for (unsigned i = 0; i < src->video->n_layers; i++)
		if (src->video->intake[i]->media == st)
			src->video->intake[i]->media = NULL;
}
