// Redis through hiredis' asynchronous interface on our loop. The host name is resolved on the work queue (hiredis
// itself would block).
#include "controlplane/store/store_redis_conn.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/hiredis.h>

#include "lib/base/err.h"
#include "lib/base/log.h"

#define CONNECT_NS (3 * NS_PER_S)
#define BACKOFF_MIN_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (5 * NS_PER_S)

struct redis_lookup {
	struct work work;
	struct redis *r; // NULL: the store is closed
	char host[256], addr[64];
	int rc;
};

static void on_fd(void *arg, unsigned events)
{
	struct redis *r = arg;
	redisAsyncContext *ac = r->ac;

	if (ac == NULL)
		return;
	if (events & LOOP_READ)
		redisAsyncHandleRead(ac);
	if (r->ac == ac && (events & LOOP_WRITE))
		redisAsyncHandleWrite(ac);
}

static void events_want(struct redis *r, unsigned set, unsigned clear)
{
	r->events = (r->events | set) & ~clear;
	if (r->watch != NULL)
		loop_rewatch(r->watch, r->events);
}

static void ev_add_read(void *arg)
{
	events_want(arg, LOOP_READ, 0);
}

static void ev_del_read(void *arg)
{
	events_want(arg, 0, LOOP_READ);
}

static void ev_add_write(void *arg)
{
	events_want(arg, LOOP_WRITE, 0);
}

static void ev_del_write(void *arg)
{
	events_want(arg, 0, LOOP_WRITE);
}

static void ev_cleanup(void *arg)
{
	struct redis *r = arg;

	loop_unwatch(r->watch);
	r->watch = NULL;
	r->events = 0;
}

// --- the connection -----------------------------------------------------------------------------------
static void conn_try_later(struct redis *r)
{
	if (r->is_closing)
		return;
	store_on_disconnected(r->store);
	loop_arm_in(store_loop(r->store), &r->timer, r->backoff);
	r->backoff = r->backoff * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : r->backoff * 2;
}

void redis_conn_lost(struct redis *r, const char *why)
{
	if (r->ac == NULL)
		return;
	r->ac = NULL;
	r->is_ready = false;
	if (!r->was_told && !r->is_closing)
		log_warn("store: %s: %s; trying again until it is there", store_name(r->store), why);
	r->was_told = true;
	conn_try_later(r);
}

void redis_conn_drop(struct redis *r, const char *why)
{
	redisAsyncContext *ac = r->ac;

	if (ac == NULL)
		return;
	redis_conn_lost(r, why);
	redisAsyncFree(ac);
}

static void on_disconnect(const redisAsyncContext *ac, int)
{
	struct redis *r = ac->data;

	if (r->ac == ac)
		redis_conn_lost(r, ac->errstr[0] ? ac->errstr : "connection closed");
}

static void on_select(redisAsyncContext *ac, void *reply, void *arg)
{
	struct redis *r = arg;
	const redisReply *rep = reply;

	if (r->ac != ac)
		return;
	if (rep == NULL || rep->type == REDIS_REPLY_ERROR) {
		if (rep != NULL)
			redis_conn_drop(r, rep->str);
		return;
	}
	loop_cancel(store_loop(r->store), &r->timer);
	r->is_ready = true;
	r->was_told = false;
	r->backoff = BACKOFF_MIN_NS;
	log_notice("store: connected to %s", store_name(r->store));
	store_on_connected(r->store);
}

static void on_auth(redisAsyncContext *ac, void *reply, void *arg)
{
	struct redis *r = arg;
	const redisReply *rep = reply;
	char why[300];

	if (r->ac != ac || rep == NULL || rep->type != REDIS_REPLY_ERROR)
		return;
	snprintf(why, sizeof(why), "the password in store.url is refused (%s)", rep->str);
	redis_conn_drop(r, why);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
	struct redis *r = ac->data;
	char db[16];

	if (r->ac != ac)
		return;
	if (status != REDIS_OK) { // hiredis frees the context after this callback
		redis_conn_lost(r, ac->errstr);
		return;
	}
	snprintf(db, sizeof(db), "%u", r->db);
	if (r->password[0])
		redisAsyncCommand(r->ac, on_auth, r, "AUTH %s", r->password);
	redisAsyncCommand(r->ac, on_select, r, "SELECT %s", db);
}

static void conn_open(struct redis *r, const char *addr)
{
	redisAsyncContext *ac;

	assert(r->ac == NULL && !r->is_closing);
	ac = redisAsyncConnect(addr, atoi(r->port));

	if (ac == NULL || ac->err) {
		if (!r->was_told)
			log_warn("store: %s: %s", store_name(r->store), ac ? ac->errstr : "out of memory");
		r->was_told = true;
		if (ac != NULL)
			redisAsyncFree(ac);
		conn_try_later(r);
		return;
	}
	r->ac = ac;
	ac->data = r;
	ac->ev.data = r;
	ac->ev.addRead = ev_add_read;
	ac->ev.delRead = ev_del_read;
	ac->ev.addWrite = ev_add_write;
	ac->ev.delWrite = ev_del_write;
	ac->ev.cleanup = ev_cleanup;
	r->events = 0;
	r->watch = loop_watch(store_loop(r->store), ac->c.fd, 0, on_fd, r);
	if (r->watch == NULL) {
		redis_conn_drop(r, "out of memory");
		return;
	}
	loop_arm_in(store_loop(r->store), &r->timer, CONNECT_NS);
	redisAsyncSetConnectCallback(ac, on_connect);
	redisAsyncSetDisconnectCallback(ac, on_disconnect);
}

static void lookup_run(struct work *w)
{
	struct redis_lookup *l = container_of(w, struct redis_lookup, work);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

	l->rc = getaddrinfo(l->host, NULL, &hints, &list);
	if (l->rc != 0)
		return;
	l->rc = getnameinfo(list->ai_addr, list->ai_addrlen, l->addr, sizeof(l->addr), NULL, 0,
			    NI_NUMERICHOST);
	freeaddrinfo(list);
}

static void on_looked_up(struct work *w)
{
	struct redis_lookup *l = container_of(w, struct redis_lookup, work);
	struct redis *r = l->r;

	if (r != NULL) {
		r->lookup = NULL;
		if (l->rc == 0) {
			conn_open(r, l->addr);
		} else {
			if (!r->was_told)
				log_warn("store: %s: %s", store_name(r->store), gai_strerror(l->rc));
			r->was_told = true;
			conn_try_later(r);
		}
	}
	free(l);
}

static void lookup_start(struct redis *r)
{
	struct redis_lookup *l = calloc(1, sizeof(*l));

	assert(r->lookup == NULL);
	if (l == NULL) {
		conn_try_later(r);
		return;
	}
	l->work = (struct work){lookup_run, on_looked_up, NULL};
	l->r = r;
	snprintf(l->host, sizeof(l->host), "%s", r->host);
	if (loop_work(store_loop(r->store), &l->work) < 0) {
		free(l);
		conn_try_later(r);
		return;
	}
	r->lookup = l;
}

static void on_timer(struct timer *t, ns_t)
{
	struct redis *r = container_of(t, struct redis, timer);

	if (r->ac != NULL)
		redis_conn_drop(r, "no answer");
	else if (r->lookup == NULL)
		lookup_start(r);
}

void redis_conn_start(struct redis *r)
{
	r->backoff = BACKOFF_MIN_NS;
	r->timer.on_due = on_timer;
	lookup_start(r);
}

void redis_conn_stop(struct redis *r)
{
	r->is_closing = true;
	redis_conn_drop(r, "closed");
	loop_cancel(store_loop(r->store), &r->timer);
	if (r->lookup)
		r->lookup->r = NULL;
	explicit_bzero(r->password, sizeof(r->password));
}

bool redis_conn_parse(struct redis *r, struct str rest)
{
	const char *at = rest.len ? memrchr(rest.p, '@', rest.len) : NULL;
	struct str host, db;
	uint64_t n = 0;

	if (at != NULL) {
		struct str user = {rest.p, (size_t)(at - rest.p)};

		rest = str_skip(rest, user.len + 1);
		str_cut(&user, ':');
		if (!str_copy(user, r->password, sizeof(r->password)))
			return false;
	}
	db = rest;
	host = str_cut(&db, '/');
	if (db.len > 0 && !str_u64(db, 65535, &n))
		return false;
	r->db = (unsigned)n;
	n = 6379;
	if (host.len > 0 && host.p[0] == '[') {
		struct str v6 = str_skip(host, 1);

		host = str_cut(&v6, ']');
		rest = v6;
		str_cut(&rest, ':');
	} else {
		rest = host;
		host = str_cut(&rest, ':');
	}
	if (rest.len > 0 && (!str_u64(rest, 65535, &n) || n == 0))
		return false;
	snprintf(r->port, sizeof(r->port), "%u", (unsigned)n);
	return host.len > 0 && str_copy(host, r->host, sizeof(r->host));
}
