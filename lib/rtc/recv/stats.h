// Reception statistics, round-trip time, and the mapping of a publisher's clock to ours.
//
// thread: owner worker of the stream
// source: RFC 3550 appendix A.1, A.3, A.8, section 6.4
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/rtc/wire/rtcp.h"

// --- reception statistics of one inbound SSRC ---------------------------------------------------

// Zeroed is valid. Fed with authenticated packets only; muted and padding-only ones count as received.
struct rx_stats {
	uint64_t first, top;                     // lowest and highest packet index (ROC << 16 | seq)
	uint64_t n_packets;                      // received, duplicates never get here
	uint64_t n_bytes;                        // payload bytes
	uint64_t prior_expected, prior_received; // at the last report
	ns_t last_arrival;
	uint32_t last_ts;
	uint32_t jitter_q4; // RTP clock units, times 16
	uint32_t lsr;       // middle of the last SR's NTP time
	ns_t sr_arrival;
	bool started;
	bool is_active; // received since the last report
};

// in: index    srtpidx index
//     ts       RTP timestamp
//     clock_hz of the payload type; 0 leaves jitter alone
void rx_stats_packet(struct rx_stats *, uint64_t index, uint32_t ts, uint32_t n_payload_bytes, ns_t arrival,
		     uint32_t clock_hz);
void rx_stats_sr(struct rx_stats *, uint64_t ntp, ns_t arrival);

// Fill a report block about this SSRC and begin a new interval.
void rx_stats_report(struct rx_stats *, uint32_t ssrc, ns_t now, struct rtcp_block *);

// --- round-trip time ----------------------------------------------------------------------------

// Round trip from a report block about what we sent.
//
// in:      now_ntp  our NTP clock now, the one our SRs use
// returns: nanoseconds > 0; -ENODATA when the peer had no SR of ours yet; -ERANGE outside 0..30 s
[[nodiscard]] int64_t rtt_of(const struct rtcp_block *, uint64_t now_ntp);

// Zeroed is valid.
struct rtt {
	int64_t smooth_ns; // EWMA 1/8; 0: unknown
	int64_t min_ns;    // of the current and the previous 10 s
	int64_t min_now_ns;
	ns_t min_since;
};
void rtt_sample(struct rtt *, int64_t rtt_ns, ns_t now);

// --- publisher clock ----------------------------------------------------------------------------
// Downstream SRs must not depend on arrival times packet by packet: lip sync and jitter buffers would follow
// the network. One offset per publisher session relates the publisher's NTP clock to our monotonic clock; all
// its SSRCs share it, and each SSRC's RTP clock is tied to the publisher's NTP clock by its own SRs.

#define PUB_CLOCK_SLOTS 6 // of 5 s: the 30 s over which the minimum is taken

// Zeroed is valid. One per publisher session.
struct pub_clock {
	int64_t slot_min[PUB_CLOCK_SLOTS]; // ns: arrival - publisher NTP, minimum within each 5 s
	int64_t slot_no[PUB_CLOCK_SLOTS];  // number of those 5 s, 0: unused
	int64_t offset;                    // ns, what is used: follows the minimum by at most 1 ms/s
	ns_t slewed_at;
	uint32_t era; // counts steps of the publisher's clock: maps made before one are void
	bool started;
};

// Zeroed is valid. One per inbound SSRC.
struct sr_map {
	uint64_t ntp; // of the last accepted SR
	uint32_t rtp;
	uint32_t clock_hz;
	uint32_t era;       // pub_clock's, when it was accepted
	uint8_t n_rejected; // in a row; the 5th is accepted as a new beginning (publisher's clock was set)
	bool valid;
};

// Take an SR of a publisher.
//
// returns: 0; -EINVAL when it is refused: NTP time 0 or going back, or an implied RTP clock more than 5 % off
//          over more than a second (neither the map nor the session's offset is changed)
[[nodiscard]] int sr_map_on_sr(struct sr_map *, struct pub_clock *, uint64_t ntp, uint32_t rtp,
			       uint32_t clock_hz, ns_t arrival);

// RTP time of this SSRC at our time `now`; add the leg's timestamp offset for a downstream SR.
//
// returns: false without an accepted SR
bool sr_map_rtp_at(const struct sr_map *, struct pub_clock *, ns_t now, uint32_t *rtp);

// NTP time difference a - b in nanoseconds (signed; NTP eras wrap).
int64_t ntp_diff_ns(uint64_t a, uint64_t b);
