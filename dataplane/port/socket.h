// What the parts of the port over kernel sockets share: port_socket.c opens and closes it, socket_open.c makes its
// sockets, socket_rx.c and socket_tx.c move packets.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "dataplane/port/port.h"
#include "dataplane/port/sockaddr.h"

#define SOCKET_MAX (CONF_MAX_LIST + 2) // of a queue
#define SOCKET_MAX_REFUSED 64          // then no more are tried: the device cannot segment
#define SOCKET_CONTROL_SIZE CMSG_SPACE(sizeof(struct in6_pktinfo))

// One worker's sockets. thread: that worker, once it runs
struct socket_queue {
	int fd[SOCKET_MAX];
	int epoll_fd;
	uint64_t readable;  // bit per socket: may have more
	unsigned n_refused; // messages of several packets that the kernel did not take
	unsigned first;     // of rx[] that is a buffer, as msg[] says; those before it were taken
	struct rte_mbuf *rx[PORT_MAX_BURST];
	struct mmsghdr msg[PORT_MAX_BURST];
	struct iovec iov[PORT_MAX_BURST];
	union sockaddr_any name[PORT_MAX_BURST];
	alignas(8) uint8_t control[PORT_MAX_BURST][SOCKET_CONTROL_SIZE];
};

struct port_socket {
	struct port port;
	struct rte_mempool *pool; // borrowed
	unsigned n_sockets;       // of each queue
	uint16_t udp_port;
	union sockaddr_any addr[SOCKET_MAX];
	struct socket_queue queue[]; // n_queues
};

static inline struct port_socket *port_socket_of(struct port *port)
{
	return (struct port_socket *)port;
}

// Which of a queue's sockets a path leaves by: path_fill puts it where other ports have headers.
static inline unsigned path_socket(const struct path *path)
{
	return path->hdr[0];
}

// --- socket_open.c. thread: main, before the workers
// What is listened on. 0, -EINVAL with env->error filled.
int socket_choose_addresses(struct port_socket *, const struct port_env *);
// The sockets of one queue, queue 0 first. 0, -errno with env->error filled.
int socket_open_queue(struct port_socket *, unsigned queue, const struct port_env *);

// --- as in struct port_ops
unsigned socket_rx(struct port *, unsigned queue, struct rte_mbuf **pkts, unsigned n);
void socket_tx(struct port *, unsigned queue, struct rte_mbuf **pkts, const struct path *const *paths,
	       unsigned n);
