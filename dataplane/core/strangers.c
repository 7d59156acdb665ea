#include "dataplane/core/strangers.h"

#include <string.h>

#include <rte_jhash.h>

#define PER_NETWORK 200 // failures a second
#define ALL 50000       // 3 % of a core for their HMACs

void strangers_init(struct strangers *s, uint32_t seed)
{
	*s = (struct strangers){.seed = seed};
}

// A new second begins with empty counters.
static void roll(struct strangers *s, ns_t now)
{
	if (now - s->since < NS_PER_S)
		return;
	s->since = now;
	if (s->total == 0)
		return;
	s->total = 0;
	memset(s->n, 0, sizeof(s->n));
}

static void columns(const struct strangers *s, const struct flow_key *key, uint32_t col[STRANGERS_ROWS])
{
	uint32_t h = rte_jhash(key->remote, key->family == 4 ? 3 : 8, s->seed ^ key->family);

	for (unsigned i = 0; i < STRANGERS_ROWS; i++, h >>= 16)
		col[i] = h % STRANGERS_COLS;
}

void strangers_failed(struct strangers *s, const struct flow_key *key, ns_t now)
{
	uint32_t col[STRANGERS_ROWS];

	roll(s, now);
	columns(s, key, col);
	s->total++;
	for (unsigned i = 0; i < STRANGERS_ROWS; i++)
		s->n[i][col[i]] += s->n[i][col[i]] < UINT16_MAX;
}

bool strangers_over(struct strangers *s, const struct flow_key *key, ns_t now)
{
	uint32_t col[STRANGERS_ROWS];

	roll(s, now);
	if (s->total < PER_NETWORK)
		return false;
	columns(s, key, col);
	for (unsigned i = 0; i < STRANGERS_ROWS; i++)
		if (s->n[i][col[i]] < PER_NETWORK)
			return s->total >= ALL;
	return true;
}
