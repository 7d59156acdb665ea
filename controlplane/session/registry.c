#include "controlplane/session/registry.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/err.h"

const char *join_result_text(enum join_result r)
{
	switch (r) {
	case JOIN_OK:
		return "ok";
	case JOIN_DUPLICATE:
		return "duplicate";
	case JOIN_INVALID:
		return "invalid";
	case JOIN_FULL_NODE:
		return "sessions";
	case JOIN_FULL_CLIENT:
		return "sessions_per_client";
	case JOIN_FULL_CALL:
		return "sessions_per_call";
	case JOIN_TOO_MANY_CALLS:
		return "calls_per_client";
	case JOIN_TOO_FAST:
		return "joins_per_second";
	case JOIN_OVERLOADED:
		return "overload";
	case JOIN_NO_MEMORY:
		return "memory";
	}
	return "unknown";
}

int registry_init(struct registry *r, const struct registry_limits *limits)
{
	*r = (struct registry){.groups = map_new(), .paces = map_new(), .limits = *limits};
	TAILQ_INIT(&r->by_use);
	if (r->groups != NULL && r->paces != NULL)
		return 0;
	map_free(r->groups);
	map_free(r->paces);
	r->groups = r->paces = NULL;
	return -ENOMEM;
}

static void pace_free(struct registry *r, struct pace *p)
{
	TAILQ_REMOVE(&r->by_use, p, link);
	map_del(r->paces, str_of(p->client));
	free(p->client);
	free(p);
}

void registry_fini(struct registry *r)
{
	assert(r->n_sessions == 0 && r->n_calls == 0);
	map_free(r->groups);
	r->groups = NULL;
	while (!TAILQ_EMPTY(&r->by_use))
		pace_free(r, TAILQ_FIRST(&r->by_use));
	map_free(r->paces);
	r->paces = NULL;
}

static char *dup_str(struct str s)
{
	return strndup(s.p ? s.p : "", s.len);
}

// --- groups and calls come and go with their members ---------------------------------------------
static void group_free(struct group *g)
{
	map_free(g->calls);
	map_free(g->members);
	free(g->client);
	free(g);
}

static struct group *group_new(struct registry *r, struct str client)
{
	struct group *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	*g = (struct group){.client = dup_str(client), .calls = map_new(), .members = map_new()};
	if (g->client == NULL || g->calls == NULL || g->members == NULL ||
	    map_put(r->groups, client, g) < 0) {
		group_free(g);
		return NULL;
	}
	return g;
}

static void group_drop_if_empty(struct registry *r, struct group *g)
{
	if (map_count(g->members) > 0)
		return;
	map_del(r->groups, str_of(g->client));
	group_free(g);
}

static struct call *call_new(struct registry *r, struct group *g, struct str id)
{
	struct call *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	*c = (struct call){.id = dup_str(id), .group = g, .number = ++r->last_number};
	LIST_INIT(&c->members);
	if (c->id == NULL || map_put(g->calls, id, c) < 0) {
		free(c->id);
		free(c);
		return NULL;
	}
	r->n_calls++;
	return c;
}

static void call_drop_if_empty(struct registry *r, struct call *c)
{
	if (c->n_members > 0)
		return;
	map_del(c->group->calls, str_of(c->id));
	r->n_calls--;
	free(c->id);
	free(c);
}

// --- joining -------------------------------------------------------------------------------------
// NULL: out of memory.
static struct pace *pace_of(struct registry *r, struct str client)
{
	struct pace *p = map_find(r->paces, client);

	if (p != NULL) {
		TAILQ_REMOVE(&r->by_use, p, link);
		TAILQ_INSERT_TAIL(&r->by_use, p, link);
		return p;
	}
	if (map_count(r->paces) >= REGISTRY_MAX_PACES)
		pace_free(r, TAILQ_FIRST(&r->by_use));
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->client = dup_str(client);
	if (p->client == NULL || map_put(r->paces, client, p) < 0) {
		free(p->client);
		free(p);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&r->by_use, p, link);
	return p;
}

static enum join_result take_join(struct registry *r, const struct group *g, ns_t now)
{
	double per_s = r->limits.joins_per_s;
	struct pace *p = pace_of(r, str_of(g->client));

	if (p == NULL)
		return JOIN_NO_MEMORY;
	return tokens_take(&p->joins, (struct tokens_rate){per_s * CALL_JOIN_BURST_S, per_s}, now)
		       ? JOIN_OK
		       : JOIN_TOO_FAST;
}

static enum join_result check_limits(struct registry *r, struct group *g, const struct join_msg *j, ns_t now)
{
	const struct call *c = map_find(g->calls, j->call_id);

	if (r->n_sessions >= r->limits.sessions)
		return JOIN_FULL_NODE;
	if (map_count(g->members) >= r->limits.sessions_per_client)
		return JOIN_FULL_CLIENT;
	if (c != NULL && c->n_members >= r->limits.sessions_per_call)
		return JOIN_FULL_CALL;
	if (c == NULL && map_count(g->calls) >= r->limits.calls_per_client)
		return JOIN_TOO_MANY_CALLS;
	return take_join(r, g, now);
}

static void member_clear(struct member *m)
{
	free(m->session_id);
	free(m->user_id);
	free(m->channel_id);
	*m = (struct member){.sid = m->sid};
}

static enum join_result member_insert(struct registry *r, struct member *m, struct group *g,
				      const struct join_msg *j)
{
	struct call *c = map_find(g->calls, j->call_id);

	assert(m->call == NULL && m->sid != 0);
	*m = (struct member){.sid = m->sid,
			     .session_id = dup_str(j->session_id),
			     .user_id = dup_str(j->user_id),
			     .channel_id = dup_str(j->channel_id),
			     .flags = j->flags};
	if (c == NULL)
		c = call_new(r, g, j->call_id);
	if (c == NULL || m->session_id == NULL || m->user_id == NULL || m->channel_id == NULL ||
	    map_put(g->members, j->session_id, m) < 0) {
		if (c != NULL)
			call_drop_if_empty(r, c);
		member_clear(m);
		return JOIN_NO_MEMORY;
	}
	m->call = c;
	LIST_INSERT_HEAD(&c->members, m, link);
	c->n_members++;
	r->n_sessions++;
	return JOIN_OK;
}

// Names are kept as C strings and are the maps' keys: one with a NUL would be filed under one name and
// removed under another.
static bool is_id(struct str s)
{
	return s.len <= CALL_MAX_ID && (s.len == 0 || memchr(s.p, 0, s.len) == NULL);
}

static enum join_result member_join(struct registry *r, struct member *m, struct str client,
				    const struct join_msg *j, ns_t now, bool is_limited)
{
	struct group *g = map_find(r->groups, client);
	enum join_result result = JOIN_OK;

	if (!is_id(client) || !is_id(j->call_id) || !is_id(j->user_id) || !is_id(j->session_id) ||
	    !is_id(j->channel_id))
		return JOIN_INVALID;
	if (g != NULL && map_find(g->members, j->session_id) != NULL)
		return JOIN_DUPLICATE;
	if (g == NULL)
		g = group_new(r, client);
	if (g == NULL)
		return JOIN_NO_MEMORY;
	if (is_limited)
		result = check_limits(r, g, j, now);
	if (result == JOIN_OK)
		result = member_insert(r, m, g, j);
	if (result != JOIN_OK)
		group_drop_if_empty(r, g);
	return result;
}

enum join_result registry_join(struct registry *r, struct member *m, struct str client,
			       const struct join_msg *j, ns_t now)
{
	return member_join(r, m, client, j, now, true);
}

enum join_result registry_restore(struct registry *r, struct member *m, struct str client,
				  const struct join_msg *j)
{
	return member_join(r, m, client, j, 0, false);
}

void registry_leave(struct registry *r, struct member *m)
{
	struct call *c = m->call;
	struct group *g;

	if (c == NULL)
		return;
	g = c->group;
	assert(c->n_members > 0 && r->n_sessions > 0 && map_find(g->members, str_of(m->session_id)) == m);
	LIST_REMOVE(m, link);
	c->n_members--;
	r->n_sessions--;
	if (c->presenter == m->sid)
		c->presenter = 0;
	map_del(g->members, str_of(m->session_id));
	call_drop_if_empty(r, c);
	group_drop_if_empty(r, g);
	member_clear(m);
}

struct group *registry_group(const struct registry *r, struct str client)
{
	return map_find(r->groups, client);
}

struct call *registry_call(const struct registry *r, struct str client, struct str call_id)
{
	struct group *g = map_find(r->groups, client);

	return g ? map_find(g->calls, call_id) : NULL;
}

struct member *registry_find(const struct registry *r, struct str client, struct str session_id)
{
	struct group *g = map_find(r->groups, client);

	return g ? map_find(g->members, session_id) : NULL;
}

struct registry_hit registry_resolve(const struct registry *r, const struct session_key *key)
{
	struct registry_hit hit = {.call = registry_call(r, key->client, key->call_id)};

	if (hit.call == NULL) {
		hit.missing = registry_group(r, key->client) ? "call" : "group";
	} else if (key->session_id.len > 0) {
		hit.member = registry_find(r, key->client, key->session_id);
		if (hit.member == NULL || hit.member->call != hit.call)
			hit = (struct registry_hit){.call = hit.call, .missing = "session"};
	}
	return hit;
}
