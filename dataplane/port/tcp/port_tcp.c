// The workers' side of ICE-TCP: frames out of and into rings, no system call but the thread's doorbell while it sleeps.
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "dataplane/port/tcp/tcp.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/ipc/bell.h"

#define MAX_CONNS 65535
#define PAIRS_PER_SESSION 4 // connections of one session that are usual at the very most

static_assert(sizeof(struct tcp_up) <= RTE_PKTMBUF_HEADROOM);
static_assert(PORT_MAX_PAYLOAD == DEFRAME_MAX);

const struct tcp_limits tcp_limits_default = {
	.first = 5 * NS_PER_S,
	.partial = 5 * NS_PER_S,
	.blocked = 10 * NS_PER_S,
	.idle = 60 * NS_PER_S, // the session gives up its pair after 30 s: this is for a lost message
	.strangers = 4096,
	.strangers_per_source = 64,
};

static struct port_tcp *port_tcp_of(struct port *port)
{
	return (struct port_tcp *)port;
}

// --- receive -----------------------------------------------------------------------------------

// The next frame of the ring, in the spare mbuf: head in the headroom, data where it belongs.
static struct rte_mbuf *side_take(struct tcp_side *side)
{
	struct rte_mbuf *m = side->spare;
	struct tcp_up *head = rte_pktmbuf_mtod_offset(m, struct tcp_up *, -(ptrdiff_t)sizeof(*head));
	int len = pktring_pop(&side->up, head, sizeof(*head) + PORT_MAX_PAYLOAD);

	if (len < (int)sizeof(*head))
		return NULL;
	side->spare = NULL;
	memcpy(&pkt_of(m)->key, &head->key, sizeof(head->key));
	pkt_of(m)->ifindex = 0;
	m->data_len = (uint16_t)(len - (int)sizeof(*head));
	m->pkt_len = m->data_len;
	return m;
}

// Sleep is announced once, when the ring is empty, and stands until the descriptor was readable: polling costs a look.
static unsigned tcp_rx(struct port *port, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	struct tcp_side *side = &port_tcp_of(port)->side[queue];
	struct port_stats *stats = &port->stats[queue];
	unsigned got = 0;

	assert(queue < port->n_queues);
	while (got < n) {
		if (side->spare == NULL &&
		    (side->spare = rte_pktmbuf_alloc(port_tcp_of(port)->pool)) == NULL) {
			stats->rx_nombuf++;
			break;
		}
		pkts[got] = side_take(side);
		if (pkts[got] != NULL) {
			stats->rx_bytes += pkts[got++]->data_len;
			continue;
		}
		if (side->has_announced)
			break;
		side->has_announced = pktring_sleep(&side->up);
	}
	stats->rx_packets += got;
	return got;
}

static int tcp_wait_fd(struct port *port, unsigned queue)
{
	return port_tcp_of(port)->side[queue].bell;
}

static void tcp_woken(struct port *port, unsigned queue)
{
	struct tcp_side *side = &port_tcp_of(port)->side[queue];

	pktring_wake(&side->up);
	side->has_announced = false;
}

// --- send --------------------------------------------------------------------------------------

static void tcp_tx(struct port *port, unsigned queue, struct rte_mbuf **pkts, const struct path *const *paths,
		   unsigned n)
{
	struct tcp_side *side = &port_tcp_of(port)->side[queue];
	struct port_stats *stats = &port->stats[queue];

	for (unsigned i = 0; i < n; i++) {
		struct tcp_down head = {.conn = paths[i]->key.conn,
					.remote_port = paths[i]->key.remote_port,
					.op = TCP_SEND,
					.class = pkt_of(pkts[i])->class};
		uint16_t len = pkts[i]->data_len;

		assert(paths[i]->key.conn != 0 && len <= PORT_MAX_PAYLOAD);
		if (pktring_push(&side->down, &head, sizeof(head), rte_pktmbuf_mtod(pkts[i], void *), len) <
		    0) {
			stats->tx_dropped++;
			continue;
		}
		stats->tx_packets++;
		stats->tx_bytes += len;
	}
	pktring_kick(&side->down);
	mbufs_done(pkts, n); // the ring has copies; what found no room is counted
}

static void tcp_path_fill(struct port *port, struct rte_mbuf *rx, struct path *out)
{
	*out = (struct path){.key = pkt_of(rx)->key};
}

// A message lost to a full ring costs little: the next check says it again, and what nobody uses is closed.
static void tcp_bind(struct port *port, unsigned queue, const struct flow_key *key, uint32_t sid,
		     bool is_bound)
{
	struct tcp_side *side = &port_tcp_of(port)->side[queue];
	struct tcp_down head = {.conn = key->conn,
				.remote_port = key->remote_port,
				.op = is_bound ? TCP_BIND : TCP_UNBIND,
				.sid = sid};

	if (pktring_push(&side->down, &head, sizeof(head), NULL, 0) < 0)
		port->stats[queue].tx_dropped++;
	pktring_kick(&side->down);
}

// --- open and close ----------------------------------------------------------------------------

static void tcp_close(struct port *port)
{
	struct port_tcp *p = port_tcp_of(port);

	if (p->has_thread) {
		atomic_store_explicit(&p->stop, true, memory_order_relaxed);
		bell_ring(p->doorbell);
		pthread_join(p->thread, NULL);
	}
	if (p->conn)
		tcp_conn_free_all(p);
	for (unsigned i = 0; i < p->n_listen; i++)
		close(p->listen[i]);
	for (unsigned i = 0; p->side && i < port->n_queues; i++) {
		mbuf_unused(p->side[i].spare);
		if (p->side[i].bell >= 0)
			close(p->side[i].bell);
	}
	if (p->doorbell >= 0)
		close(p->doorbell);
	if (p->epoll_fd >= 0)
		close(p->epoll_fd);
	pktring_unmap(&p->up_mem);
	pktring_unmap(&p->down_mem);
	free(p->side);
	free(p->end);
	free(p->conn);
	free(p->free_ids);
	free(p->by_count);
	free(p);
}

static const struct port_ops tcp_ops = {
	.name = "tcp",
	.rx = tcp_rx,
	.tx = tcp_tx,
	.path_fill = tcp_path_fill,
	.wait_fd = tcp_wait_fd,
	.woken = tcp_woken,
	.bind = tcp_bind,
	.close = tcp_close,
};

static int map_rings(struct pktring_mem *mem, uint32_t size, unsigned n)
{
	int fd = pktring_create(size, n), err;

	if (fd < 0)
		return fd;
	err = pktring_map(mem, fd, size, n);
	close(fd);
	return err;
}

static int open_rings(struct port_tcp *p)
{
	unsigned n = p->port.n_queues;
	int err = map_rings(&p->up_mem, TCP_UP_BYTES, n);

	if (err == 0)
		err = map_rings(&p->down_mem, TCP_DOWN_BYTES, n);
	if (err < 0)
		return err;
	p->doorbell = bell_new();
	if (p->doorbell < 0)
		return p->doorbell;
	for (unsigned i = 0; i < n; i++) {
		if ((p->side[i].bell = bell_new()) < 0)
			return p->side[i].bell;
		pktring_rx_init(&p->side[i].up, &p->up_mem, i, p->side[i].bell);
		pktring_tx_init(&p->end[i].up, &p->up_mem, i, p->side[i].bell);
		pktring_tx_init(&p->side[i].down, &p->down_mem, i, p->doorbell);
		pktring_rx_init(&p->end[i].down, &p->down_mem, i, p->doorbell);
	}
	return 0;
}

static int port_tcp_allocate(struct port_tcp *p)
{
	unsigned n = p->port.n_queues;

	p->side = aligned_alloc(64, n * sizeof(*p->side));
	p->end = calloc(n, sizeof(*p->end));
	p->conn = calloc(p->max_conns + 1, sizeof(struct tcp_conn *));
	p->free_ids = calloc(p->max_conns, sizeof(*p->free_ids));
	p->by_count = calloc(p->limits.strangers_per_source + 1, sizeof(*p->by_count));
	if (p->side != NULL) {
		memset(p->side, 0, n * sizeof(*p->side));
		for (unsigned i = 0; i < n; i++)
			p->side[i].bell = -1;
	}
	if (p->side == NULL || p->end == NULL || p->conn == NULL || p->free_ids == NULL ||
	    p->by_count == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i <= p->limits.strangers_per_source; i++)
		TAILQ_INIT(&p->by_count[i]);
	for (unsigned i = 0; i < p->max_conns; i++)
		p->free_ids[p->n_free++] = (uint16_t)(i + 1);
	return 0;
}

// Each connection is a descriptor: take as many as we may have.
static void raise_descriptors(const struct port_tcp *p)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_max < p->limits.strangers)
		log_warn("open files are limited to %llu: fewer TCP connections can be served",
			 (unsigned long long)r.rlim_max);
}

static int start_thread(struct port_tcp *p)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); // signals are main's
	err = pthread_create(&p->thread, NULL, tcp_thread, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err != 0)
		return -err;
	p->has_thread = true;
	pthread_setname_np(p->thread, "sluice-tcp");
	return 0;
}

struct port *port_tcp_open_with(const struct port_env *env, const struct tcp_limits *limits)
{
	struct port_tcp *p = calloc(1, sizeof(*p));
	int err;

	if (p == NULL)
		return err_null(ENOMEM);
	p->port = (struct port){.ops = &tcp_ops, .index = env->index, .n_queues = env->n_queues};
	p->pool = env->rx_pool;
	p->stats = env->stats;
	p->limits = *limits;
	p->tcp_port = env->media_port;
	p->seed = rand_u32();
	p->doorbell = p->epoll_fd = -1;
	p->max_conns = RTE_MIN(limits->strangers + env->conf->dataplane.max_sessions * PAIRS_PER_SESSION,
			       (uint32_t)MAX_CONNS);
	TAILQ_INIT(&p->strangers);
	TAILQ_INIT(&p->bound);
	TAILQ_INIT(&p->gone);
	TAILQ_INIT(&p->partial);
	TAILQ_INIT(&p->blocked);
	STAILQ_INIT(&p->dirty);
	for (unsigned i = 0; i < TCP_SOURCES; i++)
		TAILQ_INIT(&p->source[i]);
	raise_descriptors(p);
	snprintf(env->error, env->error_size, "ICE-TCP: no memory or descriptors");
	err = port_tcp_allocate(p);
	if (err == 0)
		err = open_rings(p);
	if (err == 0)
		err = tcp_listen(p, env);
	if (err == 0)
		err = start_thread(p);
	if (err < 0) {
		tcp_close(&p->port);
		return err_null(-err);
	}
	return &p->port;
}

struct port *port_tcp_open(const struct port_env *env)
{
	return port_tcp_open_with(env, &tcp_limits_default);
}

uint16_t port_tcp_port(const struct port *port)
{
	return ((const struct port_tcp *)port)->tcp_port;
}
