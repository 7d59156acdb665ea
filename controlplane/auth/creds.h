// Credentials and bearer tokens: in memory, written through to the store, kept equal to it.
//
// A shared store is read again every CREDS_RESYNC_NS. Who was unregistered at another node is named there; a
// credential that is merely absent was lost by the store, and is written again from memory. While the store is
// away, what memory holds stays valid. thread: loop.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/sys/loop.h"
#include "controlplane/store/store.h"

#define CREDS_TOKEN_HASH_LEN 64 // SHA-256 in hex
#define CREDS_RESYNC_NS (15 * NS_PER_S)
#define CREDS_GONE_S (7 * 24 * 3600) // how long the store names who was unregistered

struct cred {
	char hash[64];            // bcrypt, NUL-terminated
	int64_t created;          // unix seconds
	uint8_t verified_mac[32]; // of the key that was verified last; valid until:
	ns_t verified_until;
	uint32_t generation; // creds': last look at the store that saw it
};

struct creds;
struct creds *creds_new(struct loop *, struct store *, const char *node,
			void (*gone)(void *arg, struct str client), void *arg); // NULL + errno
void creds_free(struct creds *); // pending calls end without callback; NULL is allowed

struct cred *creds_find(struct creds *, const char *client); // in memory; borrowed until the next turn
size_t creds_count(const struct creds *);

typedef void (*creds_done_fn)(void *arg, int rc);
// Is the client known, here or in the store? 0, -ENOENT, or an error of the store. May call done at once.
void creds_look_up(struct creds *, const char *client, creds_done_fn, void *arg);
// Register: 0, -EEXIST, or an error of the store.
void creds_put(struct creds *, const char *client, const char *hash, creds_done_fn, void *arg);
// Unregister, with its token: 0, -ENOENT, or an error of the store. gone is called before done.
void creds_remove(struct creds *, const char *client, creds_done_fn, void *arg);

// Bearer token, by its SHA-256 in hex; replaces the client's previous one. 0 or -ENOMEM.
[[nodiscard]] int creds_put_token(struct creds *, const char *client, const char *token_hash,
				  int64_t expires);
// Whose? rc 0, -ENOENT, -ESTALE (expired, now forgotten), or an error of the store.
void creds_find_token(struct creds *, const char *token_hash,
		      void (*done)(void *arg, int rc, struct str client), void *arg);
