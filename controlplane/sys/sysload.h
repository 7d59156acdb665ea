// The number of /system, by rtcd's formula so that mixed fleets compare: seconds of wall time over seconds
// of idle time summed over CPUs. One busy core of two reads about 1; N idle cores 1/N.
//
// Unlike rtcd's it is finite, measured before the first request (a fresh process does not look idle), and it
// tells apart a node that is saturated, one that drains and one that serves nobody, in this order (D32, D33).
// What workers spend polling counts as idle; where they are busier than the machine, theirs is the number.
// thread: loop.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "controlplane/sys/loop.h"

#define SYSLOAD_MAX 1e6      // no dataplane: takes no calls
#define SYSLOAD_DRAINING 5e5 // takes no new calls
#define SYSLOAD_BUSY 1e5     // nothing idle: as much as is said of load alone

struct sysload;
struct sysload *sysload_new(struct loop *); // takes the first sample; NULL + errno
void sysload_free(struct sysload *);
double sysload_get(const struct sysload *); // before the second sample: since boot
void sysload_drain(struct sysload *);       // from now on SYSLOAD_DRAINING, or more

// Time of the workers since their start, in a unit of their own.
struct sysload_workers {
	uint64_t busy, idle;
	unsigned n;
};
// Ask read at each sample, which says false while there is no dataplane. poll: workers without work keep their core
// busy. Until this is called a dataplane is not asked for.
typedef bool (*sysload_read_fn)(void *arg, struct sysload_workers *);
void sysload_watch(struct sysload *, bool poll, sysload_read_fn read, void *arg);
// Part of its time that workers were idle between two readings, 0..1; 1: nothing is known.
double sysload_idle_part(const struct sysload_workers *then, const struct sysload_workers *now);

// wall and idle as differences of two samples, seconds.
double sysload_formula(double wall_s, double idle_s);
// The cpu_load document, `{"cpu_load":0.0625}` and newline, numbers as Go's encoder writes them. Length.
size_t sysload_write(double load, char out[64]);
