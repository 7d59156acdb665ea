#include "dataplane/core/parking.h"

#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/port/port.h"

// n packets of it wait no longer.
static void leave_lot(struct worker *w, const struct parking *p, unsigned n)
{
	struct parking_lot *lot = &w->parking;

	ASSERT_HOT(lot->n >= n && lot->held[p->tenant] >= n);
	lot->n -= n;
	lot->held[p->tenant] = (uint16_t)(lot->held[p->tenant] - n);
}

static bool enter_lot(struct worker *w, const struct parking *p)
{
	struct parking_lot *lot = &w->parking;

	if (lot->n >= lot->max || lot->held[p->tenant] >= lot->max - lot->n)
		return false;
	lot->n++;
	lot->held[p->tenant]++;
	return true;
}

// Give up the first n.
static void give_up_first(struct worker *w, struct parking *p, unsigned n, enum counter why)
{
	ASSERT_HOT(n <= p->n && p->n <= PARKING_MAX);
	for (unsigned i = 0; i < n; i++)
		drop(w, p->m[i], why);
	leave_lot(w, p, n);
	p->n = (uint8_t)(p->n - n);
	memmove(p->m, p->m + n, p->n * sizeof(p->m[0]));
}

void parking_expire(struct worker *w, struct parking *p, enum counter why)
{
	unsigned n = 0;

	while (n < p->n && w->now - pkt_of(p->m[n])->arrival > PARKING_NS)
		n++;
	give_up_first(w, p, n, why);
}

void parking_add(struct worker *w, struct parking *p, struct rte_mbuf *m, enum counter why)
{
	parking_expire(w, p, why);
	if (p->n == PARKING_MAX)
		give_up_first(w, p, 1, why);
	if (enter_lot(w, p))
		p->m[p->n++] = m;
	else
		drop(w, m, DROP_PARKING_FULL);
}

unsigned parking_take(struct worker *w, struct parking *p, struct rte_mbuf *out[PARKING_MAX],
		      enum counter why)
{
	unsigned n;

	parking_expire(w, p, why);
	n = p->n;
	memcpy(out, p->m, n * sizeof(out[0]));
	p->n = 0;
	leave_lot(w, p, n);
	return n;
}

void parking_clear(struct worker *w, struct parking *p, enum counter why)
{
	give_up_first(w, p, p->n, why);
}
