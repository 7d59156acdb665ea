// Probing: would more get through than is sent? A short cluster of packets at a higher rate tells. Media that goes out
// meanwhile is part of the cluster: it fills the same link, and what it takes would be missing in the result.
//
// thread: worker of the receiver
// units:  bit/s
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/rtc/send/sendhist.h"

#define PROBE_MIN_PACKETS 5
#define PROBE_MIN_NS (15 * NS_PER_MS)
#define PROBE_FIRST_NS (300 * NS_PER_MS) // after the start: a joiner shall not wait for its best layer
#define PROBE_AGAIN_NS (5 * NS_PER_S)    // after one that did not help, times 1.5 each ...
#define PROBE_MAX_NS (60 * NS_PER_S)     // ... up to this
#define PROBE_SHARE 10                   // probes are at most 1/10 of the session's bytes ...
#define PROBE_FREE_BYTES 50000           // ... after these
#define PROBE_WAIT_NS (1 * NS_PER_S)     // for feedback after the last packet

// A cluster to send: packets of `cluster` spaced for `bps` until n_bytes and n_packets are sent.
struct probe_plan {
	uint32_t bps, n_bytes;
	uint8_t n_packets;
	uint8_t cluster; // for sendhist_add, never 0
};

// One per receiver. Use:
//   1. probe_init
//   2. probe_media for each other packet
//   3. probe_want from time to time; a plan: when probe_due says so send a packet, probe_sent for it
//   4. probe_ack for each result of sendhist_next, probe_result after each feedback message and now and then
struct probe {
	ns_t next; // earliest next attempt
	ns_t backoff;
	uint64_t n_media_bytes, n_probe_bytes;
	struct probe_plan plan;
	bool is_running; // planned, result open
	bool is_sent;    // last packet sent
	uint32_t wanted_bps;
	uint16_t n_sent, n_acked, n_lost; // media of the cluster included
	uint8_t n_own;                    // packets of the plan sent
	uint32_t sent_bytes, acked_bytes;
	uint16_t last_bytes, first_bytes; // of the last packet sent, of the first that arrived
	ns_t first_sent, last_sent;
	int64_t first_arrival, last_arrival;
};

void probe_init(struct probe *, ns_t now);

// Another packet goes out. Probes are a share of these bytes.
//
// returns: for sendhist_add: the cluster it counts to, 0: none
uint8_t probe_media(struct probe *, uint16_t n_bytes, ns_t now);

struct probe_ask {
	uint32_t needed_bps;   // what would be sent if it could be
	uint32_t estimate_bps; // gcc_target
	bool is_calm;          // gcc_is_calm, and the host's uplink is not loaded
	uint16_t packet_bytes; // of one probe packet on the wire
	ns_t now;
};

// Shall a cluster be sent now?
[[nodiscard]] bool probe_want(struct probe *, const struct probe_ask *, struct probe_plan *);

// When the next packet of the plan goes; NS_NEVER: there is none to send.
ns_t probe_due(const struct probe *);

// A packet of the plan was sent.
//
// returns: true: the cluster is complete
bool probe_sent(struct probe *, uint16_t n_bytes, ns_t now);

// There is nothing to send it with: no result, and no verdict.
void probe_abandon(struct probe *, ns_t now);

void probe_ack(struct probe *, const struct sendhist_ack *);

// Evaluate. Success plans the next attempt at once when the link seems to carry still more.
//
// returns: rate that got through, for gcc_probe; 0: no result (yet, or not valid)
// out:     is_full  the cluster filled the link
uint32_t probe_result(struct probe *, uint32_t estimate_bps, ns_t now, bool *is_full);

// The path changed: try soon again.
void probe_reset(struct probe *, ns_t now);
