#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/ipc/ipc.h"
#include "lib/ipc/pktring.h"
#include "lib/ipc/statseg.h"

#define SID (1u << 24 | 5)
#define QUEUE 4096

static const uint16_t all_types[] = {
	CMD_HELLO,          CMD_SNAPSHOT,    CMD_SESSION_ADD, CMD_SESSION_ICE,  CMD_SESSION_KEYS,
	CMD_SESSION_EXTMAP, CMD_SESSION_DEL, CMD_TRACK_ADD,   CMD_TRACK_GATE,   CMD_TRACK_DEL,
	CMD_LEG_ADD,        CMD_LEG_DEL,     EVT_HELLO,       EVT_ACK,          EVT_PATH,
	EVT_LIVENESS,       EVT_TRACK_LIVE,  EVT_VOICE,       EVT_SNAP_SESSION, EVT_SNAP_TRACK,
	EVT_SNAP_LEG,       EVT_SNAP_END,    CMD_QUERY,       EVT_LEG_STATE,    EVT_SESSION_STATE,
};

static void fill_leg(struct ipc_leg_add *l)
{
	l->sid = l->src_sid = SID;
	l->codec = CODEC_OPUS;
	l->pt = 111;
	l->ssrc = 1;
	l->clock_hz = 48000;
}

// The smallest valid message of a type.
static void fill(union ipc_msg *m, unsigned type)
{
	memset(m, 0, sizeof(*m));
	m->hdr = (struct ipc_hdr){.type = (uint16_t)type, .len = (uint16_t)ipc_type_size(type)};
	m->session_ref.sid = SID; // where most have it
	switch (type) {
	case CMD_HELLO:
	case EVT_HELLO:
		m->hello = (struct ipc_hello){m->hdr,
					      .version = IPC_VERSION,
					      .boot_id = 1,
					      .punt_size = PKTRING_MIN_SIZE,
					      .max_sessions = 100,
					      .n_workers = 1,
					      .media_port = 8443};
		break;
	case CMD_SESSION_ADD:
		memset(m->session_add.ufrag, 'u', IPC_UFRAG_LEN);
		memset(m->session_add.pwd, '/', IPC_PWD_LEN);
		break;
	case CMD_SESSION_ICE:
		memset(m->session_ice.ufrag, 'u', IPC_UFRAG_LEN);
		memset(m->session_ice.pwd, '9', IPC_PWD_LEN);
		break;
	case CMD_SESSION_KEYS:
		m->session_keys.profile = 7;
		break;
	case CMD_TRACK_ADD:
		m->track_add.clock_hz = 48000;
		break;
	case EVT_ACK:
		m->ack.err = 0;
		break;
	case CMD_LEG_ADD:
		fill_leg(&m->leg_add);
		break;
	case EVT_PATH:
		m->path.remote = (struct ipc_addr){.family = 4, .proto = 17, .port = 9};
		break;
	case EVT_SNAP_TRACK:
		m->snap_track.add.sid = SID;
		m->snap_track.add.clock_hz = 48000;
		break;
	case EVT_SNAP_LEG:
		fill_leg(&m->snap_leg.add);
		break;
	case EVT_LEG_STATE:
		m->leg_state.src_sid = SID;
		m->leg_state.layer = UINT8_MAX;
		break;
	default:
		break;
	}
}

static enum ipc_side side_of(unsigned type)
{
	return type < EVT_HELLO ? IPC_FROM_CP : IPC_FROM_DP;
}

static void test_every_type_is_known(void)
{
	for (size_t i = 0; i < ARRAY_LEN(all_types); i++) {
		union ipc_msg m;
		const char *why = NULL;
		unsigned type = all_types[i];

		CHECK(strcmp(ipc_type_name(type), "unknown") != 0);
		CHECK_OR_RETURN(ipc_type_size(type) >= sizeof(struct ipc_hdr) &&
				ipc_type_size(type) <= IPC_MAX_MSG);
		CHECK_EQ(ipc_type_size(type) % 4, 0);
		fill(&m, type);
		if (ipc_check(&m, m.hdr.len, side_of(type), &why) != 0)
			check_note(__FILE__, __LINE__, "%s: %s", ipc_type_name(type), why);
		CHECK(why == NULL);
	}
	CHECK_STR(ipc_type_name(0), "unknown");
	CHECK_EQ(ipc_type_size(50), 0);
}

static void test_lengths_and_directions_are_exact(void)
{
	for (size_t i = 0; i < ARRAY_LEN(all_types); i++) {
		union ipc_msg m;
		const char *why;
		uint16_t type = all_types[i], len;
		bool is_hello = type == CMD_HELLO || type == EVT_HELLO;

		fill(&m, type);
		len = m.hdr.len;
		CHECK_EQ(ipc_check(&m, len, side_of(type) == IPC_FROM_CP ? IPC_FROM_DP : IPC_FROM_CP, &why),
			 -EBADMSG);
		CHECK_STR(why, "wrong direction");
		CHECK_EQ(ipc_check(&m, len - 1u, side_of(type), &why), -EBADMSG);
		CHECK_EQ(ipc_check(&m, len + 1u, side_of(type), &why), -EBADMSG);
		m.hdr.len++; // says more than there is
		CHECK_EQ(ipc_check(&m, len, side_of(type), NULL), -EBADMSG);
		CHECK_EQ(ipc_check(&m, 0, side_of(type), NULL), -EBADMSG);
		CHECK_EQ(ipc_check(&m, 7, side_of(type), NULL), -EBADMSG);
		if (!is_hello && type != CMD_SNAPSHOT && type != EVT_SNAP_END && type != EVT_ACK) {
			fill(&m, type);
			if (type == EVT_SNAP_TRACK)
				m.snap_track.add.sid = 5; // generation 0
			else if (type == EVT_SNAP_LEG)
				m.snap_leg.add.sid = 5;
			else
				m.session_ref.sid = 5;
			CHECK_EQ(ipc_check(&m, len, side_of(type), &why), -EBADMSG);
			CHECK_STR(why, "sid");
		}
	}
}

static void test_other_version_is_named(void)
{
	union ipc_msg m;
	const char *why;

	fill(&m, EVT_HELLO);
	m.hello.version = IPC_VERSION + 1;
	CHECK_EQ(ipc_check(&m, m.hdr.len, IPC_FROM_DP, &why), -EPROTO);
	CHECK_STR(why, "other version");
	CHECK_EQ(ipc_check(&m, m.hdr.len + 64u, IPC_FROM_DP, &why), -EPROTO); // its hello may have grown
}

static bool is_refused(const union ipc_msg *m)
{
	return ipc_check(m, m->hdr.len, side_of(m->hdr.type), NULL) == -EBADMSG;
}

static void test_values_out_of_range_are_refused(void)
{
	union ipc_msg m;

#define REFUSED(type, member, value)   \
	do {                           \
		fill(&m, type);        \
		m.member = value;      \
		CHECK(is_refused(&m)); \
	} while (0)
	REFUSED(CMD_HELLO, hello.boot_id, 0);
	REFUSED(EVT_HELLO, hello.punt_size, 5000);
	REFUSED(EVT_HELLO, hello.punt_size, 1u << 31);
	REFUSED(EVT_HELLO, hello.n_workers, 0);
	REFUSED(EVT_HELLO, hello.max_sessions, UINT32_MAX);
	REFUSED(CMD_SESSION_ADD, session_add.ufrag[3], ':');
	REFUSED(CMD_SESSION_ADD, session_add.pwd[31], '\0');
	REFUSED(CMD_SESSION_ICE, session_ice.remote_ufrag_len, 33);
	REFUSED(CMD_SESSION_KEYS, session_keys.profile, 2);
	REFUSED(CMD_TRACK_ADD, track_add.track, IPC_MAX_TRACKS);
	REFUSED(CMD_TRACK_ADD, track_add.kind, 2);
	REFUSED(CMD_TRACK_ADD, track_add.clock_hz, 0);
	REFUSED(CMD_TRACK_ADD, track_add.codec[3].pt, 128);
	REFUSED(CMD_TRACK_ADD, track_add.codec[0].codec, CODEC_RTX + 1);
	REFUSED(CMD_TRACK_GATE, track_gate.enabled, 2);
	REFUSED(CMD_TRACK_DEL, track_ref.track, 0xffff);
	REFUSED(CMD_LEG_ADD, leg_add.leg, IPC_MAX_LEGS);
	REFUSED(CMD_LEG_ADD, leg_add.src_sid, 7);
	REFUSED(CMD_LEG_ADD, leg_add.ssrc, 0);
	REFUSED(CMD_LEG_ADD, leg_add.rtx_pt, 97); // without an SSRC for it
	REFUSED(CMD_LEG_ADD, leg_add.codec, CODEC_NONE);
	REFUSED(CMD_LEG_DEL, leg_ref.leg, IPC_MAX_LEGS);
	REFUSED(EVT_ACK, ack.err, 1);
	REFUSED(EVT_ACK, ack.err, INT32_MIN);
	REFUSED(EVT_PATH, path.remote.family, 5);
	REFUSED(EVT_PATH, path.remote.family, 0);
	REFUSED(EVT_PATH, path.local.family, 6); // without protocol and port
	REFUSED(EVT_PATH, path.remote.port, 0);
	REFUSED(EVT_LIVENESS, liveness.state, LIVE_NO_PATH + 1);
	REFUSED(EVT_TRACK_LIVE, track_live.pt, 128);
	REFUSED(EVT_VOICE, voice.on, 2);
	REFUSED(EVT_SNAP_SESSION, snap_session.profile, 9);
	REFUSED(EVT_SNAP_TRACK, snap_track.live_pt, 200);
	REFUSED(EVT_SNAP_LEG, snap_leg.add.kind, 2);
#undef REFUSED
	fill(&m, CMD_SESSION_ICE);
	memset(m.session_ice.remote_pwd, 'x', sizeof(m.session_ice.remote_pwd));
	CHECK(is_refused(&m));
	fill(&m, EVT_TRACK_LIVE);
	memset(m.track_live.rid, 'l', sizeof(m.track_live.rid));
	CHECK(is_refused(&m));
	fill(&m, CMD_SESSION_EXTMAP);
	m.session_extmap.id[EXT_MID] = m.session_extmap.id[EXT_LEVEL] = 3;
	CHECK(is_refused(&m));
}

// docs/ipc.md is written by hand; its table must not fall behind.
static void test_the_manual_lists_every_message(void)
{
	static char text[1 << 16];
	FILE *f = fopen("docs/ipc.md", "r");

	CHECK_OR_RETURN(f != NULL);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	for (size_t i = 0; i < ARRAY_LEN(all_types); i++) {
		char row[64];

		snprintf(row, sizeof(row), "| `%s` | %u | %zu |", ipc_type_name(all_types[i]), all_types[i],
			 ipc_type_size(all_types[i]));
		if (strstr(text, row) == NULL)
			check_note(__FILE__, __LINE__, "docs/ipc.md lacks: %s", row);
		CHECK(strstr(text, row) != NULL);
	}
}

// --- connections -------------------------------------------------------------------------------
struct link {
	struct ipc_chan *dp, *cp;
};

static bool link_open(struct link *l)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		return false;
	l->dp = ipc_chan_new(fd[0], IPC_FROM_DP, QUEUE);
	l->cp = ipc_chan_new(fd[1], IPC_FROM_CP, QUEUE);
	return l->dp && l->cp;
}

static void link_close(struct link *l)
{
	ipc_chan_free(l->dp);
	ipc_chan_free(l->cp);
	ipc_chan_free(NULL);
}

static void test_messages_and_descriptors_cross(void)
{
	struct link l;
	union ipc_msg m, got;
	int fds[IPC_MAX_FDS], out[IPC_MAX_FDS], n_all;
	unsigned n = 9;
	const char *why;

	CHECK_OR_RETURN(link_open(&l));
	fill(&m, EVT_HELLO);
	m.hello.n_workers = IPC_MAX_WORKERS;
	n_all = IPC_HELLO_FDS(m.hello.n_workers);
	for (int i = 0; i < n_all; i++)
		out[i] = pktring_doorbell();
	CHECK_EQ(ipc_chan_send_fds(l.dp, &m, out, (unsigned)n_all), 0);
	CHECK_EQ(ipc_chan_recv(l.cp, &got, fds, &n, &why), sizeof(struct ipc_hello));
	CHECK_EQ(n, n_all);
	CHECK_MEM(&got, &m, sizeof(struct ipc_hello));
	CHECK(fcntl(fds[n_all - 1], F_GETFD) & FD_CLOEXEC);
	CHECK_EQ(write(out[2], &(uint64_t){7}, 8), 8); // the same eventfd at both ends
	uint64_t v = 0;
	CHECK_EQ(read(fds[2], &v, 8), 8);
	CHECK_EQ(v, 7);
	for (int i = 0; i < n_all; i++)
		close(out[i]), close(fds[i]);
	CHECK_EQ(ipc_chan_recv(l.cp, &got, fds, &n, &why), -EAGAIN);
	ipc_chan_free(l.dp);
	l.dp = NULL;
	CHECK_EQ(ipc_chan_recv(l.cp, &got, fds, &n, &why), 0);
	fill(&m, CMD_SNAPSHOT);
	CHECK_EQ(ipc_chan_send(l.cp, &m), -EPIPE);
	link_close(&l);
}

static unsigned n_open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_unwanted_descriptors_are_closed(void)
{
	struct link l;
	union ipc_msg m, got;
	int bell = pktring_doorbell(), five[] = {bell, bell, bell, bell, bell}, fds[IPC_MAX_FDS];
	unsigned n, before;
	const char *why = NULL;

	CHECK_OR_RETURN(link_open(&l));
	before = n_open_fds();
	fill(&m, EVT_SNAP_END);
	CHECK_EQ(ipc_chan_send_fds(l.dp, &m, five, 2), 0);
	CHECK_EQ(ipc_chan_recv(l.cp, &got, fds, &n, &why), -EBADMSG);
	CHECK_STR(why, "wrong number of descriptors");
	CHECK_EQ(n, 0);
	fill(&m, EVT_HELLO);
	m.hello.n_workers = 1;
	for (unsigned few = 3; few <= 5; few += 2) {
		CHECK_EQ(ipc_chan_send_fds(l.dp, &m, five, few), 0);
		CHECK_EQ(ipc_chan_recv(l.cp, &got, fds, &n, &why), -EBADMSG);
	}
	CHECK_EQ(ipc_chan_send_fds(l.dp, &m, five, 4), 0);
	CHECK_EQ(ipc_chan_recv(l.cp, &got, NULL, NULL, &why), -EBADMSG);
	CHECK_STR(why, "unwanted descriptors");
	m.hello.version++;
	CHECK_EQ(ipc_chan_send_fds(l.dp, &m, five, 4), 0);
	CHECK_EQ(ipc_chan_recv(l.cp, &got, fds, &n, &why), -EPROTO);
	CHECK_EQ(n_open_fds(), before);
	close(bell);
	link_close(&l);
}

static void test_raw_garbage_is_refused(void)
{
	struct link l;
	union ipc_msg got;
	static uint8_t junk[IPC_MAX_MSG + 50];
	const char *why;

	CHECK_OR_RETURN(link_open(&l));
	memset(junk, 0xee, sizeof(junk));
	CHECK_EQ(send(ipc_chan_fd(l.cp), junk, sizeof(junk), 0), sizeof(junk));
	CHECK_EQ(ipc_chan_recv(l.dp, &got, NULL, NULL, &why), -EBADMSG);
	CHECK_STR(why, "wrong length");
	CHECK_EQ(send(ipc_chan_fd(l.cp), junk, 3, 0), 3);
	CHECK_EQ(ipc_chan_recv(l.dp, &got, NULL, NULL, &why), -EBADMSG);
	fill(&got, CMD_LEG_DEL);
	got.hdr.seq = 99;
	got.leg_ref.leg = 9999;
	CHECK_EQ(send(ipc_chan_fd(l.cp), &got, got.hdr.len, 0), got.hdr.len);
	CHECK_EQ(ipc_chan_recv(l.dp, &got, NULL, NULL, &why), -EBADMSG);
	CHECK_EQ(got.hdr.seq, 99); // so that it can be answered
	CHECK_EQ(got.hdr.type, CMD_LEG_DEL);
	link_close(&l);
}

static void test_what_the_socket_does_not_take_waits_in_order(void)
{
	struct link l;
	union ipc_msg m, got;
	uint32_t n_sent = 0, n_got = 0;
	int rc, n;

	CHECK_OR_RETURN(link_open(&l));
	do {
		fill(&m, CMD_SESSION_DEL);
		m.hdr.seq = n_sent;
		rc = ipc_chan_send(l.cp, &m);
		n_sent += rc == 0;
	} while (rc == 0 && n_sent < 1000000);
	CHECK_EQ(rc, -ENOBUFS);
	CHECK(ipc_chan_wants_write(l.cp));
	CHECK_EQ(ipc_chan_send_fds(l.cp, &m, (int[]){0}, 1), -EAGAIN); // never behind others
	while ((n = ipc_chan_recv(l.dp, &got, NULL, NULL, NULL)) > 0) {
		CHECK_OR_RETURN(got.hdr.seq == n_got);
		n_got++;
		CHECK_EQ(ipc_chan_flush(l.cp), 0);
	}
	CHECK_EQ(n, -EAGAIN);
	CHECK_EQ(n_got, n_sent);
	CHECK(!ipc_chan_wants_write(l.cp));
	link_close(&l);
}

static void test_listening(void)
{
	char dir[] = "/tmp/ipc-test-XXXXXX", path[64], name[200];
	int listener, client, server;
	struct stat st;

	CHECK_OR_RETURN(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/dp.sock", dir);
	CHECK_EQ(ipc_connect(path), -ENOENT);
	listener = ipc_listen(path);
	CHECK_OR_RETURN(listener >= 0);
	CHECK_EQ(ipc_accept(listener), -EAGAIN);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0660);
	CHECK_EQ(ipc_listen(path), -EADDRINUSE); // somebody serves there
	client = ipc_connect(path);
	CHECK(client >= 0);
	server = ipc_accept(listener);
	CHECK(server >= 0);
	CHECK_EQ(ipc_accept(listener), -EAGAIN); // the second ipc_listen did not show up as a peer
	close(server);
	close(client);
	close(listener); // crashed: the file stays
	CHECK_EQ(ipc_connect(path), -ECONNREFUSED);
	listener = ipc_listen(path);
	CHECK(listener >= 0);
	close(listener);
	unlink(path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	CHECK_EQ(ipc_listen(path), -EEXIST); // not a socket: not ours to remove
	unlink(path);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	CHECK_EQ(ipc_listen(name), -ENAMETOOLONG);
	CHECK_EQ(ipc_connect(""), -ENAMETOOLONG);
	rmdir(dir);
}

// --- two processes -----------------------------------------------------------------------------
static bool is_ready(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, 5000) == 1;
}

// The other process: take the hello, then echo frames until one says "bye". Its exit status says what failed.
static int echo_peer(const char *path)
{
	struct ipc_chan *c = ipc_chan_new(ipc_connect(path), IPC_FROM_CP, QUEUE);
	int fds[IPC_MAX_FDS], n;
	struct pktring_mem mem;
	struct pktring_rx rx;
	struct pktring_tx tx;
	struct statseg *stats;
	union ipc_msg m;
	unsigned n_fds;
	char frame[64] = "";

	if (!is_ready(ipc_chan_fd(c)) || ipc_chan_recv(c, &m, fds, &n_fds, NULL) <= 0)
		return 1;
	stats = statseg_open(fds[HELLO_STATS]);
	if (pktring_map(&mem, fds[HELLO_RINGS], m.hello.punt_size, N_PUNT_RINGS(1)) < 0 || stats == NULL)
		return 2;
	if (statseg_sum(stats, DROP_MUTED) != 42)
		return 3;
	pktring_rx_init(&rx, &mem, PUNT_RING_TO_CP(0), fds[HELLO_BELL_TO_CP]);
	pktring_tx_init(&tx, &mem, PUNT_RING_TO_DP(0), fds[HELLO_BELL_TO_DP]);
	while (strncmp(frame, "bye", 3) != 0) {
		n = pktring_pop(&rx, frame, sizeof(frame));
		if (n > 0 && pktring_push(&tx, frame, (size_t)n, NULL, 0) < 0)
			return 4;
		pktring_kick(&tx);
		if (n == -EAGAIN && pktring_sleep(&rx)) {
			if (!is_ready(fds[HELLO_BELL_TO_CP]))
				return 5;
			pktring_wake(&rx);
		} else if (n < 0 && n != -EAGAIN) {
			return 6;
		}
	}
	return 0;
}

static int greet(struct ipc_chan *peer, int memfd, int to_cp, int to_dp, struct statseg *stats)
{
	union ipc_msg m;

	fill(&m, EVT_HELLO);
	return ipc_chan_send_fds(peer, &m, (int[]){memfd, statseg_fd(stats), to_cp, to_dp}, IPC_HELLO_FDS(1));
}

// Send one frame and wait for its echo.
static bool echoes(struct pktring_tx *tx, struct pktring_rx *rx, const char *frame)
{
	char out[64] = "";
	int n;

	if (pktring_push(tx, frame, 3, frame + 3, strlen(frame) - 3) < 0)
		return false;
	pktring_kick(tx);
	while ((n = pktring_pop(rx, out, sizeof(out))) == -EAGAIN) {
		if (pktring_sleep(rx) && !is_ready(rx->doorbell))
			return false;
		pktring_wake(rx);
	}
	return n == (int)strlen(frame) && memcmp(out, frame, strlen(frame)) == 0;
}

static void test_a_process_gets_rings_and_statistics(void)
{
	char dir[] = "/tmp/ipc-test-XXXXXX", path[64], frame[32];
	int memfd = pktring_create(PKTRING_MIN_SIZE, N_PUNT_RINGS(1)), to_cp = pktring_doorbell(),
	    to_dp = pktring_doorbell(), listener, status = -1;
	struct statseg *stats = statseg_create(1, 1);
	struct pktring_mem mem;
	struct pktring_tx tx;
	struct pktring_rx rx;
	struct ipc_chan *peer;
	pid_t pid;

	CHECK_OR_RETURN(mkdtemp(dir) != NULL && stats != NULL);
	snprintf(path, sizeof(path), "%s/dp.sock", dir);
	listener = ipc_listen(path);
	CHECK_EQ(pktring_map(&mem, memfd, PKTRING_MIN_SIZE, N_PUNT_RINGS(1)), 0);
	pktring_tx_init(&tx, &mem, PUNT_RING_TO_CP(0), to_cp);
	pktring_rx_init(&rx, &mem, PUNT_RING_TO_DP(0), to_dp);
	statseg_add(statseg_block(stats, 0), DROP_MUTED, 42);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(echo_peer(path));
	CHECK_OR_RETURN(pid > 0 && is_ready(listener));
	peer = ipc_chan_new(ipc_accept(listener), IPC_FROM_DP, QUEUE);
	CHECK_EQ(greet(peer, memfd, to_cp, to_dp, stats), 0);
	for (int i = 0; i < 500; i++) {
		snprintf(frame, sizeof(frame), "frame %d", i);
		CHECK_OR_RETURN(echoes(&tx, &rx, frame));
	}
	CHECK(echoes(&tx, &rx, "bye"));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	ipc_chan_free(peer);
	pktring_unmap(&mem);
	statseg_close(stats);
	close(listener);
	close(memfd);
	close(to_cp);
	close(to_dp);
	unlink(path);
	rmdir(dir);
}

CU_TestInfo ipc_tests[] = {
	{"every type has a name, a size and a valid smallest message", test_every_type_is_known},
	{"length, direction and session id are checked for every type",
	 test_lengths_and_directions_are_exact},
	{"a hello of another version is told apart, whatever its length", test_other_version_is_named},
	{"values out of range are refused", test_values_out_of_range_are_refused},
	{"the manual lists every message with its number and size", test_the_manual_lists_every_message},
	{"messages and descriptors cross, the end is seen", test_messages_and_descriptors_cross},
	{"unwanted descriptors are closed", test_unwanted_descriptors_are_closed},
	{"raw garbage is refused, a bad command can be answered", test_raw_garbage_is_refused},
	{"what the socket does not take waits in order and bounded",
	 test_what_the_socket_does_not_take_waits_in_order},
	{"another process gets rings, doorbells and statistics by the hello",
	 test_a_process_gets_rings_and_statistics},
	{"a stale socket is replaced, a live one and other files are not", test_listening},
	CU_TEST_INFO_NULL,
};
