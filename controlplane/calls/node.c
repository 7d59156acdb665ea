#include "controlplane/calls/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "controlplane/calls/claim.h"
#include "controlplane/sys/json.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/version.h"

struct node {
	struct loop *loop;   // borrowed
	struct store *store; // borrowed
	struct store_watcher *watcher;
	const struct sysload *sysload; // borrowed
	const struct hub *hub;         // borrowed
	const char *id, *api;          // borrowed
	char holder[CLAIM_HOLDER_LEN + 1];
	bool is_disputed; // another node writes our entry
	int64_t started;
	struct timer timer;
};

static struct str node_key(const struct node *n, char *buf, size_t size)
{
	int len = snprintf(buf, size, "sluice:node:%s", n->id);

	return (struct str){buf, len > 0 && (size_t)len < size ? (size_t)len : 0};
}

static void node_write(struct node *n)
{
	struct hub_load load = {};
	char key[STORE_KEY_MAX], value[2048];
	struct wbuf w = wbuf_of(value, sizeof(value));

	if (n->hub)
		hub_load(n->hub, &load);
	wbuf_printf(&w, "{\"api\":");
	json_write_str(&w, str_of(n->api));
	wbuf_printf(&w, ",\"holder\":\"%s\"", n->holder);
	wbuf_printf(&w,
		    ",\"version\":\"%s\",\"load\":%.4f,\"sessions\":%u,\"calls\":%u,\"draining\":%s,"
		    "\"started\":%lld,"
		    "\"seen\":%lld}",
		    version_commit, sysload_get(n->sysload), load.n_sessions, load.n_calls,
		    load.draining ? "true" : "false", (long long)n->started, (long long)time(NULL));
	if (!w.full)
		store_set(n->store, node_key(n, key, sizeof(key)), (struct str){value, wbuf_len(&w)},
			  NODE_TTL_S, NULL, NULL);
}

// Somebody was started under our id while the store was away, or with a clock that stood still.
static void on_entry(void *arg, int rc, struct str entry)
{
	struct node *n = arg;
	bool was_disputed = n->is_disputed;

	n->is_disputed = rc == 0 && claim_is_foreign(entry, n->holder);
	if (!n->is_disputed)
		node_write(n);
	else if (!was_disputed)
		log_error("store.node_id: \"%s\" is used by another node, too: %.*s", n->id, STR_ARG(entry));
}

void node_beat(struct node *n)
{
	char key[STORE_KEY_MAX];

	store_get(n->store, node_key(n, key, sizeof(key)), on_entry, n);
	loop_arm_in(n->loop, &n->timer, NODE_BEAT_NS);
}

static void on_beat_due(struct timer *t, ns_t)
{
	node_beat(container_of(t, struct node, timer));
}

static void node_on_store(void *arg, enum store_state state)
{
	if (state != STORE_DOWN)
		node_beat(arg);
}

struct node *node_new(struct loop *loop, struct store *store, const char *id, const char *api,
		      const struct sysload *sysload, const struct hub *hub)
{
	struct node *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	*n = (struct node){.loop = loop,
			   .store = store,
			   .sysload = sysload,
			   .hub = hub,
			   .id = id,
			   .api = api,
			   .started = time(NULL),
			   .timer.on_due = on_beat_due};
	claim_holder(api, n->holder);
	n->watcher = store_watch(store, node_on_store, n);
	if (n->watcher == NULL) {
		free(n);
		return err_null(ENOMEM);
	}
	return n;
}

void node_free(struct node *n)
{
	char key[STORE_KEY_MAX];

	if (n == NULL)
		return;
	loop_cancel(n->loop, &n->timer);
	store_unwatch(n->store, n->watcher);
	store_cancel(n->store, n);
	if (!n->is_disputed)
		store_del(n->store, node_key(n, key, sizeof(key)), NULL, NULL);
	free(n);
}
