// What sessions stand on: everything of this process that they use, in place of the object that owns them.
//
// thread: loop.
#pragma once

#include "controlplane/link/link.h"
#include "controlplane/link/sctp_clock.h"
#include "controlplane/nat/natdiscover.h"
#include "controlplane/negotiate/negotiate.h"
#include "controlplane/plugin/plugin.h"
#include "controlplane/session/registry.h"
#include "controlplane/store/store.h"
#include "controlplane/sys/loop.h"
#include "controlplane/sys/metrics.h"
#include "lib/base/pool.h"
#include "lib/conf/conf.h"
#include "lib/peer/dtls.h"

struct persist;
struct session;

struct session_env {
	// borrowed: outlives the sessions
	struct loop *loop;
	const struct conf *conf;
	struct plugins *plugins;
	struct store *store;
	struct metrics *metrics;
	struct link *link;
	struct nat *nat;
	struct dtls_ctx *dtls;
	struct persist *persist; // NULL: nothing is stored
	struct registry *registry;
	struct pool *sessions; // struct session; the handle is the sid
	struct sctp_clock *sctp_clock;
	// The session has left the model: free it with session_free, in a later turn of the loop.
	void (*closed)(void *arg, struct session *);
	void *arg;
	// its own
	struct negotiate_conf neg;
	struct sdp_candidate candidates[NAT_MAX_CANDIDATES]; // of neg
};

// Fill neg, from conf and dtls. returns: 0, -errno
[[nodiscard]] int session_env_init(struct session_env *);
// Announce the addresses known now in the descriptions made from now on.
void session_env_refresh(struct session_env *);
