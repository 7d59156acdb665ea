#include "tests/mock/mock.h"

#include <arpa/inet.h>
#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

static unsigned n_tests, n_failed;

bool mock_ok(bool ok, const char *fmt, ...)
{
	va_list ap;

	n_failed += !ok;
	printf("%s %u - ", ok ? "ok" : "not ok", ++n_tests);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	return ok;
}

int mock_done(void)
{
	printf("1..%u\n", n_tests);
	return n_failed ? 1 : 0;
}

void mock_counters(struct mock_dp *d)
{
	for (unsigned i = 1; i < N_COUNTERS; i++)
		if (statseg_sum(d->stats, i))
			printf("# %s %llu\n", counter_info(i)->name,
			       (unsigned long long)statseg_sum(d->stats, i));
	fflush(stdout);
}

// --- the daemon -----------------------------------------------------------------------------------------

// A port that is free now. type: SOCK_DGRAM, SOCK_STREAM
static unsigned free_port(int type)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		die(EXIT_OS, "free port: %s", strerror(errno));
	close(fd);
	return ntohs(a.sin_port);
}

static void write_config(const struct mock_dp *d, const char *yaml)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/c.yaml", d->dir);
	f = fopen(path, "w");
	if (f == NULL)
		die(EXIT_OS, "%s: %s", path, strerror(errno));
	fprintf(f, "rtc:\n  ice_port_udp: %u\n  ice_port_tcp: %u\ndataplane:\n  socket: %s\n%s",
		free_port(SOCK_DGRAM), free_port(SOCK_STREAM), d->socket, yaml ? yaml : "");
	fclose(f);
}

static void exec_daemon(const struct mock_dp *d, const char *argv0)
{
	char copy[PATH_MAX], bin[PATH_MAX + 16], conf[128];

	prctl(PR_SET_PDEATHSIG, SIGKILL); // a test that dies leaves no daemon behind
	snprintf(copy, sizeof(copy), "%s", argv0);
	snprintf(bin, sizeof(bin), "%s/sluice-dp", dirname(copy));
	snprintf(conf, sizeof(conf), "%s/c.yaml", d->dir);
	execl(bin, bin, "--config", conf, NULL);
	die(EXIT_OS, "%s: %s", bin, strerror(errno));
}

void mock_dp_start(struct mock_dp *d, const char *argv0, const char *yaml)
{
	*d = (struct mock_dp){};
	snprintf(d->dir, sizeof(d->dir), "/tmp/sluice-mock.XXXXXX");
	if (mkdtemp(d->dir) == NULL)
		die(EXIT_OS, "%s: %s", d->dir, strerror(errno));
	snprintf(d->socket, sizeof(d->socket), "%s/dp.sock", d->dir);
	write_config(d, yaml);
	d->pid = fork();
	if (d->pid == 0)
		exec_daemon(d, argv0);
	mock_connect(d);
}

int mock_dp_stop(struct mock_dp *d)
{
	char cmd[128];
	int status = 0;

	mock_disconnect(d);
	statseg_close(d->stats);
	d->stats = NULL;
	kill(d->pid, SIGTERM);
	waitpid(d->pid, &status, 0);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", d->dir);
	if (system(cmd) != 0)
		fprintf(stderr, "%s is left behind\n", d->dir);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// --- the link -------------------------------------------------------------------------------------------

static void keep(struct mock_dp *d, const union ipc_msg *msg)
{
	d->n_events[msg->hdr.type]++;
	d->last[msg->hdr.type] = *msg;
}

// Wait for and take one message; false when the time is over. Dies when the daemon is gone.
static bool take(struct mock_dp *d, int ms, int *fds, unsigned *n_fds)
{
	struct pollfd p = {.fd = ipc_chan_fd(d->chan), .events = POLLIN};
	union ipc_msg msg;
	const char *why = "closed";
	int len;

	if (poll(&p, 1, ms) <= 0)
		return false;
	len = ipc_chan_recv(d->chan, &msg, fds, n_fds, &why);
	if (len == -EAGAIN)
		return false;
	if (len <= 0)
		die(EXIT_SOFTWARE, "sluice-dp sent something invalid or went away: %s (%d)", why, len);
	keep(d, &msg);
	return true;
}

static int open_link(const char *path)
{
	for (unsigned i = 0; i < MOCK_WAIT_MS / 10; i++) {
		int fd = ipc_connect(path);
		if (fd >= 0)
			return fd;
		usleep(10000); // the daemon is starting: there is nothing to wait on before its socket exists
	}
	die(EXIT_UNAVAILABLE, "sluice-dp does not serve %s", path);
}

void mock_connect(struct mock_dp *d)
{
	int fds[IPC_MAX_FDS];
	unsigned n_fds = 0;
	struct ipc_hello hello = {.version = IPC_VERSION, .pid = (uint32_t)getpid(), .boot_id = 1};
	uint32_t seen = d->n_events[EVT_HELLO];

	d->chan = ipc_chan_new(open_link(d->socket), IPC_FROM_CP, 1 << 20);
	if (d->chan == NULL || !take(d, MOCK_WAIT_MS, fds, &n_fds) || d->n_events[EVT_HELLO] == seen)
		die(EXIT_SOFTWARE, "no hello");
	d->hello = d->last[EVT_HELLO].hello;
	if (pktring_map(&d->punt, fds[HELLO_RINGS], d->hello.punt_size, N_PUNT_RINGS(d->hello.n_workers)) < 0)
		die(EXIT_SOFTWARE, "punt rings");
	memcpy(d->doorbell, fds, n_fds * sizeof(*fds));
	for (unsigned i = 0; i < d->hello.n_workers; i++)
		pktring_rx_init(&d->to_cp[i], &d->punt, PUNT_RING_TO_CP(i), fds[HELLO_BELL_TO_CP]);
	pktring_tx_init(&d->to_dp, &d->punt, PUNT_RING_TO_DP(0), fds[HELLO_BELL_TO_DP]);
	statseg_close(d->stats); // counters can be read while disconnected too
	d->stats = statseg_open(fds[HELLO_STATS]);
	close(fds[HELLO_RINGS]);
	close(fds[HELLO_STATS]);
	if (d->stats == NULL || mock_cmd(d, &hello, CMD_HELLO) != 0)
		die(EXIT_SOFTWARE, "hello refused");
}

void mock_disconnect(struct mock_dp *d)
{
	if (d->chan == NULL)
		return;
	ipc_chan_free(d->chan);
	d->chan = NULL;
	pktring_unmap(&d->punt);
	for (int i = HELLO_BELL_TO_CP; i < IPC_HELLO_FDS(d->hello.n_workers); i++)
		close(d->doorbell[i]);
}

int mock_command(struct mock_dp *d, void *msg, size_t size, enum ipc_type type)
{
	struct ipc_hdr *hdr = msg;
	uint32_t seen = d->n_events[EVT_ACK];

	*hdr = (struct ipc_hdr){.type = (uint16_t)type, .len = (uint16_t)size, .seq = ++d->seq};
	if (ipc_chan_send(d->chan, msg) < 0)
		die(EXIT_SOFTWARE, "cannot send %s", ipc_type_name(type));
	while (d->n_events[EVT_ACK] == seen || d->last[EVT_ACK].hdr.seq != d->seq)
		if (!take(d, MOCK_WAIT_MS, NULL, NULL))
			die(EXIT_SOFTWARE, "no ack for %s", ipc_type_name(type));
	d->ack = d->last[EVT_ACK].ack;
	return d->ack.err;
}

bool mock_event(struct mock_dp *d, enum ipc_type type, uint32_t seen)
{
	ns_t end = clock_now() + MOCK_WAIT_MS * NS_PER_MS;

	while (d->n_events[type] <= seen) {
		int left = (int)((end - clock_now()) / NS_PER_MS);
		if (left <= 0)
			return false;
		take(d, left, NULL, NULL);
	}
	return true;
}

void mock_poll(struct mock_dp *d)
{
	while (take(d, 0, NULL, NULL))
		;
}

uint64_t mock_counter(struct mock_dp *d, enum counter id)
{
	return statseg_sum(d->stats, id);
}

bool mock_counter_reaches(struct mock_dp *d, enum counter id, uint64_t value)
{
	for (unsigned i = 0; i < MOCK_WAIT_MS / 5; i++) {
		if (mock_counter(d, id) >= value)
			return true;
		usleep(5000); // counters have no event
	}
	return false;
}
