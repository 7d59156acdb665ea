// The client's side of ICE towards a server: a full, controlling agent with one local socket. It checks every
// candidate of the server, nominates the first that answers, keeps consent fresh, and answers checks of servers
// that are full agents themselves. Sans-I/O but for the form of addresses.
//
// 1. iceclient_init  2. iceclient_remote, iceclient_candidate as they become known  3. iceclient_input for each STUN
// datagram, iceclient_tick when due: both call ops.send  4. a path is selected once is_selected is true
//
// thread: owner only
// source: RFC 8445, RFC 7675 (consent)
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/rtc/wire/stun.h"

#define ICE_CANDIDATES 8
#define ICE_UFRAG_LEN 8
#define ICE_PWD_LEN 24
#define ICE_CONSENT_NS (2500 * NS_PER_MS)
#define ICE_LOST_NS (10 * NS_PER_S) // without an answer the path counts as lost

union ice_addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct ice_path {
	union ice_addr to;
	ns_t due, wait;
	uint8_t txid[STUN_TXID_LEN]; // of the last check
	bool has_answered;
};

struct iceclient {
	void (*send)(void *arg, const union ice_addr *to, const uint8_t *msg, size_t len);
	void *arg;                  // borrowed
	const struct stun_mac *mac; // borrowed
	char ufrag[ICE_UFRAG_LEN + 1], pwd[ICE_PWD_LEN + 1];
	char remote_ufrag[257], remote_pwd[257];
	uint64_t tie_breaker;
	struct ice_path path[ICE_CANDIDATES];
	uint8_t n_paths, nominee; // nominee: the path being nominated or selected, when is_nominating
	bool is_nominating, is_selected, is_lost;
	ns_t last_answer;
};

void iceclient_init(struct iceclient *); // fresh credentials, no paths; send, arg and mac are kept

// Credentials of the server. returns: 0, -EINVAL
[[nodiscard]] int iceclient_remote(struct iceclient *, struct str ufrag, struct str pwd);

// Parse "candidate:F 1 udp P ADDRESS PORT typ ..." with or without "a=". returns: 0; -ENOTSUP not UDP, not
// component 1, another address family than the first one's, or no address; -ENOSPC
[[nodiscard]] int iceclient_candidate(struct iceclient *, struct str line);

void iceclient_tick(struct iceclient *, ns_t now);

// One STUN datagram. returns: true when a path has just been selected
bool iceclient_input(struct iceclient *, uint8_t *msg, size_t len, const union ice_addr *from, ns_t now);

static inline socklen_t ice_addr_len(const union ice_addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}
