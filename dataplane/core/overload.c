#include "dataplane/core/overload.h"

#include "lib/base/err.h"

static const uint16_t busy_from[] = {0, 700, 800, 900, 1001};

void overload_init(struct overload *o, ns_t stale_ns)
{
	*o = (struct overload){.stale_ns = stale_ns, .above = NS_NEVER, .below = NS_NEVER};
}

static uint8_t stage_by_age(const struct overload *o)
{
	if (o->max_age >= o->stale_ns)
		return o->stage >= OVERLOAD_VIDEO ? OVERLOAD_VOICES : OVERLOAD_VIDEO;
	return o->max_age >= o->stale_ns / 2 ? OVERLOAD_SCREENS : 0;
}

static uint8_t stage_of(const struct overload *o, unsigned busy)
{
	uint8_t by_age = stage_by_age(o), by_busy = o->refused ? OVERLOAD_PROBES : 0;

	while (by_busy < OVERLOAD_VIDEO && busy >= busy_from[by_busy + 1])
		by_busy++;
	return by_age > by_busy ? by_age : by_busy;
}

static bool lasts(ns_t *since, bool is_so, ns_t now, ns_t how_long)
{
	if (!is_so)
		*since = NS_NEVER;
	else if (*since == NS_NEVER)
		*since = now;
	return is_so && now - *since >= how_long;
}

// Share of the time since the last measurement, smoothed; a time of no length says nothing.
static void busy_add(struct overload *o, uint64_t n_busy, uint64_t n_idle, ns_t now)
{
	uint64_t busy = n_busy - o->n_busy, all = busy + n_idle - o->n_idle;
	ns_t dt = now - o->measured;
	int64_t share;

	if (all == 0)
		return;
	share = busy < all ? (int64_t)((double)busy / (double)all * 1000) : 1000;
	if (dt > NS_PER_S)
		dt = NS_PER_S;
	o->busy = (uint16_t)(o->busy + (share - o->busy) * dt / NS_PER_S);
}

bool overload_measure(struct overload *o, uint64_t n_busy, uint64_t n_idle, ns_t now)
{
	uint8_t before = o->stage, stage;

	ASSERT_HOT(n_busy >= o->n_busy && n_idle >= o->n_idle && o->stage <= OVERLOAD_VOICES);
	if (o->started && now - o->measured < OVERLOAD_STEP_NS)
		return false;
	if (o->started)
		busy_add(o, n_busy, n_idle, now);
	o->started = true;
	o->measured = now;
	o->n_busy = n_busy;
	o->n_idle = n_idle;
	stage = stage_of(o, o->busy);
	if (lasts(&o->above, stage > o->stage, now, OVERLOAD_ENTER_NS)) {
		o->stage++;
		o->above = now; // the next one has its own second
	}
	if (lasts(&o->below, stage_of(o, o->busy + OVERLOAD_LEAVE_LESS) < o->stage, now, OVERLOAD_LEAVE_NS)) {
		o->stage--;
		o->below = now;
	}
	o->max_age = 0;
	o->refused = false;
	return o->stage != before;
}
