// What both backends share. An operation is one block: struct, key and value. The marker key tells a store
// that came back from one that came back empty: it holds a random id, remembered here.
#include "controlplane/store/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/store/store_backend.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define MARKER_KEY "sluice:store"

struct store_watcher {
	store_state_fn fn; // NULL: removed while being told
	void *arg;
	bool is_new;
	TAILQ_ENTRY(store_watcher) link;
};

struct store {
	struct loop *loop; // borrowed
	struct store_backend backend;
	char *name; // owned
	enum store_state state;
	bool is_closing;
	bool is_starting;         // the first connection has neither come nor failed: operations wait for it
	struct store_ops early;   // they
	struct timer start_limit; // not longer than this
	struct store_ops pending; // with the backend, oldest first
	struct store_ops refused; // answered by the deferred call
	struct map *waiting;      // key -> struct store_op, the last write of each, owned
	uint64_t seq;             // of the newest operation
	TAILQ_HEAD(, store_watcher) watchers;
	struct deferred later;
	struct timer timer; // time-outs
	char marker[64];    // value of MARKER_KEY as last seen; "": never
	struct store_stats stats;
};

struct loop *store_loop(struct store *s)
{
	return s->loop;
}

// --- operations --------------------------------------------------------------------------------------
static struct store_op *op_new(enum store_kind kind, struct str key, struct str value)
{
	struct store_op *op = calloc(1, sizeof(*op) + key.len + value.len + 2);
	char *at = op ? (char *)(op + 1) : NULL;

	if (op == NULL)
		return NULL;
	op->kind = kind;
	if (key.len > 0)
		memcpy(at, key.p, key.len);
	op->key = (struct str){at, key.len};
	at += key.len + 1;
	if (value.len > 0)
		memcpy(at, value.p, value.len);
	op->value = (struct str){at, value.len};
	return op;
}

static void op_free(struct store_op *op)
{
	explicit_bzero((void *)(op + 1), op->key.len + op->value.len);
	free(op->result);
	free(op);
}

static void finish(struct store *s, struct store_op *op, int rc, struct str value)
{
	if (rc < 0 && rc != -ENOENT && rc != -EEXIST)
		s->stats.errors++;
	if (op->done != NULL)
		op->done(op->arg, rc, value);
	op_free(op);
}

static void refuse(struct store *s, struct store_op *op, int rc)
{
	op->rc = rc;
	TAILQ_INSERT_TAIL(&s->refused, op, link);
	loop_defer(s->loop, &s->later);
}

// A fire-and-forget write while the store is away: only the last one of a key counts.
static void keep_waiting(struct store *s, struct store_op *op)
{
	struct store_op *old = map_find(s->waiting, op->key);

	if (old != NULL) {
		s->stats.coalesced_writes++;
		if (old->seq > op->seq) { // op was under way when the store went
			op_free(op);
			return;
		}
		map_del(s->waiting, op->key);
		op_free(old);
	}
	if (map_count(s->waiting) >= STORE_MAX_WAITING_WRITES || map_put(s->waiting, op->key, op) < 0) {
		s->stats.dropped_writes++;
		log_warn("store: %s: too many writes wait, one is lost", s->name);
		op_free(op);
	}
}

static void hand_over(struct store *s, struct store_op *op)
{
	op->due = loop_now(s->loop) + (s->backend.is_shared ? STORE_OP_NS : STORE_DISK_NS);
	TAILQ_INSERT_TAIL(&s->pending, op, pending_link);
	s->stats.pending++;
	if (!timer_armed(&s->timer))
		loop_arm(s->loop, &s->timer, op->due);
	s->backend.submit(s->backend.self, op);
}

static void submit(struct store *s, struct store_op *op)
{
	s->stats.ops++;
	if (op->key.len == 0 || op->key.len > STORE_KEY_MAX || op->value.len > STORE_VALUE_MAX)
		refuse(s, op, -E2BIG);
	else if (s->is_closing)
		refuse(s, op, -ENOTCONN);
	else if (s->is_starting)
		TAILQ_INSERT_TAIL(&s->early, op, link);
	else if (s->state == STORE_DOWN && op->must_last)
		keep_waiting(s, op);
	else if (s->state == STORE_DOWN)
		refuse(s, op, -ENOTCONN);
	else if (op->must_last &&
		 (s->stats.pending >= STORE_MAX_OPS || map_find(s->waiting, op->key) != NULL))
		keep_waiting(s, op); // also behind an older one that waits: it must not come last
	else if (s->stats.pending >= STORE_MAX_OPS)
		refuse(s, op, -ENOBUFS);
	else
		hand_over(s, op);
}

static void flush_waiting(struct store *s)
{
	struct store_op *op;

	for (size_t cursor = 0; s->stats.pending < STORE_MAX_OPS / 2;) {
		op = map_next(s->waiting, &cursor, NULL);
		if (op == NULL)
			break;
		map_del(s->waiting, op->key);
		hand_over(s, op);
	}
}

void store_op_done(struct store *s, struct store_op *op, int rc, struct str value)
{
	TAILQ_REMOVE(&s->pending, op, pending_link);
	s->stats.pending--;
	if (rc == -ENOTCONN && op->must_last && !s->is_closing) {
		op->is_abandoned = false;
		keep_waiting(s, op);
		return;
	}
	finish(s, op, rc, value);
	if (s->state != STORE_DOWN && map_count(s->waiting) > 0)
		flush_waiting(s);
}

static void on_timeout(struct timer *t, ns_t now)
{
	struct store *s = container_of(t, struct store, timer);
	struct store_op *op;
	bool stalled = false;

	TAILQ_FOREACH (op, &s->pending, pending_link) {
		store_done_fn done = op->done;

		if (op->due > now)
			break;
		if (op->is_abandoned)
			continue;
		op->is_abandoned = true;
		stalled = true;
		s->stats.timeouts++;
		op->done = NULL;
		op->each = NULL;
		if (done != NULL)
			done(op->arg, -ETIMEDOUT, STR_NONE); // may submit, at the end of the list only
	}
	if (!TAILQ_EMPTY(&s->pending))
		loop_arm_in(s->loop, t, STORE_OP_NS / 4);
	if (stalled && s->backend.stalled)
		s->backend.stalled(s->backend.self);
}

static void make(struct store *s, struct store_op *op, uint32_t ttl_s, store_done_fn done, void *arg)
{
	if (op == NULL) { // no memory for an answer either, so at once
		if (done != NULL)
			done(arg, -ENOBUFS, STR_NONE);
		return;
	}
	op->seq = ++s->seq;
	op->ttl_s = ttl_s;
	op->done = done;
	op->arg = arg;
	op->must_last = done == NULL && (op->kind == STORE_SET || op->kind == STORE_DEL);
	submit(s, op);
}

void store_get(struct store *s, struct str key, store_done_fn done, void *arg)
{
	make(s, op_new(STORE_GET, key, STR_NONE), 0, done, arg);
}

void store_put(struct store *s, struct str key, struct str value, uint32_t ttl_s, store_done_fn done,
	       void *arg)
{
	make(s, op_new(STORE_PUT, key, value), ttl_s, done, arg);
}

void store_set(struct store *s, struct str key, struct str value, uint32_t ttl_s, store_done_fn done,
	       void *arg)
{
	make(s, op_new(STORE_SET, key, value), ttl_s, done, arg);
}

void store_del(struct store *s, struct str key, store_done_fn done, void *arg)
{
	make(s, op_new(STORE_DEL, key, STR_NONE), 0, done, arg);
}

void store_scan(struct store *s, struct str prefix, store_each_fn each, store_done_fn done, void *arg)
{
	struct store_op *op = op_new(STORE_SCAN, prefix, STR_NONE);

	if (op != NULL)
		op->each = each;
	make(s, op, 0, done, arg);
}

static void cancel_in(struct store_op *op, const void *arg)
{
	if (op->arg == arg && !op->is_internal) {
		op->done = NULL;
		op->each = NULL;
		op->arg = NULL;
	}
}

void store_cancel(struct store *s, const void *arg)
{
	struct store_op *op;

	TAILQ_FOREACH (op, &s->pending, pending_link)
		cancel_in(op, arg);
	TAILQ_FOREACH (op, &s->refused, link)
		cancel_in(op, arg);
	TAILQ_FOREACH (op, &s->early, link)
		cancel_in(op, arg);
}

// --- state -------------------------------------------------------------------------------------------
static void tell(struct store *s, bool only_new)
{
	struct store_watcher *w, *next;

	TAILQ_EACH_SAFE (w, &s->watchers, link, next) {
		if (only_new && !w->is_new)
			continue;
		w->is_new = false;
		if (w->fn != NULL)
			w->fn(w->arg, s->state);
	}
	TAILQ_EACH_SAFE (w, &s->watchers, link, next)
		if (w->fn == NULL) {
			TAILQ_REMOVE(&s->watchers, w, link);
			free(w);
		}
}

static void on_later(struct deferred *d)
{
	struct store *s = container_of(d, struct store, later);
	struct store_op *op;

	while ((op = TAILQ_FIRST(&s->refused)) != NULL) {
		TAILQ_REMOVE(&s->refused, op, link);
		finish(s, op, op->rc, STR_NONE);
	}
	if (s->state != STORE_DOWN)
		tell(s, true);
}

// The first connection has come or failed: what waited for it goes on, or is answered.
static void end_start(struct store *s)
{
	struct store_op *op;

	s->is_starting = false;
	loop_cancel(s->loop, &s->start_limit);
	while ((op = TAILQ_FIRST(&s->early)) != NULL) {
		TAILQ_REMOVE(&s->early, op, link);
		s->stats.ops--; // counted again
		submit(s, op);
	}
}

static void on_start_limit(struct timer *t, ns_t)
{
	end_start(container_of(t, struct store, start_limit));
}

static void become(struct store *s, enum store_state state)
{
	s->state = state;
	if (s->is_starting)
		end_start(s);
	if (state != STORE_DOWN)
		flush_waiting(s);
	tell(s, false);
}

static void ask_marker(struct store *s);

static void submit_internal(struct store *s, struct store_op *op, store_done_fn done)
{
	if (op == NULL)
		return; // out of memory: the time-out of the next connection tries again
	op->is_internal = true;
	op->done = done;
	op->arg = s;
	hand_over(s, op);
}

static void on_marker_put(void *arg, int rc, struct str)
{
	struct store *s = arg;

	if (rc == 0)
		become(s, s->stats.reconnects > 0 && s->marker[0] ? STORE_EMPTY : STORE_UP);
	if (rc == 0 || rc == -EEXIST)
		ask_marker(s); // to remember what it says
}

static void on_marker(void *arg, int rc, struct str value)
{
	struct store *s = arg;
	bool was_known = s->marker[0] != '\0';
	bool is_same = was_known && str_eq(str_of(s->marker), value);
	char text[64], id[17];

	if (rc == -ENOENT) {
		rand_text(id, 16, "0123456789abcdef");
		snprintf(text, sizeof(text), "{\"id\":\"%s\"}", id);
		submit_internal(s, op_new(STORE_PUT, STR(MARKER_KEY), str_of(text)), on_marker_put);
	} else if (rc == 0) {
		str_copy(value, s->marker, sizeof(s->marker));
		if (s->state == STORE_DOWN)
			become(s, was_known && !is_same ? STORE_EMPTY : STORE_UP);
	}
}

static void ask_marker(struct store *s)
{
	submit_internal(s, op_new(STORE_GET, STR(MARKER_KEY), STR_NONE), on_marker);
}

void store_on_connected(struct store *s)
{
	ask_marker(s);
}

void store_on_disconnected(struct store *s)
{
	if (s->is_closing)
		return;
	if (s->is_starting)
		end_start(s);
	if (s->state == STORE_DOWN)
		return;
	s->stats.reconnects++;
	log_warn("store: %s is away; going on from memory", s->name);
	become(s, STORE_DOWN);
}

struct store_watcher *store_watch(struct store *s, store_state_fn fn, void *arg)
{
	struct store_watcher *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	*w = (struct store_watcher){.fn = fn, .arg = arg, .is_new = true};
	TAILQ_INSERT_TAIL(&s->watchers, w, link);
	loop_defer(s->loop, &s->later);
	return w;
}

void store_unwatch(struct store *s, struct store_watcher *w)
{
	if (w != NULL)
		w->fn = NULL; // freed at the next round
}

const char *store_name(const struct store *s)
{
	return s->name;
}

bool store_is_up(const struct store *s)
{
	return s->state != STORE_DOWN;
}

bool store_is_shared(const struct store *s)
{
	return s->backend.is_shared;
}

void store_stats(const struct store *s, struct store_stats *out)
{
	*out = s->stats;
	out->waiting_writes = (uint32_t)map_count(s->waiting);
}

// --- life --------------------------------------------------------------------------------------------
// "redis://:secret@host" -> "redis://***@host"
static char *masked(const char *url)
{
	const char *at = strrchr(url, '@'), *slashes = strstr(url, "://");
	char *name = NULL;

	if (at == NULL || slashes == NULL || at < slashes)
		return strdup(url);
	return asprintf(&name, "%.*s://***%s", (int)(slashes - url), url, at) < 0 ? NULL : name;
}

static int open_backend(struct store *s, const char *url, char *why, size_t size)
{
	if (strncmp(url, "lmdb:", 5) == 0)
		return store_lmdb_open(s, url + 5, &s->backend, why, size);
	if (strncmp(url, "redis://", 8) == 0)
		return store_redis_open(s, url + 8, &s->backend, why, size);
	snprintf(why, size, "store.url: \"%s\" is neither lmdb:PATH nor redis://host:port/db", url);
	return -EINVAL;
}

static void destroy(struct store *s)
{
	struct store_op *op;
	struct store_watcher *w;

	loop_cancel(s->loop, &s->timer);
	loop_defer_cancel(s->loop, &s->later);
	while ((op = TAILQ_FIRST(&s->refused)) != NULL) {
		TAILQ_REMOVE(&s->refused, op, link);
		finish(s, op, op->rc, STR_NONE);
	}
	while ((w = TAILQ_FIRST(&s->watchers)) != NULL) {
		TAILQ_REMOVE(&s->watchers, w, link);
		free(w);
	}
	for (size_t cursor = 0; s->waiting && (op = map_next(s->waiting, &cursor, NULL)) != NULL;)
		op_free(op);
	map_free(s->waiting);
	free(s->name);
	free(s);
}

struct store *store_open(struct loop *loop, const char *url, char *why, size_t size)
{
	struct store *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	snprintf(why, size, "out of memory");
	if (s == NULL)
		return NULL;
	s->loop = loop;
	s->timer.on_due = on_timeout;
	s->later.fn = on_later;
	TAILQ_INIT(&s->pending);
	TAILQ_INIT(&s->refused);
	TAILQ_INIT(&s->early);
	TAILQ_INIT(&s->watchers);
	s->start_limit.on_due = on_start_limit;
	s->name = masked(url);
	s->waiting = map_new();
	if (s->name && s->waiting)
		rc = open_backend(s, url, why, size);
	if (rc < 0) {
		destroy(s);
		return err_null(-rc);
	}
	if (s->backend.is_shared) {
		s->is_starting = true;
		loop_arm_in(loop, &s->start_limit, STORE_OP_NS);
	} else {
		s->state = STORE_UP; // never away
	}
	return s;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	s->is_closing = true;
	end_start(s);
	s->backend.close(s->backend.self);
	MUST(TAILQ_EMPTY(&s->pending));
	destroy(s);
}
