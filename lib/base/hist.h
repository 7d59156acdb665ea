// Log-linear histogram: 32 steps per power of two, so a percentile is at most 1/32 too high. Values are
// unsigned, of whatever unit the owner says; above HIST_MAX they count in the last bucket.
// thread: owner only; merge copies taken elsewhere.
#pragma once

#include <stdint.h>
#include <string.h>

#define HIST_SUB_BITS 5
#define HIST_SUB (1u << HIST_SUB_BITS)
#define HIST_MAX_BITS 40 // 2^40 ns are 18 minutes
#define HIST_MAX ((UINT64_C(1) << HIST_MAX_BITS) - 1)
#define HIST_BUCKETS ((HIST_MAX_BITS - HIST_SUB_BITS + 1) * HIST_SUB)

struct hist {
	uint64_t n, sum, max;
	uint64_t bucket[HIST_BUCKETS];
};

// Bucket of a value: below 2 * HIST_SUB exact, then HIST_SUB buckets per power of two.
static inline unsigned hist_bucket(uint64_t v)
{
	unsigned shift;

	if (v > HIST_MAX)
		v = HIST_MAX;
	if (v < HIST_SUB)
		return (unsigned)v;
	shift = 63 - (unsigned)__builtin_clzll(v) - HIST_SUB_BITS;
	return shift * HIST_SUB + (unsigned)(v >> shift);
}

// Largest value that falls into a bucket.
static inline uint64_t hist_bucket_top(unsigned i)
{
	unsigned shift = i < 2 * HIST_SUB ? 0 : i / HIST_SUB - 1;

	return (((uint64_t)i - (uint64_t)shift * HIST_SUB + 1) << shift) - 1;
}

static inline void hist_add(struct hist *h, uint64_t v)
{
	h->bucket[hist_bucket(v)]++;
	h->n++;
	h->sum += v;
	if (v > h->max)
		h->max = v;
}

static inline void hist_merge(struct hist *into, const struct hist *h)
{
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		into->bucket[i] += h->bucket[i];
	into->n += h->n;
	into->sum += h->sum;
	if (h->max > into->max)
		into->max = h->max;
}

// Value that percent (0..100) of the samples do not exceed; 0 when there are none.
static inline uint64_t hist_percentile(const struct hist *h, double percent)
{
	double exact = percent / 100 * (double)h->n;
	uint64_t rank = (uint64_t)exact, seen = 0;

	if (h->n == 0)
		return 0;
	if ((double)rank < exact || rank == 0)
		rank++;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= rank)
			return hist_bucket_top(i) < h->max && i < HIST_BUCKETS - 1 ? hist_bucket_top(i)
										   : h->max;
	}
	return h->max;
}

static inline double hist_mean(const struct hist *h)
{
	return h->n ? (double)h->sum / (double)h->n : 0;
}
