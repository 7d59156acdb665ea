// What somebody may make this process compute: nanoseconds of processor time that come back at a share of one processor.
// A session's budget stands within its tenant's: work is charged to both, and who has used up one of them waits alone.
// Pure; now is the monotonic time.
#pragma once

#include <stdbool.h>

#include "lib/base/clock.h"

struct budget_rate {
	ns_t burst;   // that may be used at once
	double share; // of a processor, in the long run
};

struct budget {          // zeroed: full
	ns_t used;       // of the burst; more than that: a debt
	ns_t settled;    // when used was right; 0: never
	ns_t over_since; // it is used up since then and has not recovered to half; 0: it is not
};

// So much work was done for it.
static inline void budget_charge(struct budget *b, struct budget_rate rate, ns_t cost, ns_t now)
{
	ns_t back = b->settled == 0 ? b->used : (ns_t)((double)(now - b->settled) * rate.share);

	b->settled = now;
	b->used = (b->used > back ? b->used - back : 0) + cost;
	if (b->used >= rate.burst && b->over_since == 0)
		b->over_since = now;
	else if (b->used <= rate.burst / 2)
		b->over_since = 0;
}

// May more be done for it?
static inline bool budget_may(struct budget *b, struct budget_rate rate, ns_t now)
{
	budget_charge(b, rate, 0, now);
	return b->used < rate.burst;
}

// For how long it has been over without recovering; 0: it is not.
static inline ns_t budget_over(const struct budget *b, ns_t now)
{
	return b->over_since == 0 ? 0 : now - b->over_since;
}
