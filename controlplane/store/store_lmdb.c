// LMDB: everything that has been submitted goes to a pool thread as one transaction, so many writes share
// one fsync and the loop never waits for a disk. Values carry 8 bytes in front: when they expire, unix
// seconds in network order, 0 for never.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "controlplane/store/store_backend.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#define MAP_SIZE ((size_t)1 << 30) // address space; the file grows as needed
enum { STAMP = 8 };

struct lmdb {
	struct store *store; // borrowed
	MDB_env *env;
	MDB_dbi dbi;
	struct store_ops todo, running;
	struct work work;
	bool is_busy;
	struct deferred later;
	int lock_fd; // owned: the directory, locked while it is ours; -1
};

static int rc_of(int mdb_rc)
{
	switch (mdb_rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_KEYEXIST:
		return -EEXIST;
	default:
		return -EIO;
	}
}

// --- on a pool thread ---------------------------------------------------------------------------------
static bool is_expired(const MDB_val *v, int64_t now)
{
	uint64_t when;

	if (v->mv_size < STAMP)
		return true; // not ours
	when = be64_get(v->mv_data);
	return when != 0 && (int64_t)when <= now;
}

static bool result_append(struct store_op *op, const void *p, size_t len)
{
	if (op->result_len + len > op->result_cap) {
		size_t cap = (op->result_len + len) * 2 + 256;
		uint8_t *grown = realloc(op->result, cap);

		if (grown == NULL)
			return false;
		op->result = grown;
		op->result_cap = cap;
	}
	if (len > 0)
		memcpy(op->result + op->result_len, p, len);
	op->result_len += len;
	return true;
}

static int do_get(MDB_txn *txn, MDB_dbi dbi, struct store_op *op, MDB_val *key, int64_t now)
{
	MDB_val v;
	int rc = mdb_get(txn, dbi, key, &v);

	if (rc != 0)
		return rc_of(rc);
	if (is_expired(&v, now))
		return -ENOENT;
	return result_append(op, (char *)v.mv_data + STAMP, v.mv_size - STAMP) ? 0 : -EIO;
}

static int do_write(MDB_txn *txn, MDB_dbi dbi, struct store_op *op, MDB_val *key, int64_t now)
{
	MDB_val old, v = {.mv_size = STAMP + op->value.len};
	int rc;

	if (op->kind == STORE_PUT && mdb_get(txn, dbi, key, &old) == 0 && !is_expired(&old, now))
		return -EEXIST;
	rc = mdb_put(txn, dbi, key, &v, MDB_RESERVE);
	if (rc != 0)
		return rc == MDB_MAP_FULL || rc == MDB_TXN_FULL ? -ENOSPC : rc_of(rc);
	be64_put(v.mv_data, op->ttl_s ? (uint64_t)now + op->ttl_s : 0);
	memcpy((char *)v.mv_data + STAMP, op->value.p, op->value.len);
	return 0;
}

static int do_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, int64_t now)
{
	MDB_val old;
	bool was_expired = mdb_get(txn, dbi, key, &old) == 0 && is_expired(&old, now);
	int rc = rc_of(mdb_del(txn, dbi, key, NULL));

	return rc == 0 && was_expired ? -ENOENT : rc;
}

static bool has_prefix(const MDB_val *key, struct str prefix)
{
	return key->mv_size >= prefix.len && memcmp(key->mv_data, prefix.p, prefix.len) == 0;
}

// Pairs are packed as key length, value length (4 bytes each), key, value.
static bool result_pack(struct store_op *op, const MDB_val *key, const MDB_val *v)
{
	uint8_t lengths[8];

	be32_put(lengths, (uint32_t)key->mv_size);
	be32_put(lengths + 4, (uint32_t)(v->mv_size - STAMP));
	return result_append(op, lengths, 8) && result_append(op, key->mv_data, key->mv_size) &&
	       result_append(op, (char *)v->mv_data + STAMP, v->mv_size - STAMP);
}

// Expired pairs met on the way are removed.
static int do_scan(MDB_txn *txn, MDB_dbi dbi, struct store_op *op, MDB_val *key, int64_t now)
{
	MDB_cursor *cursor;
	MDB_val v;
	int rc = mdb_cursor_open(txn, dbi, &cursor);

	if (rc != 0)
		return -EIO;
	rc = mdb_cursor_get(cursor, key, &v, MDB_SET_RANGE);
	while (rc == 0 && has_prefix(key, op->key)) {
		if (is_expired(&v, now))
			rc = mdb_cursor_del(cursor, 0);
		else if (!result_pack(op, key, &v))
			rc = ENOMEM;
		if (rc == 0)
			rc = mdb_cursor_get(cursor, key, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == 0 || rc == MDB_NOTFOUND ? 0 : -EIO;
}

static int do_op(struct lmdb *l, MDB_txn *txn, struct store_op *op, int64_t now)
{
	MDB_val key = {.mv_size = op->key.len, .mv_data = (void *)op->key.p};

	switch (op->kind) {
	case STORE_GET:
		return do_get(txn, l->dbi, op, &key, now);
	case STORE_PUT:
	case STORE_SET:
		return do_write(txn, l->dbi, op, &key, now);
	case STORE_DEL:
		return do_del(txn, l->dbi, &key, now);
	case STORE_SCAN:
		return do_scan(txn, l->dbi, op, &key, now);
	}
	return -EIO;
}

static void batch_fail(struct lmdb *l, int mdb_rc)
{
	struct store_op *op;

	log_error("store: lmdb: %s", mdb_strerror(mdb_rc));
	TAILQ_FOREACH (op, &l->running, link)
		op->rc = -EIO;
}

static void batch_run(struct work *w)
{
	struct lmdb *l = container_of(w, struct lmdb, work);
	int64_t now = clock_wall() / NS_PER_S;
	struct store_op *op;
	MDB_txn *txn;
	int rc = mdb_txn_begin(l->env, NULL, 0, &txn);

	if (rc != 0) {
		batch_fail(l, rc);
		return;
	}
	TAILQ_FOREACH (op, &l->running, link) {
		op->rc = do_op(l, txn, op, now);
		if (op->rc == -ENOSPC) {
			log_error("store: lmdb: the map of %zu MiB is full", MAP_SIZE >> 20);
			op->rc = -EIO;
		}
	}
	rc = mdb_txn_commit(txn);
	if (rc != 0)
		batch_fail(l, rc);
}

// --- on the loop --------------------------------------------------------------------------------------
static void result_emit_pairs(struct store_op *op)
{
	struct rbuf r = rbuf_of(op->result, op->result_len);

	while (rbuf_left(&r) > 0 && op->each != NULL) {
		uint32_t key_len = rbuf_u32(&r), value_len = rbuf_u32(&r);
		const char *key = (const char *)rbuf_take(&r, key_len),
			   *value = (const char *)rbuf_take(&r, value_len);

		if (r.bad)
			break;
		op->each(op->arg, (struct str){key, key_len}, (struct str){value, value_len});
	}
}

static void batch_start(struct lmdb *l);

static void on_batch_done(struct work *w)
{
	struct lmdb *l = container_of(w, struct lmdb, work);
	struct store_op *op;

	assert(l->is_busy);
	while ((op = TAILQ_FIRST(&l->running)) != NULL) {
		TAILQ_REMOVE(&l->running, op, link);
		if (op->kind == STORE_SCAN && op->rc == 0)
			result_emit_pairs(op);
		store_op_done(l->store, op, op->rc, (struct str){(char *)op->result, op->result_len});
	}
	l->is_busy = false;
	batch_start(l);
}

static void batch_start(struct lmdb *l)
{
	struct store_op *op;

	if (l->is_busy || TAILQ_EMPTY(&l->todo))
		return;
	assert(TAILQ_EMPTY(&l->running));
	TAILQ_CONCAT(&l->running, &l->todo, link);
	l->is_busy = true;
	if (loop_work(store_loop(l->store), &l->work) == 0)
		return;
	l->is_busy = false;
	while ((op = TAILQ_FIRST(&l->running)) != NULL) {
		TAILQ_REMOVE(&l->running, op, link);
		store_op_done(l->store, op, -EIO, STR_NONE);
	}
}

static void on_later(struct deferred *d)
{
	batch_start(container_of(d, struct lmdb, later));
}

static void lmdb_submit(void *self, struct store_op *op)
{
	struct lmdb *l = self;

	TAILQ_INSERT_TAIL(&l->todo, op, link);
	loop_defer(store_loop(l->store), &l->later); // what this turn submits goes together
}

static void lmdb_close(void *self)
{
	struct lmdb *l = self;

	batch_start(l); // what was accepted is written before the end
	while (l->is_busy || !TAILQ_EMPTY(&l->running))
		loop_turn(store_loop(l->store), 20 * NS_PER_MS);
	loop_defer_cancel(store_loop(l->store), &l->later);
	mdb_env_close(l->env);
	close(l->lock_fd);
	free(l);
}

// One sluice-cp a directory: LMDB would let two write, and each would take the other's sessions for its own.
static int lmdb_lock(struct lmdb *l, const char *path)
{
	l->lock_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->lock_fd < 0)
		return errno;
	return flock(l->lock_fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
}

static int lmdb_open_env(struct lmdb *l, const char *path)
{
	MDB_txn *txn;
	int rc = mdb_env_create(&l->env);

	if (rc == 0)
		rc = mdb_env_set_mapsize(l->env, MAP_SIZE);
	if (rc == 0)
		rc = mdb_env_open(l->env, path, MDB_NOTLS, 0600);
	if (rc == 0)
		rc = mdb_txn_begin(l->env, NULL, 0, &txn);
	if (rc != 0)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &l->dbi);
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

int store_lmdb_open(struct store *s, const char *path, struct store_backend *b, char *why, size_t size)
{
	struct lmdb *l = calloc(1, sizeof(*l));
	int rc;

	if (l == NULL)
		return -ENOMEM;
	l->store = s;
	l->lock_fd = -1;
	l->work = (struct work){batch_run, on_batch_done, NULL};
	l->later.fn = on_later;
	TAILQ_INIT(&l->todo);
	TAILQ_INIT(&l->running);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		rc = errno;
	else
		rc = lmdb_lock(l, path);
	if (rc == 0)
		rc = lmdb_open_env(l, path);
	if (rc != 0) {
		snprintf(why, size, "store.url: %s: %s%s", path, mdb_strerror(rc),
			 rc == ENOENT        ? " (its parent directory must exist)"
			 : rc == EWOULDBLOCK ? " (another sluice-cp uses it)"
					     : "");
		if (l->env)
			mdb_env_close(l->env);
		if (l->lock_fd >= 0)
			close(l->lock_fd);
		free(l);
		return rc > 0 ? -rc : -EIO;
	}
	*b = (struct store_backend){.submit = lmdb_submit, .close = lmdb_close, .self = l};
	return 0;
}
