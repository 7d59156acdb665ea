// Time: nanoseconds of the monotonic clock. Protocol code never reads a clock, it is handed `now`.
#pragma once

#include <stdint.h>

typedef int64_t ns_t; // nanoseconds, monotonic; only differences mean anything

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define NS_NEVER INT64_MAX // a deadline that does not run

// Monotonic time now (CLOCK_MONOTONIC). thread: any
ns_t clock_now(void);

// Processor time that this thread has used; a system call. For what work costs, not for deadlines. thread: any
ns_t clock_work(void);

// Wall clock now as nanoseconds since 1970 (CLOCK_REALTIME). thread: any
int64_t clock_wall(void);

// Wall clock nanoseconds -> 64-bit NTP timestamp (RFC 5905 section 6).
uint64_t clock_ntp(int64_t wall_ns);
