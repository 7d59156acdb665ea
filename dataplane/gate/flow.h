// Who a packet belongs to: flows (both addresses of a datagram) and local ufrags to sessions. Read by all
// workers without a lock (rte_hash, lock-free readers, QSBR). Flows are entered only for authenticated STUN
// checks, so outsiders cannot fill the table; ufrags only by main.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"

struct dp;
struct session;
struct worker;

// What a flow leads to.
struct flow {
	uint32_t sid; // 0: none
	uint8_t home; // worker
	uint8_t pair; // of the session's icelite
};

int flow_tables_open(struct dp *); // 0, -ENOMEM; needs dp->qsbr. thread: main
void flow_tables_close(struct dp *);

// thread: any worker
struct flow flow_find(const struct dp *, const struct flow_key *key);
void flow_find_burst(const struct dp *, struct rte_mbuf **pkts, unsigned n, struct flow *out);

// Bind or re-bind; false when the table is full. thread: any worker (short lock, authenticated checks only)
bool flow_add(struct dp *, const struct flow_key *key, struct flow flow);
// Unbind if it still leads to sid. thread: any worker
void flow_del(struct dp *, const struct flow_key *key, uint32_t sid);
uint32_t flow_count(const struct dp *);

// ufrag: IPC_UFRAG_LEN bytes. thread: main
bool ufrag_add(struct dp *, const char *ufrag, uint32_t sid, uint8_t home); // false: taken or full
void ufrag_del(struct dp *, const char *ufrag);
// thread: any worker
struct flow ufrag_find(const struct dp *, const char *ufrag);
