#include "dataplane/worker/worker_life.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ring_elem.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/worker/sleep.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"

static uint64_t ice_random(void *w)
{
	return worker_random(w);
}

static void ice_hmac(void *w, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		     uint8_t out[STUN_MAC_LEN])
{
	seal_hmac_sha1(((struct worker *)w)->seal, key, key_len, msg, len, out);
}

static int open_rings(struct worker *w)
{
	char name[RTE_RING_NAMESIZE];
	unsigned flags = RING_F_SP_ENQ | RING_F_SC_DEQ;

	snprintf(name, sizeof(name), "mail%u", w->id);
	w->mail = rte_ring_create_elem(name, sizeof(struct mail), MAIL_RING, SOCKET_ID_ANY, flags);
	snprintf(name, sizeof(name), "note%u", w->id);
	w->notes = rte_ring_create_elem(name, sizeof(struct note), NOTE_RING, SOCKET_ID_ANY, flags);
	for (unsigned i = 0; i < w->dp->n_workers; i++) {
		snprintf(name, sizeof(name), "hand%u_%u", i, w->id);
		if (i != w->id && !(w->in[i] = rte_ring_create(name, HANDOFF_RING, SOCKET_ID_ANY, flags)))
			return -ENOMEM;
	}
	return w->mail && w->notes ? 0 : -ENOMEM;
}

struct worker *worker_new(struct dp *dp, unsigned id, bool sleeps)
{
	struct worker *w = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*w), 64));

	if (w == NULL)
		return err_null(ENOMEM);
	memset(w, 0, sizeof(*w));
	w->dp = dp;
	w->id = (uint16_t)id;
	w->sleeps = sleeps;
	w->linger_ns = (ns_t)dp->conf->dataplane.busy_poll_us * 1000;
	w->stale_ns = sleeps ? STALE_SLEEPING_NS : STALE_POLLING_NS;
	w->epoll_fd = w->doorbell = w->punt_bell = -1;
	w->stats = statseg_block(dp->statseg, id);
	w->ice = (struct icelite_env){.mac = {ice_hmac, w}, .random = ice_random, .arg = w};
	rand_bytes(w->random, sizeof(w->random));
	strangers_init(&w->strangers, rand_u32());
	w->parking.max = RTE_MIN(dp->rx_pool->size / (PARKING_POOL_SHARE * dp->n_workers),
				 (unsigned)UINT16_MAX);
	payload_retired_init(&w->retired);
	overload_init(&w->overload, w->stale_ns);
	w->now = clock_now();
	wheel_init(&w->wheel, w->now);
	TAILQ_INIT(&w->audiences);
	atomic_store_explicit(&w->beat, w->now, memory_order_relaxed);
	w->seal = seal_engine_new(dp->conf->dataplane.seal);
	if (w->seal == NULL || open_rings(w) < 0 || sleep_open(w) < 0) {
		int err = errno ? errno : ENOMEM;
		worker_free(w);
		return err_null(err);
	}
	return w;
}

static void free_packets(struct rte_ring *ring)
{
	void *m;

	while (ring && rte_ring_sc_dequeue(ring, &m) == 0)
		mbuf_done(m);
	rte_ring_free(ring);
}

void worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	for (unsigned i = 0; i < w->dp->n_workers; i++)
		free_packets(w->in[i]);
	rte_ring_free(w->mail);
	rte_ring_free(w->notes);
	if (w->seal)
		seal_engine_free(w->seal);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->doorbell >= 0)
		close(w->doorbell);
	if (w->punt_bell >= 0)
		close(w->punt_bell);
	free(w);
}
