// Writes are gathered for a moment, because one user action moves the state several times.
#include "controlplane/session/persist.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "controlplane/session/session.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#define GATHER (200 * NS_PER_MS)
#define MAX_RECORDS 100000

struct kept {
	STAILQ_ENTRY(kept) next;
	size_t len;
	char value[];
};

struct persist {
	struct session_env *env; // borrowed
	char *prefix;    // owned: "session/<node>/"
	struct store_watcher *watcher;
	struct timer gather, renew;
	STAILQ_HEAD(, kept) records; // read from the store
	unsigned n_records;
	void (*read_done)(void *arg, int rc);
	void *read_arg;
};

// --- writing ---------------------------------------------------------------------------------------
// '/' and '%' of an id are written %2F and %25, so that no tenant's key can be another's.
static void put_id(struct wbuf *w, struct str id)
{
	for (size_t i = 0; i < id.len; i++) {
		if (id.p[i] == '/' || id.p[i] == '%')
			wbuf_printf(w, id.p[i] == '/' ? "%%2F" : "%%25");
		else
			wbuf_u8(w, (uint8_t)id.p[i]);
	}
}

static int record_key(const struct persist *p, struct str client, struct str session_id,
		      char out[STORE_KEY_MAX + 1])
{
	struct wbuf w = wbuf_of(out, STORE_KEY_MAX);

	wbuf_bytes(&w, p->prefix, strlen(p->prefix));
	put_id(&w, client);
	wbuf_u8(&w, '/');
	put_id(&w, session_id);
	return w.full ? -E2BIG : (int)wbuf_len(&w);
}

static void add_tracks(const struct session *s, struct persist_record *r)
{
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		const struct track *t = &s->tracks[i];
		if (t->used)
			r->tracks[r->n_tracks++] = (struct persist_track){.mid = str_of(t->mid),
									  .suffix = str_of(t->suffix),
									  .type = (uint8_t)t->type,
									  .is_held = t->is_held,
									  .withdrawn = t->withdrawn};
	}
}

static int make_record(struct session *s, uint8_t *out, size_t size)
{
	const struct member *m = &s->member;
	size_t need = negotiate_save_size(s->neg);
	uint8_t *plain = malloc(need + 1), *sealed = malloc(need + PERSIST_SEAL_EXTRA);
	struct persist_record r = {.sid = m->sid,
				   .client = session_client(s),
				   .join = {.call_id = str_of(m->call->id),
					    .user_id = str_of(m->user_id),
					    .session_id = str_of(m->session_id),
					    .channel_id = str_of(m->channel_id),
					    .flags = m->flags},
				   .mic_on = s->mic_on,
				   .screen_id = str_of(s->screen_id),
				   .video_id = str_of(s->video_id)};
	int n = plain && sealed ? negotiate_save(s->neg, plain, need) : -ENOMEM;

	add_tracks(s, &r);
	if (n >= 0)
		n = persist_seal(s->cookie, m->sid, plain, (size_t)n, sealed);
	if (n >= 0) {
		r.sealed = (struct str){(char *)sealed, (size_t)n};
		n = persist_encode(&r, out, size);
	}
	if (plain != NULL)
		explicit_bzero(plain, need);
	free(plain);
	free(sealed);
	return n;
}

static void write_session(struct persist *p, struct session *s)
{
	char key[STORE_KEY_MAX + 1];
	uint8_t *record = malloc(PERSIST_MAX_RECORD);
	int key_len = record_key(p, session_client(s), str_of(s->member.session_id), key);
	int len = record ? make_record(s, record, PERSIST_MAX_RECORD) : -ENOMEM;

	assert(life_has_keys(s->life)); // before, there is nothing worth taking back
	s->saved.is_dirty = false;
	if (key_len < 0 || len < 0)
		log_warn(SESSION_FMT ": not stored (%s)", SESSION_ARG(s),
			 strerror(key_len < 0 ? -key_len : -len));
	else
		store_set(p->env->store, (struct str){key, (size_t)key_len},
			  (struct str){(char *)record, (size_t)len}, PERSIST_TTL_S, NULL, NULL);
	s->saved.version = negotiate_version(s->neg);
	s->saved.is_stored = true;
	free(record);
}

static void on_gather(struct timer *t, ns_t now)
{
	struct persist *p = container_of(t, struct persist, gather);
	struct session *s;
	uint32_t cursor = 0;

	while ((s = pool_next(p->env->sessions, &cursor, NULL)) != NULL)
		if (s->saved.is_dirty && s->life != LIFE_CLOSED)
			write_session(p, s);
}

static void mark_all(struct persist *p)
{
	struct session *s;
	uint32_t cursor = 0;

	while ((s = pool_next(p->env->sessions, &cursor, NULL)) != NULL)
		if (s->saved.is_stored)
			persist_mark(s);
}

// Long calls that nothing changes in must not run out.
static void on_renew(struct timer *t, ns_t now)
{
	struct persist *p = container_of(t, struct persist, renew);

	mark_all(p);
	loop_arm_in(p->env->loop, t, PERSIST_TTL_S / 4 * NS_PER_S);
}

static void on_store_state(void *arg, enum store_state state)
{
	if (state == STORE_EMPTY) // it lost our records
		mark_all(arg);
}

void persist_mark(struct session *s)
{
	struct persist *p = s->env->persist;

	if (!life_has_keys(s->life) || p == NULL) // nothing worth taking back yet
		return;
	s->saved.is_dirty = true;
	if (!timer_armed(&p->gather))
		loop_arm_in(s->env->loop, &p->gather, GATHER);
}

void persist_touch(struct session *s)
{
	if (!s->saved.is_dirty && (!s->saved.is_stored || negotiate_version(s->neg) != s->saved.version))
		persist_mark(s);
}

void persist_delete(struct persist *p, struct str client, struct str session_id)
{
	char key[STORE_KEY_MAX + 1];
	int len = record_key(p, client, session_id, key);

	if (len > 0)
		store_del(p->env->store, (struct str){key, (size_t)len}, NULL, NULL);
}

void persist_forget(struct session *s)
{
	s->saved.is_dirty = false;
	if (s->saved.is_stored)
		persist_delete(s->env->persist, session_client(s), str_of(s->member.session_id));
	s->saved.is_stored = false;
}

// --- reading ---------------------------------------------------------------------------------------
static void on_record(void *arg, struct str key, struct str value)
{
	struct persist *p = arg;
	struct persist_record r;
	struct kept *k;

	if (persist_decode(value, &r) < 0) {
		log_warn("store: %.*s is no session record, deleted", STR_ARG(key));
		store_del(p->env->store, key, NULL, NULL);
		return;
	}
	k = p->n_records < MAX_RECORDS ? malloc(sizeof(*k) + value.len) : NULL;
	if (k == NULL)
		return;
	k->len = value.len;
	memcpy(k->value, value.p, value.len);
	STAILQ_INSERT_TAIL(&p->records, k, next);
	p->n_records++;
}

static void on_records_scanned(void *arg, int rc, struct str value)
{
	struct persist *p = arg;

	p->read_done(p->read_arg, rc);
}

void persist_read(struct persist *p, void (*done)(void *arg, int rc), void *arg)
{
	assert(p->n_records == 0);
	p->read_done = done;
	p->read_arg = arg;
	store_scan(p->env->store, str_of(p->prefix), on_record, on_records_scanned, p);
}

void persist_each(struct persist *p, void (*fn)(void *arg, const struct persist_record *), void *arg)
{
	struct persist_record r;
	struct kept *k;

	STAILQ_FOREACH (k, &p->records, next)
		if (persist_decode((struct str){k->value, k->len}, &r) == 0)
			fn(arg, &r);
}

void persist_clear(struct persist *p)
{
	struct kept *k;

	while ((k = STAILQ_FIRST(&p->records)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->records, next);
		free(k);
	}
	p->n_records = 0;
}

struct persist *persist_new(struct session_env *env)
{
	struct persist *p = calloc(1, sizeof(*p));
	char host[65] = "node";
	const char *node = env->conf->store.node_id;

	if (p == NULL)
		return NULL;
	gethostname(host, sizeof(host) - 1);
	*p = (struct persist){.env = env};
	p->gather.on_due = on_gather;
	p->renew.on_due = on_renew;
	loop_arm_in(env->loop, &p->renew, PERSIST_TTL_S / 4 * NS_PER_S);
	STAILQ_INIT(&p->records);
	p->watcher = store_watch(env->store, on_store_state, p);
	if (p->watcher == NULL || asprintf(&p->prefix, "session/%.64s/", node && *node ? node : host) < 0) {
		store_unwatch(env->store, p->watcher);
		loop_cancel(env->loop, &p->renew);
		free(p);
		return err_null(ENOMEM);
	}
	return p;
}

void persist_free(struct persist *p)
{
	if (p == NULL)
		return;
	store_unwatch(p->env->store, p->watcher);
	store_cancel(p->env->store, p);
	loop_cancel(p->env->loop, &p->gather);
	loop_cancel(p->env->loop, &p->renew);
	persist_clear(p);
	free(p->prefix);
	free(p);
}
