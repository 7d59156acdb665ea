#include "dataplane/publish/intake.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/core/cacheline.h"
#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/egress.h"
#include "dataplane/media/fanout.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/media/layer_read.h"
#include "dataplane/media/stream.h"
#include "dataplane/media/video.h"
#include "lib/rtc/wire/rtcp.h"

#define TICK_NS (20 * NS_PER_MS)       // while packets come
#define SLOW_TICK_NS (100 * NS_PER_MS) // when none came for ACTIVE_NS
#define ACTIVE_NS (2 * NS_PER_S)
#define SILENT_NS (30 * NS_PER_S) // then the session's own pace is enough
#define TELL_NS (100 * NS_PER_MS)
#define FRAME_MS 33 // step between two runs whose timestamps do not match

struct intake *intake_new(void)
{
	return cacheline_zalloc(sizeof(struct intake));
}

void intake_free(struct intake *in)
{
	free(in);
}

void intake_reset(struct intake *in, const struct layer *l)
{
	memset(in, 0, offsetof(struct intake, item));
	nackgen_init(&in->nack, in->item, NACKGEN_ITEMS);
	in->n_wishes = layer_wishes(l);
	in->due = NS_NEVER;
}

// --- places in the ring ------------------------------------------------------------------------------

void intake_pause(struct intake *in)
{
	in->in_run = false;
	nackgen_init(&in->nack, in->item, NACKGEN_ITEMS);
}

bool intake_may_feed(const struct intake *in, const struct stream *st, ns_t now)
{
	return in->media == st || in->media == NULL || !in->in_run || timeline_is_quiet(&in->time, now);
}

// One that does not begin with a key frame leaves a place missing, so that receivers notice the loss.
static void begin_run(struct intake *in, const struct source *src, const struct layer *l, struct stream *st,
		      const struct pkt *pkt, bool is_key_start)
{
	uint64_t top;

	in->first = layer_top(l, &top) ? top + 1 + !is_key_start : pkt->index;
	in->base = in->first - pkt->index;
	if (in->media != st || timeline_has_left(&in->time, pkt->ts, src->clock_hz, pkt->arrival))
		timeline_rebase(&in->time, pkt->ts, src->clock_hz, FRAME_MS, 1, pkt->arrival);
	in->media = st;
	in->in_run = true;
	nackgen_init(&in->nack, in->item, NACKGEN_ITEMS);
}

bool intake_place(struct worker *w, struct source *src, unsigned layer, struct stream *st, struct pkt *pkt,
		  bool is_key_start)
{
	struct intake *in = src->video->intake[layer];
	const struct layer *l = src->video->layer[layer];
	bool is_wide = in->in_run && in->media == st && in->nack.started &&
		       pkt->index > in->nack.top + NACKGEN_ITEMS;

	ASSERT_HOT(layer < src->video->n_layers);
	if (!in->in_run || in->media != st || is_wide) {
		begin_run(in, src, l, st, pkt, is_key_start);
		if (!is_key_start)
			intake_ask_key(w, src, layer);
	}
	if (nackgen_packet(&in->nack, pkt->index, is_key_start, w->now) == NACKGEN_OVERFLOW)
		intake_ask_key(w, src, layer);
	pkt->place = pkt->index + in->base;
	pkt->ts += in->time.offset;
	return (int64_t)(pkt->place - in->first) >= 0;
}

void intake_added(struct intake *in, const struct pkt *pkt, unsigned n_bytes, bool is_key_start)
{
	layerrate_add(&in->rate, n_bytes, pkt->arrival);
	if (is_key_start) {
		in->n_tids[1] = in->n_tids[0];
		in->n_tids[0] = 0;
		keyreq_on_key(&in->keyreq, pkt->arrival);
		in->has_key = true;
	}
	if (pkt->vp8.has_tid && pkt->vp8.tid >= in->n_tids[0])
		in->n_tids[0] = (uint8_t)(pkt->vp8.tid + 1);
	if (!pkt->is_late)
		timeline_newest(&in->time, pkt->ts, pkt->arrival);
}

void intake_ask_key(struct worker *w, struct source *src, unsigned layer)
{
	const struct fanout *f = fanout_of(src);

	keyreq_ask(&src->video->intake[layer]->keyreq, f ? f->first[PORT_MAX_WORKERS] : 0, w->now);
}

// --- asking the publisher ------------------------------------------------------------------------------

static void ask_missing(struct worker *w, struct session *s, struct source *src, unsigned layer)
{
	struct intake *in = src->video->intake[layer];
	uint8_t bytes[12 + 4 * NACKGEN_MAX_SEQ];
	struct wbuf out = wbuf_of(bytes, sizeof(bytes));
	struct nackgen_out ask;

	nackgen_tick(&in->nack, s->rtt.smooth_ns, w->now, &ask);
	for (unsigned i = 0; i < ask.n_lost; i++)
		layer_give_up(src->video->layer[layer], ask.lost[i] + in->base);
	count(w, CTR_VIDEO_GIVEN_UP, ask.n_lost);
	if (ask.n_lost > 0)
		intake_ask_key(w, src, layer);
	if (ask.n_seq == 0 || !(source_fb(src, in->media->pt) & FB_NACK))
		return;
	rtcp_write_nack(&out, s->rtcp_ssrc, in->media->ssrc, ask.seq, ask.n_seq);
	count(w, CTR_RTCP_NACK_TX, 1);
	egress_rtcp(w, s, bytes, wbuf_len(&out));
}

static void request_key(struct worker *w, struct session *s, struct source *src, struct intake *in)
{
	uint8_t bytes[20], fb = source_fb(src, in->media->pt);
	struct wbuf out = wbuf_of(bytes, sizeof(bytes));

	if (fb & FB_PLI)
		rtcp_write_pli(&out, s->rtcp_ssrc, in->media->ssrc);
	else if (fb & FB_FIR)
		rtcp_write_fir(&out, s->rtcp_ssrc, in->media->ssrc, in->fir_seq++);
	else
		return;
	count(w, CTR_RTCP_PLI_TX, 1);
	egress_rtcp(w, s, bytes, wbuf_len(&out));
}

// --- news for receivers' workers -------------------------------------------------------------------------

void intake_tell(struct worker *w, struct session *s, struct source *src, unsigned layer)
{
	struct intake *in = src->video->intake[layer];
	ns_t window = layer == 0 && src->video->n_layers > 1 ? LAYERRATE_LONG_NS : LAYERRATE_SHORT_NS;
	struct layer_info info = {.bps = layerrate_bps(&in->rate, window, w->now),
				  .is_active = layerrate_is_active(&in->rate, w->now),
				  .has_key = in->has_key,
				  .n_tids = RTE_MAX(in->n_tids[0], in->n_tids[1]),
				  .sr = in->media->map};

	ASSERT_HOT(in->media);
	info.sr.rtp += in->time.offset;
	info.sr.valid = info.sr.valid && info.sr.era == s->clock.era;
	if (stream_clock(in->media, s, w->now, &info.clock))
		info.clock.rtp += in->time.offset;
	layer_tell(src->video->layer[layer], &info);
	in->was_active = info.is_active;
	in->told = w->now;
}

void intake_tick(struct worker *w, struct session *s, struct source *src, unsigned layer)
{
	struct intake *in = src->video->intake[layer];
	struct layer *l = src->video->layer[layer];
	uint32_t n_wishes = layer_wishes(l);
	ns_t silent = w->now - in->time.at;

	ASSERT_HOME(w, s);
	in->due = NS_NEVER;
	if (in->media == NULL)
		return;
	if (w->now >= nackgen_due(&in->nack))
		ask_missing(w, s, src, layer);
	if (n_wishes != in->n_wishes)
		intake_ask_key(w, src, layer);
	in->n_wishes = n_wishes;
	if (keyreq_poll(&in->keyreq, s->rtt.smooth_ns, src->enabled && fanout_of(src), w->now))
		request_key(w, s, src, in);
	if (w->now - in->told >= TELL_NS || in->was_active != layerrate_is_active(&in->rate, w->now)) {
		intake_tell(w, s, src, layer);
		layer_expire(w, l);
	}
	if (silent < ACTIVE_NS)
		in->due = w->now + TICK_NS;
	else if (silent < SILENT_NS)
		in->due = w->now + SLOW_TICK_NS;
}
