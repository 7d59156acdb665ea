// The store's operations as commands to Redis, pipelined in order over one connection. hiredis answers everything
// that is under way with a NULL reply when a connection ends; the first of them declares the store away, before
// any owner hears of his operation, so that what he does next already finds it so.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/hiredis.h>

#include "controlplane/store/store_redis_conn.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"

#define SCAN_COUNT "200"

struct command { // owned by the reply callback
	struct redis *r;
	struct store_op *op;
	struct map *seen; // SCAN: keys emitted
	char cursor[24];
};

static void command_end(struct command *c, int rc, struct str value)
{
	struct redis *r = c->r;
	struct store_op *op = c->op;

	map_free(c->seen);
	free(c);
	store_op_done(r->store, op, rc, value);
}

// Errors common to all: the connection ended, or Redis refused.
static bool command_has_failed(struct command *c, redisAsyncContext *ac, const redisReply *reply)
{
	if (reply == NULL) {
		if (c->r->ac == ac)
			redis_conn_lost(c->r, ac->errstr[0] ? ac->errstr : "connection closed");
		command_end(c, -ENOTCONN, STR_NONE);
		return true;
	}
	if (reply->type == REDIS_REPLY_ERROR) {
		log_error("store: redis refuses: %s", reply->str);
		command_end(c, -EIO, STR_NONE);
		return true;
	}
	return false;
}

static void on_reply(redisAsyncContext *ac, void *reply_p, void *arg)
{
	struct command *c = arg;
	const redisReply *reply = reply_p;

	if (command_has_failed(c, ac, reply))
		return;
	switch (c->op->kind) {
	case STORE_GET:
		if (reply->type == REDIS_REPLY_STRING)
			command_end(c, 0, (struct str){reply->str, reply->len});
		else
			command_end(c, reply->type == REDIS_REPLY_NIL ? -ENOENT : -EIO, STR_NONE);
		break;
	case STORE_PUT:
		command_end(c, reply->type == REDIS_REPLY_NIL ? -EEXIST : 0, STR_NONE);
		break;
	case STORE_DEL:
		command_end(c, reply->type == REDIS_REPLY_INTEGER && reply->integer == 0 ? -ENOENT : 0,
			    STR_NONE);
		break;
	default:
		command_end(c, 0, STR_NONE);
	}
}

static bool command_send(struct command *c, redisCallbackFn *fn, int argc, const char **argv,
			 const size_t *lens)
{
	return redisAsyncCommandArgv(c->r->ac, fn, c, argc, argv, lens) == REDIS_OK;
}

static void on_scan(redisAsyncContext *ac, void *reply, void *arg);

static bool scan_send(struct command *c)
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
	return command_send(c, on_scan, ARRAY_LEN(argv), argv, NULL);
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

static void scan_next_page(struct command *c)
{
	if (strcmp(c->cursor, "0") == 0)
		command_end(c, 0, STR_NONE);
	else if (c->r->ac == NULL || !scan_send(c))
		command_end(c, -ENOTCONN, STR_NONE);
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
	if (!command_has_failed(c, ac, reply))
		scan_next_page(c);
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

static bool page_send(struct page *p)
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

	if (command_has_failed(c, ac, reply))
		return;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
	    reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len >= sizeof(c->cursor) ||
	    reply->element[1]->type != REDIS_REPLY_ARRAY) {
		command_end(c, -EIO, STR_NONE);
		return;
	}
	memcpy(c->cursor, reply->element[0]->str, reply->element[0]->len + 1);
	p = page_new(c, reply->element[1]);
	if (p == NULL) {
		command_end(c, -EIO, STR_NONE);
	} else if (p->n == 0) {
		page_free(p);
		scan_next_page(c);
	} else if (c->r->ac == NULL || !page_send(p)) {
		page_free(p);
		command_end(c, -ENOTCONN, STR_NONE);
	}
}

static bool command_send_op(struct command *c)
{
	const struct store_op *op = c->op;
	const char *argv[6] = {"GET", op->key.p};
	size_t lens[6] = {3, op->key.len};
	char ttl[16];
	int argc = 2;

	if (op->kind == STORE_SCAN)
		return scan_send(c);
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
	return command_send(c, on_reply, argc, argv, lens);
}

static void orphans_answer(struct redis *r)
{
	struct store_op *op;

	while ((op = TAILQ_FIRST(&r->orphans)) != NULL) {
		TAILQ_REMOVE(&r->orphans, op, link);
		store_op_done(r->store, op, -ENOTCONN, STR_NONE);
	}
}

static void on_orphans(struct deferred *d)
{
	orphans_answer(container_of(d, struct redis, later));
}

static void redis_submit(void *self, struct store_op *op)
{
	struct redis *r = self;
	struct command *c = r->is_ready ? calloc(1, sizeof(*c)) : NULL;

	if (c != NULL) {
		*c = (struct command){.r = r, .op = op, .cursor = "0"};
		if (op->kind == STORE_SCAN)
			c->seen = map_new();
		if ((op->kind != STORE_SCAN || c->seen != NULL) && command_send_op(c))
			return;
		map_free(c->seen);
		free(c);
	}
	TAILQ_INSERT_TAIL(&r->orphans, op, link);
	loop_defer(store_loop(r->store), &r->later);
}

static void redis_stalled(void *self)
{
	redis_conn_drop(self, "answers take too long");
}

static void redis_close(void *self)
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
	redis_conn_stop(r);
	orphans_answer(r);
	loop_defer_cancel(store_loop(r->store), &r->later);
	free(r);
}

int store_redis_open(struct store *s, const char *rest, struct store_backend *b, char *why, size_t size)
{
	struct redis *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->store = s;
	r->later.fn = on_orphans;
	TAILQ_INIT(&r->orphans);
	if (!redis_conn_parse(r, str_of(rest))) {
		snprintf(why, size, "store.url: not redis://[:password@]host[:port][/db]");
		free(r);
		return -EINVAL;
	}
	*b = (struct store_backend){.submit = redis_submit,
				    .stalled = redis_stalled,
				    .close = redis_close,
				    .self = r,
				    .is_shared = true};
	redis_conn_start(r);
	return 0;
}
