// Hashed hierarchical timer wheel: explicit now, intrusive nodes, no allocation per timer.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"

struct timer {
	struct timer *next, **pprev;              // wheel's
	ns_t due;                                 // wheel's; valid while armed
	void (*on_due)(struct timer *, ns_t now); // owner sets before arming; may re-arm or free the timer
};

#define WHEEL_TICK_NS NS_PER_MS
#define WHEEL_LEVELS 4
#define WHEEL_SLOTS 256

struct wheel {
	uint64_t tick;   // ticks processed so far
	uint64_t passed; // ticks that have passed by the latest now; >= tick
	ns_t start;
	uint32_t n_armed;
	struct timer *expired;                             // due, to fire at the next advance
	struct timer *moving;                              // being fired or cascaded right now
	uint64_t occupied[WHEEL_LEVELS][WHEEL_SLOTS / 64]; // bit set: the slot has timers
	struct timer *slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *, ns_t now);

// Arm or re-arm; due in the past fires at the next advance. Resolution one tick, never early. NS_NEVER
// cancels.
void wheel_arm(struct wheel *, struct timer *, ns_t due);
void wheel_cancel(struct wheel *, struct timer *); // unarmed is allowed
static inline bool timer_armed(const struct timer *t)
{
	return t->pprev != NULL;
}

// Fire what is due, at most max callbacks (0: no bound); returns how many fired. What is over the bound,
// and what callbacks arm in the past, fires at the next advance. Not to be called from a callback.
unsigned wheel_advance(struct wheel *, ns_t now, unsigned max);

// Lower bound of the next due time, NS_NEVER when none is armed.
ns_t wheel_next(const struct wheel *);
