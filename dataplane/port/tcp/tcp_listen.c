// The listeners of the TCP port, and what they accept.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/port/sockaddr.h"
#include "dataplane/port/tcp/tcp.h"

#define ACCEPTS 64 // per look at a listener
#define ACCEPT_PAUSE (100 * NS_PER_MS)
#define NOTSENT_LOWAT 16384 // bytes: what waits waits in our queue, where it can still be dropped

static int listener_open(const union sockaddr_any *a)
{
	const int on = 1, lowat = NOTSENT_LOWAT;
	bool v6 = a->sa.sa_family == AF_INET6;
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
		   sizeof(on)); // connections of before a restart do not matter
	// What is accepted inherits these: no system calls for each stranger.
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
	if (v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &a->sa, sockaddr_len(a)) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int listener_add(struct port_tcp *p, const struct port_env *env, const char *address)
{
	union sockaddr_any a;
	int fd;

	if (!sockaddr_parse(address, p->tcp_port, &a)) {
		snprintf(env->error, env->error_size, "rtc.ice_address_tcp: \"%s\" is not an IP address",
			 address);
		return -EINVAL;
	}
	fd = listener_open(&a);
	if (fd < 0) {
		sockaddr_explain(env, "tcp", &a, p->tcp_port, fd);
		return fd;
	}
	if (p->tcp_port == 0)
		p->tcp_port = sockaddr_bound_port(fd);
	p->listen[p->n_listen] = fd;
	return tcp_watch(p, fd, TCP_TAG_LISTEN + p->n_listen++, EPOLLIN, EPOLL_CTL_ADD) ? 0 : -errno;
}

int tcp_listen(struct port_tcp *p, const struct port_env *env)
{
	const struct conf_list *list = &env->conf->rtc.address_tcp;
	int err = 0;

	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd < 0 || !tcp_watch(p, p->doorbell, TCP_TAG_DOORBELL, EPOLLIN, EPOLL_CTL_ADD))
		return -errno;
	for (unsigned i = 0; err == 0 && i < list->n; i++)
		err = listener_add(p, env, list->item[i]);
	if (list->n == 0) {
		err = listener_add(p, env, "0.0.0.0");
		if (err == 0 && env->conf->rtc.enable_ipv6 && sockaddr_has_ipv6())
			err = listener_add(p, env, "::");
	}
	return err;
}

// Out of descriptors or memory: a stranger goes; when there is none, the kernel's queue has to wait a little.
static void listener_failed(struct port_tcp *p)
{
	if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
		return;
	if (tcp_conn_make_room(p))
		return;
	for (unsigned i = 0; i < p->n_listen; i++)
		tcp_watch(p, p->listen[i], TCP_TAG_LISTEN + i, 0, EPOLL_CTL_MOD);
	p->accept_again = p->now + ACCEPT_PAUSE;
}

void tcp_listen_accept(struct port_tcp *p, unsigned i)
{
	for (unsigned k = 0; k < ACCEPTS; k++) {
		struct sockaddr_storage remote = {};
		socklen_t len = sizeof(remote);
		int fd =
			accept4(p->listen[i], (struct sockaddr *)&remote, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			listener_failed(p);
			return;
		}
		tcp_conn_accept(p, fd, &remote);
	}
}

void tcp_listen_resume(struct port_tcp *p)
{
	if (p->accept_again == 0 || p->now < p->accept_again)
		return;
	p->accept_again = 0;
	for (unsigned i = 0; i < p->n_listen; i++)
		tcp_watch(p, p->listen[i], TCP_TAG_LISTEN + i, EPOLLIN, EPOLL_CTL_MOD);
}
