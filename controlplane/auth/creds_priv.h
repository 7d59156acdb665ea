// Inside of struct creds; each file calls only those above its own in this list. Store keys: sluice:cred:<client>,
// sluice:gone:<client>, sluice:token:<hash>, sluice:bearer:<client> (docs/store.md).
#pragma once

#include "controlplane/auth/creds.h"
#include "controlplane/auth/credval.h"
#include "lib/base/hash.h"

#define CRED_PREFIX "sluice:cred:"
#define GONE_PREFIX "sluice:gone:" // who was unregistered: absence alone is no order
#define TOKEN_PREFIX "sluice:token:"
#define BEARER_PREFIX "sluice:bearer:"

struct cred_token {
	char *client; // owned
	int64_t expires;
	char hash[CREDS_TOKEN_HASH_LEN + 1];
};

struct creds_op { // one operation on the store that somebody waits for
	struct creds *creds;
	char *client; // owned
	char hash[64];
	char owner[CREDVAL_MAX_CLIENT + 1]; // of the token asked for
	creds_done_fn done;
	void (*token_done)(void *arg, int rc, struct str client);
	void *arg;
	struct creds_op *next, **pprev;
};

struct creds {
	struct loop *loop;   // borrowed
	struct store *store; // borrowed
	struct store_watcher *watcher;
	const char *node; // borrowed
	void (*gone)(void *arg, struct str client);
	void *gone_arg;
	struct map *clients; // id -> struct cred, owned
	struct map *tokens;  // hash -> struct cred_token, owned
	struct map *bearers; // id -> struct cred_token, borrowed
	uint32_t generation;
	bool is_loaded, is_scanning;
	bool must_scan;  // again, once the present scan is over
	bool must_write; // tokens: the store lost them
	struct timer resync;
	struct creds_op *ops;    // owned
	struct creds_op *doubts; // owned: registrations whose outcome was not heard
	unsigned n_doubts;
};

// --- creds_memory.c ----------------------------------------------------------------------------------
// Add or refresh. NULL: out of memory, or not a hash.
struct cred *cred_remember(struct creds *, struct str client, struct str hash, int64_t created);
void cred_forget(struct creds *, struct str client); // with its token
[[nodiscard]] int token_remember(struct creds *, struct str client, const char *hash,
				 int64_t expires); // or -ENOMEM
void token_forget(struct creds *, struct cred_token *);

// --- creds_op.c --------------------------------------------------------------------------------------
struct str creds_key(char *buf, size_t size, const char *prefix, const char *name); // in the store
struct creds_op *creds_op_new(struct creds *, const char *client, creds_done_fn done, void *arg); // or NULL
void creds_op_link(struct creds_op *, struct creds_op **list);
void creds_op_unlink(struct creds_op *);
void creds_op_free(struct creds_op *);
void creds_op_done(struct creds_op *, int rc); // answers, and frees it
void token_write(struct creds *, const struct cred_token *);
void token_delete(struct creds *, const char *client, const char *hash);
void cred_mark_gone(struct creds *, const char *client); // for the other nodes
void cred_unmark_gone(struct creds *, const char *client);
void cred_lose(struct creds *, struct str client); // it vanished, here (unregister) or elsewhere (resync)

// --- creds_sync.c ------------------------------------------------------------------------------------
[[nodiscard]] int creds_sync_start(struct creds *); // 0 or -ENOMEM
void creds_sync_stop(struct creds *);
void creds_doubt(struct creds *,
		 const struct creds_op *); // did the registration arrive? Asked when the store is back
