// Between the store (store_ops.c, store_state.c) and its two backends. Nobody else includes it.
#pragma once

#include "controlplane/store/store.h"

enum store_kind { STORE_GET, STORE_PUT, STORE_SET, STORE_DEL, STORE_SCAN };

struct store_op {
	enum store_kind kind;
	struct str key, value; // owned: in one block with the op
	uint32_t ttl_s;
	store_done_fn done; // NULL: nobody waits (any more)
	store_each_fn each; // SCAN
	void *arg;
	ns_t due;
	uint64_t seq;                       // order of making
	bool is_internal;                   // store_state.c's own: does not go through the state
	bool must_last;                     // fire-and-forget write: kept when the store goes away
	bool is_abandoned;                  // answered with a time-out already
	TAILQ_ENTRY(store_op) pending_link; // store_ops.c
	TAILQ_ENTRY(store_op) link;         // backend's
	// LMDB's, filled by the pool thread:
	int rc;
	uint8_t *result; // owned: value of GET; packed pairs of SCAN
	size_t result_len, result_cap;
};
TAILQ_HEAD(store_ops, store_op);

struct store_backend {
	// Take op; answer later with store_op_done (never from inside).
	void (*submit)(void *self, struct store_op *);
	// Operations do not come back in time: give the connection up, if there is one.
	void (*stalled)(void *self);
	// Stop; everything submitted has been answered when it returns.
	void (*close)(void *self);
	void *self;
	bool is_shared;
};

// The backend answers: op is no longer its own. value: GET.
void store_op_done(struct store *, struct store_op *, int rc, struct str value);
// Only a shared backend comes and goes; each failed try counts as going.
void store_on_connected(struct store *);
void store_on_disconnected(struct store *);
struct loop *store_loop(struct store *);

// url without its scheme. 0 or -errno with why[size] filled.
[[nodiscard]] int store_lmdb_open(struct store *, const char *path, struct store_backend *, char *why,
				  size_t size);
[[nodiscard]] int store_redis_open(struct store *, const char *rest, struct store_backend *, char *why,
				   size_t size);
