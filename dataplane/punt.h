// DTLS between clients and the control plane: a worker passes what comes in on a validated path to main by
// note, main copies it into the punt ring; main takes datagrams of the other ring and mails them to the
// session's worker, which sends them.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port.h"
#include "lib/ipc/pktring.h"
#include "lib/ipc/wire.h"

struct dp;
struct session;
struct worker;

// --- on workers
// A DTLS datagram of a session at home here. m is consumed.
void punt_input(struct worker *, struct session *, struct rte_mbuf *m);
// Send a datagram of the control plane. m is consumed.
void punt_inject(struct worker *, struct session *, struct rte_mbuf *m, const struct ipc_addr *to);

// --- on main
// Rings of one connection of the control plane; new ones for each, so that a broken peer leaves nothing.
struct punt {
	int memfd, to_cp, to_dp; // owned: memory, doorbells; -1 when closed
	struct pktring_mem mem;
	struct pktring_tx tx;
	struct pktring_rx rx;
};

#define PUNT_RING_BYTES (256u << 10) // each direction: 200 full datagrams

[[nodiscard]] int punt_open(struct punt *); // 0 or -errno
void punt_close(struct punt *);

// Copy a punted datagram to the control plane. m is consumed; p NULL: nobody is connected.
void punt_out(struct dp *, struct punt *p, uint32_t sid, struct rte_mbuf *m);
// Mail all datagrams of the control plane to their workers. 0, or -EBADMSG: the peer broke the ring.
[[nodiscard]] int punt_in(struct dp *, struct punt *);

void addr_of_key(struct ipc_addr *remote, struct ipc_addr *local, const struct flow_key *);
