// A client for the tests of the ICE agent: it builds checks, the agent answers. One agent at a time, with a clock that
// the test moves. The MAC is a cheap keyed sum; the real one is tested with the vectors of stun_test.c.
#pragma once

#include "lib/rtc/ice/icelite.h"

#define MS NS_PER_MS
#define S NS_PER_S
#define UDP 17
#define TCP 6

extern struct ice_peer {
	struct icelite agent;
	struct icelite_out out; // of the last call
	ns_t now;
	size_t last_request_len; // bytes of the last check
	uint8_t probe_txid[12];  // of the last probe
} ice;
extern const struct icelite_env ice_env;
extern const char ice_ufrag1[], ice_ufrag2[], ice_ufrag3[]; // the agent's, first in use
extern const char ice_pwd1[], ice_pwd2[];

// A new agent under the first credentials.
void ice_start(void);

// Addresses of the client.
struct icelite_tuple ice_udp(uint8_t host, uint16_t port);
struct icelite_tuple ice_tcp(uint16_t port, uint32_t conn);

// One check; zeroed fields are the usual ones.
struct ice_check {
	struct icelite_tuple from;
	const char *ufrag, *pwd, *remote;
	uint32_t priority, txid, nomination;
	bool flag, controlled;
	uint16_t unknown; // extra attribute of this type
	bool spoil_mac, spoil_fp;
};
// The bytes of one. Returns how many.
size_t ice_check_build(const struct ice_check *, uint8_t *p, size_t size);
// Build one and give it to the agent.
enum icelite_verdict ice_check(struct ice_check);

// What follows the reply to a check: is it a check of ours, to that address?
bool ice_check_back(struct icelite_tuple from);

// Give the agent the response to the last probe, signed with the peer's password.
enum icelite_verdict ice_answer_probe(struct icelite_tuple from, const char *pwd);

// n media records from a port, 20 ms apart; counts path changes.
unsigned ice_media(uint16_t port, unsigned n, bool is_newer);

void ice_tick(void);
uint16_t ice_path_port(void); // 0: there is no path
