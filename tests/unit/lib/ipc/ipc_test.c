// Connections: what crosses them, what waits, what is refused; and two processes.
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
#include "lib/ipc/bell.h"
#include "lib/ipc/ipc.h"
#include "lib/ipc/pktring.h"
#include "lib/ipc/statseg.h"
#include "tests/support/lib/ipc_fill.h"

#define QUEUE 4096

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
	ipc_fill(&m, EVT_HELLO);
	m.hello.n_workers = IPC_MAX_WORKERS;
	n_all = IPC_HELLO_FDS(m.hello.n_workers);
	for (int i = 0; i < n_all; i++)
		out[i] = bell_new();
	CHECK_EQ(ipc_chan_send_fds(l.dp, &m, out, (unsigned)n_all), 0);
	CHECK_EQ(ipc_chan_recv(l.cp, &got, fds, &n, &why), sizeof(struct ipc_hello));
	CHECK_EQ(n, n_all);
	CHECK_MEM(&got, &m, sizeof(struct ipc_hello));
	CHECK(fcntl(fds[n_all - 1], F_GETFD) & FD_CLOEXEC);
	struct pollfd bell = {.fd = fds[2], .events = POLLIN};
	CHECK_EQ(poll(&bell, 1, 0), 0);
	bell_ring(out[2]); // the same bell at both ends
	CHECK_EQ(poll(&bell, 1, 0), 1);
	for (int i = 0; i < n_all; i++)
		close(out[i]), close(fds[i]);
	CHECK_EQ(ipc_chan_recv(l.cp, &got, fds, &n, &why), -EAGAIN);
	ipc_chan_free(l.dp);
	l.dp = NULL;
	CHECK_EQ(ipc_chan_recv(l.cp, &got, fds, &n, &why), 0);
	ipc_fill(&m, CMD_SNAPSHOT);
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
	int bell = bell_new(), five[] = {bell, bell, bell, bell, bell}, fds[IPC_MAX_FDS];
	unsigned n, before;
	const char *why = NULL;

	CHECK_OR_RETURN(link_open(&l));
	before = n_open_fds();
	ipc_fill(&m, EVT_SNAP_END);
	CHECK_EQ(ipc_chan_send_fds(l.dp, &m, five, 2), 0);
	CHECK_EQ(ipc_chan_recv(l.cp, &got, fds, &n, &why), -EBADMSG);
	CHECK_STR(why, "wrong number of descriptors");
	CHECK_EQ(n, 0);
	ipc_fill(&m, EVT_HELLO);
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
	ipc_fill(&got, CMD_LEG_DEL);
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
		ipc_fill(&m, CMD_SESSION_DEL);
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

	ipc_fill(&m, EVT_HELLO);
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
	int memfd = pktring_create(PKTRING_MIN_SIZE, N_PUNT_RINGS(1)), to_cp = bell_new(),
	    to_dp = bell_new(), listener, status = -1;
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
