#include "lib/rtc/recv/timeline.h"

#include <assert.h>

void timeline_rebase(struct timeline *t, uint32_t ts, uint32_t clock_hz, uint32_t frame_ms, uint32_t grid_ms,
		     ns_t now)
{
	ns_t step_ms = (now - t->at) / NS_PER_MS;

	assert(grid_ms > 0);
	if (!t->started || clock_hz == 0)
		return;
	if (step_ms < frame_ms)
		step_ms = frame_ms;
	step_ms -= step_ms % grid_ms;
	t->offset = t->last + (uint32_t)(step_ms * (clock_hz / 1000)) - ts;
}

bool timeline_has_left(const struct timeline *t, uint32_t ts, uint32_t clock_hz, ns_t now)
{
	int64_t per_ms = clock_hz / 1000, ticks = (int32_t)(ts + t->offset - t->last);
	int64_t off = ticks - (now - t->at) / NS_PER_MS * per_ms;
	int64_t limit = TIMELINE_JUMP_NS / NS_PER_MS * per_ms;

	return ticks <= 0 || off > limit || off < -limit;
}
