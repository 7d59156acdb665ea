#include "tests/support/dataplane/bottleneck.h"

#include <math.h>
#include <string.h>

#include "dataplane/deliver/viewer.h"
#include "dataplane/media/bwe.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/rtcp.h"

#define MS NS_PER_MS

struct net net;
struct sharer sharer;

struct session *net_receiver(void)
{
	return atomic_load(&rig.dp->session[2]);
}

struct bwe *net_estimate(void)
{
	return net_receiver()->bwe;
}

const struct simulcast *net_choice(void)
{
	return viewer_choice(net_receiver()->legs->viewer);
}

void net_mark(void)
{
	net.max_queue = 0;
	net.n_video = net.n_voice = net.n_voice_lost = net.n_lost = net.n_said = net.n_rtx = 0;
	net.sum_target = 0;
	net.n_ms = net.n_switches = net.ms_high = 0;
}

// --- the publisher ------------------------------------------------------------------------------------------

static void sharer_frame(unsigned layer, double bps)
{
	static const char *const rid[] = {"l", "h"};
	double factor = sharer.key[layer] ? 3 : 0.85 + 0.3 * (rand_u32() % 1000) / 1000.0;
	unsigned n_bytes, n;

	sharer.owed[layer] += bps * NET_FRAME_MS / 8000;
	n_bytes = (unsigned)fmax(fmin(sharer.owed[layer] * factor, sharer.owed[layer] + 20000), 200);
	sharer.owed[layer] -= n_bytes;
	n = (n_bytes + 1149) / 1150;
	n = n > 24 ? 24 : n;
	for (unsigned i = 0; i < n; i++)
		rig_shoot(&net.from,
			  (struct rig_shot){.ssrc = 0x7001 + layer,
					    .index = sharer.index[layer]++,
					    .ts = sharer.ts,
					    .mid = "1",
					    .rid = rid[layer],
					    .flags = (uint8_t)((i == 0 ? LAYER_START : 0) |
							       (i == n - 1 ? LAYER_MARKER : 0) |
							       (sharer.key[layer] ? LAYER_KEY : 0)),
					    .pid = sharer.pid[layer],
					    .n_bytes = n_bytes / n < 100 ? 100 : n_bytes / n});
	sharer.pid[layer]++;
	sharer.key[layer] = false;
}

// Both layers by one clock: what a switch between them is aligned by.
static void sharer_report(void)
{
	uint8_t pkt[200];
	struct wbuf w = wbuf_of(pkt, sizeof(pkt));
	int sealed;

	for (unsigned i = 0; i < 2; i++)
		rtcp_write_sr(&w,
			      &(struct rtcp_sr){.ssrc = 0x7001 + i,
						.ntp = clock_ntp(rig.dp->wall_offset + rig.now),
						.rtp = sharer.ts},
			      NULL, 0);
	sealed =
		seal_rtcp_protect(rig.seal, net.from.tx, pkt, wbuf_len(&w), sizeof(pkt), ++sharer.rtcp_index);
	CHECK_OR_RETURN(sealed > 0);
	rig_receive(&net.from, pkt, (size_t)sealed);
}

static void sharer_publish(void)
{
	unsigned ms = sharer.ms++;

	if (ms % (NET_FRAME_MS * 15) == 5)
		sharer_report();
	if (ms % 20 == 0) {
		rig_say(&net.from);
		net.n_said++;
	}
	if (ms % NET_FRAME_MS == 5 && !sharer.is_off[0])
		sharer_frame(0, NET_LOW_BPS);
	if (ms % NET_FRAME_MS == 9 && !sharer.is_off[1])
		sharer_frame(1, NET_HIGH_BPS);
	if (ms % NET_FRAME_MS == 5)
		sharer.ts += 90 * NET_FRAME_MS;
	if (ms % 2000 == 0) {
		rig_check(&net.from);
		rig_check(&net.to);
	}
}

// RTCP that the sender is sent: key frames it is asked for.
static void sharer_rtcp(struct rig_out *o)
{
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	struct rtcp_fb fb;
	uint32_t index;
	int len = seal_rtcp_unprotect(rig.seal, net.from.rx, o->data, o->len, &index);

	if (len <= 0)
		return;
	rtcp_begin(&it, o->data, (size_t)len);
	while (rtcp_next(&it, &pkt))
		if (pkt.pt == RTCP_PSFB && pkt.count == PSFB_PLI && rtcp_fb_read(&pkt, &fb) == 0 &&
		    fb.media - 0x7001 < 2)
			sharer.key[fb.media - 0x7001] = true;
}

// --- the receiver ------------------------------------------------------------------------------------------

void net_answer(const uint8_t *plain, size_t len)
{
	uint8_t pkt[1500];
	int sealed;

	memcpy(pkt, plain, len);
	sealed = seal_rtcp_protect(rig.seal, net.to.tx, pkt, len, sizeof(pkt), ++net.rtcp_index);
	CHECK_OR_RETURN(sealed > 0);
	rig_receive(&net.to, pkt, (size_t)sealed);
}

static void net_rtcp(struct rig_out *o)
{
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	struct rtcp_sr sr;
	uint32_t index;
	int len = seal_rtcp_unprotect(rig.seal, net.to.rx, o->data, o->len, &index);

	if (len <= 0)
		return;
	rtcp_begin(&it, o->data, (size_t)len);
	while (rtcp_next(&it, &pkt))
		if (pkt.pt == RTCP_SR && rtcp_sr_read(&pkt, &sr) == 0 && sr.ssrc == net.video_ssrc) {
			net.lsr = (uint32_t)(sr.ntp >> 16);
			net.lsr_at = rig.now + net.delay;
		}
}

// A packet goes into the bottleneck.
static void net_enqueue(const struct rig_out *o)
{
	struct rtp_view v;
	bool is_voice = rig_is_rtp(o, NET_VOICE_SSRC);
	double bytes = o->len + 28.0;
	ns_t begin = net.busy_until > rig.now ? net.busy_until : rig.now;
	unsigned i = net.head % NET_PIPE;

	CHECK_EQ(rtp_parse(o->data, o->len, seal_rtp_tag_len(net.to.profile), &v), 0);
	if ((double)(begin - rig.now) * net.bps / 8e9 + bytes > net.queue_max) {
		net.n_lost++;
		net.n_voice_lost += is_voice;
		return;
	}
	net.n_voice += is_voice;
	net.n_video += rig_is_rtp(o, NET_VIDEO_SSRC);
	net.n_rtx += rig_is_rtp(o, NET_VIDEO_SSRC + 1);
	net.max_queue = begin - rig.now > net.max_queue ? begin - rig.now : net.max_queue;
	net.busy_until = begin + (ns_t)(bytes * 8e9 / net.bps);
	if (is_voice)
		return;
	if (!(o->data[0] & 0x10))
		return; // not negotiated
	net.pipe[i].has_seq = true;
	net.pipe[i].seq = be16_get(o->data + RTP_HDR_LEN + 5);
	net.pipe[i].arrival = net.busy_until + net.delay;
	net.head++;
}

static void net_hear(void)
{
	uint8_t bytes[TWCC_MAX_MSG];

	while (net.tail != net.head && net.pipe[net.tail % NET_PIPE].arrival <= rig.now) {
		twcc_log_add(&net.log, net.pipe[net.tail % NET_PIPE].seq,
			     net.pipe[net.tail % NET_PIPE].arrival);
		net.tail++;
	}
	while (rig.now >= twcc_log_due(&net.log)) {
		struct wbuf w = wbuf_of(bytes, sizeof(bytes));
		int len = twcc_log_write(&net.log, &w, 1, NET_VIDEO_SSRC, rig.now);

		if (len <= 0)
			break;
		if (!net.is_deaf)
			net_answer(bytes, (size_t)len);
	}
	if (sharer.ms % 1000 == 500 && net.lsr != 0) {
		struct wbuf w = wbuf_of(bytes, sizeof(bytes));
		struct rtcp_block block = {
			.ssrc = net.video_ssrc,
			.lsr = net.lsr,
			.dlsr = (uint32_t)((rig.now - net.lsr_at - net.delay) * 65536 / NS_PER_S)};

		rtcp_write_rr(&w, 1, &block, 1);
		net_answer(bytes, wbuf_len(&w));
	}
}

static void net_carry(void)
{
	for (unsigned i = 0; i < rig.n_sent; i++) {
		struct rig_out *o = &rig.sent[i];
		bool is_rtcp = o->len > 8 && o->data[0] >> 6 == 2 && o->data[1] >= 192 && o->data[1] <= 223;

		if (o->to.remote_port == net.from.port && is_rtcp)
			sharer_rtcp(o);
		else if (o->to.remote_port == net.to.port && is_rtcp)
			net_rtcp(o);
		else if (o->to.remote_port == net.to.port && o->data[0] >> 6 == 2)
			net_enqueue(o);
	}
	rig.n_sent = 0;
}

void net_run(unsigned ms)
{
	while (ms-- > 0) {
		sharer_publish();
		net_hear();
		rig_run(MS);
		net_carry();
		net.sum_target += net_estimate()->target;
		net.n_ms++;
		net.ms_high += net_choice()->now == 1;
		net.n_switches += net_choice()->now != net.last;
		net.last = net_choice()->now;
	}
}

double net_mean_target(void)
{
	return net.sum_target / net.n_ms;
}

int net_watch(uint16_t leg, uint16_t track, uint32_t ssrc, uint8_t importance)
{
	struct ipc_leg_add add = {.sid = net.to.sid,
				  .leg = leg,
				  .kind = KIND_VIDEO,
				  .pt = 120,
				  .src_sid = net.from.sid,
				  .src_track = track,
				  .codec = CODEC_VP8,
				  .rtx_pt = 121,
				  .ssrc = ssrc,
				  .rtx_ssrc = ssrc + 1,
				  .clock_hz = 90000,
				  .importance = importance};

	return rig_cmd(&add, CMD_LEG_ADD);
}

bool net_open(double bps)
{
	struct ipc_session_extmap ext = {
		.id = {[EXT_LEVEL] = 1, [EXT_TWCC] = 3, [EXT_MID] = 4, [EXT_RID] = 5, [EXT_RRID] = 6}};

	memset(&net, 0, sizeof(net));
	memset(&sharer, 0, sizeof(sharer));
	if (!rig_open(1))
		return false;
	rand_seed(11);
	net.bps = bps;
	net.video_ssrc = NET_VIDEO_SSRC;
	net.delay = 25 * MS;
	net.queue_max = bps < 2e6 ? 60000 : 120000;
	net.last = SIMULCAST_NONE;
	twcc_log_init(&net.log, net.ring, 4096, 100 * MS);
	sharer.index[0] = sharer.index[1] = 1000;
	sharer.key[0] = sharer.key[1] = true;
	rig_join(&net.from, 1, SEAL_AEAD_AES_128_GCM);
	rig_join(&net.to, 2, SEAL_AEAD_AES_128_GCM);
	ext.sid = net.from.sid;
	CHECK_EQ(rig_cmd(&ext, CMD_SESSION_EXTMAP), 0);
	CHECK_EQ(rig_video_track(&net.from, 1, "1", 0, 2), 0);
	CHECK_EQ(rig_leg(&net.to, 0, &net.from, NET_VOICE_SSRC), 0);
	for (unsigned i = 0; i < 3000; i++) {
		sharer_publish();
		rig_run(MS);
		rig.n_sent = 0;
	}
	CHECK_EQ(net_watch(5, 1, NET_VIDEO_SSRC, 0), 0);
	rig_run(MS);
	CHECK(net_receiver()->bwe != NULL);
	return net_receiver()->legs->viewer != NULL;
}

void net_close(void)
{
	rand_seed(0);
	rig_leave(&net.from);
	rig_leave(&net.to);
	rig_close();
}
