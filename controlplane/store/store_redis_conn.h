// Inside of the Redis backend: its one connection, which is made again whenever it ends. store_redis.c sends
// commands over it.
#pragma once

#include <hiredis/async.h>

#include "controlplane/store/store_backend.h"

struct redis {
	struct store *store; // borrowed
	char host[256], port[8], password[256];
	unsigned db;
	redisAsyncContext *ac; // hiredis frees it itself
	struct loop_fd *watch;
	unsigned events;
	bool is_ready;             // handshake done: commands go out
	bool is_closing, was_told; // was_told: its absence is in the log
	struct timer timer;        // next try, or end of this one
	ns_t backoff;
	struct redis_lookup *lookup; // under way
	struct store_ops orphans;    // submitted while there is no connection
	struct deferred later;
};

// rest: "[:password@]host[:port][/db]". Fills the connection's parameters; false: not of this form.
[[nodiscard]] bool redis_conn_parse(struct redis *, struct str rest);
void redis_conn_start(struct redis *);
void redis_conn_stop(struct redis *); // for good; what was under way is answered
// This connection is over, whoever noticed first. Idempotent.
void redis_conn_lost(struct redis *, const char *why);
// End the connection ourselves. Another one is tried for.
void redis_conn_drop(struct redis *, const char *why);
