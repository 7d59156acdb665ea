// Starting DPDK's environment: as an ordinary user without hugepages for kernel sockets, with hugepages,
// devices and pinned cores where the configuration says so.
#pragma once

#include <stddef.h>

struct conf;

struct eal_plan {
	unsigned n_workers;
	int sleeps; // workers sleep when idle
};

// How many workers and how they wait, from dataplane.worker_cores and dataplane.idle.
struct eal_plan eal_plan(const struct conf *);

// rte_eal_init with arguments from the configuration. 0, or -errno with *error filled. Main is lcore 0,
// worker i is lcore i + 1. thread: main, once
[[nodiscard]] int eal_start(const struct conf *, const struct eal_plan *, char *error, size_t error_size);
void eal_stop(void);
