// How many STUN messages that led to nothing came from each network lately: a sketch of fixed size, so that a
// flood from many addresses costs no memory. A network over the bound waits for the next second; flows that
// are known are never asked about here, so running calls do not notice.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"

#define STRANGERS_ROWS 2
#define STRANGERS_COLS 1024

struct strangers {
	ns_t since;    // begin of the second that is counted
	uint32_t seed; // secret: nobody can choose addresses that share another network's counters
	uint32_t total;
	uint16_t n[STRANGERS_ROWS][STRANGERS_COLS]; // saturating
};

void strangers_init(struct strangers *, uint32_t seed);
// A message from there was not what a client of ours sends.
void strangers_failed(struct strangers *, const struct flow_key *, ns_t now);
// Has its network (IPv4 /24, IPv6 /64) failed too often in this second, or have all together?
bool strangers_over(struct strangers *, const struct flow_key *, ns_t now);
