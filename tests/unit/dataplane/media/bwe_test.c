// From the publisher's packets over the rings to a receiver behind a bottleneck, and back by its feedback: which layer
// it is given, how good the estimate is, how long its queue gets. Time is the test's own, a millisecond a step.
#include "dataplane/media/bwe.h"

#include "dataplane/deliver/viewer.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/rtcp.h"
#include "tests/support/dataplane/bottleneck.h"

#define MS NS_PER_MS

static void wide(void)
{
	CHECK_OR_RETURN(net_open(20e6));
	net_run(3000);
	CHECK_EQ(net_choice()->now, 1);
	CHECK(net.ms_high > 1000);
	net_mark();
	net_run(20000);
	CHECK_EQ(net.n_switches, 0);
	CHECK_EQ(net.n_lost, 0);
	CHECK(net.n_video > 20000 / NET_FRAME_MS * 8);
	net_close();
}

static void just_enough(void)
{
	CHECK_OR_RETURN(net_open(3.3e6));
	net_run(3500);
	CHECK_EQ(net_choice()->now, 1);
	net_mark();
	net_run(60000);
	CHECK(net.n_switches <= 2);
	CHECK(net.ms_high > 50000);
	CHECK(net.max_queue < 300 * MS);
	CHECK_EQ(net.n_voice_lost, 0);
	net_close();
}

static void narrow(double bps, bool must_be_close)
{
	double mean;

	CHECK_OR_RETURN(net_open(bps));
	net_run(10000);
	net_mark();
	net_run(60000);
	mean = net_mean_target() / bps;
	if (must_be_close && (mean < 0.8 || mean > 1.2))
		check_note(__FILE__, __LINE__, "estimate %.2f of %.0f", mean, bps);
	CHECK(!must_be_close || (mean >= 0.8 && mean <= 1.2));
	CHECK(net.max_queue < 200 * MS);
	CHECK(net.n_switches <= 2);
	CHECK_EQ(net_choice()->now, 0);
	CHECK_EQ(net.n_lost, 0);
	CHECK(net.n_voice >= net.n_said - 2);
	net_close();
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

	CHECK_OR_RETURN(net_open(4e6));
	net_run(10000);
	CHECK_EQ(net_choice()->now, 1);
	net.bps = 400e3; // not even the low layer
	for (ms = 0; net_estimate()->target > 480000 && ms < 10000; ms++)
		net_run(1);
	CHECK(ms < 2000);
	net_run(15000);
	net_mark();
	net_run(20000);
	CHECK(net.max_queue < 600 * MS);
	CHECK(net.n_voice >= net.n_said - 5);
	net.bps = 4e6;
	for (ms = 0; net_choice()->now != 1 && ms < 120000; ms++)
		net_run(1);
	CHECK(ms < 60000);
	net_close();
}

static void deaf(void)
{
	uint32_t before;

	CHECK_OR_RETURN(net_open(20e6));
	net_run(5000);
	CHECK_EQ(net_choice()->now, 1);
	before = net_estimate()->target;
	net.is_deaf = true;
	net_run(10000);
	CHECK(net_estimate()->target < before / 2);
	CHECK(net_choice()->now <= 0);
	net.is_deaf = false;
	net_run(40000);
	CHECK_EQ(net_choice()->now, 1);
	net_close();
}

// The host is overloaded, stage by stage; and back.
static void overloaded(void)
{
	struct overload *o;

	CHECK_OR_RETURN(net_open(20e6));
	o = &rig.dp->worker[0]->overload;
	net_run(5000);
	CHECK_EQ(net_choice()->now, 1);
	o->stage = OVERLOAD_CAMERAS;
	net_run(1000);
	CHECK_EQ(net_choice()->now, 1); // a screen
	o->stage = OVERLOAD_SCREENS;
	net_run(2000);
	CHECK_EQ(net_choice()->now, 0);
	o->stage = OVERLOAD_VIDEO;
	net_run(200);
	CHECK(net_choice()->is_paused);
	net_mark();
	net_run(2000);
	CHECK_EQ(net.n_video, 0);
	CHECK_EQ(net.n_voice, net.n_said);
	CHECK(rig_counter(CTR_VIDEO_PAUSED) > 0);
	o->stage = OVERLOAD_NONE;
	net_run(20000);
	CHECK_EQ(net_choice()->now, 1);
	net_close();
}

// Another network: what the old one carried means nothing.
static void other_path(void)
{
	unsigned ms;

	CHECK_OR_RETURN(net_open(20e6));
	net_run(5000);
	CHECK(net_estimate()->target > 2500000);
	net.to.port += 100;
	rig_check(&net.to);
	for (ms = 0; net_estimate()->target > GCC_START_BPS && ms < 2500; ms++)
		net_run(1);
	CHECK(ms < 2500); // before the estimate falls for want of feedback
	net_run(20000);
	CHECK_EQ(net_choice()->now, 1);
	net_close();
}

// Neither feedback nor probes: loss in report blocks, and REMB.
static void by_reports(void)
{
	struct ipc_session_extmap ext = {.id = {[EXT_LEVEL] = 1, [EXT_MID] = 4}};
	struct ipc_leg_ref old = {.leg = 5};
	uint8_t bytes[64];
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));

	CHECK_OR_RETURN(net_open(20e6));
	ext.sid = old.sid = net.to.sid;
	CHECK_EQ(rig_cmd(&ext, CMD_SESSION_EXTMAP), 0);
	CHECK_EQ(net_watch(6, 1, NET_VIDEO_SSRC + 10, 1), 0); // with a header of its own
	CHECK_EQ(rig_cmd(&old, CMD_LEG_DEL), 0);
	net.video_ssrc = NET_VIDEO_SSRC + 10;
	net_run(10000);
	CHECK(net_estimate()->target > 800000); // 8 % per second
	CHECK_EQ(net_estimate()->n_probes, 0);
	net_run(30000);
	CHECK_EQ(net_choice()->now, 1);
	peer_write_remb(&w, 1, 700000, net.video_ssrc);
	net_answer(bytes, wbuf_len(&w));
	net_run(8000);
	CHECK(net_estimate()->target <= 700000 && net_estimate()->target > 690000);
	CHECK_EQ(net_choice()->now, 0);
	net_close();
}

// Begins with what there is, and goes down where that is lost.
static void by_reports_from_the_best(void)
{
	struct ipc_session_extmap ext = {.id = {[EXT_LEVEL] = 1, [EXT_MID] = 4}};

	CHECK_OR_RETURN(net_open(20e6));
	ext.sid = net.to.sid;
	CHECK_EQ(rig_cmd(&ext, CMD_SESSION_EXTMAP), 0);
	net_run(6000);
	CHECK_EQ(net_choice()->now, 1);
	CHECK(net_estimate()->target > 2750000);
	CHECK_EQ(rig_counter(CTR_VIDEO_PAUSED), 0);
	net_close();
}

static void layer_ends(void)
{
	CHECK_OR_RETURN(net_open(20e6));
	net_run(5000);
	CHECK_EQ(net_choice()->now, 1);
	sharer.is_off[1] = true;
	net_run(3500);
	CHECK_EQ(net_choice()->now, 0);
	net_mark();
	net_run(1000);
	CHECK(net.n_video > 20);
	net_close();
}

// CMD_QUERY: one answer per video leg, the session's last.
static void asked(void)
{
	struct ipc_session_ref ref = {};
	union ipc_msg ev;
	struct note note;
	unsigned n_legs = 0, n_sessions = 0;

	CHECK_OR_RETURN(net_open(20e6));
	net_run(5000);
	while (note_take(rig.dp->worker[0], &note))
		(void)model_note(rig.model, &note, &ev); // its path
	ref.sid = net.to.sid;
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
			CHECK_EQ(ev.leg_state.src_sid, net.from.sid);
			CHECK_EQ(ev.leg_state.src_track, 1);
			CHECK(ev.leg_state.sent_bps > 1500000 && ev.leg_state.sent_bps < 3500000);
			CHECK(ev.leg_state.layer_bps[1] > 2000000 && ev.leg_state.layer_bps[1] < 3200000);
		} else if (ev.hdr.type == EVT_SESSION_STATE) {
			n_sessions++;
			CHECK_EQ(ev.hdr.seq, rig.seq);
			CHECK_EQ(ev.session_state.estimate_bps, net_estimate()->target);
			CHECK(ev.session_state.rtt_us > 20000 && ev.session_state.rtt_us < 80000);
			CHECK(ev.session_state.n_probes > 0);
			CHECK_EQ(ev.session_state.remote.port, net.to.port);
		}
	}
	CHECK_EQ(n_legs, 1);
	CHECK_EQ(n_sessions, 1);
	ref.sid = net.from.sid; // receives no video
	CHECK_EQ(rig_cmd(&ref, CMD_QUERY), 0);
	rig_run(0);
	CHECK(note_take(rig.dp->worker[0], &note));
	CHECK(model_note(rig.model, &note, &ev) > 0);
	CHECK_EQ(ev.hdr.type, EVT_SESSION_STATE);
	CHECK_EQ(ev.session_state.estimate_bps, 0);
	ref.sid = 0x01000030;
	CHECK_EQ(rig_cmd(&ref, CMD_QUERY), -ENOENT);
	net_close();
}

// Feedback about nothing, REMB of every size, NACK and PLI for others: counted, and the show goes on.
static void hostile(void)
{
	uint8_t bytes[1200];
	struct wbuf w;

	CHECK_OR_RETURN(net_open(20e6));
	net_run(5000);
	for (unsigned i = 0; i < 100; i++) {
		uint16_t seq[40];

		for (unsigned k = 0; k < ARRAY_LEN(seq); k++)
			seq[k] = (uint16_t)(i * 1000 + k * 20);
		w = wbuf_of(bytes, sizeof(bytes));
		rtcp_write_nack(&w, 1, i % 2 ? NET_VIDEO_SSRC : 0xdead, seq, ARRAY_LEN(seq));
		rtcp_write_pli(&w, 1, i % 2 ? NET_VIDEO_SSRC : NET_VOICE_SSRC);
		rtcp_write_fir(&w, 1, 0xbeef, (uint8_t)i);
		peer_write_remb(&w, 1, i % 2 ? UINT64_MAX : 1, NET_VIDEO_SSRC);
		net_answer(bytes, wbuf_len(&w));
		net_run(10);
	}
	CHECK(rig_counter(CTR_RTCP_UNKNOWN) >= 150);
	CHECK(rig_counter(CTR_RTCP_REMB_RX) >= 90);
	CHECK(net_estimate()->target > 2500000); // its transport-wide feedback counts, not what REMB claims
	CHECK_EQ(net_choice()->now, 1);
	net_mark();
	net_run(2000);
	CHECK(net.n_video > 300);
	net_close();
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
	{"by reports a receiver begins with the best there is", by_reports_from_the_best},
	{"a layer that ends is left for the other", layer_ends},
	{"a query is answered leg by leg, the session last", asked},
	{"feedback that is absurd or not ours changes nothing", hostile},
	CU_TEST_INFO_NULL,
};
