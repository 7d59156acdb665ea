// Level l has 256 slots of 256^l ticks. A timer sits at the lowest level whose span reaches its tick;
// when a slot of a higher level comes up, its timers are put down one or more levels ("cascade").
//
// Invariants: tick is the last one processed. Level 0 holds ticks tick+1 .. tick+255, so one slot holds one
// tick. The slot of level l >= 1 for tick T is emptied when (tick >> 8l) reaches T >> 8l. The bitmaps let
// both wheel_next and wheel_advance jump over empty time.
#include "lib/base/wheel.h"

#include <assert.h>

#include "lib/base/err.h"

#define SLOT_BITS 8
#define SLOT_MASK (WHEEL_SLOTS - 1)
#define MAX_TICKS (UINT64_C(1) << (SLOT_BITS * WHEEL_LEVELS))

static_assert(WHEEL_SLOTS == 1 << SLOT_BITS && WHEEL_SLOTS % 64 == 0);

void wheel_init(struct wheel *w, ns_t now)
{
	*w = (struct wheel){.start = now};
}

// Tick at which a timer may fire: the first one not before due.
static uint64_t tick_of(const struct wheel *w, ns_t due)
{
	uint64_t since = due > w->start ? (uint64_t)due - (uint64_t)w->start : 0;

	return since / WHEEL_TICK_NS + (since % WHEEL_TICK_NS != 0);
}

static void chain_push(struct timer **head, struct timer *t)
{
	assert(t->pprev == NULL); // in no other chain
	t->next = *head;
	if (t->next)
		t->next->pprev = &t->next;
	t->pprev = head;
	*head = t;
}

static void chain_unlink(struct timer *t)
{
	assert(*t->pprev == t);
	*t->pprev = t->next;
	if (t->next)
		t->next->pprev = t->pprev;
	t->next = NULL;
	t->pprev = NULL;
}

// Take a whole chain over to another head.
static void chain_move(struct timer **from, struct timer **to)
{
	*to = *from;
	*from = NULL;
	if (*to)
		(*to)->pprev = to;
}

static void slot_clear_bit(struct wheel *w, size_t level, size_t slot)
{
	w->occupied[level][slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

// Put an unlinked timer where it belongs, seen from tick `from`.
static void wheel_place(struct wheel *w, struct timer *t, uint64_t from)
{
	uint64_t at = tick_of(w, t->due);
	size_t level = 0, slot;

	assert(at >= from);
	if (at - from >= MAX_TICKS) // sits in the last slot and is looked at again when that comes up
		at = from + MAX_TICKS - 1;
	while ((at - from) >> (SLOT_BITS * (level + 1)))
		level++;
	slot = (at >> (SLOT_BITS * level)) & SLOT_MASK;
	w->occupied[level][slot / 64] |= UINT64_C(1) << (slot % 64);
	chain_push(&w->slots[level][slot], t);
}

void wheel_arm(struct wheel *w, struct timer *t, ns_t due)
{
	wheel_cancel(w, t);
	if (due == NS_NEVER)
		return;
	// cannot: the owner sets it when the object is made
	MUST(t->on_due != NULL);
	t->due = due;
	w->n_armed++;
	if (tick_of(w, due) <= w->passed)
		chain_push(&w->expired, t);
	else
		wheel_place(w, t, w->tick);
}

void wheel_cancel(struct wheel *w, struct timer *t)
{
	uintptr_t at = (uintptr_t)t->pprev, first = (uintptr_t)w->slots;
	bool was_alone = t->next == NULL;

	if (t->pprev == NULL)
		return;
	chain_unlink(t);
	w->n_armed--;
	if (was_alone && at >= first && at < first + sizeof(w->slots)) {
		size_t i = (at - first) / sizeof(w->slots[0][0]);

		slot_clear_bit(w, i / WHEEL_SLOTS, i % WHEEL_SLOTS);
	}
}

// Slots from `from` (exclusive) to the next occupied one, 1..WHEEL_SLOTS; 0 when the level is empty.
static unsigned slots_ahead(const struct wheel *w, size_t level, size_t from)
{
	const uint64_t *map = w->occupied[level];

	for (unsigned ahead = 1; ahead <= WHEEL_SLOTS;) {
		size_t slot = (from + ahead) & SLOT_MASK;
		uint64_t rest = map[slot / 64] >> (slot % 64);

		if (rest)
			return ahead + (unsigned)__builtin_ctzll(rest);
		ahead += 64 - (unsigned)(slot % 64);
	}
	return 0;
}

// Next tick at which something fires or cascades; UINT64_MAX when nothing is in the slots.
static uint64_t next_busy_tick(const struct wheel *w)
{
	uint64_t best = UINT64_MAX;

	for (size_t level = 0; level < WHEEL_LEVELS; level++) {
		uint64_t here = w->tick >> (SLOT_BITS * level);
		unsigned ahead = slots_ahead(w, level, here & SLOT_MASK);
		uint64_t at = (here + ahead) << (SLOT_BITS * level);

		if (ahead && at < best)
			best = at;
	}
	return best;
}

// Put down the timers of the higher slots that tick `at` opens.
static void wheel_cascade(struct wheel *w, uint64_t at)
{
	for (size_t level = WHEEL_LEVELS - 1; level > 0; level--) {
		size_t slot = (at >> (SLOT_BITS * level)) & SLOT_MASK;

		if (at & ((UINT64_C(1) << (SLOT_BITS * level)) - 1))
			continue;
		chain_move(&w->slots[level][slot], &w->moving);
		slot_clear_bit(w, level, slot);
		while (w->moving) {
			struct timer *t = w->moving;

			chain_unlink(t);
			wheel_place(w, t, at);
		}
	}
}

// Fire a chain; what is over the bound goes to w->expired. Callbacks may cancel any timer, so the chain
// hangs on w->moving and is read anew after each.
static unsigned wheel_fire(struct wheel *w, struct timer **from, ns_t now, unsigned max)
{
	struct timer *tail;
	unsigned n = 0;

	chain_move(from, &w->moving);
	while (w->moving && (max == 0 || n < max)) {
		struct timer *t = w->moving;

		chain_unlink(t);
		w->n_armed--;
		n++;
		t->on_due(t, now);
	}
	if (w->moving) {
		for (tail = w->moving; tail->next; tail = tail->next)
			;
		tail->next = w->expired;
		if (tail->next)
			tail->next->pprev = &tail->next;
		chain_move(&w->moving, &w->expired);
	}
	return n;
}

unsigned wheel_advance(struct wheel *w, ns_t now, unsigned max)
{
	uint64_t target = now > w->start ? ((uint64_t)now - (uint64_t)w->start) / WHEEL_TICK_NS : 0;
	unsigned n;

	assert(w->moving == NULL); // not from inside a timer
	if (target > w->passed)
		w->passed = target;
	n = wheel_fire(w, &w->expired, now, max);
	while (w->tick < target && (max == 0 || n < max)) {
		uint64_t at = next_busy_tick(w);
		size_t slot = at & SLOT_MASK;

		if (at > target) {
			w->tick = target;
			break;
		}
		wheel_cascade(w, at);
		w->tick = at;
		slot_clear_bit(w, 0, slot);
		n += wheel_fire(w, &w->slots[0][slot], now, max ? max - n : 0);
	}
	return n;
}

ns_t wheel_next(const struct wheel *w)
{
	uint64_t at = w->expired ? w->tick : next_busy_tick(w);

	if (at >= (uint64_t)(NS_NEVER - w->start) / WHEEL_TICK_NS)
		return NS_NEVER;
	return w->start + (ns_t)at * WHEEL_TICK_NS;
}
