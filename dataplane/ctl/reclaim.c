#include "dataplane/ctl/reclaim.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "dataplane/core/dp.h"
#include "lib/base/err.h"

struct waiting {
	STAILQ_ENTRY(waiting) link;
	void (*free_fn)(void *);
	void *object;
	const struct worker *home;
	uint64_t n_mails; // of home, to be done first
	uint64_t token;   // of the grace period
};

STAILQ_HEAD(waiting_list, waiting);

// First in `mail`, in order of posting; then in `grace`, in order of tokens.
struct reclaim {
	struct dp *dp;
	struct waiting_list mail, grace;
};

struct reclaim *reclaim_new(struct dp *dp)
{
	struct reclaim *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return err_null(ENOMEM);
	r->dp = dp;
	STAILQ_INIT(&r->mail);
	STAILQ_INIT(&r->grace);
	return r;
}

static void free_first(struct waiting_list *list)
{
	struct waiting *first = STAILQ_FIRST(list);

	STAILQ_REMOVE_HEAD(list, link);
	first->free_fn(first->object);
	free(first);
}

void reclaim_free(struct reclaim *r)
{
	if (r == NULL)
		return;
	while (!STAILQ_EMPTY(&r->grace))
		free_first(&r->grace);
	while (!STAILQ_EMPTY(&r->mail))
		free_first(&r->mail);
	free(r);
}

void reclaim_later(struct reclaim *r, void (*free_fn)(void *), void *object, struct worker *home)
{
	struct waiting *new = malloc(sizeof(*new));

	assert(free_fn != NULL);
	if (object == NULL) {
		free(new);
		return;
	}
	// cannot: what can be retired is limited as sessions, tracks and legs are
	MUST(new != NULL);
	*new = (struct waiting){.free_fn = free_fn, .object = object, .home = home};
	new->n_mails = home ? home->n_mails_posted : 0;
	STAILQ_INSERT_TAIL(&r->mail, new, link);
}

static bool mails_are_done(const struct waiting *x)
{
	// acquire: the worker's last use before our free; pairs with mail_drain
	return x->home == NULL ||
	       atomic_load_explicit(&x->home->n_mails_done, memory_order_acquire) >= x->n_mails;
}

bool reclaim_run(struct reclaim *r)
{
	struct waiting *x;
	uint64_t token = 0;

	while ((x = STAILQ_FIRST(&r->mail)) && mails_are_done(x)) {
		if (token == 0)
			token = rte_rcu_qsbr_start(r->dp->qsbr); // one for all of this run
		x->token = token;
		STAILQ_REMOVE_HEAD(&r->mail, link);
		STAILQ_INSERT_TAIL(&r->grace, x, link);
	}
	while ((x = STAILQ_FIRST(&r->grace)) && grace_is_over(r->dp, x->token))
		free_first(&r->grace);
	return !STAILQ_EMPTY(&r->mail) || !STAILQ_EMPTY(&r->grace);
}
