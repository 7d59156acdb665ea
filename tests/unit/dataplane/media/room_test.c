// Large calls: who is heard when more microphones are open than speakers are chosen.
#include "tests/support/dataplane/rig_peer.h"

#define VOICES 12
#define K 2
#define FROM 6
#define FEW 2 // with the two who listen: ends a choice that has begun
#define TICK (20 * NS_PER_MS)
#define NOISE 70
#define TALK 25
#define LEG(voice) (uint16_t)(voice)
#define SSRC(voice) (0x7700u + (voice))

static struct rig_peer voice[VOICES], listener, bot;

static void leave_all(void)
{
	for (unsigned i = 0; i < VOICES; i++)
		rig_leave(&voice[i]);
	rig_leave(&listener);
	rig_leave(&bot);
	rig_close();
}

static bool open_call_of(unsigned workers, unsigned k)
{
	if (!rig_open(workers))
		return false;
	rig.conf.audio.speakers = k;
	rig.conf.audio.speakers_from = FROM;
	for (unsigned i = 0; i < VOICES; i++)
		rig_join(&voice[i], i, SEAL_AEAD_AES_128_GCM);
	rig_join(&listener, VOICES, SEAL_AEAD_AES_128_GCM);
	rig.flags = SESSION_EVERY_VOICE;
	rig_join(&bot, VOICES + 1, SEAL_AEAD_AES_128_GCM);
	for (unsigned i = 0; i < VOICES; i++)
		CHECK_EQ(rig_leg(&listener, LEG(i), &voice[i], SSRC(i)), 0);
	return true;
}

static bool open_call(unsigned workers)
{
	return open_call_of(workers, K);
}

static void mute_from(unsigned first)
{
	for (unsigned i = first; i < VOICES; i++) {
		struct ipc_track_gate gate = {.sid = voice[i].sid, .enabled = 0};
		CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
	}
	rig_run(TICK);
}

static void bot_listens(void)
{
	for (unsigned i = 0; i < VOICES; i++)
		CHECK_EQ(rig_leg(&bot, LEG(i), &voice[i], SSRC(i)), 0);
}

// So many rounds of a packet of each of the first n; talkers (bits) loud, the others noise.
static void speak(unsigned n, uint32_t talkers, unsigned rounds)
{
	rig.n_sent = 0;
	for (unsigned k = 0; k < rounds; k++) {
		for (unsigned i = 0; i < n; i++)
			rig_say_as(&voice[i],
				   (struct rig_voice){.pt = RIG_PT,
						      .level = (talkers >> i & 1 ? TALK : NOISE) + k % 3,
						      .payload = 60});
		rig_run(TICK);
	}
}

static void chosen_with(unsigned workers)
{
	CHECK_OR_RETURN(open_call(workers));
	speak(VOICES, 0, 20);
	speak(VOICES, 3, 20); // they enter
	speak(VOICES, 3, 50);
	CHECK_EQ(rig_n_heard(&listener, SSRC(0)), 50);
	CHECK_EQ(rig_n_heard(&listener, SSRC(1)), 50);
	for (unsigned i = 2; i < VOICES; i++)
		CHECK_EQ(rig_n_heard(&listener, SSRC(i)), 0);
	CHECK(rig_counter(DROP_SILENCED) > 50 * (VOICES - 2));
	CHECK_EQ(rig_counter(CTR_SPEAKER_CHANGES), 2);
	leave_all();
}

static void chosen(void)
{
	chosen_with(1);
	chosen_with(2);
}

static void few_microphones(void)
{
	CHECK_OR_RETURN(open_call(1));
	mute_from(FEW);
	speak(FEW, 1, 50);
	for (unsigned i = 0; i < FEW; i++) // also those who only make noise
		CHECK_EQ(rig_n_heard(&listener, SSRC(i)), 50);
	leave_all();
}

static void mute_ends_the_choice(void)
{
	CHECK_OR_RETURN(open_call(1));
	speak(VOICES, 1, 30);
	mute_from(FEW);
	speak(FEW, 1, 10);
	for (unsigned i = 0; i < FEW; i++)
		CHECK_EQ(rig_n_heard(&listener, SSRC(i)), 10);
	leave_all();
}

// Each of them talks, is chosen, and mutes: nobody keeps a place that way.
static void places_are_not_kept_by_muting(void)
{
	unsigned n_heard = 0;

	CHECK_OR_RETURN(open_call(1));
	speak(VOICES, 0, 20);
	for (unsigned i = 0; i < VOICES; i++) {
		struct ipc_track_gate gate = {.sid = voice[i].sid};
		speak(VOICES, 1u << i, 20);
		CHECK(rig_n_heard(&listener, SSRC(i)) > 0);
		CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
		rig_run(2 * TICK);
		gate.enabled = 1;
		CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
		rig_run(TICK);
	}
	speak(VOICES, 0, 2);
	speak(VOICES, 0, 1);
	for (unsigned i = 0; i < VOICES; i++)
		n_heard += rig_n_heard(&listener, SSRC(i)) > 0;
	CHECK(n_heard <= K + 1);
	leave_all();
}

static void numbers_go_on(void)
{
	struct rtp_view v;
	uint16_t last;

	CHECK_OR_RETURN(open_call(1));
	speak(VOICES, 1, 40);
	CHECK_OR_RETURN(rig_heard(&listener, SSRC(0), &v) != NULL);
	last = v.seq;
	speak(VOICES, 6, 150); // two others talk, the first one loses its place
	last = (uint16_t)(last + rig_n_heard(&listener, SSRC(0)));
	speak(VOICES, 6, 40);
	CHECK_EQ(rig_n_heard(&listener, SSRC(0)), 0);
	speak(VOICES, 1, 10);
	CHECK(rig_n_heard(&listener, SSRC(0)) > 5);
	CHECK_OR_RETURN(rig_heard(&listener, SSRC(0), &v) != NULL);
	CHECK_EQ((uint16_t)(v.seq - last), rig_n_heard(&listener, SSRC(0)));
	leave_all();
}

static void bots_hear_everybody(void)
{
	struct rtp_view v;
	uint16_t first;

	CHECK_OR_RETURN(open_call(2));
	bot_listens();
	speak(VOICES, 3, 40);
	CHECK_OR_RETURN(rig_heard(&bot, SSRC(9), &v) != NULL);
	first = v.seq;
	speak(VOICES, 3, 50);
	for (unsigned i = 0; i < VOICES; i++)
		CHECK_EQ(rig_n_heard(&bot, SSRC(i)), 50);
	CHECK_EQ(rig_n_heard(&listener, SSRC(9)), 0);
	CHECK_OR_RETURN(rig_heard(&bot, SSRC(9), &v) != NULL);
	CHECK_EQ((uint16_t)(v.seq - first), 50); // nothing missing
	CHECK_OR_RETURN(rig_heard(&bot, SSRC(0), &v) != NULL);
	leave_all();
}

static void most_stay_closed(void)
{
	uint64_t opened;

	CHECK_OR_RETURN(open_call(1));
	speak(VOICES, 3, 40);
	opened = rig_counter(CTR_RTP_RX_PACKETS);
	speak(VOICES, 3, 160);
	opened = rig_counter(CTR_RTP_RX_PACKETS) - opened;
	CHECK_EQ(opened, 160 * 2 + 10 * (VOICES - 2)); // one of sixteen of those who are not heard
	leave_all();
}

static void forged_packets(void)
{
	struct rtp_view v;

	CHECK_OR_RETURN(open_call(1));
	speak(VOICES, 3, 40);
	for (unsigned k = 1; k < 60; k++) { // from its address, without its key, far ahead
		uint8_t pkt[100] = {};
		rtp_write(pkt, false, false, RIG_PT, (uint16_t)(voice[9].index + 100 * k), 0, voice[9].ssrc);
		rig_receive(&voice[9], pkt, sizeof(pkt));
		rig_run(NS_PER_MS);
	}
	CHECK(rig_counter(DROP_BAD_TAG) > 0);
	speak(VOICES, 1 << 9, 100);
	CHECK(rig_n_heard(&listener, SSRC(9)) > 90); // its speech comes through all the same
	CHECK(rig_heard(&listener, SSRC(9), &v) != NULL);
	leave_all();
}

static void overload(unsigned stage)
{
	for (unsigned i = 0; i < rig.dp->n_workers; i++)
		rig.dp->worker[i]->overload.stage = (uint8_t)stage;
}

static unsigned n_heard_of(unsigned n)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++)
		count += rig_n_heard(&listener, SSRC(i)) > 0;
	return count;
}

static void overload_leaves_two(void)
{
	CHECK_OR_RETURN(open_call(1));
	speak(VOICES, 0, 20);
	speak(VOICES, 7, 100);
	speak(VOICES, 7, 10);
	CHECK_EQ(n_heard_of(VOICES), K + 1); // and the dominant one
	overload(OVERLOAD_VOICES);
	speak(VOICES, 7, 10);
	speak(VOICES, 7, 10);
	CHECK_EQ(n_heard_of(VOICES), 2);
	leave_all();
}

// With an overloaded worker a choice begins in calls that are too small for it otherwise.
static void overload_chooses_in_small_calls(void)
{
	CHECK_OR_RETURN(open_call(1));
	mute_from(FEW);
	speak(FEW, 1, 50);
	CHECK_EQ(n_heard_of(FEW), FEW);
	overload(OVERLOAD_VOICES);
	speak(FEW, 1, 60);
	speak(FEW, 1, 10);
	CHECK_EQ(n_heard_of(FEW), 1);
	CHECK_EQ(rig_n_heard(&listener, SSRC(0)), 10);
	leave_all();
}

static void silent_ones_stay_closed(void)
{
	uint64_t opened, heard;
	struct rtp_view v;

	CHECK_OR_RETURN(open_call_of(1, 0)); // nobody is chosen in this one
	for (unsigned k = 0; k < 2; k++) {
		overload(k ? OVERLOAD_VOICES : OVERLOAD_VIDEO);
		opened = rig_counter(CTR_RTP_RX_PACKETS);
		rig.n_sent = 0;
		for (unsigned i = 0; i < 64; i++) {
			rig_say_as(&voice[0], (struct rig_voice){.pt = RIG_PT, .level = 127, .payload = 60});
			rig_run(TICK);
		}
		heard = rig_n_heard(&listener, SSRC(0));
		CHECK_EQ(rig_counter(CTR_RTP_RX_PACKETS) - opened, k ? 4 : 64);
		CHECK_EQ(heard, k ? 4 : 64);
	}
	CHECK_OR_RETURN(rig_heard(&listener, SSRC(0), &v) != NULL);
	speak(1, 1, 5); // speech is let through, without a gap in the numbers
	CHECK_EQ(rig_n_heard(&listener, SSRC(0)), 5);
	leave_all();
}

static void people_come_and_go(void)
{
	CHECK_OR_RETURN(open_call(2));
	for (unsigned k = 0; k < 30; k++) {
		struct ipc_track_ref ref = {.sid = voice[k % VOICES].sid};
		speak(VOICES, 1u << k % VOICES, 5);
		CHECK_EQ(rig_cmd(&ref, CMD_TRACK_DEL), 0);
		rig_run(TICK);
		rig_track(&voice[k % VOICES], 0, "0", voice[k % VOICES].ssrc);
		rig_run(TICK);
		CHECK_EQ(rig_leg(&listener, LEG(k % VOICES), &voice[k % VOICES], 0x9900 + k), 0);
	}
	speak(VOICES, 1, 100);
	speak(VOICES, 1, 20);
	leave_all();
}

CU_TestInfo room_tests[] = {
	{"of twelve open microphones two talkers are heard, on one worker and on two", chosen},
	{"up to the threshold everybody is heard", few_microphones},
	{"muting ends the choice", mute_ends_the_choice},
	{"a place among those who are heard is not kept by muting", places_are_not_kept_by_muting},
	{"numbers go on without a gap when a voice is heard again", numbers_go_on},
	{"a recorder hears every voice, without a gap", bots_hear_everybody},
	{"packets of those who are not heard are not opened, but one of sixteen", most_stay_closed},
	{"forged packets of a voice that is not opened do not keep it from being heard", forged_packets},
	{"an overloaded worker leaves one chosen voice and the dominant one", overload_leaves_two},
	{"and chooses in smaller calls", overload_chooses_in_small_calls},
	{"voices that say they are silent are opened once in sixteen packets then", silent_ones_stay_closed},
	{"tracks come and go while speakers are chosen", people_come_and_go},
	CU_TEST_INFO_NULL,
};
