// Limits on what one receiver can make us send again, and what an identical resend needs to know.
//
// thread: worker of the receiver
// source: RFC 4588; RFC 7714 section 8.1 (one nonce, one packet: a resend repeats the TWCC number too)
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

#define RESEND_SLOTS 1024                 // output indices remembered; as many as REWRITE_BACK
#define RESEND_TRIES 3                    // of one packet
#define RESEND_MIN_NS (20 * NS_PER_MS)    // between two of one packet; 0.8 RTT when that is more
#define RESEND_RTT_NS (100 * NS_PER_MS)   // assumed while unknown
#define RESEND_SHARE 4                    // resends get 1/4 of the target bit rate ...
#define RESEND_BURST_NS (100 * NS_PER_MS) // ... and may save up this much of it
#define RESEND_BURST_MIN 4500             // bytes, three full packets

struct resend_slot {
	uint32_t key;   // low bits of index + 1; 0: unused
	uint16_t stamp; // count (2 bits), time of the last sending in 4 ms (14 bits)
	uint16_t twcc;  // number it was sent with
};

// One per outbound video stream, with resend_sent for each packet that is sent for the first time.
struct resend {
	struct resend_slot *slot; // borrowed: RESEND_SLOTS
	int64_t credit;           // bytes times 8e9: bit-nanoseconds
	ns_t filled;              // when credit was last topped up
	bool started;
};

void resend_init(struct resend *, struct resend_slot slot[RESEND_SLOTS]);

// in: index  output index
//     twcc   its transport-wide number, 0 without
void resend_sent(struct resend *, uint64_t index, uint16_t twcc, ns_t now);

struct resend_ask {
	uint64_t index;   // output index, from rewrite_origin
	uint32_t n_bytes; // on the wire
	uint32_t target_bps;
	ns_t rtt;          // 0: unknown
	bool is_congested; // the estimate is below what is allocated, or the queue is long
	bool is_vital;     // key frame or temporal layer 0 of the current epoch
	ns_t now;
};

enum resend_verdict {
	RESEND_OK,         // send it; it was counted
	RESEND_NEVER_SENT, // not remembered under this index
	RESEND_TOO_SOON,   // the last one may still be under way
	RESEND_TOO_OFTEN,
	RESEND_NO_BUDGET,
	RESEND_CONGESTED, // and the packet is not vital
};
[[nodiscard]] enum resend_verdict resend_allow(struct resend *, const struct resend_ask *);

// Transport-wide number of the first sending, for a resend under the same SSRC.
bool resend_twcc(const struct resend *, uint64_t index, uint16_t *twcc);
