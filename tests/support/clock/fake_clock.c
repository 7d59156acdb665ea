#include "tests/support/clock/fake_clock.h"

#include <stdatomic.h>
#include <time.h>

// now() is `at` and what the machine's clock has gone on since `since`, `speed` times. Threads of the pool read it.
static struct {
	_Atomic ns_t at, since;
	_Atomic int speed;
} fake = {.speed = 1};

static int64_t machine(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

ns_t clock_of_machine(void)
{
	return machine(CLOCK_MONOTONIC);
}

ns_t clock_now(void)
{
	return fake.at + (clock_of_machine() - fake.since) * fake.speed;
}

void clock_speed(int times)
{
	ns_t now = clock_now();

	fake.since = clock_of_machine();
	fake.at = now;
	fake.speed = times;
}

void clock_pass(ns_t time)
{
	fake.at += time;
}

// Goes on only when a test says so: no load of the machine makes work dear.
static ns_t worked, price;

void clock_price(ns_t cost)
{
	price = cost;
}

ns_t clock_work(void)
{
	return worked += price;
}

int64_t clock_wall(void)
{
	return machine(CLOCK_REALTIME) - clock_of_machine() + clock_now();
}
