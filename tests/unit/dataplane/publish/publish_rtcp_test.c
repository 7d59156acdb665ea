// What a publisher of video is asked for and told, and how its SSRCs come and go.
#include "dataplane/publish/arrivals.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/media/layer_read.h"
#include "tests/support/dataplane/show.h"
#include "tests/support/rtcp_peer.h"

// --- key frames ---------------------------------------------------------------------------------------------------

static void wishes_become_few_requests(void)
{
	struct layer *l;

	CHECK_OR_RETURN(show_open(1, L, 0));
	show_shoot_run(L, 100, 5);
	show_listen();
	l = rig_source(1, 1)->video->layer[0];
	for (unsigned i = 0; i < 1000; i++)
		layer_ask_key(l);
	for (unsigned i = 0; i < 20; i++) {
		rig_run(20 * MS);
		layer_ask_key(l);
	}
	show_listen();
	CHECK_EQ(told.n_pli, 1);
	// It was lost, so it is repeated; what was wished in between is not forgotten.
	for (unsigned i = 0; i < 10; i++)
		rig_run(20 * MS);
	show_listen();
	CHECK_EQ(told.n_pli, 1);
	for (unsigned i = 0; i < 150; i++)
		rig_run(20 * MS);
	show_listen();
	CHECK(told.n_pli >= 2 && told.n_pli <= 3);
	show_shoot(L, 105, LAYER_KEY);
	rig_run(0);
	for (unsigned i = 0; i < 300; i++)
		rig_run(20 * MS);
	show_listen();
	CHECK_EQ(told.n_pli, 0);
	// The layer has been silent for long: a wish is still heard.
	rig_check(&sender);
	rig_check(&watcher);
	for (unsigned i = 0; i < 60; i++) {
		rig_check(&sender);
		rig_check(&watcher);
		rig_run(500 * MS);
	}
	show_listen();
	layer_ask_key(l);
	rig_run(500 * MS);
	rig_run(500 * MS);
	show_listen();
	CHECK(told.n_pli >= 1);
	show_close();
}

static void nobody_watches_nothing_is_asked(void)
{
	struct ipc_leg_ref del = {.leg = 0};

	CHECK_OR_RETURN(show_open(1, L, 0));
	del.sid = watcher.sid;
	CHECK_EQ(rig_cmd(&del, CMD_LEG_DEL), 0);
	show_shoot_run(L, 100, 5);
	layer_ask_key(rig_source(1, 1)->video->layer[0]);
	for (unsigned i = 0; i < 50; i++)
		rig_run(20 * MS);
	show_listen();
	CHECK_EQ(told.n_pli, 0);
	CHECK(show_is_held(0, 104)); // but kept, for who comes
	show_close();
}

static void fir_where_there_is_no_pli(void)
{
	struct ipc_track_add add = {.track = 2,
				    .kind = KIND_VIDEO,
				    .enabled = 1,
				    .mid = "2",
				    .clock_hz = 90000,
				    .ssrc = {H},
				    .codec = {{.pt = RIG_VP8, .codec = CODEC_VP8, .fb = FB_FIR}}};
	struct ipc_leg_add leg = {.leg = 1,
				  .kind = KIND_VIDEO,
				  .pt = 120,
				  .src_track = 2,
				  .codec = CODEC_VP8,
				  .ssrc = 0x8801,
				  .clock_hz = 90000};

	CHECK_OR_RETURN(show_open(1, L, 0));
	add.sid = leg.src_sid = sender.sid;
	leg.sid = watcher.sid;
	CHECK_EQ(rig_cmd(&add, CMD_TRACK_ADD), 0);
	CHECK_EQ(rig_cmd(&leg, CMD_LEG_ADD), 0);
	show_shoot_run(H, 100, 2);
	show_shoot(H, 104, 0);
	rig_run(0);
	layer_ask_key(rig_source(1, 2)->video->layer[0]);
	for (unsigned i = 0; i < 3; i++)
		rig_run(21 * MS);
	show_listen();
	CHECK_EQ(told.n_pli, 0);
	CHECK_EQ(told.n_fir, 1);
	CHECK_EQ(told.n_nack, 0); // not negotiated either
	show_close();
}

// --- reports ------------------------------------------------------------------------------------------------------

static void arrivals_count_whatever_becomes_of_them(void)
{
	CHECK_OR_RETURN(show_open(1, L, 0));
	show_shoot_run(L, 100, 2);
	show_listen();
	for (unsigned i = 0; i < 300; i++) {
		show_shoot(L, 102 + i, 0);
		rig_shoot(&sender, (struct rig_shot){.ssrc = L_RTX,
						     .index = i,
						     .pt = RIG_RTX,
						     .mid = "1",
						     .is_rtx = true,
						     .osn = 100});
		rig_shoot(&sender, (struct rig_shot){.ssrc = 0xbad, .index = i, .is_padding = true});
		rig_say(&sender);
		sender.index--; // (its own number would be another's)
		sender.index++;
		rig_run(10 * MS);
	}
	rig_run(200 * MS);
	show_listen();
	CHECK(told.n_twcc > 50); // at ends of frames, each 20 ms
	CHECK(told.n_received >= 900);
	CHECK_EQ(rig_counter(DROP_NO_MBUF), 0);
	show_close();
}

static void publishers_see_no_loss(void)
{
	unsigned n = 0;

	CHECK_OR_RETURN(show_open(1, L, 0));
	for (unsigned i = 0; i < 400; i++) {
		show_shoot(L, 100 + i, i == 0 ? LAYER_KEY : 0);
		rig_shoot(&sender, (struct rig_shot){.ssrc = L_RTX,
						     .index = i,
						     .pt = RIG_RTX,
						     .mid = "1",
						     .is_rtx = true,
						     .osn = 1});
		rig_shoot(&sender, (struct rig_shot){.ssrc = 0xbad, .index = i});
		rig_run(5 * MS);
		show_listen();
		n += told.n_received;
		CHECK_EQ(told.n_lost, 0);
	}
	rig_run(200 * MS);
	show_listen();
	CHECK_EQ(n + told.n_received, 1200);
	show_close();
}

static void all_ssrcs_are_reported(void)
{
	bool seen[40] = {};

	CHECK_OR_RETURN(show_open(1, L, 0));
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 40; i++)
			rig_shoot(&sender, (struct rig_shot){.ssrc = 0x100 + i, .index = 5 + 2 * round});
		rig_run(0);
	}
	rig_run(1600 * MS);
	show_listen();
	CHECK_EQ(told.n_rr, 2);
	CHECK_EQ(told.n_blocks, 40);
	for (unsigned i = 0; i < told.n_blocks; i++) {
		seen[(told.block_ssrc[i] - 0x100) % 40] = true;
		CHECK_EQ(told.block_lost[i], 1);
	}
	for (unsigned i = 0; i < 40; i++)
		CHECK(seen[i]);
	show_close();
}

static void send_sr(uint32_t ssrc, uint32_t rtp, uint32_t index)
{
	uint8_t pkt[100];
	struct wbuf out = wbuf_of(pkt, sizeof(pkt));
	struct rtcp_sr sr = {.ssrc = ssrc, .ntp = clock_ntp(rig.dp->wall_offset + rig.now), .rtp = rtp};
	int sealed;

	rtcp_write_sr(&out, &sr, NULL, 0);
	sealed = seal_rtcp_protect(rig.seal, sender.tx, pkt, wbuf_len(&out), sizeof(pkt), index);
	CHECK_OR_RETURN(sealed > 0);
	rig_receive(&sender, pkt, (size_t)sealed);
}

static void receivers_workers_are_told(void)
{
	struct layer_info info;
	struct layer *l;

	CHECK_OR_RETURN(show_open(1, L, 0));
	l = rig_source(1, 1)->video->layer[0];
	for (unsigned i = 0; i < 300; i++) {
		rig_shoot(&sender, (struct rig_shot){.ssrc = L,
						     .index = 100 + i,
						     .ts = i * 900,
						     .flags = i == 0 ? LAYER_KEY | LAYER_START : LAYER_START,
						     .n_bytes = 1000});
		rig_run(10 * MS);
	}
	layer_info(l, &info);
	CHECK(info.is_active && info.has_key);
	CHECK(info.bps > 780000 && info.bps < 850000);
	CHECK(!info.sr.valid);
	CHECK(info.clock.valid); // by arrival, as no report came for two seconds
	CHECK_EQ(info.clock.clock_hz, 90000);
	send_sr(L, 300 * 900, 1);
	rig_run(0);
	layer_info(l, &info);
	CHECK(info.sr.valid && info.sr.rtp == 300 * 900);
	CHECK(info.clock.valid && info.clock.at == rig.now && info.clock.rtp - 300 * 900 + 90 <= 180);
	for (unsigned i = 0; i < 120; i++)
		rig_run(20 * MS);
	layer_info(l, &info);
	CHECK(!info.is_active);
	show_close();
}

// --- SSRCs --------------------------------------------------------------------------------------------------------

static void good_ssrcs_are_limited(void)
{
	CHECK_OR_RETURN(show_open(1, L, 0));
	for (unsigned i = 0; i < 1000; i++) {
		rig_shoot(&sender, (struct rig_shot){.ssrc = 0x10000 + i, .index = 1, .mid = "1"});
		if (i % 32 == 31)
			rig_run(MS);
	}
	rig_run(MS);
	CHECK_EQ(rig_counter(DROP_SSRC_LIMIT), 1000 - SESSION_MAX_SSRCS);
	CHECK_EQ(atomic_load(&rig.dp->session[1])->n_streams, SESSION_MAX_SSRCS);
	CHECK_EQ(rig_counter(CTR_SSRCS_ENDED), 0);
	show_close();
}

static void send_bye(uint32_t ssrc, uint32_t index)
{
	uint8_t pkt[100];
	struct wbuf out = wbuf_of(pkt, sizeof(pkt));
	int sealed;

	peer_write_bye(&out, ssrc);
	sealed = seal_rtcp_protect(rig.seal, sender.tx, pkt, wbuf_len(&out), sizeof(pkt), index);
	CHECK_OR_RETURN(sealed > 0);
	rig_receive(&sender, pkt, (size_t)sealed);
}

static void sharing_again_and_again_is_fine(void)
{
	struct ipc_track_ref del = {.track = 1};
	uint32_t ssrc = 0x20000;
	unsigned held;

	CHECK_OR_RETURN(show_open(1, 0, 2));
	del.sid = sender.sid;
	held = show_n_kept();
	for (unsigned cycle = 0; cycle < 40; cycle++, ssrc += 4) {
		static const char *const rid[2] = {"l", "h"};

		for (unsigned k = 0; k < 2; k++) {
			rig_shoot(&sender, (struct rig_shot){.ssrc = ssrc + k,
							     .index = 100,
							     .mid = "1",
							     .rid = rid[k],
							     .flags = LAYER_KEY | LAYER_START});
			rig_shoot(&sender, (struct rig_shot){.ssrc = ssrc + 2 + k,
							     .index = 100,
							     .pt = RIG_RTX,
							     .mid = "1",
							     .rrid = rid[k],
							     .is_rtx = true});
		}
		rig_run(MS);
		CHECK_EQ(show_top(0), 100);
		CHECK_EQ(show_top(1), 100);
		send_bye(ssrc, 1);
		rig_check(&sender);
		rig_check(&watcher);
		rig_run(500 * MS);
		CHECK_EQ(rig_cmd(&del, CMD_TRACK_DEL), 0);
		rig_run(500 * MS);
		CHECK_EQ(rig_video_track(&sender, 1, "1", 0, 2), 0);
		CHECK_EQ(show_leg(0, 0x9000 + 2 * cycle), 0);
		rig_run(MS);
	}
	CHECK_EQ(rig_counter(DROP_SSRC_LIMIT), 0);
	CHECK(rig_counter(CTR_SSRCS_ENDED) >= 40 * 4 - SESSION_MAX_SSRCS);
	CHECK_EQ(show_n_kept(), held);
	// What was received under the first SSRC cannot be played back, only what follows it.
	rig_shoot(&sender, (struct rig_shot){.ssrc = 0x20000, .index = 100, .mid = "1", .rid = "l"});
	rig_run(3 * NS_PER_S);
	CHECK_EQ(rig_counter(DROP_REPLAY_DUP) + rig_counter(DROP_REPLAY), 1);
	CHECK_EQ(show_top(0), 0);
	rig_shoot(&sender, (struct rig_shot){.ssrc = 0x20000, .index = 101, .mid = "1", .rid = "l"});
	rig_run(0);
	CHECK_EQ(show_top(0), 101);
	// Nor its RTCP.
	held = (unsigned)rig_counter(DROP_REPLAY_RTCP);
	send_bye(0x20000, 1);
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_REPLAY_RTCP), held + 1);
	send_bye(0x20000, 2);
	rig_run(0);
	CHECK_EQ(rig_counter(CTR_RTCP_BYE_RX), 41);
	show_close();
}

static void silence_ends_an_ssrc(void)
{
	CHECK_OR_RETURN(show_open(1, 0, 0));
	for (unsigned i = 0; i < SESSION_MAX_SSRCS; i++)
		rig_shoot(&sender, (struct rig_shot){.ssrc = 0x30000 + i, .index = 1, .mid = "1"});
	rig_run(MS);
	rig_shoot(&sender, (struct rig_shot){.ssrc = 0x40000, .index = 1, .mid = "1"});
	rig_run(MS);
	CHECK_EQ(rig_counter(DROP_SSRC_LIMIT), 1);
	for (unsigned i = 0; i < 61; i++) {
		rig_check(&sender);
		rig_shoot(&sender, (struct rig_shot){.ssrc = 0x30000, .index = 2 + i, .mid = "1"});
		rig_run(NS_PER_S);
	}
	rig_shoot(&sender, (struct rig_shot){.ssrc = 0x40000, .index = 1, .mid = "1"});
	rig_run(MS);
	CHECK_EQ(rig_counter(DROP_SSRC_LIMIT), 1);
	CHECK_EQ(rig_counter(CTR_SSRCS_ENDED), 1);
	CHECK_EQ(show_top(0), 62); // the one that speaks goes on to feed the track
	show_close();
}

static void strange_packets_cost_only_themselves(void)
{
	static const uint8_t cut[] = {0xff, 0xff}; // VP8 descriptor that goes on behind the end
	uint8_t pkt[600] = {0x9f, RIG_VP8};
	struct seal_rtp job = {.key = sender.tx, .hdr = pkt, .len = 100, .ssrc = L, .index = 101};
	uint8_t payload[100] = {0x10};
	struct rtxring_entry e;
	struct rte_mbuf *m;

	CHECK_OR_RETURN(show_open(1, L, 0));
	job.key = sender.tx;
	show_shoot(L, 100, LAYER_KEY);
	// 15 CSRCs and an extension block of 100 elements that ends in the middle of one
	be16_put(pkt + 2, 101);
	be32_put(pkt + 8, L);
	be16_put(pkt + 72, 0xbede);
	be16_put(pkt + 74, 50);
	memset(pkt + 76, 0x10, 200);
	pkt[274] = 0x1f;
	job.hdr_len = 276;
	job.src = payload;
	job.dst = pkt + 276;
	CHECK_EQ(seal_rtp_protect(rig.seal, &job, 1), 1);
	rig_receive(&sender, pkt, 376 + seal_rtp_tag_len(sender.profile));
	rig_shoot(&sender, (struct rig_shot){.ssrc = L, .index = 102, .payload = cut, .n_bytes = 2});
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_BAD_EXT), 1);
	CHECK_EQ(show_top(0), 102);
	CHECK_EQ(show_state(0, 101, &e, &m), RTXRING_HELD);
	CHECK_EQ(pkt_of(m)->hdr_len, 276);
	CHECK_EQ(show_state(0, 102, &e, &m), RTXRING_HELD);
	CHECK_EQ(e.flags, 0);
	CHECK_EQ(pkt_of(m)->vp8.len, 0);
	show_close();
}

static void a_session_takes_its_video_along(void)
{
	struct ipc_session_ref del = {};
	unsigned held;

	CHECK_OR_RETURN(show_open(2, L, 0));
	sender.queue = atomic_load(&rig.dp->session[1])->home;
	del.sid = sender.sid;
	held = show_n_kept();
	show_shoot_run(L, 100, 50);
	CHECK(show_n_kept() >= held + 50);
	CHECK_EQ(rig_cmd(&del, CMD_SESSION_DEL), 0);
	for (unsigned i = 0; i < 5; i++)
		rig_run(2 * MS);
	CHECK_EQ(show_n_kept(), held);
	show_close();
}

CU_TestInfo publish_rtcp_tests[] = {
	{"many wishes become few requests, repeated until a key frame comes",
	 wishes_become_few_requests},
	{"nothing is asked for when nobody watches", nobody_watches_nothing_is_asked},
	{"FIR where PLI was not negotiated, no NACK where NACK was not", fir_where_there_is_no_pli},
	{"arrivals are reported at ends of frames", arrivals_count_whatever_becomes_of_them},
	{"repairs, padding and unknown SSRCs are no loss to the publisher", publishers_see_no_loss},
	{"receiver reports cover all SSRCs", all_ssrcs_are_reported},
	{"the workers of receivers are told rate, activity and clock", receivers_workers_are_told},
	{"SSRCs with good tags are limited too", good_ssrcs_are_limited},
	{"forty shares in one session never run out of SSRCs, and none can be replayed",
	 sharing_again_and_again_is_fine},
	{"an SSRC that is silent for a minute makes room", silence_ends_an_ssrc},
	{"CSRCs, broken extensions and descriptors cost only themselves",
	 strange_packets_cost_only_themselves},
	{"a session takes its video along", a_session_takes_its_video_along},
	CU_TEST_INFO_NULL,
};
