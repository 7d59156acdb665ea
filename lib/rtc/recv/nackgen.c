// The list is ascending because gaps open only at the top. A packet that arrives is marked (binary search);
// marks are swept by the tick, so that the packet path never moves the list, except when it is full.
#include "lib/rtc/recv/nackgen.h"

#include <assert.h>

#include "lib/base/buf.h"
#include "lib/rtc/wire/rtp.h"

void nackgen_init(struct nackgen *g, struct nackgen_item *list, uint16_t n_max)
{
	assert(list != NULL && n_max > 0);
	*g = (struct nackgen){.item = list, .n_max = n_max};
}

// Position of the first item with index >= this.
static unsigned item_at(const struct nackgen *g, uint64_t index)
{
	unsigned lo = 0, hi = g->n;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		if (g->item[mid].index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct nackgen_item *item_find(const struct nackgen *g, uint64_t index)
{
	unsigned i = item_at(g, index);

	if (i == g->n || g->item[i].index != index || g->item[i].is_done)
		return NULL;
	return &g->item[i];
}

// Keep what is still missing and not before `from`.
static void items_sweep(struct nackgen *g, uint64_t from)
{
	unsigned k = 0;

	for (unsigned i = 0; i < g->n; i++)
		if (!g->item[i].is_done && g->item[i].index >= from)
			g->item[k++] = g->item[i];
	g->n = g->n_missing = (uint16_t)k;
}

static void items_clear(struct nackgen *g)
{
	g->n = g->n_missing = 0;
}

// [first, end) is missing.
static enum nackgen_event gap_open(struct nackgen *g, uint64_t first, uint64_t end, ns_t now)
{
	uint64_t n = end - first;

	if (n <= g->n_max && g->n + n > g->n_max)
		items_sweep(g, 0);
	if (n <= g->n_max && g->n + n > g->n_max && g->has_key)
		items_sweep(g, g->key);
	if (n > g->n_max || g->n + n > g->n_max) {
		items_clear(g);
		return NACKGEN_OVERFLOW;
	}
	for (uint64_t i = first; i < end; i++)
		g->item[g->n++] = (struct nackgen_item){.index = i, .found = now};
	assert(g->n <= g->n_max);
	g->n_missing = (uint16_t)(g->n_missing + n);
	return NACKGEN_NONE;
}

enum nackgen_event nackgen_packet(struct nackgen *g, uint64_t index, bool is_key_start, ns_t now)
{
	enum nackgen_event ev = NACKGEN_NONE;

	if (!g->started) {
		g->started = true;
		g->top = index;
	} else if (index <= g->top) {
		struct nackgen_item *it = item_find(g, index);
		if (!it)
			return NACKGEN_OLD;
		assert(g->n_missing > 0);
		it->is_done = true;
		g->n_missing--;
		ev = NACKGEN_RECOVERED;
	} else {
		if (index > g->top + 1)
			ev = gap_open(g, g->top + 1, index, now);
		g->top = index;
	}
	if (is_key_start && (!g->has_key || index > g->key)) {
		g->key = index;
		g->has_key = true;
	}
	return ev;
}

bool nackgen_rtx(const struct nackgen *g, const uint8_t *payload, size_t len, uint64_t *index)
{
	if (!g->started || len < 2 || !seq64_extend(g->top, be16_get(payload), index))
		return false;
	return item_find(g, *index) != NULL;
}

ns_t nackgen_due(const struct nackgen *g)
{
	return g->n_missing ? g->last_tick + NACKGEN_TICK_NS : NS_NEVER;
}

static bool item_is_hopeless(const struct nackgen *g, const struct nackgen_item *it, ns_t retry, ns_t now)
{
	return now - it->found >= NACKGEN_MAX_AGE_NS || g->top - it->index > NACKGEN_MAX_BEHIND ||
	       (it->n_asked >= NACKGEN_TRIES && now - it->asked >= retry);
}

static bool item_is_due(const struct nackgen *g, const struct nackgen_item *it, ns_t retry, ns_t now)
{
	if (it->n_asked > 0)
		return it->n_asked < NACKGEN_TRIES && now - it->asked >= retry;
	return now - it->found >= NACKGEN_HOLD_NS || g->top - it->index >= NACKGEN_HOLD_PACKETS;
}

void nackgen_tick(struct nackgen *g, ns_t rtt, ns_t now, struct nackgen_out *out)
{
	ns_t retry = rtt > 0 ? rtt : NACKGEN_RTT_NS;

	if (retry < NACKGEN_RETRY_NS)
		retry = NACKGEN_RETRY_NS;
	out->n_seq = out->n_lost = 0;
	g->last_tick = now;
	for (unsigned i = 0; i < g->n; i++) {
		struct nackgen_item *it = &g->item[i];

		if (it->is_done)
			continue;
		if (item_is_hopeless(g, it, retry, now)) {
			if (out->n_lost == NACKGEN_MAX_LOST)
				continue;
			out->lost[out->n_lost++] = it->index;
			it->is_done = true;
			g->n_missing--;
		} else if (out->n_seq < NACKGEN_MAX_SEQ && item_is_due(g, it, retry, now)) {
			out->seq[out->n_seq++] = (uint16_t)it->index;
			it->asked = now;
			it->n_asked++;
		}
	}
	items_sweep(g, 0);
}
