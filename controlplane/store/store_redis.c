// Redis through hiredis' asynchronous interface on our loop, one connection, commands pipelined in order.
// The host name is resolved on the work queue (hiredis itself would block). hiredis answers everything that
// is under way with a NULL reply when a connection ends; the first of them declares the store away, before
// any owner hears of his operation, so that what he does next already finds it so.
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "controlplane/store/store_backend.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"

#define CONNECT_NS (3 * NS_PER_S)
#define BACKOFF_MIN_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (5 * NS_PER_S)
#define SCAN_COUNT "200"

struct redis {
	struct store *store; // borrowed
	char host[256], port[8], password[256];
	unsigned db;
	redisAsyncContext *ac; // hiredis frees it itself
	struct loop_fd *watch;
	unsigned events;
	bool is_ready;             // handshake done: commands go out
	bool is_closing, was_told; // was_told: its absence is in the log
	struct timer timer;        // next try, or end of this one
	ns_t backoff;
	struct lookup *lookup;    // under way
	struct store_ops orphans; // submitted while there is no connection
	struct deferred later;
};

struct lookup {
	struct work work;
	struct redis *r; // NULL: the store is closed
	char host[256], addr[64];
	int rc;
};

static void connect_to(struct redis *r, const char *addr);

// --- hiredis on our loop ------------------------------------------------------------------------------
static void on_fd(void *arg, unsigned events)
{
	struct redis *r = arg;
	redisAsyncContext *ac = r->ac;

	if (ac == NULL)
		return;
	if (events & LOOP_READ)
		redisAsyncHandleRead(ac);
	if (r->ac == ac && (events & LOOP_WRITE))
		redisAsyncHandleWrite(ac);
}

static void want(struct redis *r, unsigned set, unsigned clear)
{
	r->events = (r->events | set) & ~clear;
	if (r->watch != NULL)
		loop_rewatch(r->watch, r->events);
}

static void add_read(void *arg)
{
	want(arg, LOOP_READ, 0);
}

static void del_read(void *arg)
{
	want(arg, 0, LOOP_READ);
}

static void add_write(void *arg)
{
	want(arg, LOOP_WRITE, 0);
}

static void del_write(void *arg)
{
	want(arg, 0, LOOP_WRITE);
}

static void cleanup(void *arg)
{
	struct redis *r = arg;

	loop_unwatch(r->watch);
	r->watch = NULL;
	r->events = 0;
}

// --- the connection -----------------------------------------------------------------------------------
static void try_later(struct redis *r)
{
	if (r->is_closing)
		return;
	store_on_disconnected(r->store);
	loop_arm_in(store_loop(r->store), &r->timer, r->backoff);
	r->backoff = r->backoff * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : r->backoff * 2;
}

// This connection is over, whoever noticed first. Idempotent.
static void went_away(struct redis *r, const char *why)
{
	if (r->ac == NULL)
		return;
	r->ac = NULL;
	r->is_ready = false;
	if (!r->was_told && !r->is_closing)
		log_warn("store: %s: %s; trying again until it is there", store_name(r->store), why);
	r->was_told = true;
	try_later(r);
}

// End the connection ourselves.
static void drop(struct redis *r, const char *why)
{
	redisAsyncContext *ac = r->ac;

	if (ac == NULL)
		return;
	went_away(r, why);
	redisAsyncFree(ac);
}

static void on_disconnect(const redisAsyncContext *ac, int)
{
	struct redis *r = ac->data;

	if (r->ac == ac)
		went_away(r, ac->errstr[0] ? ac->errstr : "connection closed");
}

static void on_select(redisAsyncContext *ac, void *reply, void *arg)
{
	struct redis *r = arg;
	const redisReply *rep = reply;

	if (r->ac != ac)
		return;
	if (rep == NULL || rep->type == REDIS_REPLY_ERROR) {
		if (rep != NULL)
			drop(r, rep->str);
		return;
	}
	loop_cancel(store_loop(r->store), &r->timer);
	r->is_ready = true;
	r->was_told = false;
	r->backoff = BACKOFF_MIN_NS;
	log_notice("store: connected to %s", store_name(r->store));
	store_on_connected(r->store);
}

static void on_auth(redisAsyncContext *ac, void *reply, void *arg)
{
	struct redis *r = arg;
	const redisReply *rep = reply;
	char why[300];

	if (r->ac != ac || rep == NULL || rep->type != REDIS_REPLY_ERROR)
		return;
	snprintf(why, sizeof(why), "the password in store.url is refused (%s)", rep->str);
	drop(r, why);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
	struct redis *r = ac->data;
	char db[16];

	if (r->ac != ac)
		return;
	if (status != REDIS_OK) { // hiredis frees the context after this callback
		went_away(r, ac->errstr);
		return;
	}
	snprintf(db, sizeof(db), "%u", r->db);
	if (r->password[0])
		redisAsyncCommand(r->ac, on_auth, r, "AUTH %s", r->password);
	redisAsyncCommand(r->ac, on_select, r, "SELECT %s", db);
}

static void connect_to(struct redis *r, const char *addr)
{
	redisAsyncContext *ac = redisAsyncConnect(addr, atoi(r->port));

	if (ac == NULL || ac->err) {
		if (!r->was_told)
			log_warn("store: %s: %s", store_name(r->store), ac ? ac->errstr : "out of memory");
		r->was_told = true;
		if (ac != NULL)
			redisAsyncFree(ac);
		try_later(r);
		return;
	}
	r->ac = ac;
	ac->data = r;
	ac->ev.data = r;
	ac->ev.addRead = add_read;
	ac->ev.delRead = del_read;
	ac->ev.addWrite = add_write;
	ac->ev.delWrite = del_write;
	ac->ev.cleanup = cleanup;
	r->events = 0;
	r->watch = loop_watch(store_loop(r->store), ac->c.fd, 0, on_fd, r);
	if (r->watch == NULL) {
		drop(r, "out of memory");
		return;
	}
	loop_arm_in(store_loop(r->store), &r->timer, CONNECT_NS);
	redisAsyncSetConnectCallback(ac, on_connect);
	redisAsyncSetDisconnectCallback(ac, on_disconnect);
}

static void run_lookup(struct work *w)
{
	struct lookup *l = container_of(w, struct lookup, work);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

	l->rc = getaddrinfo(l->host, NULL, &hints, &list);
	if (l->rc != 0)
		return;
	l->rc = getnameinfo(list->ai_addr, list->ai_addrlen, l->addr, sizeof(l->addr), NULL, 0,
			    NI_NUMERICHOST);
	freeaddrinfo(list);
}

static void on_looked_up(struct work *w)
{
	struct lookup *l = container_of(w, struct lookup, work);
	struct redis *r = l->r;

	if (r != NULL) {
		r->lookup = NULL;
		if (l->rc == 0) {
			connect_to(r, l->addr);
		} else {
			if (!r->was_told)
				log_warn("store: %s: %s", store_name(r->store), gai_strerror(l->rc));
			r->was_told = true;
			try_later(r);
		}
	}
	free(l);
}

static void start(struct redis *r)
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		try_later(r);
		return;
	}
	l->work = (struct work){run_lookup, on_looked_up, NULL};
	l->r = r;
	snprintf(l->host, sizeof(l->host), "%s", r->host);
	if (loop_work(store_loop(r->store), &l->work) < 0) {
		free(l);
		try_later(r);
		return;
	}
	r->lookup = l;
}

static void on_timer(struct timer *t, ns_t)
{
	struct redis *r = container_of(t, struct redis, timer);

	if (r->ac != NULL)
		drop(r, "no answer");
	else if (r->lookup == NULL)
		start(r);
}

// --- commands -----------------------------------------------------------------------------------------
struct command { // owned by the reply callback
	struct redis *r;
	struct store_op *op;
	struct map *seen; // SCAN: keys emitted
	char cursor[24];
};

static void end(struct command *c, int rc, struct str value)
{
	struct redis *r = c->r;
	struct store_op *op = c->op;

	map_free(c->seen);
	free(c);
	store_op_done(r->store, op, rc, value);
}

// Errors common to all: the connection ended, or Redis refused.
static bool has_failed(struct command *c, redisAsyncContext *ac, const redisReply *reply)
{
	if (reply == NULL) {
		if (c->r->ac == ac)
			went_away(c->r, ac->errstr[0] ? ac->errstr : "connection closed");
		end(c, -ENOTCONN, STR_NONE);
		return true;
	}
	if (reply->type == REDIS_REPLY_ERROR) {
		log_error("store: redis refuses: %s", reply->str);
		end(c, -EIO, STR_NONE);
		return true;
	}
	return false;
}

static void on_reply(redisAsyncContext *ac, void *reply_p, void *arg)
{
	struct command *c = arg;
	const redisReply *reply = reply_p;

	if (has_failed(c, ac, reply))
		return;
	switch (c->op->kind) {
	case STORE_GET:
		if (reply->type == REDIS_REPLY_STRING)
			end(c, 0, (struct str){reply->str, reply->len});
		else
			end(c, reply->type == REDIS_REPLY_NIL ? -ENOENT : -EIO, STR_NONE);
		break;
	case STORE_PUT:
		end(c, reply->type == REDIS_REPLY_NIL ? -EEXIST : 0, STR_NONE);
		break;
	case STORE_DEL:
		end(c, reply->type == REDIS_REPLY_INTEGER && reply->integer == 0 ? -ENOENT : 0, STR_NONE);
		break;
	default:
		end(c, 0, STR_NONE);
	}
}

static bool send_argv(struct command *c, redisCallbackFn *fn, int argc, const char **argv, const size_t *lens)
{
	return redisAsyncCommandArgv(c->r->ac, fn, c, argc, argv, lens) == REDIS_OK;
}

static void on_scan(redisAsyncContext *ac, void *reply, void *arg);

static bool send_scan(struct command *c)
{
	char pattern[2 * STORE_KEY_MAX + 2];
	const char *argv[] = {"SCAN", c->cursor, "MATCH", pattern, "COUNT", SCAN_COUNT};
	size_t n = 0;

	for (size_t i = 0; i < c->op->key.len; i++) {
		if (strchr("*?[]\\", c->op->key.p[i]) != NULL)
			pattern[n++] = '\\';
		pattern[n++] = c->op->key.p[i];
	}
	pattern[n++] = '*';
	pattern[n] = '\0';
	return send_argv(c, on_scan, ARRAY_LEN(argv), argv, NULL);
}

struct page { // one MGET: its keys are copied, the SCAN reply is gone by then
	struct command *command;
	size_t n;
	char **keys; // owned
};

static void page_free(struct page *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->keys[i]);
	free(p->keys);
	free(p);
}

static void next_page(struct command *c)
{
	if (strcmp(c->cursor, "0") == 0)
		end(c, 0, STR_NONE);
	else if (c->r->ac == NULL || !send_scan(c))
		end(c, -ENOTCONN, STR_NONE);
}

static void on_values(redisAsyncContext *ac, void *reply_p, void *arg)
{
	struct page *p = arg;
	struct command *c = p->command;
	const redisReply *reply = reply_p;

	if (reply != NULL && reply->type == REDIS_REPLY_ARRAY)
		for (size_t i = 0; i < p->n && i < reply->elements; i++) {
			const redisReply *v = reply->element[i];

			if (v->type == REDIS_REPLY_STRING && c->op->each != NULL && v->len <= STORE_VALUE_MAX)
				c->op->each(c->op->arg, str_of(p->keys[i]), (struct str){v->str, v->len});
		}
	page_free(p);
	if (!has_failed(c, ac, reply))
		next_page(c);
}

// Keys of a SCAN reply that were not seen yet. NULL: out of memory.
static struct page *page_new(struct command *c, const redisReply *keys)
{
	struct page *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->command = c;
	p->keys = calloc(keys->elements + 1, sizeof(*p->keys));
	for (size_t i = 0; p->keys && i < keys->elements; i++) {
		const redisReply *k = keys->element[i];
		struct str key = {k->str, k->len};

		if (k->type != REDIS_REPLY_STRING || key.len > STORE_KEY_MAX || memchr(k->str, 0, key.len) ||
		    map_put(c->seen, key, c) != 0)
			continue;
		p->keys[p->n] = strndup(k->str, key.len);
		if (p->keys[p->n] != NULL)
			p->n++;
	}
	return p;
}

static bool send_mget(struct page *p)
{
	const char **argv = calloc(p->n + 1, sizeof(*argv));
	bool ok = argv != NULL;

	if (ok) {
		argv[0] = "MGET";
		for (size_t i = 0; i < p->n; i++)
			argv[i + 1] = p->keys[i];
		ok = redisAsyncCommandArgv(p->command->r->ac, on_values, p, (int)p->n + 1, argv, NULL) ==
		     REDIS_OK;
	}
	free(argv);
	return ok;
}

static void on_scan(redisAsyncContext *ac, void *reply_p, void *arg)
{
	struct command *c = arg;
	const redisReply *reply = reply_p;
	struct page *p;

	if (has_failed(c, ac, reply))
		return;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
	    reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len >= sizeof(c->cursor) ||
	    reply->element[1]->type != REDIS_REPLY_ARRAY) {
		end(c, -EIO, STR_NONE);
		return;
	}
	memcpy(c->cursor, reply->element[0]->str, reply->element[0]->len + 1);
	p = page_new(c, reply->element[1]);
	if (p == NULL) {
		end(c, -EIO, STR_NONE);
	} else if (p->n == 0) {
		page_free(p);
		next_page(c);
	} else if (c->r->ac == NULL || !send_mget(p)) {
		page_free(p);
		end(c, -ENOTCONN, STR_NONE);
	}
}

static bool send_op(struct command *c)
{
	const struct store_op *op = c->op;
	const char *argv[6] = {"GET", op->key.p};
	size_t lens[6] = {3, op->key.len};
	char ttl[16];
	int argc = 2;

	if (op->kind == STORE_SCAN)
		return send_scan(c);
	if (op->kind == STORE_DEL) {
		argv[0] = "DEL";
	} else if (op->kind != STORE_GET) {
		argv[0] = "SET";
		argv[argc] = op->value.p;
		lens[argc++] = op->value.len;
		if (op->ttl_s > 0) {
			argv[argc] = "EX";
			lens[argc++] = 2;
			argv[argc] = ttl;
			lens[argc++] = (size_t)snprintf(ttl, sizeof(ttl), "%u", op->ttl_s);
		}
		if (op->kind == STORE_PUT) {
			argv[argc] = "NX";
			lens[argc++] = 2;
		}
	}
	return send_argv(c, on_reply, argc, argv, lens);
}

static void answer_orphans(struct redis *r)
{
	struct store_op *op;

	while ((op = TAILQ_FIRST(&r->orphans)) != NULL) {
		TAILQ_REMOVE(&r->orphans, op, link);
		store_op_done(r->store, op, -ENOTCONN, STR_NONE);
	}
}

static void on_later(struct deferred *d)
{
	answer_orphans(container_of(d, struct redis, later));
}

static void submit(void *self, struct store_op *op)
{
	struct redis *r = self;
	struct command *c = r->is_ready ? calloc(1, sizeof(*c)) : NULL;

	if (c != NULL) {
		*c = (struct command){.r = r, .op = op, .cursor = "0"};
		if (op->kind == STORE_SCAN)
			c->seen = map_new();
		if ((op->kind != STORE_SCAN || c->seen != NULL) && send_op(c))
			return;
		map_free(c->seen);
		free(c);
	}
	TAILQ_INSERT_TAIL(&r->orphans, op, link);
	loop_defer(store_loop(r->store), &r->later);
}

static void stalled(void *self)
{
	drop(self, "answers take too long");
}

static void close_redis(void *self)
{
	struct redis *r = self;
	ns_t limit = clock_now() + STORE_OP_NS;

	// What was accepted is still written, when Redis takes it.
	for (;;) {
		struct store_stats stats;

		store_stats(r->store, &stats);
		if (!r->is_ready || stats.pending == 0 || clock_now() > limit)
			break;
		loop_turn(store_loop(r->store), 20 * NS_PER_MS);
	}
	r->is_closing = true;
	drop(r, "closed");
	answer_orphans(r);
	loop_cancel(store_loop(r->store), &r->timer);
	loop_defer_cancel(store_loop(r->store), &r->later);
	if (r->lookup)
		r->lookup->r = NULL;
	explicit_bzero(r->password, sizeof(r->password));
	free(r);
}

// "[:password@]host[:port][/db]"
static bool parse(struct redis *r, struct str rest)
{
	const char *at = rest.len ? memrchr(rest.p, '@', rest.len) : NULL;
	struct str host, db;
	uint64_t n = 0;

	if (at != NULL) {
		struct str user = {rest.p, (size_t)(at - rest.p)};

		rest = str_skip(rest, user.len + 1);
		str_cut(&user, ':');
		if (!str_copy(user, r->password, sizeof(r->password)))
			return false;
	}
	db = rest;
	host = str_cut(&db, '/');
	if (db.len > 0 && !str_u64(db, 65535, &n))
		return false;
	r->db = (unsigned)n;
	n = 6379;
	if (host.len > 0 && host.p[0] == '[') {
		struct str v6 = str_skip(host, 1);

		host = str_cut(&v6, ']');
		rest = v6;
		str_cut(&rest, ':');
	} else {
		rest = host;
		host = str_cut(&rest, ':');
	}
	if (rest.len > 0 && (!str_u64(rest, 65535, &n) || n == 0))
		return false;
	snprintf(r->port, sizeof(r->port), "%u", (unsigned)n);
	return host.len > 0 && str_copy(host, r->host, sizeof(r->host));
}

int store_redis_open(struct store *s, const char *rest, struct store_backend *b, char *why, size_t size)
{
	struct redis *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->store = s;
	r->backoff = BACKOFF_MIN_NS;
	r->timer.on_due = on_timer;
	r->later.fn = on_later;
	TAILQ_INIT(&r->orphans);
	if (!parse(r, str_of(rest))) {
		snprintf(why, size, "store.url: not redis://[:password@]host[:port][/db]");
		free(r);
		return -EINVAL;
	}
	*b = (struct store_backend){
		.submit = submit, .stalled = stalled, .close = close_redis, .self = r, .is_shared = true};
	start(r);
	return 0;
}
