// Kernel UDP sockets as a port: bursts by recvmmsg and sendmmsg, one set of sockets per worker.
//
// A queue owns one socket per address we serve (the wildcard of each family, or the listed ones), in the
// same order in every queue, so a path learned on one queue can be sent on from another. IP_PKTINFO says
// which address was asked, and the reply leaves from there: a browser drops anything else.
//
// With several workers the kernel spreads flows by SO_REUSEPORT. The first socket is bound without it, so
// that a port held by another process is noticed, and opens the group afterwards.
#include "dataplane/port/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/err.h"

static int socket_wait_fd(struct port *port, unsigned queue)
{
	struct port_socket *p = port_socket_of(port);

	// An epoll instance inside the worker's costs a second wake-up in the kernel for each datagram.
	return p->n_sockets == 1 ? p->queue[queue].fd[0] : p->queue[queue].epoll_fd;
}

static bool is_bound_to(const union sockaddr_any *bound, const struct flow_key *key)
{
	if (key->family == 4)
		return bound->sa.sa_family == AF_INET &&
		       (bound->v4.sin_addr.s_addr == 0 || memcmp(&bound->v4.sin_addr, key->local, 4) == 0);
	return bound->sa.sa_family == AF_INET6 && (IN6_IS_ADDR_UNSPECIFIED(&bound->v6.sin6_addr) ||
						   memcmp(&bound->v6.sin6_addr, key->local, 16) == 0);
}

static void socket_path_fill(struct port *port, struct rte_mbuf *rx, struct path *out)
{
	struct port_socket *p = port_socket_of(port);

	*out = (struct path){.key = pkt_of(rx)->key, .ifindex = pkt_of(rx)->ifindex};
	for (unsigned i = 0; i < p->n_sockets; i++)
		if (is_bound_to(&p->addr[i], &out->key)) {
			out->hdr[0] = (uint8_t)i;
			return;
		}
}

// --- open and close ----------------------------------------------------------------------------

static void socket_close(struct port *port)
{
	struct port_socket *p = port_socket_of(port);

	for (unsigned i = 0; i < port->n_queues; i++) {
		struct socket_queue *q = &p->queue[i];
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

struct port *port_socket_open(const struct port_env *env)
{
	struct port_socket *p = calloc(1, sizeof(*p) + env->n_queues * sizeof(struct socket_queue));
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
	err = socket_choose_addresses(p, env);
	for (unsigned i = 0; err == 0 && i < env->n_queues; i++)
		err = socket_open_queue(p, i, env);
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
