// Looking up, registering and removing.
#include "controlplane/auth/creds_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/err.h"
#include "lib/base/log.h"

static void on_got(void *arg, int rc, struct str value)
{
	struct creds_op *op = arg;
	struct credval v;

	if (rc == 0 && credval_read(value, &v)) {
		cred_remember(op->creds, str_of(op->client), str_of(v.hash), v.created);
	} else if (rc == 0) {
		log_warn("store: credential of %s is not readable", op->client);
		rc = -EIO;
	}
	creds_op_done(op, rc);
}

void creds_look_up(struct creds *c, const char *client, creds_done_fn done, void *arg)
{
	struct creds_op *op;
	char key[512];

	if (creds_find(c, client) != NULL) {
		done(arg, 0);
		return;
	}
	if (c->is_loaded && !store_is_shared(c->store)) {
		done(arg, -ENOENT);
		return;
	}
	op = creds_op_new(c, client, done, arg);
	if (op == NULL)
		done(arg, -ENOBUFS);
	else
		store_get(c->store, creds_key(key, sizeof(key), CRED_PREFIX, client), on_got, op);
}

static void on_put(void *arg, int rc, struct str)
{
	struct creds_op *op = arg;

	if (rc == -ETIMEDOUT || rc == -ENOTCONN)
		creds_doubt(op->creds, op);
	if (rc == 0 && store_is_shared(op->creds->store)) // known again
		cred_unmark_gone(op->creds, op->client);
	if (rc == 0 && cred_remember(op->creds, str_of(op->client), str_of(op->hash), time(NULL)) == NULL)
		rc = -ENOBUFS;
	creds_op_done(op, rc);
}

void creds_put(struct creds *c, const char *client, const char *hash, creds_done_fn done, void *arg)
{
	char key[512], value[CREDVAL_MAX];
	size_t len = credval_write(value, hash, time(NULL), c->node);
	struct creds_op *op = len > 0 ? creds_op_new(c, client, done, arg) : NULL;

	if (op == NULL) {
		done(arg, -ENOBUFS);
		return;
	}
	str_copy(str_of(hash), op->hash, sizeof(op->hash));
	store_put(c->store, creds_key(key, sizeof(key), CRED_PREFIX, client), (struct str){value, len}, 0,
		  on_put, op);
}

// The removed client may have a token that only another node has seen.
static void on_lost_bearer(void *arg, int rc, struct str value)
{
	struct creds_op *op = arg;
	char key[512], old[CREDS_TOKEN_HASH_LEN + 1];

	if (rc == 0 && credval_read_bearer(value, old))
		store_del(op->creds->store, creds_key(key, sizeof(key), TOKEN_PREFIX, old), NULL, NULL);
	creds_op_free(op);
}

static void token_delete_foreign(struct creds *c, const char *client)
{
	struct creds_op *op = creds_op_new(c, client, NULL, NULL);
	char buf[512];
	struct str key = creds_key(buf, sizeof(buf), BEARER_PREFIX, client);

	if (op == NULL)
		return;
	store_get(c->store, key, on_lost_bearer, op);
	store_del(c->store, key, NULL, NULL); // at once: a next login's must stay
}

static void on_del(void *arg, int rc, struct str)
{
	struct creds_op *op = arg;
	struct creds *c = op->creds;
	const struct cred_token *t = map_find(c->bearers, str_of(op->client));

	if (rc == 0 || rc == -ENOENT) {
		if (t != NULL)
			token_delete(c, t->client, t->hash);
		else if (store_is_shared(c->store))
			token_delete_foreign(c, op->client);
		if (rc == 0 || creds_find(c, op->client))
			cred_lose(c, str_of(op->client));
	}
	creds_op_done(op, rc);
}

void creds_remove(struct creds *c, const char *client, creds_done_fn done, void *arg)
{
	struct creds_op *op = creds_op_new(c, client, done, arg);
	char key[512];

	if (op == NULL) {
		done(arg, -ENOBUFS);
		return;
	}
	if (store_is_shared(c->store))
		cred_mark_gone(c, client); // first: who misses the credential finds the reason
	store_del(c->store, creds_key(key, sizeof(key), CRED_PREFIX, client), on_del, op);
}

struct creds *creds_new(struct loop *loop, struct store *store, const char *node,
			void (*gone)(void *arg, struct str client), void *arg)
{
	struct creds *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	*c = (struct creds){.loop = loop, .store = store, .node = node, .gone = gone, .gone_arg = arg};
	c->clients = map_new();
	c->tokens = map_new();
	c->bearers = map_new();
	if (!c->clients || !c->tokens || !c->bearers || creds_sync_start(c) < 0) {
		creds_free(c);
		return err_null(ENOMEM);
	}
	return c;
}

void creds_free(struct creds *c)
{
	struct cred_token *t;
	struct cred *cred;

	if (c == NULL)
		return;
	creds_sync_stop(c);
	store_cancel(c->store, c);
	while (c->ops) {
		store_cancel(c->store, c->ops);
		creds_op_free(c->ops);
	}
	while (c->doubts)
		creds_op_free(c->doubts);
	for (size_t cursor = 0; c->tokens && (t = map_next(c->tokens, &cursor, NULL)) != NULL;) {
		free(t->client);
		free(t);
	}
	for (size_t cursor = 0; c->clients && (cred = map_next(c->clients, &cursor, NULL)) != NULL;) {
		explicit_bzero(cred, sizeof(*cred));
		free(cred);
	}
	map_free(c->clients);
	map_free(c->tokens);
	map_free(c->bearers);
	free(c);
}
