// The root object of the calls: for hub.c, hub_plugin.c and hub_link.c alone.
#pragma once

#include "controlplane/calls/hub.h"
#include "controlplane/calls/late.h"
#include "controlplane/calls/query.h"
#include "controlplane/calls/resync.h"
#include "controlplane/session/session.h"

struct hub {
	struct session_env env; // loop, conf, plugins, store and metrics in it are borrowed, the rest is ours
	struct registry registry;
	struct sctp_clock sctp_clock;
	struct resync *resync; // owned, as the next
	struct queries *queries;
	struct late late;            // what plugins say while state is read back
	struct timer link_gone;      // the dataplane stays away
	STAILQ_HEAD(, session) dead; // closed, freed by reap
	struct deferred reap;
	bool draining;
	void (*drained)(void *arg);
	void *drained_arg;
	struct deferred tell_drained;
};

// sluice_signaling_drops_total
static inline void hub_drop(struct hub *h, const char *reason)
{
	metric_add(h->env.metrics, M_SIGNALING_DROPS, METRIC_LABELS(str_of(reason)), 1);
}

// --- hub_link.c ------------------------------------------------------------------------------------
extern const struct link_ops hub_link_ops; // arg: struct hub
void hub_on_link_gone(struct timer *link_gone, ns_t now);
