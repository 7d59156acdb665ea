// A handle names a buffer for life (layer_store.kept), so a reader that found it in the ring needs nothing else to
// get at the packet. Which buffer is in which slot only the writer has to know.
#include "dataplane/media/layer.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/gate/classify.h"
#include "dataplane/ctl/model_priv.h"
#include "dataplane/core/dp.h"
#include "lib/base/err.h"
#include "lib/base/seqlock.h"

#define BUFFER (1536 + RTE_PKTMBUF_HEADROOM) // PORT_MAX_PAYLOAD and some
#define CACHE 128
#define MIN_BUFFERS 1024
#define MAX_BUFFERS (1u << 24)
#define KEYS 8                        // key frame starts that are remembered
#define BURY_NS (1 * NS_PER_MS)       // shortest time between two grace periods
#define EVICT 32                      // payloads that make room when there is none
#define MIN_KEEP_NS (250 * NS_PER_MS) // of what is kept when memory is short: a resend takes a round trip

struct kept {
	struct rte_mbuf *m; // constant
	// in a grave
	uint64_t token;
	uint32_t next;
};

struct layer_store {
	struct rte_mempool *pool;
	uint32_t n;
	struct kept *kept; // by handle
};

#define INFO_WORDS 7

struct layer {
	// set once
	struct layer_store *store; // borrowed
	struct rtxring_slot *slot; // owned
	_Atomic uint64_t *of_rank; // owned
	uint32_t *held;            // owned: handle in each slot, LAYER_NO_HANDLE none; writer only

	// publisher's worker writes, all read
	struct rtxring ring;
	_Atomic uint64_t top;        // highest index + 1, 0: none
	_Atomic uint64_t keys[KEYS]; // index + 1 of the newest key frame starts, 0: none
	struct seqlock info_lock;
	_Atomic uint64_t info[INFO_WORDS];

	// publisher's worker
	uint64_t oldest; // no payload is held below
	unsigned next_key;

	// any worker
	alignas(64) _Atomic uint32_t wishes;
};

// --- memory of payloads ------------------------------------------------------------------------------

static void name_buffer(struct rte_mempool *pool, void *arg, void *obj, unsigned i)
{
	struct layer_store *s = arg;

	s->kept[i].m = obj;
	pkt_of(obj)->handle = i;
}

struct layer_store *layer_store_open(uint64_t n_bytes)
{
	struct layer_store *s = calloc(1, sizeof(*s));
	uint64_t n = n_bytes / (BUFFER + sizeof(struct pkt) + sizeof(struct rte_mbuf) + sizeof(struct kept));

	if (s == NULL)
		return err_null(ENOMEM);
	s->n = (uint32_t)RTE_MIN(RTE_MAX(n, (uint64_t)MIN_BUFFERS), (uint64_t)MAX_BUFFERS);
	s->kept = calloc(s->n, sizeof(*s->kept));
	s->pool = rte_pktmbuf_pool_create("video", s->n, CACHE, sizeof(struct pkt), BUFFER, SOCKET_ID_ANY);
	if (s->kept == NULL || s->pool == NULL) {
		layer_store_close(s);
		return err_null(ENOMEM);
	}
	rte_mempool_obj_iter(s->pool, name_buffer, s);
	return s;
}

void layer_store_close(struct layer_store *s)
{
	if (s == NULL)
		return;
	rte_mempool_free(s->pool);
	free(s->kept);
	free(s);
}

uint32_t layer_slots(uint32_t n_packets)
{
	return RTE_MIN(RTE_MAX(rte_align32pow2(n_packets), 64u), 4096u);
}

struct layer *layer_new(struct layer_store *store, uint32_t n_slots)
{
	struct layer *l = model_zalloc(sizeof(*l));

	if (l == NULL)
		return NULL;
	l->store = store;
	l->slot = model_zalloc(n_slots * sizeof(*l->slot));
	l->of_rank = model_zalloc(n_slots * RTXRING_CAPS * sizeof(*l->of_rank));
	l->held = model_zalloc(n_slots * sizeof(*l->held));
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

// --- graves ------------------------------------------------------------------------------------------

void layer_grave_init(struct layer_grave *g)
{
	*g = (struct layer_grave){LAYER_NO_HANDLE, LAYER_NO_HANDLE, LAYER_NO_HANDLE, LAYER_NO_HANDLE};
}

// No reader finds the buffer any more, but some may have.
static void retire(struct worker *w, struct layer_store *s, uint32_t handle)
{
	struct layer_grave *g = &w->grave;

	s->kept[handle].next = LAYER_NO_HANDLE;
	if (g->fresh == LAYER_NO_HANDLE)
		g->fresh = handle;
	else
		s->kept[g->fresh_end].next = handle;
	g->fresh_end = handle;
}

// The fresh ones get a token of a grace period that begins now.
static void begin_grace(struct worker *w, struct layer_store *s)
{
	struct layer_grave *g = &w->grave;
	uint64_t token = rte_rcu_qsbr_start(w->dp->qsbr);

	for (uint32_t h = g->fresh; h != LAYER_NO_HANDLE; h = s->kept[h].next)
		s->kept[h].token = token;
	if (g->oldest == LAYER_NO_HANDLE)
		g->oldest = g->fresh;
	else
		s->kept[g->newest].next = g->fresh;
	g->newest = g->fresh_end;
	g->fresh = g->fresh_end = LAYER_NO_HANDLE;
	g->at = w->now;
}

void layer_bury(struct worker *w)
{
	struct layer_grave *g = &w->grave;
	struct layer_store *s = w->dp->video;

	if (g->fresh != LAYER_NO_HANDLE && w->now - g->at >= BURY_NS)
		begin_grace(w, s);
	while (g->oldest != LAYER_NO_HANDLE && grace_is_over(w->dp, s->kept[g->oldest].token)) {
		struct rte_mbuf *m = s->kept[g->oldest].m;

		g->oldest = s->kept[g->oldest].next;
		mbuf_done(m);
	}
}

// --- writing -----------------------------------------------------------------------------------------

static void let_go(struct worker *w, struct layer *l, uint64_t index)
{
	uint32_t *held = &l->held[index & l->ring.mask];

	if (*held == LAYER_NO_HANDLE)
		return;
	retire(w, l->store, *held);
	*held = LAYER_NO_HANDLE;
}

static uint64_t top_of(const struct layer *l)
{
	return atomic_load_explicit(&l->top, memory_order_relaxed); // by its writer
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
	for (unsigned i = 0; i < KEYS; i++)
		atomic_store_explicit(&l->keys[i], 0, memory_order_release);
	atomic_store_explicit(&l->top, 0, memory_order_release); // pairs with layer_top
	l->oldest = 0;
	layer_tell(l, &(struct layer_info){});
}

// The oldest payloads, up to n of them, or those that came before `since`.
static unsigned evict(struct worker *w, struct layer *l, unsigned n, ns_t since)
{
	unsigned done = 0;

	l->oldest = RTE_MAX(l->oldest, first_slot(l));
	for (; l->oldest < top_of(l) && done < n; l->oldest++) {
		uint32_t handle = l->held[l->oldest & l->ring.mask];

		if (handle == LAYER_NO_HANDLE)
			continue;
		if (pkt_of(l->store->kept[handle].m)->arrival >= since)
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
	n = evict(w, l, l->ring.mask + 1, w->now - keep);
	count(w, CTR_VIDEO_EVICTED, keep < LAYER_KEEP_NS ? n : 0);
}

// A copy of the packet that readers may be given.
static struct rte_mbuf *keep(struct worker *w, struct layer *l, struct rte_mbuf *m)
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
	l->next_key = (l->next_key + 1) % KEYS;
}

static enum layer_added enter(struct worker *w, struct layer *l, struct rte_mbuf *copy, uint8_t flags)
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
	struct rte_mbuf *copy = keep(w, l, m);
	enum layer_added added;

	*m_peek = NULL;
	if (copy ==
	    NULL) { // place is kept by the next one's gap; what is evicted is free a grace period later
		count(w, CTR_VIDEO_EVICTED, evict(w, l, EVICT, NS_NEVER));
		return LAYER_NO_MEMORY;
	}
	added = enter(w, l, copy, flags);
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

// --- reading -----------------------------------------------------------------------------------------

bool layer_top(const struct layer *l, uint64_t *index)
{
	uint64_t top = atomic_load_explicit(&l->top, memory_order_acquire); // slots up to it are there

	*index = top - 1;
	return top != 0;
}

static struct rte_mbuf *payload(const struct layer *l, const struct rtxring_entry *e,
				enum rtxring_state state)
{
	return state == RTXRING_HELD ? l->store->kept[e->handle].m : NULL;
}

enum rtxring_state layer_read(const struct layer *l, unsigned cap, uint64_t index, struct rtxring_entry *e,
			      struct rte_mbuf **m_peek)
{
	enum rtxring_state state = rtxring_at(&l->ring, cap, index, e);

	*m_peek = payload(l, e, state);
	return state;
}

enum rtxring_state layer_find(const struct layer *l, unsigned cap, uint64_t rank, struct rtxring_entry *e,
			      struct rte_mbuf **m_peek)
{
	enum rtxring_state state = rtxring_find(&l->ring, cap, rank, e);

	*m_peek = payload(l, e, state);
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

	for (unsigned i = 0; i < KEYS; i++) {
		uint64_t key = atomic_load_explicit(&l->keys[i], memory_order_acquire); // with its slot

		if (key == 0 || key - 1 < from || (found && key - 1 >= *index) ||
		    rtxring_at(&l->ring, 0, key - 1, &e) != RTXRING_HELD)
			continue;
		*index = key - 1;
		found = true;
	}
	return found;
}

// --- wishes and news ---------------------------------------------------------------------------------

void layer_ask_key(struct layer *l)
{
	atomic_fetch_add_explicit(&l->wishes, 1, memory_order_relaxed); // a number, nothing hangs on it
}

uint32_t layer_wishes(const struct layer *l)
{
	return atomic_load_explicit(&l->wishes, memory_order_relaxed);
}

void layer_tell(struct layer *l, const struct layer_info *i)
{
	const uint64_t word[INFO_WORDS] = {
		(uint64_t)i->bps << 32 | (uint64_t)i->is_active << 2 | (uint64_t)i->has_key << 1 |
			(uint64_t)i->n_tids << 8,
		i->sr.ntp,
		(uint64_t)i->sr.rtp << 32 | i->sr.clock_hz,
		(uint64_t)i->sr.era << 32 | i->sr.valid,
		(uint64_t)i->clock.at,
		(uint64_t)i->clock.rtp << 32 | i->clock.clock_hz,
		i->clock.valid,
	};

	seqlock_write(&l->info_lock, l->info, word, INFO_WORDS);
}

void layer_info(const struct layer *l, struct layer_info *i)
{
	uint64_t word[INFO_WORDS];

	seqlock_read(&l->info_lock, l->info, word, INFO_WORDS);
	*i = (struct layer_info){.bps = (uint32_t)(word[0] >> 32),
				 .is_active = word[0] & 4,
				 .has_key = word[0] & 2,
				 .n_tids = (uint8_t)(word[0] >> 8),
				 .sr = {.ntp = word[1],
					.rtp = (uint32_t)(word[2] >> 32),
					.clock_hz = (uint32_t)word[2],
					.era = (uint32_t)(word[3] >> 32),
					.valid = word[3] & 1},
				 .clock = {.at = (ns_t)word[4],
					   .rtp = (uint32_t)(word[5] >> 32),
					   .clock_hz = (uint32_t)word[5],
					   .valid = word[6] & 1}};
}
