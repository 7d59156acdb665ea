// Opening a store by its URL, and closing it.
#include "controlplane/store/store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"

// "redis://:secret@host" -> "redis://***@host"
static char *url_masked(const char *url)
{
	const char *at = strrchr(url, '@'), *slashes = strstr(url, "://");
	char *name = NULL;

	if (at == NULL || slashes == NULL || at < slashes)
		return strdup(url);
	return asprintf(&name, "%.*s://***%s", (int)(slashes - url), url, at) < 0 ? NULL : name;
}

static int open_backend(struct store *s, const char *url, char *why, size_t size)
{
	if (strncmp(url, "lmdb:", 5) == 0)
		return store_lmdb_open(s, url + 5, &s->backend, why, size);
	if (strncmp(url, "redis://", 8) == 0)
		return store_redis_open(s, url + 8, &s->backend, why, size);
	snprintf(why, size, "store.url: \"%s\" is neither lmdb:PATH nor redis://host:port/db", url);
	return -EINVAL;
}

static void store_destroy(struct store *s)
{
	store_ops_fini(s);
	store_state_fini(s);
	free(s->name);
	free(s);
}

struct store *store_open(struct loop *loop, const char *url, char *why, size_t size)
{
	struct store *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	snprintf(why, size, "out of memory");
	if (s == NULL)
		return NULL;
	s->loop = loop;
	s->name = url_masked(url);
	store_state_init(s);
	if (store_ops_init(s) && s->name)
		rc = open_backend(s, url, why, size);
	if (rc < 0) {
		store_destroy(s);
		return err_null(-rc);
	}
	store_state_begin(s);
	return s;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	s->is_closing = true;
	store_end_start(s);
	s->backend.close(s->backend.self);
	store_destroy(s);
}
