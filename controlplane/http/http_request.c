// A request from its first byte until the handler has it: head, body, chunks, and what is refused of them.
#include "controlplane/http/http_conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static uint8_t scratch[65536]; // the loop's thread only

static struct http_source request_source(const struct conn *c)
{
	struct http_address a = http_forwarded_from(&c->http->proxies, &c->peer, c->head);
	struct http_source s = {};

	if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)a.ip)) {
		memcpy(s.key, a.ip, 16);
		inet_ntop(AF_INET, a.ip + 12, s.text, sizeof(s.text));
	} else {
		memcpy(s.key, a.ip, 8);
		inet_ntop(AF_INET6, a.ip, s.text, sizeof(s.text));
	}
	return s;
}

static void request_handle(struct conn *c)
{
	struct http_request r = {
		.id = c->id, .head = c->head, .body = {c->body, c->body_len}, .source = &c->source};

	assert((c->state == CONN_HEAD || c->state == CONN_BODY) && c->body_len <= c->http->limits.max_body);
	conn_stop_waiting(c);
	c->state = CONN_HANDLED;
	c->source = request_source(c);
	loop_arm_in(c->http->loop, &c->timer, c->http->limits.write);
	c->http->handler(c->http->arg, &r);
}

static void request_refuse_body(struct conn *c)
{
	conn_refuse(c, 413, "body too large");
}

// Body bytes of a chunked request. Returns false when the request is over (refused).
static bool body_take_chunks(struct conn *c, char *p, size_t len)
{
	size_t n_out;
	int n = http_chunks_feed(&c->chunks, p, len, p, &n_out);

	if (n < 0) {
		conn_refuse(c, 400, "malformed");
		return false;
	}
	if (n_out > c->http->limits.max_body - c->body_len) {
		request_refuse_body(c);
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
		request_handle(c);
	}
	return true;
}

// The head is parsed: prepare for its body, with what of it has come already.
static void body_begin(struct conn *c)
{
	struct http_head *head = c->head;
	size_t there = c->in_len - c->head_len, n;

	if (head->has_length && head->content_length > c->http->limits.max_body) {
		request_refuse_body(c);
		return;
	}
	if (!head->is_chunked && head->content_length == 0) {
		request_handle(c);
		return;
	}
	c->state = CONN_BODY;
	if (head->wants_continue && there == 0 && !conn_queue(c, "HTTP/1.1 100 Continue\r\n\r\n", 25))
		return;
	if (head->is_chunked) {
		c->in_len = c->head_len;
		if (there > 0)
			body_take_chunks(c, c->in + c->head_len, there);
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
		request_handle(c);
}

// Before a request they are ignored (RFC 9112 section 2.2).
static void skip_blank_lines(struct conn *c)
{
	size_t n = 0;

	while (n < c->in_len && (c->in[n] == '\r' || c->in[n] == '\n'))
		n++;
	if (n == 0)
		return;
	memmove(c->in, c->in + n, c->in_len - n);
	c->in_len -= n;
	c->in_scanned = 0;
}

void request_try_head(struct conn *c)
{
	size_t end;
	int rc;

	skip_blank_lines(c);
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
	body_begin(c);
}

ssize_t request_read_head(struct conn *c)
{
	bool is_first;
	ssize_t n;

	if (c->in_len == c->in_cap) {
		size_t cap = c->in_cap ? c->in_cap * 2 : 2048;
		char *grown = realloc(c->in, cap);

		if (grown == NULL)
			return -ENOMEM;
		c->in = grown;
		c->in_cap = cap;
	}
	n = conn_read(c, c->in + c->in_len, c->in_cap - c->in_len);
	if (n <= 0)
		return n;
	is_first = c->in_len == 0;
	c->in_len += (size_t)n;
	skip_blank_lines(c);
	if (is_first && c->in_len > 0) // blank lines gain no time
		loop_arm_in(c->http->loop, &c->timer, c->http->limits.read);
	request_try_head(c);
	return n;
}

ssize_t request_read_body(struct conn *c)
{
	ssize_t n;

	if (c->head->is_chunked) {
		n = conn_read(c, scratch, sizeof(scratch));
		if (n > 0)
			body_take_chunks(c, (char *)scratch, (size_t)n);
		return n;
	}
	n = conn_read(c, c->body + c->body_len, c->body_cap - c->body_len);
	if (n <= 0)
		return n;
	c->body_len += (size_t)n;
	if (c->body_len == c->body_cap)
		request_handle(c);
	return n;
}
