#include "lib/rtc/send/gcc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "lib/rtc/send/gcc_delay.h"

#define BUCKET_US 20000
#define RATE_BUCKETS 25    // half a second
#define RATE_MIN_BUCKETS 8 // a rate over less than 160 ms means nothing
#define DECREASE 0.85
#define INCREASE 1.08                 // per second
#define ADD_MIN_BPS 4000              // per second
#define RESPONSE_NS (100 * NS_PER_MS) // plus RTT: time until an increase shows
#define CAPACITY_WEIGHT 0.05
#define VAR_MIN 0.4
#define VAR_MAX 2.5
#define LOSS_PACKETS 20
#define LOSS_LOW 0.02
#define LOSS_HIGH 0.10
#define LOSS_WEIGHT 0.2
#define INHERENT_WEIGHT 0.1 // loss that a short queue cannot explain is the path's own; up to
#define INHERENT_MAX 0.06   // this much is not answered by sending less
#define NO_QUEUE_MS 20
#define SHORT_QUEUE_MS 50
#define LONG_QUEUE_MS 250             // the estimate is no more than what arrives
#define LOSS_GAP_NS (300 * NS_PER_MS) // plus RTT, between two decreases
#define IDLE_BPS 100000
#define CALM_NS (2 * NS_PER_S)
#define PROVEN_NS (2 * NS_PER_S)
#define OFFER_MARGIN \
	1.25 // climbing to a rate takes a tenth more than it, and voice and resends have their part

// --- acknowledged rate --------------------------------------------------------------------------

// Arrival times, and with them numbers of buckets, may be negative.
static uint32_t *bucket(struct gcc_acked *a, int64_t b)
{
	return &a->bytes[(uint64_t)b % GCC_ACK_BUCKETS];
}

static void acked_add(struct gcc_acked *a, int64_t arrival_us, uint16_t n_bytes)
{
	int64_t b = arrival_us / BUCKET_US;

	if (!a->started || b - a->top > 4 * GCC_ACK_BUCKETS || b <= a->top - GCC_ACK_BUCKETS) {
		*a = (struct gcc_acked){.first = b, .top = b, .started = true};
	}
	for (; a->top < b; a->top++)
		*bucket(a, a->top + 1) = 0;
	*bucket(a, b) += n_bytes;
}

// The newest bucket is still filling, the first one began anywhere.
static double acked_bps(const struct gcc_acked *a)
{
	int64_t n = a->top - a->first - 1, sum = 0;

	if (!a->started || n < RATE_MIN_BUCKETS)
		return 0;
	if (n > RATE_BUCKETS)
		n = RATE_BUCKETS;
	for (int64_t b = a->top - n; b < a->top; b++)
		sum += a->bytes[(uint64_t)b % GCC_ACK_BUCKETS];
	return (double)sum * 8 * 1e6 / ((double)n * BUCKET_US);
}

// --- delay part ---------------------------------------------------------------------------------

static double seconds(ns_t a)
{
	return (double)a / NS_PER_S;
}

static double clamp(double v, double lo, double hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

// The rate at a decrease is what the link can carry. Its variance is kept relative to it (kbit/s).
static void capacity_learn(struct gcc *g, double bps)
{
	double kbps = bps / 1000, mean = g->capacity / 1000, err;

	if (g->capacity <= 0) {
		g->capacity = bps;
		g->capacity_var = VAR_MIN;
		return;
	}
	mean = (1 - CAPACITY_WEIGHT) * mean + CAPACITY_WEIGHT * kbps;
	err = mean - kbps;
	g->capacity = mean * 1000;
	g->capacity_var =
		clamp((1 - CAPACITY_WEIGHT) * g->capacity_var + CAPACITY_WEIGHT * err * err / fmax(mean, 1),
		      VAR_MIN, VAR_MAX);
}

static double capacity_sigma(const struct gcc *g)
{
	return sqrt(g->capacity_var * g->capacity / 1000) * 1000;
}

static void delay_decrease(struct gcc *g, double acked, ns_t now)
{
	ns_t gap = g->rtt < 10 * NS_PER_MS    ? 10 * NS_PER_MS
		   : g->rtt > 200 * NS_PER_MS ? 200 * NS_PER_MS
					      : g->rtt;
	double to;

	g->overused = now;
	g->has_overused = true;
	g->is_holding = true;
	if (g->decreased && now - g->decreased < gap)
		return;
	to = DECREASE * (acked > 0 ? acked : g->delay_bps);
	if (acked > 0) {
		if (g->capacity > 0 && acked < g->capacity - 3 * capacity_sigma(g))
			g->capacity = 0; // another link than the one that was learnt
		capacity_learn(g, acked);
	}
	if (to < g->delay_bps)
		g->delay_bps = to;
	g->decreased = now;
}

// A forwarded layer has the rate it has: where less than the link carries is sent, nothing shows that more would get
// through than was once seen to, until a probe does.
static double unseen_max(const struct gcc *g, double acked)
{
	double cap = 1.5 * acked + 10000;

	return g->capacity > 0 ? fmin(cap, fmax(g->capacity, acked)) : cap;
}

static void delay_increase(struct gcc *g, double acked, ns_t now)
{
	double dt = clamp(seconds(now - g->changed), 0, 1), to = g->delay_bps, cap = 1.5 * acked + 10000;

	if (g->capacity > 0 && acked > g->capacity + 3 * capacity_sigma(g))
		g->capacity = 0;
	if (g->capacity > 0 && acked > g->capacity - 3 * capacity_sigma(g)) {
		to += fmax(ADD_MIN_BPS, g->packet_bits / seconds(g->rtt + RESPONSE_NS)) * dt;
	} else {
		to = fmax(to * pow(INCREASE, dt), to + 1000 * dt);
		cap = unseen_max(g, acked);
	}
	if (acked > 0 && to > cap)
		to = fmax(cap, g->delay_bps);
	// A key frame is a burst: it makes a queue where there is room on average. What has passed since, without one,
	// does get through.
	if (gcc_queue_ms(g) < NO_QUEUE_MS)
		to = fmax(to, acked);
	g->delay_bps = to;
}

// With what is not acknowledged but goes the same way. 0: unknown.
static double all_acked(const struct gcc *g)
{
	double acked = acked_bps(&g->acked);

	return acked > 0 ? acked + g->other_bps : 0;
}

static void delay_adapt(struct gcc *g, ns_t now)
{
	double acked = all_acked(g);

	switch (g->delay.usage) {
	case GCC_OVERUSE:
		delay_decrease(g, acked, now);
		break;
	case GCC_UNDERUSE:
		g->is_holding = true; // the queue drains
		break;
	case GCC_NORMAL:
		// A queue that grows too slowly for the trend to be noticed.
		if (gcc_queue_ms(g) > LONG_QUEUE_MS) {
			g->is_holding = true;
			g->delay_bps = acked > 0 ? fmin(g->delay_bps, acked) : g->delay_bps;
			break;
		}
		if (!g->is_holding)
			delay_increase(g, acked, now);
		g->is_holding = false;
		break;
	}
	g->changed = now;
	g->delay_bps = clamp(g->delay_bps, g->conf.min_bps, gcc_max(g));
}

// --- loss part ----------------------------------------------------------------------------------

// Radio links lose packets at any rate. Loss while the delay does not rise is learnt as the path's own, slowly,
// so that the loss of a link that polices instead of queueing still shows first.
static void inherent_learn(struct gcc *g)
{
	bool is_short = g->delay.usage != GCC_OVERUSE && gcc_queue_ms(g) < SHORT_QUEUE_MS;

	if (g->loss < g->inherent || is_short)
		g->inherent += INHERENT_WEIGHT * (g->loss - g->inherent);
	g->inherent = fmin(g->inherent, INHERENT_MAX);
}

static double loss_excess(const struct gcc *g)
{
	return g->loss - g->inherent;
}

static void loss_answer(struct gcc *g, ns_t now)
{
	double dt = clamp(seconds(now - g->loss_changed), 0, 1);

	g->loss_changed = now;
	if (loss_excess(g) > LOSS_HIGH) {
		if (g->loss_decreased && now - g->loss_decreased < LOSS_GAP_NS + g->rtt)
			return;
		g->loss_bps = fmin(g->loss_bps, gcc_target(g)) * (1 - 0.5 * g->loss);
		g->loss_decreased = now;
	} else if (loss_excess(g) < LOSS_LOW) {
		g->loss_bps = g->loss_bps * pow(INCREASE, dt) + 1000 * dt;
	}
	g->loss_bps = clamp(g->loss_bps, g->conf.min_bps, gcc_max(g));
}

static void loss_adapt(struct gcc *g, ns_t now)
{
	if (g->n_seen < LOSS_PACKETS)
		return;
	g->loss += LOSS_WEIGHT * ((double)g->n_lost / g->n_seen - g->loss);
	inherent_learn(g);
	g->n_lost = g->n_seen = 0;
	loss_answer(g, now);
}

// --- interface ----------------------------------------------------------------------------------

void gcc_init(struct gcc *g, const struct gcc_conf *conf, ns_t now)
{
	assert(conf->min_bps > 0 && conf->min_bps <= conf->start_bps && conf->start_bps <= conf->max_bps);
	*g = (struct gcc){.conf = *conf,
			  .delay_bps = conf->start_bps,
			  .loss_bps = conf->max_bps, // no loss, no limit
			  .remb_bps = UINT32_MAX,
			  .packet_bits = 1000 * 8,
			  .changed = now,
			  .loss_changed = now,
			  .rtt = GCC_RTT_NS};
	gcc_delay_init(&g->delay);
}

// What was sent before the last decrease shows the rate that was given up: a queue that was full then goes on to lose
// packets, and must not be answered twice.
static bool is_before_decrease(const struct gcc *g, int64_t sent_us)
{
	ns_t decreased = g->decreased > g->loss_decreased ? g->decreased : g->loss_decreased;

	return decreased != 0 && sent_us < decreased / NS_PER_US;
}

void gcc_ack(struct gcc *g, const struct sendhist_ack *a)
{
	bool is_counted = !is_before_decrease(g, a->sent_us);

	switch (a->event) {
	case SENDHIST_ACKED:
		g->n_seen += is_counted;
		g->packet_bits += 0.05 * (a->n_bytes * 8 - g->packet_bits);
		acked_add(&g->acked, a->arrival_us, a->n_bytes);
		gcc_delay_packet(&g->delay, a->sent_us, a->arrival_us);
		break;
	case SENDHIST_LOST:
		g->n_seen += is_counted;
		g->n_lost += is_counted;
		break;
	case SENDHIST_LATE:
		if (g->n_lost > 0 && is_counted)
			g->n_lost--;
		break;
	}
}

void gcc_update(struct gcc *g, ns_t rtt, ns_t now)
{
	g->rtt = rtt > 0 ? rtt : GCC_RTT_NS;
	g->feedback = g->heard = g->idle_at = now;
	g->has_feedback = true;
	if (g->is_by_reports) { // it began late
		g->is_by_reports = false;
		g->delay_bps = g->loss_bps;
	}
	loss_adapt(g, now);
	delay_adapt(g, now);
}

void gcc_report(struct gcc *g, uint8_t fraction_lost, ns_t rtt, ns_t now)
{
	if (g->has_feedback && !g->is_by_reports)
		return;
	if (!g->is_by_reports) {
		g->is_by_reports = true;
		g->loss_bps = fmin(g->loss_bps, fmax(g->delay_bps, OFFER_MARGIN * g->offered_bps));
		g->delay_bps = gcc_max(g);
		g->loss_changed = now;
	}
	g->rtt = rtt > 0 ? rtt : GCC_RTT_NS;
	g->feedback = g->idle_at = now;
	g->has_feedback = true;
	// A second's worth of packets at once; the path's own loss cannot be told from congestion without the delay.
	g->loss += 0.5 * (fraction_lost / 256.0 - g->loss);
	loss_answer(g, now);
}

void gcc_probe(struct gcc *g, uint32_t bps, bool is_full, ns_t now)
{
	double v = clamp((double)bps + g->other_bps, g->conf.min_bps, gcc_max(g)), acked = all_acked(g);

	if (is_full && v < g->delay_bps &&
	    acked > 0) { // the estimate had drifted away from what the link carries
		g->delay_bps = fmax(v, acked);
		g->capacity = 0;
		capacity_learn(g, g->delay_bps);
	}

	if (g->capacity > 0 && v > g->capacity + 3 * capacity_sigma(g))
		g->capacity = 0;
	if (v > g->delay_bps) {
		g->delay_bps = v;
		g->proven = now;
	}
	if (v > g->loss_bps && loss_excess(g) < LOSS_LOW)
		g->loss_bps = v;
	g->changed = now;
}

void gcc_other(struct gcc *g, uint32_t bps)
{
	g->other_bps = bps < gcc_max(g) ? bps : gcc_max(g);
}

void gcc_offer(struct gcc *g, uint32_t bps)
{
	uint32_t before = gcc_max(g);

	g->offered_bps = bps;
	if (g->loss_bps >= before) // no limit stays none
		g->loss_bps = gcc_max(g);
	if (!g->is_by_reports)
		return;
	g->delay_bps = gcc_max(g);
	if (g->loss_decreased == 0 && loss_excess(g) < LOSS_LOW)
		g->loss_bps = fmax(g->loss_bps, fmin(OFFER_MARGIN * bps, gcc_max(g)));
}

uint32_t gcc_max(const struct gcc *g)
{
	double most = fmin(OFFER_MARGIN * g->offered_bps, GCC_CEILING_BPS);

	return most > g->conf.max_bps ? (uint32_t)most : g->conf.max_bps;
}

void gcc_remb(struct gcc *g, uint32_t bps)
{
	g->remb_bps = bps;
}

// Nothing was sent for a while: what stood in the queue is gone, and what was lost is over.
static void rested(struct gcc *g, ns_t now)
{
	double threshold = g->delay.threshold;

	if (now - g->heard < CALM_NS)
		return;
	gcc_delay_init(&g->delay);
	g->delay.threshold = threshold;
	g->loss = fmin(g->loss, g->inherent);
	g->n_lost = g->n_seen = 0;
	g->heard = now;
}

void gcc_idle(struct gcc *g, uint32_t sent_bps, ns_t now)
{
	if (!g->has_feedback || sent_bps < IDLE_BPS) {
		rested(g, now);
		if (g->is_by_reports) // no reports about nothing: without this, what was paused would stay so
			loss_answer(g, now);
		g->idle_at = now;
		g->feedback = now;
		return;
	}
	if (now - g->feedback < GCC_SILENT_NS || now - g->idle_at < NS_PER_S)
		return;
	g->delay_bps = clamp(gcc_target(g) * 0.8, g->conf.min_bps, gcc_max(g));
	if (g->is_by_reports) { // whose delay part has no way up
		g->loss_bps = g->delay_bps;
		g->delay_bps = gcc_max(g);
	}
	g->idle_at = now;
}

void gcc_reset(struct gcc *g, ns_t now)
{
	struct gcc_conf conf = g->conf, begin = conf;
	uint32_t offered;

	if (gcc_target(g) < begin.start_bps)
		begin.start_bps = gcc_target(g);
	offered = g->offered_bps;
	gcc_init(g, &begin, now);
	g->conf = conf;
	gcc_offer(g, offered);
}

uint32_t gcc_target(const struct gcc *g)
{
	double v = fmin(fmin(g->delay_bps, g->loss_bps), g->remb_bps);

	return (uint32_t)clamp(v, g->conf.min_bps, gcc_max(g));
}

uint16_t gcc_loss(const struct gcc *g)
{
	return (uint16_t)(fmax(loss_excess(g), 0) * 1000);
}

uint32_t gcc_queue_ms(const struct gcc *g)
{
	return (uint32_t)clamp(g->delay.smooth - g->delay.floor, 0, 60000);
}

bool gcc_is_proven(const struct gcc *g, ns_t now)
{
	return g->proven && now - g->proven < PROVEN_NS && (!g->has_overused || g->overused < g->proven);
}

bool gcc_is_calm(const struct gcc *g, ns_t now)
{
	return g->has_feedback && !g->is_by_reports && g->delay.usage != GCC_OVERUSE &&
	       loss_excess(g) < LOSS_LOW && gcc_queue_ms(g) < SHORT_QUEUE_MS &&
	       (!g->has_overused || now - g->overused >= CALM_NS);
}
