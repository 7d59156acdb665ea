// The server: it accepts connections, lets each do what its state says, and ends it. A connection never ends inside
// a call into it: conn_kill marks it, the deferred call destroys it at the end of the turn, so no caller up the
// stack is left with a dangling pointer.
#include "controlplane/http/http.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/http/http_conn.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

enum {
	READ_CHUNK = 65536,
	READS_PER_EVENT = 8,
	LINGER_BYTES = 1 << 20, // swallowed after the last answer, so that it is not lost to a reset
};

static uint8_t scratch[READ_CHUNK]; // the loop's thread only

// --- receiving ---------------------------------------------------------------------------------------
// Swallow what comes after the last answer, until the peer is done too.
static ssize_t conn_swallow(struct conn *c)
{
	ssize_t n = conn_read(c, scratch, sizeof(scratch));

	if (n > 0)
		c->n_swallowed += (size_t)n;
	return c->n_swallowed > LINGER_BYTES ? 0 : n;
}

static ssize_t conn_read_some(struct conn *c)
{
	ssize_t n;

	switch (c->state) {
	case CONN_HEAD:
		return c->out_len > c->out_at ? -EAGAIN : request_read_head(c);
	case CONN_BODY:
		return request_read_body(c);
	case CONN_WS:
		n = conn_read(c, scratch, sizeof(scratch));
		if (n > 0)
			ws_input(c, scratch, (size_t)n);
		return n;
	case CONN_LAST:
		return conn_swallow(c);
	default:
		return -EAGAIN;
	}
}

static void conn_receive(struct conn *c)
{
	for (int i = 0; i < READS_PER_EVENT && !c->is_dead; i++) {
		ssize_t n = conn_read_some(c);

		if (n == -EAGAIN || n == -EINTR)
			return;
		if (n <= 0) {
			conn_kill(c);
			return;
		}
	}
	if (!c->is_dead)
		loop_defer(c->http->loop, &c->later);
}

// --- life --------------------------------------------------------------------------------------------
static void conn_destroy(struct conn *c)
{
	struct http *h = c->http;

	conn_stop_waiting(c);
	conn_answer_is_read(c);
	loop_cancel(h->loop, &c->timer);
	loop_defer_cancel(h->loop, &c->later);
	loop_unwatch(c->watch);
	if (c->ws)
		ws_ended(c);
	tls_free(c->tls);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c->body);
	free(c->head);
	pool_put(h->conns, (handle_t)c->id);
	metric_set(h->metrics, M_HTTP_CONNS, METRIC_NO_LABELS, pool_count(h->conns));
}

// Everything queued is out: linger, go on with the next request, or rest.
static void on_flushed(struct conn *c)
{
	if (c->state == CONN_LAST && !c->is_shut) {
		c->is_shut = true;
		shutdown(c->fd, SHUT_WR);
		loop_arm_in(c->http->loop, &c->timer, HTTP_LINGER_NS);
	} else if (c->state == CONN_HEAD) {
		loop_arm_in(c->http->loop, &c->timer,
			    c->in_len > 0 ? c->http->limits.read : c->http->limits.idle);
		if (c->in_len > 0)
			request_try_head(c);
	}
}

static void conn_serve(struct conn *c)
{
	bool had = c->out_at < c->out_len, is_ws = c->state == CONN_WS;
	ns_t began = clock_now();

	conn_flush(c);
	if (!c->is_dead && c->out_at == c->out_len && (had || c->state == CONN_LAST))
		on_flushed(c);
	if (!c->is_dead)
		conn_receive(c);
	if (!c->is_dead)
		conn_watch(c);
	if (!is_ws) // messages are noted by who understands them
		loop_note(c->http->loop, "HTTP", clock_now() - began, str_of(c->source.text), STR_NONE);
}

static void on_later(struct deferred *d)
{
	struct conn *c = container_of(d, struct conn, later);

	if (c->is_dead)
		conn_destroy(c);
	else
		conn_serve(c);
}

static void on_conn(void *arg, unsigned events)
{
	struct conn *c = arg;

	if (c->is_dead)
		return;
	conn_serve(c);
}

static void on_timer(struct timer *t, ns_t now)
{
	struct conn *c = container_of(t, struct conn, timer);

	if (c->is_dead)
		return;
	if (c->state == CONN_WS) {
		ws_timer(c, now);
		return;
	}
	if (c->state != CONN_LAST && c->in_len > 0)
		metric_add(c->http->metrics, M_HTTP_REFUSED, METRIC_LABELS(STR("too slow")), 1);
	conn_kill(c);
}

static struct http_address address_of(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *in6 = (const void *)ss;
	const struct sockaddr_in *in4 = (const void *)ss;
	struct http_address a = {.ip = {[10] = 0xff, [11] = 0xff}};

	if (ss->ss_family == AF_INET6)
		memcpy(a.ip, &in6->sin6_addr, 16);
	else
		memcpy(a.ip + 12, &in4->sin_addr, 4);
	return a;
}

static void conn_open(struct http *h, int fd, const struct sockaddr_storage *ss)
{
	struct conn *c;
	handle_t handle;
	int one = 1;

	// Signaling is small messages both ways: none may wait for the acknowledgement of the one before.
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c = pool_get(h->conns, &handle);

	if (c == NULL) {
		close(fd);
		return;
	}
	c->id = (http_id)++h->serial << 32 | handle;
	c->http = h;
	c->fd = fd;
	c->write_due = NS_NEVER;
	c->later.fn = on_later;
	c->timer.on_due = on_timer;
	c->peer = address_of(ss);
	c->watch = loop_watch(h->loop, fd, LOOP_READ, on_conn, c);
	if (c->watch == NULL || (h->tls && (c->tls = tls_new(h->tls, fd)) == NULL)) {
		loop_unwatch(c->watch);
		close(fd);
		pool_put(h->conns, handle);
		return;
	}
	conn_wait(c);
	loop_arm_in(h->loop, &c->timer, h->limits.read);
	metric_set(h->metrics, M_HTTP_CONNS, METRIC_NO_LABELS, pool_count(h->conns));
}

// Room for one more: ends the connection that lingers longest after its last answer, or else the one that has waited
// longest for its request to be complete.
static bool http_make_room(struct http *h)
{
	struct conn *oldest;

	if (pool_count(h->conns) < h->limits.max_conns)
		return true;
	oldest = TAILQ_FIRST(&h->lingering);
	if (oldest == NULL)
		oldest = TAILQ_FIRST(&h->waiting);
	metric_add(h->metrics, M_HTTP_REFUSED, METRIC_LABELS(STR("too many connections")), 1);
	if (oldest == NULL)
		return false;
	conn_destroy(oldest);
	return true;
}

static void on_accept_again(struct timer *t, ns_t)
{
	struct http *h = container_of(t, struct http, accept_timer);

	for (unsigned i = 0; i < h->n_listen; i++)
		loop_rewatch(h->listen_watch[i], LOOP_READ);
}

void http_on_accept(void *arg, unsigned)
{
	struct http *h = arg;

	for (unsigned i = 0; i < h->n_listen; i++)
		for (int n = 0; n < 64; n++) {
			struct sockaddr_storage ss = {};
			socklen_t len = sizeof(ss);
			int fd = accept4(h->listen_fd[i], (struct sockaddr *)&ss, &len,
					 SOCK_NONBLOCK | SOCK_CLOEXEC);

			if (fd >= 0 && http_make_room(h)) {
				conn_open(h, fd, &ss);
			} else if (fd >= 0) {
				close(fd);
			} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
				   errno == ENOBUFS) {
				log_error("http: cannot accept connections: %s; raise LimitNOFILE",
					  strerror(errno));
				for (unsigned k = 0; k < h->n_listen; k++)
					loop_rewatch(h->listen_watch[k], 0);
				loop_arm_in(h->loop, &h->accept_timer, NS_PER_S);
				return;
			} else if (errno != EINTR && errno != ECONNABORTED) {
				break;
			}
		}
}

struct http *http_new(struct loop *loop, const struct http_limits *limits, struct tls_ctx *tls,
		      struct metrics *metrics, http_handler_fn handler, void *arg)
{
	struct http *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->loop = loop;
	h->limits = *limits;
	h->tls = tls;
	h->metrics = metrics;
	h->handler = handler;
	h->arg = arg;
	h->accept_timer.on_due = on_accept_again;
	TAILQ_INIT(&h->waiting);
	TAILQ_INIT(&h->lingering);
	h->conns = pool_new(sizeof(struct conn), limits->max_conns + 1);
	h->unread = map_new();
	if (h->conns == NULL || h->unread == NULL) {
		pool_free(h->conns);
		map_free(h->unread);
		free(h);
		return NULL;
	}
	return h;
}

int http_trust(struct http *h, char *const *prefix, unsigned n)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = http_proxies_add(&h->proxies, str_of(prefix[i]));
	return rc;
}

void http_free(struct http *h)
{
	struct conn *c;
	uint32_t cursor = 0;

	if (h == NULL)
		return;
	h->is_closing = true;
	loop_cancel(h->loop, &h->accept_timer);
	for (unsigned i = 0; i < h->n_listen; i++) {
		loop_unwatch(h->listen_watch[i]);
		close(h->listen_fd[i]);
	}
	while ((c = pool_next(h->conns, &cursor, NULL)) != NULL)
		conn_destroy(c);
	pool_free(h->conns);
	map_free(h->unread);
	free(h);
}
