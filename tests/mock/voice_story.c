// Voice among mock participants through one sluice-dp: exact continuity, reports, mute, restart of the
// control plane, loss of paths. argv[1]: workers.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/rtc/recv/stats.h"
#include "tests/mock/mock.h"

#define N_PEERS 4
#define LEVEL 40

static const enum seal_profile profiles[] = {SEAL_AEAD_AES_128_GCM, SEAL_AEAD_AES_256_GCM,
					     SEAL_AES128_CM_SHA1_80};

struct call {
	struct mock_dp dp;
	struct mock_peer peer[N_PEERS];
	uint32_t leg[N_PEERS][N_PEERS]; // [hears][speaks]: SSRC
};

static void start(struct call *c)
{
	for (unsigned i = 0; i < N_PEERS; i++)
		mock_join(&c->peer[i], &c->dp, 0x01000000 + i, profiles[i % 3]);
	for (unsigned i = 0; i < N_PEERS; i++)
		for (unsigned k = 0; k < N_PEERS; k++)
			if (i != k)
				c->leg[i][k] = mock_subscribe(&c->peer[i], &c->peer[k]);
}

// Packets that may be missing: the dataplane drops, and counts, what waited inside for more than 100 ms. A worker that
// this machine let wait so long is no defect.
static uint64_t excused(struct call *c)
{
	return mock_counter(&c->dp, DROP_STALE) * (N_PEERS - 1);
}

// Everybody says n packets, a round trip each; true when everybody heard everything.
static bool talk(struct call *c, unsigned n)
{
	uint64_t before = excused(c);
	unsigned heard = 0;

	for (unsigned round = 0; round < n; round++) {
		for (unsigned i = 0; i < N_PEERS; i++)
			mock_voice(&c->peer[i], LEVEL);
		for (unsigned i = 0; i < N_PEERS; i++) {
			unsigned got = mock_hear(&c->peer[i], N_PEERS - 1, 1000);
			if (got != N_PEERS - 1)
				printf("# round %u: participant %u heard %u\n", round, i, got);
			heard += got;
		}
	}
	return heard + excused(c) - before >= n * N_PEERS * (N_PEERS - 1);
}

static int64_t gaps(struct call *c)
{
	int64_t n = -(int64_t)excused(c);

	for (unsigned i = 0; i < N_PEERS; i++)
		for (unsigned k = 0; k < c->peer[i].n_streams; k++)
			n += (int64_t)(c->peer[i].stream[k].n_gaps + c->peer[i].stream[k].n_late);
	return n;
}

static uint64_t bad(const struct call *c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < N_PEERS; i++)
		n += c->peer[i].n_bad;
	return n;
}

static void test_forwarding(struct call *c)
{
	const struct mock_stream *s;

	mock_ok(talk(c, 100), "4 participants with 3 profiles hear all packets of each other");
	mock_ok(gaps(c) <= 0 && bad(c) == 0, "sequence numbers are contiguous, every tag is right");
	s = mock_stream(&c->peer[1], c->leg[1][0]);
	mock_ok(s && s->first >= 1 && s->first <= 0x7fff,
		"a stream starts between 1 and 0x7fff at ROC 0");
	mock_ok(s && be64_get(s->last_payload) == c->peer[0].index - 1, "the payload is the publisher's");
	mock_ok(s && s->last_level == LEVEL, "D38: the audio level arrives under the receiver's extension id");
	mock_ok(s && s->last_ts == c->peer[0].ts - 960, "timestamps pass unchanged");
}

// One voice packet each 20 ms for a time, hearing between.
static void talk_for(struct call *c, unsigned ms)
{
	for (ns_t end = clock_now() + ms * NS_PER_MS; clock_now() < end;) {
		talk(c, 1);
		poll(NULL, 0, 20); // the pace of the talk itself
	}
}

static void send_sr(struct mock_peer *p)
{
	uint8_t bytes[64];
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));
	struct rtcp_sr sr = {.ssrc = p->ssrc, .rtp = p->ts, .ntp = clock_ntp(clock_wall())};

	rtcp_write_sr(&w, &sr, NULL, 0);
	mock_rtcp(p, bytes, wbuf_len(&w));
}

static void test_reports(struct call *c)
{
	const struct mock_stream *s;
	int64_t off_ms;

	for (unsigned i = 0; i < N_PEERS; i++)
		send_sr(&c->peer[i]);
	talk_for(c, 4000);
	s = mock_stream(&c->peer[1], c->leg[1][0]);
	mock_ok(s && s->n_sr >= 1, "a receiver gets sender reports of each stream (%u)", s ? s->n_sr : 0);
	off_ms = s ? ntp_diff_ns(s->sr.ntp, clock_ntp(clock_wall())) / NS_PER_MS : -99999;
	mock_ok(off_ms > -4000 && off_ms < 100, "the report's NTP time is now (%lld ms)", (long long)off_ms);
	// The publisher's timestamps advance 960 per 20 ms plus a round trip: within half a second of real time.
	mock_ok(s && abs((int)(s->sr.rtp - c->peer[0].ts)) < 48000 * 4,
		"its RTP time is the publisher's mapping");
	mock_ok(s && s->sr.n_packets > 0 && s->sr.n_packets <= s->n, "it counts our packets");
	mock_ok(c->peer[0].n_rr >= 2 && c->peer[0].rr.ssrc == c->peer[0].ssrc,
		"a publisher gets receiver reports");
	mock_ok(c->peer[0].rr.lost == 0 && c->peer[0].rr.lsr != 0,
		"without loss, with the time of its sender report");
	mock_ok(c->peer[0].n_twcc >= 10, "a publisher gets transport-wide feedback (%llu)",
		(unsigned long long)c->peer[0].n_twcc);
	mock_ok(c->peer[0].n_sdes >= 1, "a CNAME is sent");
}

static void test_voice_events(struct call *c)
{
	uint32_t seen;

	mock_poll(&c->dp);
	seen = c->dp.n_events[EVT_VOICE];
	mock_ok(c->dp.n_events[EVT_TRACK_LIVE] >= N_PEERS, "each track is announced live");
	for (unsigned i = 0; i < 60; i++)
		mock_voice(&c->peer[0], i % 2 ? 30 : 90);
	mock_hear(&c->peer[1], 60, 1000); // all were forwarded: none is muted below
	mock_ok(mock_event(&c->dp, EVT_VOICE, seen) && c->dp.last[EVT_VOICE].voice.on == 1,
		"talking is reported");
	seen = c->dp.n_events[EVT_VOICE];
	mock_ok(mock_peer_gate(&c->peer[0], false) == 0 && mock_event(&c->dp, EVT_VOICE, seen) &&
			c->dp.last[EVT_VOICE].voice.on == 0,
		"mute ends it");
	for (unsigned i = 1; i < N_PEERS; i++)
		mock_hear(&c->peer[i], 0, 50);
}

static void test_mute(struct call *c)
{
	struct mock_stream *s = mock_stream(&c->peer[1], c->leg[1][0]);
	uint64_t top = s->top, n = s->n;

	for (unsigned i = 0; i < 40; i++)
		mock_voice(&c->peer[0], LEVEL);
	mock_counter_reaches(&c->dp, DROP_MUTED, 40);
	mock_ok(mock_hear(&c->peer[1], 0, 50) == 0 && s->n == n, "a muted voice is not forwarded");
	mock_ok(mock_peer_gate(&c->peer[0], true) == 0, "unmute");
	mock_voice(&c->peer[0], LEVEL);
	mock_ok(mock_hear(&c->peer[1], 1, 1000) == 1 && s->top == top + 1,
		"after unmute the sequence goes on");
	mock_ok(s->last_marker == 1 && s->last_ts == c->peer[0].ts - 960,
		"with the marker and the time that passed (marker %u, %d ticks off)", s->last_marker,
		(int)(s->last_ts - (c->peer[0].ts - 960)));
	for (unsigned i = 2; i < N_PEERS; i++)
		mock_hear(&c->peer[i], 1, 1000);
}

static void test_restart(struct call *c)
{
	union ipc_msg *last = c->dp.last;
	struct ipc_bare snap = {};
	uint32_t sessions, tracks, legs;
	int64_t before = gaps(c);

	mock_disconnect(&c->dp);
	mock_ok(talk(c, 50), "media goes on while no control plane is connected");
	mock_ok(mock_peer_check(&c->peer[0]), "and STUN is answered");
	mock_connect(&c->dp);
	sessions = c->dp.n_events[EVT_SNAP_SESSION];
	tracks = c->dp.n_events[EVT_SNAP_TRACK];
	legs = c->dp.n_events[EVT_SNAP_LEG];
	mock_cmd(&c->dp, &snap, CMD_SNAPSHOT);
	mock_ok(mock_event(&c->dp, EVT_SNAP_END, 0), "the snapshot ends");
	mock_ok(c->dp.n_events[EVT_SNAP_SESSION] - sessions == N_PEERS &&
			c->dp.n_events[EVT_SNAP_TRACK] - tracks == N_PEERS &&
			c->dp.n_events[EVT_SNAP_LEG] - legs == N_PEERS * (N_PEERS - 1),
		"and has every session, track and leg");
	mock_ok(last[EVT_SNAP_SESSION].snap_session.remote.family == 4 &&
			last[EVT_SNAP_SESSION].snap_session.cookie ==
				0xc00c1e00 + last[EVT_SNAP_SESSION].snap_session.sid &&
			last[EVT_SNAP_TRACK].snap_track.live_ssrc != 0,
		"with path, cookie and live SSRC");
	mock_ok(talk(c, 50) && gaps(c) <= before, "not one sequence number is missing after the restart");
}

static void test_paths(struct call *c)
{
	uint32_t seen = c->dp.n_events[EVT_PATH];
	int64_t before = gaps(c);

	mock_peer_socket(&c->peer[1]); // another port of the same client
	mock_voice(&c->peer[1], LEVEL);
	mock_ok(mock_counter_reaches(&c->dp, DROP_NO_FLOW, 1),
		"media from an address without a check is dropped");
	c->peer[1]
		.index--; // it was never heard; the next packet takes its number, as if it was still to be sent
	c->peer[1].ts -= 960;
	mock_ok(mock_peer_check(&c->peer[1]), "a check from the new address is answered");
	for (unsigned i = 0; i < 200 && c->dp.n_events[EVT_PATH] == seen; i++) {
		mock_voice(&c->peer[1], LEVEL);
		mock_hear(&c->peer[0], 1, 100);
		poll(NULL, 0, 20);
		mock_poll(&c->dp);
	}
	mock_ok(c->dp.n_events[EVT_PATH] > seen, "media on the new address moves the path");
	for (unsigned i = 0; i < N_PEERS; i++)
		mock_hear(&c->peer[i], 0, 50);
	mock_ok(talk(c, 50) && gaps(c) <= before, "and everybody is heard as before");
}

int main(int argc, char **argv)
{
	static struct call c;
	const char *yaml = argc > 1 && atoi(argv[1]) > 1 ? "  worker_cores: \"0,1\"\n  idle: sleep\n" : NULL;

	mock_dp_start(&c.dp, argv[0], yaml);
	start(&c);
	test_forwarding(&c);
	test_reports(&c);
	test_voice_events(&c);
	test_mute(&c);
	test_restart(&c);
	test_paths(&c);
	mock_counters(&c.dp);
	for (unsigned i = 0; i < N_PEERS; i++)
		mock_ok(mock_leave(&c.peer[i]) == 0, "participant %u leaves", i);
	mock_ok(mock_dp_stop(&c.dp) == 0, "SIGTERM ends sluice-dp with status 0");
	return mock_done();
}
