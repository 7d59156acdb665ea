// The WebSocket side of a connection: upgrade checks (RFC 6455 section 4.2, worded as rtcd's server does),
// messages, ping every ws_limits.ping, cut without a pong for ws_limits.pong, bounded queue.
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "controlplane/http/http_conn.h"
#include "lib/base/log.h"

#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static void upgrade_refuse(struct http *h, struct conn *c, unsigned status, const char *text)
{
	http_reply(h, c->id,
		   &(struct http_response){.status = status,
					   .content_type = "text/plain; charset=utf-8",
					   .body = str_of(text),
					   .headers = "X-Content-Type-Options: nosniff\r\n"
						      "Sec-Websocket-Version: 13\r\n",
					   .route = "/ws"});
}

// The host of an Origin ("scheme://host[:port]").
static struct str origin_host(struct str origin)
{
	for (size_t i = 0; i + 3 <= origin.len; i++)
		if (memcmp(origin.p + i, "://", 3) == 0) {
			struct str rest = str_skip(origin, i + 3);
			return str_cut(&rest, '/');
		}
	return STR_NONE;
}

static bool upgrade_check(struct http *h, struct conn *c)
{
	const struct http_head *r = c->head;
	struct str origin = http_find(r, STR("origin"));

	if (!http_has_token(r, STR("connection"), STR("upgrade")) ||
	    !http_has_token(r, STR("upgrade"), STR("websocket")) || r->minor < 1) {
		upgrade_refuse(h, c, 400, "Bad Request\n");
		return false;
	}
	if (!http_has_token(r, STR("sec-websocket-version"), STR("13"))) {
		upgrade_refuse(h, c, 400, "Bad Request\n");
		return false;
	}
	if (origin.len > 0 && !str_ieq(origin_host(origin), http_find(r, STR("host")))) {
		upgrade_refuse(h, c, 403, "Forbidden\n");
		return false;
	}
	if (!wsframe_key_is_valid(http_find(r, STR("sec-websocket-key")))) {
		upgrade_refuse(h, c, 400, "Bad Request\n");
		return false;
	}
	return true;
}

static void ws_accept_key(struct str key, char out[32])
{
	char text[24 + sizeof(WS_GUID)];
	unsigned char digest[SHA_DIGEST_LENGTH];
	int n = snprintf(text, sizeof(text), "%.*s" WS_GUID, STR_ARG(key));

	EVP_Digest(text, (size_t)n, digest, NULL, EVP_sha1(), NULL);
	EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest));
}

static void ws_arm_timer(struct conn *c)
{
	ns_t due = c->ws->next_ping;

	if (c->ws->pong_due < due)
		due = c->ws->pong_due;
	if (c->write_due < due)
		due = c->write_due;
	loop_arm(c->http->loop, &c->timer, due);
}

bool http_upgrade(struct http *h, http_id id, const struct ws_limits *limits,
		  const struct ws_handler *handler, void *arg)
{
	struct conn *c = conn_find(h, id);
	char key[32], reply[256];
	ns_t now = loop_now(h->loop);
	int n;

	if (c == NULL || c->is_dead || c->state != CONN_HANDLED || !upgrade_check(h, c))
		return false;
	if (c->in_len > c->head_len) { // talks before we agreed
		conn_kill(c);
		return false;
	}
	c->ws = calloc(1, sizeof(*c->ws));
	if (c->ws == NULL) {
		conn_kill(c);
		return false;
	}
	ws_accept_key(http_find(c->head, STR("sec-websocket-key")), key);
	n = snprintf(reply, sizeof(reply),
		     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		     "Sec-WebSocket-Accept: %s\r\n\r\n",
		     key);
	wsframe_init(&c->ws->reader, limits->max_message);
	c->ws->reader.share = limits->share;
	c->ws->limits = *limits;
	c->ws->handler = *handler;
	c->ws->arg = arg;
	c->ws->next_ping = now + limits->ping;
	c->ws->pong_due = now + limits->pong;
	c->state = CONN_WS;
	c->write_due = NS_NEVER;
	free(c->in);
	free(c->body);
	free(c->head);
	c->in = c->body = NULL;
	c->head = NULL;
	c->in_len = c->in_cap = c->body_len = c->body_cap = 0;
	metric_add(h->metrics, M_HTTP_REQUESTS, METRIC_LABELS(STR("101"), STR("/ws")), 1);
	if (!conn_queue(c, reply, (size_t)n))
		return true; // on_closed follows
	ws_arm_timer(c);
	loop_rewatch(c->watch, LOOP_READ);
	return true;
}

static bool ws_queue(struct conn *c, enum ws_opcode opcode, const void *p, size_t len)
{
	uint8_t header[WS_MAX_HEADER];
	size_t n = wsframe_header(header, opcode, len);

	return conn_queue(c, header, n) && conn_queue(c, p, len);
}

static struct conn *ws_find(struct http *h, http_id id)
{
	struct conn *c = conn_find(h, id);

	return c != NULL && !c->is_dead && c->state == CONN_WS ? c : NULL;
}

static void ws_cut(struct conn *c, const char *reason)
{
	log_warn("ws: connection of %s cut: %s", c->source.text, reason);
	metric_add(c->http->metrics, M_WS_DROPS, METRIC_LABELS(str_of(reason)), 1);
	conn_kill(c);
}

int ws_send(struct http *h, http_id id, const void *p, size_t len)
{
	struct conn *c = ws_find(h, id);

	if (c == NULL)
		return -ENOTCONN;
	if (c->out_len - c->out_at + len > c->ws->limits.max_queue) {
		ws_cut(c, "queue full");
		return -ENOBUFS;
	}
	return ws_queue(c, WS_BINARY, p, len) ? 0 : -ENOMEM;
}

void ws_close(struct http *h, http_id id, uint16_t code, const char *reason)
{
	struct conn *c = ws_find(h, id);
	uint8_t payload[125];
	size_t n = strlen(reason);

	if (c == NULL)
		return;
	if (n > sizeof(payload) - 2)
		n = sizeof(payload) - 2;
	payload[0] = (uint8_t)(code >> 8);
	payload[1] = (uint8_t)code;
	memcpy(payload + 2, reason, n);
	if (ws_queue(c, WS_CLOSE, payload, code == WS_CLOSE_NO_STATUS ? 0 : 2 + n))
		conn_finish(c);
}

static void ws_on_event(struct conn *c, const struct wsframe_event *ev)
{
	struct ws_side *ws = c->ws;

	switch (ev->what) {
	case WSFRAME_MORE:
		break;
	case WSFRAME_MESSAGE:
		ws->handler.on_message(ws->arg, ev->is_text, ev->payload);
		break;
	case WSFRAME_PING: // bounded: pongs count against the queue like everything else
		if (c->out_len - c->out_at > ws->limits.max_queue)
			ws_cut(c, "queue full");
		else
			(void)!ws_queue(c, WS_PONG, ev->payload.p, ev->payload.len);
		break;
	case WSFRAME_PONG: // the only sign of life that counts
		ws->pong_due = loop_now(c->http->loop) + ws->limits.pong;
		break;
	case WSFRAME_CLOSE:
		ws_close(c->http, c->id, ev->code, "");
		break;
	case WSFRAME_ERROR:
		log_info("ws: %s: protocol error: %s", c->source.text, ev->reason);
		metric_add(
			c->http->metrics, M_WS_DROPS,
			METRIC_LABELS(ev->code == WS_CLOSE_TOO_BIG ? STR("too big") : STR("protocol error")),
			1);
		ws_close(c->http, c->id, ev->code, ev->reason);
		break;
	}
}

void ws_input(struct conn *c, uint8_t *p, size_t len)
{
	assert(c->ws != NULL);
	while (len > 0 && !c->is_dead && c->state == CONN_WS) {
		struct wsframe_event ev;
		size_t n = wsframe_read(&c->ws->reader, p, len, &ev);

		ws_on_event(c, &ev);
		p += n;
		len -= n;
	}
}

void ws_timer(struct conn *c, ns_t now)
{
	struct ws_side *ws = c->ws;

	if (now >= ws->pong_due) {
		ws_cut(c, "no pong");
		return;
	}
	if (now >= c->write_due) {
		ws_cut(c, "slow peer");
		return;
	}
	if (now >= ws->next_ping) {
		ws->next_ping = now + ws->limits.ping;
		if (!ws_queue(c, WS_PING, "", 0))
			return;
	}
	ws_arm_timer(c);
}

void ws_ended(struct conn *c)
{
	assert(c->is_dead || c->http->is_closing);
	wsframe_fini(&c->ws->reader);
	c->ws->handler.on_closed(c->ws->arg);
	free(c->ws);
	c->ws = NULL;
}
