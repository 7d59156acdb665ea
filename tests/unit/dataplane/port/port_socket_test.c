// The kernel-socket port on loopback, IPv4 and IPv6.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/dataplane/rig.h"

static char error[512];

static struct port *open_port(unsigned n_queues, uint16_t udp_port)
{
	struct port_env env = {.conf = &rig.conf,
			       .n_queues = (uint16_t)n_queues,
			       .media_port = udp_port,
			       .rx_pool = rig.dp->rx_pool,
			       .error = error,
			       .error_size = sizeof(error)};

	error[0] = '\0';
	return port_socket_open(&env);
}

static int client(const char *to, uint16_t udp_port, struct sockaddr_storage *addr, socklen_t *len)
{
	bool v6 = strchr(to, ':') != NULL;
	struct sockaddr_in *a4 = (struct sockaddr_in *)addr;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)addr;

	memset(addr, 0, sizeof(*addr));
	addr->ss_family = v6 ? AF_INET6 : AF_INET;
	*len = v6 ? sizeof(*a6) : sizeof(*a4);
	inet_pton(addr->ss_family, to, v6 ? (void *)&a6->sin6_addr : (void *)&a4->sin_addr);
	*(v6 ? &a6->sin6_port : &a4->sin_port) = htons(udp_port);
	return socket(addr->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

// Take n packets from any queue within a second.
static unsigned receive(struct port *p, struct rte_mbuf **m, unsigned n)
{
	unsigned got = 0;

	for (unsigned i = 0; i < 1000 && got < n; i++) {
		for (unsigned q = 0; q < p->n_queues; q++)
			got += p->ops->rx(p, q, m + got, n - got);
		if (got < n)
			poll(NULL, 0, 1);
	}
	return got;
}

// 127.0.0.2 and [::1]: the reply leaves from the address that was asked.
static void echo(void)
{
	static const char *const to[] = {"127.0.0.2", "::1"};
	struct port *p;

	CHECK_OR_RETURN(rig_open(1));
	rig.conf.rtc.enable_ipv6 = true;
	p = open_port(2, 0);
	CHECK_OR_RETURN(p != NULL);
	for (unsigned i = 0; i < 2; i++) {
		struct sockaddr_storage addr, from;
		socklen_t len, from_len = sizeof(from);
		int fd = client(to[i], port_socket_port(p), &addr, &len);
		struct rte_mbuf *m;
		struct path path;
		const struct path *paths[] = {&path};
		char text[8] = "";

		if (sendto(fd, "ask", 3, 0, (struct sockaddr *)&addr, len) < 0) {
			check_skip("no IPv6 on loopback");
			close(fd);
			continue;
		}
		CHECK_EQ(receive(p, &m, 1), 1);
		CHECK_EQ(m->data_len, 3);
		CHECK_EQ(pkt_of(m)->key.family, i ? 6 : 4);
		CHECK_EQ(pkt_of(m)->key.local_port, port_socket_port(p));
		p->ops->path_fill(p, m, &path);
		p->ops->tx(p, 1, &m, paths, 1); // another worker's queue than it may have come by
		CHECK_EQ(recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &from_len), 3);
		CHECK_STR(text, "ask");
		CHECK_MEM(&from, &addr, len > 20 ? 24 : 8); // family, port, address
		close(fd);
	}
	p->ops->close(p);
	rig_close();
}

static void sizes(void)
{
	static const struct {
		unsigned len;
		bool passes;
	} row[] = {{0, false},    {1, true},      {1472, true}, {1473, false},
		   {2049, false}, {65507, false}, {20, true}};
	static uint8_t data[65507];
	struct sockaddr_storage addr;
	socklen_t len;
	struct port *p;
	struct rte_mbuf *m;
	unsigned n_good = 0;
	int fd;

	CHECK_OR_RETURN(rig_open(1));
	p = open_port(1, 0);
	CHECK_OR_RETURN(p != NULL);
	fd = client("127.0.0.1", port_socket_port(p), &addr, &len);
	for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		CHECK_EQ(sendto(fd, data, row[i].len, 0, (struct sockaddr *)&addr, len), row[i].len);
		if (!row[i].passes)
			continue;
		CHECK_EQ(receive(p, &m, 1), 1);
		CHECK_EQ(m->data_len, row[i].len);
		mbuf_done(m);
		n_good++;
	}
	CHECK_EQ(p->stats[0].rx_packets, sizeof(row) / sizeof(row[0]));
	CHECK_EQ(p->stats[0].rx_long, 3);
	CHECK_EQ(p->stats[0].rx_bad, 1);
	close(fd);
	p->ops->close(p);
	CHECK_EQ(rte_mempool_in_use_count(rig.dp->rx_pool), 0);
	rig_close();
}

// A burst as a video frame makes it: runs of equal packets with a shorter last one, two receivers, odd ones between.
static void runs(void)
{
	static const struct {
		uint8_t to;
		uint16_t len;
	} row[] = {{0, 1200}, {0, 1200}, {0, 1200}, {0, 700}, {0, 900},  {1, 100}, {1, 100},
		   {0, 1},    {1, 1472}, {1, 1472}, {1, 1},   {1, 1200}, {0, 1},   {0, 1}};
	enum { N = sizeof(row) / sizeof(row[0]) };
	struct rte_mbuf *m[N];
	struct sockaddr_storage addr;
	struct path path[2];
	const struct path *paths[N];
	socklen_t len;
	struct port *p;
	int fd[2];

	CHECK_OR_RETURN(rig_open(1));
	p = open_port(1, 0);
	CHECK_OR_RETURN(p != NULL);
	for (unsigned i = 0; i < 2; i++) {
		fd[i] = client("127.0.0.1", port_socket_port(p), &addr, &len);
		CHECK_EQ(sendto(fd[i], "ask", 3, 0, (struct sockaddr *)&addr, len), 3);
		CHECK_EQ(receive(p, m, 1), 1);
		p->ops->path_fill(p, m[0], &path[i]);
		mbuf_done(m[0]);
	}
	for (unsigned i = 0; i < N; i++) {
		m[i] = rte_pktmbuf_alloc(rig.dp->tx_pool);
		memset(rte_pktmbuf_append(m[i], row[i].len), (int)i, row[i].len);
		paths[i] = &path[row[i].to];
	}
	p->ops->tx(p, 0, m, paths, N);
	for (unsigned i = 0; i < N; i++) {
		uint8_t got[2000];
		CHECK_EQ(recv(fd[row[i].to], got, sizeof(got), MSG_DONTWAIT), row[i].len);
		CHECK(got[0] == i && got[row[i].len - 1] == i);
	}
	CHECK_EQ(p->stats[0].tx_packets, N);
	CHECK_EQ(p->stats[0].tx_dropped, 0);
	CHECK_EQ(rte_mempool_in_use_count(rig.dp->tx_pool), 0);
	close(fd[0]);
	close(fd[1]);
	p->ops->close(p);
	rig_close();
}

static void busy(void)
{
	struct port *p;

	CHECK_OR_RETURN(rig_open(1));
	p = open_port(2, 0); // shares the port among its own queues
	CHECK_OR_RETURN(p != NULL);
	CHECK(open_port(2, port_socket_port(p)) == NULL); // and with nobody else
	CHECK_EQ(errno, EADDRINUSE);
	CHECK(strstr(error, "rtc.ice_port_udp") != NULL);
	p->ops->close(p);
	rig.conf.rtc.address_udp = (struct conf_list){.item = {"192.0.2.1"}, .n = 1};
	CHECK(open_port(1, 0) == NULL);
	CHECK_EQ(errno, EADDRNOTAVAIL);
	CHECK(strstr(error, "192.0.2.1") != NULL);
	rig.conf.rtc.address_udp = (struct conf_list){.item = {"127.0.0.3"}, .n = 1};
	p = open_port(1, 0);
	CHECK(p != NULL);
	if (p)
		p->ops->close(p);
	rig.conf.rtc.address_udp.n = 0;
	rig_close();
}

static void busy_poll(void)
{
	int us = -1, asked = 50, probe = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof(us);
	bool may = setsockopt(probe, SOL_SOCKET, SO_BUSY_POLL, &asked, sizeof(asked)) == 0;
	struct port *p;

	close(probe);
	CHECK_OR_RETURN(rig_open(1));
	for (unsigned on = 0; on < 2; on++) {
		rig.conf.dataplane.busy_poll_us = on ? 50 : 0;
		p = open_port(1, 0);
		CHECK_OR_RETURN(p != NULL); // also where the kernel does not allow it
		CHECK_EQ(getsockopt(p->ops->wait_fd(p, 0), SOL_SOCKET, SO_BUSY_POLL, &us, &len), 0);
		CHECK_EQ(us, on && may ? 50 : 0);
		p->ops->close(p);
	}
	rig_close();
}

// Buffers that a refused datagram came in stay where they are, so a burst of both kinds must not mix them up.
static void good_and_bad_in_a_burst(void)
{
	static uint8_t data[2000];
	struct sockaddr_storage addr;
	struct rte_mbuf *m[PORT_MAX_BURST];
	socklen_t len;
	struct port *p;
	unsigned n_bad = 0;
	int fd;

	CHECK_OR_RETURN(rig_open(1));
	p = open_port(1, 0);
	CHECK_OR_RETURN(p != NULL);
	fd = client("127.0.0.1", port_socket_port(p), &addr, &len);
	srand(5);
	for (unsigned round = 0; round < 100; round++) {
		unsigned n_good = 0, burst = 1 + (unsigned)rand() % PORT_MAX_BURST, expected = 0;
		uint16_t size[PORT_MAX_BURST];

		for (unsigned i = 0; i < burst; i++) {
			bool is_bad = rand() % 3 == 0;
			uint16_t bytes = is_bad ? (rand() % 2 ? 0 : (uint16_t)sizeof(data))
						: 1 + (uint16_t)rand() % 1000;

			data[0] = (uint8_t)i;
			n_bad += is_bad;
			if (!is_bad)
				size[n_good++] = bytes;
			CHECK_EQ(sendto(fd, data, bytes, 0, (struct sockaddr *)&addr, len), bytes);
		}
		while (expected < n_good) {
			unsigned n = p->ops->rx(p, 0, m, 1 + (unsigned)rand() % PORT_MAX_BURST);
			for (unsigned i = 0; i < n; i++)
				CHECK_EQ(m[i]->data_len, size[RTE_MIN(expected + i, n_good - 1)]);
			mbufs_done(m, n);
			expected += n;
		}
		CHECK_EQ(expected, n_good);
		CHECK_EQ(p->ops->rx(p, 0, m, PORT_MAX_BURST), 0); // bad ones at the end
	}
	CHECK_EQ(p->stats[0].rx_bad + p->stats[0].rx_long, n_bad);
	close(fd);
	p->ops->close(p);
	CHECK_EQ(rte_mempool_in_use_count(rig.dp->rx_pool), 0);
	rig_close();
}

// Buffers are exhausted: nothing is read, nothing crashes, and it goes on when there are some again.
static void no_buffers(void)
{
	struct sockaddr_storage addr;
	struct rte_mbuf **all, *m;
	socklen_t len;
	struct port *p;
	unsigned n = 0;
	int fd;

	CHECK_OR_RETURN(rig_open(1));
	all = calloc(rig.dp->rx_pool->size + 1, sizeof(*all)); // with the NULL that ends it
	p = open_port(1, 0);
	CHECK_OR_RETURN(p != NULL && all != NULL);
	while ((all[n] = rte_pktmbuf_alloc(rig.dp->rx_pool)))
		n++;
	fd = client("127.0.0.1", port_socket_port(p), &addr, &len);
	CHECK_EQ(sendto(fd, "x", 1, 0, (struct sockaddr *)&addr, len), 1);
	CHECK_EQ(p->ops->rx(p, 0, &m, 1), 0);
	CHECK(p->stats[0].rx_nombuf > 0);
	mbufs_done(all, n);
	CHECK_EQ(receive(p, &m, 1), 1);
	mbuf_done(m);
	free(all);
	close(fd);
	p->ops->close(p);
	rig_close();
}

CU_TestInfo port_socket_tests[] = {
	{"good and refused datagrams in one burst keep their buffers and order", good_and_bad_in_a_burst},
	{"a reply leaves from the address that was asked, IPv4 and IPv6", echo},
	{"runs of packets to one receiver arrive as the datagrams they were, in order", runs},
	{"empty, truncated and too long datagrams are counted", sizes},
	{"a busy port and a foreign address are refused with the fix", busy},
	{"busy polling is off unless asked for", busy_poll},
	{"without buffers nothing is read, later it goes on", no_buffers},
	CU_TEST_INFO_NULL,
};
