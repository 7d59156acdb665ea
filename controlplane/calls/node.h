// This node in the store: sluice:node:<id>, written every NODE_BEAT_NS with load and counts, gone by
// itself NODE_TTL_S after the last beat (docs/store.md). thread: loop.
#pragma once

#include "controlplane/calls/hub.h"
#include "controlplane/sys/loop.h"
#include "controlplane/store/store.h"
#include "controlplane/sys/sysload.h"

#define NODE_BEAT_NS (10 * NS_PER_S)
#define NODE_TTL_S 30

struct node;
// id, api: shown to others; all borrowed. hub may be NULL. NULL + errno.
struct node *node_new(struct loop *, struct store *, const char *id, const char *api, const struct sysload *,
		      const struct hub *);
void node_free(struct node *); // removes the entry; NULL is allowed
void node_beat(struct node *); // now: something changed (draining)
