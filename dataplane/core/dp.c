#include "dataplane/core/dp.h"

#include <string.h>
#include <unistd.h>

void drop(struct worker *w, struct rte_mbuf *m, enum counter why)
{
	ASSERT_HOT(rte_mbuf_refcnt_read(m) > 0);
	count(w, why, 1);
	mbuf_lost(m);
}

uint64_t worker_random(struct worker *w)
{
	uint64_t *s = w->random, t = s[1] << 17, r = s[1] * 5;

	r = ((r << 7) | (r >> 57)) * 9;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return r;
}

void worker_wake(struct worker *w)
{
	const uint64_t one = 1;

	atomic_thread_fence(memory_order_seq_cst); // the ring entry before the look; pairs with sleep_idle
	if (atomic_load_explicit(&w->asleep, memory_order_relaxed))
		// A failing write means the counter is full, so the worker is being woken already.
		(void)!write(w->doorbell, &one, sizeof(one));
}

// --- sending ----------------------------------------------------------------------------------------

static void flush_port(struct worker *w, unsigned port)
{
	struct outq *q = &w->out[port];
	struct port *p = w->dp->port[port];

	if (q->n == 0)
		return;
	p->ops->tx(p, w->id, q->m, q->path, q->n);
	count(w, CTR_TX_BURSTS, 1);
	q->n = 0;
}

void worker_send(struct worker *w, const struct path *path, struct rte_mbuf *m)
{
	struct outq *q = &w->out[path->key.port];

	ASSERT_HOT(path->key.port < w->dp->n_ports && q->n < BURST);
	q->m[q->n] = m;
	q->path[q->n] = path;
	if (++q->n >= w->dp->tx_burst)
		flush_port(w, path->key.port);
}

void worker_send_queued(struct worker *w)
{
	for (unsigned i = 0; i < w->dp->n_ports; i++)
		flush_port(w, i);
}

struct rte_mbuf *worker_packet(struct worker *w, const void *data, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->dp->tx_pool);

	if (m == NULL) {
		count(w, DROP_NO_MBUF, 1);
		return NULL;
	}
	pkt_of(m)->class = CLASS_CONTROL;
	memcpy(rte_pktmbuf_mtod(m, void *), data, len);
	m->data_len = (uint16_t)len;
	m->pkt_len = m->data_len;
	return m;
}

static void flush_handoff(struct worker *w, unsigned to)
{
	struct handoff *h = &w->hand[to];
	unsigned n;

	if (h->n == 0)
		return;
	n = rte_ring_sp_enqueue_burst(w->dp->worker[to]->in[w->id], (void **)h->m, h->n, NULL);
	for (unsigned i = n; i < h->n; i++)
		drop(w, h->m[i], DROP_RING_FULL);
	h->n = 0;
	worker_wake(w->dp->worker[to]);
}

void worker_hand_over(struct worker *w, unsigned to, struct rte_mbuf *m)
{
	struct handoff *h = &w->hand[to];

	ASSERT_HOT(to < w->dp->n_workers && to != w->id && h->n < BURST);
	h->m[h->n] = m;
	if (++h->n == BURST)
		flush_handoff(w, to);
}

void worker_send_handed(struct worker *w)
{
	for (unsigned i = 0; i < w->dp->n_workers; i++)
		flush_handoff(w, i);
}
