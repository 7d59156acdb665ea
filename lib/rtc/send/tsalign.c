#include "lib/rtc/send/tsalign.h"

#include <assert.h>

#include "lib/rtc/wire/rtp.h"

// To the nearest tick, so that switching there and back leaves no error.
static int64_t ticks_of(ns_t ns, uint32_t hz)
{
	assert(hz > 0);
	ns += NS_PER_S / 2 / hz * (ns < 0 ? -1 : 1);
	return ns / NS_PER_S * hz + ns % NS_PER_S * hz / NS_PER_S;
}

// Offset of the new layer that shows the same instant under the same timestamp.
static bool offset_exact(const struct tsalign *a, const struct tsalign_in *in, uint32_t *offset)
{
	uint32_t from_at;

	if (!in->from->valid || !in->to->valid || in->from->era != in->to->era)
		return false;
	// What the old layer's clock shows at the time of the new one's report.
	from_at = in->from->rtp + (uint32_t)ticks_of(ntp_diff_ns(in->to->ntp, in->from->ntp), in->clock_hz);
	*offset = a->true_offset + from_at - in->to->rtp;
	return true;
}

// The rewriter may have begun an epoch with another offset by itself (the publisher's clock jumped).
static void offset_follow(struct tsalign *a, uint32_t offset)
{
	if (a->has_offset && a->used_offset == offset)
		return;
	a->true_offset = a->used_offset = offset;
	a->has_offset = true;
}

static enum tsalign_verdict settle(struct tsalign *a, uint32_t true_offset, uint32_t used, uint32_t *offset)
{
	a->true_offset = true_offset;
	a->used_offset = *offset = used;
	a->is_waiting = false;
	a->n_retries = 0;
	return TSALIGN_OK;
}

enum tsalign_verdict tsalign_switch(struct tsalign *a, const struct tsalign_in *in, uint32_t *offset)
{
	int64_t elapsed = ticks_of(in->now > in->last_sent ? in->now - in->last_sent : 0, in->clock_hz);
	int64_t step = ticks_of(TSALIGN_STEP_NS, in->clock_hz), ahead;
	uint32_t by_time = in->last_ts + (uint32_t)(elapsed > step ? elapsed : step) - in->ts, exact;

	offset_follow(a, in->offset);
	if (!a->is_waiting || a->wait_layer != in->layer) {
		a->is_waiting = true;
		a->wait_layer = in->layer;
		a->wait_since = in->now;
		a->n_retries = 0;
	}
	if (!offset_exact(a, in, &exact)) {
		if (in->now - a->wait_since < TSALIGN_WAIT_NS)
			return TSALIGN_WAIT;
		return settle(a, by_time, by_time, offset);
	}
	ahead = seq32_diff(in->ts + exact, in->last_ts);
	if (ahead - elapsed > ticks_of(TSALIGN_MAX_AHEAD_NS, in->clock_hz))
		return settle(a, by_time, by_time, offset);
	if (ahead > 0)
		return settle(a, exact, exact, offset);
	if (ahead < -ticks_of(TSALIGN_MAX_BACK_NS, in->clock_hz) && a->n_retries == 0) {
		a->n_retries++;
		return TSALIGN_RETRY;
	}
	// Far behind, for the second time: a report is as likely wrong as the layer is late. Nothing to come back to.
	if (ahead < -ticks_of(10 * TSALIGN_MAX_BACK_NS, in->clock_hz))
		return settle(a, by_time, by_time, offset);
	return settle(a, exact, in->last_ts + (uint32_t)step - in->ts, offset);
}
