// Kernel UDP sockets as a port: bursts by recvmmsg and sendmmsg, one set of sockets per worker.
//
// A queue owns one socket per address we serve (the wildcard of each family, or the listed ones), in the
// same order in every queue, so a path learned on one queue can be sent on from another. IP_PKTINFO says
// which address was asked, and the reply leaves from there: a browser drops anything else.
//
// With several workers the kernel spreads flows by SO_REUSEPORT. The first socket is bound without it, so
// that a port held by another process is noticed, and opens the group afterwards.
#include "dataplane/port/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/port/sockaddr.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#define MAX_SOCKETS (CONF_MAX_LIST + 2)
#define SOCKET_BUFFER (4 << 20) // bytes: 40 ms of a 1 Gb/s burst
#define READ_BYTES 2048         // longer datagrams are truncated by the kernel and dropped
#define MAX_REFUSED 64          // then no more are tried: the device cannot segment
#define MAX_MESSAGE 65000       // bytes that the kernel segments at a time
#define CONTROL_SIZE CMSG_SPACE(sizeof(struct in6_pktinfo))

struct queue {
	int fd[MAX_SOCKETS];
	int epoll_fd;
	uint64_t readable;  // bit per socket: may have more
	unsigned n_refused; // messages of several packets that the kernel did not take
	unsigned first;     // of rx[] that is a buffer, as msg[] says; those before it were taken
	struct rte_mbuf *rx[PORT_MAX_BURST];
	struct mmsghdr msg[PORT_MAX_BURST];
	struct iovec iov[PORT_MAX_BURST];
	union sockaddr_any name[PORT_MAX_BURST];
	alignas(8) uint8_t control[PORT_MAX_BURST][CONTROL_SIZE];
};

struct port_socket {
	struct port port;
	struct rte_mempool *pool; // borrowed
	unsigned n_sockets;       // of each queue
	uint16_t udp_port;
	union sockaddr_any addr[MAX_SOCKETS];
	struct queue queue[]; // n_queues
};

static struct port_socket *of(struct port *port)
{
	return (struct port_socket *)port;
}

// --- receive -----------------------------------------------------------------------------------

static void prepare_rx(struct queue *q, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		q->iov[i] = (struct iovec){rte_pktmbuf_mtod(q->rx[i], void *), READ_BYTES};
		q->msg[i].msg_hdr = (struct msghdr){
			.msg_name = &q->name[i],
			.msg_namelen = sizeof(q->name[i]),
			.msg_iov = &q->iov[i],
			.msg_iovlen = 1,
			.msg_control = q->control[i],
			.msg_controllen = CONTROL_SIZE,
		};
	}
}

// Buffers in place of those that were taken; false when there is none at all.
static bool refill(struct port_socket *p, struct queue *q, struct port_stats *stats)
{
	if (q->first > 0 && rte_pktmbuf_alloc_bulk(p->pool, q->rx, q->first) == 0) {
		prepare_rx(q, 0, q->first);
		q->first = 0;
	}
	if (q->first == PORT_MAX_BURST)
		stats->rx_nombuf++;
	return q->first < PORT_MAX_BURST;
}

// Our address the datagram was sent to; false when the kernel did not say or it is not unicast.
static bool local_of(const struct msghdr *h, struct pkt *pkt)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR((struct msghdr *)h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			memcpy(pkt->key.local, &info.ipi_addr, 4);
			return info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			memcpy(pkt->key.local, &info.ipi6_addr, 16);
			if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				pkt->ifindex = info.ipi6_ifindex;
			return !IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
		}
	}
	return false;
}

// Fill what struct pkt knows from the port; false for a datagram nobody honest sends.
static bool describe(struct port_socket *p, const struct msghdr *h, struct pkt *pkt)
{
	const union sockaddr_any *from = h->msg_name;

	memset(&pkt->key, 0, sizeof(pkt->key));
	pkt->ifindex = 0;
	pkt->key.local_port = p->udp_port;
	pkt->key.port = p->port.index;
	if (from->sa.sa_family == AF_INET) {
		pkt->key.family = 4;
		pkt->key.remote_port = ntohs(from->v4.sin_port);
		memcpy(pkt->key.remote, &from->v4.sin_addr, 4);
	} else {
		pkt->key.family = 6;
		pkt->key.remote_port = ntohs(from->v6.sin6_port);
		memcpy(pkt->key.remote, &from->v6.sin6_addr, 16);
	}
	return local_of(h, pkt) && pkt->key.remote_port != 0;
}

// Read one socket; the accepted packets go to out, in order. Their buffers are the first of the queue's, so only these are made
// ready anew: a datagram that comes alone, as most do, must not cost the upkeep of a burst.
static unsigned read_socket(struct port_socket *p, struct queue *q, unsigned sock, struct port_stats *stats,
			    struct rte_mbuf **out, unsigned n)
{
	unsigned n_ok = 0, end;
	int got;

	if (!refill(p, q, stats))
		return 0;
	n = RTE_MIN(n, PORT_MAX_BURST - q->first);
	got = recvmmsg(q->fd[sock], q->msg + q->first, n, MSG_DONTWAIT, NULL);
	if (got < (int)n)
		q->readable &= ~(UINT64_C(1) << sock);
	if (got <= 0)
		return 0;
	end = q->first + (unsigned)got;
	for (unsigned i = q->first; i < end; i++) {
		struct rte_mbuf *m = q->rx[i];
		unsigned len = q->msg[i].msg_len;
		bool is_long = (q->msg[i].msg_hdr.msg_flags & MSG_TRUNC) || len > PORT_MAX_PAYLOAD;
		bool is_bad = !is_long && (len == 0 || !describe(p, &q->msg[i].msg_hdr, pkt_of(m)));

		stats->rx_packets++;
		stats->rx_bytes += len;
		stats->rx_long += is_long;
		stats->rx_bad += is_bad;
		if (is_long || is_bad)
			continue;
		m->data_len = (uint16_t)len;
		m->pkt_len = len;
		out[n_ok++] = m;
		q->rx[i] = q->rx[q->first++]; // one that stays, or itself
	}
	prepare_rx(q, q->first, end);
	return n_ok;
}

// A single socket is simply read: that costs no more than asking whether it has something.
static void find_readable(const struct port_socket *p, struct queue *q)
{
	struct epoll_event ev[MAX_SOCKETS];
	int n;

	if (p->n_sockets == 1) {
		q->readable = 1;
		return;
	}
	n = epoll_wait(q->epoll_fd, ev, MAX_SOCKETS, 0);
	for (int i = 0; i < n; i++)
		q->readable |= UINT64_C(1) << ev[i].data.u32;
}

static unsigned socket_rx(struct port *port, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	struct port_socket *p = of(port);
	struct queue *q = &p->queue[queue];
	unsigned got = 0;

	if (q->readable == 0)
		find_readable(p, q);
	for (uint64_t left = q->readable; left && got < n; left &= left - 1)
		got += read_socket(p, q, (unsigned)__builtin_ctzll(left), &port->stats[queue], pkts + got,
				   n - got);
	return got;
}

static int socket_wait_fd(struct port *port, unsigned queue)
{
	struct port_socket *p = of(port);

	// An epoll instance inside the worker's costs a second wake-up in the kernel for each datagram.
	return p->n_sockets == 1 ? p->queue[queue].fd[0] : p->queue[queue].epoll_fd;
}

// --- send --------------------------------------------------------------------------------------

// What path_fill leaves in the port's private bytes of a path.
static unsigned path_socket(const struct path *path)
{
	return path->hdr[0];
}

static bool same_address(const union sockaddr_any *bound, const struct flow_key *key)
{
	if (key->family == 4)
		return bound->sa.sa_family == AF_INET &&
		       (bound->v4.sin_addr.s_addr == 0 || memcmp(&bound->v4.sin_addr, key->local, 4) == 0);
	return bound->sa.sa_family == AF_INET6 && (IN6_IS_ADDR_UNSPECIFIED(&bound->v6.sin6_addr) ||
						   memcmp(&bound->v6.sin6_addr, key->local, 16) == 0);
}

static void socket_path_fill(struct port *port, struct rte_mbuf *rx, struct path *out)
{
	struct port_socket *p = of(port);

	*out = (struct path){.key = pkt_of(rx)->key, .ifindex = pkt_of(rx)->ifindex};
	for (unsigned i = 0; i < p->n_sockets; i++)
		if (same_address(&p->addr[i], &out->key)) {
			out->hdr[0] = (uint8_t)i;
			return;
		}
}

// Where a message goes and which of our addresses it comes from.
static void address_to(const struct path *path, union sockaddr_any *name, struct msghdr *h)
{
	struct cmsghdr *c = h->msg_control;

	h->msg_name = name;
	if (path->key.family == 4) {
		struct in_pktinfo info = {};
		name->v4 =
			(struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(path->key.remote_port)};
		memcpy(&name->v4.sin_addr, path->key.remote, 4);
		memcpy(&info.ipi_spec_dst, path->key.local, 4);
		*c = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO};
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		h->msg_namelen = sizeof(name->v4);
		h->msg_controllen = CMSG_SPACE(sizeof(info));
	} else {
		struct in6_pktinfo info = {.ipi6_ifindex = path->ifindex};
		name->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
						 .sin6_port = htons(path->key.remote_port),
						 .sin6_scope_id = path->ifindex};
		memcpy(&name->v6.sin6_addr, path->key.remote, 16);
		memcpy(&info.ipi6_addr, path->key.local, 16);
		*c = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IPV6, IPV6_PKTINFO};
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		h->msg_namelen = sizeof(name->v6);
		h->msg_controllen = CMSG_SPACE(sizeof(info));
	}
}

// Let the kernel cut the message into datagrams of this size, the last one may be shorter (UDP_SEGMENT): one pass
// through its stack for all of them.
static void segment(struct msghdr *h, uint16_t size)
{
	struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)h->msg_control + h->msg_controllen);

	*c = (struct cmsghdr){CMSG_LEN(sizeof(size)), SOL_UDP, UDP_SEGMENT};
	memcpy(CMSG_DATA(c), &size, sizeof(size));
	h->msg_controllen += CMSG_SPACE(sizeof(size));
}

// Packets from the first on that can be one message: same way, same size but for the last.
static unsigned run_length(struct rte_mbuf **pkts, const struct path *const *paths, unsigned n)
{
	unsigned size = pkts[0]->data_len, total = size, i = 1;

	while (i < n && paths[i] == paths[0] && pkts[i]->data_len <= size && total + size <= MAX_MESSAGE) {
		total += size;
		if (pkts[i++]->data_len < size)
			break;
	}
	return i;
}

// What goes to the kernel at once.
struct batch {
	unsigned n;
	struct mmsghdr msg[PORT_MAX_BURST];
	uint8_t n_packets[PORT_MAX_BURST]; // of each message
	struct iovec iov[PORT_MAX_BURST];
	union sockaddr_any name[PORT_MAX_BURST];
	alignas(8) uint8_t control[PORT_MAX_BURST][CONTROL_SIZE + CMSG_SPACE(sizeof(uint16_t))];
};

// Messages for packets that leave by the same socket.
static void batch_fill(struct batch *b, struct rte_mbuf **pkts, const struct path *const *paths, unsigned n,
		       bool gso)
{
	b->n = 0;
	for (unsigned i = 0, run; i < n; i += run) {
		unsigned k = b->n++;

		run = gso ? run_length(pkts + i, paths + i, n - i) : 1;
		for (unsigned j = i; j < i + run; j++)
			b->iov[j] = (struct iovec){rte_pktmbuf_mtod(pkts[j], void *), pkts[j]->data_len};
		b->msg[k] = (struct mmsghdr){
			.msg_hdr = {.msg_iov = &b->iov[i], .msg_iovlen = run, .msg_control = b->control[k]}};
		b->n_packets[k] = (uint8_t)run;
		address_to(paths[i], &b->name[k], &b->msg[k].msg_hdr);
		if (run > 1)
			segment(&b->msg[k].msg_hdr, pkts[i]->data_len);
	}
}

static void batch_count(const struct batch *b, unsigned first, unsigned n, struct port_stats *stats)
{
	for (unsigned i = first; i < first + n; i++) {
		stats->tx_bytes += b->msg[i].msg_len;
		stats->tx_packets += b->n_packets[i];
	}
}

static unsigned batch_packets(const struct batch *b, unsigned first, unsigned end)
{
	unsigned n = 0;

	for (unsigned i = first; i < end; i++)
		n += b->n_packets[i];
	return n;
}

// A refused message is skipped, a full socket ends it. Returns how many packets are done with: fewer than all when
// a message of several was refused (*gso is cleared: a path with a small MTU, a device that cannot segment); the rest shall
// come again one by one.
static unsigned batch_send(int fd, struct batch *b, bool *gso, struct port_stats *stats)
{
	unsigned done = 0;

	while (done < b->n) {
		int sent = sendmmsg(fd, b->msg + done, b->n - done, MSG_DONTWAIT);
		if (sent > 0) {
			batch_count(b, done, (unsigned)sent, stats);
			done += (unsigned)sent;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
			stats->tx_dropped += batch_packets(b, done, b->n);
			return batch_packets(b, 0, b->n);
		} else if (b->n_packets[done] > 1 &&
			   (errno == EIO || errno == EINVAL || errno == EOPNOTSUPP)) {
			*gso = false;
			return batch_packets(b, 0, done);
		} else if (errno != EINTR) {
			stats->tx_dropped += b->n_packets[done++];
		}
	}
	return batch_packets(b, 0, b->n);
}

static void socket_tx(struct port *port, unsigned queue, struct rte_mbuf **pkts,
		      const struct path *const *paths, unsigned n)
{
	struct port_socket *p = of(port);
	struct queue *q = &p->queue[queue];
	bool gso = q->n_refused < MAX_REFUSED;
	struct batch b;
	unsigned first = 0;

	while (first < n) {
		unsigned sock = path_socket(paths[first]), end = first + 1;

		while (end < n && path_socket(paths[end]) == sock)
			end++;
		batch_fill(&b, pkts + first, paths + first, end - first, gso);
		first += batch_send(q->fd[sock], &b, &gso, &port->stats[queue]);
		q->n_refused += first < end && !gso;
	}
	mbufs_done(pkts, n); // what was refused is counted
}

// --- open and close ----------------------------------------------------------------------------

static void socket_close(struct port *port)
{
	struct port_socket *p = of(port);

	for (unsigned i = 0; i < port->n_queues; i++) {
		struct queue *q = &p->queue[i];
		for (unsigned k = 0; k < p->n_sockets; k++)
			if (q->fd[k] >= 0)
				close(q->fd[k]);
		if (q->epoll_fd >= 0)
			close(q->epoll_fd);
		mbufs_unused(q->rx + q->first, PORT_MAX_BURST - q->first);
	}
	free(p);
}

static const struct port_ops socket_ops = {
	.name = "sockets",
	.rx = socket_rx,
	.tx = socket_tx,
	.path_fill = socket_path_fill,
	.wait_fd = socket_wait_fd,
	.close = socket_close,
};

static bool add_address(struct port_socket *p, const char *text)
{
	if (!sockaddr_parse(text, 0, &p->addr[p->n_sockets]))
		return false;
	p->n_sockets++;
	return true;
}

static int choose_addresses(struct port_socket *p, const struct port_env *env)
{
	const struct conf_list *list = &env->conf->rtc.address_udp;

	for (unsigned i = 0; i < list->n; i++)
		if (!add_address(p, list->item[i])) {
			snprintf(env->error, env->error_size,
				 "rtc.ice_address_udp: \"%s\" is not an IP address", list->item[i]);
			return -EINVAL;
		}
	if (list->n == 0) {
		add_address(p, "0.0.0.0");
		if (env->conf->rtc.enable_ipv6 && sockaddr_has_ipv6())
			add_address(p, "::");
	}
	return 0;
}

static int open_socket(const union sockaddr_any *addr, bool reuse, int busy_poll_us)
{
	const int on = 1, size = SOCKET_BUFFER;
	bool v6 = addr->sa.sa_family == AF_INET6;
	int fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (v6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	} else {
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	}
	// Beyond net.core.*mem_max with CAP_NET_ADMIN, up to it without: both are fine to start with.
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (busy_poll_us > 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &busy_poll_us, sizeof(busy_poll_us)) < 0)
		log_warn("dataplane.busy_poll_us: sockets do not poll (%s); CAP_NET_ADMIN allows it",
			 strerror(errno));
	if (reuse)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (bind(fd, &addr->sa, sockaddr_len(addr)) < 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	if (!reuse)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	return fd;
}

// Since Linux 4.18.
static bool has_gso(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 0;
	socklen_t len = sizeof(size);
	bool has = fd >= 0 && getsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, &len) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

static int open_queue(struct port_socket *p, unsigned queue, const struct port_env *env)
{
	struct queue *q = &p->queue[queue];

	q->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (q->epoll_fd < 0)
		return -errno;
	q->n_refused = has_gso() ? 0 : MAX_REFUSED;
	for (unsigned i = 0; i < p->n_sockets; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u32 = i};

		sockaddr_set_port(&p->addr[i], p->udp_port);
		q->fd[i] = open_socket(&p->addr[i], queue > 0, (int)env->conf->dataplane.busy_poll_us);
		if (q->fd[i] < 0) {
			sockaddr_explain(env, "udp", &p->addr[i], p->udp_port, q->fd[i]);
			return q->fd[i];
		}
		if (p->udp_port == 0)
			p->udp_port = sockaddr_bound_port(q->fd[i]);
		if (epoll_ctl(q->epoll_fd, EPOLL_CTL_ADD, q->fd[i], &ev) < 0)
			return -errno;
	}
	return 0;
}

struct port *port_socket_open(const struct port_env *env)
{
	struct port_socket *p = calloc(1, sizeof(*p) + env->n_queues * sizeof(struct queue));
	int err;

	if (p == NULL)
		return err_null(ENOMEM);
	p->port = (struct port){.ops = &socket_ops, .index = env->index, .n_queues = env->n_queues};
	p->pool = env->rx_pool;
	p->udp_port = env->media_port;
	for (unsigned i = 0; i < env->n_queues; i++) {
		p->queue[i].epoll_fd = -1;
		p->queue[i].first = PORT_MAX_BURST;
		memset(p->queue[i].fd, -1, sizeof(p->queue[i].fd));
	}
	err = choose_addresses(p, env);
	for (unsigned i = 0; err == 0 && i < env->n_queues; i++)
		err = open_queue(p, i, env);
	if (err < 0) {
		socket_close(&p->port);
		return err_null(-err);
	}
	return &p->port;
}

uint16_t port_socket_port(const struct port *port)
{
	return ((const struct port_socket *)port)->udp_port;
}
