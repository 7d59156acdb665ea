// One small key-value interface over LMDB (this host) or Redis (shared by nodes). docs/store.md lists keys.
//
// Every operation is asynchronous: done is called once, from a later turn of the loop, never from inside
// the call; operations of one caller complete in the order they were made. Keys: 1..STORE_KEY_MAX bytes,
// values: up to STORE_VALUE_MAX bytes. thread: loop. struct str arguments are copied; those handed to
// callbacks are borrowed for the call.
//
// rc of done: 0 | -ENOENT (get, del: no such key) | -EEXIST (put: there already) | -E2BIG (key or value too
// large) | -ENOTCONN (store away) | -ETIMEDOUT | -ENOBUFS (too much waiting) | -EIO (store said no; logged)
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/sys/loop.h"
#include "lib/base/str.h"

#define STORE_KEY_MAX 400 // bytes; LMDB's own limit is 511
#define STORE_VALUE_MAX 65536
#define STORE_OP_NS (2 * NS_PER_S)     // Redis: an operation that takes longer has failed (-ETIMEDOUT)
#define STORE_DISK_NS (60 * NS_PER_S)  // the same for LMDB: a busy disk is waited for
#define STORE_MAX_OPS 16384            // waiting for completion; more: -ENOBUFS
#define STORE_MAX_WAITING_WRITES 65536 // keys with a write that waits for the store to come back

struct store;

typedef void (*store_done_fn)(void *arg, int rc, struct str value); // value: of get only
typedef void (*store_each_fn)(void *arg, struct str key, struct str value);

enum store_state {
	STORE_DOWN, // away: reads fail at once, fire-and-forget writes wait
	STORE_UP,   // serving, with what it held before; waiting writes are sent before anything else
	STORE_EMPTY, // serving, but it lost what it held, while it was away or while it was up: everybody writes
		     // what he has in memory again
};
typedef void (*store_state_fn)(void *arg, enum store_state);

// url: "lmdb:PATH" (a directory, made when missing) or "redis://[:password@]host[:port][/db]". Redis may be
// away: the store opens all the same and connects in the background. NULL: why[size] says what to fix.
struct store *store_open(struct loop *, const char *url, char *why, size_t size);
void store_close(struct store *); // pending operations end with -ENOTCONN; NULL is allowed

// Password masked, for logs.
const char *store_name(const struct store *);
bool store_is_up(const struct store *);
bool store_is_shared(const struct store *); // other nodes may write it too

// Tell fn about every change of state; also once, soon, about the present one when it is up. Returns a
// handle for store_unwatch; NULL: out of memory.
struct store_watcher;
struct store_watcher *store_watch(struct store *, store_state_fn fn, void *arg);
void store_unwatch(struct store *, struct store_watcher *);

// ttl_s: seconds until the key vanishes by itself, 0 = never.
void store_get(struct store *, struct str key, store_done_fn done, void *arg);
void store_put(struct store *, struct str key, struct str value, uint32_t ttl_s, store_done_fn done,
	       void *arg); // only if absent
// set and del with done == NULL are fire-and-forget: while the store is away the last one per key waits
// (bounded) and is written when it is back.
void store_set(struct store *, struct str key, struct str value, uint32_t ttl_s, store_done_fn done,
	       void *arg);
void store_del(struct store *, struct str key, store_done_fn done, void *arg);

// All pairs whose key starts with prefix, each once, in any order, then done. Not a snapshot.
void store_scan(struct store *, struct str prefix, store_each_fn each, store_done_fn done, void *arg);

// Forget every operation made with this arg: its done is not called any more. Owners call it when they end.
void store_cancel(struct store *, const void *arg);

struct store_stats {
	uint64_t ops, errors, timeouts, reconnects, dropped_writes, coalesced_writes;
	uint32_t pending, waiting_writes;
};
void store_stats(const struct store *, struct store_stats *);
