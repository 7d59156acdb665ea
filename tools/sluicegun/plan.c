#include "tools/sluicegun/plan.h"

#include <math.h>

#include "tools/sluicegun/mark.h"

#define WIRE_OVERHEAD 64 // bytes a video packet has besides its payload: IPv4, UDP, RTP, extensions, tag

uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

double rng_unit(struct rng *r)
{
	return (double)(rng_next(r) >> 11) * 0x1p-53;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(((rng_next(r) >> 32) * n) >> 32);
}

static double rng_normal(struct rng *r, double mean, double deviation)
{
	double u = 1 - rng_unit(r), v = rng_unit(r);

	return mean + deviation * sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

double rng_exponential(struct rng *r, double mean)
{
	return -mean * log(1 - rng_unit(r));
}

unsigned plan_voice_bytes(struct rng *r)
{
	double n;

	if (rng_below(r, 100) < 7)
		return MARK_LEN + rng_below(r, 5);
	n = rng_normal(r, 180, 35);
	return n < 60 ? 60 : n > PLAN_MAX_VOICE ? PLAN_MAX_VOICE : (unsigned)n;
}

uint8_t plan_level(struct spurt *s, struct rng *r, ns_t now)
{
	if (now >= s->until) {
		double seconds;

		s->is_talking = !s->is_talking;
		seconds = s->is_talking ? 1.2 + 1.8 * rng_unit(r) : 0.6 + 1.4 * rng_unit(r);
		s->until = now + (ns_t)(seconds * 1e9);
	}
	return (uint8_t)(s->is_talking ? 25 + rng_below(r, 26) : 90 + rng_below(r, 38));
}

unsigned plan_frame_bytes(struct rng *r, unsigned bps, bool is_key)
{
	double fps = (double)NS_PER_S / PLAN_FRAME_NS, frames = (double)PLAN_KEY_NS / PLAN_FRAME_NS;
	double wire = bps / 8.0 / fps * frames / (frames - 1 + PLAN_KEY_TIMES);
	double payload = wire * PLAN_MAX_PAYLOAD / (PLAN_MAX_PAYLOAD + WIRE_OVERHEAD);
	double spread = 0.8 + 0.4 * rng_unit(r);

	return (unsigned)(payload * spread * (is_key ? PLAN_KEY_TIMES : 1)) + MARK_LEN;
}
