#include "controlplane/auth/sources.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/err.h"

int sources_init(struct sources *s, unsigned max)
{
	*s = (struct sources){.max = max};
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
	src->window = now;
	if (map_put(s->map, source_key(src), src) < 0) {
		free(src);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&s->lru, src, lru);
	s->n++;
	return src;
}

bool source_may_register(struct source *src, unsigned n_per_min, ns_t now)
{
	if (now - src->window >= 60 * NS_PER_S) {
		src->window = now;
		src->n_registered = 0;
	}
	return src->n_registered++ < n_per_min;
}

ns_t source_register_wait(const struct source *src, ns_t now)
{
	ns_t end = src->window + 60 * NS_PER_S;

	return end > now ? end - now : 0;
}
