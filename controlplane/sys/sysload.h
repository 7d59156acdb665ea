// The number of /system, by rtcd's formula so that mixed fleets compare: seconds of wall time over seconds
// of idle time summed over CPUs. One busy core of two reads about 1; N idle cores 1/N.
//
// Unlike rtcd's it is finite (SYSLOAD_MAX), measured before the first request (a fresh process does not look
// idle), and SYSLOAD_MAX while draining, so that plugins choose other hosts (D32, D33). thread: loop.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "controlplane/sys/loop.h"

#define SYSLOAD_MAX 1e6

struct sysload;
struct sysload *sysload_new(struct loop *); // takes the first sample; NULL + errno
void sysload_free(struct sysload *);
double sysload_get(const struct sysload *); // before the second sample: since boot
void sysload_drain(struct sysload *);       // from now on SYSLOAD_MAX

// wall and idle as differences of two samples, seconds.
double sysload_formula(double wall_s, double idle_s);
// The cpu_load document, `{"cpu_load":0.0625}` and newline, numbers as Go's encoder writes them. Length.
size_t sysload_write(double load, char out[64]);
