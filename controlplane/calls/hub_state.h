// The root object of the calls, shared by hub.c, session*.c and persist.c and nobody else.
#pragma once

#include "controlplane/session/registry.h"
#include "controlplane/link/link.h"
#include "controlplane/calls/hub.h"
#include "controlplane/sys/loop.h"
#include "controlplane/sys/metrics.h"
#include "controlplane/nat/natdiscover.h"
#include "controlplane/negotiate/negotiate.h"
#include "controlplane/store/store.h"
#include "lib/base/pool.h"
#include "lib/conf/conf.h"
#include "lib/peer/dtls.h"

enum hub_limits {
	HUB_DEFERRED = 20000,          // plugin messages kept while state is read back,
	HUB_DEFERRED_BYTES = 64 << 20, // and their texts
	HUB_SCTP_CLOCK_MS = 50,        // pace of the SCTP timers while a description is under way
	HUB_SCTP_IDLE_MS = 150,        // and while pings are all that data channels carry
	HUB_DP_GONE_S = 3,             // sessions end when the dataplane stays away this long
	HUB_SNAP_BUCKETS = 1024,
	HUB_READ_AGAIN_MS = 250, // pause between attempts to read the store
	HUB_RESTORE_S = 5,       // reading back state ends after this, whatever is missing
};

struct session;
struct persist;
struct query;

struct hub {
	struct loop *loop; // borrowed, as the next four
	const struct conf *conf;
	struct plugins *plugins;
	struct store *store;
	struct metrics *metrics;
	struct link *link; // owned, as the rest
	struct nat *nat;
	struct dtls_ctx *dtls;
	struct persist *persist;
	struct registry reg;
	struct pool *sessions; // struct session; the handle is the sid
	struct negotiate_conf neg;
	struct sdp_candidate candidates[NAT_MAX_CANDIDATES];
	TAILQ_HEAD(, query) queries; // questions to the dataplane, oldest first
	unsigned n_queries;
	struct timer sctp_clock, dp_gone, restore_limit, read_again;
	STAILQ_HEAD(, session) dead; // closed, freed by reap
	struct deferred reap;
	STAILQ_HEAD(, hub_deferred) waiting; // plugin messages that came while restoring
	unsigned n_waiting;
	size_t waiting_bytes;
	LIST_HEAD(, snap) snaps[HUB_SNAP_BUCKETS]; // what the dataplane said it has, while resyncing
	unsigned n_snaps;
	bool restoring, dp_synced, store_read;
	bool draining;
	void (*drained)(void *arg);
	void *drained_arg;
	struct deferred tell_drained;
};

// Announce the addresses known now in the descriptions made from now on.
void hub_refresh_candidates(struct hub *);
// State has been read back: handle what the plugins said meanwhile.
void hub_replay(struct hub *);
// The last session may have gone.
void hub_check_drained(struct hub *);
