// Datagrams out: bursts by sendmmsg, several of one size as one message that the kernel cuts.
#include "dataplane/port/socket.h"

#include <assert.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#define MAX_MESSAGE 65000 // bytes that the kernel segments at a time

// Where a message goes and which of our addresses it comes from.
static void message_address(const struct path *path, union sockaddr_any *name, struct msghdr *h)
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
static void message_segment(struct msghdr *h, uint16_t size)
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
	alignas(8) uint8_t control[PORT_MAX_BURST][SOCKET_CONTROL_SIZE + CMSG_SPACE(sizeof(uint16_t))];
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
		message_address(paths[i], &b->name[k], &b->msg[k].msg_hdr);
		if (run > 1)
			message_segment(&b->msg[k].msg_hdr, pkts[i]->data_len);
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
// a message of several was refused (*gso is cleared: a path with a small MTU, a device that cannot segment); the rest
// shall come again one by one.
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

void socket_tx(struct port *port, unsigned queue, struct rte_mbuf **pkts, const struct path *const *paths,
	       unsigned n)
{
	struct port_socket *p = port_socket_of(port);
	struct socket_queue *q = &p->queue[queue];
	bool gso = q->n_refused < SOCKET_MAX_REFUSED;
	struct batch b;
	unsigned first = 0;

	assert(queue < port->n_queues && n <= PORT_MAX_BURST);
	while (first < n) {
		unsigned sock = path_socket(paths[first]), end = first + 1;

		assert(sock < p->n_sockets && paths[first]->key.port == port->index);
		while (end < n && path_socket(paths[end]) == sock)
			end++;
		batch_fill(&b, pkts + first, paths + first, end - first, gso);
		first += batch_send(q->fd[sock], &b, &gso, &port->stats[queue]);
		q->n_refused += first < end && !gso;
	}
	mbufs_done(pkts, n); // what was refused is counted
}
