// Inside of struct store: store.c opens and closes it, store_state.c knows whether it is there, store_ops.c what
// is asked of it. Nobody else includes it.
#pragma once

#include "controlplane/store/store_backend.h"
#include "lib/base/hash.h"

struct store_watcher {
	store_state_fn fn; // NULL: removed while being told
	void *arg;
	bool is_new;
	TAILQ_ENTRY(store_watcher) link;
};

struct store {
	struct loop *loop; // borrowed
	struct store_backend backend;
	char *name; // owned
	enum store_state state;
	bool is_closing;
	bool is_starting;         // the first connection has neither come nor failed: operations wait for it
	struct store_ops early;   // they
	struct timer start_limit; // not longer than this
	struct store_ops pending; // with the backend, oldest first
	struct store_ops refused; // answered by the deferred call
	struct map *waiting;      // key -> struct store_op, the last write of each, owned
	uint64_t seq;             // of the newest operation
	TAILQ_HEAD(, store_watcher) watchers;
	struct deferred refusing, new_watcher;
	struct timer timer; // time-outs
	char marker[64];    // value of MARKER_KEY as last seen; "": never
	char made[64];      // value of MARKER_KEY that is being written
	struct timer look;  // at MARKER_KEY: somebody may empty a store that is up
	struct store_stats stats;
};

// --- store_ops.c -------------------------------------------------------------------------------------
[[nodiscard]] bool store_ops_init(struct store *); // false: out of memory
void store_ops_fini(struct store *);
struct store_op *store_op_new(enum store_kind, struct str key, struct str value); // NULL: out of memory
void store_op_submit(struct store *, struct store_op *);    // as the state allows: send, keep, or refuse
void store_op_hand_over(struct store *, struct store_op *); // to the backend, whatever the state
void store_ops_flush(struct store *);                       // writes that waited, as many as may be under way

// --- store_state.c -----------------------------------------------------------------------------------
void store_state_init(struct store *);
void store_state_begin(struct store *); // the backend is open
void store_state_fini(struct store *);
void store_end_start(struct store *); // what waits for the first connection goes on, or is answered
