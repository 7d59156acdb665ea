// What a port moves at most, beside what the kernel gives to a program that does nothing else with the same device. JSON rows.
//
//   perf-port                     nothing: tests/perf/ports runs it, in network namespaces of its own
//   perf-port peer ADDRESS        the other end: takes what comes, sends as fast as it can when asked
//   perf-port measure NAME        this end, by the first of dataplane.ports (SLUICE_DATAPLANE_PORTS)
//
// Bare is rte_eth_tx_burst and rte_eth_rx_burst with frames that are ready for devices, sendmmsg and recvmmsg for sockets. Sent is
// what arrives at the peer, whose time is not counted. Each figure is the median of ROUNDS, ours and bare by turns.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "dataplane/core/dp.h"
#include "dataplane/ctl/build.h"
#include "dataplane/ctl/eal.h"
#include "dataplane/port/frame.h"
#include "lib/base/clock.h"
#include "tests/perf/support/perf.h"

enum { MEDIA_PORT = 8443, PEER_PORT = 9000, BYTES = 198, ROUNDS = 7, ROUND_MS = 250, SETTLE_MS = 30 };
// First byte of a datagram.
enum { HELLO = 'H', VOICE = 'V', FLOOD = 'F', COUNT = 'C' };

static struct sockaddr_in at(const char *address, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
		die(EXIT_USAGE, "%s is not an IPv4 address", address);
	return a;
}

static int bound(const char *address, uint16_t port)
{
	struct sockaddr_in a = at(address, port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 8 << 20;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die(EXIT_UNAVAILABLE, "%s:%u: %s", address, port, strerror(errno));
	return fd;
}

// A burst of datagrams for sendmmsg or recvmmsg.
struct burst {
	struct mmsghdr msg[BURST];
	struct iovec iov[BURST];
	struct sockaddr_in name[BURST];
	uint8_t data[BURST][2048];
};

static void burst_init(struct burst *b, const struct sockaddr_in *to)
{
	for (unsigned i = 0; i < BURST; i++) {
		b->data[i][0] = VOICE;
		b->iov[i] = (struct iovec){b->data[i], to ? BYTES : sizeof(b->data[i])};
		if (to)
			b->name[i] = *to;
		b->msg[i].msg_hdr = perf_datagram(&b->name[i], &b->iov[i]);
	}
}

// --- the peer -------------------------------------------------------------------------------------------

static void report(int fd, const struct sockaddr_in *to, uint64_t n)
{
	uint8_t msg[9] = {COUNT};

	memcpy(msg + 1, &n, sizeof(n));
	sendto(fd, msg, sizeof(msg), 0, (const struct sockaddr *)to, sizeof(*to));
}

static void flood(int fd, const struct sockaddr_in *to)
{
	static struct burst b;
	ns_t until = clock_now() + ROUND_MS * NS_PER_MS;
	uint64_t sent = 0;

	burst_init(&b, to);
	while (clock_now() < until) {
		int n = sendmmsg(fd, b.msg, BURST, 0);
		sent += n > 0 ? (unsigned)n : 0;
	}
	usleep(SETTLE_MS * 1000);
	report(fd, to, sent);
}

static void play_peer(const char *address)
{
	static struct burst b;
	struct sockaddr_in server = at(address, MEDIA_PORT);
	int fd = bound("0.0.0.0", PEER_PORT);
	struct timeval wait = {.tv_usec = 20000};
	uint64_t n_voice = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	for (;;) {
		burst_init(&b, NULL);
		int n = recvmmsg(fd, b.msg, BURST, MSG_WAITFORONE, NULL);
		if (n <= 0)
			sendto(fd, (uint8_t[]){HELLO}, 1, 0, (struct sockaddr *)&server, sizeof(server));
		for (int i = 0; i < n; i++) {
			n_voice += b.data[i][0] == VOICE;
			if (b.data[i][0] == FLOOD)
				flood(fd, &b.name[i]);
			if (b.data[i][0] != COUNT)
				continue;
			report(fd, &b.name[i], n_voice);
			n_voice = 0;
		}
	}
}

// --- this end -------------------------------------------------------------------------------------------

static struct {
	struct conf conf;
	struct dp *dp;
	struct port *port;
	struct path path; // to the peer
	uint16_t dev;     // RTE_MAX_ETHPORTS: kernel sockets
	int fd;           // of the bare sockets
	struct sockaddr_in peer;
	uint8_t hdr[128]; // of a frame to the peer, as bare sends it
	uint16_t hdr_len;
} here;

// Packets come here from whoever receives. value: what the peer reports, when it does.
struct arrivals {
	uint64_t n;
	uint64_t value;
	bool has_value;
};

static void look_at(struct arrivals *a, const uint8_t *p, size_t len)
{
	a->n += len == BYTES && p[0] == VOICE;
	if (len != 9 || p[0] != COUNT)
		return;
	memcpy(&a->value, p + 1, sizeof(a->value));
	a->has_value = true;
}

static void rx_ours(struct arrivals *a)
{
	struct rte_mbuf *m[BURST];
	unsigned n = here.port->ops->rx(here.port, 0, m, BURST);

	for (unsigned i = 0; i < n; i++)
		look_at(a, rte_pktmbuf_mtod(m[i], uint8_t *), m[i]->data_len);
	mbufs_done(m, n);
}

static void rx_bare(struct arrivals *a)
{
	static struct burst b;
	struct rte_mbuf *m[BURST];

	if (here.dev == RTE_MAX_ETHPORTS) {
		burst_init(&b, NULL);
		int n = recvmmsg(here.fd, b.msg, BURST, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			look_at(a, b.data[i], b.msg[i].msg_len);
		return;
	}
	unsigned n = rte_eth_rx_burst(here.dev, 0, m, BURST);
	for (unsigned i = 0; i < n; i++)
		if (m[i]->data_len > here.hdr_len)
			look_at(a, rte_pktmbuf_mtod_offset(m[i], uint8_t *, here.hdr_len),
				(size_t)m[i]->data_len - here.hdr_len);
	mbufs_done(m, n);
}

static struct rte_mbuf *packet(uint8_t what)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(here.dp->tx_pool);

	if (m == NULL)
		die(EXIT_UNAVAILABLE, "no buffers are left");
	m->data_len = BYTES;
	m->pkt_len = BYTES;
	*rte_pktmbuf_mtod(m, uint8_t *) = what;
	return m;
}

static void tx_ours(unsigned n, uint8_t what)
{
	struct rte_mbuf *m[BURST];
	const struct path *paths[BURST];

	for (unsigned i = 0; i < n; i++) {
		m[i] = packet(what);
		paths[i] = &here.path;
	}
	here.port->ops->tx(here.port, 0, m, paths, n);
}

static void tx_bare(unsigned n, uint8_t what)
{
	static struct burst b;
	struct rte_mbuf *m[BURST];
	unsigned sent;

	if (here.dev == RTE_MAX_ETHPORTS) {
		if (b.iov[0].iov_base == NULL)
			burst_init(&b, &here.peer);
		for (unsigned i = 0; i < n; i++)
			b.data[i][0] = what;
		(void)!sendmmsg(here.fd, b.msg, n, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		m[i] = packet(what);
		memcpy(rte_pktmbuf_prepend(m[i], here.hdr_len), here.hdr, here.hdr_len);
	}
	sent = rte_eth_tx_burst(here.dev, 0, m, (uint16_t)n);
	mbufs_done(m + sent, n - sent);
}

struct way {
	void (*rx)(struct arrivals *);
	void (*tx)(unsigned n, uint8_t what);
};
static const struct way ours = {rx_ours, tx_ours}, bare = {rx_bare, tx_bare};

// Ask the peer, again when the question or the answer is lost, and count what comes meanwhile.
static uint64_t ask(const struct way *how, uint8_t what, uint64_t *n_came)
{
	struct arrivals a = {};

	for (unsigned k = 0; k < 20 && !a.has_value; k++) {
		ns_t until = clock_now() + 2 * ROUND_MS * NS_PER_MS;
		how->tx(1, what);
		while (clock_now() < until && !a.has_value)
			how->rx(&a);
	}
	if (!a.has_value)
		die(EXIT_UNAVAILABLE, "the peer does not answer");
	if (n_came)
		*n_came = a.n;
	return a.value;
}

// Thousands of packets a second that arrive at the peer.
static double sent_kpps(const struct way *how)
{
	ns_t until = clock_now() + ROUND_MS * NS_PER_MS;

	ask(how, COUNT, NULL);
	while (clock_now() < until)
		how->tx(BURST, VOICE);
	usleep(SETTLE_MS * 1000);
	return (double)ask(how, COUNT, NULL) / ROUND_MS;
}

static double received_kpps(const struct way *how)
{
	uint64_t came;

	ask(how, FLOOD, &came);
	return (double)came / ROUND_MS;
}

// Until the peer's hello shows the way back.
static void meet(void)
{
	ns_t until = clock_now() + 10 * NS_PER_S;
	struct rte_mbuf *m[BURST];
	bool has_path = false;

	while (!has_path) {
		unsigned n = here.port->ops->rx(here.port, 0, m, BURST);
		if (n > 0)
			here.port->ops->path_fill(here.port, m[0], &here.path);
		has_path = n > 0;
		mbufs_done(m, n);
		if (clock_now() > until)
			die(EXIT_UNAVAILABLE, "nothing comes from the peer");
	}
	here.peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(here.path.key.remote_port)};
	memcpy(&here.peer.sin_addr, here.path.key.remote, 4);
	here.fd = bound("0.0.0.0", 0);
}

static void prepare_bare(void)
{
	const char *spec = here.conf.dataplane.ports.item[0];
	char name[64];
	struct rte_mbuf *m;

	here.dev = RTE_MAX_ETHPORTS;
	if (strcmp(spec, "sockets") == 0)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(spec, ","), spec);
	if (rte_eth_dev_get_port_by_name(name, &here.dev) < 0)
		die(EXIT_UNAVAILABLE, "%s: no such device", name);
	m = packet(VOICE);
	frame_write(m, &here.path, 0); // its UDP checksum is of other bytes: 0 is allowed and says none
	here.hdr_len = here.path.hdr_len;
	memcpy(here.hdr, rte_pktmbuf_mtod(m, uint8_t *), here.hdr_len);
	memset(here.hdr + here.hdr_len - 2, 0, 2);
	mbuf_done(m);
}

static void open_here(void)
{
	struct eal_plan plan = {.n_workers = 1};
	struct conf_error conf_error;
	char error[512];

	if (conf_load(&here.conf, NULL, &conf_error) < 0)
		die(EXIT_CONFIG, "%s", conf_error.text);
	here.conf.rtc.port_udp = MEDIA_PORT;
	here.conf.rtc.port_tcp = 0;
	if (eal_start(&here.conf, &plan, error, sizeof(error)) < 0 ||
	    (here.dp = dp_open(&here.conf, &plan, error, sizeof(error))) == NULL)
		die(EXIT_UNAVAILABLE, "%s", error);
	here.port = here.dp->port[0];
}

static void measure(const char *name)
{
	struct samples sent[2] = {}, received[2] = {};

	open_here();
	meet();
	prepare_bare();
	for (unsigned i = 0; i < ROUNDS; i++)
		for (unsigned k = 0; k < 2; k++) {
			samples_add(&sent[k], sent_kpps(k ? &bare : &ours));
			samples_add(&received[k], received_kpps(k ? &bare : &ours));
		}
	for (unsigned k = 0; k < 2; k++) {
		printf("{\"name\": \"rate %s: %s\", ", name, k ? "bare" : "ours");
		samples_print(&sent[k], "sent_kpps");
		printf(", ");
		samples_print(&received[k], "received_kpps");
		printf("}\n");
	}
	dp_close(here.dp);
	eal_stop();
	conf_fini(&here.conf);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "peer") == 0)
		play_peer(argv[2]);
	if (argc == 3 && strcmp(argv[1], "measure") == 0)
		measure(argv[2]);
	else if (argc > 1)
		die(EXIT_USAGE, "perf-port [peer ADDRESS | measure NAME]");
	return 0;
}
