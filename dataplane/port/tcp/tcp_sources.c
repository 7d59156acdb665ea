// Where connections without session come from: each source has its own, and who has most gives way first.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <rte_jhash.h>

#include "dataplane/port/tcp/tcp.h"

// Bytes of the remote address that make a source: nobody has less than an IPv6 /64.
static unsigned prefix_len(const struct flow_key *key)
{
	return key->family == 4 ? 4 : 8;
}

static unsigned bucket_of(const struct port_tcp *p, const struct flow_key *key)
{
	return rte_jhash(key->remote, prefix_len(key), p->seed) % TCP_SOURCES;
}

static struct tcp_source *source_find(struct port_tcp *p, const struct flow_key *key)
{
	struct tcp_source *s;

	TAILQ_FOREACH (s, &p->source[bucket_of(p, key)], of_bucket)
		if (s->family == key->family && memcmp(s->prefix, key->remote, prefix_len(key)) == 0)
			return s;
	return NULL;
}

static struct tcp_source *source_new(struct port_tcp *p, const struct flow_key *key)
{
	struct tcp_source *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->family = key->family;
	memcpy(s->prefix, key->remote, prefix_len(key));
	TAILQ_INIT(&s->strangers);
	s->bucket = bucket_of(p, key);
	TAILQ_INSERT_TAIL(&p->source[s->bucket], s, of_bucket);
	return s;
}

static void source_set_count(struct port_tcp *p, struct tcp_source *s, unsigned n)
{
	assert(n <= p->limits.strangers_per_source);
	if (s->n > 0)
		TAILQ_REMOVE(&p->by_count[s->n], s, of_count);
	if (n > 0)
		TAILQ_INSERT_TAIL(&p->by_count[n], s, of_count);
	s->n = n;
}

bool tcp_sources_add(struct port_tcp *p, struct tcp_conn *c)
{
	struct tcp_source *s = source_find(p, &c->key);

	if (s == NULL)
		s = source_new(p, &c->key);
	if (s == NULL)
		return false;
	c->source = s;
	TAILQ_INSERT_TAIL(&s->strangers, c, of_source);
	source_set_count(p, s, s->n + 1);
	return true;
}

void tcp_sources_remove(struct port_tcp *p, struct tcp_conn *c)
{
	struct tcp_source *s = c->source;

	TAILQ_REMOVE(&s->strangers, c, of_source);
	source_set_count(p, s, s->n - 1);
	c->source = NULL;
	if (s->n > 0)
		return;
	TAILQ_REMOVE(&p->source[s->bucket], s, of_bucket);
	free(s);
}

struct tcp_conn *tcp_sources_full(struct port_tcp *p, const struct flow_key *key)
{
	struct tcp_source *s = source_find(p, key);

	return s && s->n >= p->limits.strangers_per_source ? TAILQ_FIRST(&s->strangers) : NULL;
}

struct tcp_conn *tcp_sources_greediest(struct port_tcp *p)
{
	for (unsigned n = p->limits.strangers_per_source; n > 0; n--)
		if (!TAILQ_EMPTY(&p->by_count[n]))
			return TAILQ_FIRST(&TAILQ_FIRST(&p->by_count[n])->strangers);
	return NULL;
}

void tcp_sources_free_all(struct port_tcp *p)
{
	struct tcp_source *s;

	for (unsigned i = 0; i < TCP_SOURCES; i++)
		while ((s = TAILQ_FIRST(&p->source[i])) != NULL) {
			TAILQ_REMOVE(&p->source[i], s, of_bucket);
			free(s);
		}
}
