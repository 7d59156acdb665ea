// Bearer tokens, over all nodes: a client has one, and it ends with the next login or the client.
#include "controlplane/auth/creds_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>


// Another node may have given the client a token that we never saw: it ends with the new login too.
static void on_old_bearer(void *arg, int rc, struct str value)
{
	struct creds_op *op = arg;
	char key[512], old[CREDS_TOKEN_HASH_LEN + 1];
	struct cred_token *t = map_find(op->creds->bearers, str_of(op->client));

	if (rc == 0 && credval_read_bearer(value, old) && (t == NULL || strcmp(old, t->hash) != 0))
		store_del(op->creds->store, creds_key(key, sizeof(key), TOKEN_PREFIX, old), NULL, NULL);
	if (t != NULL)
		token_write(op->creds, t);
	creds_op_free(op);
}

int creds_put_token(struct creds *c, const char *client, const char *hash, int64_t expires)
{
	struct cred_token *old = map_find(c->bearers, str_of(client));
	struct creds_op *op = creds_op_new(c, client, NULL, NULL);
	char key[512];

	if (op == NULL)
		return -ENOMEM;
	if (old != NULL)
		store_del(c->store, creds_key(key, sizeof(key), TOKEN_PREFIX, old->hash), NULL, NULL);
	if (token_remember(c, str_of(client), hash, expires) < 0) {
		creds_op_free(op);
		return -ENOMEM;
	}
	store_get(c->store, creds_key(key, sizeof(key), BEARER_PREFIX, client), on_old_bearer, op);
	return 0;
}

static void answer_from_memory(struct creds *c, const char *hash,
			       void (*done)(void *arg, int rc, struct str client), void *arg)
{
	struct cred_token *t = map_find(c->tokens, str_of(hash));

	if (t == NULL) {
		done(arg, -ENOENT, STR_NONE);
	} else if (t->expires <= time(NULL)) {
		token_delete(c, t->client, t->hash);
		token_forget(c, t);
		done(arg, -ESTALE, STR_NONE);
	} else {
		done(arg, 0, str_of(t->client));
	}
}

static void token_answer(struct creds_op *op, int rc, struct str client)
{
	if (rc == 0 || rc == -ESTALE || rc == -ENOENT)
		op->token_done(op->arg, rc, client);
	else // away: what we know is better than nothing
		answer_from_memory(op->creds, op->client, op->token_done, op->arg);
	creds_op_free(op);
}

// A token is worth what its client is: that one may have been unregistered at another node.
static void on_token_owner(void *arg, int rc)
{
	struct creds_op *op = arg;

	token_answer(op, rc, rc == 0 ? str_of(op->owner) : STR_NONE);
}

static void on_got_token(void *arg, int rc, struct str value)
{
	struct creds_op *op = arg;
	struct credval_token t = {};

	if (rc == 0 &&
	    (!credval_read_token(value, &t) || !str_copy(str_of(t.client), op->owner, sizeof(op->owner))))
		rc = -ENOENT;
	if (rc == 0 && t.expires <= time(NULL))
		rc = -ESTALE;
	if (rc == 0)
		creds_look_up(op->creds, op->owner, on_token_owner, op);
	else
		token_answer(op, rc, STR_NONE);
}

void creds_find_token(struct creds *c, const char *hash, void (*done)(void *arg, int rc, struct str client),
		      void *arg)
{
	struct creds_op *op;
	char key[512];

	if (!store_is_shared(c->store) || !store_is_up(c->store)) {
		answer_from_memory(c, hash, done, arg);
		return;
	}
	op = creds_op_new(c, hash, NULL, arg);
	if (op == NULL) {
		done(arg, -ENOBUFS, STR_NONE);
		return;
	}
	op->token_done = done;
	store_get(c->store, creds_key(key, sizeof(key), TOKEN_PREFIX, hash), on_got_token, op);
}
