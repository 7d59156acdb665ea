// One TCP connection: whether it may stay, its frames in and out. All times by lists in order of time.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_jhash.h>

#include "dataplane/port/tcp/tcp.h"
#include "lib/rtc/wire/demux.h"
#include "lib/rtc/wire/stun.h"

#define READ_BYTES 16384 // per look at a connection: then it is another's turn
#define WRITE_PIECES 64
#define NOTSENT_LOWAT 16384 // bytes: what waits waits in our queue, where it can still be dropped

static bool is_stranger(const struct tcp_conn *c)
{
	return c->state == TCP_NEW || c->state == TCP_CHECKED;
}

// --- lists ---------------------------------------------------------------------------------------

static void set_partial(struct port_tcp *p, struct tcp_conn *c, bool is_partial)
{
	if (is_partial == (c->partial_since != 0))
		return;
	c->partial_since = is_partial ? p->now : 0;
	if (is_partial)
		TAILQ_INSERT_TAIL(&p->partial, c, of_partial);
	else
		TAILQ_REMOVE(&p->partial, c, of_partial);
}

static void set_blocked(struct port_tcp *p, struct tcp_conn *c, bool is_blocked)
{
	if (is_blocked == (c->blocked_since != 0))
		return;
	c->blocked_since = is_blocked ? p->now : 0;
	if (is_blocked)
		TAILQ_INSERT_TAIL(&p->blocked, c, of_blocked);
	else
		TAILQ_REMOVE(&p->blocked, c, of_blocked);
}

static void stranger_add(struct port_tcp *p, struct tcp_conn *c)
{
	TAILQ_INSERT_TAIL(&p->strangers, c, of_state);
	TAILQ_INSERT_TAIL(&p->source[c->bucket], c, of_source);
	p->n_strangers++;
}

static void stranger_remove(struct port_tcp *p, struct tcp_conn *c)
{
	TAILQ_REMOVE(&p->strangers, c, of_state);
	TAILQ_REMOVE(&p->source[c->bucket], c, of_source);
	p->n_strangers--;
}

// --- closing -------------------------------------------------------------------------------------

static void conn_free(struct port_tcp *p, struct tcp_conn *c)
{
	p->conn[c->id] = NULL;
	p->free_ids[(p->free_at + p->n_free++) % p->max_conns] = c->id;
	p->n_conns--;
	free(c);
}

static void shut(struct port_tcp *p, struct tcp_conn *c)
{
	set_partial(p, c, false);
	set_blocked(p, c, false);
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
	shut(p, c);
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
	struct tcp_conn *oldest = TAILQ_FIRST(&p->strangers);

	if (oldest != NULL)
		tcp_conn_close(p, oldest, CTR_TCP_CLOSED_LIMIT);
	return oldest != NULL;
}

void tcp_conn_free_all(struct port_tcp *p)
{
	for (unsigned id = 1; id <= p->max_conns; id++) {
		struct tcp_conn *c = p->conn[id];

		if (c == NULL)
			continue;
		if (c->state != TCP_GONE)
			shut(p, c);
		free(c);
	}
}

// --- accepting -----------------------------------------------------------------------------------

// Bytes of the remote address that make a source: nobody has less than an IPv6 /64.
static unsigned source_len(const struct flow_key *key)
{
	return key->family == 4 ? 4 : 8;
}

static bool same_source(const struct flow_key *a, const struct flow_key *b)
{
	return a->family == b->family && memcmp(a->remote, b->remote, source_len(a)) == 0;
}

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

static bool describe(const struct port_tcp *p, int fd, struct flow_key *key)
{
	struct sockaddr_storage local = {}, remote = {};
	socklen_t local_len = sizeof(local), remote_len = sizeof(remote);

	if (getsockname(fd, (struct sockaddr *)&local, &local_len) < 0 ||
	    getpeername(fd, (struct sockaddr *)&remote, &remote_len) < 0)
		return false;
	*key = (struct flow_key){.family = local.ss_family == AF_INET ? 4 : 6, .port = p->port.index};
	return put_address(&local, key->family, key->local, &key->local_port) &&
	       put_address(&remote, key->family, key->remote, &key->remote_port);
}

// Of the source of this connection no more than the limit: its oldest stranger goes.
static void bound_source(struct port_tcp *p, const struct tcp_conn *c)
{
	struct tcp_conn *other, *oldest = NULL;
	unsigned n = 0;

	TAILQ_FOREACH (other, &p->source[c->bucket], of_source)
		if (same_source(&other->key, &c->key)) {
			oldest = oldest ? oldest : other;
			n++;
		}
	if (n >= p->limits.strangers_per_source)
		tcp_conn_close(p, oldest, CTR_TCP_CLOSED_LIMIT);
}

static void set_options(int fd)
{
	const int on = 1, lowat = NOTSENT_LOWAT;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
}

static struct tcp_conn *conn_new(struct port_tcp *p, int fd)
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
	if (!describe(p, fd, &c->key)) {
		free(c);
		return NULL;
	}
	c->bucket = rte_jhash(c->key.remote, source_len(&c->key), p->seed) % TCP_SOURCES;
	c->queue = (uint16_t)(rte_jhash(&c->key, sizeof(c->key), p->seed) % p->port.n_queues);
	return c;
}

void tcp_conn_accept(struct port_tcp *p, int fd)
{
	struct tcp_conn *c = conn_new(p, fd);

	if (c == NULL) {
		close(fd);
		return;
	}
	statseg_add(p->stats, CTR_TCP_ACCEPTED, 1);
	bound_source(p, c);
	if (p->n_strangers >= p->limits.strangers || p->n_free == 0)
		tcp_conn_make_room(p);
	if (p->n_free == 0) { // all are sessions'
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
	stranger_add(p, c);
	set_options(fd);
	if (!tcp_watch(p, fd, c->id, EPOLLIN, EPOLL_CTL_ADD))
		tcp_conn_close(p, c, CTR_NONE);
}

struct tcp_conn *tcp_conn_find(struct port_tcp *p, uint16_t id)
{
	struct tcp_conn *c = id > 0 && id <= p->max_conns ? p->conn[id] : NULL;

	return c && c->state != TCP_GONE ? c : NULL;
}

// --- frames in -----------------------------------------------------------------------------------

// The first frame of a connection says that an ICE agent is there; who it is, the worker finds out.
static bool is_check(uint8_t *frame, size_t len)
{
	struct stun_msg m;

	return len <= TCP_FIRST_FRAME && demux_classify(frame, len) == DEMUX_STUN &&
	       stun_parse(frame, len, &m) == 0 && m.method == STUN_BINDING && m.cls == STUN_REQUEST &&
	       m.has_username && m.mac_off > 0 && stun_fingerprint_check(&m);
}

// False: the connection was closed.
static bool take_frame(struct port_tcp *p, struct tcp_conn *c, uint8_t *frame, size_t len)
{
	if (c->state == TCP_NEW) {
		if (!is_check(frame, len)) {
			tcp_conn_close(p, c, CTR_TCP_CLOSED_FIRST);
			return false;
		}
		c->state = TCP_CHECKED;
	}
	if (c->state == TCP_CHECKED) {
		if (++c->n_early > TCP_EARLY_FRAMES) {
			tcp_conn_close(p, c, CTR_TCP_CLOSED_FIRST);
			return false;
		}
		if (demux_classify(frame, len) != DEMUX_STUN) {
			statseg_add(p->stats, DROP_TCP_EARLY, 1);
			return true;
		}
	}
	tcp_up(p, c, frame, len);
	return true;
}

void tcp_conn_input(struct port_tcp *p, struct tcp_conn *c)
{
	uint8_t data[READ_BYTES], *at = data, *frame;
	ssize_t got = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);
	size_t left = got > 0 ? (size_t)got : 0;
	int len;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		tcp_conn_close(p, c, CTR_NONE);
		return;
	}
	while ((len = deframe_next(&c->in, &at, &left, &frame)) > 0) {
		set_partial(p, c, false);
		if (!take_frame(p, c, frame, (size_t)len))
			return;
	}
	if (len < 0)
		tcp_conn_close(p, c, CTR_TCP_CLOSED_FRAMING);
	else
		set_partial(p, c, deframe_is_partial(&c->in));
}

// --- frames out ----------------------------------------------------------------------------------

static void count_dropped(struct port_tcp *p, struct tcp_queue *q)
{
	statseg_add(p->stats, DROP_TCP_VIDEO, q->n_video);
	statseg_add(p->stats, DROP_TCP_AUDIO, q->n_audio);
	statseg_add(p->stats, DROP_TCP_OTHER, q->n_other);
	q->n_video = q->n_audio = q->n_other = 0;
}

static void watch_write(struct port_tcp *p, struct tcp_conn *c, bool wants)
{
	if (c->wants_write == wants)
		return;
	c->wants_write = wants;
	tcp_watch(p, c->fd, c->id, EPOLLIN | (wants ? EPOLLOUT : 0), EPOLL_CTL_MOD);
}

void tcp_conn_output(struct port_tcp *p, struct tcp_conn *c)
{
	struct iovec iov[WRITE_PIECES];
	struct msghdr msg = {.msg_iov = iov};

	while ((msg.msg_iovlen = tcp_queue_peek(&c->out, iov, WRITE_PIECES)) > 0) {
		ssize_t n = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			tcp_conn_close(p, c, CTR_NONE);
			return;
		}
		if (n < 0) {
			set_blocked(p, c, true);
			watch_write(p, c, true);
			return;
		}
		set_blocked(p, c, false);
		tcp_queue_written(&c->out, (size_t)n);
	}
	watch_write(p, c, false);
}

static void bind_to(struct port_tcp *p, struct tcp_conn *c, uint32_t sid)
{
	if (is_stranger(c))
		stranger_remove(p, c);
	else
		TAILQ_REMOVE(&p->bound, c, of_state);
	c->state = TCP_BOUND;
	c->sid = sid;
	c->since = p->now;
	TAILQ_INSERT_TAIL(&p->bound, c, of_state);
}

void tcp_conn_down(struct port_tcp *p, const struct tcp_down *head, const void *data, size_t len)
{
	struct tcp_conn *c = tcp_conn_find(p, head->conn);

	if (c == NULL || c->key.remote_port != head->remote_port)
		return; // closed meanwhile
	switch ((enum tcp_op)head->op) {
	case TCP_BIND:
		bind_to(p, c, head->sid);
		break;
	case TCP_UNBIND:
		if (c->state == TCP_BOUND && c->sid == head->sid) // else another session has it now
			tcp_conn_close(p, c, CTR_NONE);
		break;
	case TCP_SEND:
		tcp_queue_add(&c->out, head->class, data, (uint16_t)len, p->now);
		count_dropped(p, &c->out);
		if (!c->is_dirty && !c->wants_write) {
			c->is_dirty = true;
			STAILQ_INSERT_TAIL(&p->dirty, c, of_dirty);
		}
		break;
	}
}

void tcp_conn_flush(struct port_tcp *p)
{
	struct tcp_conn *c;

	while ((c = STAILQ_FIRST(&p->dirty)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->dirty, of_dirty);
		c->is_dirty = false;
		tcp_conn_output(p, c);
	}
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
