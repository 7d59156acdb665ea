// The rule rounds mean and deviation to integers before comparing; since only two comparisons are made, they
// are done on the sum of squares instead. With S = sum of (level - mean)^2 over 50 levels and dev =
// round(sqrt(S / 49)):
//   dev > 10  <=>  sqrt(S / 49) >= 10.5  <=>  S >= 5402.25
//   dev <  4  <=>  sqrt(S / 49) <   3.5  <=>  S <   600.25
// S follows from the two running sums, exactly.
#include "lib/rtc/recv/vad.h"

#include "lib/base/err.h"

#define DEV_ABOVE_10 5403
#define DEV_BELOW_4 600

static int64_t vad_spread(const struct vad *v)
{
	int64_t mean = (v->sum + VAD_RING / 2) / VAD_RING; // half rounds away from zero

	return (int64_t)v->sum_sq - 2 * mean * v->sum + VAD_RING * mean * mean;
}

enum vad_change vad_push(struct vad *v, uint8_t level, ns_t now)
{
	uint8_t *slot = &v->level[v->at];
	bool was_full = v->n == VAD_RING;
	int64_t spread;

	ASSERT_HOT(level <= 127);
	if (was_full) {
		v->sum -= *slot;
		v->sum_sq -= (uint32_t)*slot * *slot;
	} else {
		v->n++;
	}
	*slot = level;
	v->sum += level;
	v->sum_sq += (uint32_t)level * level;
	v->at = (uint8_t)((v->at + 1) % VAD_RING);
	if (!was_full) // the first 50 only fill the ring
		return VAD_SAME;

	spread = vad_spread(v);
	if (!v->on && spread >= DEV_ABOVE_10) {
		v->on = true;
		v->on_since = now;
		return VAD_ON;
	}
	if (v->on && spread <= DEV_BELOW_4 && now - v->on_since >= VAD_MIN_ON_NS) {
		v->on = false;
		return VAD_OFF;
	}
	return VAD_SAME;
}

enum vad_change vad_reset(struct vad *v)
{
	bool was_on = v->on;

	*v = (struct vad){};
	return was_on ? VAD_OFF : VAD_SAME;
}
