// Store keys: sluice:cred:<client>, sluice:token:<hash>, sluice:bearer:<client> (docs/store.md).
#include "controlplane/auth/creds.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "controlplane/auth/credval.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"

#define CRED_PREFIX "sluice:cred:"
#define TOKEN_PREFIX "sluice:token:"
#define BEARER_PREFIX "sluice:bearer:"

enum { MAX_DOUBTS = 1000 };

struct token {
	char *client; // owned
	int64_t expires;
	char hash[CREDS_TOKEN_HASH_LEN + 1];
};

struct call { // one operation on the store that somebody waits for
	struct creds *creds;
	char *client; // owned
	char hash[64];
	char owner[CREDVAL_MAX_CLIENT + 1]; // of the token asked for
	creds_done_fn done;
	void (*token_done)(void *arg, int rc, struct str client);
	void *arg;
	struct call *next, **pprev;
};

struct creds {
	struct loop *loop;   // borrowed
	struct store *store; // borrowed
	struct store_watcher *watcher;
	const char *node; // borrowed
	void (*gone)(void *arg, struct str client);
	void *gone_arg;
	struct map *clients; // id -> struct cred, owned
	struct map *tokens;  // hash -> struct token, owned
	struct map *bearers; // id -> struct token, borrowed
	uint32_t generation;
	bool is_loaded, is_scanning;
	struct timer resync;
	struct call *calls;  // owned
	struct call *doubts; // owned: registrations whose outcome was not heard
	unsigned n_doubts;
};

static struct str make_key(char *buf, size_t size, const char *prefix, const char *name)
{
	int n = snprintf(buf, size, "%s%s", prefix, name);

	return (struct str){buf, n < 0 || (size_t)n >= size ? 0 : (size_t)n};
}

// --- memory ------------------------------------------------------------------------------------------
struct cred *creds_find(struct creds *c, const char *client)
{
	return map_find(c->clients, str_of(client));
}

size_t creds_count(const struct creds *c)
{
	return map_count(c->clients);
}

// Add or refresh. NULL when out of memory.
static struct cred *remember(struct creds *c, struct str client, struct str hash, int64_t created)
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

static void forget_token(struct creds *c, struct token *t)
{
	map_del(c->tokens, str_of(t->hash));
	if (map_find(c->bearers, str_of(t->client)) == t)
		map_del(c->bearers, str_of(t->client));
	free(t->client);
	free(t);
}

static void forget(struct creds *c, struct str client)
{
	struct cred *cred = map_del(c->clients, client);
	struct token *t = map_find(c->bearers, client);

	if (t != NULL)
		forget_token(c, t);
	if (cred == NULL)
		return;
	explicit_bzero(cred, sizeof(*cred));
	free(cred);
}

static int remember_token(struct creds *c, struct str client, const char *hash, int64_t expires)
{
	struct token *old = map_find(c->bearers, client), *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->client = strndup(client.p, client.len);
	t->expires = expires;
	str_copy(str_of(hash), t->hash, sizeof(t->hash));
	if (old != NULL)
		forget_token(c, old);
	if (t->client == NULL || map_put(c->tokens, str_of(t->hash), t) < 0) {
		free(t->client);
		free(t);
		return -ENOMEM;
	}
	if (map_put(c->bearers, client, t) < 0) {
		forget_token(c, t);
		return -ENOMEM;
	}
	return 0;
}

// --- the store ---------------------------------------------------------------------------------------
static void write_token(struct creds *c, const struct token *t)
{
	char key[512], value[CREDVAL_MAX];
	int64_t left = t->expires - time(NULL);
	size_t len = credval_write_token(value, str_of(t->client), t->expires);

	if (left <= 0 || len == 0)
		return;
	store_set(c->store, make_key(key, sizeof(key), TOKEN_PREFIX, t->hash), (struct str){value, len},
		  (uint32_t)left, NULL, NULL);
	len = credval_write_bearer(value, t->hash);
	store_set(c->store, make_key(key, sizeof(key), BEARER_PREFIX, t->client), (struct str){value, len},
		  (uint32_t)left, NULL, NULL);
}

static void delete_token(struct creds *c, const char *client, const char *hash)
{
	char key[512];

	store_del(c->store, make_key(key, sizeof(key), TOKEN_PREFIX, hash), NULL, NULL);
	store_del(c->store, make_key(key, sizeof(key), BEARER_PREFIX, client), NULL, NULL);
}

// A client vanished: here (unregister) or elsewhere (resync).
static void lose(struct creds *c, struct str client)
{
	char name[256]; // client may be the map's own key, which goes with the entry

	if (!str_copy(client, name, sizeof(name)))
		return;
	forget(c, str_of(name));
	c->gone(c->gone_arg, str_of(name));
}

static void on_cred(void *arg, struct str key, struct str value)
{
	struct creds *c = arg;
	struct str client = str_skip(key, sizeof(CRED_PREFIX) - 1);
	struct credval v;

	if (client.len == 0 || client.len > CREDVAL_MAX_CLIENT)
		return;
	if (credval_read(value, &v))
		remember(c, client, str_of(v.hash), v.created);
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
		(void)!remember_token(c, str_of(t.client), text, t.expires);
}

static void on_tokens_scanned(void *arg, int rc, struct str)
{
	struct creds *c = arg;

	c->is_scanning = false;
	c->is_loaded |= rc == 0;
}

// What the store does not show any more is gone, when others may have removed it.
static void drop_missing(struct creds *c)
{
	struct cred *cred;
	struct str client;
	size_t cursor = 0;

	while ((cred = map_next(c->clients, &cursor, &client)) != NULL)
		if (cred->generation != c->generation) {
			log_notice("client %.*s was unregistered elsewhere", STR_ARG(client));
			lose(c, client);
			cursor = 0;
		}
}

static void on_scanned(void *arg, int rc, struct str)
{
	struct creds *c = arg;

	if (rc < 0) {
		c->is_scanning = false;
		return;
	}
	if (store_is_shared(c->store))
		drop_missing(c);
	store_scan(c->store, STR(TOKEN_PREFIX), on_token_found, on_tokens_scanned, c);
}

static void scan(struct creds *c)
{
	if (c->is_scanning)
		return;
	c->is_scanning = true;
	c->generation++;
	store_scan(c->store, STR(CRED_PREFIX), on_cred, on_scanned, c);
}

static void write_all(struct creds *c)
{
	struct cred *cred;
	struct token *t;
	struct str client;
	char key[512], name[256];

	for (size_t cursor = 0; (cred = map_next(c->clients, &cursor, &client)) != NULL;) {
		char value[CREDVAL_MAX];
		size_t len = credval_write(value, cred->hash, cred->created, c->node);

		if (len > 0 && str_copy(client, name, sizeof(name)))
			store_put(c->store, make_key(key, sizeof(key), CRED_PREFIX, name),
				  (struct str){value, len}, 0, NULL, NULL);
	}
	for (size_t cursor = 0; (t = map_next(c->tokens, &cursor, NULL)) != NULL;)
		write_token(c, t);
}

static void settle_doubts(struct creds *c);

static void on_store(void *arg, enum store_state state)
{
	struct creds *c = arg;

	if (state == STORE_DOWN)
		return;
	if (state == STORE_EMPTY && creds_count(c) > 0) {
		log_notice("store: lost what it held; %zu credentials are written again", creds_count(c));
		write_all(c);
	}
	settle_doubts(c);
	scan(c); // after the writes: the store keeps order
}

static void on_resync(struct timer *t, ns_t)
{
	struct creds *c = container_of(t, struct creds, resync);

	if (store_is_up(c->store))
		scan(c);
	loop_arm_in(c->loop, t, CREDS_RESYNC_NS);
}

// --- calls -------------------------------------------------------------------------------------------
static void call_link(struct call *call, struct call **list)
{
	call->next = *list;
	call->pprev = list;
	if (*list)
		(*list)->pprev = &call->next;
	*list = call;
}

static struct call *call_new(struct creds *c, const char *client, creds_done_fn done, void *arg)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return NULL;
	call->client = strdup(client);
	if (call->client == NULL) {
		free(call);
		return NULL;
	}
	call->creds = c;
	call->done = done;
	call->arg = arg;
	call_link(call, &c->calls);
	return call;
}

static void call_unlink(struct call *call)
{
	*call->pprev = call->next;
	if (call->next)
		call->next->pprev = call->pprev;
}

static void call_free(struct call *call)
{
	call_unlink(call);
	free(call->client);
	free(call);
}

static void call_done(struct call *call, int rc)
{
	creds_done_fn done = call->done;
	void *arg = call->arg;

	call_free(call);
	done(arg, rc);
}

static void on_got(void *arg, int rc, struct str value)
{
	struct call *call = arg;
	struct credval v;

	if (rc == 0 && credval_read(value, &v)) {
		remember(call->creds, str_of(call->client), str_of(v.hash), v.created);
	} else if (rc == 0) {
		log_warn("store: credential of %s is not readable", call->client);
		rc = -EIO;
	}
	call_done(call, rc);
}

void creds_look_up(struct creds *c, const char *client, creds_done_fn done, void *arg)
{
	struct call *call;
	char key[512];

	if (creds_find(c, client) != NULL) {
		done(arg, 0);
		return;
	}
	if (c->is_loaded && !store_is_shared(c->store)) {
		done(arg, -ENOENT);
		return;
	}
	call = call_new(c, client, done, arg);
	if (call == NULL)
		done(arg, -ENOBUFS);
	else
		store_get(c->store, make_key(key, sizeof(key), CRED_PREFIX, client), on_got, call);
}

// The client was told that it failed. If our hash is there nevertheless, nobody has its key: it must go, or
// the id could never be registered.
static void on_doubt(void *arg, int rc, struct str value)
{
	struct call *call = arg;
	char key[512];
	struct credval v;

	if (rc == 0 && credval_read(value, &v) && strcmp(v.hash, call->hash) == 0)
		store_del(call->creds->store, make_key(key, sizeof(key), CRED_PREFIX, call->client), NULL,
			  NULL);
	call_free(call);
}

static void settle_doubts(struct creds *c)
{
	struct call *call;
	char key[512];

	while ((call = c->doubts) != NULL) {
		call_unlink(call);
		call_link(call, &c->calls);
		c->n_doubts--;
		store_get(c->store, make_key(key, sizeof(key), CRED_PREFIX, call->client), on_doubt, call);
	}
}

static void doubt(struct creds *c, const struct call *call)
{
	struct call *copy = c->n_doubts < MAX_DOUBTS ? call_new(c, call->client, NULL, NULL) : NULL;

	if (copy == NULL)
		return;
	memcpy(copy->hash, call->hash, sizeof(copy->hash));
	call_unlink(copy);
	call_link(copy, &c->doubts);
	c->n_doubts++;
}

static void on_put(void *arg, int rc, struct str)
{
	struct call *call = arg;

	if (rc == -ETIMEDOUT || rc == -ENOTCONN)
		doubt(call->creds, call);

	if (rc == 0 && remember(call->creds, str_of(call->client), str_of(call->hash), time(NULL)) == NULL)
		rc = -ENOBUFS;
	call_done(call, rc);
}

void creds_put(struct creds *c, const char *client, const char *hash, creds_done_fn done, void *arg)
{
	char key[512], value[CREDVAL_MAX];
	size_t len = credval_write(value, hash, time(NULL), c->node);
	struct call *call = len > 0 ? call_new(c, client, done, arg) : NULL;

	if (call == NULL) {
		done(arg, -ENOBUFS);
		return;
	}
	str_copy(str_of(hash), call->hash, sizeof(call->hash));
	store_put(c->store, make_key(key, sizeof(key), CRED_PREFIX, client), (struct str){value, len}, 0,
		  on_put, call);
}

// The removed client may have a token that only another node has seen.
static void on_lost_bearer(void *arg, int rc, struct str value)
{
	struct call *call = arg;
	char key[512], old[CREDS_TOKEN_HASH_LEN + 1];

	if (rc == 0 && credval_read_bearer(value, old))
		store_del(call->creds->store, make_key(key, sizeof(key), TOKEN_PREFIX, old), NULL, NULL);
	call_free(call);
}

static void delete_foreign_token(struct creds *c, const char *client)
{
	struct call *call = call_new(c, client, NULL, NULL);
	char buf[512];
	struct str key = make_key(buf, sizeof(buf), BEARER_PREFIX, client);

	if (call == NULL)
		return;
	store_get(c->store, key, on_lost_bearer, call);
	store_del(c->store, key, NULL, NULL); // at once: a next login's must stay
}

static void on_del(void *arg, int rc, struct str)
{
	struct call *call = arg;
	struct creds *c = call->creds;
	const struct token *t = map_find(c->bearers, str_of(call->client));

	if (rc == 0 || rc == -ENOENT) {
		if (t != NULL)
			delete_token(c, t->client, t->hash);
		else if (store_is_shared(c->store))
			delete_foreign_token(c, call->client);
		if (rc == 0 || creds_find(c, call->client))
			lose(c, str_of(call->client));
	}
	call_done(call, rc);
}

void creds_remove(struct creds *c, const char *client, creds_done_fn done, void *arg)
{
	struct call *call = call_new(c, client, done, arg);
	char key[512];

	if (call == NULL)
		done(arg, -ENOBUFS);
	else
		store_del(c->store, make_key(key, sizeof(key), CRED_PREFIX, client), on_del, call);
}

// --- tokens ------------------------------------------------------------------------------------------
// Another node may have given the client a token that we never saw: it ends with the new login too.
static void on_old_bearer(void *arg, int rc, struct str value)
{
	struct call *call = arg;
	char key[512], old[CREDS_TOKEN_HASH_LEN + 1];
	struct token *t = map_find(call->creds->bearers, str_of(call->client));

	if (rc == 0 && credval_read_bearer(value, old) && (t == NULL || strcmp(old, t->hash) != 0))
		store_del(call->creds->store, make_key(key, sizeof(key), TOKEN_PREFIX, old), NULL, NULL);
	if (t != NULL)
		write_token(call->creds, t);
	call_free(call);
}

int creds_put_token(struct creds *c, const char *client, const char *hash, int64_t expires)
{
	struct token *old = map_find(c->bearers, str_of(client));
	struct call *call = call_new(c, client, NULL, NULL);
	char key[512];

	if (call == NULL)
		return -ENOMEM;
	if (old != NULL)
		store_del(c->store, make_key(key, sizeof(key), TOKEN_PREFIX, old->hash), NULL, NULL);
	if (remember_token(c, str_of(client), hash, expires) < 0) {
		call_free(call);
		return -ENOMEM;
	}
	store_get(c->store, make_key(key, sizeof(key), BEARER_PREFIX, client), on_old_bearer, call);
	return 0;
}

static void answer_from_memory(struct creds *c, const char *hash,
			       void (*done)(void *arg, int rc, struct str client), void *arg)
{
	struct token *t = map_find(c->tokens, str_of(hash));

	if (t == NULL) {
		done(arg, -ENOENT, STR_NONE);
	} else if (t->expires <= time(NULL)) {
		delete_token(c, t->client, t->hash);
		forget_token(c, t);
		done(arg, -ESTALE, STR_NONE);
	} else {
		done(arg, 0, str_of(t->client));
	}
}

static void token_answer(struct call *call, int rc, struct str client)
{
	if (rc == 0 || rc == -ESTALE || rc == -ENOENT)
		call->token_done(call->arg, rc, client);
	else // away: what we know is better than nothing
		answer_from_memory(call->creds, call->client, call->token_done, call->arg);
	call_free(call);
}

// A token is worth what its client is: that one may have been unregistered at another node.
static void on_token_owner(void *arg, int rc)
{
	struct call *call = arg;

	token_answer(call, rc, rc == 0 ? str_of(call->owner) : STR_NONE);
}

static void on_got_token(void *arg, int rc, struct str value)
{
	struct call *call = arg;
	struct credval_token t = {};

	if (rc == 0 &&
	    (!credval_read_token(value, &t) || !str_copy(str_of(t.client), call->owner, sizeof(call->owner))))
		rc = -ENOENT;
	if (rc == 0 && t.expires <= time(NULL))
		rc = -ESTALE;
	if (rc == 0)
		creds_look_up(call->creds, call->owner, on_token_owner, call);
	else
		token_answer(call, rc, STR_NONE);
}

void creds_find_token(struct creds *c, const char *hash, void (*done)(void *arg, int rc, struct str client),
		      void *arg)
{
	struct call *call;
	char key[512];

	if (!store_is_shared(c->store) || !store_is_up(c->store)) {
		answer_from_memory(c, hash, done, arg);
		return;
	}
	call = call_new(c, hash, NULL, arg);
	if (call == NULL) {
		done(arg, -ENOBUFS, STR_NONE);
		return;
	}
	call->token_done = done;
	store_get(c->store, make_key(key, sizeof(key), TOKEN_PREFIX, hash), on_got_token, call);
}

// --- life --------------------------------------------------------------------------------------------
struct creds *creds_new(struct loop *loop, struct store *store, const char *node,
			void (*gone)(void *arg, struct str client), void *arg)
{
	struct creds *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	*c = (struct creds){.loop = loop, .store = store, .node = node, .gone = gone, .gone_arg = arg};
	c->resync.on_due = on_resync;
	c->clients = map_new();
	c->tokens = map_new();
	c->bearers = map_new();
	c->watcher = store_watch(store, on_store, c);
	if (!c->clients || !c->tokens || !c->bearers || !c->watcher) {
		creds_free(c);
		return err_null(ENOMEM);
	}
	if (store_is_shared(store))
		loop_arm_in(loop, &c->resync, CREDS_RESYNC_NS);
	return c;
}

void creds_free(struct creds *c)
{
	struct token *t;
	struct cred *cred;

	if (c == NULL)
		return;
	store_unwatch(c->store, c->watcher);
	store_cancel(c->store, c);
	while (c->calls) {
		store_cancel(c->store, c->calls);
		call_free(c->calls);
	}
	while (c->doubts)
		call_free(c->doubts);
	loop_cancel(c->loop, &c->resync);
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
