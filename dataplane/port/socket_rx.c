// Datagrams in: bursts by recvmmsg, checked and described.
#include "dataplane/port/socket.h"

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>

#define READ_BYTES 2048 // longer datagrams are truncated by the kernel and dropped

static void queue_prepare(struct socket_queue *q, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		q->iov[i] = (struct iovec){rte_pktmbuf_mtod(q->rx[i], void *), READ_BYTES};
		q->msg[i].msg_hdr = (struct msghdr){
			.msg_name = &q->name[i],
			.msg_namelen = sizeof(q->name[i]),
			.msg_iov = &q->iov[i],
			.msg_iovlen = 1,
			.msg_control = q->control[i],
			.msg_controllen = SOCKET_CONTROL_SIZE,
		};
	}
}

// Buffers in place of those that were taken; false when there is none at all.
static bool queue_refill(struct port_socket *p, struct socket_queue *q, struct port_stats *stats)
{
	if (q->first > 0 && rte_pktmbuf_alloc_bulk(p->pool, q->rx, q->first) == 0) {
		queue_prepare(q, 0, q->first);
		q->first = 0;
	}
	if (q->first == PORT_MAX_BURST)
		stats->rx_nombuf++;
	return q->first < PORT_MAX_BURST;
}

// Our address the datagram was sent to; false when the kernel did not say or it is not unicast.
static bool pkt_set_local(const struct msghdr *h, struct pkt *pkt)
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
static bool pkt_describe(struct port_socket *p, const struct msghdr *h, struct pkt *pkt)
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
	return pkt_set_local(h, pkt) && pkt->key.remote_port != 0;
}

// Read one socket; the accepted packets go to out, in order. Their buffers are the first of the queue's, so only these
// are made ready anew: a datagram that comes alone, as most do, must not cost the upkeep of a burst.
static unsigned queue_read(struct port_socket *p, struct socket_queue *q, unsigned sock,
			   struct port_stats *stats, struct rte_mbuf **out, unsigned n)
{
	unsigned n_ok = 0, end;
	int got;

	if (!queue_refill(p, q, stats))
		return 0;
	n = RTE_MIN(n, PORT_MAX_BURST - q->first);
	got = recvmmsg(q->fd[sock], q->msg + q->first, n, MSG_DONTWAIT, NULL);
	if (got < (int)n)
		q->readable &= ~(UINT64_C(1) << sock);
	if (got <= 0)
		return 0;
	end = q->first + (unsigned)got;
	assert(end <= PORT_MAX_BURST);
	for (unsigned i = q->first; i < end; i++) {
		struct rte_mbuf *m = q->rx[i];
		unsigned len = q->msg[i].msg_len;
		bool is_long = (q->msg[i].msg_hdr.msg_flags & MSG_TRUNC) || len > PORT_MAX_PAYLOAD;
		bool is_bad = !is_long && (len == 0 || !pkt_describe(p, &q->msg[i].msg_hdr, pkt_of(m)));

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
	queue_prepare(q, q->first, end);
	return n_ok;
}

// A single socket is simply read: that costs no more than asking whether it has something.
static void queue_find_readable(const struct port_socket *p, struct socket_queue *q)
{
	struct epoll_event ev[SOCKET_MAX];
	int n;

	if (p->n_sockets == 1) {
		q->readable = 1;
		return;
	}
	n = epoll_wait(q->epoll_fd, ev, SOCKET_MAX, 0);
	for (int i = 0; i < n; i++)
		q->readable |= UINT64_C(1) << ev[i].data.u32;
}

unsigned socket_rx(struct port *port, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	struct port_socket *p = port_socket_of(port);
	struct socket_queue *q = &p->queue[queue];
	unsigned got = 0;

	assert(queue < port->n_queues && n <= PORT_MAX_BURST);
	if (q->readable == 0)
		queue_find_readable(p, q);
	for (uint64_t left = q->readable; left && got < n; left &= left - 1)
		got += queue_read(p, q, (unsigned)__builtin_ctzll(left), &port->stats[queue], pkts + got,
				  n - got);
	return got;
}
