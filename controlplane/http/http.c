// Connections and requests. A connection never ends inside a call into it: conn_kill marks it, the deferred
// call destroys it at the end of the turn, so no caller up the stack is left with a dangling pointer.
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
#define LINGER_NS (2 * NS_PER_S)

static uint8_t scratch[READ_CHUNK]; // the loop's thread only

// --- sending -----------------------------------------------------------------------------------------
void conn_kill(struct conn *c)
{
	if (c->is_dead)
		return;
	c->is_dead = true;
	loop_rewatch(c->watch, 0);
	loop_defer(c->http->loop, &c->later);
}

bool conn_queue(struct conn *c, const void *p, size_t len)
{
	size_t used = c->out_len - c->out_at;

	if (c->is_dead)
		return false;
	if (c->out_at > 0 && (used == 0 || c->out_at > c->out_cap / 2)) {
		memmove(c->out, c->out + c->out_at, used);
		c->out_at = 0;
		c->out_len = used;
	}
	if (c->out_len + len > c->out_cap) {
		size_t cap = c->out_cap ? c->out_cap : 512;
		uint8_t *grown;

		while (cap < c->out_len + len)
			cap *= 2;
		grown = realloc(c->out, cap);
		if (grown == NULL) {
			conn_kill(c);
			return false;
		}
		c->out = grown;
		c->out_cap = cap;
	}
	if (used == 0)
		c->write_due =
			loop_now(c->http->loop) + (c->ws ? c->ws->limits.write : c->http->limits.write);
	if (len > 0)
		memcpy(c->out + c->out_len, p, len);
	c->out_len += len;
	loop_defer(c->http->loop, &c->later);
	return true;
}

static ssize_t sock_write(struct conn *c, const void *p, size_t len)
{
	ssize_t n = c->tls ? tls_write(c->tls, p, len) : send(c->fd, p, len, MSG_NOSIGNAL);

	return n < 0 && !c->tls ? -errno : n;
}

static ssize_t sock_read(struct conn *c, void *p, size_t len)
{
	ssize_t n = c->tls ? tls_read(c->tls, p, len) : recv(c->fd, p, len, 0);

	return n < 0 && !c->tls ? -errno : n;
}

// Which events a connection waits for follows from its state.
static void watch_conn(struct conn *c)
{
	unsigned events = 0;

	if (c->is_dead)
		return;
	if (c->state != CONN_HANDLED && !(c->state == CONN_HEAD && c->out_len > c->out_at))
		events |= LOOP_READ;
	if (c->out_len > c->out_at || (c->tls && tls_wants_write(c->tls)))
		events |= LOOP_WRITE;
	loop_rewatch(c->watch, events);
}

static void flush(struct conn *c)
{
	while (c->out_at < c->out_len) {
		ssize_t n = sock_write(c, c->out + c->out_at, c->out_len - c->out_at);

		if (n == -EAGAIN || n == -EINTR)
			return;
		if (n <= 0) {
			conn_kill(c);
			return;
		}
		c->out_at += (size_t)n;
		if (c->ws)
			c->write_due = loop_now(c->http->loop) + c->ws->limits.write;
	}
	c->write_due = NS_NEVER;
	c->out_at = c->out_len = 0;
	if (c->out_cap > READ_CHUNK) {
		free(c->out);
		c->out = NULL;
		c->out_cap = 0;
	}
}

void conn_finish(struct conn *c)
{
	c->state = CONN_LAST;
	loop_arm_in(c->http->loop, &c->timer, c->out_len > c->out_at ? 5 * NS_PER_S : LINGER_NS);
	loop_defer(c->http->loop, &c->later);
}

// --- waiting for a request ---------------------------------------------------------------------------
static void wait_for_request(struct conn *c)
{
	if (c->is_waiting)
		return;
	c->is_waiting = true;
	TAILQ_INSERT_TAIL(&c->http->waiting, c, wait_link);
}

void conn_stop_waiting(struct conn *c)
{
	if (!c->is_waiting)
		return;
	c->is_waiting = false;
	TAILQ_REMOVE(&c->http->waiting, c, wait_link);
}

void conn_next_request(struct conn *c)
{
	size_t left = c->in_len - c->head_len;

	memmove(c->in, c->in + c->head_len, left);
	c->in_len = left;
	c->in_scanned = c->head_len = 0;
	free(c->body);
	c->body = NULL;
	c->body_len = c->body_cap = 0;
	c->chunks = (struct http_chunks){};
	c->state = CONN_HEAD;
	wait_for_request(c);
	loop_defer(c->http->loop, &c->later);
}

// --- requests ----------------------------------------------------------------------------------------
static void handle(struct conn *c)
{
	struct http_request r = {
		.id = c->id, .head = c->head, .body = {c->body, c->body_len}, .source = &c->source};

	conn_stop_waiting(c);
	c->state = CONN_HANDLED;
	loop_arm_in(c->http->loop, &c->timer, c->http->limits.write);
	c->http->handler(c->http->arg, &r);
}

static void refuse_body(struct conn *c)
{
	conn_refuse(c, 413, "body too large");
}

// Body bytes of a chunked request. Returns false when the request is over (refused).
static bool take_chunks(struct conn *c, char *p, size_t len)
{
	size_t n_out;
	int n = http_chunks_feed(&c->chunks, p, len, p, &n_out);

	if (n < 0) {
		conn_refuse(c, 400, "malformed");
		return false;
	}
	if (n_out > c->http->limits.max_body - c->body_len) {
		refuse_body(c);
		return false;
	}
	if (c->body_len + n_out > c->body_cap) {
		char *grown = realloc(c->body, c->body_len + n_out);

		if (grown == NULL) {
			conn_kill(c);
			return false;
		}
		c->body = grown;
		c->body_cap = c->body_len + n_out;
	}
	if (n_out > 0)
		memcpy(c->body + c->body_len, p, n_out);
	c->body_len += n_out;
	if (c->chunks.state == CHUNK_DONE) {
		c->close_after |= (size_t)n < len; // a pipelined request behind it was read: not kept
		handle(c);
	}
	return true;
}

// The head is parsed: prepare for its body, with what of it has come already.
static void begin_body(struct conn *c)
{
	struct http_head *head = c->head;
	size_t there = c->in_len - c->head_len, n;

	if (head->has_length && head->content_length > c->http->limits.max_body) {
		refuse_body(c);
		return;
	}
	if (!head->is_chunked && head->content_length == 0) {
		handle(c);
		return;
	}
	c->state = CONN_BODY;
	if (head->wants_continue && there == 0 && !conn_queue(c, "HTTP/1.1 100 Continue\r\n\r\n", 25))
		return;
	if (head->is_chunked) {
		c->in_len = c->head_len;
		if (there > 0)
			take_chunks(c, c->in + c->head_len, there);
		return;
	}
	c->body = malloc(head->content_length);
	if (c->body == NULL) {
		conn_kill(c);
		return;
	}
	c->body_cap = (size_t)head->content_length;
	n = there < c->body_cap ? there : c->body_cap;
	memcpy(c->body, c->in + c->head_len, n);
	c->body_len = n;
	memmove(c->in + c->head_len, c->in + c->head_len + n, there - n);
	c->in_len -= n;
	if (c->body_len == c->body_cap)
		handle(c);
}

static void try_head(struct conn *c)
{
	size_t end;
	int rc;

	while (c->in_len > 0 && (c->in[0] == '\r' || c->in[0] == '\n')) { // RFC 9112 2.2: ignore blank lines
		memmove(c->in, c->in + 1, --c->in_len);
		c->in_scanned = 0;
	}
	end = http_head_end(c->in, c->in_len, c->in_scanned);
	c->in_scanned = c->in_len;
	if (end == 0) {
		if (c->in_len >= HTTP_MAX_HEAD)
			conn_refuse(c, 431, "head too large");
		return;
	}
	if (c->head == NULL)
		c->head = malloc(sizeof(*c->head));
	if (c->head == NULL) {
		conn_kill(c);
		return;
	}
	rc = http_parse_head(c->in, end, c->head);
	c->head_len = end;
	if (rc < 0) {
		c->head->keep_alive = false;
		conn_refuse(c,
			    rc == -E2BIG     ? 431
			    : rc == -ENOTSUP ? 505
			    : rc == -ENOSYS  ? 501
					     : 400,
			    "malformed");
		return;
	}
	begin_body(c);
}

// --- receiving ---------------------------------------------------------------------------------------
static ssize_t read_head(struct conn *c)
{
	ssize_t n;

	if (c->in_len == c->in_cap) {
		size_t cap = c->in_cap ? c->in_cap * 2 : 2048;
		char *grown = realloc(c->in, cap);

		if (grown == NULL)
			return -ENOMEM;
		c->in = grown;
		c->in_cap = cap;
	}
	n = sock_read(c, c->in + c->in_len, c->in_cap - c->in_len);
	if (n <= 0)
		return n;
	if (c->in_len == 0)
		loop_arm_in(c->http->loop, &c->timer, c->http->limits.read);
	c->in_len += (size_t)n;
	try_head(c);
	return n;
}

static ssize_t read_body(struct conn *c)
{
	ssize_t n;

	if (c->head->is_chunked) {
		n = sock_read(c, scratch, sizeof(scratch));
		if (n > 0)
			take_chunks(c, (char *)scratch, (size_t)n);
		return n;
	}
	n = sock_read(c, c->body + c->body_len, c->body_cap - c->body_len);
	if (n <= 0)
		return n;
	c->body_len += (size_t)n;
	if (c->body_len == c->body_cap)
		handle(c);
	return n;
}

// Swallow what comes after the last answer, until the peer is done too.
static ssize_t read_rest(struct conn *c)
{
	ssize_t n = sock_read(c, scratch, sizeof(scratch));

	if (n > 0)
		c->n_swallowed += (size_t)n;
	return c->n_swallowed > LINGER_BYTES ? 0 : n;
}

static ssize_t read_some(struct conn *c)
{
	ssize_t n;

	switch (c->state) {
	case CONN_HEAD:
		return c->out_len > c->out_at ? -EAGAIN : read_head(c);
	case CONN_BODY:
		return read_body(c);
	case CONN_WS:
		n = sock_read(c, scratch, sizeof(scratch));
		if (n > 0)
			ws_input(c, scratch, (size_t)n);
		return n;
	case CONN_LAST:
		return read_rest(c);
	default:
		return -EAGAIN;
	}
}

static void read_conn(struct conn *c)
{
	for (int i = 0; i < READS_PER_EVENT && !c->is_dead; i++) {
		ssize_t n = read_some(c);

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

struct conn *conn_find(const struct http *h, http_id id)
{
	struct conn *c = pool_find(h->conns, (handle_t)id);

	return c != NULL && c->id == id ? c : NULL;
}

// --- life --------------------------------------------------------------------------------------------
static void destroy(struct conn *c)
{
	struct http *h = c->http;

	conn_stop_waiting(c);
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
		loop_arm_in(c->http->loop, &c->timer, LINGER_NS);
	} else if (c->state == CONN_HEAD) {
		loop_arm_in(c->http->loop, &c->timer,
			    c->in_len > 0 ? c->http->limits.read : c->http->limits.idle);
		if (c->in_len > 0)
			try_head(c);
	}
}

static void serve(struct conn *c)
{
	bool had = c->out_at < c->out_len;

	flush(c);
	if (!c->is_dead && c->out_at == c->out_len && (had || c->state == CONN_LAST))
		on_flushed(c);
	if (!c->is_dead)
		read_conn(c);
	if (!c->is_dead)
		watch_conn(c);
}

static void on_later(struct deferred *d)
{
	struct conn *c = container_of(d, struct conn, later);

	if (c->is_dead)
		destroy(c);
	else
		serve(c);
}

static void on_conn(void *arg, unsigned events)
{
	struct conn *c = arg;

	if (c->is_dead)
		return;
	serve(c);
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

static void source_of(const struct sockaddr_storage *ss, struct http_source *s)
{
	const struct sockaddr_in6 *in6 = (const void *)ss;
	const struct sockaddr_in *in4 = (const void *)ss;

	memset(s, 0, sizeof(*s));
	if (ss->ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		memcpy(s->key, &in6->sin6_addr, 8);
		inet_ntop(AF_INET6, &in6->sin6_addr, s->text, sizeof(s->text));
		return;
	}
	s->key[10] = s->key[11] = 0xff;
	memcpy(s->key + 12,
	       ss->ss_family == AF_INET6 ? &in6->sin6_addr.s6_addr[12] : (const void *)&in4->sin_addr, 4);
	inet_ntop(AF_INET, s->key + 12, s->text, sizeof(s->text));
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
	source_of(ss, &c->source);
	c->watch = loop_watch(h->loop, fd, LOOP_READ, on_conn, c);
	if (c->watch == NULL || (h->tls && (c->tls = tls_new(h->tls, fd)) == NULL)) {
		loop_unwatch(c->watch);
		close(fd);
		pool_put(h->conns, handle);
		return;
	}
	wait_for_request(c);
	loop_arm_in(h->loop, &c->timer, h->limits.read);
	metric_set(h->metrics, M_HTTP_CONNS, METRIC_NO_LABELS, pool_count(h->conns));
}

// Room for one more: ends the connection that has waited longest for its request to be complete.
static bool make_room(struct http *h)
{
	struct conn *oldest;

	if (pool_count(h->conns) < h->limits.max_conns)
		return true;
	oldest = TAILQ_FIRST(&h->waiting);
	metric_add(h->metrics, M_HTTP_REFUSED, METRIC_LABELS(STR("too many connections")), 1);
	if (oldest == NULL)
		return false;
	destroy(oldest);
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
			struct sockaddr_storage ss;
			socklen_t len = sizeof(ss);
			int fd = accept4(h->listen_fd[i], (struct sockaddr *)&ss, &len,
					 SOCK_NONBLOCK | SOCK_CLOEXEC);

			if (fd >= 0 && make_room(h)) {
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
	h->conns = pool_new(sizeof(struct conn), limits->max_conns + 1);
	if (h->conns == NULL) {
		free(h);
		return NULL;
	}
	return h;
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
		destroy(c);
	pool_free(h->conns);
	free(h);
}
