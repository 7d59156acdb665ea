// Samples of a measurement and their percentiles.
#pragma once

#define PERF_MAX_SAMPLES 4096

struct samples {
	unsigned n;
	double v[PERF_MAX_SAMPLES];
};

// Those beyond PERF_MAX_SAMPLES are left out.
void samples_add(struct samples *s, double v);

// part: 0.5 is the median. The samples are sorted by it.
double samples_at(struct samples *s, double part);

// "NAME": median, "NAME_min": 5th, "NAME_max": 95th percentile.
double samples_print(struct samples *s, const char *name);
