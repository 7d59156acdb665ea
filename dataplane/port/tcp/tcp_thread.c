// The loop of the TCP thread. It sleeps in epoll_wait; workers ring its doorbell when it has announced that.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/port/sockaddr.h"
#include "dataplane/port/tcp/tcp.h"
#include "lib/base/err.h"

#define EVENTS 128
#define ACCEPTS 64      // per look at a listener
#define RING_BATCH 1024 // frames per look at a worker's ring
#define ACCEPT_PAUSE (100 * NS_PER_MS)

// Tags of epoll events: connections have their id.
#define TAG_DOORBELL (UINT64_C(1) << 32)
#define TAG_LISTEN (UINT64_C(2) << 32) // + index

bool tcp_watch(struct port_tcp *p, int fd, uint64_t tag, uint32_t events, int op)
{
	struct epoll_event ev = {.events = events, .data.u64 = tag};

	return epoll_ctl(p->epoll_fd, op, fd, &ev) == 0;
}

// --- listeners -----------------------------------------------------------------------------------

static int open_listener(const union sockaddr_any *a)
{
	const int on = 1;
	bool v6 = a->sa.sa_family == AF_INET6;
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
		   sizeof(on)); // connections of before a restart do not matter
	if (v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &a->sa, sockaddr_len(a)) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int add_listener(struct port_tcp *p, const struct port_env *env, const char *address)
{
	union sockaddr_any a;
	int fd;

	if (!sockaddr_parse(address, p->tcp_port, &a)) {
		snprintf(env->error, env->error_size, "rtc.ice_address_tcp: \"%s\" is not an IP address",
			 address);
		return -EINVAL;
	}
	fd = open_listener(&a);
	if (fd < 0) {
		sockaddr_explain(env, "tcp", &a, p->tcp_port, fd);
		return fd;
	}
	if (p->tcp_port == 0)
		p->tcp_port = sockaddr_bound_port(fd);
	p->listen[p->n_listen] = fd;
	return tcp_watch(p, fd, TAG_LISTEN + p->n_listen++, EPOLLIN, EPOLL_CTL_ADD) ? 0 : -errno;
}

int tcp_listen(struct port_tcp *p, const struct port_env *env)
{
	const struct conf_list *list = &env->conf->rtc.address_tcp;
	int err = 0;

	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd < 0 || !tcp_watch(p, p->doorbell, TAG_DOORBELL, EPOLLIN, EPOLL_CTL_ADD))
		return -errno;
	for (unsigned i = 0; err == 0 && i < list->n; i++)
		err = add_listener(p, env, list->item[i]);
	if (list->n == 0) {
		err = add_listener(p, env, "0.0.0.0");
		if (err == 0 && env->conf->rtc.enable_ipv6 && sockaddr_has_ipv6())
			err = add_listener(p, env, "::");
	}
	return err;
}

// Out of descriptors or memory: a stranger goes; when there is none, the kernel's queue has to wait a little.
static void accept_failed(struct port_tcp *p)
{
	if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
		return;
	if (tcp_conn_make_room(p))
		return;
	for (unsigned i = 0; i < p->n_listen; i++)
		tcp_watch(p, p->listen[i], TAG_LISTEN + i, 0, EPOLL_CTL_MOD);
	p->accept_again = p->now + ACCEPT_PAUSE;
}

static void accept_some(struct port_tcp *p, unsigned i)
{
	for (unsigned k = 0; k < ACCEPTS; k++) {
		int fd = accept4(p->listen[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			accept_failed(p);
			return;
		}
		tcp_conn_accept(p, fd);
	}
}

static void accept_resume(struct port_tcp *p)
{
	if (p->accept_again == 0 || p->now < p->accept_again)
		return;
	p->accept_again = 0;
	for (unsigned i = 0; i < p->n_listen; i++)
		tcp_watch(p, p->listen[i], TAG_LISTEN + i, EPOLLIN, EPOLL_CTL_MOD);
}

// --- rings ---------------------------------------------------------------------------------------

void tcp_up(struct port_tcp *p, struct tcp_conn *c, const void *data, size_t len)
{
	struct tcp_end *end = &p->end[c->queue];
	struct tcp_up head = {.key = c->key};

	if (pktring_push(&end->up, &head, sizeof(head), data, len) == 0)
		end->is_pushed = true;
	else
		statseg_add(p->stats, DROP_TCP_RING, 1);
}

// Closed connections whose workers had no room for the news.
static void tell_gone(struct port_tcp *p)
{
	struct tcp_conn *c;

	while ((c = TAILQ_FIRST(&p->gone)) != NULL) {
		struct tcp_end *end = &p->end[c->queue];
		struct tcp_up head = {.key = c->key};

		if (pktring_push(&end->up, &head, sizeof(head), NULL, 0) < 0)
			return;
		end->is_pushed = true;
		tcp_conn_close(p, c, CTR_NONE);
	}
}

static void kick_workers(struct port_tcp *p)
{
	for (unsigned i = 0; i < p->port.n_queues; i++)
		if (p->end[i].is_pushed) {
			p->end[i].is_pushed = false;
			pktring_kick(&p->end[i].up);
		}
}

// What workers want sent. True: there may be more.
static bool drain_rings(struct port_tcp *p)
{
	uint8_t frame[sizeof(struct tcp_down) + PORT_MAX_PAYLOAD];
	struct tcp_down head;
	bool more = false;

	for (unsigned i = 0; i < p->port.n_queues; i++) {
		unsigned n = 0;
		int len;

		while (n < RING_BATCH && (len = pktring_pop(&p->end[i].down, frame, sizeof(frame))) >= 0) {
			MUST((size_t)len >= sizeof(head)); // written by tcp_tx and tcp_bind alone
			memcpy(&head, frame, sizeof(head));
			tcp_conn_down(p, &head, frame + sizeof(head), (size_t)len - sizeof(head));
			n++;
		}
		more |= n == RING_BATCH;
	}
	return more;
}

// False: something is there already.
static bool announce_sleep(struct port_tcp *p)
{
	bool may_sleep = true;

	for (unsigned i = 0; i < p->port.n_queues; i++)
		may_sleep &= pktring_sleep(&p->end[i].down);
	return may_sleep;
}

static void dispatch(struct port_tcp *p, const struct epoll_event *ev)
{
	uint64_t tag = ev->data.u64;
	struct tcp_conn *c;

	if (tag == TAG_DOORBELL) {
		for (unsigned i = 0; i < p->port.n_queues; i++)
			pktring_wake(&p->end[i].down);
		return;
	}
	if (tag >= TAG_LISTEN) {
		accept_some(p, (unsigned)(tag - TAG_LISTEN));
		return;
	}
	c = tcp_conn_find(p, (uint16_t)tag);
	if (c != NULL && (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		tcp_conn_input(p, c);
	c = tcp_conn_find(p, (uint16_t)tag);
	if (c != NULL && (ev->events & EPOLLOUT))
		tcp_conn_output(p, c);
}

// Milliseconds to sleep, rounded up so that the time has come when we wake.
static int timeout_ms(const struct port_tcp *p)
{
	ns_t due = tcp_conn_due(p);

	if (!TAILQ_EMPTY(&p->gone))
		return 1;
	if (p->accept_again != 0 && p->accept_again < due)
		due = p->accept_again;
	if (due == NS_NEVER)
		return -1;
	return due <= p->now ? 0 : (int)RTE_MIN((due - p->now + NS_PER_MS - 1) / NS_PER_MS, INT64_C(60000));
}

void *tcp_thread(void *arg)
{
	struct port_tcp *p = arg;
	struct epoll_event ev[EVENTS];

	while (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
		p->now = clock_now();
		bool more = drain_rings(p);
		tcp_conn_flush(p);
		tcp_conn_timers(p);
		accept_resume(p);
		tell_gone(p);
		kick_workers(p);
		statseg_set(p->stats, GAUGE_TCP_CONNECTIONS, p->n_conns);
		more = more || !announce_sleep(p);
		int n = epoll_wait(p->epoll_fd, ev, EVENTS, more ? 0 : timeout_ms(p));
		p->now = clock_now();
		for (int i = 0; i < n; i++)
			dispatch(p, &ev[i]);
	}
	return NULL;
}
