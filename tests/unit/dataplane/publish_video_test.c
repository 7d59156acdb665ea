// Video of a publisher, from its packets to what is in the rings and what it is asked for.
#include <pthread.h>

#include "dataplane/arrivals.h"
#include "dataplane/intake.h"
#include "lib/rtc/rtcp.h"
#include "lib/rtc/twcc.h"
#include "tests/unit/dataplane/rig_video.h"

#define L 0x7001
#define H 0x7002
#define L_RTX 0x7003
#define H_RTX 0x7004
#define MS NS_PER_MS

static struct rig_peer a, b;

// --- what the publisher is told ---------------------------------------------------------------------------------

static struct {
	unsigned n_nack, n_seq, n_pli, n_fir, n_twcc, n_received, n_lost, n_blocks, n_rr;
	uint16_t seq[64];
	uint32_t pli_ssrc;
	uint32_t block_ssrc[80];
	int32_t block_lost[80];
} told;

static void take_twcc(const struct rtcp_fb *fb)
{
	struct twcc_status status;
	struct twcc_fb twcc;

	CHECK_EQ(twcc_fb_begin(&twcc, fb), 0);
	told.n_twcc++;
	while (twcc_fb_next(&twcc, &status)) {
		told.n_received += status.is_received;
		told.n_lost += !status.is_received;
	}
}

static void take_rtcp(const struct rtcp_pkt *pkt)
{
	struct rtcp_block block;
	struct rtcp_fb fb = {};

	if (pkt->pt == RTCP_RR) {
		told.n_rr++;
		for (unsigned i = 0; rtcp_block_read(pkt, i, &block) == 0 && told.n_blocks < 80; i++) {
			told.block_lost[told.n_blocks] = block.lost;
			told.block_ssrc[told.n_blocks++] = block.ssrc;
		}
		return;
	}
	if ((pkt->pt != RTCP_RTPFB && pkt->pt != RTCP_PSFB) || rtcp_fb_read(pkt, &fb) < 0)
		return;
	if (pkt->pt == RTCP_RTPFB && pkt->count == RTPFB_TWCC) {
		take_twcc(&fb);
	} else if (pkt->pt == RTCP_RTPFB && pkt->count == RTPFB_NACK) {
		told.n_nack++;
		told.n_seq += rtcp_nack_read(&fb, told.seq, 64);
	} else if (pkt->pt == RTCP_PSFB && pkt->count == PSFB_PLI) {
		told.n_pli++;
		told.pli_ssrc = fb.media;
	} else if (pkt->pt == RTCP_PSFB && pkt->count == PSFB_FIR) {
		told.n_fir++;
	}
}

// Read the SRTCP sent to a since the last call into `told`, which is emptied before.
static void listen_to_server(void)
{
	memset(&told, 0, sizeof(told));
	for (unsigned i = 0; i < rig.n_sent; i++) {
		struct rig_out *o = &rig.sent[i];
		struct rtcp_iter it;
		struct rtcp_pkt pkt;
		uint32_t index;
		int len;

		if (o->to.remote_port != a.port || o->len < 8 || o->data[0] >> 6 != 2 || o->data[1] < 192 ||
		    o->data[1] > 223)
			continue;
		len = seal_rtcp_unprotect(rig.seal, a.rx, o->data, o->len, &index);
		CHECK_OR_RETURN(len > 0);
		rtcp_begin(&it, o->data, (size_t)len);
		while (rtcp_next(&it, &pkt))
			take_rtcp(&pkt);
		CHECK(!it.bad);
	}
	rig.n_sent = 0;
}

// --- scenes -------------------------------------------------------------------------------------------------------

static int video_leg(uint16_t leg, uint32_t ssrc)
{
	struct ipc_leg_add add = {.sid = b.sid,
				  .leg = leg,
				  .kind = KIND_VIDEO,
				  .pt = 120,
				  .src_sid = a.sid,
				  .src_track = 1,
				  .codec = CODEC_VP8,
				  .rtx_pt = 121,
				  .ssrc = ssrc,
				  .rtx_ssrc = ssrc + 1,
				  .clock_hz = 90000};

	return rig_cmd(&add, CMD_LEG_ADD);
}

// a publishes video with n_rids encodings as track 1 with MID "1"; b watches.
static bool open_show(unsigned n_workers, uint32_t ssrc, unsigned n_rids)
{
	if (!rig_open(n_workers))
		return false;
	rig_twcc = 0;
	rig_join(&a, 1, SEAL_AEAD_AES_128_GCM);
	rig_join(&b, 2, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig_video_track(&a, 1, "1", ssrc, n_rids), 0);
	CHECK_EQ(video_leg(0, 0x8001), 0);
	rig_run(MS);
	rig.n_sent = 0;
	return rig_source(1, 1) != NULL;
}

static void close_show(void)
{
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

static enum rtxring_state state_of(unsigned layer, uint64_t index, struct rtxring_entry *e,
				   struct rte_mbuf **m)
{
	return layer_read(rig_source(1, 1)->video->layer[layer], RTXRING_ALL, index, e, m);
}

static bool is_held(unsigned layer, uint64_t index)
{
	struct rtxring_entry e;
	struct rte_mbuf *m;

	return state_of(layer, index, &e, &m) == RTXRING_HELD &&
	       be64_get(rte_pktmbuf_mtod_offset(m, uint8_t *, pkt_of(m)->hdr_len + 8)) == index;
}

static uint64_t top_of(unsigned layer)
{
	uint64_t top;

	return layer_top(rig_source(1, 1)->video->layer[layer], &top) ? top : 0;
}

// One packet of one frame each.
static void shoot(uint32_t ssrc, uint64_t index, uint8_t flags)
{
	rig_shoot(&a, (struct rig_shot){.ssrc = ssrc,
					.index = index,
					.ts = (uint32_t)index * 3000,
					.flags = LAYER_START | LAYER_MARKER | flags,
					.pid = (uint16_t)index});
}

static void shoot_run(uint32_t ssrc, uint64_t first, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		shoot(ssrc, first + i, i == 0 ? LAYER_KEY : 0);
		rig_run(5 * MS);
	}
}

// --- binding ------------------------------------------------------------------------------------------------------

static unsigned n_live(char *rids)
{
	struct note note;
	unsigned n = 0;

	for (unsigned i = 0; i < rig.dp->n_workers; i++)
		while (note_take(rig.dp->worker[i], &note))
			if (note.type == NOTE_TRACK_LIVE && note.live.track == 1) {
				rids[n++] = note.live.rid[0];
				CHECK_EQ(note.live.codec, CODEC_VP8);
			}
	return n;
}

static void encodings_are_told_apart(void)
{
	char rids[8] = "";

	CHECK_OR_RETURN(open_show(1, 0, 2));
	rig_shoot(&a,
		  (struct rig_shot){.ssrc = H, .index = 900, .mid = "1", .rid = "h", .flags = LAYER_START});
	rig_shoot(&a,
		  (struct rig_shot){.ssrc = L, .index = 500, .mid = "1", .rid = "l", .flags = LAYER_START});
	shoot(L, 501, 0); // later packets need no extension
	shoot(L, 504, 0);
	rig_shoot(&a, (struct rig_shot){.ssrc = L_RTX,
					.index = 1,
					.pt = RIG_RTX,
					.mid = "1",
					.rrid = "l",
					.is_rtx = true,
					.osn = 502});
	rig_run(0);
	CHECK(is_held(0, 500) && is_held(0, 501) && is_held(0, 502) && !is_held(0, 503) && is_held(0, 504));
	CHECK_EQ(top_of(1), 900);
	CHECK_EQ(rig_counter(CTR_VIDEO_LATE), 1);
	CHECK_EQ(n_live(rids), 2);
	CHECK_STR(rids, "hl");
	close_show();
}

static void unknown_encodings_stay_out(void)
{
	CHECK_OR_RETURN(open_show(1, 0, 2));
	rig_shoot(&a, (struct rig_shot){.ssrc = L, .index = 500, .mid = "1", .rid = "l"});
	rig_shoot(&a, (struct rig_shot){.ssrc = H, .index = 600, .mid = "1", .rid = "q"});
	rig_shoot(&a, (struct rig_shot){.ssrc = H, .index = 601, .mid = "1", .rid = "quality"});
	rig_shoot(&a, (struct rig_shot){.ssrc = L, .index = 501, .pt = 77});
	rig_say(&a);
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_UNKNOWN_RID), 2);
	CHECK_EQ(rig_counter(DROP_BAD_PT), 1);
	CHECK_EQ(top_of(0), 500);
	CHECK_EQ(top_of(1), 0);
	CHECK_EQ(rig_counter(CTR_RTP_RX_PACKETS), 5);
	// Once bound it stays so, whatever the extensions say.
	rig_shoot(&a, (struct rig_shot){.ssrc = L, .index = 502, .mid = "1", .rid = "h"});
	rig_run(0);
	CHECK_EQ(top_of(0), 502);
	CHECK_EQ(top_of(1), 0);
	close_show();
}

static void listed_ssrcs_bind(void)
{
	struct ipc_track_add add = {.track = 1,
				    .kind = KIND_VIDEO,
				    .enabled = 1,
				    .mid = "1",
				    .clock_hz = 90000,
				    .ssrc = {L},
				    .rtx_ssrc = {L_RTX},
				    .codec = {{.pt = RIG_VP8, .codec = CODEC_VP8, .fb = FB_NACK | FB_PLI},
					      {.pt = RIG_RTX, .codec = CODEC_RTX, .apt = RIG_VP8}}};

	CHECK_OR_RETURN(open_show(1, L, 0));
	add.sid = a.sid;
	CHECK_EQ(rig_cmd(&add, CMD_TRACK_ADD), 0);
	rig_run(0);
	shoot(L, 10, LAYER_KEY);
	shoot(L, 12, 0);
	rig_run(0);
	// Declared again as it was: nothing changes.
	CHECK_EQ(rig_cmd(&add, CMD_TRACK_ADD), 0);
	rig_shoot(&a, (struct rig_shot){.ssrc = L_RTX, .index = 7, .pt = RIG_RTX, .is_rtx = true, .osn = 11});
	shoot(L, 13, 0);
	rig_run(0);
	CHECK(is_held(0, 10) && is_held(0, 11) && is_held(0, 12) && is_held(0, 13));
	CHECK_EQ(rig_counter(DROP_NO_TRACK), 0);
	// More encodings than it began with are refused: that is another track.
	add.n_rids = 2;
	memcpy(add.rid[0], "l", 2);
	memcpy(add.rid[1], "h", 2);
	CHECK_EQ(rig_cmd(&add, CMD_TRACK_ADD), -EEXIST);
	close_show();
}

static void packets_wait_for_their_track(void)
{
	struct rig_peer *p = &a;

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 1, SEAL_AEAD_AES_128_GCM);
	for (unsigned i = 0; i < 10; i++)
		rig_shoot(p, (struct rig_shot){.ssrc = L,
					       .index = 100 + i,
					       .ts = i,
					       .mid = "1",
					       .flags = i == 2 ? LAYER_KEY | LAYER_START : 0});
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_NO_TRACK), 2); // eight wait
	CHECK_EQ(rig_video_track(&a, 1, "1", 0, 0), 0);
	rig_run(0);
	CHECK_EQ(top_of(0), 109);
	CHECK(is_held(0, 102) && is_held(0, 109) && !is_held(0, 101));
	// For a second, no longer.
	rig_shoot(p, (struct rig_shot){.ssrc = H, .index = 100, .mid = "2"});
	rig_run(0);
	rig_run(1500 * MS);
	CHECK_EQ(rig_counter(DROP_NO_TRACK), 3);
	rig_leave(&a);
	rig_close();
}

// --- recovery ----------------------------------------------------------------------------------------------------

static void missing_packets_are_asked_for(void)
{
	CHECK_OR_RETURN(open_show(1, L, 0));
	shoot_run(L, 100, 5);
	shoot(L, 107, 0);
	rig_run(0);
	rig_run(21 * MS);
	rig_run(21 * MS);
	listen_to_server();
	CHECK_EQ(told.n_nack, 1);
	CHECK_EQ(told.n_seq, 2);
	CHECK_EQ(told.seq[0], 105);
	CHECK_EQ(told.seq[1], 106);
	// T4, R8: the original comes late, the other one by repair; both are held, and no more is asked for.
	shoot(L, 105, 0);
	rig_shoot(&a, (struct rig_shot){.ssrc = L_RTX,
					.index = 1,
					.ts = 106 * 3000,
					.pt = RIG_RTX,
					.mid = "1",
					.is_rtx = true,
					.osn = 106,
					.flags = LAYER_START | LAYER_MARKER});
	rig_run(0);
	CHECK(is_held(0, 105) && is_held(0, 106));
	CHECK_EQ(rig_counter(CTR_VIDEO_LATE), 2);
	for (unsigned i = 0; i < 20; i++)
		rig_run(20 * MS);
	listen_to_server();
	CHECK_EQ(told.n_nack, 0);
	close_show();
}

static void repaired_packets_look_like_originals(void)
{
	struct rtxring_entry e;
	struct rte_mbuf *m;
	struct rtp_view v;

	CHECK_OR_RETURN(open_show(1, L, 0));
	shoot(L, 100, LAYER_KEY);
	shoot(L, 102, 0);
	rig_run(0);
	rig_shoot(&a, (struct rig_shot){.ssrc = L_RTX,
					.index = 900,
					.ts = 303000,
					.pt = RIG_RTX,
					.mid = "1",
					.is_rtx = true,
					.osn = 101,
					.flags = LAYER_START | LAYER_MARKER,
					.pid = 101});
	rig_run(0);
	CHECK_EQ(state_of(0, 101, &e, &m), RTXRING_HELD);
	if (m == NULL)
		state_of(0, 100, &e, &m);
	CHECK_EQ(rtp_parse(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, 0, &v), 0);
	CHECK_EQ(v.ssrc, L);
	CHECK_EQ(v.seq, 101);
	CHECK_EQ(v.pt, RIG_VP8);
	CHECK(v.marker);
	CHECK_EQ(v.ts, 303000);
	CHECK_EQ(v.hdr_len, pkt_of(m)->hdr_len);
	CHECK_EQ(v.payload_len, 100);
	CHECK_EQ(pkt_of(m)->vp8.picture_id, 101);
	CHECK_EQ(pkt_of(m)->codec, CODEC_VP8);
	CHECK_EQ(e.flags, LAYER_START | LAYER_MARKER | LAYER_SWITCH_UP);
	close_show();
}

static void useless_repairs_are_ignored(void)
{
	struct rig_shot rtx = {
		.ssrc = L_RTX, .index = 1, .pt = RIG_RTX, .mid = "1", .is_rtx = true, .osn = 100};

	CHECK_OR_RETURN(open_show(1, 0, 0));
	rig_shoot(&a, rtx); // before any original
	rig_run(0);
	rig_shoot(&a,
		  (struct rig_shot){.ssrc = L, .index = 100, .mid = "1", .flags = LAYER_KEY | LAYER_START});
	rig_shoot(&a, (struct rig_shot){.ssrc = L, .index = 103, .flags = LAYER_START});
	rtx.index++;
	rig_shoot(&a, rtx); // not missing: a probe
	rtx.index++;
	rtx.osn = 60000;
	rig_shoot(&a, rtx); // never heard of
	rtx.osn = 101;
	for (unsigned cut = 1; cut <= 2; cut++) { // 0 and 1 bytes of payload
		rtx.index++;
		rtx.cut = cut;
		rig_shoot(&a, rtx);
	}
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_RTX_UNNEEDED), 5);
	CHECK_EQ(rig_counter(CTR_VIDEO_LATE), 0);
	rtx.index++;
	rtx.cut = 0;
	rig_shoot(&a, rtx);
	rtx.index++;
	rig_shoot(&a, rtx); // twice
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_RTX_UNNEEDED), 6);
	CHECK(is_held(0, 101));
	close_show();
}

static void what_does_not_come_is_given_up(void)
{
	struct rtxring_entry e;
	struct rte_mbuf *m;

	CHECK_OR_RETURN(open_show(1, L, 0));
	shoot_run(L, 100, 3);
	shoot(L, 105, 0);
	rig_run(0);
	for (unsigned i = 0; i < 30; i++)
		rig_run(20 * MS);
	CHECK_EQ(state_of(0, 103, &e, &m), RTXRING_MISSING);
	for (unsigned i = 0; i < 40; i++)
		rig_run(20 * MS);
	listen_to_server();
	CHECK(told.n_nack >= 3 && told.n_nack <= 10);
	CHECK_EQ(told.n_pli, 1);
	CHECK_EQ(told.pli_ssrc, L);
	CHECK_EQ(state_of(0, 103, &e, &m), RTXRING_FILLER);
	CHECK_EQ(rig_counter(CTR_VIDEO_GIVEN_UP), 2);
	shoot(L, 104, 0); // too late now
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_TOO_LATE), 1);
	close_show();
}

static void padding_takes_no_place(void)
{
	struct rtxring_entry e, f;
	struct rte_mbuf *m;

	CHECK_OR_RETURN(open_show(1, L, 0));
	shoot_run(L, 100, 2);
	rig_shoot(&a, (struct rig_shot){.ssrc = L, .index = 102, .is_padding = true});
	shoot(L, 103, 0);
	rig_run(0);
	state_of(0, 101, &e, &m);
	state_of(0, 103, &f, &m);
	CHECK_EQ(f.rank[RTXRING_ALL], e.rank[RTXRING_ALL] + 1);
	// R8: late padding fills a place that was kept.
	shoot(L, 105, 0);
	rig_shoot(&a, (struct rig_shot){.ssrc = L, .index = 104, .is_padding = true});
	rig_run(0);
	CHECK_EQ(state_of(0, 104, &e, &m), RTXRING_FILLER);
	CHECK_EQ(rig_counter(DROP_PADDING_ONLY), 2);
	close_show();
}

static void wide_gaps_are_not_asked_for(void)
{
	struct rtxring_entry e;
	struct rte_mbuf *m;

	CHECK_OR_RETURN(open_show(1, L, 0));
	shoot_run(L, 100, 3);
	shoot(L, 20000, 0);
	rig_run(0);
	rig_run(21 * MS);
	listen_to_server();
	CHECK_EQ(told.n_nack, 0);
	CHECK_EQ(told.n_pli, 1);
	CHECK_EQ(top_of(0), 104); // one place is missing, so that receivers notice
	CHECK_EQ(state_of(0, 103, &e, &m), RTXRING_MISSING);
	CHECK_EQ(state_of(0, 104, &e, &m), RTXRING_HELD);
	shoot(L, 19999, 0); // before the run
	shoot(L, 20001, 0);
	rig_run(0);
	CHECK_EQ(top_of(0), 105);
	CHECK_EQ(rig_counter(DROP_TOO_LATE), 1);
	close_show();
}

static void a_new_declaration_moves_the_track(void)
{
	CHECK_OR_RETURN(open_show(1, L, 0));
	shoot_run(L, 100, 3);
	CHECK_EQ(rig_video_track(&a, 1, "1", H, 0), 0); // the client chose another SSRC
	rig_run(600 * MS);
	shoot(L, 103, 0); // (from before: nobody claims it now)
	shoot(H, 9, LAYER_KEY);
	rig_run(0);
	shoot(H, 10, 0);
	rig_run(0);
	CHECK_EQ(top_of(0), 104);
	rig_run(2 * NS_PER_S);
	CHECK_EQ(rig_counter(DROP_NO_TRACK), 1);
	close_show();
}

// Loss both ways, reordering, answers to what is asked for, holds and jumps, all by chance. Whatever happens, a place
// never carries two packets, and with answers nothing stays missing.
static void chance(unsigned loss, unsigned n, bool is_wild)
{
	static uint16_t first_seen[1 << 16]; // by place: sequence number + 1 of the packet seen there
	struct ipc_track_gate gate = {.track = 1, .enabled = 1};
	uint64_t index = 100, late[64], rtx = 1;
	unsigned n_late = 0, n_bad = 0;
	struct rtxring_entry e;
	struct rte_mbuf *m;

	memset(first_seen, 0, sizeof(first_seen));
	gate.sid = a.sid;
	for (unsigned i = 0; i < n; i++) {
		index += is_wild && rand_u32() % 2000 == 0 ? 3000 : 1;
		if (rand_u32() % 100 < loss)
			;
		else if (rand_u32() % 20 == 0 && n_late < 64)
			late[n_late++] = index;
		else
			shoot(L, index, index % 100 == 0 ? LAYER_KEY : 0);
		if (n_late > 0 && rand_u32() % 8 == 0)
			shoot(L, late[--n_late], 0);
		if (is_wild && rand_u32() % 1000 == 0) {
			gate.enabled ^= 1;
			CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
		}
		if (i % 500 == 0) {
			rig_check(&a);
			rig_check(&b);
		}
		rig_run(4 * MS);
		listen_to_server();
		for (unsigned k = 0; k < told.n_seq && k < 32; k++) {
			uint64_t osn;
			if (!seq64_extend(index, told.seq[k], &osn) || rand_u32() % 100 < loss)
				continue;
			rig_shoot(&a, (struct rig_shot){.ssrc = L_RTX,
							.index = rtx++,
							.pt = RIG_RTX,
							.mid = "1",
							.is_rtx = true,
							.osn = osn,
							.ts = (uint32_t)osn * 3000,
							.flags = LAYER_START | LAYER_MARKER});
		}
		for (uint64_t at = top_of(0) > 100 ? top_of(0) - 100 : 0; at <= top_of(0); at++) {
			if (state_of(0, at, &e, &m) != RTXRING_HELD)
				continue;
			uint16_t seq = be16_get(rte_pktmbuf_mtod_offset(m, uint8_t *, 2));
			uint16_t *seen = &first_seen[at & 0xffff];
			n_bad += *seen != 0 && *seen != (uint16_t)(seq + 1);
			n_bad += be64_get(rte_pktmbuf_mtod_offset(m, uint8_t *, pkt_of(m)->hdr_len + 8)) %
					 65536 !=
				 seq;
			*seen = (uint16_t)(seq + 1);
		}
	}
	CHECK_EQ(n_bad, 0);
}

static void loss_is_repaired(void)
{
	unsigned n_missing = 0;

	CHECK_OR_RETURN(open_show(1, L, 0));
	chance(10, 3000, false);
	for (uint64_t at = top_of(0) - 900; at < top_of(0) - 200; at++) {
		struct rtxring_entry e;
		struct rte_mbuf *m;
		enum rtxring_state state = state_of(0, at, &e, &m);

		n_missing += state == RTXRING_MISSING || state == RTXRING_FILLER;
	}
	CHECK_EQ(n_missing, 0);
	CHECK(rig_counter(CTR_VIDEO_LATE) > 300);
	close_show();
}

static void whatever_happens_a_place_is_one_packet(void)
{
	CHECK_OR_RETURN(open_show(1, L, 0));
	chance(20, 10000, true);
	CHECK(rig_counter(DROP_MUTED) > 0);
	CHECK(rig_counter(CTR_VIDEO_GIVEN_UP) + rig_counter(CTR_VIDEO_LATE) > 1000);
	close_show();
}

// --- key frames ---------------------------------------------------------------------------------------------------

static void wishes_become_few_requests(void)
{
	struct layer *l;

	CHECK_OR_RETURN(open_show(1, L, 0));
	shoot_run(L, 100, 5);
	listen_to_server();
	l = rig_source(1, 1)->video->layer[0];
	for (unsigned i = 0; i < 1000; i++) // T7
		layer_ask_key(l);
	for (unsigned i = 0; i < 20; i++) {
		rig_run(20 * MS);
		layer_ask_key(l);
	}
	listen_to_server();
	CHECK_EQ(told.n_pli, 1);
	// T8: it was lost, so it is repeated; what was wished in between is not forgotten.
	for (unsigned i = 0; i < 10; i++)
		rig_run(20 * MS);
	listen_to_server();
	CHECK_EQ(told.n_pli, 1);
	for (unsigned i = 0; i < 150; i++)
		rig_run(20 * MS);
	listen_to_server();
	CHECK(told.n_pli >= 2 && told.n_pli <= 3);
	shoot(L, 105, LAYER_KEY);
	rig_run(0);
	for (unsigned i = 0; i < 300; i++)
		rig_run(20 * MS);
	listen_to_server();
	CHECK_EQ(told.n_pli, 0);
	// The layer has been silent for long: a wish is still heard.
	rig_check(&a);
	rig_check(&b);
	for (unsigned i = 0; i < 60; i++) {
		rig_check(&a);
		rig_check(&b);
		rig_run(500 * MS);
	}
	listen_to_server();
	layer_ask_key(l);
	rig_run(500 * MS);
	rig_run(500 * MS);
	listen_to_server();
	CHECK(told.n_pli >= 1);
	close_show();
}

static void nobody_watches_nothing_is_asked(void)
{
	struct ipc_leg_ref del = {.leg = 0};

	CHECK_OR_RETURN(open_show(1, L, 0));
	del.sid = b.sid;
	CHECK_EQ(rig_cmd(&del, CMD_LEG_DEL), 0);
	shoot_run(L, 100, 5);
	layer_ask_key(rig_source(1, 1)->video->layer[0]);
	for (unsigned i = 0; i < 50; i++)
		rig_run(20 * MS);
	listen_to_server();
	CHECK_EQ(told.n_pli, 0);
	CHECK(is_held(0, 104)); // but kept, for who comes
	close_show();
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

	CHECK_OR_RETURN(open_show(1, L, 0));
	add.sid = leg.src_sid = a.sid;
	leg.sid = b.sid;
	CHECK_EQ(rig_cmd(&add, CMD_TRACK_ADD), 0);
	CHECK_EQ(rig_cmd(&leg, CMD_LEG_ADD), 0);
	shoot_run(H, 100, 2);
	shoot(H, 104, 0);
	rig_run(0);
	layer_ask_key(rig_source(1, 2)->video->layer[0]);
	for (unsigned i = 0; i < 3; i++)
		rig_run(21 * MS);
	listen_to_server();
	CHECK_EQ(told.n_pli, 0);
	CHECK_EQ(told.n_fir, 1);
	CHECK_EQ(told.n_nack, 0); // not negotiated either
	close_show();
}

// --- held back ----------------------------------------------------------------------------------------------------

static void held_video_is_counted_but_not_kept(void)
{
	struct ipc_track_gate gate = {.track = 1};

	CHECK_OR_RETURN(open_show(1, L, 0));
	gate.sid = a.sid;
	shoot_run(L, 100, 3);
	CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
	rig_run(0);
	listen_to_server();
	for (unsigned i = 0; i < 100; i++) {
		if (i != 50)
			shoot(L, 103 + i, 0);
		rig_run(20 * MS);
	}
	listen_to_server();
	CHECK_EQ(top_of(0), 102);
	CHECK_EQ(rig_counter(DROP_MUTED), 99);
	CHECK(told.n_rr > 0 && told.n_twcc > 5);
	CHECK_EQ(told.n_lost, 0);
	CHECK_EQ(told.n_nack, 0);
	gate.enabled = 1;
	CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
	rig_run(0);
	rig_run(21 * MS);
	listen_to_server();
	CHECK_EQ(told.n_pli, 1);
	shoot(L, 203, LAYER_KEY);
	rig_run(0);
	CHECK_EQ(top_of(0), 103); // right behind the last one
	close_show();
}

static void held_from_the_first_packet_on(void)
{
	struct ipc_track_gate gate = {.track = 1};

	CHECK_OR_RETURN(open_show(1, L, 0));
	gate.sid = a.sid;
	CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
	shoot_run(L, 100, 5);
	CHECK_EQ(rig_counter(DROP_MUTED), 5);
	CHECK_EQ(rig_counter(CTR_VIDEO_KEPT), 0);
	rig_run(200 * MS);
	listen_to_server();
	gate.enabled = 1;
	CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
	rig_run(0);
	rig_run(21 * MS);
	listen_to_server();
	CHECK_EQ(told.n_pli, 1); // before the next packet comes: a still screen sends few
	shoot(L, 105, LAYER_KEY);
	rig_run(0);
	CHECK_EQ(top_of(0), 105);
	close_show();
}

static void another_ssrc_takes_over(void)
{
	struct rtxring_entry e, f;
	struct rte_mbuf *m;

	CHECK_OR_RETURN(open_show(1, 0, 0));
	rig_shoot(&a,
		  (struct rig_shot){
			  .ssrc = L, .index = 100, .ts = 5000, .mid = "1", .flags = LAYER_KEY | LAYER_START});
	rig_run(0);
	rig_shoot(&a,
		  (struct rig_shot){
			  .ssrc = H, .index = 7, .ts = 999, .mid = "1", .flags = LAYER_KEY | LAYER_START});
	rig_run(10 * MS);
	CHECK_EQ(rig_counter(DROP_STALE), 1); // one at a time
	rig_run(600 * MS);
	rig_shoot(&a, (struct rig_shot){.ssrc = H, .index = 8, .ts = 999, .flags = LAYER_KEY | LAYER_START});
	rig_run(0);
	CHECK_EQ(top_of(0), 101);
	state_of(0, 100, &e, &m);
	CHECK_EQ(state_of(0, 101, &f, &m), RTXRING_HELD);
	CHECK_EQ(f.rank[RTXRING_ALL], e.rank[RTXRING_ALL] + 1);
	CHECK_EQ(f.ts - e.ts, 610 * 90);
	CHECK_EQ(pkt_of(m)->ts, f.ts);
	close_show();
}

// --- reports ------------------------------------------------------------------------------------------------------

static void arrivals_count_whatever_becomes_of_them(void)
{
	CHECK_OR_RETURN(open_show(1, L, 0));
	shoot_run(L, 100, 2);
	listen_to_server();
	for (unsigned i = 0; i < 300; i++) {
		shoot(L, 102 + i, 0);
		rig_shoot(&a, (struct rig_shot){.ssrc = L_RTX,
						.index = i,
						.pt = RIG_RTX,
						.mid = "1",
						.is_rtx = true,
						.osn = 100});
		rig_shoot(&a, (struct rig_shot){.ssrc = 0xbad, .index = i, .is_padding = true});
		rig_say(&a);
		a.index--; // (its own number would be another's)
		a.index++;
		rig_run(10 * MS);
	}
	rig_run(200 * MS);
	listen_to_server();
	CHECK(told.n_twcc > 50); // at ends of frames, each 20 ms
	CHECK(told.n_received >= 900);
	CHECK_EQ(rig_counter(DROP_NO_MBUF), 0);
	close_show();
}

static void publishers_see_no_loss(void)
{
	unsigned n = 0;

	CHECK_OR_RETURN(open_show(1, L, 0));
	for (unsigned i = 0; i < 400; i++) {
		shoot(L, 100 + i, i == 0 ? LAYER_KEY : 0);
		rig_shoot(&a, (struct rig_shot){.ssrc = L_RTX,
						.index = i,
						.pt = RIG_RTX,
						.mid = "1",
						.is_rtx = true,
						.osn = 1});
		rig_shoot(&a, (struct rig_shot){.ssrc = 0xbad, .index = i});
		rig_run(5 * MS);
		listen_to_server();
		n += told.n_received;
		CHECK_EQ(told.n_lost, 0);
	}
	rig_run(200 * MS);
	listen_to_server();
	CHECK_EQ(n + told.n_received, 1200);
	close_show();
}

static void all_ssrcs_are_reported(void)
{
	bool seen[40] = {};

	CHECK_OR_RETURN(open_show(1, L, 0));
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 40; i++)
			rig_shoot(&a, (struct rig_shot){.ssrc = 0x100 + i, .index = 5 + 2 * round});
		rig_run(0);
	}
	rig_run(1600 * MS);
	listen_to_server();
	CHECK_EQ(told.n_rr, 2);
	CHECK_EQ(told.n_blocks, 40);
	for (unsigned i = 0; i < told.n_blocks; i++) {
		seen[(told.block_ssrc[i] - 0x100) % 40] = true;
		CHECK_EQ(told.block_lost[i], 1);
	}
	for (unsigned i = 0; i < 40; i++)
		CHECK(seen[i]);
	close_show();
}

static void send_sr(uint32_t ssrc, uint32_t rtp, uint32_t index)
{
	uint8_t pkt[100];
	struct wbuf out = wbuf_of(pkt, sizeof(pkt));
	struct rtcp_sr sr = {.ssrc = ssrc, .ntp = clock_ntp(rig.dp->wall_offset + rig.now), .rtp = rtp};
	int sealed;

	rtcp_write_sr(&out, &sr, NULL, 0);
	sealed = seal_rtcp_protect(rig.seal, a.tx, pkt, wbuf_len(&out), sizeof(pkt), index);
	CHECK_OR_RETURN(sealed > 0);
	rig_receive(&a, pkt, (size_t)sealed);
}

static void receivers_workers_are_told(void)
{
	struct layer_info info;
	struct layer *l;

	CHECK_OR_RETURN(open_show(1, L, 0));
	l = rig_source(1, 1)->video->layer[0];
	for (unsigned i = 0; i < 300; i++) {
		rig_shoot(&a, (struct rig_shot){.ssrc = L,
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
	close_show();
}

// --- two workers --------------------------------------------------------------------------------------------------

static void other_workers_get_one_word_per_burst(void)
{
	uint64_t before;

	CHECK_OR_RETURN(open_show(2, L, 0));
	CHECK(atomic_load(&rig.dp->session[1])->home != atomic_load(&rig.dp->session[2])->home);
	a.queue = atomic_load(&rig.dp->session[1])->home;
	shoot(L, 100, LAYER_KEY);
	rig_run(0);
	before = rig_counter(CTR_FANOUT_NOTICES);
	for (unsigned i = 1; i <= 20; i++)
		shoot(L, 100 + i, 0);
	shoot(L, 122, 0);
	rig_run(0);
	CHECK_EQ(rig_counter(CTR_FANOUT_NOTICES), before + 1);
	shoot(L, 121, 0); // a late one is told by itself
	rig_run(0);
	CHECK_EQ(rig_counter(CTR_FANOUT_NOTICES), before + 2);
	CHECK_EQ(rig_counter(CTR_VIDEO_LATE), 1);
	CHECK(is_held(0, 121));
	close_show();
}

// --- threads --------------------------------------------------------------------------------------------------------

static unsigned n_held_buffers(void)
{
	return rte_mempool_in_use_count(rte_mempool_lookup("video"));
}

static _Atomic bool over;

// The receivers' worker with its own thread; it looks at every packet that is there.
static void *watch(void *arg)
{
	struct worker *w = rig.dp->worker[atomic_load(&rig.dp->session[2])->home];
	const struct layer *l = arg;
	uint64_t at = 0, top, bad = 0;
	struct rtxring_entry e;
	struct layer_info info;
	struct rte_mbuf *m;

	while (!atomic_load(&over)) {
		worker_round(w, clock_now());
		layer_info(l, &info);
		if (!layer_top(l, &top))
			continue;
		for (at = RTE_MAX(at, top > 1000 ? top - 1000 : 0); at <= top; at++)
			if (layer_read(l, RTXRING_ALL, at, &e, &m) == RTXRING_HELD)
				bad += be64_get(rte_pktmbuf_mtod_offset(m, uint8_t *,
									pkt_of(m)->hdr_len + 8)) != at;
	}
	return (void *)(uintptr_t)bad;
}

static void receivers_read_while_the_publisher_writes(void)
{
	struct worker *w;
	pthread_t thread;
	void *bad;

	CHECK_OR_RETURN(open_show(2, L, 0));
	w = rig.dp->worker[atomic_load(&rig.dp->session[1])->home];
	a.queue = w->id;
	atomic_store(&over, false);
	CHECK_EQ(pthread_create(&thread, NULL, watch, rig_source(1, 1)->video->layer[0]), 0);
	for (uint64_t i = 0; i < 6000; i++) {
		if (i % 10 != 3)
			shoot(L, 100 + i, i % 300 == 0 ? LAYER_KEY : 0);
		if (i % 10 == 7)
			shoot(L, 100 + i - 4, 0); // late
		if (i % 20 == 19)
			worker_round(w, clock_now());
		if (i % 100 == 0)
			layer_ask_key(rig_source(1, 1)->video->layer[0]);
		while (n_held_buffers() > 2500) // far above any real rate: wait for a grace period
			worker_round(w, clock_now());
	}
	atomic_store(&over, true);
	pthread_join(thread, &bad);
	CHECK_EQ((uintptr_t)bad, 0);
	CHECK_EQ(rig_counter(CTR_VIDEO_KEPT), 6000);
	CHECK_EQ(rig_counter(CTR_VIDEO_LATE), 600);
	rig.now = clock_now();
	rig_run(MS);
	close_show();
}

static void av1_is_told_by_its_obus(void)
{
	static const uint8_t key[16] = {0x18, 0x0a}, more[16] = {0x90, 0x32}, frame[16] = {0x10, 0x32};
	struct ipc_track_add add = {.track = 2,
				    .kind = KIND_VIDEO,
				    .enabled = 1,
				    .mid = "2",
				    .clock_hz = 90000,
				    .ssrc = {H},
				    .codec = {{.pt = 45, .codec = CODEC_AV1, .fb = FB_NACK | FB_PLI}}};
	struct rig_shot shot = {.ssrc = H, .index = 10, .ts = 100, .pt = 45, .payload = key, .n_bytes = 16};
	struct rtxring_entry e;
	struct rte_mbuf *m;
	struct layer *l;

	CHECK_OR_RETURN(open_show(1, L, 0));
	add.sid = a.sid;
	CHECK_EQ(rig_cmd(&add, CMD_TRACK_ADD), 0);
	rig_shoot(&a, shot);
	rig_run(0);
	shot.index++;
	shot.payload = more;
	shot.flags = LAYER_MARKER;
	rig_shoot(&a, shot);
	rig_run(0);
	shot.index++;
	shot.ts += 3000;
	shot.payload = frame;
	rig_shoot(&a, shot);
	rig_run(0);
	l = rig_source(1, 2)->video->layer[0];
	CHECK_EQ(layer_read(l, RTXRING_ALL, 10, &e, &m), RTXRING_HELD);
	CHECK_EQ(e.flags, LAYER_KEY | LAYER_START | LAYER_SWITCH_UP);
	CHECK_EQ(pkt_of(m)->vp8.len, 0);
	layer_read(l, RTXRING_ALL, 11, &e, &m);
	CHECK_EQ(e.flags, LAYER_MARKER);
	layer_read(l, RTXRING_ALL, 12, &e, &m);
	CHECK_EQ(e.flags, LAYER_START | LAYER_MARKER);
	close_show();
}

// --- SSRCs --------------------------------------------------------------------------------------------------------

static void good_ssrcs_are_limited(void)
{
	CHECK_OR_RETURN(open_show(1, L, 0));
	for (unsigned i = 0; i < 1000; i++) {
		rig_shoot(&a, (struct rig_shot){.ssrc = 0x10000 + i, .index = 1, .mid = "1"});
		if (i % 32 == 31)
			rig_run(MS);
	}
	rig_run(MS);
	CHECK_EQ(rig_counter(DROP_SSRC_LIMIT), 1000 - SESSION_MAX_SSRCS);
	CHECK_EQ(atomic_load(&rig.dp->session[1])->n_streams, SESSION_MAX_SSRCS);
	CHECK_EQ(rig_counter(CTR_SSRCS_ENDED), 0);
	close_show();
}

static void send_bye(uint32_t ssrc, uint32_t index)
{
	uint8_t pkt[100];
	struct wbuf out = wbuf_of(pkt, sizeof(pkt));
	int sealed;

	rtcp_write_bye(&out, ssrc);
	sealed = seal_rtcp_protect(rig.seal, a.tx, pkt, wbuf_len(&out), sizeof(pkt), index);
	CHECK_OR_RETURN(sealed > 0);
	rig_receive(&a, pkt, (size_t)sealed);
}

static void sharing_again_and_again_is_fine(void)
{
	struct ipc_track_ref del = {.track = 1};
	uint32_t ssrc = 0x20000;
	unsigned held;

	CHECK_OR_RETURN(open_show(1, 0, 2));
	del.sid = a.sid;
	held = n_held_buffers();
	for (unsigned cycle = 0; cycle < 40; cycle++, ssrc += 4) {
		static const char *const rid[2] = {"l", "h"};

		for (unsigned k = 0; k < 2; k++) {
			rig_shoot(&a, (struct rig_shot){.ssrc = ssrc + k,
							.index = 100,
							.mid = "1",
							.rid = rid[k],
							.flags = LAYER_KEY | LAYER_START});
			rig_shoot(&a, (struct rig_shot){.ssrc = ssrc + 2 + k,
							.index = 100,
							.pt = RIG_RTX,
							.mid = "1",
							.rrid = rid[k],
							.is_rtx = true});
		}
		rig_run(MS);
		CHECK_EQ(top_of(0), 100);
		CHECK_EQ(top_of(1), 100);
		send_bye(ssrc, 1);
		rig_check(&a);
		rig_check(&b);
		rig_run(500 * MS);
		CHECK_EQ(rig_cmd(&del, CMD_TRACK_DEL), 0);
		rig_run(500 * MS);
		CHECK_EQ(rig_video_track(&a, 1, "1", 0, 2), 0);
		CHECK_EQ(video_leg(0, 0x9000 + cycle), 0);
		rig_run(MS);
	}
	CHECK_EQ(rig_counter(DROP_SSRC_LIMIT), 0);
	CHECK(rig_counter(CTR_SSRCS_ENDED) >= 40 * 4 - SESSION_MAX_SSRCS);
	CHECK_EQ(n_held_buffers(), held);
	// What was received under the first SSRC cannot be played back, only what follows it.
	rig_shoot(&a, (struct rig_shot){.ssrc = 0x20000, .index = 100, .mid = "1", .rid = "l"});
	rig_run(3 * NS_PER_S);
	CHECK_EQ(rig_counter(DROP_REPLAY_DUP) + rig_counter(DROP_REPLAY), 1);
	CHECK_EQ(top_of(0), 0);
	rig_shoot(&a, (struct rig_shot){.ssrc = 0x20000, .index = 101, .mid = "1", .rid = "l"});
	rig_run(0);
	CHECK_EQ(top_of(0), 101);
	// Nor its RTCP.
	held = (unsigned)rig_counter(DROP_REPLAY_RTCP);
	send_bye(0x20000, 1);
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_REPLAY_RTCP), held + 1);
	send_bye(0x20000, 2);
	rig_run(0);
	CHECK_EQ(rig_counter(CTR_RTCP_BYE_RX), 41);
	close_show();
}

static void silence_ends_an_ssrc(void)
{
	CHECK_OR_RETURN(open_show(1, 0, 0));
	for (unsigned i = 0; i < SESSION_MAX_SSRCS; i++)
		rig_shoot(&a, (struct rig_shot){.ssrc = 0x30000 + i, .index = 1, .mid = "1"});
	rig_run(MS);
	rig_shoot(&a, (struct rig_shot){.ssrc = 0x40000, .index = 1, .mid = "1"});
	rig_run(MS);
	CHECK_EQ(rig_counter(DROP_SSRC_LIMIT), 1);
	for (unsigned i = 0; i < 61; i++) {
		rig_check(&a);
		rig_shoot(&a, (struct rig_shot){.ssrc = 0x30000, .index = 2 + i, .mid = "1"});
		rig_run(NS_PER_S);
	}
	rig_shoot(&a, (struct rig_shot){.ssrc = 0x40000, .index = 1, .mid = "1"});
	rig_run(MS);
	CHECK_EQ(rig_counter(DROP_SSRC_LIMIT), 1);
	CHECK_EQ(rig_counter(CTR_SSRCS_ENDED), 1);
	CHECK_EQ(top_of(0), 62); // the one that speaks goes on to feed the track
	close_show();
}

static void strange_packets_cost_only_themselves(void)
{
	static const uint8_t cut[] = {0xff, 0xff}; // VP8 descriptor that goes on behind the end
	uint8_t pkt[600] = {0x9f, RIG_VP8};
	struct seal_rtp job = {.key = a.tx, .hdr = pkt, .len = 100, .ssrc = L, .index = 101};
	uint8_t payload[100] = {0x10};
	struct rtxring_entry e;
	struct rte_mbuf *m;

	CHECK_OR_RETURN(open_show(1, L, 0));
	job.key = a.tx;
	shoot(L, 100, LAYER_KEY);
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
	rig_receive(&a, pkt, 376 + seal_rtp_tag_len(a.profile));
	rig_shoot(&a, (struct rig_shot){.ssrc = L, .index = 102, .payload = cut, .n_bytes = 2}); // R4
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_BAD_EXT), 1);
	CHECK_EQ(top_of(0), 102);
	CHECK_EQ(state_of(0, 101, &e, &m), RTXRING_HELD);
	CHECK_EQ(pkt_of(m)->hdr_len, 276);
	CHECK_EQ(state_of(0, 102, &e, &m), RTXRING_HELD);
	CHECK_EQ(e.flags, 0);
	CHECK_EQ(pkt_of(m)->vp8.len, 0);
	close_show();
}

static void a_session_takes_its_video_along(void)
{
	struct ipc_session_ref del = {};
	unsigned held;

	CHECK_OR_RETURN(open_show(2, L, 0));
	a.queue = atomic_load(&rig.dp->session[1])->home;
	del.sid = a.sid;
	held = n_held_buffers();
	shoot_run(L, 100, 50);
	CHECK(n_held_buffers() >= held + 50);
	CHECK_EQ(rig_cmd(&del, CMD_SESSION_DEL), 0);
	for (unsigned i = 0; i < 5; i++)
		rig_run(2 * MS);
	CHECK_EQ(n_held_buffers(), held);
	close_show();
}

CU_TestInfo publish_video_tests[] = {
	{"encodings are told apart by MID and RID, repairs by RRID", encodings_are_told_apart},
	{"unknown encodings and codecs stay out, the rest goes on", unknown_encodings_stay_out},
	{"listed SSRCs bind, and a declaration that says nothing new changes nothing", listed_ssrcs_bind},
	{"packets wait a second for their track", packets_wait_for_their_track},
	{"T4 R8: missing packets are asked for until they come", missing_packets_are_asked_for},
	{"T5: repaired packets look like originals", repaired_packets_look_like_originals},
	{"T6: useless repairs are ignored", useless_repairs_are_ignored},
	{"what does not come is given up, and a key frame asked for", what_does_not_come_is_given_up},
	{"R7 R8: padding takes no place", padding_takes_no_place},
	{"wide gaps are not asked for", wide_gaps_are_not_asked_for},
	{"a new declaration moves the track to another SSRC", a_new_declaration_moves_the_track},
	{"10 percent of loss is repaired", loss_is_repaired},
	{"whatever happens, a place of the ring carries one packet", whatever_happens_a_place_is_one_packet},
	{"T7 T8: many wishes become few requests, repeated until a key frame comes",
	 wishes_become_few_requests},
	{"nothing is asked for when nobody watches", nobody_watches_nothing_is_asked},
	{"FIR where PLI was not negotiated, no NACK where NACK was not", fir_where_there_is_no_pli},
	{"D39: video that is held back is counted, not kept, and starts with a key frame",
	 held_video_is_counted_but_not_kept},
	{"D39: held from the first packet on, its key frame is asked for at the release",
	 held_from_the_first_packet_on},
	{"another SSRC takes over without a break in numbers and time", another_ssrc_takes_over},
	{"arrivals are reported at ends of frames", arrivals_count_whatever_becomes_of_them},
	{"T15: repairs, padding and unknown SSRCs are no loss to the publisher", publishers_see_no_loss},
	{"receiver reports cover all SSRCs", all_ssrcs_are_reported},
	{"the workers of receivers are told rate, activity and clock", receivers_workers_are_told},
	{"other workers get one word per burst, and one per late packet",
	 other_workers_get_one_word_per_burst},
	{"receivers read while the publisher writes", receivers_read_while_the_publisher_writes},
	{"AV1 is told by its OBUs", av1_is_told_by_its_obus},
	{"K12: SSRCs with good tags are limited too", good_ssrcs_are_limited},
	{"forty shares in one session never run out of SSRCs, and none can be replayed",
	 sharing_again_and_again_is_fine},
	{"an SSRC that is silent for a minute makes room", silence_ends_an_ssrc},
	{"R4: CSRCs, broken extensions and descriptors cost only themselves",
	 strange_packets_cost_only_themselves},
	{"a session takes its video along", a_session_takes_its_video_along},
	CU_TEST_INFO_NULL,
};
