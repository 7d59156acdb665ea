#include "tools/sluicegun/mark.h"

#include <string.h>

#include "lib/base/buf.h"

#define MAGIC 0xa7
#define TIME_BITS 48

void mark_write(uint8_t out[MARK_LEN], const struct mark *m)
{
	out[0] = MAGIC;
	out[1] = m->generation;
	be32_put(out + 2, m->stream);
	be32_put(out + 6, m->count);
	be16_put(out + 10, (uint16_t)(m->sent_us >> 32));
	be32_put(out + 12, (uint32_t)m->sent_us);
}

bool mark_read(const uint8_t *payload, size_t len, struct mark *m)
{
	const uint8_t *p = payload + len - MARK_LEN;

	if (len < MARK_LEN || p[0] != MAGIC)
		return false;
	m->generation = p[1];
	m->stream = be32_get(p + 2);
	m->count = be32_get(p + 6);
	m->sent_us = (uint64_t)be16_get(p + 10) << 32 | be32_get(p + 12);
	return true;
}

uint64_t mark_latency_us(const struct mark *m, uint64_t now_us)
{
	uint64_t mask = (UINT64_C(1) << TIME_BITS) - 1, d = (now_us - m->sent_us) & mask;

	return d > mask / 2 ? 0 : d;
}

static bool test_and_set(struct track *t, uint64_t count)
{
	uint64_t bit = UINT64_C(1) << (count % 64), *word = &t->seen[count % TRACK_WINDOW / 64];
	bool was = (*word & bit) != 0;

	*word |= bit;
	return was;
}

static void begin(struct track *t, const struct mark *m)
{
	uint64_t lost = track_lost(t);

	*t = (struct track){.first = m->count,
			    .top = m->count,
			    .n = 1,
			    .lost = lost,
			    .generation = m->generation,
			    .started = true};
	test_and_set(t, m->count);
}

// The window moves up to count: forget what was where the new numbers go.
static void advance(struct track *t, uint64_t count)
{
	if (count - t->top >= TRACK_WINDOW)
		memset(t->seen, 0, sizeof(t->seen));
	else
		for (uint64_t i = t->top + 1; i <= count; i++)
			t->seen[i % TRACK_WINDOW / 64] &= ~(UINT64_C(1) << (i % 64));
	t->top = count;
}

enum track_verdict track_add(struct track *t, const struct mark *m)
{
	if (!t->started || (int8_t)(m->generation - t->generation) > 0) {
		begin(t, m);
		return TRACK_NEW;
	}
	if (m->generation != t->generation)
		return TRACK_OLD;
	if (m->count > t->top) {
		advance(t, m->count);
		test_and_set(t, m->count);
		t->n++;
		return TRACK_NEW;
	}
	if (t->top - m->count >= TRACK_WINDOW)
		return TRACK_OLD;
	if (test_and_set(t, m->count))
		return TRACK_DUP;
	if (m->count < t->first)
		t->first = m->count;
	t->n++;
	return TRACK_LATE;
}

uint64_t track_lost(const struct track *t)
{
	return t->started ? t->lost + (t->top - t->first + 1 - t->n) : 0;
}

uint64_t track_lost_until(const struct track *t, uint64_t n_sent)
{
	uint64_t lost = track_lost(t);

	return t->started && n_sent > t->top + 1 ? lost + (n_sent - t->top - 1) : lost;
}
