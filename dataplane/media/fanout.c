#include "dataplane/media/fanout.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/core/session.h"
#include "dataplane/media/leg.h"
#include "lib/base/err.h"

// By worker, those of every voice first, then by payload type, so that the inner loop of deliver/egress.c sees long runs
// of one header; then as they lie in memory, which people who come and go would shuffle (video: 38 cycles a packet).
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
