#include "lib/rtc/send/resend.h"

#include <assert.h>
#include <string.h>

#define TICK_NS (4 * NS_PER_MS)
#define TICK_BITS 14
#define TICK_MASK ((1u << TICK_BITS) - 1)
#define CREDIT_PER_BYTE (8 * NS_PER_S)

void resend_init(struct resend *r, struct resend_slot slot[RESEND_SLOTS])
{
	assert(slot != NULL);
	*r = (struct resend){.slot = slot};
	memset(slot, 0, RESEND_SLOTS * sizeof(*slot));
}

static struct resend_slot *slot_find(const struct resend *r, uint64_t index)
{
	struct resend_slot *s = &r->slot[index % RESEND_SLOTS];

	return s->key == (uint32_t)(index + 1) && s->key != 0 ? s : NULL;
}

static uint16_t stamp_of(unsigned count, ns_t now)
{
	return (uint16_t)(count << TICK_BITS | ((uint64_t)(now / TICK_NS) & TICK_MASK));
}

void resend_sent(struct resend *r, uint64_t index, uint16_t twcc, ns_t now)
{
	r->slot[index % RESEND_SLOTS] =
		(struct resend_slot){.key = (uint32_t)(index + 1), .stamp = stamp_of(0, now), .twcc = twcc};
}

// Time since the last sending; wraps after 65 s, when a number has long left the window of a video stream.
static ns_t slot_age(const struct resend_slot *s, ns_t now)
{
	return (ns_t)(((uint64_t)(now / TICK_NS) - s->stamp) & TICK_MASK) * TICK_NS;
}

static void credit_fill(struct resend *r, uint32_t target_bps, ns_t now)
{
	int64_t max = (int64_t)target_bps * RESEND_BURST_NS;
	ns_t dt = now > r->filled ? now - r->filled : 0;

	if (max < RESEND_BURST_MIN * CREDIT_PER_BYTE)
		max = RESEND_BURST_MIN * CREDIT_PER_BYTE;
	if (!r->started || dt > NS_PER_S)
		r->credit = max;
	else
		r->credit += (int64_t)(target_bps / RESEND_SHARE) * dt;
	if (r->credit > max)
		r->credit = max;
	r->started = true;
	r->filled = now;
}

enum resend_verdict resend_allow(struct resend *r, const struct resend_ask *a)
{
	struct resend_slot *s = slot_find(r, a->index);
	ns_t gap = (a->rtt > 0 ? a->rtt : RESEND_RTT_NS) * 4 / 5;
	int64_t cost = a->n_bytes * CREDIT_PER_BYTE;
	unsigned count;

	if (!s)
		return RESEND_NEVER_SENT;
	count = s->stamp >> TICK_BITS;
	if (count >= RESEND_TRIES)
		return RESEND_TOO_OFTEN;
	if (slot_age(s, a->now) < (gap > RESEND_MIN_NS ? gap : RESEND_MIN_NS))
		return RESEND_TOO_SOON;
	if (a->is_congested && !a->is_vital)
		return RESEND_CONGESTED;
	credit_fill(r, a->target_bps, a->now);
	if (r->credit < cost)
		return RESEND_NO_BUDGET;
	r->credit -= cost;
	s->stamp = stamp_of(count + 1, a->now);
	return RESEND_OK;
}

bool resend_twcc(const struct resend *r, uint64_t index, uint16_t *twcc)
{
	const struct resend_slot *s = slot_find(r, index);

	if (s)
		*twcc = s->twcc;
	return s != NULL;
}
