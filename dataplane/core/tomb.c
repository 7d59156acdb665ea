#include "dataplane/core/tomb.h"

#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"

static struct tomb *find_tomb(const struct session *s, enum tomb_kind kind, uint32_t ssrc)
{
	for (unsigned i = 0; s->tombs && i < s->tombs->n; i++)
		if (s->tombs->of[i].ssrc == ssrc && s->tombs->of[i].kind == kind)
			return &s->tombs->of[i];
	return NULL;
}

static void remove_tomb(struct tombs *t, unsigned i)
{
	ASSERT_HOT(i < t->n && t->n <= TOMBS);
	t->n--;
	memmove(&t->of[i], &t->of[i + 1], (t->n - i) * sizeof(t->of[0]));
}

bool tomb_put(struct worker *w, struct session *s, enum tomb_kind kind, uint32_t ssrc, uint64_t top)
{
	struct tombs *t = s->tombs;

	ASSERT_HOME(w, s);
	if (t == NULL) {
		if (rte_mempool_get(w->dp->tomb_pool, (void **)&t) < 0)
			return false;
		t->n = 0;
		s->tombs = t;
	}
	if (t->n == TOMBS)
		remove_tomb(t, 0);
	t->of[t->n++] = (struct tomb){.top = top, .ssrc = ssrc, .kind = kind};
	return true;
}

bool tomb_find(const struct session *s, enum tomb_kind kind, uint32_t ssrc, uint64_t *top)
{
	const struct tomb *t = find_tomb(s, kind, ssrc);

	if (t != NULL)
		*top = t->top;
	return t != NULL;
}

void tomb_take(struct session *s, enum tomb_kind kind, uint32_t ssrc)
{
	struct tomb *t = find_tomb(s, kind, ssrc);

	if (t != NULL)
		remove_tomb(s->tombs, (unsigned)(t - s->tombs->of));
}

void tombs_free(struct worker *w, struct session *s)
{
	if (s->tombs)
		rte_mempool_put(w->dp->tomb_pool, s->tombs);
	s->tombs = NULL;
}
