// What a receiver of video is sent: from the ring of a layer to sealed packets, once and again.
#include "dataplane/media/bwe.h"
#include "dataplane/deliver/viewer_priv.h"
#include "dataplane/worker/worker.h"
#include "dataplane/media/layer_read.h"
#include "dataplane/media/layer_info.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/rtcp.h"
#include "tests/support/dataplane/rig_video.h"

#define VP8_PT 120
#define RTX_PT 121
#define SSRC 0x8800
#define RTX_SSRC 0x8801
#define FRAME_NS (50 * NS_PER_MS)
#define FRAME_TS 4500

static struct rig_peer a, b;
static uint64_t at[2]; // next index of each layer
static uint32_t ts[2];
static uint16_t pid[2];

static int watch(struct rig_peer *p, uint16_t leg, uint32_t ssrc, bool rtx)
{
	struct ipc_leg_add add = {.sid = p->sid,
				  .leg = leg,
				  .kind = KIND_VIDEO,
				  .pt = VP8_PT,
				  .src_sid = a.sid,
				  .src_track = 1,
				  .codec = CODEC_VP8,
				  .rtx_pt = rtx ? RTX_PT : 0,
				  .ssrc = ssrc,
				  .rtx_ssrc = rtx ? ssrc + 1 : 0,
				  .clock_hz = 90000};

	return rig_cmd(&add, CMD_LEG_ADD);
}

static bool open_show(unsigned n_workers, unsigned n_rids, bool rtx)
{
	if (!rig_open(n_workers))
		return false;
	rig_join(&a, 1, SEAL_AEAD_AES_128_GCM);
	rig_join(&b, 2, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig_video_track(&a, 1, "1", 0x7001, n_rids), 0);
	CHECK_EQ(watch(&b, 5, SSRC, rtx), 0);
	rig_run(0);
	at[0] = 0xfff0; // wraps soon
	at[1] = 70000;
	ts[0] = 1000;
	ts[1] = 500000;
	pid[0] = 10;
	pid[1] = 20000;
	return true;
}

static void close_show(void)
{
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

static struct worker *publisher(void)
{
	return rig.dp->worker[atomic_load(&rig.dp->session[1])->home];
}

static void tell(unsigned layer, uint32_t bps)
{
	struct layer_info info = {.bps = bps, .is_active = true, .has_key = true};

	info.sr =
		(struct sr_map){.ntp = (UINT64_C(0xe8000000) << 32) + ((uint64_t)(rig.now / NS_PER_S) << 32) +
				       ((uint64_t)(rig.now % NS_PER_S) << 32) / NS_PER_S,
				.rtp = ts[layer],
				.clock_hz = 90000,
				.valid = true};
	layer_tell(rig_source(1, 1)->video->layer[layer], &info);
}

// One frame of n packets into a layer, without telling anybody.
static void frame(unsigned layer, bool is_key, unsigned n)
{
	ts[layer] += FRAME_TS;
	pid[layer]++;
	for (unsigned i = 0; i < n; i++) {
		uint8_t flags =
			(uint8_t)((i == 0 ? LAYER_START | LAYER_SWITCH_UP | (is_key ? LAYER_KEY : 0) : 0) |
				  (i == n - 1 ? LAYER_MARKER : 0));
		rig_feed(publisher(), rig_source(1, 1), layer,
			 (struct rig_frame_packet){.index = at[layer]++,
						   .ts = ts[layer],
						   .flags = flags,
						   .pid = pid[layer],
						   .n_bytes = 200});
	}
}

static void news(void)
{
	for (unsigned i = 0; i < rig.dp->n_workers; i++)
		audience_wake(rig.dp->worker[i], rig_source(1, 1));
	rig_run(0);
	rig_run(0);
}

static void show(unsigned layer, bool is_key, unsigned n)
{
	frame(layer, is_key, n);
	news();
	rig_run(FRAME_NS);
}

// --- what a receiver got ----------------------------------------------------------------------------------

struct got {
	struct rtp_view v;
	uint64_t source_index; // what rig_vp8 wrote
	uint16_t pid;
	uint8_t payload[1400];
	uint16_t len;
	bool is_open; // could be decrypted at roll-over counter 0
};

static unsigned collect(const struct rig_peer *p, uint32_t ssrc, struct got *got, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig.n_sent && n < max; i++) {
		struct rig_out *o = &rig.sent[i];
		struct got *g = &got[n];
		uint8_t plain[1500];

		if (o->to.remote_port != p->port || !rig_is_rtp(o, ssrc))
			continue;
		n++;
		*g = (struct got){};
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

static struct got got[600];

static void forwarded_with(unsigned n_workers)
{
	unsigned n;

	CHECK_OR_RETURN(open_show(n_workers, 0, true));
	show(0, true, 3);
	tell(0, 500000);
	for (unsigned i = 0; i < 30; i++)
		show(0, i == 10, 4);
	n = collect(&b, SSRC, got, 600);
	CHECK(n >= 20 * 4);
	for (unsigned i = 0; i < n; i++) {
		CHECK(got[i].is_open);
		CHECK_EQ(got[i].v.pt, VP8_PT);
		if (i == 0)
			continue;
		CHECK_EQ((uint16_t)(got[i].v.seq - got[i - 1].v.seq), 1);
		CHECK_EQ(got[i].source_index - got[i - 1].source_index, 1);
		CHECK(got[i].v.ts - got[i - 1].v.ts == (got[i - 1].v.marker ? FRAME_TS : 0));
	}
	CHECK(got[0].v.seq >= 1 && got[0].v.seq <= 0x7fff); // whatever the source's roll-over counter is
	CHECK_EQ(n > 0 && (got[0].payload[6] & 1) == 0, true); // begins with the key frame
	close_show();
}

static void forwarded(void)
{
	forwarded_with(1);
	forwarded_with(2);
}

// --- again ------------------------------------------------------------------------------------------------

static struct leg *leg_of(const struct rig_peer *p)
{
	struct leg *leg = atomic_load(&rig.dp->session[p->sid & 0xffffff])->legs;

	while (leg && leg->viewer == NULL)
		leg = leg->next;
	return leg;
}

static struct session *session_of(const struct rig_peer *p)
{
	return atomic_load(&rig.dp->session[p->sid & 0xffffff]);
}

static void nack(const struct rig_peer *p, const uint16_t *seq, unsigned n)
{
	struct session *s = session_of(p);

	viewer_nack(rig.dp->worker[s->home], s, leg_of(p), seq, n);
	rig_run(0);
}

// A frame per 50 ms for so many frames after a key frame; the receiver has what it gives.
static void warm_up(unsigned layer, unsigned n_frames)
{
	show(layer, true, 3);
	tell(layer, 500000);
	rig_run(200 * NS_PER_MS);
	for (unsigned i = 0; i < n_frames; i++)
		show(layer, i == 0, 4);
}

static void resent_by_rtx(void)
{
	static struct got first[200], again[8];
	uint16_t seq[3];
	unsigned n;

	CHECK_OR_RETURN(open_show(1, 0, true));
	warm_up(0, 20);
	n = collect(&b, SSRC, first, 200);
	CHECK_OR_RETURN(n > 50);
	for (unsigned i = 0; i < 3; i++)
		seq[i] = first[n - 10 + i].v.seq;
	rig_run(100 * NS_PER_MS);
	nack(&b, seq, 3);
	CHECK_EQ(collect(&b, RTX_SSRC, again, 8), 3);
	for (unsigned i = 0; i < 3; i++) {
		const struct got *was = &first[n - 10 + i];
		CHECK(again[i].is_open);
		CHECK_EQ(again[i].v.pt, RTX_PT);
		CHECK_EQ(again[i].v.ts, was->v.ts);
		CHECK_EQ(again[i].v.marker, was->v.marker);
		CHECK_EQ(be16_get(again[i].payload), was->v.seq); // OSN: number of this receiver
		CHECK_EQ(again[i].len, was->len + 2);
		CHECK_MEM(again[i].payload + 2, was->payload, was->len);
	}
	nack(&b, seq, 3); // at once again, and again
	nack(&b, seq, 3);
	CHECK_EQ(collect(&b, RTX_SSRC, again, 8), 3);
	close_show();
}

static void resent_byte_for_byte(void)
{
	struct rig_out was[3];
	uint16_t seq[3];
	unsigned n = 0;

	CHECK_OR_RETURN(open_show(1, 0, false));
	warm_up(0, 20);
	for (unsigned i = rig.n_sent; i-- > 0 && n < 3;)
		if (rig.sent[i].to.remote_port == b.port && rig_is_rtp(&rig.sent[i], SSRC)) {
			was[n] = rig.sent[i];
			seq[n++] = be16_get(rig.sent[i].data + 2);
		}
	CHECK_OR_RETURN(n == 3);
	rig_run(100 * NS_PER_MS);
	rig.n_sent = 0;
	nack(&b, seq, 3);
	CHECK_EQ(collect(&b, SSRC, got, 10), 3);
	for (unsigned i = 0, k = 0; i < rig.n_sent && k < 3; i++)
		if (rig_is_rtp(&rig.sent[i], SSRC)) {
			CHECK_EQ(rig.sent[i].len, was[k].len);
			CHECK_MEM(rig.sent[i].data, was[k].data, was[k].len);
			k++;
		}
	close_show();
}

static void nonsense_is_not_resent(void)
{
	uint16_t seq[RTCP_MAX_NACKS];
	struct got last[1];

	CHECK_OR_RETURN(open_show(1, 0, true));
	warm_up(0, 5);
	CHECK(collect(&b, SSRC, got, 600) > 0);
	last[0] = got[collect(&b, SSRC, got, 600) - 1];
	rig.n_sent = 0;
	for (unsigned i = 0; i < RTCP_MAX_NACKS; i++)
		seq[i] = (uint16_t)(last[0].v.seq + 1 + i); // never sent
	nack(&b, seq, RTCP_MAX_NACKS);
	for (unsigned i = 0; i < RTCP_MAX_NACKS; i++)
		seq[i] = (uint16_t)(last[0].v.seq - 20000 - i); // long ago
	nack(&b, seq, RTCP_MAX_NACKS);
	CHECK_EQ(collect(&b, RTX_SSRC, got, 600), 0);
	close_show();
}

static void resends_are_a_share(void)
{
	uint16_t seq[200];
	unsigned n, bytes = 0, m;

	CHECK_OR_RETURN(open_show(1, 0, true));
	warm_up(0, 60);
	n = collect(&b, SSRC, got, 600);
	rig.n_sent = 0;
	for (unsigned i = 0; i < 200; i++)
		seq[i] = got[n - 1 - i].v.seq;
	for (unsigned k = 0; k < 20; k++) { // two seconds of asking for everything
		rig_run(100 * NS_PER_MS);
		nack(&b, seq, 200);
	}
	m = collect(&b, RTX_SSRC, got, 600);
	for (unsigned i = 0; i < m; i++)
		bytes += got[i].len;
	CHECK(m > 10);
	CHECK(bytes * 8 / 2 <
	      session_of(&b)->bwe->target / 3); // a quarter of the target, and what was saved up
	close_show();
}

// A packet that never comes: the receiver is given padding under its number, the same bytes each time.
static void filler_closes_a_gap(void)
{
	struct layer *l;
	uint16_t hole;
	unsigned n;

	CHECK_OR_RETURN(open_show(1, 0, false));
	warm_up(0, 10);
	l = rig_source(1, 1)->video->layer[0];
	at[0]++; // lost
	show(0, false, 4);
	n = collect(&b, SSRC, got, 600);
	hole = (uint16_t)(got[n - 4].v.seq - 1);
	CHECK_EQ((uint16_t)(got[n - 4].v.seq - got[n - 5].v.seq), 2);
	rig.n_sent = 0;
	nack(&b, &hole, 1);
	CHECK_EQ(collect(&b, SSRC, got, 9), 0); // it may still come
	layer_give_up(l, at[0] - 5);
	nack(&b, &hole, 1);
	CHECK_EQ(collect(&b, SSRC, got, 9), 1);
	CHECK(got[0].is_open && got[0].v.has_pad && !got[0].v.marker);
	CHECK_EQ(got[0].v.seq, hole);
	rig_run(200 * NS_PER_MS);
	nack(&b, &hole, 1);
	CHECK_EQ(collect(&b, SSRC, got, 9), 2);
	{
		struct rig_out *first = NULL;
		for (unsigned i = 0; i < rig.n_sent; i++)
			if (rig_is_rtp(&rig.sent[i], SSRC) && be16_get(rig.sent[i].data + 2) == hole) {
				if (first)
					CHECK_MEM(rig.sent[i].data, first->data, first->len);
				first = &rig.sent[i];
			}
	}
	close_show();
}

// A late packet of what was left out before.
static void come_late(uint64_t missing)
{
	struct rig_frame_packet f = {.index = missing, .ts = ts[0], .pid = pid[0], .n_bytes = 200};
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.dp->rx_pool), *copy;
	uint8_t *data = (uint8_t *)rte_pktmbuf_append(m, RTP_HDR_LEN + 200);

	CHECK_OR_RETURN(data != NULL);
	rtp_write(data, false, false, RIG_VP8, (uint16_t)missing, ts[0], 0x9000);
	rig_vp8(data + RTP_HDR_LEN, 200, &f);
	*pkt_of(m) = (struct pkt){.place = missing,
				  .ts = ts[0],
				  .arrival = rig.now,
				  .hdr_len = RTP_HDR_LEN,
				  .codec = CODEC_VP8,
				  .source = rig_source(1, 1),
				  .gen = source_gen(rig_source(1, 1))};
	CHECK_EQ(vp8_parse(data + RTP_HDR_LEN, 200, &pkt_of(m)->vp8), 0);
	if (layer_add(publisher(), rig_source(1, 1)->video->layer[0], m, 0, &copy) == LAYER_LATE)
		viewer_late(rig.dp->worker[session_of(&b)->home], rig_source(1, 1), copy);
	mbuf_done(m);
}

static void late_ones_fill_their_place(void)
{
	unsigned n;
	uint64_t missing;

	CHECK_OR_RETURN(open_show(2, 0, true));
	warm_up(0, 10);
	missing = at[0]++;
	show(0, false, 4);
	n = collect(&b, SSRC, got, 600);
	CHECK_EQ((uint16_t)(got[n - 4].v.seq - got[n - 5].v.seq), 2);
	come_late(missing);
	rig_run(0);
	CHECK_EQ(collect(&b, SSRC, got, 600), n + 1);
	CHECK_EQ((uint16_t)(got[n - 4].v.seq - got[n].v.seq), 1);
	CHECK_EQ(got[n].source_index, missing);
	close_show();
}

// The lists of receivers are published after all commands that came together: until then they still name one who left.
static void receiver_leaves_before_the_list_does(void)
{
	union ipc_msg cmd = {.session_ref.sid = 0};

	CHECK_OR_RETURN(open_show(1, 0, true));
	show(0, false, 3); // it waits for a key frame
	tell(0, 500000);
	rig_run(200 * NS_PER_MS);
	CHECK(leg_of(&b)->viewer->choice.want >= 0);
	rig.n_sent = 0;
	cmd.session_ref.sid = b.sid;
	cmd.hdr = (struct ipc_hdr){.type = CMD_SESSION_DEL, .len = sizeof(cmd.session_ref), .seq = ++rig.seq};
	CHECK_EQ(model_apply(rig.model, &cmd), 0);
	frame(0, true, 3);
	audience_wake(publisher(), rig_source(1, 1));
	worker_round(publisher(), rig.now); // takes the mail, then serves
	rig_run(0);
	CHECK_EQ(collect(&b, SSRC, got, 600), 0);
	for (unsigned i = 0; i < 10; i++)
		show(0, false, 3);
	CHECK_EQ(collect(&b, SSRC, got, 600), 0);
	close_show();
}

// --- switching --------------------------------------------------------------------------------------------

static void want_rung(unsigned rung)
{
	struct simulcast *c = viewer_choice(leg_of(&b)->viewer);
	struct session *s = session_of(&b);

	c->want = (int8_t)rung;
	c->want_layer = (uint8_t)rung;
	c->want_cap = RTXRING_ALL;
	s->bwe->decided = rig.now + 3600 * NS_PER_S; // the choice is ours
	s->bwe->due = NS_NEVER;
	viewer_choice_changed(rig.dp->worker[s->home], s, leg_of(&b));
	rig_run(0);
}

// Both layers send; what the receiver gets is one stream.
static void switches(void)
{
	unsigned n, layer = 0, n_switches;

	CHECK_OR_RETURN(open_show(2, 2, true));
	for (unsigned i = 0; i < 4; i++) {
		frame(1, i == 0, 2);
		show(0, i == 0, 2);
	}
	tell(0, 500000);
	tell(1, 2500000);
	want_rung(0);
	for (unsigned k = 0; k < 40; k++) {
		if (k % 4 == 3)
			want_rung(layer ^= 1);
		frame(1, layer == 1, 6);
		show(0, layer == 0, 3);
	}
	n = collect(&b, SSRC, got, 600);
	CHECK_OR_RETURN(n > 100);
	n_switches = leg_of(&b)->viewer->n_switches;
	CHECK(n_switches >= 8);
	for (unsigned i = 1; i < n; i++) {
		unsigned step = (uint16_t)(got[i].v.seq - got[i - 1].v.seq);
		int32_t dt = (int32_t)(got[i].v.ts - got[i - 1].v.ts);
		CHECK(got[i].is_open);
		CHECK(step == 1 || step == 2); // 2: the frame before was cut
		CHECK(dt >= 0 && dt <= 4 * FRAME_TS);
		CHECK(((got[i].pid - got[i - 1].pid) & 0x7fff) <= 2);
	}
	close_show();
}

static void joiner_begins_with_the_cached_key_frame(void)
{
	struct rig_peer c;
	unsigned n;

	CHECK_OR_RETURN(open_show(1, 0, true));
	warm_up(0, 3);
	for (unsigned i = 0; i < 10; i++)
		show(0, i == 0, 4);
	rig_join(&c, 3, SEAL_AES128_CM_SHA1_80);
	CHECK_EQ(watch(&c, 5, 0x9900, true), 0);
	for (unsigned i = 0; i < 50; i++)
		rig_run(5 * NS_PER_MS);
	n = collect(&c, 0x9900, got, 600);
	CHECK_EQ(n, 40); // all since the key frame, without a new one
	CHECK(n > 0 && (got[0].payload[6] & 1) == 0);
	for (unsigned i = 1; i < n; i++)
		CHECK_EQ(got[i].source_index - got[i - 1].source_index, 1);
	show(0, false, 4);
	CHECK_EQ(collect(&c, 0x9900, got, 600), 44);
	rig_leave(&c);
	close_show();
}

static void bursts_are_paced(void)
{
	unsigned at_once, n;

	CHECK_OR_RETURN(open_show(1, 0, true));
	warm_up(0, 5);
	rig.n_sent = 0;
	frame(0, true, 400); // 80 kB
	news();
	for (unsigned i = 0; i < 20; i++)
		news();
	at_once = collect(&b, SSRC, got, 600);
	CHECK(at_once < 200);
	for (unsigned i = 0; i < 100; i++)
		rig_run(5 * NS_PER_MS);
	n = collect(&b, SSRC, got, 600);
	CHECK_EQ(n, 400);
	for (unsigned i = 1; i < n; i++)
		CHECK_EQ((uint16_t)(got[i].v.seq - got[i - 1].v.seq), 1);
	close_show();
}

// Numbers and picture ids of what waits were not given yet: the cap changes where its frame is sent, not where it came.
static void cap_changes_behind_backlog(void)
{
	struct simulcast *c;
	unsigned n;
	uint64_t first;

	CHECK_OR_RETURN(open_show(1, 0, true));
	warm_up(0, 5);
	rig.n_sent = 0;
	first = at[0];
	session_of(&b)->bwe->pacer.bps = 1000000;
	session_of(&b)->bwe->decided = rig.now + 3600 * NS_PER_S;
	session_of(&b)->bwe->due = NS_NEVER;
	frame(0, false, 120);
	news();
	CHECK(collect(&b, SSRC, got, 600) < 100); // the rest waits
	c = viewer_choice(leg_of(&b)->viewer);
	c->want = c->now;
	c->want_layer = c->now_layer;
	c->want_cap = 0;
	frame(0, false, 4);
	news();
	CHECK_EQ(c->now_cap, RTXRING_ALL); // not in the middle of a frame
	for (unsigned i = 0; i < 80; i++)
		rig_run(5 * NS_PER_MS);
	n = collect(&b, SSRC, got, 600);
	CHECK_EQ(n, 124);
	for (unsigned i = 0; i < n; i++) {
		CHECK_EQ(got[i].source_index, first + i);
		CHECK_EQ((uint16_t)(got[i].v.seq - got[0].v.seq), i);
	}
	CHECK_EQ(c->now_cap, 0);
	close_show();
}

static void stale_backlog_is_left_out(void)
{
	unsigned n;

	CHECK_OR_RETURN(open_show(1, 0, true));
	warm_up(0, 5);
	rig.n_sent = 0;
	session_of(&b)->bwe->pacer.bps = 20000; // all of a sudden nothing goes through
	session_of(&b)->bwe->decided = rig.now + 3600 * NS_PER_S;
	session_of(&b)->bwe->due = NS_NEVER;
	frame(0, false, 300);
	news();
	for (unsigned i = 0; i < 30; i++)
		rig_run(50 * NS_PER_MS);
	n = collect(&b, SSRC, got, 600);
	CHECK(n < 200);
	CHECK(rig_counter(DROP_STALE) > 100);
	session_of(&b)->bwe->pacer.bps = 10000000;
	show(0, false, 4);
	CHECK_EQ(collect(&b, SSRC, got, 600), n); // not before a key frame
	show(0, true, 4);
	CHECK_EQ(collect(&b, SSRC, got, 600), n + 4);
	close_show();
}

// --- whatever happens ---------------------------------------------------------------------------------------

// What was sent under each number of an SSRC, by its last 2^15 ones.
struct ledger {
	uint32_t ssrc;
	uint64_t top;
	unsigned n;
	uint64_t index[1u << 15];
	uint32_t hash[1u << 15];
};

static uint32_t hash_of(const struct rig_out *o)
{
	uint32_t h = 2166136261u;

	for (unsigned i = 0; i < o->len; i++)
		h = (h ^ o->data[i]) * 16777619u;
	return h;
}

// False: other bytes under a number that was used.
static bool enter(struct ledger *l, const struct rig_out *o)
{
	uint64_t index;
	unsigned slot;

	if (l->top == 0)
		index = be16_get(o->data + 2) + (UINT64_C(1) << 16);
	else if (!seq64_extend(l->top, be16_get(o->data + 2), &index))
		return false;
	l->top = RTE_MAX(l->top, index);
	l->n++;
	slot = index % (1u << 15);
	if (l->index[slot] == index)
		return l->hash[slot] == hash_of(o);
	l->index[slot] = index;
	l->hash[slot] = hash_of(o);
	return true;
}

static bool audit(struct ledger *media, struct ledger *rtx)
{
	bool is_right = true;

	for (unsigned i = 0; i < rig.n_sent; i++) {
		struct rig_out *o = &rig.sent[i];
		if (o->to.remote_port == b.port && rig_is_rtp(o, SSRC))
			is_right &= enter(media, o);
		else if (o->to.remote_port == b.port && rig_is_rtp(o, RTX_SSRC))
			is_right &= enter(rtx, o);
	}
	rig.n_sent = 0;
	return is_right;
}

static void random_nack(const struct ledger *media)
{
	uint16_t seq[20];

	for (unsigned i = 0; i < 20; i++)
		seq[i] = (uint16_t)(media->top - rand_u32() % 300);
	nack(&b, seq, 1 + rand_u32() % 20);
}

static void one_number_one_packet_with(bool rtx, unsigned n_steps)
{
	static struct ledger media, again;
	uint64_t missing = 0;
	unsigned layer = 0;

	CHECK_OR_RETURN(open_show(1, 2, rtx));
	memset(&media, 0, sizeof(media));
	memset(&again, 0, sizeof(again));
	rand_seed(99);
	tell(0, 500000);
	tell(1, 2500000);
	want_rung(0);
	for (unsigned i = 0; i < n_steps; i++) {
		uint32_t r = rand_u32();

		frame(0, r % 16 == 0, 1 + r / 16 % 5);
		frame(1, r / 128 % 16 == 0, 1 + r / 2048 % 5);
		news();
		if (r >> 16 & 1)
			missing = at[0]++;
		switch (r >> 20 & 15) {
		case 0:
			want_rung(layer ^= 1);
			break;
		case 1:
		case 2:
			random_nack(&media);
			break;
		case 3:
			come_late(missing);
			break;
		case 4:
			layer_give_up(rig_source(1, 1)->video->layer[0], missing);
			break;
		case 5:
			viewer_probe(rig.dp->worker[0], session_of(&b), 1, 1200);
			break;
		case 6: // paused for want of bandwidth, and back
			viewer_choice(leg_of(&b)->viewer)->now = SIMULCAST_NONE;
			viewer_choice(leg_of(&b)->viewer)->is_paused = true;
			viewer_choice_changed(rig.dp->worker[0], session_of(&b), leg_of(&b));
			viewer_choice(leg_of(&b)->viewer)->is_paused = false;
			want_rung(layer);
			break;
		default:
			break;
		}
		if (i % 64 == 0) { // consent and the publishers' reports go on
			rig_check(&a);
			rig_check(&b);
			tell(0, 500000);
			tell(1, 2500000);
		}
		rig_run((ns_t)(r >> 24 & 63) * NS_PER_MS);
		CHECK_OR_RETURN(audit(&media, &again));
	}
	printf("# %u packets in %u steps\n", media.n, n_steps);
	CHECK(media.n > n_steps);
	CHECK_EQ(again.top > 0, rtx);
	rand_seed(0);
	close_show();
}

static void one_number_one_packet(void)
{
	const char *steps = getenv("VIEWER_STEPS"); // 1000000 takes some minutes

	one_number_one_packet_with(true, steps ? (unsigned)atoi(steps) : 20000);
	one_number_one_packet_with(false, steps ? (unsigned)atoi(steps) : 20000);
}

CU_TestInfo viewer_tests[] = {
	{"a receiver is sent a stream from its key frame on, in its own numbers, on one worker and on "
	 "two",
	 forwarded},
	{"what is asked for is sent again by RTX, in the receiver's numbers, once a round trip",
	 resent_by_rtx},
	{"without RTX it is sent again byte for byte", resent_byte_for_byte},
	{"numbers never sent or long past are not answered", nonsense_is_not_resent},
	{"resends are a share of the target whatever is asked for", resends_are_a_share},
	{"a packet that is given up becomes padding, the same each time", filler_closes_a_gap},
	{"a late packet fills the place that was kept", late_ones_fill_their_place},
	{"layers change inside one stream: numbers, time and picture ids go on", switches},
	{"who joins begins with the key frame in the ring", joiner_begins_with_the_cached_key_frame},
	{"a large frame leaves spread out and whole", bursts_are_paced},
	{"a temporal cap changes behind the packets that wait, at its frame",
	 cap_changes_behind_backlog},
	{"a receiver that left is passed over until the lists say so",
	 receiver_leaves_before_the_list_does},
	{"what waited for too long is left out up to the next key frame", stale_backlog_is_left_out},
	{"switches, losses, late packets, resends, probes, pauses, wraps: a number never carries two "
	 "packets",
	 one_number_one_packet},
	CU_TEST_INFO_NULL,
};
