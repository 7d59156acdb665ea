// What was sent under which transport-wide number, and what the receiver's feedback says about it: each packet
// is reported once as acknowledged or lost, however often and in whatever order feedback repeats it.
//
// thread: worker of the receiver (of media)
// source: draft-holmer-rmcat-transport-wide-cc-extensions-01
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/rtc/wire/twcc.h"

struct sendhist_slot {
	uint32_t sent_us; // low bits
	uint16_t n_bytes;
	uint8_t cluster; // probe cluster, 0: none
	uint8_t state;
};

struct sendhist {
	struct sendhist_slot *slot; // borrowed
	uint32_t mask;              // n_slots - 1
	uint32_t next;              // extended number of the next packet
	uint32_t n_sent;            // of them at most mask + 1 are remembered
	int64_t arrival_raw;        // last arrival as reported, and unwrapped, microseconds
	int64_t arrival_us;
	bool has_arrival;
};

// in: n_slots  power of two, 64..8192: at least a second of packets
void sendhist_init(struct sendhist *, struct sendhist_slot *, uint32_t n_slots);

// A packet is handed to the NIC.
//
// in:      n_bytes  on the wire
//          cluster  of lib/rtc/send/probe.h, 0: not a probe
// returns: its transport-wide number
uint16_t sendhist_add(struct sendhist *, uint16_t n_bytes, uint8_t cluster, ns_t now);

// Fetch the place of the next packet.
static inline void sendhist_prefetch(const struct sendhist *h)
{
	__builtin_prefetch(&h->slot[h->next & h->mask], 1);
}

enum sendhist_event {
	SENDHIST_ACKED, // first news: it arrived
	SENDHIST_LOST,  // first news: it did not arrive
	SENDHIST_LATE,  // it was said to be lost and did arrive: correct the loss, use its times for nothing
};

struct sendhist_ack {
	int64_t sent_us;    // our clock, microseconds
	int64_t arrival_us; // the receiver's clock, without wraps
	uint16_t n_bytes;
	uint8_t cluster;
	enum sendhist_event event;
};

// 1. sendhist_begin  2. sendhist_next until false. Work is bounded by the number of slots.
struct sendhist_iter {
	struct twcc_fb fb;
	uint32_t base;   // extended number of the first status
	uint32_t i;      // statuses read
	uint32_t n_left; // that will still be read
};

// returns: 0; -EBADMSG malformed; -ERANGE about nothing that is remembered
[[nodiscard]] int sendhist_begin(const struct sendhist *, struct sendhist_iter *, const struct rtcp_fb *);
bool sendhist_next(struct sendhist *, struct sendhist_iter *, ns_t now, struct sendhist_ack *);
