// From the publisher's packets over the rings to a receiver behind a bottleneck, and back by its feedback: which layer
// it is given, how good the estimate is, how long its queue gets. Time is the test's own, a millisecond a step.
#include "dataplane/media/bwe.h"

#include <math.h>

#include "dataplane/deliver/viewer.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/rtcp.h"
#include "lib/rtc/send/simulcast.h"
#include "lib/rtc/wire/twcc.h"
#include "tests/support/dataplane/rig_video.h"
#include "tests/support/rtcp_peer.h"

#define MS NS_PER_MS
#define VIDEO_SSRC 0x8800 // of the receiver; RTX is the next
#define VOICE_SSRC 77
#define LOW_BPS 500000
#define HIGH_BPS 2500000
#define PIPE 4096
#define FRAME_MS 33

static struct rig_peer a, b;

// The link to b, and b itself.
static struct {
	double bps;
	ns_t delay;
	uint32_t queue_max; // bytes
	bool is_deaf;       // sends no feedback
	uint32_t video_ssrc;
	ns_t busy_until;
	struct {
		uint16_t seq;
		bool has_seq;
		ns_t arrival;
	} pipe[PIPE];
	unsigned head, tail;
	struct twcc_log log;
	uint32_t ring[4096];
	uint32_t rtcp_index;
	uint32_t lsr; // of the last sender report about video
	ns_t lsr_at;
	// seen since mark
	ns_t max_queue;
	unsigned n_video, n_voice, n_voice_lost, n_lost, n_said, n_rtx;
	double sum_target;
	unsigned n_ms, n_switches, ms_high;
	int8_t last;
} net;

// What a sends: two layers, key frames when asked for.
static struct {
	uint64_t index[2];
	uint16_t pid[2];
	uint32_t ts;
	bool key[2];
	bool is_off[2];
	unsigned ms;
	uint32_t rtcp_index;
	double owed[2]; // bytes
} show;

static struct session *receiver(void)
{
	return atomic_load(&rig.dp->session[2]);
}

static struct bwe *estimate(void)
{
	return receiver()->bwe;
}

static const struct simulcast *choice(void)
{
	return viewer_choice(receiver()->legs->viewer);
}

static void mark(void)
{
	net.max_queue = 0;
	net.n_video = net.n_voice = net.n_voice_lost = net.n_lost = net.n_said = net.n_rtx = 0;
	net.sum_target = 0;
	net.n_ms = net.n_switches = net.ms_high = 0;
}

// --- the publisher ------------------------------------------------------------------------------------------

static void shoot_frame(unsigned layer, double bps)
{
	static const char *const rid[] = {"l", "h"};
	double factor = show.key[layer] ? 3 : 0.85 + 0.3 * (rand_u32() % 1000) / 1000.0;
	unsigned n_bytes, n;

	show.owed[layer] += bps * FRAME_MS / 8000;
	n_bytes = (unsigned)fmax(fmin(show.owed[layer] * factor, show.owed[layer] + 20000), 200);
	show.owed[layer] -= n_bytes;
	n = (n_bytes + 1149) / 1150;
	n = n > 24 ? 24 : n;
	for (unsigned i = 0; i < n; i++)
		rig_shoot(&a, (struct rig_shot){.ssrc = 0x7001 + layer,
						.index = show.index[layer]++,
						.ts = show.ts,
						.mid = "1",
						.rid = rid[layer],
						.flags = (uint8_t)((i == 0 ? LAYER_START : 0) |
								   (i == n - 1 ? LAYER_MARKER : 0) |
								   (show.key[layer] ? LAYER_KEY : 0)),
						.pid = show.pid[layer],
						.n_bytes = n_bytes / n < 100 ? 100 : n_bytes / n});
	show.pid[layer]++;
	show.key[layer] = false;
}

// Both layers by one clock: what a switch between them is aligned by.
static void report_clock(void)
{
	uint8_t pkt[200];
	struct wbuf w = wbuf_of(pkt, sizeof(pkt));
	int sealed;

	for (unsigned i = 0; i < 2; i++)
		rtcp_write_sr(&w,
			      &(struct rtcp_sr){.ssrc = 0x7001 + i,
						.ntp = clock_ntp(rig.dp->wall_offset + rig.now),
						.rtp = show.ts},
			      NULL, 0);
	sealed = seal_rtcp_protect(rig.seal, a.tx, pkt, wbuf_len(&w), sizeof(pkt), ++show.rtcp_index);
	CHECK_OR_RETURN(sealed > 0);
	rig_receive(&a, pkt, (size_t)sealed);
}

static void publish(void)
{
	unsigned ms = show.ms++;

	if (ms % (FRAME_MS * 15) == 5)
		report_clock();
	if (ms % 20 == 0) {
		rig_say(&a);
		net.n_said++;
	}
	if (ms % FRAME_MS == 5 && !show.is_off[0])
		shoot_frame(0, LOW_BPS);
	if (ms % FRAME_MS == 9 && !show.is_off[1])
		shoot_frame(1, HIGH_BPS);
	if (ms % FRAME_MS == 5)
		show.ts += 90 * FRAME_MS;
	if (ms % 2000 == 0) {
		rig_check(&a);
		rig_check(&b);
	}
}

// RTCP that a is sent: key frames it is asked for.
static void at_publisher(struct rig_out *o)
{
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	struct rtcp_fb fb;
	uint32_t index;
	int len = seal_rtcp_unprotect(rig.seal, a.rx, o->data, o->len, &index);

	if (len <= 0)
		return;
	rtcp_begin(&it, o->data, (size_t)len);
	while (rtcp_next(&it, &pkt))
		if (pkt.pt == RTCP_PSFB && pkt.count == PSFB_PLI && rtcp_fb_read(&pkt, &fb) == 0 &&
		    fb.media - 0x7001 < 2)
			show.key[fb.media - 0x7001] = true;
}

// --- the receiver ------------------------------------------------------------------------------------------

static void answer(const uint8_t *plain, size_t len)
{
	uint8_t pkt[1500];
	int sealed;

	memcpy(pkt, plain, len);
	sealed = seal_rtcp_protect(rig.seal, b.tx, pkt, len, sizeof(pkt), ++net.rtcp_index);
	CHECK_OR_RETURN(sealed > 0);
	rig_receive(&b, pkt, (size_t)sealed);
}

static void reports_at_receiver(struct rig_out *o)
{
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	struct rtcp_sr sr;
	uint32_t index;
	int len = seal_rtcp_unprotect(rig.seal, b.rx, o->data, o->len, &index);

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
static void enqueue(const struct rig_out *o)
{
	struct rtp_view v;
	bool is_voice = rig_is_rtp(o, VOICE_SSRC);
	double bytes = o->len + 28.0;
	ns_t begin = net.busy_until > rig.now ? net.busy_until : rig.now;
	unsigned i = net.head % PIPE;

	CHECK_EQ(rtp_parse(o->data, o->len, seal_rtp_tag_len(b.profile), &v), 0);
	if ((double)(begin - rig.now) * net.bps / 8e9 + bytes > net.queue_max) {
		net.n_lost++;
		net.n_voice_lost += is_voice;
		return;
	}
	net.n_voice += is_voice;
	net.n_video += rig_is_rtp(o, VIDEO_SSRC);
	net.n_rtx += rig_is_rtp(o, VIDEO_SSRC + 1);
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

static void hear(void)
{
	uint8_t bytes[TWCC_MAX_MSG];

	while (net.tail != net.head && net.pipe[net.tail % PIPE].arrival <= rig.now) {
		twcc_log_add(&net.log, net.pipe[net.tail % PIPE].seq, net.pipe[net.tail % PIPE].arrival);
		net.tail++;
	}
	while (rig.now >= twcc_log_due(&net.log)) {
		struct wbuf w = wbuf_of(bytes, sizeof(bytes));
		int len = twcc_log_write(&net.log, &w, 1, VIDEO_SSRC, rig.now);

		if (len <= 0)
			break;
		if (!net.is_deaf)
			answer(bytes, (size_t)len);
	}
	if (show.ms % 1000 == 500 && net.lsr != 0) {
		struct wbuf w = wbuf_of(bytes, sizeof(bytes));
		struct rtcp_block block = {
			.ssrc = net.video_ssrc,
			.lsr = net.lsr,
			.dlsr = (uint32_t)((rig.now - net.lsr_at - net.delay) * 65536 / NS_PER_S)};

		rtcp_write_rr(&w, 1, &block, 1);
		answer(bytes, wbuf_len(&w));
	}
}

static void carry(void)
{
	for (unsigned i = 0; i < rig.n_sent; i++) {
		struct rig_out *o = &rig.sent[i];
		bool is_rtcp = o->len > 8 && o->data[0] >> 6 == 2 && o->data[1] >= 192 && o->data[1] <= 223;

		if (o->to.remote_port == a.port && is_rtcp)
			at_publisher(o);
		else if (o->to.remote_port == b.port && is_rtcp)
			reports_at_receiver(o);
		else if (o->to.remote_port == b.port && o->data[0] >> 6 == 2)
			enqueue(o);
	}
	rig.n_sent = 0;
}

static void run(unsigned ms)
{
	while (ms-- > 0) {
		publish();
		hear();
		rig_run(MS);
		carry();
		net.sum_target += estimate()->target;
		net.n_ms++;
		net.ms_high += choice()->now == 1;
		net.n_switches += choice()->now != net.last;
		net.last = choice()->now;
	}
}

static double mean_target(void)
{
	return net.sum_target / net.n_ms;
}

static int watch(uint16_t leg, uint16_t track, uint32_t ssrc, uint8_t importance)
{
	struct ipc_leg_add add = {.sid = b.sid,
				  .leg = leg,
				  .kind = KIND_VIDEO,
				  .pt = 120,
				  .src_sid = a.sid,
				  .src_track = track,
				  .codec = CODEC_VP8,
				  .rtx_pt = 121,
				  .ssrc = ssrc,
				  .rtx_ssrc = ssrc + 1,
				  .clock_hz = 90000,
				  .importance = importance};

	return rig_cmd(&add, CMD_LEG_ADD);
}

// a shares for 3 s already when b comes.
static bool begin(double bps)
{
	struct ipc_session_extmap ext = {
		.id = {[EXT_LEVEL] = 1, [EXT_TWCC] = 3, [EXT_MID] = 4, [EXT_RID] = 5, [EXT_RRID] = 6}};

	memset(&net, 0, sizeof(net));
	memset(&show, 0, sizeof(show));
	if (!rig_open(1))
		return false;
	rand_seed(11);
	net.bps = bps;
	net.video_ssrc = VIDEO_SSRC;
	net.delay = 25 * MS;
	net.queue_max = bps < 2e6 ? 60000 : 120000;
	net.last = SIMULCAST_NONE;
	twcc_log_init(&net.log, net.ring, 4096, 100 * MS);
	show.index[0] = show.index[1] = 1000;
	show.key[0] = show.key[1] = true;
	rig_join(&a, 1, SEAL_AEAD_AES_128_GCM);
	rig_join(&b, 2, SEAL_AEAD_AES_128_GCM);
	ext.sid = a.sid;
	CHECK_EQ(rig_cmd(&ext, CMD_SESSION_EXTMAP), 0);
	CHECK_EQ(rig_video_track(&a, 1, "1", 0, 2), 0);
	CHECK_EQ(rig_leg(&b, 0, &a, VOICE_SSRC), 0);
	for (unsigned i = 0; i < 3000; i++) {
		publish();
		rig_run(MS);
		rig.n_sent = 0;
	}
	CHECK_EQ(watch(5, 1, VIDEO_SSRC, 0), 0);
	rig_run(MS);
	CHECK(receiver()->bwe != NULL);
	return receiver()->legs->viewer != NULL;
}

static void end(void)
{
	rand_seed(0);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

// --- tests -------------------------------------------------------------------------------------------------

static void wide(void)
{
	CHECK_OR_RETURN(begin(20e6));
	run(3000);
	CHECK_EQ(choice()->now, 1);
	CHECK(net.ms_high > 1000);
	mark();
	run(20000);
	CHECK_EQ(net.n_switches, 0);
	CHECK_EQ(net.n_lost, 0);
	CHECK(net.n_video > 20000 / FRAME_MS * 8);
	end();
}

static void just_enough(void)
{
	CHECK_OR_RETURN(begin(3.3e6));
	run(3500);
	CHECK_EQ(choice()->now, 1);
	mark();
	run(60000);
	CHECK(net.n_switches <= 2);
	CHECK(net.ms_high > 50000);
	CHECK(net.max_queue < 300 * MS);
	CHECK_EQ(net.n_voice_lost, 0);
	end();
}

static void narrow(double bps, bool must_be_close)
{
	double mean;

	CHECK_OR_RETURN(begin(bps));
	run(10000);
	mark();
	run(60000);
	mean = mean_target() / bps;
	if (must_be_close && (mean < 0.8 || mean > 1.2))
		check_note(__FILE__, __LINE__, "estimate %.2f of %.0f", mean, bps);
	CHECK(!must_be_close || (mean >= 0.8 && mean <= 1.2));
	CHECK(net.max_queue < 200 * MS);
	CHECK(net.n_switches <= 2);
	CHECK_EQ(choice()->now, 0);
	CHECK_EQ(net.n_lost, 0);
	CHECK(net.n_voice >= net.n_said - 2);
	end();
}

static void bottlenecks(void)
{
	narrow(600e3, true);
	narrow(650e3, true);
	narrow(1e6, true);
	narrow(2e6, true);
}

static void down_and_up(void)
{
	unsigned ms;

	CHECK_OR_RETURN(begin(4e6));
	run(10000);
	CHECK_EQ(choice()->now, 1);
	net.bps = 400e3; // not even the low layer
	for (ms = 0; estimate()->target > 480000 && ms < 10000; ms++)
		run(1);
	CHECK(ms < 2000);
	run(15000);
	mark();
	run(20000);
	CHECK(net.max_queue < 600 * MS);
	CHECK(net.n_voice >= net.n_said - 5);
	net.bps = 4e6;
	for (ms = 0; choice()->now != 1 && ms < 120000; ms++)
		run(1);
	CHECK(ms < 60000);
	end();
}

static void deaf(void)
{
	uint32_t before;

	CHECK_OR_RETURN(begin(20e6));
	run(5000);
	CHECK_EQ(choice()->now, 1);
	before = estimate()->target;
	net.is_deaf = true;
	run(10000);
	CHECK(estimate()->target < before / 2);
	CHECK(choice()->now <= 0);
	net.is_deaf = false;
	run(40000);
	CHECK_EQ(choice()->now, 1);
	end();
}

// The host is overloaded, stage by stage; and back.
static void overloaded(void)
{
	struct overload *o;

	CHECK_OR_RETURN(begin(20e6));
	o = &rig.dp->worker[0]->overload;
	run(5000);
	CHECK_EQ(choice()->now, 1);
	o->stage = OVERLOAD_CAMERAS;
	run(1000);
	CHECK_EQ(choice()->now, 1); // a screen
	o->stage = OVERLOAD_SCREENS;
	run(2000);
	CHECK_EQ(choice()->now, 0);
	o->stage = OVERLOAD_VIDEO;
	run(200);
	CHECK(choice()->is_paused);
	mark();
	run(2000);
	CHECK_EQ(net.n_video, 0);
	CHECK_EQ(net.n_voice, net.n_said);
	CHECK(rig_counter(CTR_VIDEO_PAUSED) > 0);
	o->stage = OVERLOAD_NONE;
	run(20000);
	CHECK_EQ(choice()->now, 1);
	end();
}

// Another network: what the old one carried means nothing.
static void other_path(void)
{
	unsigned ms;

	CHECK_OR_RETURN(begin(20e6));
	run(5000);
	CHECK(estimate()->target > 2500000);
	b.port += 100;
	rig_check(&b);
	for (ms = 0; estimate()->target > GCC_START_BPS && ms < 2500; ms++)
		run(1);
	CHECK(ms < 2500); // before the estimate falls for want of feedback
	run(20000);
	CHECK_EQ(choice()->now, 1);
	end();
}

// Neither feedback nor probes: loss in report blocks, and REMB.
static void by_reports(void)
{
	struct ipc_session_extmap ext = {.id = {[EXT_LEVEL] = 1, [EXT_MID] = 4}};
	struct ipc_leg_ref old = {.leg = 5};
	uint8_t bytes[64];
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));

	CHECK_OR_RETURN(begin(20e6));
	ext.sid = old.sid = b.sid;
	CHECK_EQ(rig_cmd(&ext, CMD_SESSION_EXTMAP), 0);
	CHECK_EQ(watch(6, 1, VIDEO_SSRC + 10, 1), 0); // with a header of its own
	CHECK_EQ(rig_cmd(&old, CMD_LEG_DEL), 0);
	net.video_ssrc = VIDEO_SSRC + 10;
	run(10000);
	CHECK(estimate()->target > 800000); // 8 % per second
	CHECK_EQ(estimate()->n_probes, 0);
	run(30000);
	CHECK_EQ(choice()->now, 1);
	peer_write_remb(&w, 1, 700000, net.video_ssrc);
	answer(bytes, wbuf_len(&w));
	run(8000);
	CHECK(estimate()->target <= 700000 && estimate()->target > 690000);
	CHECK_EQ(choice()->now, 0);
	end();
}

static void layer_ends(void)
{
	CHECK_OR_RETURN(begin(20e6));
	run(5000);
	CHECK_EQ(choice()->now, 1);
	show.is_off[1] = true;
	run(3500);
	CHECK_EQ(choice()->now, 0);
	mark();
	run(1000);
	CHECK(net.n_video > 20);
	end();
}

// CMD_QUERY: one answer per video leg, the session's last.
static void asked(void)
{
	struct ipc_session_ref ref = {};
	union ipc_msg ev;
	struct note note;
	unsigned n_legs = 0, n_sessions = 0;

	CHECK_OR_RETURN(begin(20e6));
	run(5000);
	while (note_take(rig.dp->worker[0], &note))
		(void)model_note(rig.model, &note, &ev); // its path
	ref.sid = b.sid;
	CHECK_EQ(rig_cmd(&ref, CMD_QUERY), 0);
	rig_run(0);
	while (note_take(rig.dp->worker[0], &note)) {
		if (model_note(rig.model, &note, &ev) == 0)
			continue;
		if (ev.hdr.type == EVT_LEG_STATE) {
			n_legs++;
			CHECK_EQ(n_sessions, 0);
			CHECK_EQ(ev.hdr.seq, rig.seq);
			CHECK_EQ(ev.leg_state.leg, 5);
			CHECK_EQ(ev.leg_state.layer, 1);
			CHECK_EQ(ev.leg_state.n_layers, 2);
			CHECK_EQ(ev.leg_state.src_sid, a.sid);
			CHECK_EQ(ev.leg_state.src_track, 1);
			CHECK(ev.leg_state.sent_bps > 1500000 && ev.leg_state.sent_bps < 3500000);
			CHECK(ev.leg_state.layer_bps[1] > 2000000 && ev.leg_state.layer_bps[1] < 3200000);
		} else if (ev.hdr.type == EVT_SESSION_STATE) {
			n_sessions++;
			CHECK_EQ(ev.hdr.seq, rig.seq);
			CHECK_EQ(ev.session_state.estimate_bps, estimate()->target);
			CHECK(ev.session_state.rtt_us > 20000 && ev.session_state.rtt_us < 80000);
			CHECK(ev.session_state.n_probes > 0);
			CHECK_EQ(ev.session_state.remote.port, b.port);
		}
	}
	CHECK_EQ(n_legs, 1);
	CHECK_EQ(n_sessions, 1);
	ref.sid = a.sid; // receives no video
	CHECK_EQ(rig_cmd(&ref, CMD_QUERY), 0);
	rig_run(0);
	CHECK(note_take(rig.dp->worker[0], &note));
	CHECK(model_note(rig.model, &note, &ev) > 0);
	CHECK_EQ(ev.hdr.type, EVT_SESSION_STATE);
	CHECK_EQ(ev.session_state.estimate_bps, 0);
	ref.sid = 0x01000030;
	CHECK_EQ(rig_cmd(&ref, CMD_QUERY), -ENOENT);
	end();
}

// Feedback about nothing, REMB of every size, NACK and PLI for others: counted, and the show goes on.
static void hostile(void)
{
	uint8_t bytes[1200];
	struct wbuf w;

	CHECK_OR_RETURN(begin(20e6));
	run(5000);
	for (unsigned i = 0; i < 100; i++) {
		uint16_t seq[40];

		for (unsigned k = 0; k < ARRAY_LEN(seq); k++)
			seq[k] = (uint16_t)(i * 1000 + k * 20);
		w = wbuf_of(bytes, sizeof(bytes));
		rtcp_write_nack(&w, 1, i % 2 ? VIDEO_SSRC : 0xdead, seq, ARRAY_LEN(seq));
		rtcp_write_pli(&w, 1, i % 2 ? VIDEO_SSRC : VOICE_SSRC);
		rtcp_write_fir(&w, 1, 0xbeef, (uint8_t)i);
		peer_write_remb(&w, 1, i % 2 ? UINT64_MAX : 1, VIDEO_SSRC);
		answer(bytes, wbuf_len(&w));
		run(10);
	}
	CHECK(rig_counter(CTR_RTCP_UNKNOWN) >= 150);
	CHECK(rig_counter(CTR_RTCP_REMB_RX) >= 90);
	CHECK(estimate()->target > 2500000); // its transport-wide feedback counts, not what REMB claims
	CHECK_EQ(choice()->now, 1);
	mark();
	run(2000);
	CHECK(net.n_video > 300);
	end();
}

CU_TestInfo bwe_tests[] = {
	{"a joiner behind a wide link has the high layer within 3 s and keeps it", wide},
	{"a link that just carries the high layer", just_enough},
	{"bottlenecks: estimate within 20 %, queue below 200 ms, low layer, voice intact", bottlenecks},
	{"a link that collapses and recovers: voice goes on, video comes back", down_and_up},
	{"without feedback the receiver is given less, and more again after", deaf},
	{"stages of overload take video layer by layer, and give it back", overloaded},
	{"another path begins anew", other_path},
	{"a receiver without transport-wide feedback is judged by its reports and REMB", by_reports},
	{"a layer that ends is left for the other", layer_ends},
	{"a query is answered leg by leg, the session last", asked},
	{"feedback that is absurd or not ours changes nothing", hostile},
	CU_TEST_INFO_NULL,
};
