// Whether the store is there, and who is told. The marker key tells a store that came back from one that came
// back empty, and one that somebody emptied under us: it holds a random id, remembered here and looked at now
// and then.
#include "controlplane/store/store_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define MARKER_KEY "sluice:store"
#define LOOK_NS (2 * NS_PER_S)

struct loop *store_loop(struct store *s)
{
	return s->loop;
}

static void watchers_tell(struct store *s, bool only_new)
{
	struct store_watcher *w, *next;

	TAILQ_EACH_SAFE (w, &s->watchers, link, next) {
		if (only_new && !w->is_new)
			continue;
		w->is_new = false;
		if (w->fn != NULL)
			w->fn(w->arg, s->state);
	}
	TAILQ_EACH_SAFE (w, &s->watchers, link, next)
		if (w->fn == NULL) {
			TAILQ_REMOVE(&s->watchers, w, link);
			free(w);
		}
}

static void on_new_watcher(struct deferred *d)
{
	struct store *s = container_of(d, struct store, new_watcher);

	if (s->state != STORE_DOWN)
		watchers_tell(s, true);
}

// The first connection has come or failed: what waited for it goes on, or is answered.
void store_end_start(struct store *s)
{
	struct store_op *op;

	s->is_starting = false;
	loop_cancel(s->loop, &s->start_limit);
	while ((op = TAILQ_FIRST(&s->early)) != NULL) {
		TAILQ_REMOVE(&s->early, op, link);
		s->stats.ops--; // counted again
		store_op_submit(s, op);
	}
}

static void on_start_limit(struct timer *t, ns_t)
{
	store_end_start(container_of(t, struct store, start_limit));
}

static void store_become(struct store *s, enum store_state state)
{
	s->state = state;
	if (s->is_starting)
		store_end_start(s);
	if (state != STORE_DOWN)
		store_ops_flush(s);
	watchers_tell(s, false);
}

static void marker_submit(struct store *s, struct store_op *op, store_done_fn done)
{
	if (op == NULL)
		return; // out of memory: the time-out of the next connection tries again
	op->is_internal = true;
	op->done = done;
	op->arg = s;
	store_op_hand_over(s, op);
}

static void marker_ask(struct store *s);

// The store answers, under this marker.
static void marker_seen(struct store *s, struct str value)
{
	bool was_known = s->marker[0] != '\0', is_same = str_eq(str_of(s->marker), value);

	str_copy(value, s->marker, sizeof(s->marker));
	loop_arm_in(s->loop, &s->look, LOOK_NS);
	if (was_known && !is_same) {
		log_warn("store: %s is empty: it lost what it held; what this node serves is written again",
			 s->name);
		store_become(s, STORE_EMPTY);
	} else if (s->state == STORE_DOWN) {
		store_become(s, STORE_UP);
	}
}

static void on_marker_put(void *arg, int rc, struct str)
{
	struct store *s = arg;

	if (rc == 0)
		marker_seen(s, str_of(s->made));
	else if (rc == -EEXIST) // another node was faster
		marker_ask(s);
}

static void marker_make(struct store *s)
{
	char id[17];

	rand_text(id, 16, "0123456789abcdef");
	snprintf(s->made, sizeof(s->made), "{\"id\":\"%s\"}", id);
	marker_submit(s, store_op_new(STORE_PUT, STR(MARKER_KEY), str_of(s->made)), on_marker_put);
}

static void on_marker(void *arg, int rc, struct str value)
{
	struct store *s = arg;

	if (rc == -ENOENT)
		marker_make(s);
	else if (rc == 0)
		marker_seen(s, value);
	else if (s->state != STORE_DOWN)
		loop_arm_in(s->loop, &s->look, LOOK_NS);
}

static void marker_ask(struct store *s)
{
	marker_submit(s, store_op_new(STORE_GET, STR(MARKER_KEY), STR_NONE), on_marker);
}

static void on_look(struct timer *t, ns_t)
{
	marker_ask(container_of(t, struct store, look));
}

void store_on_connected(struct store *s)
{
	assert(s->backend.is_shared);
	marker_ask(s);
}

void store_on_disconnected(struct store *s)
{
	if (s->is_closing)
		return;
	if (s->is_starting)
		store_end_start(s);
	loop_cancel(s->loop, &s->look);
	if (s->state == STORE_DOWN)
		return;
	s->stats.reconnects++;
	log_warn("store: %s is away; going on from memory", s->name);
	store_become(s, STORE_DOWN);
}

struct store_watcher *store_watch(struct store *s, store_state_fn fn, void *arg)
{
	struct store_watcher *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	*w = (struct store_watcher){.fn = fn, .arg = arg, .is_new = true};
	TAILQ_INSERT_TAIL(&s->watchers, w, link);
	loop_defer(s->loop, &s->new_watcher);
	return w;
}

void store_unwatch(struct store *s, struct store_watcher *w)
{
	if (w != NULL)
		w->fn = NULL; // freed at the next round
}

const char *store_name(const struct store *s)
{
	return s->name;
}

bool store_is_up(const struct store *s)
{
	return s->state != STORE_DOWN;
}

bool store_is_shared(const struct store *s)
{
	return s->backend.is_shared;
}

void store_stats(const struct store *s, struct store_stats *out)
{
	*out = s->stats;
	out->waiting_writes = (uint32_t)map_count(s->waiting);
}

void store_state_init(struct store *s)
{
	s->new_watcher.fn = on_new_watcher;
	s->start_limit.on_due = on_start_limit;
	s->look.on_due = on_look;
	TAILQ_INIT(&s->early);
	TAILQ_INIT(&s->watchers);
}

void store_state_begin(struct store *s)
{
	if (s->backend.is_shared) {
		s->is_starting = true;
		loop_arm_in(s->loop, &s->start_limit, STORE_OP_NS);
	} else {
		s->state = STORE_UP; // never away
	}
}

void store_state_fini(struct store *s)
{
	struct store_watcher *w;

	loop_defer_cancel(s->loop, &s->new_watcher);
	loop_cancel(s->loop, &s->look);
	while ((w = TAILQ_FIRST(&s->watchers)) != NULL) {
		TAILQ_REMOVE(&s->watchers, w, link);
		free(w);
	}
}
