// When offers are made, who may make one, and what is made again.
#include <errno.h>

#include "tests/support/controlplane/negotiate_talk.h"
#include "tests/unit/check.h"

static struct peer peer;

static void batched(void)
{
	struct talk *f = talk_joined(&peer);

	for (unsigned i = 1; i <= 5; i++) {
		CHECK_EQ(talk_want_voice(f, i), 0);
		talk_pass(f, 15 * NS_PER_MS);
	}
	CHECK_EQ(f->n_offers, 0);
	talk_pass(f, 60 * NS_PER_MS);
	CHECK_EQ(f->n_offers, 1); // five tracks in one
	CHECK_EQ(talk_count(f, "m=audio "), 5);
	CHECK_EQ(talk_count(f, "a=sendonly\r\n"), 5);
	CHECK_EQ(talk_count(f, "a=setup:actpass\r\n"), 6);
	CHECK_EQ(f->n_leg_up, 0); // nothing is fed before the answer
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 5);
	CHECK_EQ(f->up[0].pt, 111);
	CHECK_EQ(f->up[0].clock_hz, 48000);
	CHECK(talk_is_settled(f));
	talk_pass(f, 60 * NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	CHECK(f->text_len < 5 * 660 + 1400);
	talk_done(f, &peer);
}

static void not_before_ready(void)
{
	struct talk *f = talk_new();

	CHECK_EQ(talk_want_voice(f, 1), 0);
	negotiate_ready(f->n, true, f->now);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_sent, 0); // no first offer yet
	negotiate_ready(f->n, false, f->now);
	CHECK_EQ(talk_offer_sample(f, "chromium-dc"), 0);
	talk_pass(f, 60 * NS_PER_S);
	CHECK_EQ(f->n_offers, 0);
	negotiate_ready(f->n, true, f->now);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	talk_free(f);
}

static void media_map(void)
{
	struct talk *f = talk_joined(&peer);

	CHECK_EQ(talk_want_voice(f, 1), 0);
	CHECK_EQ(talk_want(f, 2, 3, TYPE_SCREEN_AUDIO, CODEC_OPUS), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_map, 2);
	CHECK_STR(f->map[0].mid, "1");
	CHECK_STR(f->map[0].type, "voice");
	CHECK_STR(f->map[0].sender, "sender1"); // D23: the sender's id
	CHECK_STR(f->map[1].type, "screen-audio");
	CHECK(talk_has(f, "a=msid:sender2 screen-audio_sender2_abcd1234\r\n"));
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	// A removal is an offer too, with the whole map again, and client offers that meet it are ignored.
	talk_unwant(f, 1);
	CHECK_EQ(f->n_leg_down, 1);
	talk_pass(f, NS_PER_S);
	CHECK(f->last_is_offer);
	CHECK_EQ(f->n_map, 1);
	CHECK_STR(f->map[0].mid, "2");
	CHECK_EQ(talk_offer_sample(f, "chromium-dc"), -EBUSY);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	talk_done(f, &peer);
}

static void lost_answer(void)
{
	struct talk *f = talk_joined(&peer);
	static char first[8192];

	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	snprintf(first, sizeof(first), "%s", talk_section(f, 1));
	CHECK_EQ(talk_offer_sample(f, "chromium-mic"), -EBUSY);
	talk_pass(f, 10 * NS_PER_S);
	CHECK_EQ(talk_stats(f).answer_timeouts, 1);
	// Rolled back: the client's offers are answered again, and ours is made again with the same SSRC.
	CHECK_EQ(f->n_offers, 2);
	CHECK_STR(talk_section(f, 1), first);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 1);
	peer_add_audio(&peer);
	CHECK_EQ(talk_peer_offers(f, &peer), 0);
	talk_done(f, &peer);
}

static void lock_lease(void)
{
	struct talk *f = talk_joined(&peer);

	CHECK(negotiate_lock(f->n, f->now));
	CHECK(!negotiate_lock(f->n, f->now)); // one at a time
	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, 9 * NS_PER_S);
	CHECK_EQ(f->n_offers, 0);
	talk_pass(f, 2 * NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	CHECK_EQ(talk_stats(f).leases_expired, 1);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 1);
	CHECK(negotiate_lock(f->n, f->now)); // and the client may have it again
	talk_done(f, &peer);
}

static void lock_foreign_unlock(void)
{
	struct talk *f = talk_joined(&peer);

	negotiate_unlock(f->n, f->now); // free: nothing happens
	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	CHECK(!negotiate_lock(f->n, f->now)); // the server holds it
	negotiate_unlock(f->n, f->now);
	CHECK(!negotiate_lock(f->n, f->now)); // still
	CHECK_EQ(talk_stats(f).foreign_unlocks, 2);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK(negotiate_lock(f->n, f->now));
	talk_done(f, &peer);
}

static void lock_order(void)
{
	struct talk *f = talk_joined(&peer);

	CHECK(negotiate_lock(f->n, f->now));
	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, NS_PER_S);
	peer_add_audio(&peer);
	CHECK_EQ(talk_peer_offers(f, &peer), 0);
	CHECK_EQ(f->n_offers, 0);
	talk_pass(f, 20 * NS_PER_MS);
	negotiate_unlock(f->n, f->now);
	CHECK_EQ(f->n_offers, 1); // what waited goes at once
	CHECK(!negotiate_lock(f->n, f->now));
	CHECK_EQ(talk_want_voice(f, 2), 0);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	talk_pass(f, 100 * NS_PER_MS); // then the client has its turn
	CHECK(negotiate_lock(f->n, f->now));
	CHECK_EQ(f->n_offers, 1);
	negotiate_unlock(f->n, f->now);
	talk_pass(f, 100 * NS_PER_MS);
	CHECK_EQ(f->n_offers, 2);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	talk_done(f, &peer);
}

static void lock_turn(void)
{
	struct talk *f = talk_joined(&peer);

	// A call that everybody joins: there is always something to offer. A client 300 ms away asks once while
	// the server holds the lock, and again 350 ms after that.
	for (unsigned i = 1; i <= 3; i++) {
		CHECK_EQ(talk_want_voice(f, i), 0);
		talk_pass(f, NS_PER_S);
		CHECK_EQ(f->n_offers, i);
		CHECK(!negotiate_lock(f->n, f->now));
		CHECK_EQ(talk_want_voice(f, 100 + i), 0);
		CHECK_EQ(talk_peer_answers(f, &peer), 0);
		talk_pass(f, 350 * NS_PER_MS);
		CHECK_EQ(f->n_offers, i);
		CHECK(negotiate_lock(f->n, f->now));
		negotiate_unlock(f->n, f->now);
		CHECK_EQ(f->n_offers, i + 1); // the wait ends with the client's turn
		CHECK_EQ(talk_peer_answers(f, &peer), 0);
		talk_pass(f, NS_PER_S);
		f->n_offers = i;
	}
	// One that never comes back delays an offer by 600 ms, once.
	CHECK_EQ(talk_want_voice(f, 7), 0);
	talk_pass(f, NS_PER_S);
	CHECK(!negotiate_lock(f->n, f->now));
	CHECK_EQ(talk_want_voice(f, 8), 0);
	f->n_offers = 0;
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	talk_pass(f, 590 * NS_PER_MS);
	CHECK_EQ(f->n_offers, 0);
	talk_pass(f, 20 * NS_PER_MS);
	CHECK_EQ(f->n_offers, 1);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	talk_done(f, &peer);
}

static void nothing_is_lost(void)
{
	struct talk *f = talk_joined(&peer);

	// The client holds the lock for long, answers get lost, a hundred tracks come and go meanwhile.
	CHECK(negotiate_lock(f->n, f->now));
	for (unsigned i = 1; i <= 120; i++)
		CHECK_EQ(talk_want_voice(f, i), 0);
	for (unsigned i = 1; i <= 120; i += 2)
		talk_unwant(f, i);
	talk_pass(f, 12 * NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	CHECK_EQ(talk_count(f, "a=sendonly\r\n"), 60);
	talk_pass(f, 11 * NS_PER_S); // unanswered
	CHECK_EQ(f->n_offers, 2);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_up, 60);
	talk_done(f, &peer);
}

static void cancelled(void)
{
	struct talk *f = talk_joined(&peer);

	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_unwant(f, 1);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 0); // never offered
	CHECK_EQ(talk_want_voice(f, 2), 0);
	CHECK_EQ(talk_want_voice(f, 3), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	talk_unwant(f, 2); // while the offer is out
	CHECK_EQ(f->n_leg_down, 0);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 1);
	CHECK_EQ(f->up[0].key.sid, 3);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 2); // takes it back
	CHECK(strstr(talk_section(f, 1), "a=inactive\r\n") != NULL);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK(talk_is_settled(f));
	talk_done(f, &peer);
}

CU_TestInfo negotiate_tests[] = {
	{"five tracks within 100 ms go into one offer and up after its answer", batched},
	{"no offer before the first answer and the ready signal", not_before_ready},
	{"D27: each offer, of removals too, has the whole map and makes client offers collide", media_map},
	{"D24: an unanswered offer is rolled back and made again", lost_answer},
	{"D21: a lock that is never released expires", lock_lease},
	{"D21: an unlock by who does not hold the lock is ignored", lock_foreign_unlock},
	{"D21: after an unlock our waiting offer goes first, then the client has its turn", lock_order},
	{"D21: a client that was refused has time to ask again before our next offer", lock_turn},
	{"D26: no track is lost to a held lock or lost answers", nothing_is_lost},
	{"D43: what is no longer wanted is not negotiated, or taken back", cancelled},
	CU_TEST_INFO_NULL,
};
