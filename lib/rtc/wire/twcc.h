// Transport-wide congestion control feedback: what arrived when -> RTCP, and back.
//
// source: draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/rtc/wire/rtcp.h"

#define TWCC_MAX_STATUS 500            // packet statuses per message
#define TWCC_MAX_MSG 1200              // bytes per message
#define TWCC_MAX_GAP 2000              // a larger jump restarts the log
#define TWCC_BACK_NS (500 * NS_PER_MS) // late arrivals are reported again within this time

// --- receiver of media: log and report ----------------------------------------------------------

// Arrivals of one publisher's transport. Owned by the publisher's home worker. Use:
//   1. twcc_log_init with a ring of the owner (power of two, 64..4096: at least a second of packets)
//   2. twcc_log_add for every authenticated packet with the extension, whatever its SSRC, muted or not
//   3. when now >= twcc_log_due, or on a video marker after 20 ms: twcc_log_write until it returns 0
struct twcc_log {
	uint32_t *ring;     // borrowed; arrival in 250 us ticks since start, 0: not received
	uint32_t mask;      // slots - 1
	uint32_t base;      // extended number of the first not yet reported packet
	uint32_t top;       // extended number of the highest packet received
	uint32_t floor;     // numbers below are before the log began or too old
	uint32_t low;       // lowest number that arrived since the last report (<= base when some came late)
	uint32_t n_pending; // arrivals since the last report
	ns_t start;         // tick 0; a multiple of 64 ms, 64 to 128 ms before the first arrival
	ns_t last_sent;     // of the last report, or of the first arrival after silence
	ns_t interval;      // nanoseconds between reports, default 100 ms
	uint8_t fb_count;   // of the next message
	bool started;
};

void twcc_log_init(struct twcc_log *, uint32_t *ring, uint32_t n_slots, ns_t interval);

// Record an arrival. Duplicates keep their first time.
//
// in: seq      16-bit transport sequence number
//     arrival  time of the RX burst
void twcc_log_add(struct twcc_log *, uint16_t seq, ns_t arrival);

// When the next report is due; NS_NEVER while nothing is pending.
ns_t twcc_log_due(const struct twcc_log *);

// Append one feedback message (RTCP header included) with what is pending. It may end in padding, so nothing
// must follow it in its compound.
//
// returns: bytes written; 0 nothing pending; -ENOSPC when w has less room than the message needs (nothing
//          written; 1200 bytes always suffice)
[[nodiscard]] int twcc_log_write(struct twcc_log *, struct wbuf *w, uint32_t sender_ssrc, uint32_t media_ssrc,
				 ns_t now);

// --- sender of media: read a report -------------------------------------------------------------

// A feedback message being read: twcc_fb_begin, then twcc_fb_next until false. Every chunk and delta is
// checked by twcc_fb_begin, so that a malformed message yields nothing at all.
struct twcc_fb {
	uint16_t base;     // transport number of the first status
	uint16_t n_status; // statuses in the message, at most 65535
	uint32_t ref_time; // 24 bits, units of 64 ms
	uint8_t fb_count;
	// position
	const uint8_t *chunk, *delta, *end; // borrowed
	uint16_t i;                         // statuses returned so far
	uint16_t word;                      // current chunk
	uint16_t left;                      // statuses left in it
	int64_t time_us;                    // arrival of the last received packet, from ref_time
};

struct twcc_status {
	int64_t arrival_us; // on the receiver's clock, from a 24-bit reference: wraps after 12.4 days; 0 when
			    // lost
	uint16_t seq;
	bool is_received;
};

// in:      fb  feedback with PT 205 FMT 15
// returns: 0, -EBADMSG
[[nodiscard]] int twcc_fb_begin(struct twcc_fb *, const struct rtcp_fb *fb);
bool twcc_fb_next(struct twcc_fb *, struct twcc_status *);
