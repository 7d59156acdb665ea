// The kernel's own floor for `make bench`, beside which the cost of an SFU over kernel sockets of the same run is read. JSON rows.
//
//   perf-kernel                                 CPU of one sendmmsg(2) to 50 loopback sockets that are drained, per packet;
//                                               and of asking another process by eventfd and waiting for its answer
//   perf-kernel CALLS PEOPLE VOICES SECONDS     CPU of a server that does nothing but move the datagrams of such a call: one
//                                               thread, one socket, epoll, recvmmsg and sendmmsg; no cipher, no state
//
// The participants of the second form are a process of their own and send what sluicegun's do, at its pace of 5 ms: each a
// second a ping (answered), an acknowledgement and a receiver report, each 2.2 s a check (answered), and those who speak 50
// packets, which all others of the call get.
#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/perf/support/perf.h"

enum { RECEIVERS = 50, VOICE_BYTES = 198, ROUNDS = 2000, REPEATS = 7 };
enum { MAX_PEOPLE = 4000, AT_ONCE = 64, TICK_MS = 5 };
enum what { PING, ACK, REPORT, CHECK, N_CONTROL, VOICE = N_CONTROL, N_KINDS };

static const struct {
	double period_s;
	uint16_t bytes;
	bool is_answered;
} kinds[N_KINDS] = {
	[PING] = {1, 90, true},
	[ACK] = {1, 65, false},
	[REPORT] = {1, 70, false},
	[CHECK] = {2.2, 108, true},
	[VOICE] = {0.02, VOICE_BYTES, false},
};

// What each datagram begins with.
struct head {
	uint16_t what, from; // enum what; number of the participant
};

struct call_shape {
	unsigned calls, people, voices;
	double seconds;
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(71);
}

static int bind_loopback(struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 4 << 20;

	*at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	must(fd >= 0 && bind(fd, (struct sockaddr *)at, sizeof(*at)) == 0 &&
		     getsockname(fd, (struct sockaddr *)at, &len) == 0,
	     "socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// --- sendmmsg alone -------------------------------------------------------------------------------------

static void measure_sendmmsg(void)
{
	struct sockaddr_in self, to[RECEIVERS];
	int from = bind_loopback(&self), sink[RECEIVERS];
	static uint8_t payload[RECEIVERS][VOICE_BYTES], drain[2048];
	struct mmsghdr msgs[RECEIVERS] = {};
	struct iovec iov[RECEIVERS];
	struct samples us = {};

	for (int i = 0; i < RECEIVERS; i++) {
		sink[i] = bind_loopback(&to[i]);
		iov[i] = (struct iovec){payload[i], VOICE_BYTES};
		msgs[i].msg_hdr = perf_datagram(&to[i], &iov[i]);
	}
	for (int k = 0; k < REPEATS; k++) {
		double spent = 0;
		long delivered = 0;
		for (int r = 0; r < ROUNDS; r++) {
			double begin = seconds(CLOCK_THREAD_CPUTIME_ID);
			must(sendmmsg(from, msgs, RECEIVERS, 0) == RECEIVERS, "sendmmsg");
			spent += seconds(CLOCK_THREAD_CPUTIME_ID) - begin;
			for (int i = 0; i < RECEIVERS; i++)
				delivered += recv(sink[i], drain, sizeof(drain), 0) == VOICE_BYTES;
		}
		samples_add(&us, spent * 1e6 / (double)delivered);
	}
	printf("{\"name\": \"kernel_sendmmsg_50\", \"us_per_packet\": %.3f, \"min\": %.3f, \"max\": %.3f}\n",
	       samples_at(&us, 0.5), samples_at(&us, 0), samples_at(&us, 1));
}

// --- from one process to another and back ---------------------------------------------------------------

static double cpu_us(int who)
{
	struct rusage r;

	getrusage(who, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

// Both sleep between the rounds, as processes do that a ping wakes each few milliseconds; their timer is taken off.
static void measure_crossing(void)
{
	enum { PINGS = 1000, PAUSE_US = 2000 };
	int there = eventfd(0, 0), back = eventfd(0, 0);
	uint64_t n = 1, ignored;
	double begin, timer;
	pid_t pid = fork();

	must(there >= 0 && back >= 0 && pid >= 0, "eventfd, fork");
	if (pid == 0) {
		for (int i = 0; i < PINGS; i++)
			if (read(there, &ignored, sizeof(ignored)) < 0 || write(back, &n, sizeof(n)) < 0)
				_exit(1);
		_exit(0);
	}
	begin = cpu_us(RUSAGE_SELF);
	for (int i = 0; i < PINGS; i++)
		usleep(PAUSE_US);
	timer = cpu_us(RUSAGE_SELF) - begin;
	begin = cpu_us(RUSAGE_SELF);
	for (int i = 0; i < PINGS; i++) {
		usleep(PAUSE_US);
		must(write(there, &n, sizeof(n)) > 0 && read(back, &ignored, sizeof(ignored)) > 0, "eventfd");
	}
	waitpid(pid, NULL, 0);
	printf("{\"name\": \"kernel_crossing\", \"us_per_round_trip\": %.1f}\n",
	       (cpu_us(RUSAGE_SELF) - begin - timer + cpu_us(RUSAGE_CHILDREN)) / PINGS);
}

// --- participants ---------------------------------------------------------------------------------------

// They introduce themselves with their first ping, and send until they are killed.
static void play_people(const struct call_shape *s, const struct sockaddr_in *server)
{
	static int fd[MAX_PEOPLE];
	static double due[MAX_PEOPLE][N_KINDS];
	static uint8_t data[2048];
	unsigned n = s->calls * s->people;
	int epoll_fd = epoll_create1(0);
	double start = seconds(CLOCK_MONOTONIC);

	for (unsigned i = 0; i < n; i++) {
		struct sockaddr_in at;
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd[i] = bind_loopback(&at)};
		must(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd[i], &ev) == 0, "epoll_ctl");
		for (unsigned k = 0; k < N_KINDS; k++)
			due[i][k] = k == VOICE && i % s->people >= s->voices
					    ? 1e18
					    : start + kinds[k].period_s * rand() / RAND_MAX;
	}
	for (;;) {
		struct epoll_event ev[AT_ONCE];
		double now = seconds(CLOCK_MONOTONIC);
		int n_ready, wait = TICK_MS - (int)((now - start) * 1000) % TICK_MS;

		for (unsigned i = 0; i < n; i++)
			for (unsigned k = 0; k < N_KINDS; k++) {
				if (due[i][k] > now)
					continue;
				memcpy(data, &(struct head){(uint16_t)k, (uint16_t)i}, sizeof(struct head));
				sendto(fd[i], data, kinds[k].bytes, 0, (const struct sockaddr *)server,
				       sizeof(*server));
				due[i][k] += kinds[k].period_s;
			}
		n_ready = epoll_wait(epoll_fd, ev, AT_ONCE, wait);
		for (int i = 0; i < n_ready; i++)
			while (recv(ev[i].data.fd, data, sizeof(data), 0) > 0)
				;
	}
}

// --- the server -----------------------------------------------------------------------------------------

static struct sockaddr_in address[MAX_PEOPLE]; // port 0: has not sent yet
static struct mmsghdr out[AT_ONCE];
static struct iovec out_data[AT_ONCE];

static unsigned long flush(int fd, unsigned *n)
{
	int sent = *n ? sendmmsg(fd, out, *n, 0) : 0;

	*n = 0;
	return sent > 0 ? (unsigned long)sent : 0;
}

static unsigned long send_to(int fd, unsigned *n, unsigned to, void *data, size_t len)
{
	out_data[*n] = (struct iovec){data, len};
	out[*n].msg_hdr = perf_datagram(&address[to], &out_data[*n]);
	return ++*n == AT_ONCE ? flush(fd, n) : 0;
}

// One burst. How many packets of voice went out; answers are not counted, as sluicegun does not.
static unsigned long serve(const struct call_shape *s, int fd)
{
	static uint8_t data[AT_ONCE][2048];
	static struct sockaddr_in from[AT_ONCE];
	struct mmsghdr in[AT_ONCE];
	struct iovec iov[AT_ONCE];
	unsigned long sent = 0, n_answers = 0;
	unsigned n = 0;
	int got;

	for (unsigned i = 0; i < AT_ONCE; i++) {
		iov[i] = (struct iovec){data[i], sizeof(data[i])};
		in[i].msg_hdr = perf_datagram(&from[i], &iov[i]);
	}
	got = recvmmsg(fd, in, AT_ONCE, MSG_DONTWAIT, NULL);
	for (int i = 0; i < got; i++) {
		struct head h;
		memcpy(&h, data[i], sizeof(h));
		address[h.from] = from[i];
		if (h.what == VOICE) {
			unsigned first = h.from / s->people * s->people;
			for (unsigned to = first; to < first + s->people; to++)
				if (to != h.from && address[to].sin_port)
					sent += send_to(fd, &n, to, data[i], in[i].msg_len);
		} else if (kinds[h.what].is_answered) {
			n_answers++;
			sent += send_to(fd, &n, h.from, data[i], in[i].msg_len);
		}
	}
	return sent + flush(fd, &n) - n_answers;
}

static void serve_for(const struct call_shape *s, int fd, int epoll_fd, double span, unsigned long *voices)
{
	double end = seconds(CLOCK_MONOTONIC) + span;
	struct epoll_event ev;

	while (seconds(CLOCK_MONOTONIC) < end)
		if (epoll_wait(epoll_fd, &ev, 1, 100) > 0)
			*voices += serve(s, fd);
}

static void measure_shape(const struct call_shape *s)
{
	struct sockaddr_in at;
	int fd = bind_loopback(&at), epoll_fd = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN};
	unsigned long voices = 0;
	double cpu;
	pid_t people;

	must(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0, "epoll_ctl");
	people = fork();
	must(people >= 0, "fork");
	if (people == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		play_people(s, &at);
	}
	serve_for(s, fd, epoll_fd, 2, &voices); // until all have sent
	voices = 0;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	serve_for(s, fd, epoll_fd, s->seconds, &voices);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	kill(people, SIGKILL);
	if (s->voices > 0)
		printf("{\"name\": \"kernel alone %u x %u people, %u voices\", \"us_per_delivered_packet\": "
		       "%.3f}\n",
		       s->calls, s->people, s->voices, cpu * 1e6 / (double)voices);
	else
		printf("{\"name\": \"kernel alone %u x %u people\", \"us_per_idle_session_and_second\": "
		       "%.2f}\n",
		       s->calls, s->people, cpu * 1e6 / s->seconds / (s->calls * s->people));
}

int main(int argc, char **argv)
{
	struct call_shape s;

	if (argc == 1) {
		measure_sendmmsg();
		measure_crossing();
		return 0;
	}
	s = (struct call_shape){argc > 1 ? (unsigned)atoi(argv[1]) : 0,
				argc > 2 ? (unsigned)atoi(argv[2]) : 0,
				argc > 3 ? (unsigned)atoi(argv[3]) : 0, argc > 4 ? atof(argv[4]) : 0};
	if (s.calls < 1 || s.people < 1 || s.seconds <= 0 || s.calls > MAX_PEOPLE / s.people) {
		fprintf(stderr, "usage: perf-kernel [CALLS PEOPLE VOICES SECONDS], up to %u people\n",
			MAX_PEOPLE);
		return 64;
	}
	measure_shape(&s);
	return 0;
}
