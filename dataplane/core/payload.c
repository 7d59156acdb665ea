#include "dataplane/core/payload.h"

#include <stdlib.h>

#include "dataplane/core/dp.h"
#include "lib/base/err.h"

#define BUFFER (1536 + RTE_PKTMBUF_HEADROOM) // PORT_MAX_PAYLOAD and some
#define CACHE 128
#define MIN_BUFFERS 1024
#define MAX_BUFFERS (1u << 24)
#define GRACE_NS (1 * NS_PER_MS) // shortest time between two grace periods

static void name_buffer(struct rte_mempool *pool, void *arg, void *obj, unsigned i)
{
	struct payload_store *s = arg;

	s->payload[i].m = obj;
	pkt_of(obj)->handle = i;
}

struct payload_store *payload_store_open(uint64_t n_bytes)
{
	struct payload_store *s = calloc(1, sizeof(*s));
	uint64_t n =
		n_bytes / (BUFFER + sizeof(struct pkt) + sizeof(struct rte_mbuf) + sizeof(struct payload));

	if (s == NULL)
		return err_null(ENOMEM);
	s->n = (uint32_t)RTE_MIN(RTE_MAX(n, (uint64_t)MIN_BUFFERS), (uint64_t)MAX_BUFFERS);
	s->payload = calloc(s->n, sizeof(*s->payload));
	s->pool = rte_pktmbuf_pool_create("video", s->n, CACHE, sizeof(struct pkt), BUFFER, SOCKET_ID_ANY);
	if (s->payload == NULL || s->pool == NULL) {
		payload_store_close(s);
		return err_null(ENOMEM);
	}
	rte_mempool_obj_iter(s->pool, name_buffer, s);
	return s;
}

void payload_store_close(struct payload_store *s)
{
	if (s == NULL)
		return;
	rte_mempool_free(s->pool);
	free(s->payload);
	free(s);
}

void payload_retired_init(struct payload_retired *r)
{
	*r = (struct payload_retired){PAYLOAD_NONE, PAYLOAD_NONE, PAYLOAD_NONE, PAYLOAD_NONE};
}

void payload_retire(struct worker *w, struct payload_store *s, uint32_t handle)
{
	struct payload_retired *r = &w->retired;

	ASSERT_HOT(handle < s->n && pkt_of(s->payload[handle].m)->handle == handle);
	s->payload[handle].next = PAYLOAD_NONE;
	if (r->fresh == PAYLOAD_NONE)
		r->fresh = handle;
	else
		s->payload[r->fresh_end].next = handle;
	r->fresh_end = handle;
}

// The fresh ones get a token of a grace period that begins now.
static void begin_grace(struct worker *w, struct payload_store *s)
{
	struct payload_retired *r = &w->retired;
	uint64_t token = rte_rcu_qsbr_start(w->dp->qsbr);

	ASSERT_HOT(r->fresh < s->n && r->fresh_end < s->n);
	for (uint32_t h = r->fresh; h != PAYLOAD_NONE; h = s->payload[h].next)
		s->payload[h].token = token;
	if (r->oldest == PAYLOAD_NONE)
		r->oldest = r->fresh;
	else
		s->payload[r->newest].next = r->fresh;
	r->newest = r->fresh_end;
	r->fresh = r->fresh_end = PAYLOAD_NONE;
	r->at = w->now;
}

void payload_reclaim(struct worker *w)
{
	struct payload_retired *r = &w->retired;
	struct payload_store *s = w->dp->video;

	if (r->fresh != PAYLOAD_NONE && w->now - r->at >= GRACE_NS)
		begin_grace(w, s);
	while (r->oldest != PAYLOAD_NONE && grace_is_over(w->dp, s->payload[r->oldest].token)) {
		struct rte_mbuf *m = s->payload[r->oldest].m;

		r->oldest = s->payload[r->oldest].next;
		mbuf_done(m);
	}
}
