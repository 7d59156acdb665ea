// What a network full of enemies, a careless control plane and time do to a running call: nothing.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "tests/mock/mock.h"

#define LEVEL 50

static struct mock_dp dp;
static struct mock_peer a, b; // the call that must not be disturbed
static uint32_t a_at_b, b_at_a;

static bool talk(unsigned n, unsigned pace_ms)
{
	unsigned heard = 0;

	for (unsigned i = 0; i < n; i++) {
		mock_voice(&a, LEVEL);
		mock_voice(&b, LEVEL);
		heard += mock_hear(&a, 1, 1000) + mock_hear(&b, 1, 1000);
		poll(NULL, 0, (int)pace_ms); // pace of speech
	}
	return heard == 2 * n;
}

static uint64_t gaps(void)
{
	return mock_stream(&b, a_at_b)->n_gaps + mock_stream(&a, b_at_a)->n_gaps;
}

// --- the network ------------------------------------------------------------------------------------------

// Datagrams of 0 bytes to 64 KiB from 200 ports, 2000 a second, until killed.
static void flood(void)
{
	static uint8_t junk[65507];
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(dp.hello.media_port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd[200];

	for (unsigned i = 0; i < 200; i++)
		fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	rand_bytes(junk, sizeof(junk));
	for (unsigned i = 0;; i++) {
		size_t len = i % 3 ? rand_u32() % 1500 : rand_u32() % sizeof(junk);
		junk[0] = (uint8_t)(i / 7); // every first byte
		(void)!sendto(fd[i % 200], junk, len, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
		if (i % 10 == 0)
			poll(NULL, 0, 5);
	}
}

static void test_flood(void)
{
	uint64_t unknown = mock_counter(&dp, DROP_UNKNOWN_FIRST_BYTE), before = gaps();
	pid_t child = fork();

	if (child == 0)
		flood();
	mock_ok(talk(150, 20) && gaps() == before,
		"a call loses nothing while garbage of all sizes comes from 200 ports");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	mock_ok(mock_counter_reaches(&dp, DROP_UNKNOWN_FIRST_BYTE, unknown + 100) &&
			mock_counter(&dp, DROP_TOO_BIG) > 100 && mock_counter(&dp, DROP_NO_FLOW) > 100,
		"it is dropped by name");
}

static void test_stun(void)
{
	uint64_t bad = mock_counter(&dp, DROP_STUN_BAD_INTEGRITY),
		 unknown = mock_counter(&dp, DROP_STUN_UNKNOWN_UFRAG);
	uint64_t ok = a.n_stun_ok, err = a.n_stun_error;
	struct mock_peer stranger;
	char wrong[IPC_PWD_LEN];

	memset(wrong, 'x', sizeof(wrong));
	mock_peer_check_send(&a, wrong);
	mock_ok(mock_counter_reaches(&dp, DROP_STUN_BAD_INTEGRITY, bad + 1),
		"wrong integrity is counted");
	mock_peer_init(&stranger, &dp, 0x01000077, SEAL_AEAD_AES_128_GCM);
	mock_peer_check_send(&stranger, stranger.pwd);
	mock_ok(mock_counter_reaches(&dp, DROP_STUN_UNKNOWN_UFRAG, unknown + 1),
		"an unknown ufrag is counted");
	mock_hear(&a, 0, 50);
	mock_hear(&stranger, 0, 10);
	mock_ok(a.n_stun_ok == ok && a.n_stun_error == err && stranger.n_stun_ok + stranger.n_stun_error == 0,
		"and neither gets an answer");
	mock_ok(mock_peer_check(&a), "while the right password does");
	mock_peer_close(&stranger);
}

static void test_replay(void)
{
	uint64_t dup = mock_counter(&dp, DROP_REPLAY_DUP), n = mock_stream(&b, a_at_b)->n;
	uint8_t pkt[512];
	size_t len = mock_voice_build(&a, LEVEL, pkt, sizeof(pkt));

	for (unsigned i = 0; i < 5; i++)
		mock_send(&a, pkt, len);
	mock_ok(mock_counter_reaches(&dp, DROP_REPLAY_DUP, dup + 4), "replays are dropped");
	mock_hear(&b, 0, 50);
	mock_ok(mock_stream(&b, a_at_b)->n == n + 1, "and forwarded once");
}

static void test_damage(void)
{
	uint64_t bad = mock_counter(&dp, DROP_BAD_TAG), n = mock_stream(&b, a_at_b)->n, before = gaps();
	uint8_t pkt[512], copy[512];
	size_t len = mock_voice_build(&a, LEVEL, pkt, sizeof(pkt));

	for (size_t i = 0; i < len; i++) { // not the SSRC: that is another case
		if (i >= 8 && i < 12)
			continue;
		memcpy(copy, pkt, len);
		copy[i] ^= 1;
		mock_send(&a, copy, len);
		mock_send(&a, pkt, i); // and every length below the right one
	}
	mock_ok(mock_counter_reaches(&dp, DROP_BAD_TAG, bad + len / 2),
		"damaged and cut packets are dropped");
	mock_send(&a, pkt, len);
	mock_hear(&b, 1, 1000);
	mock_ok(mock_stream(&b, a_at_b)->n == n + 1 && gaps() == before,
		"and leave no trace: the true one is forwarded");
}

static void test_ssrcs(void)
{
	uint64_t limit = mock_counter(&dp, DROP_SSRC_LIMIT);
	uint32_t ssrc = a.ssrc;
	uint64_t index = a.index;
	uint8_t pkt[512];

	for (unsigned i = 0; i < 500; i++) {
		size_t len = mock_voice_build(&a, LEVEL, pkt, sizeof(pkt));
		be32_put(pkt + 8, rand_u32());
		mock_send(&a, pkt, len);
	}
	mock_ok(mock_counter_reaches(&dp, DROP_SSRC_LIMIT, limit + 400),
		"SSRCs with bad tags are soon not tried");
	a.index = index;
	poll(NULL, 0, 1100); // the second in which failures count
	limit = mock_counter(&dp, DROP_SSRC_LIMIT);
	for (unsigned i = 0; i < 100; i++) {
		a.ssrc = 0x77000000 + i;
		mock_voice(&a, LEVEL);
	}
	mock_ok(mock_counter_reaches(&dp, DROP_SSRC_LIMIT, limit + 36),
		"at most 64 SSRCs with good tags");
	a.ssrc = ssrc;
	a.index = index;
	mock_hear(&b, 0, 50);
}

// --- DTLS -------------------------------------------------------------------------------------------------

static const uint8_t hello[] = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 7, 0, 3, 'c', 'h', '1'};

static int pop(uint8_t *frame, size_t size)
{
	for (unsigned i = 0; i < 500; i++) {
		for (unsigned worker = 0; worker < dp.hello.n_workers; worker++) {
			int len = pktring_pop(&dp.to_cp[worker], frame, size);
			if (len != -EAGAIN)
				return len;
		}
		poll(NULL, 0, 2); // the mock does not use the doorbell
	}
	return -ETIMEDOUT;
}

static void test_dtls(void)
{
	uint8_t frame[2100];
	struct punt_hdr hdr;
	uint64_t rate = mock_counter(&dp, DROP_PUNT_RATE), no_flow;
	int len;

	mock_send(&a, hello, sizeof(hello));
	len = pop(frame, sizeof(frame));
	memcpy(&hdr, frame, sizeof(hdr));
	mock_ok(len == (int)(sizeof(hdr) + sizeof(hello)) && hdr.sid == a.sid && hdr.kind == PUNT_DTLS &&
			memcmp(frame + sizeof(hdr), hello, sizeof(hello)) == 0,
		"DTLS of a validated path reaches the control plane");
	hdr = (struct punt_hdr){.sid = a.sid, .kind = PUNT_DTLS, .len = sizeof(hello)};
	mock_ok(pktring_push(&dp.to_dp, &hdr, sizeof(hdr), hello, sizeof(hello)) == 0, "its answer");
	pktring_kick(&dp.to_dp);
	for (unsigned i = 0; i < 50 && a.n_dtls == 0; i++)
		mock_hear(&a, 0, 20);
	mock_ok(a.n_dtls == 1 && a.dtls_len == sizeof(hello), "reaches the client");
	hdr.sid = 0x02000000 | (a.sid & 0xffffff);
	mock_ok(pktring_push(&dp.to_dp, &hdr, sizeof(hdr), hello, sizeof(hello)) == 0,
		"one for another generation");
	hdr = (struct punt_hdr){.sid = a.sid, .kind = 9, .len = 60000};
	mock_ok(pktring_push(&dp.to_dp, &hdr, sizeof(hdr), hello, sizeof(hello)) == 0, "and nonsense");
	pktring_kick(&dp.to_dp);
	mock_ok(mock_counter_reaches(&dp, DROP_PUNT_BAD_FRAME, 2), "are dropped");
	for (unsigned i = 0; i < 500; i++)
		mock_send(&a, hello, sizeof(hello));
	mock_ok(mock_counter_reaches(&dp, DROP_PUNT_RATE, rate + 300),
		"a flood from a validated path is limited");
	no_flow = mock_counter(&dp, DROP_NO_FLOW);
	mock_peer_socket(&a);
	for (unsigned i = 0; i < 100; i++)
		mock_send(&a, hello, sizeof(hello));
	mock_ok(mock_counter_reaches(&dp, DROP_NO_FLOW, no_flow + 100),
		"from elsewhere it costs nothing");
	mock_ok(mock_peer_check(&a), "a check from there opens it");
	for (unsigned i = 0; i < 100; i++) { // until the path follows the media
		mock_voice(&a, LEVEL);
		mock_hear(&b, 1, 500);
		poll(NULL, 0, 20);
	}
}

// --- life of sessions ---------------------------------------------------------------------------------------

static void test_before_keys(void)
{
	struct mock_peer c;
	struct mock_stream *s;
	uint32_t at_b;

	mock_peer_init(&c, &dp, 0x01000002, SEAL_AEAD_AES_128_GCM);
	mock_ok(mock_peer_add(&c) == 0 && mock_peer_check(&c) && mock_peer_track(&c, true) == 0,
		"a third one without keys");
	at_b = mock_subscribe(&b, &c);
	for (unsigned i = 0; i < 8; i++)
		mock_voice(&c, LEVEL);
	poll(NULL, 0, 50); // they must be there before the keys: nothing says so, late ones pass anyway
	mock_ok(mock_peer_keys(&c) == 0, "gets its keys");
	mock_hear(&b, 8, 1000);
	s = mock_stream(&b, at_b);
	mock_ok(s && s->n == 8 && s->n_gaps == 0 && s->n_late == 0,
		"8 packets from before are delivered in order");
	mock_ok(mock_leave(&c) == 0, "it leaves");
}

static void test_slot_reuse(void)
{
	struct mock_peer c, d;
	struct ipc_leg_ref leg = {.sid = b.sid};
	struct ipc_session_ref ref = {.sid = 0x01000003};
	int fd;

	mock_join(&c, &dp, 0x01000003, SEAL_AEAD_AES_128_GCM);
	mock_subscribe(&b, &c);
	leg.leg = (uint16_t)(b.next_leg - 1);
	fd = dup(c.fd);
	mock_ok(mock_leave(&c) == 0 && mock_cmd(&dp, &leg, CMD_LEG_DEL) == -ENOENT,
		"with a source go the legs it feeds");
	mock_ok(mock_cmd(&dp, &ref, CMD_SESSION_DEL) == -ENOENT, "a session is gone once");
	mock_peer_init(&d, &dp, 0x02000003, SEAL_AEAD_AES_128_GCM);
	close(d.fd);
	d.fd = fd; // the same address as before
	mock_ok(mock_peer_add(&d) == 0 && mock_peer_check(&d),
		"a new session in the same slot, from the same address");
	mock_ok(mock_cmd(&dp, &ref, CMD_SESSION_DEL) == -ENOENT, "the old id means nothing");
	mock_ok(mock_leave(&d) == 0, "and it leaves as well");
}

static void test_commands(void)
{
	struct ipc_leg_add leg = {.sid = b.sid,
				  .leg = 200,
				  .pt = 111,
				  .src_sid = b.sid,
				  .codec = CODEC_OPUS,
				  .ssrc = 12345,
				  .clock_hz = 48000};
	struct ipc_session_keys keys = {.sid = a.sid, .profile = SEAL_AES128_CM_SHA1_80};
	struct ipc_session_add add = {.sid = a.sid};
	struct ipc_track_add track = {.sid = a.sid, .track = 99};
	uint32_t sessions, seen;
	struct ipc_bare snap = {};

	mock_ok(mock_cmd(&dp, &leg, CMD_LEG_ADD) == -EINVAL, "nobody hears himself");
	leg.src_sid = a.sid;
	leg.src_track = 7;
	mock_ok(mock_cmd(&dp, &leg, CMD_LEG_ADD) == -ENOENT, "nor a track that is not there");
	leg.src_track = 0;
	leg.ssrc = a_at_b;
	mock_ok(mock_cmd(&dp, &leg, CMD_LEG_ADD) == -EEXIST, "an SSRC is used once under a key");
	mock_ok(mock_cmd(&dp, &keys, CMD_SESSION_KEYS) == -EEXIST, "a live session keeps its keys");
	memset(add.ufrag, 'u', sizeof(add.ufrag));
	memset(add.pwd, 'p', sizeof(add.pwd));
	mock_ok(mock_cmd(&dp, &add, CMD_SESSION_ADD) < 0, "a live slot is not given away");
	mock_ok(mock_cmd(&dp, &track, CMD_TRACK_ADD) == -EINVAL, "track 99 is out of range");
	sessions = dp.n_events[EVT_SNAP_SESSION];
	seen = dp.n_events[EVT_SNAP_END];
	mock_cmd(&dp, &snap, CMD_SNAPSHOT);
	mock_ok(mock_event(&dp, EVT_SNAP_END, seen) && dp.n_events[EVT_SNAP_SESSION] - sessions == 3,
		"and the snapshot shows what it did before");
}

// Commands without end whose acks are not read: the daemon lets go of the peer, not of the call.
static void test_deaf_peer(void)
{
	struct ipc_session_ref ref = {.hdr = {.type = CMD_SESSION_DEL, .len = sizeof(ref)},
				      .sid = 0x05000005};
	int fd;
	bool gone = false;

	mock_disconnect(&dp);
	fd = ipc_connect(dp.socket);
	for (unsigned i = 0; i < 2000000 && !gone; i++) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		poll(&p, 1, 1000);
		gone = send(fd, &ref, sizeof(ref), MSG_NOSIGNAL) < 0 && errno != EAGAIN;
	}
	close(fd);
	mock_ok(gone, "a peer that reads nothing is disconnected");
	mock_connect(&dp);
	mock_ok(talk(20, 0) && gaps() == 0, "and the call goes on, with the next one connected");
}

static void test_consent(struct mock_peer *silent, ns_t since)
{
	uint32_t seen;
	bool lost = false;
	uint64_t n;

	while (!lost && clock_now() - since < 33 * NS_PER_S) {
		seen = dp.n_events[EVT_LIVENESS];
		mock_peer_check(&a); // the others go on checking
		mock_peer_check(&b);
		talk(1, 200);
		mock_poll(&dp);
		lost = dp.n_events[EVT_LIVENESS] > seen &&
		       dp.last[EVT_LIVENESS].liveness.state == LIVE_LOST &&
		       dp.last[EVT_LIVENESS].liveness.sid == silent->sid;
	}
	mock_ok(lost && clock_now() - since > 28 * NS_PER_S,
		"consent ends after 30 s without checks (%.1f s)", (double)(clock_now() - since) / 1e9);
	mock_hear(silent, 0, 50);
	n = silent->stream[0].n;
	talk(10, 0);
	mock_hear(silent, 0, 50);
	mock_ok(n > 0 && silent->stream[0].n == n, "then nothing more is sent to it");
}

int main(int argc, char **argv)
{
	struct mock_peer silent;
	ns_t since;

	mock_dp_start(&dp, argv[0],
		      argc > 1 && atoi(argv[1]) > 1 ? "  worker_cores: \"0,1\"\n  idle: sleep\n" : NULL);
	mock_join(&silent, &dp, 0x01000009, SEAL_AEAD_AES_128_GCM);
	since = clock_now();
	mock_join(&a, &dp, 0x01000000, SEAL_AEAD_AES_128_GCM);
	mock_join(&b, &dp, 0x01000001, SEAL_AES128_CM_SHA1_80);
	a_at_b = mock_subscribe(&b, &a);
	b_at_a = mock_subscribe(&a, &b);
	mock_subscribe(&silent, &a);
	mock_ok(talk(20, 0), "two participants hear each other");
	test_flood();
	test_stun();
	test_replay();
	test_damage();
	test_ssrcs();
	mock_ok(talk(20, 0), "the call goes on");
	test_dtls();
	test_before_keys();
	test_slot_reuse();
	test_commands();
	mock_ok(talk(20, 0), "the call goes on");
	test_deaf_peer();
	test_consent(&silent, since);
	mock_counters(&dp);
	mock_ok(mock_leave(&a) == 0 && mock_leave(&b) == 0 && mock_leave(&silent) == 0, "all leave");
	mock_ok(mock_dp_stop(&dp) == 0, "SIGTERM ends sluice-dp with status 0");
	return mock_done();
}
