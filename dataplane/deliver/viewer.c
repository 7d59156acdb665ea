// Where each receiver of video is in the rings, and who is served when.
#include "dataplane/deliver/viewer.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/core/cacheline.h"
#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/viewer_priv.h"
#include "dataplane/media/bwe.h"
#include "dataplane/media/fanout.h"
#include "dataplane/media/layer.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/media/layer_read.h"
#include "dataplane/media/source.h"
#include "dataplane/media/video.h"
#include "lib/base/err.h"
#include "lib/rtc/wire/rtp.h"

#define FRAME_TICKS 3000                    // 90 kHz: one frame of 30 in a second
#define FRESH_KEY_NS (500 * NS_PER_MS)      // a switch takes a key frame out of the ring that is no older
#define SR_AFTER_SWITCH_NS (50 * NS_PER_MS) // lip sync follows the new layer at once
#define WISH_AGAIN_NS (1 * NS_PER_S)        // a lost receiver that no key frame reaches
#define MTU 1500  // bytes of an IP packet that arrive unfragmented, with the number of a resend
#define VISITS 64 // receivers looked at in a slice, most of which may have nothing to do

// --- life -------------------------------------------------------------------------------------------

struct viewer *viewer_new(const struct ipc_leg_add *add)
{
	struct viewer *v = cacheline_zalloc(sizeof(*v));

	if (v == NULL)
		return err_null(ENOMEM);
	v->rtx_pt = add->rtx_pt;
	v->rtx_ssrc = add->rtx_ssrc;
	v->seek_layer = UINT8_MAX;
	simulcast_init(&v->choice);
	resend_init(&v->resend, v->slot);
	return v;
}

void viewer_free(void *viewer)
{
	free(viewer);
}

void viewer_start(struct worker *w, struct session *s, struct leg *leg)
{
	struct viewer *v = leg->viewer;

	ASSERT_HOME(w, s);
	ASSERT_HOT(leg->session == s && s->bwe);
	rewrite_init(&v->rw, rewrite_start_seq((uint32_t)worker_random(w)), leg->clock_hz, FRAME_TICKS);
	v->rtx_index = rewrite_start_seq((uint32_t)worker_random(w));
	v->twcc_id = s->ext[EXT_TWCC];
	v->rate_since = w->now;
	session_due(w, s, w->now);
}

void viewer_stop(struct worker *w, struct session *s, struct leg *leg)
{
	ASSERT_HOME(w, s);
	pacer_drop(&s->bwe->pacer, &leg->viewer->pace); // a boost of its replay must not stay
	simulcast_init(&leg->viewer->choice); // nothing: a list of receivers may still name it for a while
}

struct layer *viewer_layer(const struct leg *leg, unsigned layer)
{
	const struct source *src = leg->source;

	return source_gen(src) == leg->source_gen && layer < src->video->n_layers ? src->video->layer[layer]
										  : NULL;
}

struct simulcast *viewer_choice(struct viewer *v)
{
	return &v->choice;
}

// --- key frames ---------------------------------------------------------------------------------------

// Nothing more until a key frame, which is asked for.
static void lose_place(struct worker *w, struct leg *leg, uint64_t next)
{
	struct viewer *v = leg->viewer;
	struct session *s = leg->session;
	struct layer *l = viewer_layer(leg, v->layer);

	pacer_drop(&s->bwe->pacer, &v->pace);
	rewrite_pause(&v->rw);
	v->next = next;
	v->is_lost = true;
	v->asked = w->now;
	if (l)
		layer_ask_key(l);
}

// Where the search for a key frame of a wanted layer begins: in the ring when it has a fresh one, else with what comes.
static void seek_begin(struct worker *w, struct leg *leg, struct layer *l, uint8_t layer)
{
	struct viewer *v = leg->viewer;
	struct rtxring_entry e;
	struct rte_mbuf *m;
	uint64_t top = 0, key;

	v->seek_layer = layer;
	v->seek_from = layer_top(l, &top) ? top + 1 : 0;
	if (layer_key(l, w->now, &key) && layer_read(l, RTXRING_ALL, key, &e, &m) == RTXRING_HELD &&
	    (v->rw.n_epochs == 0 || w->now - pkt_of(m)->arrival < FRESH_KEY_NS))
		v->seek_from = key;
	else
		layer_ask_key(l);
}

// A key frame to go on with in another layer, or in the same one.
struct turn {
	struct layer *layer;
	struct rtxring_entry e;
	struct rte_mbuf *m; // borrowed
	enum rewrite_ts how;
	uint32_t offset;
};

// Output timestamps over a change of layer: how, offset. False: not with this key frame.
static bool align_times(struct worker *w, struct leg *leg, struct turn *t)
{
	struct viewer *v = leg->viewer;
	uint8_t layer = v->choice.want_layer;
	struct layer *from = viewer_layer(leg, v->layer);
	struct layer_info a, b;
	struct tsalign_in in;

	t->offset = 0;
	t->how = REWRITE_TS_KEEP;
	if (v->rw.n_epochs == 0 || v->layer == layer || from == NULL)
		return true;
	layer_info(from, &a);
	layer_info(t->layer, &b);
	in = (struct tsalign_in){.from = &a.sr,
				 .to = &b.sr,
				 .layer = layer,
				 .ts = t->e.ts,
				 .last_ts = v->rw.last_ts,
				 .last_sent = v->rw.last_sent,
				 .clock_hz = leg->clock_hz,
				 .now = w->now};
	(void)rewrite_ts_offset(&v->rw, &in.offset);
	t->how = REWRITE_TS_OFFSET;
	switch (tsalign_switch(&v->align, &in, &t->offset)) {
	case TSALIGN_OK:
		return true;
	case TSALIGN_RETRY:
		layer_ask_key(t->layer);
		return false;
	case TSALIGN_WAIT:
		return false;
	}
	return false;
}

// Begin with what has come since the key frame, paced, when there is more than this frame.
static void replay_frames(struct worker *w, struct leg *leg, struct layer *l, uint64_t key)
{
	struct viewer *v = leg->viewer;
	const struct fanout *f = fanout_of(leg->source);
	uint32_t n = f ? f->first[PORT_MAX_WORKERS] : 1;
	struct layer_info info;
	uint64_t top = key;

	layer_info(l, &info);
	(void)layer_top(l, &top);
	pacer_replay(&leg->session->bwe->pacer, &v->pace, key, top + 1, info.bps,
		     w->now + pacer_spread((uint32_t)worker_random(w), n));
	v->next = top + 1;
}

// Numbers go on with this packet under the choice as it is now.
static void epoch_begin(struct worker *w, struct leg *leg, const struct rtxring_entry *e, struct rte_mbuf *m,
			enum rewrite_ts how, uint32_t offset)
{
	struct viewer *v = leg->viewer;
	unsigned cap = v->choice.now_cap;
	struct rewrite_in in = {.rank = e->rank[cap],
				.source = rtxring_source(v->choice.now_layer, cap),
				.ts = e->ts,
				.now = w->now};
	const struct vp8_desc *d = &pkt_of(m)->vp8;

	rewrite_switch(&v->rw, &in, how, offset, v->is_in_frame);
	if (d->len) {
		vp8_leg_switch(&v->vp8, d, e->n_dropped[cap]);
		rewrite_vp8(&v->rw, v->vp8.pid_offset, v->vp8.tl0_offset);
	}
}

static void switch_to(struct worker *w, struct leg *leg, const struct turn *t)
{
	struct viewer *v = leg->viewer;
	struct session *s = leg->session;

	epoch_begin(w, leg, &t->e, t->m, t->how, t->offset);
	v->n_switches += v->rw.n_epochs > 1 && v->layer != v->choice.now_layer;
	v->layer = v->choice.now_layer;
	v->seek_layer = UINT8_MAX;
	v->is_lost = false;
	v->is_in_frame = false;
	pacer_drop(&s->bwe->pacer, &v->pace);
	replay_frames(w, leg, t->layer, t->e.index);
	if (s->rtcp_armed && s->rtcp_due > w->now + SR_AFTER_SWITCH_NS) {
		s->rtcp_due = w->now + SR_AFTER_SWITCH_NS;
		session_due(w, s, s->rtcp_due);
	}
}

// Change to the wanted layer when a key frame of it is there.
static void seek_key(struct worker *w, struct leg *leg)
{
	struct viewer *v = leg->viewer;
	struct simulcast *c = &v->choice;
	struct turn t = {.layer = viewer_layer(leg, c->want_layer)};
	uint64_t key;

	if (t.layer == NULL)
		return;
	if (v->seek_layer != c->want_layer)
		seek_begin(w, leg, t.layer, c->want_layer);
	if (!layer_next_key(t.layer, v->seek_from, &key))
		return;
	v->seek_from = key + 1;
	if (layer_read(t.layer, RTXRING_ALL, key, &t.e, &t.m) != RTXRING_HELD ||
	    pkt_of(t.m)->codec != leg->codec)
		return;
	if (align_times(w, leg, &t) && simulcast_on_key(c, c->want_layer, w->now))
		switch_to(w, leg, &t);
}

static bool wants_layer(const struct simulcast *c)
{
	return c->want != SIMULCAST_NONE && (c->now == SIMULCAST_NONE || c->want_layer != c->now_layer);
}

// --- forwarding ---------------------------------------------------------------------------------------

// A frame begins: the temporal cap may change with it.
static void change_cap(struct worker *w, struct leg *leg, const struct rtxring_entry *e, struct rte_mbuf *m)
{
	if (simulcast_on_frame(&leg->viewer->choice, e->tid, e->flags & LAYER_SWITCH_UP, w->now))
		epoch_begin(w, leg, e, m, REWRITE_TS_KEEP, 0);
}

// Is the receiver given this packet, whose turn it is to be sent? The cap changes here and not when the frame comes:
// what waits before it belongs to the old one.
static bool is_for(struct worker *w, struct leg *leg, const struct rtxring_entry *e, struct rte_mbuf *m)
{
	if (e->flags & LAYER_START)
		change_cap(w, leg, e, m);
	return e->caps & 1u << leg->viewer->choice.now_cap;
}

// is_late: it was passed over when it was missing.
static void send_packet(struct worker *w, struct viewer_slice *sl, struct leg *leg,
			const struct rtxring_entry *e, struct rte_mbuf *m, bool is_late)
{
	struct viewer *v = leg->viewer;
	unsigned cap = v->choice.now_cap, len = m->data_len - pkt_of(m)->hdr_len;
	struct rewrite_in in = {
		.rank = e->rank[cap], .source = rtxring_source(v->layer, cap), .ts = e->ts, .now = w->now};
	struct rewrite_out out;

	if (viewer_wire_bytes(leg->session, v, len + (v->rtx_pt ? 2u : 0u)) > MTU) {
		count(w, DROP_TOO_BIG, 1);
		return;
	}
	if (rewrite_is_padded(&v->rw) && !is_late) // probes went between
		rewrite_switch(&v->rw, &in, REWRITE_TS_KEEP, 0, 0);
	if (rewrite_packet(&v->rw, &in, &out) != REWRITE_OK)
		return;
	viewer_send(w, sl, leg, &(struct viewer_pkt){e, m, cap}, &out);
	if (!out.is_late)
		v->is_in_frame = !(e->flags & LAYER_MARKER);
}

// A packet of the ring that comes next in order.
static void offer_packet(struct worker *w, struct viewer_slice *sl, struct leg *leg, struct layer *l,
			 uint64_t index)
{
	struct viewer *v = leg->viewer;
	struct session *s = leg->session;
	struct rtxring_entry e;
	struct rte_mbuf *m;
	uint64_t at;
	unsigned bytes;

	if (layer_read(l, RTXRING_ALL, index, &e, &m) != RTXRING_HELD)
		return; // missing: pushed when it comes late
	if (!pacer_waits(&v->pace, &at) && !is_for(w, leg, &e, m))
		return;
	bytes = viewer_wire_bytes(s, v, m->data_len - pkt_of(m)->hdr_len);
	if (pacer_live(&s->bwe->pacer, &v->pace, index, bytes, w->now) == PACER_SEND)
		send_packet(w, sl, leg, &e, m, false);
}

// What waits for credit. False: the slice is full.
static bool serve_backlog(struct worker *w, struct viewer_slice *sl, struct leg *leg, struct layer *l)
{
	struct viewer *v = leg->viewer;
	struct session *s = leg->session;
	struct pacer *pacer = &s->bwe->pacer;
	struct rtxring_entry e;
	struct rte_mbuf *m;
	uint64_t at;

	while (pacer_waits(&v->pace, &at)) {
		unsigned bytes;

		if (!viewer_slice_has_room(w, sl))
			return false;
		if (layer_read(l, RTXRING_ALL, at, &e, &m) != RTXRING_HELD || !is_for(w, leg, &e, m)) {
			pacer_next(pacer, &v->pace);
			continue;
		}
		bytes = viewer_wire_bytes(s, v, m->data_len - pkt_of(m)->hdr_len);
		switch (pacer_head(pacer, &v->pace, bytes, pkt_of(m)->arrival, w->now)) {
		case PACER_SEND:
			send_packet(w, sl, leg, &e, m, false);
			pacer_next(pacer, &v->pace);
			break;
		case PACER_WAIT:
			session_due(w, s, RTE_MAX(pacer_due(pacer, &v->pace, bytes), w->now + NS_PER_MS));
			return true;
		case PACER_STALE:
			count(w, DROP_STALE, v->pace.end - v->pace.at);
			lose_place(w, leg, v->next);
			return true;
		}
	}
	return true;
}

// The key frame that was wished for may have come and gone while nothing could be sent.
static void wish_again(struct worker *w, struct leg *leg, struct layer *l)
{
	struct viewer *v = leg->viewer;

	if (w->now - v->asked < WISH_AGAIN_NS)
		return;
	v->asked = w->now;
	layer_ask_key(l);
}

// False: the slice is full and more waits.
static bool serve_live(struct worker *w, struct viewer_slice *sl, struct leg *leg, struct layer *l)
{
	struct viewer *v = leg->viewer;
	uint64_t top, key;

	if (!layer_top(l, &top))
		return true;
	if (v->next + (1u << 12) < top) // fell out of every ring: somebody stopped this process
		lose_place(w, leg, top + 1);
	if (v->is_lost && !layer_next_key(l, v->next, &key)) {
		v->next = top + 1;
		wish_again(w, leg, l);
		return true;
	}
	if (v->is_lost) {
		v->next = key;
		v->is_lost = false;
	}
	while (v->next <= top) {
		if (!viewer_slice_has_room(w, sl))
			return false;
		offer_packet(w, sl, leg, l, v->next++);
	}
	return true;
}

// Bring one receiver up to what there is. False: the slice is full and more waits.
static bool serve_receiver(struct worker *w, struct viewer_slice *sl, struct leg *leg)
{
	struct viewer *v = leg->viewer;
	struct layer *l;

	ASSERT_HOME(w, leg->session);
	if (wants_layer(&v->choice))
		seek_key(w, leg);
	l = viewer_layer(leg, v->layer);
	if (l == NULL || v->choice.now == SIMULCAST_NONE || v->choice.is_frozen)
		return true;
	if (!viewer_may_send(w, leg, 1)) {
		uint64_t top;
		if (!v->is_lost && layer_top(l, &top))
			lose_place(w, leg, top + 1);
		return true;
	}
	return serve_backlog(w, sl, leg, l) && serve_live(w, sl, leg, l);
}

void viewer_late(struct worker *w, struct source *src, struct rte_mbuf *m)
{
	const struct fanout *f = fanout_of(src);
	const struct pkt *pkt = pkt_of(m);
	struct viewer_slice sl;

	if (f == NULL)
		return;
	viewer_slice_begin(&sl);
	for (uint32_t i = f->first[w->id]; i < f->first[w->id + 1]; i++) {
		struct leg *leg = f->receiver[i].leg;
		struct viewer *v = leg->viewer;
		struct layer *l = viewer_layer(leg, pkt->layer);
		struct rtxring_entry e;
		struct rte_mbuf *held;

		if (l == NULL || v->choice.now == SIMULCAST_NONE || v->layer != pkt->layer ||
		    pkt->place >= v->next || v->is_lost || !viewer_may_send(w, leg, 1) ||
		    layer_read(l, v->choice.now_cap, pkt->place, &e, &held) != RTXRING_HELD)
			continue;
		if (sl.n == VIEWER_SLICE)
			viewer_slice_end(w, &sl);
		if (!viewer_slice_has_room(w, &sl))
			break;
		if (pacer_live(&leg->session->bwe->pacer, &v->pace, pkt->place,
			       viewer_wire_bytes(leg->session, v, held->data_len), w->now) == PACER_SEND)
			send_packet(w, &sl, leg, &e, held, true);
	}
	viewer_slice_end(w, &sl);
}

// --- audiences ----------------------------------------------------------------------------------------

void audience_wake(struct worker *w, struct source *src)
{
	struct audience *a = &src->video->audience[w->id];

	ASSERT_HOT(src->video->n_layers > 0);
	a->source = src;
	a->left = UINT32_MAX; // a whole lap from here
	if (!a->is_queued)
		TAILQ_INSERT_TAIL(&w->audiences, a, link);
	a->is_queued = true;
}

// The lines that sending a packet touches are fetched in the order in which one leads to the next.
#define FAR 8  // receivers ahead: leg and session
#define NEAR 4 // what they point to
#define NEXT 2 // the place in the history of sent packets

static inline uint32_t in_turn(uint32_t at, uint32_t ahead, uint32_t n)
{
	at += ahead;
	return at < n ? at : at % n;
}

static inline void prefetch_ahead(const struct receiver *to, uint32_t at, uint32_t n)
{
	const struct receiver *r = &to[in_turn(at, FAR, n)];

	rte_prefetch0(r->leg);
	rte_prefetch0(r->session);
	r = &to[in_turn(at, NEAR, n)];
	for (unsigned i = 0; i < VIEWER_HOT_LINES; i++)
		rte_prefetch0((const uint8_t *)r->leg->viewer + i * RTE_CACHE_LINE_SIZE);
	if (r->session->bwe)
		bwe_prefetch(r->session->bwe);
	r = &to[in_turn(at, NEXT, n)];
	if (r->session->bwe)
		sendhist_prefetch(&r->session->bwe->hist);
}

// Receivers of the audience in turn until the slice is full, the lap is done, or enough were looked at.
static unsigned serve_some(struct worker *w, struct audience *a, const struct fanout *f)
{
	const struct receiver *to = f->receiver + f->first[w->id];
	uint32_t n = f->first[w->id + 1] - f->first[w->id];
	struct viewer_slice sl;
	unsigned visits = 0;

	a->left = RTE_MIN(f == a->seen ? a->left : UINT32_MAX, n);
	a->seen = f;
	a->next = n ? a->next % n : 0;
	viewer_slice_begin(&sl);
	while (a->left > 0 && visits < VISITS && sl.n < VIEWER_SLICE) {
		prefetch_ahead(to, a->next, n);
		visits++;
		if (!serve_receiver(w, &sl, to[a->next].leg))
			break; // it goes on with this one
		a->next = in_turn(a->next, 1, n);
		a->left--;
	}
	if (sl.is_dry)
		a->left = 0; // no buffers: what is missed comes with the next packet
	viewer_slice_end(w, &sl);
	return visits;
}

unsigned audience_serve(struct worker *w)
{
	struct audience *a = TAILQ_FIRST(&w->audiences);
	const struct fanout *f;
	unsigned visits = 1;

	if (a == NULL)
		return 0;
	f = fanout_of(a->source);
	TAILQ_REMOVE(&w->audiences, a, link);
	a->is_queued = false;
	if (f == NULL)
		return visits;
	visits += serve_some(w, a, f);
	if (a->left > 0) {
		TAILQ_INSERT_TAIL(&w->audiences, a, link);
		a->is_queued = true;
	}
	return visits;
}

void viewer_run(struct worker *w, struct session *s)
{
	struct viewer_slice sl;

	ASSERT_HOME(w, s);
	if (s->bwe == NULL)
		return;
	viewer_slice_begin(&sl);
	for (struct leg *leg = s->legs; leg && leg->viewer; leg = leg->next) { // video comes first
		while (!serve_receiver(w, &sl, leg) && !sl.is_dry) {
			w->n_paced += sl.n;
			viewer_slice_end(w, &sl);
		}
	}
	w->n_paced += sl.n;
	viewer_slice_end(w, &sl);
}

void viewer_choice_changed(struct worker *w, struct session *s, struct leg *leg)
{
	struct viewer *v = leg->viewer;
	struct layer *l = viewer_layer(leg, v->choice.want_layer);

	ASSERT_HOME(w, s);
	if (l && wants_layer(&v->choice) && v->seek_layer == v->choice.want_layer)
		layer_ask_key(l); // it waits for long already
	if (v->choice.is_paused) {
		pacer_drop(&s->bwe->pacer, &v->pace);
		rewrite_pause(&v->rw);
		v->seek_layer = UINT8_MAX;
	}
	session_due(w, s, w->now); // there may be a key frame to begin with
}

// --- questions ----------------------------------------------------------------------------------------

bool viewer_clock(const struct leg *leg, struct clock_map *map)
{
	struct layer *l = viewer_layer(leg, leg->viewer->layer);
	struct layer_info info;
	uint32_t offset;

	if (l == NULL || !rewrite_ts_offset(&leg->viewer->rw, &offset))
		return false;
	layer_info(l, &info);
	*map = info.clock;
	map->rtp += offset;
	return map->valid;
}

void viewer_state(const struct viewer *v, ns_t now, struct ipc_leg_state *state)
{
	bool is_old = now - v->rate_since > 2 * VIEWER_RATE_NS;

	state->layer = v->choice.now == SIMULCAST_NONE ? UINT8_MAX : v->layer;
	state->is_paused = v->choice.is_paused;
	state->sent_bps = is_old ? 0 : v->rate_bps;
	state->n_switches = v->n_switches;
	state->n_nacked = v->n_nacked;
	state->n_resent = v->n_resent;
	state->n_key_requests = v->n_key_requests;
}
