#include "dataplane/media/fanout.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/gate/classify.h"
#include "dataplane/deliver/egress.h"
#include "dataplane/media/leg.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/core/dp.h"
#include "lib/base/err.h"

// By worker, those of every voice first, then by payload type, so that the inner loop of egress.c sees long runs of one header;
// then as they lie in memory, which people who come and go would shuffle (video: 38 cycles a packet).
static int by_class(const void *a, const void *b)
{
	const struct leg *x = *(struct leg *const *)a, *y = *(struct leg *const *)b;

	if (x->session->home != y->session->home)
		return x->session->home - y->session->home;
	if (x->session->every_voice != y->session->every_voice)
		return y->session->every_voice - x->session->every_voice;
	if (x->pt != y->pt)
		return x->pt - y->pt;
	return (x->session > y->session) - (x->session < y->session);
}

struct fanout *fanout_new(struct leg *const *legs, uint32_t n)
{
	struct fanout *f;
	struct leg **sorted;

	if (n == 0)
		return NULL;
	f = calloc(1, sizeof(*f) + n * sizeof(f->receiver[0]));
	sorted = malloc(n * sizeof(*sorted));
	if (f == NULL || sorted == NULL) {
		free(f);
		free(sorted);
		return err_null(ENOMEM);
	}
	memcpy(sorted, legs, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_class);
	for (uint32_t i = 0; i < n; i++) {
		unsigned home = sorted[i]->session->home;
		f->receiver[i] = (struct receiver){sorted[i], sorted[i]->session};
		f->workers |= UINT64_C(1) << home;
		f->first[home + 1]++;
		if (sorted[i]->session->every_voice) {
			f->every |= UINT64_C(1) << home;
			f->n_every[home]++;
		}
	}
	for (unsigned i = 0; i < PORT_MAX_WORKERS; i++)
		f->first[i + 1] += f->first[i];
	free(sorted);
	return f;
}

void fanout_free(struct fanout *f)
{
	free(f);
}

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

void fanout_route(struct worker *w, struct source *src, struct rte_mbuf *m)
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

void fanout_arrive(struct worker *w, struct rte_mbuf *m)
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
