#include "tests/support/dataplane/feed.h"

#include <string.h>

#include "dataplane/deliver/viewer_priv.h"
#include "dataplane/media/bwe.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/worker/worker.h"

struct feed feed;

int feed_watch(struct rig_peer *p, uint16_t leg, uint32_t ssrc, bool rtx)
{
	struct ipc_leg_add add = {.sid = p->sid,
				  .leg = leg,
				  .kind = KIND_VIDEO,
				  .pt = FEED_PT,
				  .src_sid = feed.from.sid,
				  .src_track = 1,
				  .codec = CODEC_VP8,
				  .rtx_pt = rtx ? FEED_RTX_PT : 0,
				  .ssrc = ssrc,
				  .rtx_ssrc = rtx ? ssrc + 1 : 0,
				  .clock_hz = 90000};

	return rig_cmd(&add, CMD_LEG_ADD);
}

bool feed_open(unsigned n_workers, unsigned n_rids, bool rtx)
{
	if (!rig_open(n_workers))
		return false;
	rig_join(&feed.from, 1, SEAL_AEAD_AES_128_GCM);
	rig_join(&feed.to, 2, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig_video_track(&feed.from, 1, "1", 0x7001, n_rids), 0);
	CHECK_EQ(feed_watch(&feed.to, 5, FEED_SSRC, rtx), 0);
	rig_run(0);
	feed.at[0] = 0xfff0; // wraps soon
	feed.at[1] = 70000;
	feed.ts[0] = 1000;
	feed.ts[1] = 500000;
	feed.pid[0] = 10;
	feed.pid[1] = 20000;
	return true;
}

void feed_close(void)
{
	rig_leave(&feed.from);
	rig_leave(&feed.to);
	rig_close();
}

struct worker *feed_publisher(void)
{
	return rig.dp->worker[atomic_load(&rig.dp->session[1])->home];
}

void feed_tell(unsigned layer, uint32_t bps)
{
	struct layer_info info = {.bps = bps, .is_active = true, .has_key = true};

	info.sr =
		(struct sr_map){.ntp = (UINT64_C(0xe8000000) << 32) + ((uint64_t)(rig.now / NS_PER_S) << 32) +
				       ((uint64_t)(rig.now % NS_PER_S) << 32) / NS_PER_S,
				.rtp = feed.ts[layer],
				.clock_hz = 90000,
				.valid = true};
	layer_tell(rig_source(1, 1)->video->layer[layer], &info);
}

void feed_frame(unsigned layer, bool is_key, unsigned n)
{
	feed.ts[layer] += FEED_FRAME_TS;
	feed.pid[layer]++;
	for (unsigned i = 0; i < n; i++) {
		uint8_t flags =
			(uint8_t)((i == 0 ? LAYER_START | LAYER_SWITCH_UP | (is_key ? LAYER_KEY : 0) : 0) |
				  (i == n - 1 ? LAYER_MARKER : 0));
		rig_feed(feed_publisher(), rig_source(1, 1), layer,
			 (struct rig_frame_packet){.index = feed.at[layer]++,
						   .ts = feed.ts[layer],
						   .flags = flags,
						   .pid = feed.pid[layer],
						   .n_bytes = 200});
	}
}

void feed_news(void)
{
	for (unsigned i = 0; i < rig.dp->n_workers; i++)
		audience_wake(rig.dp->worker[i], rig_source(1, 1));
	rig_run(0);
	rig_run(0);
}

void feed_show(unsigned layer, bool is_key, unsigned n)
{
	feed_frame(layer, is_key, n);
	feed_news();
	rig_run(FEED_FRAME_NS);
}

unsigned feed_collect(const struct rig_peer *p, uint32_t ssrc, struct feed_got *got, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig.n_sent && n < max; i++) {
		struct rig_out *o = &rig.sent[i];
		struct feed_got *g = &got[n];
		uint8_t plain[1500];

		if (o->to.remote_port != p->port || !rig_is_rtp(o, ssrc))
			continue;
		n++;
		*g = (struct feed_got){};
		CHECK_EQ(rtp_parse(o->data, o->len, seal_rtp_tag_len(p->profile), &g->v), 0);
		memcpy(plain, o->data, o->len);
		struct seal_rtp job = {.key = p->rx,
				       .hdr = plain,
				       .src = plain + g->v.hdr_len,
				       .dst = plain + g->v.hdr_len,
				       .hdr_len = g->v.hdr_len,
				       .len = (uint16_t)(o->len - g->v.hdr_len),
				       .ssrc = ssrc,
				       .index = g->v.seq};
		g->is_open = seal_rtp_unprotect(rig.seal, &job, 1) == 1;
		g->len = g->v.payload_len;
		memcpy(g->payload, plain + g->v.hdr_len, g->len);
		if (g->len >= 16) {
			g->source_index = be64_get(g->payload + 8);
			g->pid = be16_get(g->payload + 2) & 0x7fff;
		}
	}
	return n;
}

struct leg *feed_leg(const struct rig_peer *p)
{
	struct leg *leg = atomic_load(&rig.dp->session[p->sid & 0xffffff])->legs;

	while (leg && leg->viewer == NULL)
		leg = leg->next;
	return leg;
}

struct session *feed_session(const struct rig_peer *p)
{
	return atomic_load(&rig.dp->session[p->sid & 0xffffff]);
}

void feed_nack(const struct rig_peer *p, const uint16_t *seq, unsigned n)
{
	struct session *s = feed_session(p);

	viewer_nack(rig.dp->worker[s->home], s, feed_leg(p), seq, n);
	rig_run(0);
}

void feed_warm_up(unsigned layer, unsigned n_frames)
{
	feed_show(layer, true, 3);
	feed_tell(layer, 500000);
	rig_run(200 * NS_PER_MS);
	for (unsigned i = 0; i < n_frames; i++)
		feed_show(layer, i == 0, 4);
}

void feed_late(uint64_t missing)
{
	struct rig_frame_packet f = {.index = missing, .ts = feed.ts[0], .pid = feed.pid[0], .n_bytes = 200};
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.dp->rx_pool), *copy;
	uint8_t *data = (uint8_t *)rte_pktmbuf_append(m, RTP_HDR_LEN + 200);

	CHECK_OR_RETURN(data != NULL);
	rtp_write(data, false, false, RIG_VP8, (uint16_t)missing, feed.ts[0], 0x9000);
	rig_vp8(data + RTP_HDR_LEN, 200, &f);
	*pkt_of(m) = (struct pkt){.place = missing,
				  .ts = feed.ts[0],
				  .arrival = rig.now,
				  .hdr_len = RTP_HDR_LEN,
				  .codec = CODEC_VP8,
				  .source = rig_source(1, 1),
				  .gen = source_gen(rig_source(1, 1))};
	CHECK_EQ(vp8_parse(data + RTP_HDR_LEN, 200, &pkt_of(m)->vp8), 0);
	if (layer_add(feed_publisher(), rig_source(1, 1)->video->layer[0], m, 0, &copy) == LAYER_LATE)
		viewer_late(rig.dp->worker[feed_session(&feed.to)->home], rig_source(1, 1), copy);
	mbuf_done(m);
}

void feed_want_rung(unsigned rung)
{
	struct simulcast *c = viewer_choice(feed_leg(&feed.to)->viewer);
	struct session *s = feed_session(&feed.to);

	c->want = (int8_t)rung;
	c->want_layer = (uint8_t)rung;
	c->want_cap = RTXRING_ALL;
	s->bwe->decided = rig.now + 3600 * NS_PER_S; // the choice is ours
	s->bwe->due = NS_NEVER;
	viewer_choice_changed(rig.dp->worker[s->home], s, feed_leg(&feed.to));
	rig_run(0);
}
