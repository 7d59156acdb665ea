// DTLS between clients and the control plane: each worker has a pair of rings with sluice-cp of its own, so a datagram
// takes one wake-up each way. Main makes the rings when a control plane connects and takes them away when it is gone.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"
#include "lib/ipc/pktring.h"

struct dp;
struct session;
struct worker;

#define PUNT_RING_BYTES (256u << 10) // of each ring: 200 full datagrams

// One worker's ends. thread: that worker, between the mails that give and take it
struct punt_end {
	alignas(64) struct pktring_tx to_cp;
	struct pktring_rx to_dp;
	const struct punt *punt; // borrowed: all of them
	bool is_pushed;          // to_cp got something
	bool is_urgent;          // and not only acknowledgements
	bool has_announced;      // sleep on to_dp
	bool is_broken;          // and main was told
};

// Rings of one connection of the control plane; new ones for each, so that a broken peer leaves nothing.
struct punt {
	int memfd, to_cp; // owned: memory, doorbell of all rings to the control plane
	struct pktring_mem mem;
	struct punt_end end[PORT_MAX_WORKERS];
};

// --- on workers
// A DTLS datagram of a session at home here. m is consumed.
void punt_input(struct worker *, struct session *, struct rte_mbuf *m);
// Take what the control plane sends. Returns how many datagrams.
unsigned punt_drain(struct worker *);
// Send a datagram of the control plane to a session at home here. m is consumed.
void punt_inject(struct worker *, struct session *, struct rte_mbuf *m);
// End of a round: wake the control plane if it sleeps and something was pushed.
void punt_flush(struct worker *);
// The worker wants to sleep. False: something is there already.
bool punt_may_sleep(struct worker *);
void punt_woken(struct worker *); // the bell rang

// --- on main
struct punt *punt_open(struct dp *); // rings for every worker, which have them from here on; NULL + errno
void punt_close(struct dp *, struct punt *); // when no worker uses them any more; NULL is allowed
