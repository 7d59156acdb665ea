// STUN on its session's home worker: lib/rtc/icelite decides, this file moves bytes, flows and events.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/gate/flow.h"
#include "dataplane/port/port.h"

struct icelite_out;
struct ipc_session_ice;
struct session;
struct worker;

// Session a STUN message names by the left part of its USERNAME (requests) or by its flow (responses to
// probes); a message that names none is counted. thread: any worker
struct flow ice_route(struct worker *, struct rte_mbuf *m_peek, struct flow by_address);

// One STUN message of a session at home here. m is consumed. thread: home worker
void ice_input(struct worker *, struct session *, struct rte_mbuf *m);

// The connection of a pair was closed: the pair goes at once. m is consumed. thread: home worker
void ice_gone(struct worker *, struct session *, struct rte_mbuf *m);

// Further credentials. thread: home worker
void ice_creds(struct worker *, struct session *, const struct ipc_session_ice *);

// Do what an icelite call left in *out. thread: home worker
void ice_apply(struct worker *, struct session *, const struct icelite_out *out, struct rte_mbuf *m_peek);

// A record of the session from this pair passed authentication. thread: home worker
void ice_on_media(struct worker *, struct session *, unsigned pair, bool is_newer);

// The selected address is not proven to be the peer's: ask it at once. thread: home worker
void ice_prove(struct worker *, struct session *);

// Post again what main had no room for. thread: home worker
void ice_pay(struct worker *, struct session *);

// Recompute whether the session may be sent to. thread: home worker
void ice_refresh(struct session *);

// Pair a packet really belongs to, -1 when its address is none of the session's (any more).
int ice_pair(const struct session *, const struct flow_key *);

// Unbind all addresses. thread: home worker
void ice_close(struct worker *, struct session *);
