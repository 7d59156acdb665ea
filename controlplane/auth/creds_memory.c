// Credentials and tokens in memory: by client, by hash, and the token of each client.
#include "controlplane/auth/creds_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct cred *creds_find(struct creds *c, const char *client)
{
	return map_find(c->clients, str_of(client));
}

size_t creds_count(const struct creds *c)
{
	return map_count(c->clients);
}

// Add or refresh. NULL when out of memory.
struct cred *cred_remember(struct creds *c, struct str client, struct str hash, int64_t created)
{
	struct cred *cred = map_find(c->clients, client);

	if (hash.len == 0 || hash.len >= sizeof(cred->hash))
		return NULL;
	if (cred == NULL) {
		cred = calloc(1, sizeof(*cred));
		if (cred == NULL || map_put(c->clients, client, cred) < 0) {
			free(cred);
			return NULL;
		}
	}
	if (!str_eq(str_of(cred->hash), hash)) {
		str_copy(hash, cred->hash, sizeof(cred->hash));
		cred->verified_until = 0;
	}
	cred->created = created;
	cred->generation = c->generation;
	return cred;
}

void token_forget(struct creds *c, struct cred_token *t)
{
	assert(map_find(c->tokens, str_of(t->hash)) == t);
	map_del(c->tokens, str_of(t->hash));
	if (map_find(c->bearers, str_of(t->client)) == t)
		map_del(c->bearers, str_of(t->client));
	free(t->client);
	free(t);
}

void cred_forget(struct creds *c, struct str client)
{
	struct cred *cred = map_del(c->clients, client);
	struct cred_token *t = map_find(c->bearers, client);

	if (t != NULL)
		token_forget(c, t);
	if (cred == NULL)
		return;
	explicit_bzero(cred, sizeof(*cred));
	free(cred);
}

int token_remember(struct creds *c, struct str client, const char *hash, int64_t expires)
{
	struct cred_token *old = map_find(c->bearers, client), *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->client = strndup(client.p, client.len);
	t->expires = expires;
	str_copy(str_of(hash), t->hash, sizeof(t->hash));
	if (old != NULL)
		token_forget(c, old);
	if (t->client == NULL || map_put(c->tokens, str_of(t->hash), t) < 0) {
		free(t->client);
		free(t);
		return -ENOMEM;
	}
	if (map_put(c->bearers, client, t) < 0) {
		token_forget(c, t);
		return -ENOMEM;
	}
	return 0;
}
