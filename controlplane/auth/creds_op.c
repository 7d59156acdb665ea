// One operation on the store that somebody waits for; single records as they are written and removed.
#include "controlplane/auth/creds_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct str creds_key(char *buf, size_t size, const char *prefix, const char *name)
{
	int n = snprintf(buf, size, "%s%s", prefix, name);

	return (struct str){buf, n < 0 || (size_t)n >= size ? 0 : (size_t)n};
}

void token_write(struct creds *c, const struct cred_token *t)
{
	char key[512], value[CREDVAL_MAX];
	int64_t left = t->expires - time(NULL);
	size_t len = credval_write_token(value, str_of(t->client), t->expires);

	if (left <= 0 || len == 0)
		return;
	store_set(c->store, creds_key(key, sizeof(key), TOKEN_PREFIX, t->hash), (struct str){value, len},
		  (uint32_t)left, NULL, NULL);
	len = credval_write_bearer(value, t->hash);
	store_set(c->store, creds_key(key, sizeof(key), BEARER_PREFIX, t->client), (struct str){value, len},
		  (uint32_t)left, NULL, NULL);
}

void token_delete(struct creds *c, const char *client, const char *hash)
{
	char key[512];

	store_del(c->store, creds_key(key, sizeof(key), TOKEN_PREFIX, hash), NULL, NULL);
	store_del(c->store, creds_key(key, sizeof(key), BEARER_PREFIX, client), NULL, NULL);
}

void cred_mark_gone(struct creds *c, const char *client)
{
	char key[512], value[64];
	int len = snprintf(value, sizeof(value), "{\"when\":%lld}", (long long)time(NULL));

	store_set(c->store, creds_key(key, sizeof(key), GONE_PREFIX, client),
		  (struct str){value, (size_t)len}, CREDS_GONE_S, NULL, NULL);
}

void cred_unmark_gone(struct creds *c, const char *client)
{
	char key[512];

	store_del(c->store, creds_key(key, sizeof(key), GONE_PREFIX, client), NULL, NULL);
}

void cred_lose(struct creds *c, struct str client)
{
	char name[256]; // client may be the map's own key, which goes with the entry

	if (!str_copy(client, name, sizeof(name)))
		return;
	cred_forget(c, str_of(name));
	c->gone(c->gone_arg, str_of(name));
}

void creds_op_link(struct creds_op *op, struct creds_op **list)
{
	op->next = *list;
	op->pprev = list;
	if (*list)
		(*list)->pprev = &op->next;
	*list = op;
}

struct creds_op *creds_op_new(struct creds *c, const char *client, creds_done_fn done, void *arg)
{
	struct creds_op *op = calloc(1, sizeof(*op));

	if (op == NULL)
		return NULL;
	op->client = strdup(client);
	if (op->client == NULL) {
		free(op);
		return NULL;
	}
	op->creds = c;
	op->done = done;
	op->arg = arg;
	creds_op_link(op, &c->ops);
	return op;
}

void creds_op_unlink(struct creds_op *op)
{
	assert(*op->pprev == op);
	*op->pprev = op->next;
	if (op->next)
		op->next->pprev = op->pprev;
}

void creds_op_free(struct creds_op *op)
{
	creds_op_unlink(op);
	free(op->client);
	free(op);
}

void creds_op_done(struct creds_op *op, int rc)
{
	creds_done_fn done = op->done;
	void *arg = op->arg;

	creds_op_free(op);
	done(arg, rc);
}
