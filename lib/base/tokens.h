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

// Take one token. False: there is none.
static inline bool tokens_take(struct tokens *t, struct tokens_rate rate, ns_t now)
{
	t->left = t->filled == 0 ? rate.burst : t->left + (double)(now - t->filled) / NS_PER_S * rate.per_s;
	t->filled = now;
	if (t->left > rate.burst)
		t->left = rate.burst;
	if (t->left < 1)
		return false;
	t->left -= 1;
	return true;
}
