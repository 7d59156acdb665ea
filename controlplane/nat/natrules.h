// The rules of natdiscover.h without I/O: which of our addresses count, what they are announced as.
//
// Use: init, listed for each configured address; then clear_locals, interface for each address found,
// choose; set_external when a name has been resolved, set_stun for what a STUN server saw; candidates.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/nat/natdiscover.h"

#define NAT_MAX_LOCAL 16
#define NAT_MAX_FOUND 64

struct nat_pair { // ice_host_override "external/local"
	char external[INET6_ADDRSTRLEN], local[INET6_ADDRSTRLEN];
};

struct nat_local {
	char addr[INET6_ADDRSTRLEN];
	char stun[INET6_ADDRSTRLEN]; // what a STUN server saw, or ""
};

struct nat_rules {
	uint16_t port, tcp_port; // tcp_port 0: no candidates for it
	bool has_ipv6;
	char listed[NAT_MAX_LOCAL][INET6_ADDRSTRLEN]; // ice_address_*
	unsigned n_listed;
	struct {
		char addr[INET6_ADDRSTRLEN];
		unsigned rank; // lower is better; see natrules.c
	} found[NAT_MAX_FOUND];
	unsigned n_found;
	struct nat_local local[NAT_MAX_LOCAL];
	unsigned n_local;
	char override_name[256]; // a host name, or ""
	bool has_override;
	char external[NAT_MAX_LOCAL][INET6_ADDRSTRLEN]; // the literal override, or the name resolved
	unsigned n_external;
	struct nat_pair pairs[NAT_MAX_LOCAL];
	unsigned n_pairs;
	struct {
		char local[INET6_ADDRSTRLEN]; // "" for the single number
		uint16_t port;
	} ports[NAT_MAX_LOCAL];
	unsigned n_ports;
};

// Texts may be NULL or "". Anything unreadable in them is left out (conf has checked them).
void natrules_init(struct nat_rules *, uint16_t port, const char *host_override, const char *port_override,
		   bool has_ipv6);
void natrules_listed(struct nat_rules *, const char *addr); // any-addresses count as not listed
void natrules_clear_locals(struct nat_rules *);
void natrules_interface(struct nat_rules *, const char *interface, const char *addr);
void natrules_choose(struct nat_rules *);

const char *natrules_name(const struct nat_rules *); // the host name to look up, or NULL
bool natrules_has_override(const struct nat_rules *);
void natrules_set_external(struct nat_rules *, char addrs[][INET6_ADDRSTRLEN], unsigned n);
void natrules_set_stun(struct nat_rules *, unsigned local, const char *addr);

void natrules_set_tcp_port(struct nat_rules *, uint16_t port);

// All for UDP, best first, then the same addresses for TCP.
unsigned natrules_candidates(const struct nat_rules *, struct nat_candidate out[NAT_MAX_CANDIDATES]);

// "stun:host[:port]", "stun:[v6]:port"; the port defaults to 3478. False: not a stun: URL.
bool natrules_stun_url(const char *url, char *host, size_t size, uint16_t *port);
