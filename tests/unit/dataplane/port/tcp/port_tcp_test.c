// ICE-TCP as a port: real connections on loopback to the port's own thread, the test plays the worker.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/port/tcp/tcp.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "tests/support/dataplane/rig_peer.h"

// As the defaults, but for the times.
static const struct tcp_limits quick = {.first = 300 * NS_PER_MS,
					.partial = 300 * NS_PER_MS,
					.blocked = 400 * NS_PER_MS,
					.idle = 500 * NS_PER_MS,
					.strangers = 200,
					.strangers_per_source = 64};

static char error[512];
static struct statseg *stats;

static struct port *open_with(const struct tcp_limits *limits)
{
	struct port_env env = {.conf = &rig.conf,
			       .index = 1,
			       .n_queues = 1,
			       .rx_pool = rig.dp->rx_pool,
			       .error = error,
			       .error_size = sizeof(error)};

	stats = statseg_create(1, 1);
	env.stats = statseg_block(stats, 0);
	return port_tcp_open_with(&env, limits);
}

static void close_port(struct port *p)
{
	p->ops->close(p);
	statseg_close(stats);
}

static uint64_t seen(enum counter id)
{
	return statseg_sum(stats, id);
}

// Until the counter has the value, 3 s at most.
static bool until(enum counter id, uint64_t value)
{
	for (unsigned i = 0; i < 3000 && seen(id) != value; i++)
		poll(NULL, 0, 1);
	return seen(id) == value;
}

static int dial_from(const struct port *p, const char *source)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port_tcp_port(p))};
	struct sockaddr_in me = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
	inet_pton(AF_INET, source, &me.sin_addr);
	if (fd < 0 || bind(fd, (struct sockaddr *)&me, sizeof(me)) < 0 ||
	    connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int dial(const struct port *p)
{
	return dial_from(p, "127.0.0.1");
}

static void say(int fd, const void *data, size_t len)
{
	uint8_t out[2 + 2048];

	be16_put(out, (uint16_t)len);
	memcpy(out + 2, data, len);
	CHECK_EQ(send(fd, out, len + 2, MSG_NOSIGNAL), (ssize_t)len + 2);
}

static void say_check(int fd)
{
	uint8_t txid[STUN_TXID_LEN], msg[STUN_MAX_PROBE];
	struct stun_mac mac = {rig_hmac, rig.seal};
	struct stun_key key = {&mac, (const uint8_t *)"pwd", 3};
	struct stun_request req = {
		.txid = txid, .to_ufrag = STR("somebody"), .from_ufrag = STR("me"), .priority = 1};

	rand_bytes(txid, sizeof(txid));
	say(fd, msg, (size_t)stun_write_request(msg, sizeof(msg), &req, &key));
}

// The next frame the worker gets, NULL after 3 s without.
static struct rte_mbuf *take(struct port *p)
{
	struct rte_mbuf *m;

	for (unsigned i = 0; i < 3000; i++) {
		if (p->ops->rx(p, 0, &m, 1) == 1)
			return m;
		poll(NULL, 0, 1);
	}
	return NULL;
}

static bool read_all(int fd, void *to, size_t n)
{
	struct timeval t = {.tv_sec = 3};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	return recv(fd, to, n, MSG_WAITALL) == (ssize_t)n;
}

static void send_one(struct port *p, const struct path *path, enum pkt_class class, uint8_t fill,
		     uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.dp->tx_pool);

	memset(rte_pktmbuf_append(m, len), fill, len);
	pkt_of(m)->class = (uint8_t) class;
	p->ops->tx(p, 0, &m, &path, 1);
}

// A connection that a session has taken, and the way back to it.
static int join(struct port *p, struct path *path)
{
	int fd = dial(p);
	struct rte_mbuf *m;
	uint8_t answer[3];

	say_check(fd);
	m = take(p);
	MUST(m != NULL);
	p->ops->path_fill(p, m, path);
	p->ops->bind(p, 0, &path->key, 7, true);
	mbuf_done(m);
	send_one(p, path, CLASS_CONTROL, 0, 1); // the answer comes after the thread knows of the session
	CHECK(read_all(fd, answer, sizeof(answer)));
	return fd;
}

// Is it closed from the other side within 3 s?
static bool is_closed(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	uint8_t data[4096];
	ssize_t n;

	while (poll(&poll_fd, 1, 3000) == 1)
		if ((n = recv(fd, data, sizeof(data), 0)) <= 0)
			return true;
	return false;
}

static void both_ways(void)
{
	struct port *p;
	struct path path;
	struct rte_mbuf *m;
	uint8_t data[600], got[602];
	int fd;

	CHECK_OR_RETURN(rig_open(1));
	p = open_with(&quick);
	CHECK_OR_RETURN(p != NULL);
	fd = join(p, &path);
	CHECK_EQ(path.key.port, 1);
	CHECK(path.key.conn != 0);
	CHECK_EQ(path.key.local_port, port_tcp_port(p));
	memset(data, 0x80, sizeof(data));
	send_one(p, &path, CLASS_AUDIO, 0x55, 600);
	CHECK(read_all(fd, got, sizeof(got)));
	CHECK_EQ(be16_get(got), 600);
	CHECK(got[2] == 0x55 && got[601] == 0x55);
	say(fd, data, sizeof(data));
	m = take(p);
	CHECK_OR_RETURN(m != NULL);
	CHECK_EQ(m->data_len, sizeof(data));
	CHECK_MEM(rte_pktmbuf_mtod(m, void *), data, sizeof(data));
	CHECK_MEM(&pkt_of(m)->key, &path.key, sizeof(path.key));
	mbuf_done(m);
	close(fd);
	m = take(p); // says that it is gone
	CHECK_OR_RETURN(m != NULL);
	CHECK_EQ(m->data_len, 0);
	CHECK_MEM(&pkt_of(m)->key, &path.key, sizeof(path.key));
	mbuf_done(m);
	CHECK(until(GAUGE_TCP_CONNECTIONS, 0));
	close_port(p);
	CHECK_EQ(rte_mempool_in_use_count(rig.dp->rx_pool), 0);
	rig_close();
}

static void doorbells(void)
{
	struct port *p;
	struct path path;
	struct rte_mbuf *m;
	struct pollfd bell;
	int fd;

	CHECK_OR_RETURN(rig_open(1));
	p = open_with(&tcp_limits_default);
	CHECK_OR_RETURN(p != NULL);
	fd = join(p, &path);
	bell = (struct pollfd){.fd = p->ops->wait_fd(p, 0), .events = POLLIN};
	for (unsigned i = 0; i < 50; i++) { // what sleep_idle of worker.c does
		while (p->ops->rx(p, 0, &m, 1) == 1)
			mbuf_done(m);
		if (poll(&bell, 1, 0) == 1)
			p->ops->woken(p, 0);
		CHECK_EQ(p->ops->rx(p, 0, &m, 1), 0);
		say(fd, "\x80\x00", 2);
		CHECK_EQ(poll(&bell, 1, 3000), 1);
		p->ops->woken(p, 0);
		m = take(p);
		CHECK(m != NULL);
		mbuf_done(m);
	}
	close(fd);
	close_port(p);
	rig_close();
}

static void bad_beginnings(void)
{
	static const uint8_t long_check[2 + 600] = {2, 88, 0, 1, 2, 68, 0x21, 0x12, 0xa4, 0x42};
	struct port *p;
	int fd[5];

	CHECK_OR_RETURN(rig_open(1));
	p = open_with(&quick);
	CHECK_OR_RETURN(p != NULL);
	for (unsigned i = 0; i < 5; i++)
		fd[i] = dial(p);
	say(fd[0], "GET / HTTP/1.1\r\n\r\n", 18);
	CHECK_EQ(send(fd[1], long_check, sizeof(long_check), MSG_NOSIGNAL), (ssize_t)sizeof(long_check));
	CHECK_EQ(send(fd[2], "\xff\xff", 2, MSG_NOSIGNAL), 2);
	say_check(fd[4]); // by nobody's name: no session ever takes it
	for (unsigned i = 0; i < 5; i++)
		CHECK(is_closed(fd[i])); // fd[3] is silent
	CHECK(until(CTR_TCP_CLOSED_FIRST, 4));
	CHECK(until(CTR_TCP_CLOSED_FRAMING, 1));
	CHECK(until(GAUGE_TCP_CONNECTIONS, 0));
	for (unsigned i = 0; i < 5; i++)
		close(fd[i]);
	close_port(p);
	rig_close();
}

static void partial_frame(void)
{
	struct port *p;
	struct path path;
	struct rte_mbuf *m;
	int fd;

	CHECK_OR_RETURN(rig_open(1));
	p = open_with(&quick);
	CHECK_OR_RETURN(p != NULL);
	fd = join(p, &path);
	CHECK_EQ(send(fd, "\0\x10half", 6, MSG_NOSIGNAL), 6);
	CHECK(is_closed(fd));
	CHECK(until(CTR_TCP_CLOSED_PARTIAL, 1));
	m = take(p);
	CHECK(m != NULL && m->data_len == 0);
	mbuf_done(m);
	close(fd);
	close_port(p);
	rig_close();
}

// A session that says nothing more of a connection loses it, one that gives it up too; another's word does not count.
static void given_up(void)
{
	struct port *p;
	struct path path[2];
	int fd[2];

	CHECK_OR_RETURN(rig_open(1));
	p = open_with(&quick);
	CHECK_OR_RETURN(p != NULL);
	fd[0] = join(p, &path[0]);
	fd[1] = join(p, &path[1]);
	p->ops->bind(p, 0, &path[0].key, 8, false);
	p->ops->bind(p, 0, &path[1].key, 7, false);
	CHECK(is_closed(fd[1]));
	CHECK_EQ(seen(CTR_TCP_CLOSED_IDLE), 0);
	CHECK(is_closed(fd[0]));
	CHECK(until(CTR_TCP_CLOSED_IDLE, 1));
	close(fd[0]);
	close(fd[1]);
	close_port(p);
	rig_close();
}

static void floods(void)
{
	struct port *p;
	struct tcp_limits slow = quick;
	struct path path;
	char source[16];
	int mine, fd[400];

	slow.first = slow.idle = 60 * NS_PER_S;
	CHECK_OR_RETURN(rig_open(1));
	p = open_with(&slow);
	CHECK_OR_RETURN(p != NULL);
	mine = join(p, &path);
	for (unsigned i = 0; i < 100; i++)
		fd[i] = dial_from(p, "127.0.0.1");
	CHECK(until(CTR_TCP_CLOSED_LIMIT, 100 - 64)); // the session's does not count
	CHECK(is_closed(fd[0]));
	for (unsigned i = 100; i < 400; i++) {
		snprintf(source, sizeof(source), "127.0.1.%u", i % 250);
		fd[i] = dial_from(p, source);
	}
	CHECK(until(CTR_TCP_ACCEPTED, 401));
	CHECK(until(GAUGE_TCP_CONNECTIONS, 201)); // 200 strangers and the one that is known
	for (unsigned i = 0; i < 400; i++)
		close(fd[i]);
	CHECK(until(GAUGE_TCP_CONNECTIONS, 1));
	send_one(p, &path, CLASS_AUDIO, 1, 10);
	CHECK(read_all(mine, source, 12));
	close(mine);
	close_port(p);
	rig_close();
}

// Two greedy sources take all places, some of them before a third one comes and some after: it keeps the few it has.
static void the_greedy_give_way(void)
{
	struct port *p;
	struct tcp_limits slow = quick;
	int fd[400], few[3];

	slow.first = 60 * NS_PER_S;
	slow.strangers = 100;
	CHECK_OR_RETURN(rig_open(1));
	p = open_with(&slow);
	CHECK_OR_RETURN(p != NULL);
	for (unsigned i = 0; i < 3; i++)
		few[i] = dial_from(p, "127.0.0.1");
	for (unsigned i = 0; i < 400; i++)
		fd[i] = dial_from(p, i % 2 == 0 ? "127.0.1.1" : "127.0.1.2");
	CHECK(until(CTR_TCP_ACCEPTED, 403));
	CHECK(until(CTR_TCP_CLOSED_LIMIT, 303));
	CHECK_EQ(seen(GAUGE_TCP_CONNECTIONS), 100);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(recv(few[i], &(char){0}, 1, MSG_DONTWAIT), -1); // open, and nothing came
	CHECK(is_closed(fd[0]));
	for (unsigned i = 0; i < 400; i++)
		close(fd[i]);
	for (unsigned i = 0; i < 3; i++)
		close(few[i]);
	CHECK(until(GAUGE_TCP_CONNECTIONS, 0));
	close_port(p);
	rig_close();
}

static long resident_kib(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f == NULL || fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

// Sanitizers shadow what is allocated.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SHADOW 8
#else
#define SHADOW 1
#endif

// Twice as many as may stay, in two waves: the second costs no more than the first.
static void ten_thousand(void)
{
	static int fd[10000];
	struct tcp_limits slow = tcp_limits_default;
	struct rlimit r;
	struct port *p;
	char source[16];
	long before, first = 0;

	getrlimit(RLIMIT_NOFILE, &r);
	if (r.rlim_max < 16000) {
		check_skip("open files are limited");
		return;
	}
	slow.first = 60 * NS_PER_S;
	CHECK_OR_RETURN(rig_open(1));
	p = open_with(&slow);
	CHECK_OR_RETURN(p != NULL);
	before = resident_kib();
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(source, sizeof(source), "127.1.%u.%u", i / 250, i % 250 + 1);
		fd[i] = dial_from(p, source);
		if (i == 4999) {
			CHECK(until(CTR_TCP_ACCEPTED, 5000));
			first = resident_kib();
		}
	}
	CHECK(until(CTR_TCP_ACCEPTED, 10000));
	CHECK(until(GAUGE_TCP_CONNECTIONS, 4096));
	CHECK_EQ(seen(CTR_TCP_CLOSED_LIMIT), 10000 - 4096);
	CHECK(first - before < SHADOW * 16 * 1024);
	CHECK(resident_kib() - first < SHADOW * 4 * 1024);
	for (unsigned i = 0; i < 10000; i++)
		close(fd[i]);
	CHECK(until(GAUGE_TCP_CONNECTIONS, 0));
	close_port(p);
	rig_close();
}

// One reader stops, the other goes on: it loses video and then its connection, the other nothing.
static void reader_stops(void)
{
	static uint8_t got[2 + 1200];
	struct tcp_limits slow = quick;
	struct port *p;
	struct path path[2];
	struct rte_mbuf *m;
	unsigned n_sent = 0;
	int fd[2];

	slow.idle = 60 * NS_PER_S;
	CHECK_OR_RETURN(rig_open(1));
	p = open_with(&slow);
	CHECK_OR_RETURN(p != NULL);
	fd[0] = join(p, &path[0]);
	fd[1] = join(p, &path[1]);
	while (seen(CTR_TCP_CLOSED_BLOCKED) == 0 && n_sent < 200000) {
		for (unsigned i = 0; i < 20; i++) {
			send_one(p, &path[0], i == 0 ? CLASS_KEY : CLASS_VIDEO, 1, 1200);
			n_sent++;
		}
		send_one(p, &path[1], CLASS_AUDIO, 2, 1200);
		CHECK_OR_RETURN(read_all(fd[1], got, sizeof(got)));
		CHECK(got[2] == 2 && got[1201] == 2);
	}
	CHECK(until(CTR_TCP_CLOSED_BLOCKED, 1));
	CHECK(seen(DROP_TCP_VIDEO) > 0);
	CHECK_EQ(seen(DROP_TCP_AUDIO), 0);
	m = take(p);
	CHECK(m != NULL && memcmp(&pkt_of(m)->key, &path[0].key, sizeof(path[0].key)) == 0);
	mbuf_done(m);
	// What did arrive is whole frames.
	for (; n_sent > 0 && read_all(fd[0], got, sizeof(got)); n_sent--)
		CHECK(be16_get(got) == 1200 && got[2] == 1 && got[1201] == 1);
	close(fd[0]);
	close(fd[1]);
	close_port(p);
	CHECK_EQ(rte_mempool_in_use_count(rig.dp->tx_pool), 0);
	rig_close();
}

CU_TestInfo port_tcp_tests[] = {
	{"frames go both ways, and the end of a connection is told", both_ways},
	{"a worker that sleeps is woken for each frame", doorbells},
	{"the first frame is a check of at most 512 bytes, and in time", bad_beginnings},
	{"a frame that does not complete ends the connection", partial_frame},
	{"connections that sessions gave up are closed", given_up},
	{"D50: strangers are bounded, per source and in all; the oldest goes", floods},
	{"who has most connections without session gives way", the_greedy_give_way},
	{"10000 idle connections cost bounded memory", ten_thousand},
	{"a reader that stops loses video, then its connection, and nobody else anything", reader_stops},
	CU_TEST_INFO_NULL,
};
