#include "dataplane/deliver/route.h"

#include "dataplane/core/dp.h"
#include "dataplane/core/pkt_kind.h"
#include "dataplane/deliver/egress.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/media/fanout.h"

static void serve_own(struct worker *w, const struct fanout *f, struct rte_mbuf *m)
{
	const struct receiver *to = f->receiver + f->first[w->id];
	uint32_t n = f->first[w->id + 1] - f->first[w->id], n_every = f->n_every[w->id];
	const struct pkt *pkt = pkt_of(m);

	if (n_every > 0 && pkt->has_every)
		egress_fan(w, to, n_every, m, pkt->every_rank);
	if (!pkt->is_silenced)
		egress_fan(w, to + n_every, n - n_every, m, pkt->rank);
}

void route_packet(struct worker *w, struct source *src, struct rte_mbuf *m)
{
	const struct fanout *f = fanout_of(src);
	uint64_t others;

	if (f == NULL) {
		drop(w, m, DROP_NO_RECEIVER);
		return;
	}
	others = (pkt_of(m)->is_silenced ? f->every : f->workers) & ~(UINT64_C(1) << w->id);
	if (others) {
		struct pkt *pkt = pkt_of(m);
		pkt->kind = PKT_FANOUT;
		pkt->source = src;
		pkt->gen = source_gen(src);
		rte_mbuf_refcnt_update(m, (int16_t)__builtin_popcountll(others));
	}
	serve_own(w, f, m);
	for (uint64_t left = others; left; left &= left - 1) {
		count(w, CTR_FANOUT_NOTICES, 1);
		worker_hand_over(w, (unsigned)__builtin_ctzll(left), m);
	}
	mbuf_done(m);
}

void route_arrived(struct worker *w, struct rte_mbuf *m)
{
	const struct pkt *pkt = pkt_of(m);
	struct source *src = pkt->source;
	const struct fanout *f = fanout_of(src);

	overload_age(&w->overload, w->now - pkt->arrival);
	if (source_gen(src) != pkt->gen || f == NULL) {
		drop(w, m, DROP_NO_RECEIVER);
	} else if (src->video) { // only word that something came: the rest is in the ring
		if (pkt->is_late)
			viewer_late(w, src, m);
		else
			audience_wake(w, src);
		mbuf_done(m);
	} else if (w->now - pkt->arrival > w->stale_ns) {
		drop(w, m, DROP_STALE);
	} else {
		serve_own(w, f, m);
		mbuf_done(m);
	}
}
