// Loss between a publisher and the ring: what is asked for, repaired, given up.
#include "dataplane/publish/intake.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/media/layer_read.h"
#include "dataplane/worker/worker.h"
#include "tests/support/dataplane/show.h"

static void missing_packets_are_asked_for(void)
{
	CHECK_OR_RETURN(show_open(1, L, 0));
	show_shoot_run(L, 100, 5);
	show_shoot(L, 107, 0);
	rig_run(0);
	rig_run(21 * MS);
	rig_run(21 * MS);
	show_listen();
	CHECK_EQ(told.n_nack, 1);
	CHECK_EQ(told.n_seq, 2);
	CHECK_EQ(told.seq[0], 105);
	CHECK_EQ(told.seq[1], 106);
	// The original comes late, the other one by repair; both are held, and no more is asked for.
	show_shoot(L, 105, 0);
	rig_shoot(&sender, (struct rig_shot){.ssrc = L_RTX,
					     .index = 1,
					     .ts = 106 * 3000,
					     .pt = RIG_RTX,
					     .mid = "1",
					     .is_rtx = true,
					     .osn = 106,
					     .flags = LAYER_START | LAYER_MARKER});
	rig_run(0);
	CHECK(show_is_held(0, 105) && show_is_held(0, 106));
	CHECK_EQ(rig_counter(CTR_VIDEO_LATE), 2);
	for (unsigned i = 0; i < 20; i++)
		rig_run(20 * MS);
	show_listen();
	CHECK_EQ(told.n_nack, 0);
	show_close();
}

static void repaired_packets_look_like_originals(void)
{
	struct rtxring_entry e;
	struct rte_mbuf *m;
	struct rtp_view v;

	CHECK_OR_RETURN(show_open(1, L, 0));
	show_shoot(L, 100, LAYER_KEY);
	show_shoot(L, 102, 0);
	rig_run(0);
	rig_shoot(&sender, (struct rig_shot){.ssrc = L_RTX,
					     .index = 900,
					     .ts = 303000,
					     .pt = RIG_RTX,
					     .mid = "1",
					     .is_rtx = true,
					     .osn = 101,
					     .flags = LAYER_START | LAYER_MARKER,
					     .pid = 101});
	rig_run(0);
	CHECK_EQ(show_state(0, 101, &e, &m), RTXRING_HELD);
	if (m == NULL)
		show_state(0, 100, &e, &m);
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
	show_close();
}

static void useless_repairs_are_ignored(void)
{
	struct rig_shot rtx = {
		.ssrc = L_RTX, .index = 1, .pt = RIG_RTX, .mid = "1", .is_rtx = true, .osn = 100};

	CHECK_OR_RETURN(show_open(1, 0, 0));
	rig_shoot(&sender, rtx); // before any original
	rig_run(0);
	rig_shoot(&sender,
		  (struct rig_shot){.ssrc = L, .index = 100, .mid = "1", .flags = LAYER_KEY | LAYER_START});
	rig_shoot(&sender, (struct rig_shot){.ssrc = L, .index = 103, .flags = LAYER_START});
	rtx.index++;
	rig_shoot(&sender, rtx); // not missing: a probe
	rtx.index++;
	rtx.osn = 60000;
	rig_shoot(&sender, rtx); // never heard of
	rtx.osn = 101;
	for (unsigned cut = 1; cut <= 2; cut++) { // 0 and 1 bytes of payload
		rtx.index++;
		rtx.cut = cut;
		rig_shoot(&sender, rtx);
	}
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_RTX_UNNEEDED), 5);
	CHECK_EQ(rig_counter(CTR_VIDEO_LATE), 0);
	rtx.index++;
	rtx.cut = 0;
	rig_shoot(&sender, rtx);
	rtx.index++;
	rig_shoot(&sender, rtx); // twice
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_RTX_UNNEEDED), 6);
	CHECK(show_is_held(0, 101));
	show_close();
}

static void what_does_not_come_is_given_up(void)
{
	struct rtxring_entry e;
	struct rte_mbuf *m;

	CHECK_OR_RETURN(show_open(1, L, 0));
	show_shoot_run(L, 100, 3);
	show_shoot(L, 105, 0);
	rig_run(0);
	for (unsigned i = 0; i < 30; i++)
		rig_run(20 * MS);
	CHECK_EQ(show_state(0, 103, &e, &m), RTXRING_MISSING);
	for (unsigned i = 0; i < 40; i++)
		rig_run(20 * MS);
	show_listen();
	CHECK(told.n_nack >= 3 && told.n_nack <= 10);
	CHECK(told.n_pli >= 1 && told.n_pli <= 2); // by the receiver, too
	CHECK_EQ(told.pli_ssrc, L);
	CHECK_EQ(show_state(0, 103, &e, &m), RTXRING_FILLER);
	CHECK_EQ(rig_counter(CTR_VIDEO_GIVEN_UP), 2);
	show_shoot(L, 104, 0); // too late now
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_TOO_LATE), 1);
	show_close();
}

static void padding_takes_no_place(void)
{
	struct rtxring_entry e, f;
	struct rte_mbuf *m;

	CHECK_OR_RETURN(show_open(1, L, 0));
	show_shoot_run(L, 100, 2);
	rig_shoot(&sender, (struct rig_shot){.ssrc = L, .index = 102, .is_padding = true});
	show_shoot(L, 103, 0);
	rig_run(0);
	show_state(0, 101, &e, &m);
	show_state(0, 103, &f, &m);
	CHECK_EQ(f.rank[RTXRING_ALL], e.rank[RTXRING_ALL] + 1);
	// Late padding fills a place that was kept.
	show_shoot(L, 105, 0);
	rig_shoot(&sender, (struct rig_shot){.ssrc = L, .index = 104, .is_padding = true});
	rig_run(0);
	CHECK_EQ(show_state(0, 104, &e, &m), RTXRING_FILLER);
	CHECK_EQ(rig_counter(DROP_PADDING_ONLY), 2);
	show_close();
}

static void wide_gaps_are_not_asked_for(void)
{
	struct rtxring_entry e;
	struct rte_mbuf *m;

	CHECK_OR_RETURN(show_open(1, L, 0));
	show_shoot_run(L, 100, 3);
	show_shoot(L, 20000, 0);
	rig_run(0);
	rig_run(21 * MS);
	show_listen();
	CHECK_EQ(told.n_nack, 0);
	CHECK_EQ(told.n_pli, 1);
	CHECK_EQ(show_top(0), 104); // one place is missing, so that receivers notice
	CHECK_EQ(show_state(0, 103, &e, &m), RTXRING_MISSING);
	CHECK_EQ(show_state(0, 104, &e, &m), RTXRING_HELD);
	show_shoot(L, 19999, 0); // before the run
	show_shoot(L, 20001, 0);
	rig_run(0);
	CHECK_EQ(show_top(0), 105);
	CHECK_EQ(rig_counter(DROP_TOO_LATE), 1);
	show_close();
}

static uint32_t dice_state = 4711;

// 0..n-1; the same in each run.
static uint32_t dice(uint32_t n)
{
	dice_state ^= dice_state << 13;
	dice_state ^= dice_state >> 17;
	dice_state ^= dice_state << 5;
	return dice_state % n;
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
	gate.sid = sender.sid;
	for (unsigned i = 0; i < n; i++) {
		index += is_wild && dice(2000) == 0 ? 3000 : 1;
		if (dice(100) < loss)
			;
		else if (dice(20) == 0 && n_late < 64)
			late[n_late++] = index;
		else
			show_shoot(L, index, index % 100 == 0 ? LAYER_KEY : 0);
		if (n_late > 0 && dice(8) == 0)
			show_shoot(L, late[--n_late], 0);
		if (is_wild && dice(gate.enabled ? 1000 : 100) == 0) {
			gate.enabled ^= 1;
			CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
		}
		if (i % 500 == 0) {
			rig_check(&sender);
			rig_check(&watcher);
		}
		rig_run(4 * MS);
		show_listen();
		for (unsigned k = 0; k < told.n_seq && k < 32; k++) {
			uint64_t osn;
			if (!seq64_extend(index, told.seq[k], &osn) || dice(100) < loss)
				continue;
			rig_shoot(&sender, (struct rig_shot){.ssrc = L_RTX,
							     .index = rtx++,
							     .pt = RIG_RTX,
							     .mid = "1",
							     .is_rtx = true,
							     .osn = osn,
							     .ts = (uint32_t)osn * 3000,
							     .flags = LAYER_START | LAYER_MARKER});
		}
		for (uint64_t at = show_top(0) > 100 ? show_top(0) - 100 : 0; at <= show_top(0); at++) {
			if (show_state(0, at, &e, &m) != RTXRING_HELD)
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

	CHECK_OR_RETURN(show_open(1, L, 0));
	chance(10, 3000, false);
	for (uint64_t at = show_top(0) - 900; at < show_top(0) - 200; at++) {
		struct rtxring_entry e;
		struct rte_mbuf *m;
		enum rtxring_state state = show_state(0, at, &e, &m);

		n_missing += state == RTXRING_MISSING || state == RTXRING_FILLER;
	}
	CHECK_EQ(n_missing, 0);
	CHECK(rig_counter(CTR_VIDEO_LATE) > 300);
	show_close();
}

static void whatever_happens_a_place_is_one_packet(void)
{
	CHECK_OR_RETURN(show_open(1, L, 0));
	chance(20, 10000, true);
	CHECK(rig_counter(DROP_MUTED) > 0);
	CHECK(rig_counter(CTR_VIDEO_GIVEN_UP) + rig_counter(CTR_VIDEO_LATE) > 1000);
	show_close();
}

CU_TestInfo intake_tests[] = {
	{"missing packets are asked for until they come", missing_packets_are_asked_for},
	{"repaired packets look like originals", repaired_packets_look_like_originals},
	{"useless repairs are ignored", useless_repairs_are_ignored},
	{"what does not come is given up, and a key frame asked for", what_does_not_come_is_given_up},
	{"padding takes no place", padding_takes_no_place},
	{"wide gaps are not asked for", wide_gaps_are_not_asked_for},
	{"10 percent of loss is repaired", loss_is_repaired},
	{"whatever happens, a place of the ring carries one packet", whatever_happens_a_place_is_one_packet},
	CU_TEST_INFO_NULL,
};
