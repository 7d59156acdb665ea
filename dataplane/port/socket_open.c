// The sockets of a queue: which addresses they are bound to, and how they are tuned.
#include "dataplane/port/socket.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/base/log.h"

#define SOCKET_BUFFER (4 << 20) // bytes: 40 ms of a 1 Gb/s burst

static bool address_add(struct port_socket *p, const char *text)
{
	if (!sockaddr_parse(text, 0, &p->addr[p->n_sockets]))
		return false;
	p->n_sockets++;
	return true;
}

int socket_choose_addresses(struct port_socket *p, const struct port_env *env)
{
	const struct conf_list *list = &env->conf->rtc.address_udp;

	for (unsigned i = 0; i < list->n; i++)
		if (!address_add(p, list->item[i])) {
			snprintf(env->error, env->error_size,
				 "rtc.ice_address_udp: \"%s\" is not an IP address", list->item[i]);
			return -EINVAL;
		}
	if (list->n == 0) {
		address_add(p, "0.0.0.0");
		if (env->conf->rtc.enable_ipv6 && sockaddr_has_ipv6())
			address_add(p, "::");
	}
	return 0;
}

static int socket_open_bound(const union sockaddr_any *addr, bool reuse, int busy_poll_us)
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
static bool kernel_has_gso(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 0;
	socklen_t len = sizeof(size);
	bool has = fd >= 0 && getsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, &len) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

int socket_open_queue(struct port_socket *p, unsigned queue, const struct port_env *env)
{
	struct socket_queue *q = &p->queue[queue];

	q->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (q->epoll_fd < 0)
		return -errno;
	q->n_refused = kernel_has_gso() ? 0 : SOCKET_MAX_REFUSED;
	for (unsigned i = 0; i < p->n_sockets; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u32 = i};

		sockaddr_set_port(&p->addr[i], p->udp_port);
		q->fd[i] = socket_open_bound(&p->addr[i], queue > 0, (int)env->conf->dataplane.busy_poll_us);
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
