// Memory and the store are made equal again: read at the start, every CREDS_RESYNC_NS when others write it too, and
// when the store comes back.
#include "controlplane/auth/creds_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/err.h"
#include "lib/base/log.h"

enum { MAX_DOUBTS = 1000 };

static void on_cred(void *arg, struct str key, struct str value)
{
	struct creds *c = arg;
	struct str client = str_skip(key, sizeof(CRED_PREFIX) - 1);
	struct credval v;

	if (client.len == 0 || client.len > CREDVAL_MAX_CLIENT)
		return;
	if (credval_read(value, &v))
		cred_remember(c, client, str_of(v.hash), v.created);
	else
		log_warn("store: %.*s: not a credential, ignored", STR_ARG(key));
}

static void on_token_found(void *arg, struct str key, struct str value)
{
	struct creds *c = arg;
	struct str hash = str_skip(key, sizeof(TOKEN_PREFIX) - 1);
	struct credval_token t;
	char text[CREDS_TOKEN_HASH_LEN + 1];

	if (credval_is_token_hash(hash) && str_copy(hash, text, sizeof(text)) &&
	    credval_read_token(value, &t) && t.expires > time(NULL) &&
	    map_find(c->clients, str_of(t.client)) && !map_find(c->tokens, hash))
		(void)!token_remember(c, str_of(t.client), text, t.expires);
}

static void sync_end(struct creds *c);

static void on_tokens_scanned(void *arg, int rc, struct str)
{
	struct creds *c = arg;

	c->is_loaded |= rc == 0;
	sync_end(c);
}

// An end of another node's making: the credential is away and its client named.
static void on_gone(void *arg, struct str key, struct str)
{
	struct creds *c = arg;
	struct str client = str_skip(key, sizeof(GONE_PREFIX) - 1);
	const struct cred *cred = map_find(c->clients, client);

	if (cred == NULL || cred->generation == c->generation)
		return;
	log_notice("client %.*s was unregistered elsewhere", STR_ARG(client));
	cred_lose(c, client);
}

static void cred_write(struct creds *c, struct str client, const struct cred *cred)
{
	char key[512], name[256], value[CREDVAL_MAX];
	size_t len = credval_write(value, cred->hash, cred->created, c->node);

	if (len > 0 && str_copy(client, name, sizeof(name)))
		store_put(c->store, creds_key(key, sizeof(key), CRED_PREFIX, name), (struct str){value, len},
			  0, NULL, NULL);
}

// What the store does not show and nobody has removed, it has lost.
static void sync_restore(struct creds *c)
{
	const struct cred *cred;
	const struct cred_token *t;
	struct str client;
	unsigned n = 0;

	for (size_t cursor = 0; (cred = map_next(c->clients, &cursor, &client)) != NULL;)
		if (cred->generation != c->generation) {
			cred_write(c, client, cred);
			n++;
		}
	for (size_t cursor = 0; c->must_write && (t = map_next(c->tokens, &cursor, NULL)) != NULL;)
		token_write(c, t);
	c->must_write = false;
	if (n > 0)
		log_notice("store: lost %u of %zu credentials; they are written again", n, creds_count(c));
}

static void on_gone_scanned(void *arg, int rc, struct str)
{
	struct creds *c = arg;

	if (rc < 0) {
		sync_end(c);
		return;
	}
	sync_restore(c);
	store_scan(c->store, STR(TOKEN_PREFIX), on_token_found, on_tokens_scanned, c);
}

// A removal is named before the credential goes, so whoever does not see this sees that.
static void on_scanned(void *arg, int rc, struct str)
{
	struct creds *c = arg;

	if (rc < 0)
		sync_end(c);
	else if (store_is_shared(c->store))
		store_scan(c->store, STR(GONE_PREFIX), on_gone, on_gone_scanned, c);
	else
		store_scan(c->store, STR(TOKEN_PREFIX), on_token_found, on_tokens_scanned, c);
}

static void sync_scan(struct creds *c)
{
	c->must_scan = c->is_scanning;
	if (c->is_scanning)
		return;
	c->is_scanning = true;
	c->generation++;
	store_scan(c->store, STR(CRED_PREFIX), on_cred, on_scanned, c);
}

static void sync_end(struct creds *c)
{
	c->is_scanning = false;
	if (c->must_scan && store_is_up(c->store))
		sync_scan(c);
}

// The client was told that it failed. If our hash is there nevertheless, nobody has its key: it must go, or
// the id could never be registered.
static void on_doubt(void *arg, int rc, struct str value)
{
	struct creds_op *op = arg;
	char key[512];
	struct credval v;

	if (rc == 0 && credval_read(value, &v) && strcmp(v.hash, op->hash) == 0)
		store_del(op->creds->store, creds_key(key, sizeof(key), CRED_PREFIX, op->client), NULL, NULL);
	creds_op_free(op);
}

static void doubts_settle(struct creds *c)
{
	struct creds_op *op;
	char key[512];

	while ((op = c->doubts) != NULL) {
		creds_op_unlink(op);
		creds_op_link(op, &c->ops);
		c->n_doubts--;
		store_get(c->store, creds_key(key, sizeof(key), CRED_PREFIX, op->client), on_doubt, op);
	}
}

void creds_doubt(struct creds *c, const struct creds_op *op)
{
	struct creds_op *copy = c->n_doubts < MAX_DOUBTS ? creds_op_new(c, op->client, NULL, NULL) : NULL;

	if (copy == NULL)
		return;
	memcpy(copy->hash, op->hash, sizeof(copy->hash));
	creds_op_unlink(copy);
	creds_op_link(copy, &c->doubts);
	c->n_doubts++;
}

static void on_store(void *arg, enum store_state state)
{
	struct creds *c = arg;

	if (state == STORE_DOWN)
		return;
	c->must_write |= state == STORE_EMPTY;
	doubts_settle(c);
	sync_scan(c); // writes what is missing
}

static void on_resync(struct timer *t, ns_t)
{
	struct creds *c = container_of(t, struct creds, resync);

	if (store_is_up(c->store))
		sync_scan(c);
	loop_arm_in(c->loop, t, CREDS_RESYNC_NS);
}

int creds_sync_start(struct creds *c)
{
	c->resync.on_due = on_resync;
	c->watcher = store_watch(c->store, on_store, c);
	if (c->watcher == NULL)
		return -ENOMEM;
	if (store_is_shared(c->store))
		loop_arm_in(c->loop, &c->resync, CREDS_RESYNC_NS);
	return 0;
}

void creds_sync_stop(struct creds *c)
{
	store_unwatch(c->store, c->watcher);
	loop_cancel(c->loop, &c->resync);
}
