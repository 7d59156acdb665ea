// One connection as a queue of bytes each way, and its place among those that wait for a request. Nothing here
// calls back: what happens next is said by its state and done by http.c.
#include "controlplane/http/http_conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { KEEP_OUT = 65536 }; // bytes of a queue that is kept when it is empty

struct conn *conn_find(const struct http *h, http_id id)
{
	struct conn *c = pool_find(h->conns, (handle_t)id);

	return c != NULL && c->id == id ? c : NULL;
}

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
	assert(c->out_at <= c->out_len && c->out_len <= c->out_cap);
	loop_defer(c->http->loop, &c->later);
	return true;
}

static ssize_t conn_write(struct conn *c, const void *p, size_t len)
{
	ssize_t n = c->tls ? tls_write(c->tls, p, len) : send(c->fd, p, len, MSG_NOSIGNAL);

	return n < 0 && !c->tls ? -errno : n;
}

ssize_t conn_read(struct conn *c, void *p, size_t len)
{
	ssize_t n = c->tls ? tls_read(c->tls, p, len) : recv(c->fd, p, len, 0);

	return n < 0 && !c->tls ? -errno : n;
}

void conn_watch(struct conn *c)
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

void conn_answer_is_read(struct conn *c)
{
	struct unread *u = c->unread;

	c->unread = NULL;
	if (u == NULL)
		return;
	assert(u->held >= c->unread_len);
	u->held -= c->unread_len;
	if (u->held > 0)
		return;
	map_del(c->http->unread, str_of(u->owner));
	free(u->owner);
	free(u);
}

void conn_flush(struct conn *c)
{
	while (c->out_at < c->out_len) {
		ssize_t n = conn_write(c, c->out + c->out_at, c->out_len - c->out_at);

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
	conn_answer_is_read(c);
	if (c->out_cap > KEEP_OUT) {
		free(c->out);
		c->out = NULL;
		c->out_cap = 0;
	}
}

static void conn_list_in(struct conn *c, struct conn_list *list)
{
	if (c->listed == list)
		return;
	conn_stop_waiting(c);
	c->listed = list;
	TAILQ_INSERT_TAIL(list, c, list_link);
}

void conn_wait(struct conn *c)
{
	conn_list_in(c, &c->http->waiting);
}

void conn_stop_waiting(struct conn *c)
{
	if (c->listed != NULL)
		TAILQ_REMOVE(c->listed, c, list_link);
	c->listed = NULL;
}

void conn_finish(struct conn *c)
{
	c->state = CONN_LAST;
	conn_list_in(c, &c->http->lingering);
	loop_arm_in(c->http->loop, &c->timer, c->out_len > c->out_at ? 5 * NS_PER_S : HTTP_LINGER_NS);
	loop_defer(c->http->loop, &c->later);
}

void conn_next_request(struct conn *c)
{
	size_t left = c->in_len - c->head_len;

	assert(c->state == CONN_HANDLED && c->head_len <= c->in_len);
	memmove(c->in, c->in + c->head_len, left);
	c->in_len = left;
	c->in_scanned = c->head_len = 0;
	free(c->body);
	c->body = NULL;
	c->body_len = c->body_cap = 0;
	c->chunks = (struct http_chunks){};
	c->state = CONN_HEAD;
	conn_wait(c);
	loop_defer(c->http->loop, &c->later);
}
