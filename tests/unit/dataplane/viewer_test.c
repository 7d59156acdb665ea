// What a receiver of video is sent: from the ring of a layer to sealed packets, once and again.
#include "dataplane/bwe.h"
#include "dataplane/viewer_priv.h"
#include "lib/rtc/rtcp.h"
#include "tests/unit/dataplane/rig_video.h"

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
	CHECK(got[0].v.seq >= 1 && got[0].v.seq <= 0x7fff); // K7: whatever the source's roll-over counter is
	CHECK_EQ(n > 0 && (got[0].payload[6] & 1) == 0, true); // begins with the key frame
	close_show();
}

static void forwarded(void)
{
	forwarded_with(1);
	forwarded_with(2);
}

CU_TestInfo viewer_tests[] = {
	{"a receiver is sent a stream from its key frame on, in its own numbers, on one worker and on two",
	 forwarded},
	CU_TEST_INFO_NULL,
};
