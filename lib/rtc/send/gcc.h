// Send-side bandwidth estimate of one receiver: how much may be sent so that its queue stays short.
//
// A delay part (do groups of packets arrive ever later?) and a loss part; the smaller one counts.
//
// thread: worker of the receiver; a few microseconds per feedback message, floating point
// units:  bit/s; microseconds for packet times
// source: draft-ietf-rmcat-gcc-02 (sections 4 to 6), with the trendline filter that replaced its Kalman filter
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/rtc/send/sendhist.h"

#define GCC_MIN_BPS 100000
#define GCC_START_BPS 600000
#define GCC_MAX_BPS 3750000 // unless more is offered
#define GCC_CEILING_BPS \
	10000000 // however much is offered: what a history of packets holds (sendhist), about a second
#define GCC_RTT_NS (200 * NS_PER_MS) // assumed while unknown
#define GCC_SILENT_NS (3 * NS_PER_S) // without feedback for so long: fall by a fifth per second

#define GCC_TREND_POINTS 20
#define GCC_ACK_BUCKETS 32 // of 20 ms; the rate is that of the last 25, half a second

struct gcc_conf {
	uint32_t min_bps, start_bps, max_bps;
};

enum gcc_usage { GCC_NORMAL, GCC_OVERUSE, GCC_UNDERUSE };

struct gcc_group {
	int64_t first_sent, last_sent, first_arrival, last_arrival; // microseconds
	bool is_set;
};

// Is the delay rising? Groups -> slope of the smoothed delay -> compared with an adaptive threshold.
struct gcc_delay {
	struct gcc_group now, before;
	uint8_t n_reordered;
	// trendline
	struct {
		double at, delay; // ms
	} point[GCC_TREND_POINTS];
	uint8_t n_points, next_point;
	uint32_t n_deltas;
	int64_t first_arrival;
	double sum, smooth; // ms: accumulated and smoothed delay
	double floor;       // lowest smooth lately: smooth - floor is the queue
	// detector
	double threshold, trend; // ms
	int64_t threshold_at;    // arrival time, 0: never
	double over_ms;
	uint8_t n_over;
	enum gcc_usage usage;
};

// What arrives per second, by the receiver's clock.
struct gcc_acked {
	uint32_t bytes[GCC_ACK_BUCKETS];
	int64_t first, top; // numbers of buckets
	bool started;
};

// Zeroed is not valid. Use:
//   1. gcc_init
//   2. per feedback message: gcc_ack for each result of sendhist_next, then gcc_update
//   3. gcc_idle about every 100 ms while media is sent
struct gcc {
	struct gcc_conf conf;
	struct gcc_delay delay;
	struct gcc_acked acked;
	double delay_bps;  // part by delay
	double loss_bps;   // part by loss
	uint32_t remb_bps; // receiver's own cap, UINT32_MAX: none
	uint32_t other_bps;
	uint32_t offered_bps; // gcc_offer
	// rate control
	double capacity, capacity_var; // of the link, from decreases; 0: unknown. var: relative to its mean
	double packet_bits;            // average
	ns_t changed, decreased, loss_changed, loss_decreased;
	ns_t feedback; // last one, or when nothing was to be had
	ns_t heard;    // last one
	ns_t overused; // last time
	ns_t proven;   // last time a probe raised it, 0: never
	ns_t idle_at;  // last fall for want of feedback
	ns_t rtt;
	bool has_overused, has_feedback, is_holding;
	bool is_by_reports; // gcc_report, never gcc_update
	// loss since the last evaluation
	uint32_t n_lost, n_seen;
	double loss;     // smoothed, 0..1
	double inherent; // of it, what the path loses at any rate
};

void gcc_init(struct gcc *, const struct gcc_conf *, ns_t now);

void gcc_ack(struct gcc *, const struct sendhist_ack *);

// End of a feedback message: adapt.
//
// in: rtt  0: unknown
void gcc_update(struct gcc *, ns_t rtt, ns_t now);

// All that there is to be sent: one stream above conf.max_bps must not be kept back by it for good, so that the target
// may rise to a quarter more than this, if that is above conf.max_bps, and to GCC_CEILING_BPS at most.
void gcc_offer(struct gcc *, uint32_t bps);

// A receiver without transport-wide feedback: what its report block says of a stream is all there is. Nothing can be
// measured but loss, so the first report lets the target begin with what is offered, and makes the delay part unlimited;
// REMB, where it comes, caps. Once feedback came, reports are ignored.
//
// in: fraction_lost  of the report block, 1/256
//     rtt            0: unknown
void gcc_report(struct gcc *, uint8_t fraction_lost, ns_t rtt, ns_t now);

// A probe cluster showed that this much gets through (lib/rtc/send/probe.h).
//
// in: is_full  and no more: an estimate above that falls to it
void gcc_probe(struct gcc *, uint32_t bps, bool is_full, ns_t now);

// What goes the same way without transport-wide numbers (voice), so that nothing tells when it arrives: the target is
// for all together.
void gcc_other(struct gcc *, uint32_t bps);

// Cap by the receiver; UINT32_MAX: none.
void gcc_remb(struct gcc *, uint32_t bps);

// Time passed: without feedback the estimate falls.
//
// in: sent_bps  what is sent at present; below 100 kbit/s nothing falls
void gcc_idle(struct gcc *, uint32_t sent_bps, ns_t now);

// The path changed (another network): begin anew, from no more than before.
void gcc_reset(struct gcc *, ns_t now);

uint32_t gcc_target(const struct gcc *);
// The most that the target can be.
uint32_t gcc_max(const struct gcc *);
// Has anything come from the receiver that the target could be made of?
static inline bool gcc_is_measured(const struct gcc *g)
{
	return g->has_feedback;
}
// Loss beyond what the path loses at any rate, per mille.
uint16_t gcc_loss(const struct gcc *);
// Queueing delay above the lowest lately seen, milliseconds.
uint32_t gcc_queue_ms(const struct gcc *);
// A probe raised the target within the last 2 s, and nothing spoke against it since.
bool gcc_is_proven(const struct gcc *, ns_t now);
// No overuse for 2 s, a short queue, loss below 2 % beyond the path's own: a probe may be tried.
bool gcc_is_calm(const struct gcc *, ns_t now);
