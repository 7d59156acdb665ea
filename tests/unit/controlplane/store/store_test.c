// The same questions to both backends, and Redis in every bad mood.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "controlplane/store/store.h"
#include "tests/support/clock/fake_clock.h"
#include "tests/support/controlplane/redis.h"
#include "tests/unit/check.h"

struct rig {
	struct loop *loop;
	struct store *store;
	struct redis_server redis;
	char dir[40];
	unsigned n_states;
	enum store_state state; // last told; n_states 0: none yet
};

struct answer {
	bool is_done;
	int rc;
	char value[256];
	size_t len;
	unsigned n_pairs;
	unsigned n_same; // pairs whose value equals their key
};

static void on_state(void *arg, enum store_state state)
{
	struct rig *r = arg;

	r->n_states++;
	r->state = state;
}

static void on_done(void *arg, int rc, struct str value)
{
	struct answer *a = arg;

	CHECK(!a->is_done);
	a->is_done = true;
	a->rc = rc;
	a->len = value.len;
	str_copy(value, a->value, sizeof(a->value));
}

static void on_pair(void *arg, struct str key, struct str value)
{
	struct answer *a = arg;

	a->n_pairs++;
	a->n_same += str_eq(key, value);
}

static bool wait_for(struct rig *r, const bool *flag, ns_t how_long)
{
	ns_t until = clock_now() + how_long;

	while (!*flag && clock_now() < until)
		loop_turn(r->loop, 5 * NS_PER_MS);
	return *flag;
}

static bool wait_state(struct rig *r, enum store_state state, ns_t how_long)
{
	ns_t until = clock_now() + how_long;

	while ((r->n_states == 0 || r->state != state) && clock_now() < until)
		loop_turn(r->loop, 5 * NS_PER_MS);
	return r->n_states > 0 && r->state == state;
}

static bool open_url(struct rig *r, const char *url)
{
	char why[256];

	r->n_states = 0;
	if (r->loop == NULL)
		r->loop = loop_new();
	r->store = store_open(r->loop, url, why, sizeof(why));
	if (r->store == NULL)
		printf("# %s\n", why);
	return r->store != NULL && store_watch(r->store, on_state, r) != NULL;
}

static bool open_lmdb(struct rig *r)
{
	char url[64];

	*r = (struct rig){};
	strcpy(r->dir, "/tmp/sluice-store-XXXXXX");
	if (mkdtemp(r->dir) == NULL)
		return false;
	snprintf(url, sizeof(url), "lmdb:%s", r->dir);
	return open_url(r, url);
}

static bool open_redis_at(struct rig *r, uint16_t port, const char *user, const char *db)
{
	char url[128];

	snprintf(url, sizeof(url), "redis://%s127.0.0.1:%u%s", user, port, db);
	return open_url(r, url);
}

static bool open_redis(struct rig *r)
{
	*r = (struct rig){};
	if (!redis_start(&r->redis, NULL)) {
		check_skip("redis-server does not start here");
		return false;
	}
	return open_redis_at(r, r->redis.port, "", "/1") && wait_state(r, STORE_UP, 5 * NS_PER_S);
}

static void close_rig(struct rig *r)
{
	char cmd[80];

	store_close(r->store);
	loop_free(r->loop);
	redis_stop(&r->redis);
	if (r->dir[0]) {
		snprintf(cmd, sizeof(cmd), "rm -rf %s", r->dir);
		CHECK_EQ(system(cmd), 0);
	}
}

enum what { GET, PUT, SET, DEL };

static struct answer ask(struct rig *r, enum what what, const char *key, struct str value)
{
	struct answer a = {};

	if (what == GET)
		store_get(r->store, str_of(key), on_done, &a);
	else if (what == PUT)
		store_put(r->store, str_of(key), value, 0, on_done, &a);
	else if (what == SET)
		store_set(r->store, str_of(key), value, 0, on_done, &a);
	else
		store_del(r->store, str_of(key), on_done, &a);
	CHECK(!a.is_done); // never from inside the call
	CHECK(wait_for(r, &a.is_done, 5 * NS_PER_S));
	return a;
}

// --- what both must do -----------------------------------------------------------------------------------
static void basic(struct rig *r)
{
	struct answer a;

	CHECK_EQ(ask(r, GET, "k", STR_NONE).rc, -ENOENT);
	CHECK_EQ(ask(r, PUT, "k", STR("one")).rc, 0);
	CHECK_EQ(ask(r, PUT, "k", STR("two")).rc, -EEXIST);
	a = ask(r, GET, "k", STR_NONE);
	CHECK_EQ(a.rc, 0);
	CHECK_STR(a.value, "one");
	CHECK_EQ(ask(r, SET, "k", STR("a\0b\r\n")).rc, 0);
	a = ask(r, GET, "k", STR_NONE);
	CHECK_EQ(a.len, 5);
	CHECK_MEM(a.value, "a\0b\r\n", 5);
	CHECK_EQ(ask(r, DEL, "k", STR_NONE).rc, 0);
	CHECK_EQ(ask(r, DEL, "k", STR_NONE).rc, -ENOENT);
	CHECK_EQ(ask(r, SET, "empty", STR_NONE).rc, 0);
	CHECK_EQ(ask(r, GET, "empty", STR_NONE).rc, 0);
}

static void limits(struct rig *r)
{
	static char long_key[STORE_KEY_MAX + 2], big[STORE_VALUE_MAX + 1];
	struct answer a = {};

	memset(long_key, 'k', STORE_KEY_MAX + 1);
	CHECK_EQ(ask(r, GET, long_key, STR_NONE).rc, -E2BIG);
	CHECK_EQ(ask(r, GET, "", STR_NONE).rc, -E2BIG);
	CHECK_EQ(ask(r, SET, "big", (struct str){big, STORE_VALUE_MAX + 1}).rc, -E2BIG);
	CHECK_EQ(ask(r, SET, "big", (struct str){big, STORE_VALUE_MAX}).rc, 0);
	long_key[STORE_KEY_MAX] = '\0';
	CHECK_EQ(ask(r, SET, long_key, STR("v")).rc, 0);
	CHECK_EQ(ask(r, GET, long_key, STR_NONE).rc, 0);
	for (int i = 0; i <= STORE_MAX_OPS; i++) // the one too many is refused
		store_get(r->store, str_of(long_key), i == STORE_MAX_OPS ? on_done : NULL, &a);
	CHECK(wait_for(r, &a.is_done, 10 * NS_PER_S));
	CHECK_EQ(a.rc, -ENOBUFS);
}

static void in_order(struct rig *r)
{
	struct answer set = {}, get = {}, del = {}, gone = {};

	store_set(r->store, STR("o"), STR("1"), 0, NULL, NULL);
	store_set(r->store, STR("o"), STR("2"), 0, on_done, &set);
	store_get(r->store, STR("o"), on_done, &get);
	store_del(r->store, STR("o"), on_done, &del);
	store_get(r->store, STR("o"), on_done, &gone);
	CHECK(wait_for(r, &gone.is_done, 5 * NS_PER_S));
	CHECK(set.is_done && get.is_done && del.is_done);
	CHECK_STR(get.value, "2");
	CHECK_EQ(gone.rc, -ENOENT);
}

static void scans(struct rig *r)
{
	struct answer a = {}, none = {};
	char key[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "sc*n:%d", i); // a glob character that must not match
		store_set(r->store, str_of(key), str_of(key), 0, NULL, NULL);
	}
	store_set(r->store, STR("scan:x"), STR("no"), 0, NULL, NULL);
	store_set(r->store, STR("sc*m"), STR("no"), 0, NULL, NULL);
	store_scan(r->store, STR("sc*n:"), on_pair, on_done, &a);
	store_scan(r->store, STR("nothing:"), on_pair, on_done, &none);
	CHECK(wait_for(r, &a.is_done, 10 * NS_PER_S));
	CHECK(wait_for(r, &none.is_done, 10 * NS_PER_S));
	CHECK_EQ(a.rc, 0);
	CHECK_EQ(a.n_pairs, 1000);
	CHECK_EQ(a.n_same, 1000);
	CHECK_EQ(none.n_pairs, 0);
}

static void expires(struct rig *r)
{
	struct answer put = {}, scan = {};
	ns_t until;

	store_set(r->store, STR("t1"), STR("x"), 1, NULL, NULL);
	store_set(r->store, STR("t100"), STR("x"), 100, NULL, NULL);
	CHECK_EQ(ask(r, GET, "t1", STR_NONE).rc, 0);
	for (until = clock_now() + 6 * NS_PER_S;
	     clock_now() < until && ask(r, GET, "t1", STR_NONE).rc == 0;) {
		loop_turn(r->loop, 50 * NS_PER_MS); // Redis has a clock of its own
		clock_pass(50 * NS_PER_MS);
	}
	CHECK_EQ(ask(r, GET, "t1", STR_NONE).rc, -ENOENT);
	CHECK_EQ(ask(r, GET, "t100", STR_NONE).rc, 0);
	store_put(r->store, STR("t1"), STR("again"), 0, on_done, &put); // an expired key is absent
	CHECK(wait_for(r, &put.is_done, 5 * NS_PER_S));
	CHECK_EQ(put.rc, 0);
	store_scan(r->store, STR("t1"), on_pair, on_done, &scan);
	CHECK(wait_for(r, &scan.is_done, 5 * NS_PER_S));
	CHECK_EQ(scan.n_pairs, 2);
}

static void cancels(struct rig *r)
{
	struct answer a = {}, b = {};

	store_get(r->store, STR("x"), on_done, &a);
	store_scan(r->store, STR("x"), on_pair, on_done, &a);
	store_get(r->store, STR("x"), on_done, &b);
	store_cancel(r->store, &a);
	CHECK(wait_for(r, &b.is_done, 5 * NS_PER_S));
	CHECK(!a.is_done);
}

#define BOTH(name)                              \
	static void lmdb_##name(void)           \
	{                                       \
		struct rig r;                   \
		CHECK_OR_RETURN(open_lmdb(&r)); \
		name(&r);                       \
		close_rig(&r);                  \
	}                                       \
	static void redis_##name(void)          \
	{                                       \
		struct rig r;                   \
		if (!open_redis(&r))            \
			return;                 \
		name(&r);                       \
		close_rig(&r);                  \
	}
BOTH(basic)
BOTH(limits)
BOTH(in_order)
BOTH(scans)
BOTH(expires)
BOTH(cancels)

static void lmdb_survives(void)
{
	struct rig r;
	char url[64];

	CHECK_OR_RETURN(open_lmdb(&r));
	store_set(r.store, STR("k"), STR("kept"), 0, NULL, NULL); // not waited for: written before the end
	store_close(r.store);
	snprintf(url, sizeof(url), "lmdb:%s", r.dir);
	CHECK_OR_RETURN(open_url(&r, url));
	CHECK_STR(ask(&r, GET, "k", STR_NONE).value, "kept");
	CHECK(wait_state(&r, STORE_UP, NS_PER_S));
	close_rig(&r);
}

static void bad_urls(void)
{
	static const char *const rows[] = {"",
					   "file:x",
					   "redis://",
					   "redis://h:0",
					   "redis://h:99999",
					   "redis://h/x",
					   "lmdb:/nowhere/at/all/db"};
	struct loop *loop = loop_new();
	char why[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why[0] = '\0';
		CHECK(store_open(loop, rows[i], why, sizeof(why)) == NULL);
		CHECK(strstr(why, "store.url") != NULL);
	}
	loop_free(loop);
}

// --- Redis ------------------------------------------------------------------------------------------------
static void down_at_start(void)
{
	struct rig r = {.redis = {.port = free_port()}};
	struct store_stats stats;

	CHECK_OR_RETURN(open_redis_at(&r, r.redis.port, "", ""));
	CHECK_EQ(ask(&r, GET, "k", STR_NONE).rc, -ENOTCONN);
	CHECK(!store_is_up(r.store));
	store_set(r.store, STR("k"), STR("first"), 0, NULL, NULL);
	store_set(r.store, STR("k"), STR("last"), 0, NULL, NULL);
	store_set(r.store, STR("other"), STR("x"), 0, NULL, NULL);
	store_del(r.store, STR("other"), NULL, NULL);
	store_stats(r.store, &stats);
	CHECK_EQ(stats.waiting_writes, 2);
	CHECK_EQ(stats.coalesced_writes, 2);
	if (!redis_start(&r.redis, NULL)) {
		check_skip("redis-server does not start here");
	} else {
		CHECK(wait_state(&r, STORE_UP, 15 * NS_PER_S));
		CHECK_STR(ask(&r, GET, "k", STR_NONE).value, "last");
		CHECK_EQ(ask(&r, GET, "other", STR_NONE).rc, -ENOENT);
	}
	close_rig(&r);
}

static void early_questions_cancelled(void)
{
	struct rig r = {.redis = {.port = free_port()}};
	struct answer a = {};

	CHECK_OR_RETURN(open_redis_at(&r, r.redis.port, "", ""));
	store_get(r.store, STR("k"), on_done, &a);
	store_cancel(r.store, &a);
	close_rig(&r);
	CHECK(!a.is_done);
}

// Writes beyond what may be under way wait; a later one of the same key must not overtake.
static void crowded_writes(void)
{
	struct rig r;
	struct answer a = {};
	struct store_stats stats;
	ns_t until = clock_now() + 5 * NS_PER_S;

	if (!open_redis(&r))
		return;
	for (unsigned i = 0; i < STORE_MAX_OPS; i++)
		store_get(r.store, STR("x"), NULL, NULL);
	store_set(r.store, STR("k"), STR("1"), 0, NULL, NULL);
	store_get(r.store, STR("x"), on_done, &a);
	CHECK(wait_for(&r, &a.is_done, 5 * NS_PER_S)); // refused
	store_del(r.store, STR("k"), NULL, NULL);
	do {
		loop_turn(r.loop, 5 * NS_PER_MS);
		store_stats(r.store, &stats);
	} while (stats.pending + stats.waiting_writes > 0 && clock_now() < until);
	CHECK_EQ(stats.pending + stats.waiting_writes, 0);
	CHECK_EQ(ask(&r, GET, "k", STR_NONE).rc, -ENOENT);
	close_rig(&r);
}

static void early_questions_wait(void)
{
	struct rig r = {};

	if (!redis_start(&r.redis, NULL)) {
		check_skip("redis-server does not start here");
		return;
	}
	CHECK_OR_RETURN(open_redis_at(&r, r.redis.port, "", ""));
	CHECK(!store_is_up(r.store));
	CHECK_EQ(ask(&r, GET, "k", STR_NONE).rc, -ENOENT); // not -ENOTCONN: the connection was on its way
	close_rig(&r);
}

static void dies_and_comes_back_empty(void)
{
	struct rig r;
	struct answer a = {};

	if (!open_redis(&r))
		return;
	CHECK_EQ(ask(&r, SET, "k", STR("v")).rc, 0);
	redis_kill(&r.redis);
	CHECK(wait_state(&r, STORE_DOWN, 5 * NS_PER_S));
	CHECK_EQ(ask(&r, GET, "k", STR_NONE).rc, -ENOTCONN);
	store_set(r.store, STR("meanwhile"), STR("w"), 0, NULL, NULL);
	CHECK(redis_start(&r.redis, NULL));
	CHECK(wait_state(&r, STORE_EMPTY, 15 * NS_PER_S)); // it lost its marker
	CHECK_EQ(ask(&r, GET, "k", STR_NONE).rc, -ENOENT);
	CHECK_STR(ask(&r, GET, "meanwhile", STR_NONE).value, "w");
	// an operation under way when it dies is answered, a write without listener is kept
	kill(r.redis.pid, SIGSTOP);
	store_get(r.store, STR("k"), on_done, &a);
	store_set(r.store, STR("kept"), STR("1"), 0, NULL, NULL);
	store_set(r.store, STR("twice"), STR("old"), 0, NULL, NULL);
	store_set(r.store, STR("twice"), STR("new"), 0, NULL, NULL);
	store_set(r.store, STR("removed"), STR("x"), 0, NULL, NULL);
	store_del(r.store, STR("removed"), NULL, NULL);
	store_set(r.store, STR("later"), STR("1"), 0, NULL, NULL);
	loop_turn(r.loop, 20 * NS_PER_MS);
	redis_kill(&r.redis);
	CHECK(wait_for(&r, &a.is_done, 5 * NS_PER_S));
	CHECK_EQ(a.rc, -ENOTCONN);
	store_set(r.store, STR("later"), STR("2"), 0, NULL, NULL);
	CHECK(redis_start(&r.redis, NULL));
	CHECK(wait_state(&r, STORE_EMPTY, 15 * NS_PER_S));
	CHECK_STR(ask(&r, GET, "kept", STR_NONE).value, "1");
	CHECK_STR(ask(&r, GET, "twice", STR_NONE).value, "new");
	CHECK_EQ(ask(&r, GET, "removed", STR_NONE).rc, -ENOENT);
	CHECK_STR(ask(&r, GET, "later", STR_NONE).value, "2");
	close_rig(&r);
}

static void cut_and_slow(void)
{
	struct rig r;
	struct relay relay;
	struct store_stats stats;
	ns_t from;

	r = (struct rig){.loop = loop_new()};
	if (!redis_start(&r.redis, NULL)) {
		check_skip("redis-server does not start here");
		return;
	}
	relay_open(&relay, r.loop, r.redis.port);
	CHECK_OR_RETURN(open_redis_at(&r, relay.port, "", ""));
	CHECK(wait_state(&r, STORE_UP, 5 * NS_PER_S));
	CHECK_EQ(ask(&r, SET, "k", STR("v")).rc, 0);
	relay_cut(&relay);
	CHECK(wait_state(&r, STORE_DOWN, 5 * NS_PER_S));
	CHECK(wait_state(&r, STORE_UP, 15 * NS_PER_S)); // same data: nobody has to write again
	CHECK_STR(ask(&r, GET, "k", STR_NONE).value, "v");
	relay_hold(&relay, true);
	from = clock_now();
	clock_speed(10);
	CHECK_EQ(ask(&r, GET, "k", STR_NONE).rc, -ETIMEDOUT);
	clock_speed(1);
	CHECK(clock_now() - from > NS_PER_S && clock_now() - from < 4 * NS_PER_S);
	CHECK(wait_state(&r, STORE_DOWN, NS_PER_S));
	from = clock_now();
	CHECK_EQ(ask(&r, GET, "k", STR_NONE).rc, -ENOTCONN); // from now on at once
	CHECK(clock_now() - from < NS_PER_S / 2);
	relay_hold(&relay, false);
	CHECK(wait_state(&r, STORE_UP, 15 * NS_PER_S));
	store_stats(r.store, &stats);
	CHECK_EQ(stats.reconnects, 2);
	CHECK_EQ(stats.timeouts, 1);
	store_close(r.store);
	relay_close(&relay);
	r.store = NULL;
	close_rig(&r);
}

static void passwords_and_databases(void)
{
	struct rig r = {}, wrong = {};

	if (!redis_start(&r.redis, "s3cr:et@x")) {
		check_skip("redis-server does not start here");
		return;
	}
	CHECK_OR_RETURN(open_redis_at(&r, r.redis.port, ":s3cr:et@x@", "/3"));
	CHECK(strstr(store_name(r.store), "s3cr") == NULL);
	CHECK(wait_state(&r, STORE_UP, 5 * NS_PER_S));
	CHECK_EQ(ask(&r, SET, "k", STR("in 3")).rc, 0);
	store_close(r.store);
	CHECK_OR_RETURN(open_redis_at(&r, r.redis.port, ":s3cr:et@x@", "/4"));
	CHECK_EQ(ask(&r, GET, "k", STR_NONE).rc, -ENOENT);
	CHECK_OR_RETURN(open_redis_at(&wrong, r.redis.port, ":guess@", "/3"));
	CHECK_EQ(ask(&wrong, GET, "k", STR_NONE).rc, -ENOTCONN);
	CHECK(!store_is_up(wrong.store));
	close_rig(&wrong);
	close_rig(&r);
}

CU_TestInfo store_tests[] = {
	{"lmdb: put if absent, get, set, delete", lmdb_basic},
	{"redis: put if absent, get, set, delete", redis_basic},
	{"lmdb: keys, values and operations are bounded", lmdb_limits},
	{"redis: keys, values and operations are bounded", redis_limits},
	{"lmdb: operations keep their order", lmdb_in_order},
	{"redis: operations keep their order", redis_in_order},
	{"lmdb: a scan gives each key of the prefix once", lmdb_scans},
	{"redis: a scan gives each key of the prefix once", redis_scans},
	{"lmdb: keys expire", lmdb_expires},
	{"redis: keys expire", redis_expires},
	{"lmdb: cancelled operations do not call back", lmdb_cancels},
	{"redis: cancelled operations do not call back", redis_cancels},
	{"lmdb: what was accepted survives the end", lmdb_survives},
	{"bad URLs name the key and what is wrong", bad_urls},
	{"redis: down at start; the last waiting write of a key arrives", down_at_start},
	{"Redis: a question of the start that is cancelled is not answered", early_questions_cancelled},
	{"Redis: a later write never comes before an earlier one of its key", crowded_writes},
	{"redis: questions before the first connection wait for it", early_questions_wait},
	{"redis: dies, comes back empty, twice", dies_and_comes_back_empty},
	{"redis: cut, and too slow", cut_and_slow},
	{"redis: password and database", passwords_and_databases},
	CU_TEST_INFO_NULL,
};
