// Who may: credentials (bcrypt, off the loop), bearer sessions, limits by source.
//
// Credentials live in memory and in the store (docs/store.md); with a shared store they are read again every
// AUTH_RESYNC_NS, so what another node registered or removed shows here. A key that has been verified is
// remembered as a MAC for AUTH_VERIFIED_NS, so a plugin that reconnects costs no bcrypt (D4).
// thread: loop. done may be called before the call returns.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/http/http.h"
#include "controlplane/sys/loop.h"
#include "controlplane/sys/metrics.h"
#include "controlplane/store/store.h"
#include "lib/conf/conf.h"

#define AUTH_KEY_MIN 32 // bytes
#define AUTH_KEY_MAX 72 // bcrypt takes no more
#define AUTH_ID_MAX 64
#define AUTH_TOKEN_LEN 32
#define AUTH_BCRYPT_COST 10
#define AUTH_VERIFIED_NS (300 * NS_PER_S)
#define AUTH_RESYNC_NS (15 * NS_PER_S)
#define AUTH_WAIT_NS (10 * NS_PER_S) // in the bcrypt queue; longer: refused
#define AUTH_MAX_RUNNING 2           // bcrypt at a time; sources take turns
#define AUTH_MAX_WAITING 1024
#define AUTH_MAX_WAITING_PER_SOURCE 64
// Wrong keys that are judged at once, and in the long run: of one client from one address, and of ids that nobody has
// from one address, so that neighbours behind a proxy or a NAT do not use up each other's.
#define AUTH_FAILURES 20
#define AUTH_FAILURES_PER_S 0.5
// Keys from one address that are compared with the admin's: AUTH_FAILURES at once, and in the long run:
#define AUTH_GUESSES_PER_S 1
#define AUTH_MAX_SOURCES 8192 // addresses that are remembered, and as many clients at addresses

enum auth_who { AUTH_NOBODY, AUTH_CLIENT, AUTH_ADMIN };

struct auth_result {
	enum auth_who who;
	struct str client; // AUTH_CLIENT; borrowed for the call
	unsigned status;   // when refused: 400, 401, 403, 429, 503
	unsigned retry_s;  // when refused: seconds until another try is worth it; 0: not said
	const char *error; // when refused: text for the answer, borrowed for the call
	const char *token; // login only
};
typedef void (*auth_done_fn)(void *arg, const struct auth_result *);

struct auth;
// gone is called for a client that was unregistered here or elsewhere. NULL + errno.
struct auth *auth_new(struct loop *, const struct conf *, struct store *, struct metrics *,
		      void (*gone)(void *arg, struct str client), void *arg);
void auth_free(struct auth *); // pending operations end without done; NULL is allowed

// header: value of Authorization. Results: `authentication failed: ...` with 401, or 503 when the store that
// knows the client cannot be asked.
void auth_check(struct auth *, const struct http_source *, struct str header, auth_done_fn, void *arg);
// Strings are copied. Errors carry rtcd's prefixes ("login failed: ", "registration failed: ").
void auth_login(struct auth *, const struct http_source *, const char *client, const char *key, auth_done_fn,
		void *arg);
void auth_register(struct auth *, const struct http_source *, const char *client, const char *key,
		   auth_done_fn, void *arg);
void auth_unregister(struct auth *, const char *client, auth_done_fn, void *arg);
