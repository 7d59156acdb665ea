#include "lib/base/clock.h"

#include <time.h>

#define NTP_UNIX_OFFSET UINT64_C(2208988800) // seconds from 1900 to 1970, RFC 5905 figure 4

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts); // cannot fail for these clocks
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

ns_t clock_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

ns_t clock_work(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_wall(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t clock_ntp(int64_t wall_ns)
{
	uint64_t ns = (uint64_t)wall_ns;
	uint64_t seconds = ns / NS_PER_S + NTP_UNIX_OFFSET;
	uint64_t fraction = ((ns % NS_PER_S) << 32) / NS_PER_S;

	return seconds << 32 | fraction; // seconds wrap in 2036 as RFC 5905 wants
}
