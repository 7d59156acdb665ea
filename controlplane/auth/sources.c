#include "controlplane/auth/sources.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/err.h"

int sources_init(struct sources *s, unsigned max, double burst, double per_s)
{
	*s = (struct sources){.max = max, .burst = burst, .per_s = per_s};
	TAILQ_INIT(&s->lru);
	s->map = map_new();
	return s->map ? 0 : -ENOMEM;
}

static struct str source_key(const struct source *src)
{
	return (struct str){(const char *)src->key, sizeof(src->key)};
}

static void source_forget(struct sources *s, struct source *src)
{
	assert(s->n > 0);
	map_del(s->map, source_key(src));
	TAILQ_REMOVE(&s->lru, src, lru);
	s->n--;
	free(src);
}

void sources_fini(struct sources *s)
{
	struct source *src;

	while ((src = TAILQ_FIRST(&s->lru)) != NULL)
		source_forget(s, src);
	map_free(s->map);
	s->map = NULL;
}

static bool sources_make_room(struct sources *s)
{
	struct source *src;

	if (s->n < s->max)
		return true;
	TAILQ_FOREACH (src, &s->lru, lru)
		if (src->n_refs == 0) {
			source_forget(s, src);
			return true;
		}
	return false;
}

struct source *sources_get(struct sources *s, const uint8_t key[16], ns_t now)
{
	struct source *src = map_find(s->map, (struct str){(const char *)key, 16});

	if (src != NULL) {
		TAILQ_REMOVE(&s->lru, src, lru);
		TAILQ_INSERT_TAIL(&s->lru, src, lru);
		return src;
	}
	if (!sources_make_room(s))
		return NULL;
	src = calloc(1, sizeof(*src));
	if (src == NULL)
		return NULL;
	memcpy(src->key, key, sizeof(src->key));
	src->failures_left = s->burst;
	src->at = src->window = now;
	if (map_put(s->map, source_key(src), src) < 0) {
		free(src);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&s->lru, src, lru);
	s->n++;
	return src;
}

static void source_refill(struct sources *s, struct source *src, ns_t now)
{
	assert(now >= src->at);
	src->failures_left += (double)(now - src->at) / NS_PER_S * s->per_s;
	if (src->failures_left > s->burst)
		src->failures_left = s->burst;
	src->at = now;
}

bool source_may_try(struct sources *s, struct source *src, ns_t now)
{
	source_refill(s, src, now);
	return src->failures_left >= 1;
}

void source_failed(struct sources *s, struct source *src, ns_t now)
{
	source_refill(s, src, now);
	src->failures_left = src->failures_left >= 1 ? src->failures_left - 1 : 0;
}

bool source_may_register(struct source *src, unsigned n_per_min, ns_t now)
{
	if (now - src->window >= 60 * NS_PER_S) {
		src->window = now;
		src->n_registered = 0;
	}
	return src->n_registered++ < n_per_min;
}
