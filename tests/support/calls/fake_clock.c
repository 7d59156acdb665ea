#include "tests/support/calls/fake_clock.h"

#include <time.h>

static ns_t now = NS_PER_S; // not 0: some fields mean "never" by it

void clock_pass(ns_t time)
{
	now += time;
}

ns_t clock_of_machine(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (ns_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

ns_t clock_now(void)
{
	return now;
}

int64_t clock_wall(void)
{
	return INT64_C(1800000000) * NS_PER_S + now;
}
