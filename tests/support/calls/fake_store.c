#include "tests/support/calls/fake_store.h"

#include <stdlib.h>
#include <string.h>

#include "controlplane/store/store.h"
#include "lib/base/err.h"
#include "tests/support/calls/world.h"

static struct fake_record *record_find(struct str key)
{
	for (unsigned i = 0; i < world->n_records; i++)
		if (str_eq((struct str){world->records[i].key, world->records[i].key_len}, key))
			return &world->records[i];
	return NULL;
}

void record_clear(struct fake_record *r)
{
	free(r->key);
	free(r->value);
	*r = world->records[--world->n_records];
}

void store_del(struct store *s, struct str key, store_done_fn done, void *arg)
{
	struct fake_record *r = record_find(key);

	MUST(done == NULL);
	if (r != NULL)
		record_clear(r);
}

void store_set(struct store *s, struct str key, struct str value, uint32_t ttl_s, store_done_fn done,
	       void *arg)
{
	MUST(done == NULL && ttl_s > 0 && key.len <= STORE_KEY_MAX && value.len <= STORE_VALUE_MAX);
	store_del(s, key, NULL, NULL);
	MUST(world->n_records < MAX_RECORDS);
	world->records[world->n_records++] = (struct fake_record){
		strndup(key.p, key.len), memcpy(malloc(value.len), value.p, value.len), key.len, value.len};
}

static struct {
	struct deferred d;
	store_each_fn each;
	store_done_fn done;
	void *arg;
} scan;

static void on_scan(struct deferred *d)
{
	for (unsigned i = world->n_records; i-- > 0;) {
		struct fake_record r = world->records[i];
		char *value = memcpy(malloc(r.value_len), r.value, r.value_len);
		scan.each(scan.arg, (struct str){r.key, r.key_len}, (struct str){value, r.value_len});
		free(value);
	}
	scan.done(scan.arg, 0, STR_NONE);
}

void store_scan(struct store *s, struct str prefix, store_each_fn each, store_done_fn done, void *arg)
{
	scan.d.fn = on_scan;
	scan.each = each;
	scan.done = done;
	scan.arg = arg;
	if (!world->store_is_away)
		loop_defer(world->loop, &scan.d);
}

struct store_watcher *store_watch(struct store *s, store_state_fn fn, void *arg)
{
	world->on_store = fn;
	world->on_store_arg = arg;
	return (struct store_watcher *)world;
}

void store_unwatch(struct store *s, struct store_watcher *w)
{
	world->on_store = NULL;
}

void store_clear(void)
{
	while (world->n_records > 0)
		record_clear(&world->records[0]);
}

void store_lose_all(void)
{
	store_clear();
	world->on_store(world->on_store_arg, STORE_EMPTY);
}

void store_cancel(struct store *s, const void *arg)
{
	loop_defer_cancel(world->loop, &scan.d);
}
