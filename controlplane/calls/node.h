// This node in the store: sluice:node:<id>, written every REGISTRY_BEAT_NS with load and counts, gone by
// itself REGISTRY_TTL_S after the last beat (docs/store.md). thread: loop.
#pragma once

#include "controlplane/calls/hub.h"
#include "controlplane/sys/loop.h"
#include "controlplane/store/store.h"
#include "controlplane/sys/sysload.h"

#define REGISTRY_BEAT_NS (10 * NS_PER_S)
#define REGISTRY_TTL_S 30

struct registry;
// node, api: shown to others; all borrowed. hub may be NULL. NULL + errno.
struct registry *registry_new(struct loop *, struct store *, const char *node, const char *api,
			      const struct sysload *, const struct hub *);
void registry_free(struct registry *); // removes the entry; NULL is allowed
void registry_beat(struct registry *); // now: something changed (draining)
