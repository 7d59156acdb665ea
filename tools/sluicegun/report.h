// What the parent makes of the workers' figures: a line a second, a JSON object at the end, a verdict.
//
// thread: the parent
#pragma once

#include <stdio.h>

#include "tools/sluicegun/gun.h"
#include "tools/sluicegun/proc.h"

#define REPORT_MAX_SECONDS 86400

struct second {
	float server_cpu_s; // CPU seconds since the last sample
	float rss_mib;
	uint32_t delivered, sent;
};

struct report {
	const struct gun_conf *conf; // borrowed
	const struct shared *shared; // borrowed
	struct proc_use server, server_first;
	struct tally all;         // sums
	struct tally first, last; // of the steady part
	ns_t start, steady_at, steady_end, now;
	uint64_t rss_start; // of the server before anybody joined
	bool has_server, is_steady;
	struct second *second; // owned
	unsigned n_seconds;
};

void report_init(struct report *, const struct gun_conf *, const struct shared *, ns_t now);
void report_fini(struct report *);
// Sum up the workers.
void report_collect(struct report *, ns_t now);
// Once a second, from the first on; is_steady once everybody should be in.
void report_second(struct report *, bool is_steady);
// The steady part is over: what follows is draining and saying goodbye.
void report_steady_end(struct report *);
// Whether everybody who is to join is in or has failed.
bool report_all_in(const struct report *);
int report_json(const struct report *, FILE *); // 0 or -EIO
// Lost share of what should have been delivered, legs never heard included as one whole stream each.
double report_loss(const struct report *);
// The exit status: 0, or 1 with the reason on stderr.
int report_verdict(const struct report *);
// MiB an hour of the server's memory over the second half of the run (least squares).
double report_rss_slope(const struct second *, unsigned n);
