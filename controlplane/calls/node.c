#include "controlplane/calls/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "controlplane/sys/json.h"
#include "lib/base/err.h"

struct registry {
	struct loop *loop;   // borrowed
	struct store *store; // borrowed
	struct store_watcher *watcher;
	const struct sysload *sysload; // borrowed
	const struct hub *hub;         // borrowed
	const char *node, *api;        // borrowed
	int64_t started;
	struct timer timer;
};

static struct str make_key(const struct registry *r, char *buf, size_t size)
{
	int n = snprintf(buf, size, "sluice:node:%s", r->node);

	return (struct str){buf, n > 0 && (size_t)n < size ? (size_t)n : 0};
}

void registry_beat(struct registry *r)
{
	struct hub_load load = {};
	char key[STORE_KEY_MAX], value[2048];
	struct wbuf w = wbuf_of(value, sizeof(value));

	if (r->hub)
		hub_load(r->hub, &load);
	wbuf_printf(&w, "{\"api\":");
	json_write_str(&w, str_of(r->api));
	wbuf_printf(&w,
		    ",\"version\":\"%s\",\"load\":%.4f,\"sessions\":%u,\"calls\":%u,\"draining\":%s,"
		    "\"started\":%lld,"
		    "\"seen\":%lld}",
		    SLUICE_VERSION, sysload_get(r->sysload), load.n_sessions, load.n_calls,
		    load.draining ? "true" : "false", (long long)r->started, (long long)time(NULL));
	if (!w.full)
		store_set(r->store, make_key(r, key, sizeof(key)), (struct str){value, wbuf_len(&w)},
			  REGISTRY_TTL_S, NULL, NULL);
	loop_arm_in(r->loop, &r->timer, REGISTRY_BEAT_NS);
}

static void on_timer(struct timer *t, ns_t)
{
	registry_beat(container_of(t, struct registry, timer));
}

static void on_store(void *arg, enum store_state state)
{
	if (state != STORE_DOWN)
		registry_beat(arg);
}

struct registry *registry_new(struct loop *loop, struct store *store, const char *node, const char *api,
			      const struct sysload *sysload, const struct hub *hub)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	*r = (struct registry){.loop = loop,
			       .store = store,
			       .sysload = sysload,
			       .hub = hub,
			       .node = node,
			       .api = api,
			       .started = time(NULL),
			       .timer.on_due = on_timer};
	r->watcher = store_watch(store, on_store, r);
	if (r->watcher == NULL) {
		free(r);
		return err_null(ENOMEM);
	}
	return r;
}

void registry_free(struct registry *r)
{
	char key[STORE_KEY_MAX];

	if (r == NULL)
		return;
	loop_cancel(r->loop, &r->timer);
	store_unwatch(r->store, r->watcher);
	store_del(r->store, make_key(r, key, sizeof(key)), NULL, NULL);
	free(r);
}
