#include "tests/perf/support/samples.h"

#include <stdio.h>
#include <stdlib.h>

void samples_add(struct samples *s, double v)
{
	if (s->n < PERF_MAX_SAMPLES)
		s->v[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double samples_at(struct samples *s, double part)
{
	qsort(s->v, s->n, sizeof(s->v[0]), by_value);
	return s->v[(unsigned)(part * (s->n - 1) + 0.5)];
}

double samples_print(struct samples *s, const char *name)
{
	double median = samples_at(s, 0.5);

	printf("\"%s\": %.1f, \"%s_min\": %.1f, \"%s_max\": %.1f", name, median, name, samples_at(s, 0.05),
	       name, samples_at(s, 0.95));
	return median;
}
