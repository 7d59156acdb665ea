// Start and end of the calls, and of the sessions that have ended.
#include <assert.h>
#include <stdlib.h>

#include "controlplane/calls/hub_priv.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/peer/selftest.h"

// --- draining --------------------------------------------------------------------------------------
static void tell_drained(struct deferred *d)
{
	struct hub *h = container_of(d, struct hub, tell_drained);
	void (*fn)(void *) = h->drained;

	h->drained = NULL;
	if (fn != NULL)
		fn(h->drained_arg);
}

static void check_drained(struct hub *h)
{
	if (h->draining && h->drained != NULL && h->registry.n_sessions == 0)
		loop_defer(h->env.loop, &h->tell_drained);
}

void hub_drain(struct hub *h, void (*drained)(void *arg), void *arg)
{
	assert(drained != NULL);
	h->draining = true;
	h->drained = drained;
	h->drained_arg = arg;
	check_drained(h);
}

// --- sessions that have ended ----------------------------------------------------------------------
static void on_session_closed(void *arg, struct session *s)
{
	struct hub *h = arg;

	assert(s->life == LIFE_CLOSED);
	STAILQ_INSERT_TAIL(&h->dead, s, next_dead);
	loop_defer(h->env.loop, &h->reap);
}

static void reap(struct deferred *d)
{
	struct hub *h = container_of(d, struct hub, reap);
	struct session *s;

	while ((s = STAILQ_FIRST(&h->dead)) != NULL) {
		STAILQ_REMOVE_HEAD(&h->dead, next_dead);
		session_free(s);
	}
	check_drained(h);
}

void hub_client_gone(struct hub *h, struct str client)
{
	struct group *g;
	struct member *m;

	while ((g = registry_group(&h->registry, client)) != NULL &&
	       (m = map_next(g->members, &(size_t){0}, NULL)) != NULL)
		session_close(container_of(m, struct session, member), END_CLIENT_GONE);
}

// --- views -----------------------------------------------------------------------------------------
void hub_load(const struct hub *h, struct hub_load *out)
{
	*out = (struct hub_load){.n_sessions = h->registry.n_sessions,
				 .n_calls = h->registry.n_calls,
				 .draining = h->draining,
				 .restoring = resync_is_restoring(h->resync)};
}

const struct registry *hub_registry(const struct hub *h)
{
	return &h->registry;
}

struct queries *hub_queries(struct hub *h)
{
	return h->queries;
}

struct link *hub_link(struct hub *h)
{
	return h->env.link;
}

// --- start and end ---------------------------------------------------------------------------------
static int prove_dtls(struct hub *h)
{
	const char *why;
	int rc = peer_selftest(h->env.dtls, loop_now(h->env.loop), &why);

	if (rc < 0)
		log_error("DTLS with ourselves fails: %s. A crypto policy of this machine (openssl.cnf) must "
			  "allow DTLS 1.2, P-256 and AES-GCM",
			  why);
	return rc;
}

static int open_registry(struct hub *h)
{
	const struct conf *c = h->env.conf;
	struct registry_limits limits = {.sessions = c->limits.sessions,
					 .sessions_per_client = c->limits.sessions_per_client,
					 .sessions_per_call = c->limits.sessions_per_call,
					 .calls_per_client = c->limits.calls_per_client,
					 .joins_per_s = c->limits.joins_per_s};

	h->env.registry = &h->registry;
	return registry_init(&h->registry, &limits);
}

static int open_parts(struct hub *h)
{
	struct session_env *env = &h->env;
	int rc;

	if (open_registry(h) < 0 || dchan_start(loop_now(env->loop)) < 0)
		return -ENOMEM;
	env->sessions = pool_new(sizeof(struct session), env->conf->limits.sessions);
	env->dtls = dtls_ctx_new();
	env->nat = nat_new(env->loop, env->conf);
	env->persist = persist_new(env);
	env->link = link_new(env->loop, env->conf->dataplane.socket, &hub_link_ops, h);
	h->queries = queries_new(env);
	if (!env->sessions || !env->dtls || !env->nat || !env->persist || !env->link || !h->queries)
		return -ENOMEM;
	sctp_clock_init(&h->sctp_clock, env->loop, env->link, &h->registry.n_sessions);
	env->sctp_clock = &h->sctp_clock;
	rc = prove_dtls(h);
	return rc < 0 ? rc : session_env_init(env);
}

static void on_restored(void *arg)
{
	struct hub *h = arg;

	late_replay(&h->late, &hub_plugin_ops, h);
}

struct hub *hub_new(struct loop *loop, const struct conf *conf, struct plugins *plugins, struct store *store,
		    struct metrics *metrics)
{
	struct hub *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	*h = (struct hub){.env = {.loop = loop,
				  .conf = conf,
				  .plugins = plugins,
				  .store = store,
				  .metrics = metrics,
				  .closed = on_session_closed,
				  .arg = h}};
	STAILQ_INIT(&h->dead);
	late_init(&h->late);
	h->reap.fn = reap;
	h->tell_drained.fn = tell_drained;
	h->link_gone.on_due = hub_on_link_gone;
	if (open_parts(h) == 0)
		h->resync = resync_new(&h->env, on_restored, h);
	if (h->resync == NULL) {
		log_error("calls: cannot start (%s)", strerror(errno));
		hub_free(h);
		return err_null(ENOMEM);
	}
	return h;
}

void hub_free(struct hub *h)
{
	struct session_env *env;

	if (h == NULL)
		return;
	env = &h->env;
	h->drained = NULL;
	if (env->sessions != NULL)
		session_close_all(env, END_SHUTDOWN);
	reap(&h->reap);
	loop_defer_cancel(env->loop, &h->reap);
	loop_defer_cancel(env->loop, &h->tell_drained);
	loop_cancel(env->loop, &h->link_gone);
	sctp_clock_stop(&h->sctp_clock);
	late_drop(&h->late);
	queries_free(h->queries);
	resync_free(h->resync);
	persist_free(env->persist);
	dchan_stop();
	link_free(env->link);
	nat_free(env->nat);
	dtls_ctx_free(env->dtls);
	pool_free(env->sessions);
	registry_fini(&h->registry);
	free(h);
}
