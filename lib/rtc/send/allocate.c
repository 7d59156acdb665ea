#include "lib/rtc/send/allocate.h"

#include <assert.h>

// Highest active rung not above this one; the lowest active one when there is none. -1: none is active.
static int rung_at(const struct allocate_leg *l, int level)
{
	int top = l->max_rung < l->n_rungs ? l->max_rung : l->n_rungs - 1, above = -1;

	if (l->is_barred)
		return -1;
	for (int i = top; i >= 0; i--) {
		if (!l->rung[i].is_active)
			continue;
		if (i <= level)
			return i;
		above = i;
	}
	return above;
}

// What the budget must have for a stream to be given this rung: staying is easier than climbing.
static uint64_t cost(const struct allocate_leg *l, int rung, bool is_proven)
{
	unsigned enter = is_proven ? SIMULCAST_PROVEN : SIMULCAST_ENTER;

	if (rung < 0 || l->choice->is_paused)
		return 0;
	return (uint64_t)l->rung[rung].bps * (rung <= l->choice->now ? SIMULCAST_STAY : enter) / 100;
}

static uint64_t cost_of_all(const struct allocate_leg *l, unsigned n, int level, bool is_proven)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += cost(&l[i], rung_at(&l[i], level), is_proven);
	return sum;
}

// Highest rung that all can have.
static int common_level(const struct allocate_leg *l, unsigned n, const struct allocate_in *in, uint64_t left)
{
	int level = 0;

	while (level + 1 < SIMULCAST_RUNGS && cost_of_all(l, n, level + 1, in->is_proven) <= left)
		level++;
	return level;
}

static void decide(struct allocate_leg *l, const struct allocate_in *in, uint64_t budget)
{
	struct simulcast before = *l->choice;
	struct simulcast_in one = {.rung = l->rung,
				   .n_rungs = l->n_rungs,
				   .max_rung = l->max_rung,
				   .loss = in->loss,
				   .queue_ms = in->queue_ms,
				   .budget_bps = budget < UINT32_MAX ? (uint32_t)budget : UINT32_MAX,
				   .is_proven = in->is_proven,
				   .is_guess = in->is_guess,
				   .is_barred = l->is_barred,
				   .now = in->now};

	simulcast_decide(l->choice, &one, &l->out);
	l->is_changed = l->out.ask_key || before.now != l->choice->now || before.want != l->choice->want ||
			before.want_layer != l->choice->want_layer ||
			before.want_cap != l->choice->want_cap || before.is_paused != l->choice->is_paused ||
			before.is_frozen != l->choice->is_frozen;
}

// Streams of one importance. Returns what is left.
static uint64_t share(struct allocate_leg *l, unsigned n, const struct allocate_in *in, uint64_t left)
{
	int level = common_level(l, n, in, left);

	for (unsigned i = 0; i < n; i++) {
		uint64_t others = cost_of_all(l + i + 1, n - i - 1, level, in->is_proven), own, spend;
		uint64_t low = cost(&l[i], rung_at(&l[i], 0), in->is_proven);

		own = left > others ? left - others : 0;
		if (own < low) // too little for all: the first have theirs
			own = low < left ? low : left;
		decide(&l[i], in, own);
		// What is sent already may take a little more than there is, so that it stays.
		spend = (uint64_t)l[i].out.spend_bps * SIMULCAST_STAY / 100;
		spend = own > spend ? own : spend;
		spend = spend < l[i].out.spend_bps ? spend : l[i].out.spend_bps;
		left = left > spend ? left - spend : 0;
	}
	return left;
}

uint32_t allocate(struct allocate_leg *l, unsigned n, const struct allocate_in *in)
{
	uint64_t left = in->budget_bps, total = 0, needed = 0;

	for (unsigned i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && l[end].importance == l[i].importance; end++)
			;
		assert(end == n || l[end].importance > l[i].importance);
		left = share(l + i, end - i, in, left);
	}
	for (unsigned i = 0; i < n; i++)
		total += l[i].out.spend_bps;
	for (unsigned i = 0; i < n && needed == 0; i++)
		if (l[i].out.probe_bps > 0)
			needed = total - l[i].out.spend_bps + l[i].out.probe_bps;
	return needed < UINT32_MAX ? (uint32_t)needed : UINT32_MAX;
}
