// A client entry lives while it has a connection or a `close` waiting. Connections die in the callback of
// http only (conn_on_closed), so nothing here is freed while a caller still looks at it.
#include "controlplane/plugin/plugins.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "controlplane/plugin/closes.h"
#include "controlplane/plugin/wsmsg.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"

struct plugin_conn {
	conn_id id;
	http_id http;
	struct plugins *plugins; // borrowed
	struct client *client;   // borrowed: outlives its connections
	char name[WSMSG_CONN_ID_LEN + 1];
	TAILQ_ENTRY(plugin_conn) link;
};

struct client {
	struct plugins *plugins; // borrowed
	struct str id;           // owned
	TAILQ_HEAD(, plugin_conn) conns;
	unsigned n_conns;
	struct wsframe_share unfinished; // messages on all its connections
	struct closes closes;
};

struct plugins {
	struct loop *loop;       // borrowed
	struct metrics *metrics; // borrowed
	struct http *http;       // borrowed
	const struct plugin_ops *ops; // borrowed, may be NULL
	void *arg;                    // of ops
	struct pool *conns;
	struct map *clients; // id -> struct client, owned
};

static void count_drop(struct plugins *p, const char *reason)
{
	metric_add(p->metrics, M_WS_DROPS, METRIC_LABELS(str_of(reason)), 1);
}

static void count_message(struct plugins *p, struct str client, const char *direction, const char *type)
{
	metric_add(p->metrics, M_WS_MESSAGES, METRIC_LABELS(client, str_of(direction), str_of(type)), 1);
}

// --- clients -----------------------------------------------------------------------------------------
static void client_free(struct client *cl)
{
	assert(TAILQ_EMPTY(&cl->conns));
	closes_clear(&cl->closes);
	map_del(cl->plugins->clients, cl->id);
	free((char *)cl->id.p);
	free(cl);
}

static void client_release(struct client *cl)
{
	if (TAILQ_EMPTY(&cl->conns) && cl->closes.n == 0)
		client_free(cl);
}

static void on_close_lost(struct closes *c, const char *why)
{
	count_drop(container_of(c, struct client, closes)->plugins, why);
}

static void on_closes_ran_out(struct closes *c)
{
	client_release(container_of(c, struct client, closes));
}

static struct client *client_get(struct plugins *p, struct str id)
{
	static const struct closes_ops closes_ops = {on_close_lost, on_closes_ran_out};
	struct client *cl = map_find(p->clients, id);
	char *copy;

	if (cl != NULL)
		return cl;
	cl = calloc(1, sizeof(*cl));
	copy = strndup(id.p ? id.p : "", id.len);
	if (cl == NULL || copy == NULL || map_put(p->clients, id, cl) < 0) {
		free(cl);
		free(copy);
		return NULL;
	}
	cl->plugins = p;
	cl->id = (struct str){copy, id.len};
	cl->unfinished.most = PLUGINS_MAX_UNFINISHED;
	closes_init(&cl->closes, p->loop, &closes_ops);
	TAILQ_INIT(&cl->conns);
	return cl;
}

// --- incoming ----------------------------------------------------------------------------------------
static void conn_dispatch(struct plugin_conn *c, const struct wsmsg *m)
{
	const struct plugin_ops *ops = c->plugins->ops;
	struct str client = c->client->id;
	void *arg = c->plugins->arg;

	switch (m->type) {
	case WSMSG_JOIN:
		ops->join(arg, c->id, client, &m->join);
		break;
	case WSMSG_LEAVE:
		ops->leave(arg, c->id, client, m->session_id);
		break;
	case WSMSG_RECONNECT:
		ops->reconnect(arg, c->id, client, m->session_id);
		break;
	case WSMSG_RTC:
		ops->rtc(arg, c->id, client, m->session_id, m->rtc, m->data);
		break;
	default:
		break;
	}
}

static void conn_on_message(void *arg, bool is_text, struct str payload)
{
	struct plugin_conn *c = arg;
	struct plugins *p = c->plugins;
	struct wsmsg m;
	int rc;

	if (is_text) {
		log_info("ws: %.*s: text message ignored", STR_ARG(c->client->id));
		count_drop(p, "text");
		return;
	}
	rc = wsmsg_decode(payload.p, payload.len, &m);
	if (rc != -EBADMSG)
		count_message(p, c->client->id, "in", wsmsg_type_name(m.type));
	if (rc < 0) {
		log_info("ws: %.*s: %s message refused: %s", STR_ARG(c->client->id), wsmsg_type_name(m.type),
			 m.error);
		count_drop(p, "malformed");
		if (p->ops != NULL && m.type == WSMSG_JOIN && m.join.session_id.len > 0 &&
		    m.join.session_id.len <= WSMSG_MAX_ID)
			p->ops->join_invalid(p->arg, c->id, c->client->id, m.join.session_id);
	} else if (p->ops != NULL) {
		conn_dispatch(c, &m);
	}
}

static void conn_on_closed(void *arg)
{
	struct plugin_conn *c = arg;
	struct plugins *p = c->plugins;
	struct client *cl = c->client;

	log_notice("plugin %.*s: connection %s closed", STR_ARG(cl->id), c->name);
	metric_add(p->metrics, M_WS_CONNECTIONS, METRIC_LABELS(cl->id), -1);
	assert(cl->n_conns > 0);
	TAILQ_REMOVE(&cl->conns, c, link);
	cl->n_conns--;
	pool_put(p->conns, c->id);
	client_release(cl);
}

// --- outgoing ----------------------------------------------------------------------------------------
static int conn_send(struct plugin_conn *c, const struct wbuf *w)
{
	return ws_send(c->plugins->http, c->http, w->start, wbuf_len(w));
}

static int conn_send_close(struct plugin_conn *c, struct str session_id)
{
	uint8_t buf[WSMSG_MAX_ID + 64];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	wsmsg_write_close(&w, session_id);
	return w.full ? -E2BIG : conn_send(c, &w);
}

static void replay_closes(struct plugin_conn *c)
{
	struct closes *waiting = &c->client->closes;
	struct str session_id;

	while (closes_first(waiting, &session_id)) {
		if (conn_send_close(c, session_id) < 0)
			return; // the rest waits for the next connection
		closes_drop_first(waiting);
	}
}

static void conn_say_hello(struct plugin_conn *c)
{
	uint8_t buf[WSMSG_MAX_ID + 128];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	wsmsg_write_hello(&w, c->client->id, (struct str){c->name, WSMSG_CONN_ID_LEN});
	if (!w.full)
		conn_send(c, &w);
}

void plugins_accept(struct plugins *p, http_id http, struct str id)
{
	struct ws_limits limits = {.max_message = WSMSG_MAX,
				   .max_queue = PLUGINS_MAX_QUEUE,
				   .ping = PLUGINS_PING_NS,
				   .pong = PLUGINS_PONG_NS,
				   .write = PLUGINS_WRITE_NS};
	static const struct ws_handler handler = {conn_on_message, conn_on_closed};
	struct client *cl = client_get(p, id);
	struct plugin_conn *c = NULL;
	handle_t handle;

	assert(p->http != NULL);
	if (cl != NULL && cl->n_conns < PLUGINS_MAX_PER_CLIENT)
		c = pool_get(p->conns, &handle);
	if (c == NULL) {
		count_drop(p, "too many connections");
		if (cl != NULL)
			client_release(cl);
		http_reply_text(p->http, http, 503, "too many connections\n", "/ws");
		return;
	}
	limits.share = &cl->unfinished;
	*c = (struct plugin_conn){.id = handle, .http = http, .plugins = p, .client = cl};
	wsmsg_conn_id(c->name);
	if (!http_upgrade(p->http, http, &limits, &handler, c)) { // refused: never opened, never counted (D8)
		pool_put(p->conns, handle);
		client_release(cl);
		return;
	}
	log_notice("plugin %.*s: connection %s opened", STR_ARG(cl->id), c->name);
	TAILQ_INSERT_TAIL(&cl->conns, c, link);
	cl->n_conns++;
	metric_add(p->metrics, M_WS_CONNECTIONS, METRIC_LABELS(cl->id), 1);
	conn_say_hello(c);
	replay_closes(c);
}

// The preferred connection when it lives and is the client's own, else NULL.
static struct plugin_conn *find_conn(struct plugins *p, const struct client *cl, conn_id id)
{
	struct plugin_conn *c = id ? pool_find(p->conns, id) : NULL;

	return c != NULL && c->client == cl ? c : NULL;
}

// Returns how many took it.
static unsigned deliver(struct plugins *p, struct client *cl, conn_id preferred, enum deliver policy,
			const struct wbuf *w)
{
	struct plugin_conn *c = find_conn(p, cl, preferred);
	unsigned n = 0;

	if (c != NULL && conn_send(c, w) == 0)
		return 1;
	TAILQ_FOREACH (c, &cl->conns, link) {
		if (conn_send(c, w) == 0)
			n++;
		if (n > 0 && policy == DELIVER_ONE)
			break;
	}
	return n;
}

void plugins_send_rtc(struct plugins *p, conn_id preferred, enum deliver policy, const struct rtc_msg *m)
{
	bool is_vad = m->type == RTC_VOICE_ON || m->type == RTC_VOICE_OFF;
	struct client *cl = map_find(p->clients, m->client);
	size_t size = wsmsg_rtc_size(m);
	uint8_t *buf = cl && size <= WSMSG_MAX ? malloc(size) : NULL;
	struct wbuf w = wbuf_of(buf, buf ? size : 0);
	unsigned n = 0;

	if (buf != NULL) {
		wsmsg_write_rtc(&w, m);
		n = w.full ? 0 : deliver(p, cl, preferred, policy, &w);
	}
	free(buf);
	if (n == 0)
		count_drop(p, size > WSMSG_MAX ? "message too large" : "no connection");
	for (; n > 0; n--)
		count_message(p, m->client, "out", is_vad ? "vad" : "rtc");
}

static void queue_close(struct plugins *p, struct str client, struct str session_id)
{
	struct client *cl = client_get(p, client);

	if (cl != NULL && closes_add(&cl->closes, session_id) < 0)
		client_release(cl);
}

void plugins_send_close(struct plugins *p, struct str client, conn_id preferred, struct str session_id)
{
	uint8_t buf[WSMSG_MAX_ID + 64];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	struct client *cl = map_find(p->clients, client);

	if (session_id.len == 0 || session_id.len > WSMSG_MAX_ID)
		return;
	wsmsg_write_close(&w, session_id);
	if (cl == NULL || deliver(p, cl, preferred, DELIVER_ALL, &w) == 0)
		queue_close(p, client, session_id);
}

// --- life --------------------------------------------------------------------------------------------
void plugins_drop_client(struct plugins *p, struct str id)
{
	struct client *cl = map_find(p->clients, id);
	struct plugin_conn *c;

	if (cl == NULL)
		return;
	closes_clear(&cl->closes);
	TAILQ_FOREACH (c, &cl->conns, link)
		ws_close(p->http, c->http, 1008, "client unregistered");
	client_release(cl);
}

unsigned plugins_count(const struct plugins *p)
{
	return pool_count(p->conns);
}

void plugins_bind(struct plugins *p, struct http *http, const struct plugin_ops *ops, void *arg)
{
	p->http = http;
	p->ops = ops;
	p->arg = arg;
}

struct plugins *plugins_new(struct loop *loop, struct metrics *metrics)
{
	struct plugins *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->loop = loop;
	p->metrics = metrics;
	p->conns = pool_new(sizeof(struct plugin_conn), 1u << 20);
	p->clients = map_new();
	if (p->conns == NULL || p->clients == NULL) {
		plugins_free(p);
		return err_null(ENOMEM);
	}
	return p;
}

void plugins_free(struct plugins *p)
{
	struct client *cl;

	if (p == NULL)
		return;
	for (size_t cursor = 0; p->clients && (cl = map_next(p->clients, &cursor, NULL)) != NULL;) {
		client_free(cl);
		cursor = 0;
	}
	map_free(p->clients);
	pool_free(p->conns);
	free(p);
}
