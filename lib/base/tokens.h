// A token bucket: how much may come at once, and how much per second in the long run. Pure code, explicit now.
#pragma once

#include <stdbool.h>

#include "lib/base/clock.h"

// Zeroed: full.
struct tokens {
	double left;
	ns_t filled; // when left was right; 0: never, so it is full
};

struct tokens_rate {
	double burst, per_s; // tokens
};

// What a bucket holds now.
static inline double tokens_left(const struct tokens *t, struct tokens_rate rate, ns_t now)
{
	double left =
		t->filled == 0 ? rate.burst : t->left + (double)(now - t->filled) / NS_PER_S * rate.per_s;

	return left > rate.burst ? rate.burst : left;
}

// Take one token. False: there is none.
static inline bool tokens_take(struct tokens *t, struct tokens_rate rate, ns_t now)
{
	t->left = tokens_left(t, rate, now);
	t->filled = now;
	if (t->left < 1)
		return false;
	t->left -= 1;
	return true;
}

// Put one back that has been taken.
static inline void tokens_give(struct tokens *t, struct tokens_rate rate, ns_t now)
{
	t->left = tokens_left(t, rate, now) + 1;
	t->filled = now;
	if (t->left > rate.burst)
		t->left = rate.burst;
}

// Time until there is a token to take; 0: there is one.
static inline ns_t tokens_wait(const struct tokens *t, struct tokens_rate rate, ns_t now)
{
	double left = tokens_left(t, rate, now);

	return left >= 1 ? 0 : (ns_t)((1 - left) / rate.per_s * NS_PER_S) + 1;
}
