// A handle names a buffer for life (core/payload.h), so a reader that found it in the ring needs nothing else to get at the
// packet. Which buffer is in which slot only the writer has to know.
#include "dataplane/media/layer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/core/cacheline.h"
#include "dataplane/core/dp.h"
#include "dataplane/core/pkt_kind.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/media/layer_priv.h"

#define EVICT 32                      // payloads that make room when there is none
#define MIN_KEEP_NS (250 * NS_PER_MS) // of what is kept when memory is short: a resend takes a round trip

uint32_t layer_slots(uint32_t n_packets)
{
	return RTE_MIN(RTE_MAX(rte_align32pow2(n_packets), 64u), 4096u);
}

struct layer *layer_new(struct payload_store *store, uint32_t n_slots)
{
	struct layer *l = cacheline_zalloc(sizeof(*l));

	assert(n_slots >= 64 && n_slots <= 4096 && (n_slots & (n_slots - 1)) == 0);
	if (l == NULL)
		return NULL;
	l->store = store;
	l->slot = cacheline_zalloc(n_slots * sizeof(*l->slot));
	l->of_rank = cacheline_zalloc(n_slots * RTXRING_CAPS * sizeof(*l->of_rank));
	l->held = cacheline_zalloc(n_slots * sizeof(*l->held));
	if (l->slot == NULL || l->of_rank == NULL || l->held == NULL) {
		layer_free(l);
		return NULL;
	}
	memset(l->held, 0xff, n_slots * sizeof(*l->held));
	rtxring_init(&l->ring, l->slot, l->of_rank, n_slots);
	return l;
}

void layer_free(struct layer *l)
{
	if (l == NULL)
		return;
	free(l->slot);
	free(l->of_rank);
	free(l->held);
	free(l);
}

// --- the ring -----------------------------------------------------------------------------------------

static uint64_t top_of(const struct layer *l)
{
	return atomic_load_explicit(&l->top, memory_order_relaxed); // by its writer
}

static void let_go(struct worker *w, struct layer *l, uint64_t index)
{
	uint32_t *held = &l->held[index & l->ring.mask];

	ASSERT_HOT(*held == PAYLOAD_NONE || *held < l->store->n);
	if (*held == PAYLOAD_NONE)
		return;
	payload_retire(w, l->store, *held);
	*held = PAYLOAD_NONE;
}

// First index whose slot has not been taken by a newer one.
static uint64_t first_slot(const struct layer *l)
{
	uint64_t top = top_of(l);

	return top > l->ring.mask ? top - l->ring.mask - 1 : 0;
}

// The ring is about to take these indices: their slots held older payloads.
static void overwrite(struct worker *w, struct layer *l, uint64_t index)
{
	uint64_t first = top_of(l);

	if (first == 0)
		first = index;
	if (index - first > l->ring.mask)
		first = index - l->ring.mask;
	for (uint64_t i = first; i <= index; i++)
		let_go(w, l, i);
}

void layer_clear(struct worker *w, struct layer *l)
{
	rtxring_reset(&l->ring);
	for (uint32_t i = 0; i <= l->ring.mask; i++)
		let_go(w, l, i);
	for (unsigned i = 0; i < LAYER_KEYS; i++)
		atomic_store_explicit(&l->keys[i], 0, memory_order_release);
	atomic_store_explicit(&l->top, 0, memory_order_release); // pairs with layer_top
	l->oldest = 0;
	layer_tell(l, &(struct layer_info){});
}

// The oldest payloads, up to n of them, or those that came before `since`.
static unsigned evict_payloads(struct worker *w, struct layer *l, unsigned n, ns_t since)
{
	unsigned done = 0;

	l->oldest = RTE_MAX(l->oldest, first_slot(l));
	for (; l->oldest < top_of(l) && done < n; l->oldest++) {
		uint32_t handle = l->held[l->oldest & l->ring.mask];

		if (handle == PAYLOAD_NONE)
			continue;
		if (pkt_of(payload_of(l->store, handle))->arrival >= since)
			break;
		rtxring_drop(&l->ring, l->oldest);
		let_go(w, l, l->oldest);
		done++;
	}
	return done;
}

void layer_expire(struct worker *w, struct layer *l)
{
	unsigned free_share = rte_mempool_avail_count(l->store->pool) / (l->store->n / 8);
	ns_t keep = LAYER_KEEP_NS;
	unsigned n;

	if (free_share == 0)
		keep = MIN_KEEP_NS;
	else if (free_share == 1)
		keep = LAYER_KEEP_NS / 2;
	n = evict_payloads(w, l, l->ring.mask + 1, w->now - keep);
	count(w, CTR_VIDEO_EVICTED, keep < LAYER_KEEP_NS ? n : 0);
}

// A copy of the packet that readers may be given.
static struct rte_mbuf *copy_packet(struct worker *w, struct layer *l, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_alloc(l->store->pool);
	uint32_t handle;

	if (copy == NULL || m->data_len > rte_pktmbuf_tailroom(copy)) {
		mbuf_unused(copy);
		return NULL;
	}
	memcpy(rte_pktmbuf_mtod(copy, void *), rte_pktmbuf_mtod(m, void *), m->data_len);
	copy->data_len = m->data_len;
	copy->pkt_len = m->data_len;
	handle = pkt_of(copy)->handle;
	*pkt_of(copy) = *pkt_of(m);
	pkt_of(copy)->handle = handle;
	pkt_of(copy)->kind = PKT_FANOUT;
	pkt_of(copy)->is_late = pkt_of(m)->place < top_of(l);
	return copy;
}

static void note_key(struct layer *l, uint64_t index)
{
	atomic_store_explicit(&l->keys[l->next_key], index + 1, memory_order_release); // with the slot
	l->next_key = (l->next_key + 1) % LAYER_KEYS;
}

static enum layer_added enter_ring(struct worker *w, struct layer *l, struct rte_mbuf *copy, uint8_t flags)
{
	const struct pkt *pkt = pkt_of(copy);
	struct rtxring_pkt p = {.index = pkt->place,
				.ts = pkt->ts,
				.handle = pkt->handle,
				.n_bytes = copy->data_len,
				.arrival = pkt->arrival,
				.tid = pkt->vp8.has_tid ? pkt->vp8.tid : 0,
				.flags = flags,
				.is_key_start = (flags & LAYER_KEY) != 0};
	struct rtxring_entry entry;
	bool is_late = pkt->is_late;

	if (!is_late)
		overwrite(w, l, p.index);
	if (!rtxring_add(&l->ring, &p, &entry))
		return LAYER_REFUSED;
	l->held[p.index & l->ring.mask] = p.handle;
	if (top_of(l) == 0 || p.index < l->oldest)
		l->oldest = p.index;
	if (!is_late) // release: the slot before its number; pairs with layer_top
		atomic_store_explicit(&l->top, p.index + 1, memory_order_release);
	if (flags & LAYER_KEY)
		note_key(l, p.index);
	return is_late ? LAYER_LATE : LAYER_IN_ORDER;
}

enum layer_added layer_add(struct worker *w, struct layer *l, struct rte_mbuf *m, uint8_t flags,
			   struct rte_mbuf **m_peek)
{
	struct rte_mbuf *copy = copy_packet(w, l, m);
	enum layer_added added;

	*m_peek = NULL;
	if (copy ==
	    NULL) { // place is kept by the next one's gap; what is evicted is free a grace period later
		count(w, CTR_VIDEO_EVICTED, evict_payloads(w, l, EVICT, NS_NEVER));
		return LAYER_NO_MEMORY;
	}
	added = enter_ring(w, l, copy, flags);
	if (added == LAYER_REFUSED) {
		mbuf_unused(copy);
		return added;
	}
	count(w, CTR_VIDEO_KEPT, 1);
	count(w, CTR_VIDEO_LATE, added == LAYER_LATE);
	*m_peek = copy;
	return added;
}

void layer_pad(struct worker *w, struct layer *l, uint64_t index, uint32_t ts)
{
	struct rtxring_pkt p = {.index = index, .ts = ts, .arrival = w->now, .is_padding = true};
	struct rtxring_entry entry;
	bool is_late = index < top_of(l);

	if (!is_late)
		overwrite(w, l, index);
	(void)!rtxring_add(&l->ring, &p, &entry); // false: not to be forwarded
	if (is_late)
		return;
	if (top_of(l) == 0)
		l->oldest = index;
	atomic_store_explicit(&l->top, index + 1, memory_order_release); // pairs with layer_top
}

void layer_give_up(struct layer *l, uint64_t index)
{
	(void)rtxring_give_up(&l->ring, index);
}
