#include "dataplane/media/layer_read.h"

#include "dataplane/media/layer_priv.h"

bool layer_top(const struct layer *l, uint64_t *index)
{
	uint64_t top = atomic_load_explicit(&l->top, memory_order_acquire); // slots up to it are there

	*index = top - 1;
	return top != 0;
}

static struct rte_mbuf *held_by(const struct layer *l, const struct rtxring_entry *e,
				enum rtxring_state state)
{
	return state == RTXRING_HELD ? payload_of(l->store, e->handle) : NULL;
}

enum rtxring_state layer_read(const struct layer *l, unsigned cap, uint64_t index, struct rtxring_entry *e,
			      struct rte_mbuf **m_peek)
{
	enum rtxring_state state = rtxring_at(&l->ring, cap, index, e);

	*m_peek = held_by(l, e, state);
	return state;
}

enum rtxring_state layer_find(const struct layer *l, unsigned cap, uint64_t rank, struct rtxring_entry *e,
			      struct rte_mbuf **m_peek)
{
	enum rtxring_state state = rtxring_find(&l->ring, cap, rank, e);

	*m_peek = held_by(l, e, state);
	return state;
}

bool layer_key(const struct layer *l, ns_t now, uint64_t *index)
{
	return rtxring_key(&l->ring, now, index);
}

bool layer_next_key(const struct layer *l, uint64_t from, uint64_t *index)
{
	struct rtxring_entry e;
	bool found = false;

	for (unsigned i = 0; i < LAYER_KEYS; i++) {
		uint64_t key = atomic_load_explicit(&l->keys[i], memory_order_acquire); // with its slot

		if (key == 0 || key - 1 < from || (found && key - 1 >= *index) ||
		    rtxring_at(&l->ring, 0, key - 1, &e) != RTXRING_HELD)
			continue;
		*index = key - 1;
		found = true;
	}
	return found;
}
