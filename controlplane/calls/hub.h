// The calls of this node: plugin messages to sessions, dataplane events to sessions, start, restore and end.
//
// thread: the control-plane loop. ownership: every struct str is borrowed for the duration of the call.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/plugin/plugin.h"
#include "lib/base/str.h"

struct hub; // the calls' root object

struct loop;
struct conf;
struct store;
struct metrics;
// All borrowed until hub_free. NULL + errno, after logging what to fix.
struct hub *hub_new(struct loop *, const struct conf *, struct plugins *, struct store *, struct metrics *);
void hub_free(struct hub *); // ends all sessions with their `close`; NULL is allowed

// From now on refuse joins that would make a new call (close {sessionID}); existing calls still take joins.
// drained is called once, from the loop, when no session is left.
void hub_drain(struct hub *, void (*drained)(void *arg), void *arg);

// What plugins say; arg: struct hub. Joins and leaves that come while state is read back wait for its end.
extern const struct plugin_ops hub_plugin_ops;
void hub_client_gone(struct hub *, struct str client); // unregistered: end all its sessions (D12)

// For GET /calls/{callID}/sessions[/{sessionID}]. Returns 0, or -ENOENT with *what = "group", "call" or
// "session" not found. emit is called once per session with a JSON-ready view.
struct session_view {
	struct str group_id, call_id, user_id, session_id;
	struct str channel_id;
	struct join_flags flags;
};
typedef void (*session_emit_fn)(void *arg, const struct session_view *);
int hub_sessions(struct hub *, struct str client, struct str call_id, struct str session_id /* or none */,
		 const char **what, session_emit_fn emit, void *arg);

// For /system, drain and /metrics.
struct hub_load {
	unsigned n_sessions, n_calls;
	bool draining, restoring; // restoring: answer 503 on /calls until state is read back
};
void hub_load(const struct hub *, struct hub_load *);
struct link;
struct link *hub_link(struct hub *); // its link to the dataplane, for /metrics; borrowed
