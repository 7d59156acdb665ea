// What is asked of the store. An operation is one block: struct, key and value. It is with the backend until
// that answers or its time is over; writes that nobody waits for are kept while the store is away.
#include "controlplane/store/store_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/log.h"

struct store_op *store_op_new(enum store_kind kind, struct str key, struct str value)
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

static void op_finish(struct store *s, struct store_op *op, int rc, struct str value)
{
	if (rc < 0 && rc != -ENOENT && rc != -EEXIST)
		s->stats.errors++;
	if (op->done != NULL)
		op->done(op->arg, rc, value);
	op_free(op);
}

static void op_refuse(struct store *s, struct store_op *op, int rc)
{
	op->rc = rc;
	TAILQ_INSERT_TAIL(&s->refused, op, link);
	loop_defer(s->loop, &s->refusing);
}

// A fire-and-forget write while the store is away: only the last one of a key counts.
static void op_keep(struct store *s, struct store_op *op)
{
	struct store_op *old = map_find(s->waiting, op->key);

	assert(op->must_last && op->done == NULL);
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

void store_op_hand_over(struct store *s, struct store_op *op)
{
	assert(op->key.len > 0 && op->key.len <= STORE_KEY_MAX && op->value.len <= STORE_VALUE_MAX);
	op->due = loop_now(s->loop) + (s->backend.is_shared ? STORE_OP_NS : STORE_DISK_NS);
	TAILQ_INSERT_TAIL(&s->pending, op, pending_link);
	s->stats.pending++;
	if (!timer_armed(&s->timer))
		loop_arm(s->loop, &s->timer, op->due);
	s->backend.submit(s->backend.self, op);
}

void store_op_submit(struct store *s, struct store_op *op)
{
	s->stats.ops++;
	if (op->key.len == 0 || op->key.len > STORE_KEY_MAX || op->value.len > STORE_VALUE_MAX)
		op_refuse(s, op, -E2BIG);
	else if (s->is_closing)
		op_refuse(s, op, -ENOTCONN);
	else if (s->is_starting)
		TAILQ_INSERT_TAIL(&s->early, op, link);
	else if (s->state == STORE_DOWN && op->must_last)
		op_keep(s, op);
	else if (s->state == STORE_DOWN)
		op_refuse(s, op, -ENOTCONN);
	else if (op->must_last &&
		 (s->stats.pending >= STORE_MAX_OPS || map_find(s->waiting, op->key) != NULL))
		op_keep(s, op); // also behind an older one that waits: it must not come last
	else if (s->stats.pending >= STORE_MAX_OPS)
		op_refuse(s, op, -ENOBUFS);
	else
		store_op_hand_over(s, op);
}

void store_ops_flush(struct store *s)
{
	struct store_op *op;

	for (size_t cursor = 0; s->stats.pending < STORE_MAX_OPS / 2;) {
		op = map_next(s->waiting, &cursor, NULL);
		if (op == NULL)
			break;
		map_del(s->waiting, op->key);
		store_op_hand_over(s, op);
	}
}

void store_op_done(struct store *s, struct store_op *op, int rc, struct str value)
{
	assert(s->stats.pending > 0);
	TAILQ_REMOVE(&s->pending, op, pending_link);
	s->stats.pending--;
	if (rc == -ENOTCONN && op->must_last && !s->is_closing) {
		op->is_abandoned = false;
		op_keep(s, op);
		return;
	}
	op_finish(s, op, rc, value);
	if (s->state != STORE_DOWN && map_count(s->waiting) > 0)
		store_ops_flush(s);
}

static void on_op_timeout(struct timer *t, ns_t now)
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

static void op_make(struct store *s, struct store_op *op, uint32_t ttl_s, store_done_fn done, void *arg)
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
	store_op_submit(s, op);
}

void store_get(struct store *s, struct str key, store_done_fn done, void *arg)
{
	op_make(s, store_op_new(STORE_GET, key, STR_NONE), 0, done, arg);
}

void store_put(struct store *s, struct str key, struct str value, uint32_t ttl_s, store_done_fn done,
	       void *arg)
{
	op_make(s, store_op_new(STORE_PUT, key, value), ttl_s, done, arg);
}

void store_set(struct store *s, struct str key, struct str value, uint32_t ttl_s, store_done_fn done,
	       void *arg)
{
	op_make(s, store_op_new(STORE_SET, key, value), ttl_s, done, arg);
}

void store_del(struct store *s, struct str key, store_done_fn done, void *arg)
{
	op_make(s, store_op_new(STORE_DEL, key, STR_NONE), 0, done, arg);
}

void store_scan(struct store *s, struct str prefix, store_each_fn each, store_done_fn done, void *arg)
{
	struct store_op *op = store_op_new(STORE_SCAN, prefix, STR_NONE);

	if (op != NULL)
		op->each = each;
	op_make(s, op, 0, done, arg);
}

static void op_cancel(struct store_op *op, const void *arg)
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
		op_cancel(op, arg);
	TAILQ_FOREACH (op, &s->refused, link)
		op_cancel(op, arg);
	TAILQ_FOREACH (op, &s->early, link)
		op_cancel(op, arg);
}

static void ops_answer_refused(struct store *s)
{
	struct store_op *op;

	while ((op = TAILQ_FIRST(&s->refused)) != NULL) {
		TAILQ_REMOVE(&s->refused, op, link);
		op_finish(s, op, op->rc, STR_NONE);
	}
}

static void on_refusing(struct deferred *d)
{
	ops_answer_refused(container_of(d, struct store, refusing));
}

bool store_ops_init(struct store *s)
{
	s->timer.on_due = on_op_timeout;
	s->refusing.fn = on_refusing;
	TAILQ_INIT(&s->pending);
	TAILQ_INIT(&s->refused);
	s->waiting = map_new();
	return s->waiting != NULL;
}

void store_ops_fini(struct store *s)
{
	struct store_op *op;

	// cannot: the owner ends the store after its last answer, at the end of the process
	MUST(TAILQ_EMPTY(&s->pending));
	loop_cancel(s->loop, &s->timer);
	loop_defer_cancel(s->loop, &s->refusing);
	ops_answer_refused(s);
	for (size_t cursor = 0; s->waiting && (op = map_next(s->waiting, &cursor, NULL)) != NULL;)
		op_free(op);
	map_free(s->waiting);
}
