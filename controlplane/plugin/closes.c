#include "controlplane/plugin/closes.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/err.h"

struct waiting_close {
	STAILQ_ENTRY(waiting_close) link;
	ns_t due;
	size_t len;
	char session_id[];
};

void closes_drop_first(struct closes *c)
{
	struct waiting_close *w = STAILQ_FIRST(&c->list);

	assert(c->n > 0 && w != NULL);
	STAILQ_REMOVE_HEAD(&c->list, link);
	c->n--;
	free(w);
	if (c->n == 0)
		loop_cancel(c->loop, &c->timer);
}

static void on_due(struct timer *t, ns_t now)
{
	struct closes *c = container_of(t, struct closes, timer);

	while (c->n > 0 && STAILQ_FIRST(&c->list)->due <= now) {
		c->ops->lost(c, "close expired");
		closes_drop_first(c);
	}
	if (c->n > 0)
		loop_arm(c->loop, t, STAILQ_FIRST(&c->list)->due);
	else
		c->ops->ran_out(c);
}

void closes_init(struct closes *c, struct loop *loop, const struct closes_ops *ops)
{
	*c = (struct closes){.loop = loop, .ops = ops, .timer.on_due = on_due};
	STAILQ_INIT(&c->list);
}

void closes_clear(struct closes *c)
{
	while (c->n > 0)
		closes_drop_first(c);
}

int closes_add(struct closes *c, struct str session_id)
{
	struct waiting_close *w = malloc(sizeof(*w) + session_id.len);

	if (w == NULL)
		return -ENOMEM;
	if (c->n == CLOSES_MAX) {
		c->ops->lost(c, "close queue full");
		closes_drop_first(c);
	}
	w->due = loop_now(c->loop) + CLOSES_WAIT_NS;
	w->len = session_id.len;
	memcpy(w->session_id, session_id.p, session_id.len);
	STAILQ_INSERT_TAIL(&c->list, w, link);
	if (c->n++ == 0)
		loop_arm(c->loop, &c->timer, w->due);
	return 0;
}

bool closes_first(const struct closes *c, struct str *session_id)
{
	const struct waiting_close *w = STAILQ_FIRST(&c->list);

	if (w != NULL)
		*session_id = (struct str){w->session_id, w->len};
	return w != NULL;
}
