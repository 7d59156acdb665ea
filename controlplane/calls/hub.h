// The calls of this node: what plugins say to sessions, what the dataplane says to sessions, start, restore and end.
//
// thread: the control-plane loop.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/plugin/plugin.h"
#include "controlplane/session/registry.h"

struct hub;

struct conf;
struct link;
struct loop;
struct metrics;
struct plugins;
struct queries;
struct store;
// All borrowed until hub_free. NULL + errno, after logging what to fix.
struct hub *hub_new(struct loop *, const struct conf *, struct plugins *, struct store *, struct metrics *);
void hub_free(struct hub *); // ends all sessions with their `close`; NULL is allowed

// From now on refuse joins that would make a new call (close {sessionID}); existing calls still take joins.
// drained is called once, from the loop, when no session is left.
void hub_drain(struct hub *, void (*drained)(void *arg), void *arg);

// What plugins say; arg: struct hub. What comes while state is read back waits for its end. That a connection has closed
// is nothing to tell: sessions outlive it, and the next message or `reconnect` moves them to another one.
extern const struct plugin_ops hub_plugin_ops;
void hub_client_gone(struct hub *, struct str client); // unregistered: end all its sessions (D12)

// For /system, drain and /metrics.
struct hub_load {
	unsigned n_sessions, n_calls;
	bool draining, restoring; // restoring: answer 503 on /calls until state is read back
};
void hub_load(const struct hub *, struct hub_load *);

// Its parts, for the API and /metrics; borrowed.
const struct registry *hub_registry(const struct hub *);
struct queries *hub_queries(struct hub *); // see query.h
struct link *hub_link(struct hub *);
