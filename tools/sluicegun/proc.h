// CPU and memory of processes: /proc and their clocks.
//
// thread: any
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

struct proc_use {
	uint64_t cpu_us;    // user and system time so far
	uint64_t rss_bytes; // resident now
};

// Parse the text of /proc/PID/stat: the resident pages. returns: 0, -EBADMSG
[[nodiscard]] int proc_stat_parse(struct str text, uint64_t *pages);

// Add up several processes. returns: 0, -ESRCH when one of them is not there
[[nodiscard]] int proc_read(const int *pid, unsigned n, struct proc_use *);
