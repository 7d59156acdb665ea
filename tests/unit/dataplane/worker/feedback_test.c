// RTCP in both directions, with a clock of the test's own.
#include "lib/base/rand.h"
#include "lib/rtc/wire/rtcp.h"
#include "lib/rtc/recv/stats.h"
#include "lib/rtc/wire/twcc.h"
#include "tests/support/dataplane/rig_peer.h"
#include "tests/support/rtcp_peer.h"

// --- what a peer got --------------------------------------------------------------------------------------

struct got {
	unsigned n_compounds, n_sr, n_rr, n_sdes, n_twcc, n_twcc_received, n_twcc_lost;
	uint32_t last_index;
	bool index_went_back;
	struct rtcp_sr sr; // last of the SSRC asked for
	ns_t sr_at;
	struct rtcp_block block;
	char cname[64];
};

static void take_packet(struct got *g, const struct rtcp_pkt *pkt, uint32_t ssrc)
{
	struct rtcp_sr sr;
	struct rtcp_fb fb;
	struct twcc_fb twcc;
	struct twcc_status status;
	struct str cname;
	uint32_t from;

	if (pkt->pt == RTCP_SR && rtcp_sr_read(pkt, &sr) == 0 && sr.ssrc == ssrc) {
		g->sr = sr;
		g->n_sr++;
	} else if (pkt->pt == RTCP_RR) {
		g->n_rr += rtcp_block_read(pkt, 0, &g->block) == 0;
	} else if (pkt->pt == RTCP_SDES && peer_read_sdes(pkt, &from, &cname) == 0) {
		g->n_sdes++;
		str_copy(cname, g->cname, sizeof(g->cname));
	} else if (pkt->pt == RTCP_RTPFB && pkt->count == RTPFB_TWCC && rtcp_fb_read(pkt, &fb) == 0) {
		CHECK_EQ(twcc_fb_begin(&twcc, &fb), 0);
		g->n_twcc++;
		while (twcc_fb_next(&twcc, &status)) {
			g->n_twcc_received += status.is_received;
			g->n_twcc_lost += !status.is_received;
		}
	}
}

// Open and read all SRTCP sent to the peer since the last call, then forget everything that was sent.
static void collect(const struct rig_peer *p, uint32_t ssrc, struct got *g)
{
	for (unsigned i = 0; i < rig.n_sent; i++) {
		struct rig_out *o = &rig.sent[i];
		struct rtcp_iter it;
		struct rtcp_pkt pkt;
		uint32_t index;

		if (o->to.remote_port != p->port || o->len < 8 || o->data[0] >> 6 != 2 || o->data[1] < 192 ||
		    o->data[1] > 223)
			continue;
		int len = seal_rtcp_unprotect(rig.seal, p->rx, o->data, o->len, &index);
		CHECK_OR_RETURN(len > 0);
		g->index_went_back |= g->n_compounds > 0 && index <= g->last_index;
		g->last_index = index;
		g->n_compounds++;
		rtcp_begin(&it, o->data, (size_t)len);
		while (rtcp_next(&it, &pkt))
			take_packet(g, &pkt, ssrc);
		CHECK(!it.bad);
	}
	rig.n_sent = 0;
}

static void send_rtcp(struct rig_peer *p, const uint8_t *plain, size_t len, uint32_t index)
{
	uint8_t pkt[1500];
	int sealed;

	memcpy(pkt, plain, len);
	sealed = seal_rtcp_protect(rig.seal, p->tx, pkt, len, sizeof(pkt), index);
	CHECK_OR_RETURN(sealed > 0);
	rig_receive(p, pkt, (size_t)sealed);
}

static uint64_t ntp_now(void)
{
	return clock_ntp(rig.dp->wall_offset + rig.now);
}

// Both keep their consent while the test's time flies.
static void keep_alive(const struct rig_peer *a, const struct rig_peer *b)
{
	rig_check(a);
	rig_check(b);
}

static bool join_two(struct rig_peer *a, struct rig_peer *b)
{
	if (!rig_open(1))
		return false;
	rig_join(a, 0, SEAL_AEAD_AES_128_GCM);
	rig_join(b, 1, SEAL_AES128_CM_SHA1_80);
	return rig_leg(b, 0, a, 77) == 0;
}

static void leave_two(struct rig_peer *a, struct rig_peer *b)
{
	rig_leave(a);
	rig_leave(b);
	rig_close();
}

// --- sender reports ----------------------------------------------------------------------------------------

// Difference between the report's mapping and the truth, in ms, at the report's own time.
static int64_t sr_error_ms(const struct got *g, ns_t t0, uint32_t ts0)
{
	int64_t at = ntp_diff_ns(g->sr.ntp, clock_ntp(rig.dp->wall_offset + t0)); // ns since t0
	int64_t truth = at / 1000 * 48 / 1000;                                    // ticks

	return ((int32_t)(g->sr.rtp - ts0) - truth) / 48;
}

static void lip_sync(void)
{
	struct rig_peer a, b;
	struct got g = {};
	int64_t worst = 0, skew = 12345678; // ms between the publisher's wall clock and ours
	ns_t t0;
	uint32_t ts0;
	uint32_t rtcp_index = 1;

	CHECK_OR_RETURN(join_two(&a, &b));
	t0 = rig.now;
	ts0 = a.ts;
	for (unsigned i = 0; i < 50 * 600; i++) { // 10 minutes
		rig_say(&a);
		if (i % 50 == 10) { // an SR of this instant, delayed by up to 80 ms in the network
			uint8_t bytes[64];
			struct wbuf w = wbuf_of(bytes, sizeof(bytes));
			ns_t delay = (ns_t)(rand_u32() % 80) * NS_PER_MS;
			struct rtcp_sr sr = {
				.ssrc = a.ssrc,
				.rtp = a.ts - 960,
				.ntp = clock_ntp(rig.dp->wall_offset + rig.now + skew * NS_PER_MS - delay)};
			sr.rtp -= (uint32_t)(delay / NS_PER_MS * 48);
			rtcp_write_sr(&w, &sr, NULL, 0);
			send_rtcp(&a, bytes, wbuf_len(&w), rtcp_index++);
		}
		if (i % 100 == 0)
			keep_alive(&a, &b);
		rig_run(20 * NS_PER_MS);
		unsigned before = g.n_sr;
		collect(&b, 77, &g);
		if (i > 50 * 60 && g.n_sr > before) { // after the minimum over 30 s has settled
			int64_t e = sr_error_ms(&g, t0, ts0);
			worst = RTE_MAX(worst, e < 0 ? -e : e);
		}
	}
	CHECK(g.n_sr > 400 && g.n_sr < 1300);
	if (worst > 45)
		check_note(__FILE__, __LINE__, "worst error %lld ms", (long long)worst);
	CHECK(worst <= 45); // 20 ms of the round, 3 to 20 ms of the fastest of 30 reports
	CHECK(!g.index_went_back);
	CHECK(g.n_sdes > 50);
	CHECK_STR(g.cname, "rig1");
	CHECK(g.sr.n_packets > 29000 && g.sr.n_packets <= 30000);
	leave_two(&a, &b);
}

static void no_publisher_sr(void)
{
	struct rig_peer a, b;
	struct got g = {};
	unsigned at_2s = 0;

	CHECK_OR_RETURN(join_two(&a, &b));
	for (unsigned i = 0; i < 500; i++) {
		rig_say(&a);
		rig_run(20 * NS_PER_MS);
		if (i % 100 == 0)
			keep_alive(&a, &b);
		collect(&b, 77, &g);
		if (i == 98)
			at_2s = g.n_sr;
	}
	CHECK_EQ(at_2s, 0);
	CHECK(g.n_sr >= 4);
	CHECK((uint32_t)(a.ts - g.sr.rtp) < 48000 * 3 / 2);
	for (unsigned i = 0; i < 250; i++) { // silence: reports stop
		rig_run(20 * NS_PER_MS);
		if (i % 100 == 0)
			keep_alive(&a, &b);
	}
	collect(&b, 77, &g);
	memset(&g, 0, sizeof(g));
	for (unsigned i = 0; i < 250; i++)
		rig_run(20 * NS_PER_MS);
	collect(&b, 77, &g);
	CHECK_EQ(g.n_compounds, 0);
	leave_two(&a, &b);
}

// --- towards publishers -------------------------------------------------------------------------------------

static void receiver_reports(void)
{
	struct rig_peer a, b;
	struct got g = {};

	CHECK_OR_RETURN(join_two(&a, &b));
	for (unsigned i = 0; i < 500; i++) {
		if (i % 10 == 9)
			a.index++; // every tenth is lost
		rig_say(&a);
		rig_run(20 * NS_PER_MS);
		if (i % 100 == 0)
			keep_alive(&a, &b);
	}
	collect(&a, 0, &g);
	CHECK(g.n_rr >= 6 && g.n_rr <= 21);
	CHECK_EQ(g.block.ssrc, a.ssrc);
	CHECK(g.block.fraction >= 15 && g.block.fraction <= 35); // of 256: 1 in 11
	CHECK(g.block.lost >= 30 && g.block.lost <= 50);
	leave_two(&a, &b);
}

static void transport_feedback(void)
{
	struct rig_peer a, b;
	struct got g = {};
	struct ipc_track_gate gate = {};

	CHECK_OR_RETURN(join_two(&a, &b));
	gate.sid = a.sid;
	for (unsigned i = 0; i < 200; i++) {
		if (i == 50)
			CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0); // muted packets count
		if (i == 100)
			a.ssrc = 0x9001; // and those of an SSRC nobody knows
		rig_say(&a);
		rig_run(20 * NS_PER_MS);
		if (i % 100 == 0)
			keep_alive(&a, &b);
	}
	rig_run(200 * NS_PER_MS);
	collect(&a, 0, &g);
	CHECK(g.n_twcc >= 30 && g.n_twcc <= 45);
	CHECK_EQ(g.n_twcc_lost, 0);
	CHECK_EQ(g.n_twcc_received, 156); // the numbers of the test have 8 bits: 100..255, then duplicates
	leave_two(&a, &b);
}

// --- bad input ------------------------------------------------------------------------------------------------

static void bad_compounds(void)
{
	struct rig_peer a, b;
	uint8_t bytes[1200];
	uint64_t in;

	CHECK_OR_RETURN(join_two(&a, &b));
	rig_say(&a);
	rig_run(0);
	rand_seed(7);
	for (uint32_t i = 0; i < 2000; i++) {
		size_t len = 8 + 4 * (rand_u32() % 60);
		rand_bytes(bytes, len);
		bytes[0] = (uint8_t)(0x80 | (bytes[0] & 0x3f));
		bytes[1] = (uint8_t)(200 + bytes[1] % 8);
		be32_put(bytes + 4, 1);
		send_rtcp(&b, bytes, len, i + 1);
		rig_run(20 * NS_PER_MS);
		if (i % 100 == 0)
			keep_alive(&a, &b);
	}
	rand_seed(0);
	CHECK_EQ(rig_counter(CTR_RTCP_RX_PACKETS), 2000);
	CHECK(rig_counter(DROP_BAD_RTCP) > 1000); // walks that ended early
	in = rig_counter(CTR_RTCP_RX_PACKETS);
	send_rtcp(&b, bytes, 8, 2000); // an index that was there
	send_rtcp(&b, bytes, 8, 500);  // and one that is too old
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_REPLAY_RTCP), 2);
	CHECK_EQ(rig_counter(CTR_RTCP_RX_PACKETS), in);
	rig_run(2 * NS_PER_S);
	for (uint32_t i = 0; i < 250; i++) { // at once, where a second has room for 200
		send_rtcp(&b, bytes, 8, 3000 + i);
		rig_run(0);
	}
	CHECK_EQ(rig_counter(DROP_RTCP_RATE), 50);
	CHECK_EQ(rig_counter(CTR_RTCP_RX_PACKETS), in + 200);
	rig_say(&a); // the call goes on
	rig_run(0);
	CHECK(rig_n_heard(&b, 77) > 0);
	leave_two(&a, &b);
}

static void round_trip(void)
{
	struct rig_peer a, b;
	uint8_t bytes[64];
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));
	struct rtcp_block block = {.ssrc = 77};
	struct session *s;

	CHECK_OR_RETURN(join_two(&a, &b));
	rig_say(&a);
	rig_run(0);
	s = rig.dp->session[1];
	rtcp_write_rr(&w, 1, &block, 1); // LSR 0: nothing to learn
	send_rtcp(&b, bytes, wbuf_len(&w), 1);
	rig_run(0);
	CHECK_EQ(s->rtt.smooth_ns, 0);
	block.lsr = (uint32_t)(ntp_now() >> 16);
	block.fraction = 25;
	rig_run(100 * NS_PER_MS);
	w = wbuf_of(bytes, sizeof(bytes));
	rtcp_write_rr(&w, 1, &block, 1);
	send_rtcp(&b, bytes, wbuf_len(&w), 2);
	rig_run(0);
	CHECK(s->rtt.smooth_ns > 99 * NS_PER_MS && s->rtt.smooth_ns < 101 * NS_PER_MS);
	CHECK_EQ(s->legs->lost_fraction, 25);
	leave_two(&a, &b);
}

CU_TestInfo feedback_tests[] = {
	{"sender reports keep the publisher's clock over 10 minutes with 80 ms of jitter", lip_sync},
	{"without a publisher's report none for 2 s, then one by arrival; none in silence",
	 no_publisher_sr},
	{"receiver reports show what was lost", receiver_reports},
	{"transport feedback covers muted packets and unknown SSRCs", transport_feedback},
	{"2000 random compounds with right tags end safely, replays are dropped", bad_compounds},
	{"round trip from a report block, none without a report of ours", round_trip},
	CU_TEST_INFO_NULL,
};
