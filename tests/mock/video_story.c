// A screen in two encodings through one sluice-dp: viewers with and without RTX, layers, losses on both sides, key
// frames, people who come late, come and go. argv[1]: workers.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "tests/mock/mock.h"

#define N_VIEWERS 3
#define FRAME_MS 33
#define LOW 0
#define HIGH 1

static struct mock_dp dp;
static struct mock_peer a, viewer[N_VIEWERS];
static struct mock_screen screen;
static uint32_t leg[N_VIEWERS]; // SSRC
static unsigned n_viewers;

static void hear_all(void)
{
	mock_hear(&a, 0, 0);
	for (unsigned i = 0; i < n_viewers; i++) {
		mock_hear(&viewer[i], 0, 0);
		mock_tell(&viewer[i]);
	}
	mock_poll(&dp);
}

static void frames(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		mock_frame(&screen, LOW, false, 2, 2);
		mock_frame(&screen, HIGH, false, 4, 4);
		poll(NULL, 0, FRAME_MS); // pace of a screen
		hear_all();
	}
}

static void come(unsigned i, bool has_rtx)
{
	static const enum seal_profile profiles[] = {SEAL_AEAD_AES_128_GCM, SEAL_AES128_CM_SHA1_80};

	mock_join(&viewer[i], &dp, 0x01000010 + i, profiles[i % 2]);
	viewer[i].lose_ssrc = leg[i] = mock_watch(&viewer[i], &a, has_rtx);
	n_viewers = i + 1;
}

static bool is_at(unsigned i, unsigned layer)
{
	return mock_layer(&viewer[i], leg[i]) == layer;
}

// Frames until this viewer gets the layer; false: not within 15 s.
static bool reaches(unsigned i, unsigned layer)
{
	for (ns_t end = clock_now() + 15 * NS_PER_S; clock_now() < end;) {
		frames(3);
		if (is_at(i, layer))
			return true;
	}
	return false;
}

// Numbers that a viewer misses though nothing says why: a publisher's packet that the kernel lost on a loaded machine
// is given up, since this one resends nothing that he was not told to, and what a full port refuses has a name.
static int64_t missing(unsigned i)
{
	const struct mock_stream *s = mock_stream(&viewer[i], leg[i]);
	int64_t excused = (int64_t)(mock_counter(&dp, CTR_VIDEO_GIVEN_UP) + mock_counter(&dp, DROP_TX_ERROR));
	int64_t n = s ? (int64_t)(s->n_gaps - s->n_late) : 0;

	return n > excused ? n - excused : 0;
}

static void test_layers(void)
{
	come(0, true);
	come(1, false);
	frames(10);
	mock_ok(mock_stream(&viewer[0], leg[0]) && mock_stream(&viewer[1], leg[1]), "viewers see the screen");
	mock_ok(reaches(0, HIGH) && reaches(1, HIGH), "and the high layer when their estimate allows");
	mock_ok(missing(0) == 0 && missing(1) == 0, "the switch leaves no gap in the numbers");
}

static void test_upstream_loss(void)
{
	uint64_t before = a.n_nack;

	mock_frame(&screen, LOW, false, 2, 2);
	mock_frame(&screen, HIGH, false, 4, 1);
	for (unsigned i = 0; i < 30 && a.n_nack == before; i++) {
		frames(1);
		if (a.n_nack > before)
			mock_send_skipped(&screen);
	}
	mock_ok(a.n_nack > before, "what is missing is asked of the publisher");
	frames(10);
	mock_ok(missing(0) == 0 && missing(1) == 0, "and what he sends again reaches all");
}

static void test_downstream_loss(unsigned i, const char *how)
{
	uint64_t before = mock_counter(&dp, CTR_RTP_RESENT), rtx = viewer[i].n_rtx, again = viewer[i].n_again;

	viewer[i].n_to_lose = 5;
	for (unsigned k = 0; k < 30 && viewer[i].n_to_lose; k++)
		frames(1);
	for (unsigned k = 0; k < 20 && viewer[i].n_lost; k++) {
		mock_nack(&viewer[i], leg[i]);
		frames(4);
	}
	mock_ok(viewer[i].n_lost == 0 && mock_counter(&dp, CTR_RTP_RESENT) >= before + 5,
		"a viewer gets what it lost %s", how);
	printf("# %llu in RTX, %llu identical\n", (unsigned long long)(viewer[i].n_rtx - rtx),
	       (unsigned long long)(viewer[i].n_again - again));
}

static void test_key_frames(void)
{
	uint64_t before = a.n_pli, n;

	for (unsigned i = 0; i < 20; i++) {
		mock_ask_key(&viewer[0], leg[0]);
		mock_ask_key(&viewer[1], leg[1]);
		frames(1);
	}
	n = a.n_pli - before;
	mock_ok(n >= 1 && n <= 4, "40 PLIs in 0.7 s become few for the publisher (%llu)",
		(unsigned long long)n);
}

static void test_late_joiner(void)
{
	ns_t since;

	come(2, true);
	since = clock_now();
	while (mock_stream(&viewer[2], leg[2]) == NULL && clock_now() - since < 5 * NS_PER_S)
		frames(1);
	mock_ok(clock_now() - since < 2 * NS_PER_S, "who comes late sees the screen within 2 s (%.2f s)",
		(double)(clock_now() - since) / 1e9);
	mock_ok(reaches(2, HIGH), "and the high layer soon");
}

static void test_churn(void)
{
	uint64_t n_bad = 0, n_two = 0;
	unsigned n_seen = 0;
	int64_t gaps = missing(0) + missing(1);

	for (unsigned i = 0; i < 20; i++) {
		struct mock_peer p;
		uint32_t ssrc;

		mock_join(&p, &dp, (i + 1) << 24 | 0x20, SEAL_AEAD_AES_128_GCM);
		ssrc = mock_watch(&p, &a, i % 2);
		for (unsigned k = 0; k < 30 && mock_stream(&p, ssrc) == NULL; k++) {
			frames(1);
			mock_hear(&p, 0, 0);
			mock_tell(&p);
		}
		n_seen += mock_stream(&p, ssrc) != NULL;
		n_bad += p.n_bad;
		n_two += p.n_two;
		if (mock_leave(&p) != 0)
			die(EXIT_SOFTWARE, "a viewer cannot leave");
	}
	mock_ok(n_seen == 20 && n_bad == 0 && n_two == 0, "20 viewers come, see and go (%u)", n_seen);
	mock_ok(missing(0) + missing(1) <= gaps, "and those who stay miss nothing");
}

static void test_restart(void)
{
	struct ipc_bare snap = {};
	uint32_t seen;
	uint64_t before = mock_stream(&viewer[0], leg[0])->n;
	int64_t gaps = missing(0);

	mock_disconnect(&dp);
	for (unsigned i = 0; i < 15; i++) {
		mock_frame(&screen, LOW, false, 2, 2);
		mock_frame(&screen, HIGH, false, 4, 4);
		poll(NULL, 0, FRAME_MS);
		mock_hear(&viewer[0], 0, 0);
		mock_tell(&viewer[0]);
	}
	mock_connect(&dp);
	seen = dp.n_events[EVT_SNAP_END];
	mock_cmd(&dp, &snap, CMD_SNAPSHOT);
	mock_ok(mock_event(&dp, EVT_SNAP_END, seen) && mock_stream(&viewer[0], leg[0])->n > before + 15,
		"the screen goes on without a control plane");
	frames(10);
	mock_ok(missing(0) <= gaps, "and misses nothing when the next one is there");
}

int main(int argc, char **argv)
{
	uint64_t n_bad, n_two;

	mock_dp_start(&dp, argv[0],
		      argc > 1 && atoi(argv[1]) > 1 ? "  worker_cores: \"0,1\"\n  idle: sleep\n" : NULL);
	mock_join(&a, &dp, 0x01000000, SEAL_AEAD_AES_256_GCM);
	mock_share(&screen, &a);
	test_layers();
	test_upstream_loss();
	test_downstream_loss(0, "over RTX");
	test_downstream_loss(1, "as it was");
	test_key_frames();
	test_late_joiner();
	test_churn();
	test_restart();
	mock_counters(&dp);
	n_bad = a.n_bad;
	n_two = 0;
	for (unsigned i = 0; i < n_viewers; i++) {
		n_bad += viewer[i].n_bad;
		n_two += viewer[i].n_two;
	}
	mock_ok(n_bad == 0, "every packet could be opened");
	mock_ok(n_two == 0, "no index of an SSRC carried two packets (%llu)", (unsigned long long)n_two);
	for (unsigned i = 0; i < n_viewers; i++)
		mock_ok(mock_leave(&viewer[i]) == 0, "viewer %u leaves", i);
	mock_ok(mock_leave(&a) == 0, "the publisher leaves");
	mock_ok(mock_dp_stop(&dp) == 0, "SIGTERM ends sluice-dp with status 0");
	return mock_done();
}
