// The life of TCP connections: who may stay, and for how long. All times by lists in order of time.
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_jhash.h>

#include "dataplane/port/tcp/tcp.h"

static bool is_stranger(const struct tcp_conn *c)
{
	return c->state == TCP_NEW || c->state == TCP_CHECKED;
}

// --- lists ---------------------------------------------------------------------------------------

void tcp_conn_set_partial(struct port_tcp *p, struct tcp_conn *c, bool is_partial)
{
	if (is_partial == (c->partial_since != 0))
		return;
	c->partial_since = is_partial ? p->now : 0;
	if (is_partial)
		TAILQ_INSERT_TAIL(&p->partial, c, of_partial);
	else
		TAILQ_REMOVE(&p->partial, c, of_partial);
}

void tcp_conn_set_blocked(struct port_tcp *p, struct tcp_conn *c, bool is_blocked)
{
	if (is_blocked == (c->blocked_since != 0))
		return;
	c->blocked_since = is_blocked ? p->now : 0;
	if (is_blocked)
		TAILQ_INSERT_TAIL(&p->blocked, c, of_blocked);
	else
		TAILQ_REMOVE(&p->blocked, c, of_blocked);
}

static bool stranger_add(struct port_tcp *p, struct tcp_conn *c)
{
	if (!tcp_sources_add(p, c))
		return false;
	TAILQ_INSERT_TAIL(&p->strangers, c, of_state);
	p->n_strangers++;
	return true;
}

static void stranger_remove(struct port_tcp *p, struct tcp_conn *c)
{
	assert(is_stranger(c) && p->n_strangers > 0);
	TAILQ_REMOVE(&p->strangers, c, of_state);
	tcp_sources_remove(p, c);
	p->n_strangers--;
}

// --- closing -------------------------------------------------------------------------------------

static void conn_free(struct port_tcp *p, struct tcp_conn *c)
{
	assert(p->conn[c->id] == c && p->n_conns > 0 && p->n_free < p->max_conns);
	p->conn[c->id] = NULL;
	p->free_ids[(p->free_at + p->n_free++) % p->max_conns] = c->id;
	p->n_conns--;
	free(c);
}

static void conn_shut(struct port_tcp *p, struct tcp_conn *c)
{
	tcp_conn_set_partial(p, c, false);
	tcp_conn_set_blocked(p, c, false);
	if (c->is_dirty)
		STAILQ_REMOVE(&p->dirty, c, tcp_conn, of_dirty);
	tcp_queue_clear(&c->out);
	close(c->fd);
	c->fd = -1;
}

// A session's connection stays on as TCP_GONE until its worker knows.
void tcp_conn_close(struct port_tcp *p, struct tcp_conn *c, enum counter why)
{
	if (why != CTR_NONE)
		statseg_add(p->stats, why, 1);
	if (c->state == TCP_GONE) {
		TAILQ_REMOVE(&p->gone, c, of_state);
		conn_free(p, c);
		return;
	}
	conn_shut(p, c);
	if (is_stranger(c)) {
		stranger_remove(p, c);
		conn_free(p, c);
		return;
	}
	TAILQ_REMOVE(&p->bound, c, of_state);
	c->state = TCP_GONE;
	TAILQ_INSERT_TAIL(&p->gone, c, of_state);
}

bool tcp_conn_make_room(struct port_tcp *p)
{
	struct tcp_conn *c = tcp_sources_greediest(p);

	if (c != NULL)
		tcp_conn_close(p, c, CTR_TCP_CLOSED_LIMIT);
	return c != NULL;
}

void tcp_conn_free_all(struct port_tcp *p)
{
	for (unsigned id = 1; id <= p->max_conns; id++) {
		struct tcp_conn *c = p->conn[id];

		if (c == NULL)
			continue;
		if (c->state != TCP_GONE)
			conn_shut(p, c);
		free(c);
	}
	tcp_sources_free_all(p);
}

// --- accepting -----------------------------------------------------------------------------------

static bool put_address(const struct sockaddr_storage *a, uint8_t family, uint8_t ip[16], uint16_t *port)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;

	if (a->ss_family != (family == 4 ? AF_INET : AF_INET6))
		return false;
	memcpy(ip, family == 4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, family == 4 ? 4 : 16);
	*port = ntohs(family == 4 ? v4->sin_port : v6->sin6_port);
	return true;
}

static bool conn_key(const struct port_tcp *p, int fd, const struct sockaddr_storage *remote,
		     struct flow_key *key)
{
	struct sockaddr_storage local = {};
	socklen_t len = sizeof(local);

	if (getsockname(fd, (struct sockaddr *)&local, &len) < 0)
		return false;
	*key = (struct flow_key){.family = local.ss_family == AF_INET ? 4 : 6, .port = p->port.index};
	return put_address(&local, key->family, key->local, &key->local_port) &&
	       put_address(remote, key->family, key->remote, &key->remote_port);
}

static struct tcp_conn *conn_new(struct port_tcp *p, int fd, const struct sockaddr_storage *remote)
{
	struct tcp_conn *c = malloc(sizeof(*c));

	if (c == NULL)
		return NULL;
	memset(c, 0,
	       offsetof(struct tcp_conn, in)); // the buffer of frames is touched when one comes in parts
	deframe_init(&c->in);
	tcp_queue_init(&c->out);
	c->fd = fd;
	c->since = p->now;
	if (!conn_key(p, fd, remote, &c->key)) {
		free(c);
		return NULL;
	}
	c->queue = (uint16_t)(rte_jhash(&c->key, sizeof(c->key), p->seed) % p->port.n_queues);
	return c;
}

// Make a place among the strangers for this one. False: all places are sessions', or out of memory.
static bool conn_admit(struct port_tcp *p, struct tcp_conn *c)
{
	struct tcp_conn *oldest = tcp_sources_full(p, &c->key);

	if (oldest != NULL)
		tcp_conn_close(p, oldest, CTR_TCP_CLOSED_LIMIT);
	if (p->n_strangers >= p->limits.strangers || p->n_free == 0)
		tcp_conn_make_room(p);
	return p->n_free > 0 && stranger_add(p, c);
}

void tcp_conn_accept(struct port_tcp *p, int fd, const struct sockaddr_storage *remote)
{
	struct tcp_conn *c = conn_new(p, fd, remote);

	if (c == NULL) {
		close(fd);
		return;
	}
	statseg_add(p->stats, CTR_TCP_ACCEPTED, 1);
	if (!conn_admit(p, c)) {
		statseg_add(p->stats, CTR_TCP_CLOSED_LIMIT, 1);
		close(fd);
		free(c);
		return;
	}
	c->id = c->key.conn = p->free_ids[p->free_at];
	p->free_at = (p->free_at + 1) % p->max_conns;
	p->n_free--;
	p->conn[c->id] = c;
	p->n_conns++;
	if (!tcp_watch(p, fd, c->id, EPOLLIN, EPOLL_CTL_ADD))
		tcp_conn_close(p, c, CTR_NONE);
}

struct tcp_conn *tcp_conn_find(struct port_tcp *p, uint16_t id)
{
	struct tcp_conn *c = id > 0 && id <= p->max_conns ? p->conn[id] : NULL;

	return c && c->state != TCP_GONE ? c : NULL;
}

void tcp_conn_bind(struct port_tcp *p, struct tcp_conn *c, uint32_t sid)
{
	assert(c->state != TCP_GONE && c->fd >= 0);
	if (is_stranger(c))
		stranger_remove(p, c);
	else
		TAILQ_REMOVE(&p->bound, c, of_state);
	c->state = TCP_BOUND;
	c->sid = sid;
	c->since = p->now;
	TAILQ_INSERT_TAIL(&p->bound, c, of_state);
}

// --- time ----------------------------------------------------------------------------------------

void tcp_conn_timers(struct port_tcp *p)
{
	struct tcp_conn *c;

	while ((c = TAILQ_FIRST(&p->strangers)) && p->now - c->since >= p->limits.first)
		tcp_conn_close(p, c, CTR_TCP_CLOSED_FIRST);
	while ((c = TAILQ_FIRST(&p->partial)) && p->now - c->partial_since >= p->limits.partial)
		tcp_conn_close(p, c, CTR_TCP_CLOSED_PARTIAL);
	while ((c = TAILQ_FIRST(&p->blocked)) && p->now - c->blocked_since >= p->limits.blocked)
		tcp_conn_close(p, c, CTR_TCP_CLOSED_BLOCKED);
	while ((c = TAILQ_FIRST(&p->bound)) && p->now - c->since >= p->limits.idle)
		tcp_conn_close(p, c, CTR_TCP_CLOSED_IDLE);
}

ns_t tcp_conn_due(const struct port_tcp *p)
{
	const struct tcp_conn *c;
	ns_t due = NS_NEVER;

	if ((c = TAILQ_FIRST(&p->strangers)) != NULL)
		due = RTE_MIN(due, c->since + p->limits.first);
	if ((c = TAILQ_FIRST(&p->partial)) != NULL)
		due = RTE_MIN(due, c->partial_since + p->limits.partial);
	if ((c = TAILQ_FIRST(&p->blocked)) != NULL)
		due = RTE_MIN(due, c->blocked_since + p->limits.blocked);
	if ((c = TAILQ_FIRST(&p->bound)) != NULL)
		due = RTE_MIN(due, c->since + p->limits.idle);
	return due;
}
