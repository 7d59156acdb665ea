// Who is where: clients (groups), their calls, the members of each call. The model only; no I/O.
//
// A session id means something only together with its client (D10). Groups and calls exist while they
// have members: the last one to leave takes them along, in the same call that a joiner would have to make,
// so nobody can join what is being removed (D29).
//
// thread: loop.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "controlplane/plugin/plugin.h"
#include "controlplane/sys/budget.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/list.h"
#include "lib/base/pool.h"
#include "lib/base/str.h"
#include "lib/base/tokens.h"

#define CALL_MAX_ID 256      // bytes of a call, user, session or channel id
#define REGISTRY_MAX_PACES 4096 // clients whose joins are counted though they may have no session
#define CALL_JOIN_BURST_S 20    // joins that may come at once: this many seconds' worth (plugins batch 1000)

struct group {
	char *client;                // owned
	struct map *calls, *members; // by call id; by session id
	struct budget work;          // processor time of this process
};

// Processor time that all of one tenant's may take; some is left for the others. Its sessions wait when it is used up,
// they do not end.
static const struct budget_rate tenant_work = {5 * NS_PER_S, 0.7};
static inline bool tenant_may_work(struct group *g, ns_t now)
{
	return budget_may(&g->work, tenant_work, now);
}
static inline void tenant_worked(struct group *g, ns_t cost, ns_t now)
{
	budget_charge(&g->work, tenant_work, cost, now);
}

struct call {
	char *id;            // owned
	struct group *group; // borrowed
	uint32_t number;     // unique in this process, for the dataplane
	unsigned n_members;
	handle_t presenter; // session that shares its screen, 0: nobody
	LIST_HEAD(, member) members;
};

// The part of a session that the model knows; embedded first in struct session.
struct member {
	LIST_ENTRY(member) link;
	struct call *call;                       // borrowed; NULL when not joined
	handle_t sid;                            // pool handle = identity towards the dataplane
	char *session_id, *user_id, *channel_id; // owned
	struct join_flags flags;
};

struct registry_limits {
	uint32_t sessions, sessions_per_client, sessions_per_call, calls_per_client, joins_per_s; // D58
};

// The joins of one client that may come now. It outlives the client's last session, or else who joins and leaves in
// turn would have a full bucket each time.
struct pace {
	char *client; // owned
	struct tokens joins;
	TAILQ_ENTRY(pace) link;
};

struct registry {
	struct map *groups; // by client
	struct map *paces;  // by client; owned
	TAILQ_HEAD(, pace) by_use; // who joined longest ago first
	struct registry_limits limits;
	uint32_t n_sessions, n_calls, last_number;
};

enum join_result {
	JOIN_OK,
	JOIN_DUPLICATE, // the session lives already: it goes on, the joiner hears nothing (D14)
	JOIN_INVALID,   // an id is too long
	JOIN_FULL_NODE,
	JOIN_FULL_CLIENT,
	JOIN_FULL_CALL,
	JOIN_TOO_MANY_CALLS,
	JOIN_TOO_FAST, // D58
	JOIN_NO_MEMORY,
	JOIN_OVERLOADED,
};
const char *join_result_text(enum join_result); // short word, fit for a metric label

[[nodiscard]] int registry_init(struct registry *, const struct registry_limits *); // 0 or -ENOMEM
void registry_fini(struct registry *);                                              // members must have left

// Put a member (zeroed but for sid) into its call; makes group and call as needed. Nothing stays behind
// unless JOIN_OK.
enum join_result registry_join(struct registry *, struct member *, struct str client, const struct join_msg *,
			       ns_t now);
// Like registry_join for a session that comes back from the store: no limits.
enum join_result registry_restore(struct registry *, struct member *, struct str client,
				  const struct join_msg *);
// Take it out and free its strings; removes call and group when it was the last one.
void registry_leave(struct registry *, struct member *);

struct group *registry_group(const struct registry *, struct str client); // NULL when unknown
struct call *registry_call(const struct registry *, struct str client, struct str call_id);
struct member *registry_find(const struct registry *, struct str client, struct str session_id);

// Names a session, or a call when session_id is empty.
struct session_key {
	struct str client, call_id, session_id;
};
struct registry_hit {
	struct call *call;
	struct member *member; // NULL: the key names none
	const char *missing;   // NULL: all is there; else "group", "call" or "session", static
};
struct registry_hit registry_resolve(const struct registry *, const struct session_key *);
