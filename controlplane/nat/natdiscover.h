// Which addresses to announce as ICE candidates: interface addresses, ice_address_*, ice_host_override,
// ice_host_port_override, STUN discovery at start (the rules are in docs/addresses.md).
//
// Nothing here blocks: names are resolved on the work queue and cached for NAT_TTL_NS, the last good answer
// is kept when a later look-up fails (D49); STUN runs on the loop. thread: loop.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "controlplane/sys/loop.h"
#include "lib/conf/conf.h"

#define NAT_MAX_ADDRESSES 16                       // each with
#define NAT_MAX_CANDIDATES (2 * NAT_MAX_ADDRESSES) // one for UDP and one for TCP
#define NAT_TTL_NS (60 * NS_PER_S)

struct nat_candidate {
	char addr[INET6_ADDRSTRLEN]; // numeric
	char base[INET6_ADDRSTRLEN]; // our own address behind it; equals addr without mapping
	uint16_t port;               // as announced (after the port override)
	bool is_tcp;                 // passive; only when the dataplane has a TCP listener
	uint32_t priority;           // RFC 8445 5.1.2.1, type host
	char foundation[12];         // decimal CRC-32, same for every session
};

struct nat;
// Reads the interfaces now; name look-ups and STUN go on in the background. NULL + errno.
struct nat *nat_new(struct loop *, const struct conf *);
void nat_free(struct nat *);

// The port of the dataplane's TCP listener, 0: none. Until told there is none.
void nat_set_tcp_port(struct nat *, uint16_t port);

// The candidates as known at this moment, best first, no duplicates; cheap. Returns how many (may be 0
// when every address is waiting for its override: then the call cannot connect yet).
unsigned nat_candidates(struct nat *, struct nat_candidate out[NAT_MAX_CANDIDATES]);
