// From a client's packet to its receivers, in memory, with one and with two workers.
#include "tests/support/dataplane/rig_peer.h"

static const enum seal_profile profiles[] = {SEAL_AEAD_AES_128_GCM, SEAL_AEAD_AES_256_GCM,
					     SEAL_AES128_CM_SHA1_80};

static void forward_with(unsigned workers)
{
	struct rig_peer a, b, c;
	struct rtp_view v, first = {};
	const uint8_t *p;

	for (unsigned k = 0; k < 3; k++) {
		CHECK_OR_RETURN(rig_open(workers));
		rig_join(&a, 0, profiles[k]);
		rig_join(&b, 1, profiles[(k + 1) % 3]);
		rig_join(&c, 2, profiles[(k + 2) % 3]);
		CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
		CHECK_EQ(rig_leg(&c, 0, &a, 78), 0);
		for (unsigned i = 0; i < 50; i++) {
			rig_say(&a);
			rig_run(20 * NS_PER_MS);
			p = rig_heard(&b, 77, &v);
			CHECK_OR_RETURN(p != NULL);
			if (i == 0)
				first = v;
			CHECK_EQ(v.seq, first.seq + i);
			CHECK_EQ(v.ts, i * 960);
			CHECK_EQ(v.pt, 96);
			CHECK_EQ(be64_get(p + v.hdr_len), a.index - 1);
			CHECK_EQ(rig_n_heard(&c, 78), i + 1);
		}
		CHECK(first.seq >= 1 && first.seq <= 0x7fff);
		CHECK_EQ(rig_n_heard(&a, 77) + rig_n_heard(&a, 78), 0);
		CHECK_EQ(workers > 1, rig_counter(CTR_FANOUT_NOTICES) > 0);
		rig_leave(&a);
		rig_leave(&b);
		rig_leave(&c);
		rig_close();
	}
}

static void one_worker(void)
{
	forward_with(1);
}

static void two_workers(void)
{
	forward_with(2);
}

// The client's packets arrive at the worker that is not its home.
static void wrong_queue(void)
{
	struct rig_peer a, b;

	CHECK_OR_RETURN(rig_open(2));
	rig_add(&a, 0, profiles[0]);
	a.queue = 1; // sessions are placed alternately: the first is at home on worker 0
	rig_check(&a);
	rig_run(0);
	rig_keys(&a);
	rig_track(&a, 0, "0", a.ssrc);
	rig_join(&b, 1, profiles[0]);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	for (unsigned i = 0; i < 10; i++) {
		rig_say(&a);
		rig_run(20 * NS_PER_MS);
	}
	CHECK_EQ(rig_n_heard(&b, 77), 10);
	CHECK(rig_counter(CTR_HANDOFF_PACKETS) >= 11);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

static void burst_size(void)
{
	struct rig_peer a, b, c;
	uint64_t before;

	CHECK_OR_RETURN(rig_open(1));
	CHECK_EQ(rig.dp->tx_burst, rig.conf.dataplane.tx_burst);
	rig_join(&a, 0, profiles[0]);
	rig_join(&b, 1, profiles[0]);
	rig_join(&c, 2, profiles[0]);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	CHECK_EQ(rig_leg(&c, 0, &a, 78), 0);
	rig_run(0);
	for (uint16_t burst = 1; burst <= 2; burst++) {
		rig.dp->tx_burst = burst;
		before = rig_counter(CTR_TX_BURSTS);
		rig_say(&a);
		rig_run(0);
		CHECK_EQ(rig_counter(CTR_TX_BURSTS) - before, 2 / burst);
	}
	rig_leave(&a);
	rig_leave(&b);
	rig_leave(&c);
	rig_close();
}

static void loss_and_order(void)
{
	struct rig_peer a, b;
	struct rtp_view v;
	uint16_t start;

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, profiles[0]);
	rig_join(&b, 1, profiles[0]);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	rig_say(&a);
	rig_run(0);
	CHECK_OR_RETURN(rig_heard(&b, 77, &v) != NULL);
	start = v.seq;
	a.index += 3; // three are lost
	rig_say(&a);
	rig_run(0);
	CHECK(rig_heard(&b, 77, &v) && v.seq == start + 4);
	a.index -= 3; // one of them comes late
	rig_say(&a);
	rig_run(0);
	CHECK(rig_heard(&b, 77, &v) && v.seq == start + 2);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

static void padding(void)
{
	struct rig_peer a, b;
	struct rtp_view v;
	uint16_t start;

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, profiles[0]);
	rig_join(&b, 1, profiles[0]);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	rig_say(&a);
	rig_run(0);
	CHECK_OR_RETURN(rig_heard(&b, 77, &v) != NULL);
	start = v.seq;
	rig_say_as(&a, (struct rig_voice){.pt = RIG_PT, .payload = 20, .pad = true, .pad_len = 20});
	rig_say_as(&a, (struct rig_voice){.pt = RIG_PT, .payload = 20, .pad = true, .pad_len = 0});
	rig_say_as(&a, (struct rig_voice){.pt = RIG_PT, .payload = 20, .pad = true, .pad_len = 21});
	rig_run(0);
	CHECK_EQ(rig_n_heard(&b, 77), 1);
	CHECK_EQ(rig_counter(DROP_PADDING_ONLY), 1);
	CHECK_EQ(rig_counter(DROP_BAD_PADDING), 2);
	rig_say_as(&a, (struct rig_voice){.pt = RIG_PT, .payload = 40, .pad = true, .pad_len = 30});
	rig_run(0);
	CHECK(rig_heard(&b, 77, &v) && v.payload_len == 10 && !v.has_pad);
	CHECK_EQ((uint16_t)(v.seq - start),
		 3); // the padding-only one took no number, the two bad ones look lost
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

static void binding(void)
{
	struct rig_peer a, b;

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, profiles[0]); // track 0 lists its SSRC
	rig_join(&b, 1, profiles[0]);
	rig_track(&a, 1, "one", 0);
	rig_track(&a, 2, "two", 0);
	for (uint16_t t = 0; t < 3; t++) {
		struct ipc_leg_add add = {.sid = b.sid,
					  .leg = t,
					  .pt = 96,
					  .src_sid = a.sid,
					  .src_track = t,
					  .codec = CODEC_OPUS,
					  .ssrc = 70u + t,
					  .clock_hz = 48000};
		CHECK_EQ(rig_cmd(&add, CMD_LEG_ADD), 0);
	}
	rig_say(&a);
	a.ssrc = 0x9001;
	rig_say_as(&a, (struct rig_voice){.pt = RIG_PT, .payload = 20, .mid = "two"});
	rig_say(&a); // later packets of the SSRC need no MID
	a.ssrc = 0x9002;
	rig_say(&a); // no MID, and two tracks have this payload type
	rig_say_as(&a, (struct rig_voice){.pt = RIG_PT, .payload = 20, .mid = "nix"});
	a.ssrc = 0x1000;
	rig_say_as(&a, (struct rig_voice){.pt = 50, .payload = 20});
	rig_run(0);
	CHECK_EQ(rig_n_heard(&b, 70), 1);
	CHECK_EQ(rig_n_heard(&b, 71), 0);
	CHECK_EQ(rig_n_heard(&b, 72), 2);
	CHECK_EQ(rig_counter(DROP_NO_TRACK), 0); // they wait for a track, but not for ever
	rig_run(2 * NS_PER_S);
	CHECK_EQ(rig_counter(DROP_NO_TRACK), 2);
	CHECK_EQ(rig_counter(DROP_BAD_PT), 1);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

// A second SSRC of the same track: never two at once, and never a number twice.
static void take_over(void)
{
	struct rig_peer a, b;
	struct rtp_view v, w;

	CHECK_OR_RETURN(rig_open(1));
	rig_add(&a, 0, profiles[0]);
	rig_check(&a);
	rig_run(0);
	rig_keys(&a);
	rig_track(&a, 0, "0", 0);
	rig_join(&b, 1, profiles[0]);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	rig_say(&a);
	rig_run(20 * NS_PER_MS);
	CHECK_OR_RETURN(rig_heard(&b, 77, &v) != NULL);
	a.ssrc = 0x9001; // a new one takes over at once, as after a page was reloaded
	a.index = 40000;
	a.ts = 123456789;
	rig_say(&a);
	rig_run(20 * NS_PER_MS);
	CHECK(rig_heard(&b, 77, &w) && w.seq == v.seq + 1 && w.marker);
	CHECK_EQ(w.ts - v.ts, 960);
	a.ssrc = 0x1000; // the old one goes on: not while the new one speaks
	a.index = 101;
	rig_say(&a);
	rig_run(20 * NS_PER_MS);
	CHECK_EQ(rig_n_heard(&b, 77), 2);
	rig_run(600 * NS_PER_MS);
	rig_say(&a);
	rig_run(0);
	CHECK(rig_heard(&b, 77, &w) && w.seq == v.seq + 2);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

static void mute(void)
{
	struct rig_peer a, b;
	struct rtp_view v, w;
	struct ipc_track_gate gate = {};

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, profiles[0]);
	rig_join(&b, 1, profiles[0]);
	gate.sid = a.sid;
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	rig_say(&a);
	rig_run(0);
	CHECK_OR_RETURN(rig_heard(&b, 77, &v) != NULL);
	CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
	for (unsigned i = 0; i < 3000; i++) { // 60 s
		rig_say(&a);
		rig_run(20 * NS_PER_MS);
		if (i % 100 == 0)
			rig_check(&a), rig_check(&b);
	}
	CHECK_EQ(rig_n_heard(&b, 77), 1);
	CHECK_EQ(rig_counter(DROP_MUTED), 3000);
	gate.enabled = 1;
	CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
	rig_say(&a);
	rig_run(20 * NS_PER_MS);
	CHECK(rig_heard(&b, 77, &w) && w.seq == v.seq + 1 && w.marker);
	CHECK(w.ts - v.ts >= 59980u * 48 && w.ts - v.ts <= 60040u * 48);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

static void late_joiner(void)
{
	struct rig_peer a, b;
	struct rtp_view v;

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, profiles[2]);
	a.index = 65500;
	for (unsigned wraps = 0; wraps < 3; wraps++) {
		for (unsigned i = 0; i < 20; i++) {
			rig_say(&a);
			rig_run(0);
			a.index += 3000;
		}
	}
	rig_join(&b, 1, profiles[0]);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	rig_say(&a);
	rig_run(0);
	CHECK(rig_heard(&b, 77, &v) != NULL); // opens at ROC 0
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

static void gone(void)
{
	struct rig_peer a, b;
	struct ipc_session_ref ref = {};
	struct ipc_leg_ref leg = {};

	CHECK_OR_RETURN(rig_open(2));
	rig_join(&a, 0, profiles[0]);
	rig_join(&b, 1, profiles[0]);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	rig_say(&a);
	rig_run(0);
	leg.sid = b.sid;
	CHECK_EQ(rig_cmd(&leg, CMD_LEG_DEL), 0);
	CHECK_EQ(rig_cmd(&leg, CMD_LEG_DEL), -ENOENT);
	CHECK_EQ(rig_leg(&b, 1, &a, 77), -EEXIST); // the SSRC was used under this key
	CHECK_EQ(rig_leg(&b, 1, &a, 79), 0);
	rig_say(&a);
	rig_run(0);
	CHECK_EQ(rig_n_heard(&b, 77), 1);
	CHECK_EQ(rig_n_heard(&b, 79), 1);
	ref.sid = a.sid;
	CHECK_EQ(rig_cmd(&ref, CMD_SESSION_DEL), 0);
	leg.leg = 1;
	CHECK_EQ(rig_cmd(&leg, CMD_LEG_DEL), -ENOENT);
	rig_say(&a);
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_NO_FLOW), 1);
	for (unsigned i = 0; i < 5; i++)
		rig_run(NS_PER_MS);
	CHECK(!model_flush(rig.model)); // nothing waits any more
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

static void index_end(void)
{
	struct rig_peer a, b;
	struct leg *leg;

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig_join(&b, 1, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	rig_say(&a);
	rig_run(0);
	leg = rig.dp->session[1]->legs;
	leg->base = (UINT64_C(1) << 48) - 1 - leg->source->next_rank; // one number is left
	rig.n_sent = 0;
	for (unsigned i = 0; i < 3; i++) {
		rig_say(&a);
		rig_run(20 * NS_PER_MS);
	}
	CHECK_EQ(rig_n_heard(&b, 77), 1);
	CHECK_EQ(rig_counter(DROP_SEAL_ERROR), 2);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

// On 09e1aeb each packet was forwarded to everybody, however many there were.
static void voice_rate(void)
{
	struct rig_peer a, b;
	unsigned n_before;

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig_join(&b, 1, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	for (unsigned i = 0; i < 1000; i++) { // 1 s of Opus in frames of 2.5 ms, and of 10 and 20 ms after it
		rig_say(&a);
		rig_run(i < 400 ? 5 * NS_PER_MS / 2 : i < 500 ? 10 * NS_PER_MS : 20 * NS_PER_MS);
	}
	CHECK_EQ(rig_counter(DROP_VOICE_RATE), 0);
	for (unsigned i = 0; i < 150; i++) { // what a stall of 1.5 s at 10 ms has held up
		rig_say(&a);
		if (i % 30 == 29)
			rig_run(0);
	}
	CHECK_EQ(rig_counter(DROP_VOICE_RATE), 0);
	rig_run(NS_PER_S);
	n_before = rig.n_sent;
	for (unsigned i = 0; i < 5000; i++) { // 1 s of 5000 packets a second
		rig_say(&a);
		if (i % 10 == 9)
			rig_run(2 * NS_PER_MS);
	}
	CHECK(rig.n_sent - n_before >= 590 && rig.n_sent - n_before <= 620);
	CHECK(rig_counter(DROP_VOICE_RATE) >= 4380);
	rig_run(NS_PER_S);
	n_before = rig.n_sent;
	for (unsigned i = 0; i < 500; i++) { // 1 s of 500 packets of 1000 bytes
		rig_say_as(&a, (struct rig_voice){.pt = RIG_PT, .payload = 1000});
		rig_run(2 * NS_PER_MS);
	}
	CHECK(rig.n_sent - n_before >= 170 && rig.n_sent - n_before <= 210);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

CU_TestInfo forward_tests[] = {
	{"a voice is forwarded at the rate of a voice, whatever its publisher sends", voice_rate},
	{"a port is given bursts of the configured size", burst_size},
	{"all profiles, one worker: numbers, timestamps, payload and type are right", one_worker},
	{"receivers on two workers get every packet in order", two_workers},
	{"packets that arrive at another worker reach the session's home", wrong_queue},
	{"losses leave a gap that a late packet fills", loss_and_order},
	{"padding is cut off, padding alone takes no number, bad counts are dropped", padding},
	{"an SSRC is bound by the listed one, by MID, or not at all", binding},
	{"one SSRC at a time feeds a track, and numbers go on", take_over},
	{"60 s of mute: sequence contiguous, timestamps 60 s on, marker set", mute},
	{"a late joiner opens a source that wrapped three times", late_joiner},
	{"what is deleted is not sent any more, and its memory comes back", gone},
	{"at 2^48 packets of a leg sending ends: no nonce comes again", index_end},
	CU_TEST_INFO_NULL,
};
