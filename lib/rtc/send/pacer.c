#include "lib/rtc/send/pacer.h"

#define BIT_NS(n_bytes) ((int64_t)(n_bytes)*8 * NS_PER_S)
#define REPLAY_FACTOR 4
#define MAX_BPS UINT64_C(1000000000) // keeps rate times time within 64 bits

static uint64_t rate_of(const struct pacer *p)
{
	return p->boost > p->bps ? p->boost : p->bps;
}

static int64_t burst_of(const struct pacer *p)
{
	int64_t v = (int64_t)rate_of(p) * PACER_BURST_NS;

	return v > BIT_NS(PACER_BURST_BYTES) ? v : BIT_NS(PACER_BURST_BYTES);
}

static void credit_fill(struct pacer *p, ns_t now)
{
	ns_t dt = now > p->filled ? now - p->filled : 0;

	if (dt > NS_PER_S)
		dt = NS_PER_S;
	p->credit += (int64_t)rate_of(p) * dt;
	if (p->credit > burst_of(p))
		p->credit = burst_of(p);
	if (now > p->filled)
		p->filled = now;
}

void pacer_init(struct pacer *p, uint32_t target_bps, ns_t now)
{
	*p = (struct pacer){.filled = now};
	pacer_rate(p, target_bps, false, now);
	p->credit = burst_of(p);
}

void pacer_rate(struct pacer *p, uint32_t target_bps, bool is_congested, ns_t now)
{
	uint64_t bps = (uint64_t)target_bps * (is_congested ? 5 : 10) / 4;

	credit_fill(p, now); // at the old rate until now
	p->bps = bps < MAX_BPS ? bps : MAX_BPS;
}

bool pacer_take(struct pacer *p, uint32_t n_bytes, ns_t now)
{
	credit_fill(p, now);
	if (p->credit < BIT_NS(n_bytes))
		return false;
	p->credit -= BIT_NS(n_bytes);
	return true;
}

enum pacer_verdict pacer_live(struct pacer *p, struct pacer_leg *l, uint64_t index, uint32_t n_bytes,
			      ns_t now)
{
	bool has_backlog = l->at < l->end;

	if (has_backlog && index >= l->end)
		l->end = index + 1;
	if (has_backlog && index >= l->at)
		return PACER_WAIT;
	if (pacer_take(p, n_bytes, now)) {
		if (index >= l->end)
			l->at = l->end = index + 1;
		return PACER_SEND;
	}
	if (has_backlog || index < l->end) {
		// Late, and the cursor is past it: it cannot wait. One packet more than the bucket allows is paid
		// back by those that follow.
		int64_t debt = p->credit - BIT_NS(n_bytes), max = -(int64_t)rate_of(p) * PACER_MAX_DEBT_NS;

		p->credit = debt > max ? debt : max;
		return PACER_SEND;
	}
	l->at = index;
	l->end = index + 1;
	return PACER_WAIT;
}

static void leg_is_done(struct pacer *p, struct pacer_leg *l)
{
	if (l->is_replay)
		p->boost = 0;
	l->is_replay = false;
	l->not_before = 0;
}

void pacer_replay(struct pacer *p, struct pacer_leg *l, uint64_t from, uint64_t end, uint32_t layer_bps,
		  ns_t not_before)
{
	uint64_t boost = (uint64_t)layer_bps * REPLAY_FACTOR;

	*l = (struct pacer_leg){.at = from, .end = end, .not_before = not_before, .is_replay = from < end};
	if (l->is_replay)
		p->boost = boost < MAX_BPS ? boost : MAX_BPS;
}

enum pacer_verdict pacer_head(struct pacer *p, const struct pacer_leg *l, uint32_t n_bytes, ns_t arrival,
			      ns_t now)
{
	if (now < l->not_before)
		return PACER_WAIT;
	if (!l->is_replay && now - arrival > PACER_MAX_AGE_NS)
		return PACER_STALE;
	return pacer_take(p, n_bytes, now) ? PACER_SEND : PACER_WAIT;
}

void pacer_next(struct pacer *p, struct pacer_leg *l)
{
	if (l->at < l->end)
		l->at++;
	if (l->at == l->end)
		leg_is_done(p, l);
}

void pacer_drop(struct pacer *p, struct pacer_leg *l)
{
	l->at = l->end;
	leg_is_done(p, l);
}

ns_t pacer_due(const struct pacer *p, const struct pacer_leg *l, uint32_t n_bytes)
{
	int64_t lack = BIT_NS(n_bytes) - p->credit, rate = (int64_t)rate_of(p);
	ns_t due = p->filled;

	if (lack > 0)
		due = rate > 0 ? due + (lack + rate - 1) / rate : NS_NEVER;
	return due > l->not_before ? due : l->not_before;
}

ns_t pacer_spread(uint32_t hash, uint32_t n_receivers)
{
	return n_receivers > PACER_SPREAD_MIN ? (ns_t)((uint64_t)hash * PACER_SPREAD_NS >> 32) : 0;
}
