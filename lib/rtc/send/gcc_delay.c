#include "lib/rtc/send/gcc_delay.h"

#include <math.h>

#define GROUP_US 5000         // packets sent within this time are one group
#define BURST_US 5000         // so are packets that arrive together ...
#define BURST_SPAN_US 100000  // ... while the group is shorter than this
#define MAX_OFFSET_US 3000000 // an arrival jump beyond starts over
#define MAX_REORDERED 3
#define SMOOTHING 0.9
#define GAIN 4.0
#define MIN_POINTS 10 // half a window: a link that is too small from the start is noticed in time
#define MAX_DELTAS 60
#define THRESHOLD_START 12.5 // ms
#define THRESHOLD_MIN 6.0
#define THRESHOLD_MAX 600.0
#define THRESHOLD_UP 0.0087
#define THRESHOLD_DOWN 0.039
#define THRESHOLD_OUTLIER 15.0
#define OVERUSE_MS 10.0
#define FLOOR_RISE 0.003 // ms per ms: the floor forgets, as clocks drift and paths change

void gcc_delay_init(struct gcc_delay *d)
{
	*d = (struct gcc_delay){.threshold = THRESHOLD_START};
}

// The stream of groups broke off; what was learnt of the threshold stays.
static void delay_restart(struct gcc_delay *d)
{
	double threshold = d->threshold;

	gcc_delay_init(d);
	d->threshold = threshold;
}

// Slope of the points by least squares, ms per ms.
static double slope(const struct gcc_delay *d)
{
	double x = 0, y = 0, num = 0, den = 0;

	for (unsigned i = 0; i < d->n_points; i++) {
		x += d->point[i].at;
		y += d->point[i].delay;
	}
	x /= d->n_points;
	y /= d->n_points;
	for (unsigned i = 0; i < d->n_points; i++) {
		num += (d->point[i].at - x) * (d->point[i].delay - y);
		den += (d->point[i].at - x) * (d->point[i].at - x);
	}
	return den > 0 ? num / den : 0;
}

// The threshold follows the trend, slowly up and quickly down, so that other traffic on the link neither starves
// us nor makes us deaf.
static void threshold_adapt(struct gcc_delay *d, double trend, int64_t arrival_us)
{
	double dt = d->threshold_at ? (double)(arrival_us - d->threshold_at) / 1000 : 0;
	double size = fabs(trend);

	d->threshold_at = arrival_us;
	if (size > d->threshold + THRESHOLD_OUTLIER)
		return;
	dt = fmin(fmax(dt, 0), 100);
	d->threshold += (size < d->threshold ? THRESHOLD_DOWN : THRESHOLD_UP) * (size - d->threshold) * dt;
	d->threshold = fmin(fmax(d->threshold, THRESHOLD_MIN), THRESHOLD_MAX);
}

static void detect(struct gcc_delay *d, double trend, double dt_ms)
{
	if (trend > d->threshold) {
		// Half of the first interval, as it began somewhere within it.
		d->over_ms += d->n_over == 0 ? dt_ms / 2 : dt_ms;
		if (d->n_over < UINT8_MAX)
			d->n_over++;
		if (d->over_ms > OVERUSE_MS && d->n_over >= 2 && trend >= d->trend) {
			d->over_ms = 0;
			d->n_over = 0;
			d->usage = GCC_OVERUSE;
		}
	} else {
		d->over_ms = 0;
		d->n_over = 0;
		d->usage = trend < -d->threshold ? GCC_UNDERUSE : GCC_NORMAL;
	}
	d->trend = trend;
}

// Two complete groups: by how much more did the arrivals spread than the departures?
static void delta_add(struct gcc_delay *d, double sent_ms, double arrival_ms, int64_t arrival_us)
{
	double at, trend;

	if (d->n_deltas == 0)
		d->first_arrival = arrival_us;
	if (d->n_deltas < UINT32_MAX)
		d->n_deltas++;
	at = (double)(arrival_us - d->first_arrival) / 1000;
	d->sum += arrival_ms - sent_ms;
	d->smooth = SMOOTHING * d->smooth + (1 - SMOOTHING) * d->sum;
	d->floor = fmin(d->floor + FLOOR_RISE * fmax(arrival_ms, 0), d->smooth);
	d->point[d->next_point].at = at;
	d->point[d->next_point].delay = d->smooth;
	d->next_point = (uint8_t)((d->next_point + 1) % GCC_TREND_POINTS);
	if (d->n_points < GCC_TREND_POINTS)
		d->n_points++;
	if (d->n_points < MIN_POINTS)
		return;
	trend = (d->n_deltas < MAX_DELTAS ? d->n_deltas : MAX_DELTAS) * slope(d) * GAIN;
	detect(d, trend, sent_ms);
	threshold_adapt(d, trend, arrival_us);
}

static bool group_takes(const struct gcc_group *g, int64_t sent_us, int64_t arrival_us)
{
	int64_t da = arrival_us - g->last_arrival, ds = sent_us - g->last_sent;

	if (sent_us - g->first_sent <= GROUP_US)
		return true;
	return da <= BURST_US && da - ds < 0 && arrival_us - g->first_arrival < BURST_SPAN_US;
}

static void group_close(struct gcc_delay *d)
{
	int64_t ds = d->now.last_sent - d->before.last_sent,
		da = d->now.last_arrival - d->before.last_arrival;

	if (!d->before.is_set)
		return;
	if (da - ds > MAX_OFFSET_US || da - ds < -MAX_OFFSET_US) {
		delay_restart(d);
		return;
	}
	if (da < 0) {
		if (++d->n_reordered >= MAX_REORDERED)
			delay_restart(d);
		return;
	}
	d->n_reordered = 0;
	delta_add(d, (double)ds / 1000, (double)da / 1000, d->now.last_arrival);
}

void gcc_delay_packet(struct gcc_delay *d, int64_t sent_us, int64_t arrival_us)
{
	struct gcc_group *g = &d->now;

	if (g->is_set && sent_us < g->first_sent)
		return; // sent before this group: its own is closed
	if (g->is_set && !group_takes(g, sent_us, arrival_us)) {
		struct gcc_group closed = *g;

		group_close(d);
		d->before = closed;
		g->is_set = false;
	}
	if (!g->is_set) {
		*g = (struct gcc_group){.first_sent = sent_us,
					.last_sent = sent_us,
					.first_arrival = arrival_us,
					.last_arrival = arrival_us,
					.is_set = true};
		return;
	}
	if (sent_us > g->last_sent)
		g->last_sent = sent_us;
	if (arrival_us > g->last_arrival)
		g->last_arrival = arrival_us;
}
