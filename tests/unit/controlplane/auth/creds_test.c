// Credentials and tokens of two nodes on one Redis; the second node's connection goes through a relay, so
// that it can be made to read everything again.
#include <errno.h>
#include <time.h>

#include "controlplane/auth/creds.h"
#include "controlplane/auth/credval.h"
#include "tests/unit/check.h"
#include "tests/support/clock/fake_clock.h"
#include "tests/support/controlplane/redis.h"

#define HASH_A "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"
#define TOKEN_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define TOKEN_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

struct node {
	struct store *store;
	struct creds *creds;
	char gone[64];
	unsigned n_gone;
};

struct pair {
	struct loop *loop;
	struct redis_server redis;
	struct relay relay;
	struct node a, b;
};

struct answer {
	bool is_done;
	int rc;
	char client[64];
};

static void on_gone(void *arg, struct str client)
{
	struct node *n = arg;

	n->n_gone++;
	str_copy(client, n->gone, sizeof(n->gone));
}

static void on_done(void *arg, int rc)
{
	struct answer *a = arg;

	CHECK(!a->is_done);
	a->is_done = true;
	a->rc = rc;
}

static void on_stored(void *arg, int rc, struct str)
{
	on_done(arg, rc);
}

static void on_token(void *arg, int rc, struct str client)
{
	on_done(arg, rc);
	str_copy(client, ((struct answer *)arg)->client, sizeof(((struct answer *)arg)->client));
}

static bool node_open(struct pair *p, struct node *n, uint16_t port)
{
	char url[64], why[128];

	snprintf(url, sizeof(url), "redis://127.0.0.1:%u", port);
	n->store = store_open(p->loop, url, why, sizeof(why));
	n->creds = n->store ? creds_new(p->loop, n->store, "node", on_gone, n) : NULL;
	return n->creds != NULL;
}

static bool pair_open(struct pair *p)
{
	*p = (struct pair){};
	if (!redis_start(&p->redis, NULL)) {
		check_skip("redis-server does not start here");
		return false;
	}
	p->loop = loop_new();
	relay_open(&p->relay, p->loop, p->redis.port);
	return node_open(p, &p->a, p->redis.port) && node_open(p, &p->b, p->relay.port);
}

static void pair_close(struct pair *p)
{
	creds_free(p->a.creds);
	creds_free(p->b.creds);
	store_close(p->a.store);
	store_close(p->b.store);
	relay_close(&p->relay);
	loop_free(p->loop);
	redis_stop(&p->redis);
}

static int wait_answer(struct pair *p, struct answer *a)
{
	ns_t until = clock_now() + 5 * NS_PER_S;

	while (!a->is_done && clock_now() < until)
		loop_turn(p->loop, 5 * NS_PER_MS);
	CHECK(a->is_done);
	return a->rc;
}

static int look_up(struct pair *p, struct node *n, const char *client)
{
	struct answer a = {};

	creds_look_up(n->creds, client, on_done, &a);
	return wait_answer(p, &a);
}

static int put(struct pair *p, struct node *n, const char *client)
{
	struct answer a = {};

	creds_put(n->creds, client, HASH_A, on_done, &a);
	return wait_answer(p, &a);
}

static int drop(struct pair *p, struct node *n, const char *client)
{
	struct answer a = {};

	creds_remove(n->creds, client, on_done, &a);
	return wait_answer(p, &a);
}

static int find_token(struct pair *p, struct node *n, const char *token, char client[64])
{
	struct answer a = {};

	creds_find_token(n->creds, token, on_token, &a);
	wait_answer(p, &a);
	strcpy(client, a.client);
	return a.rc;
}

static void wait_ms(struct pair *p, unsigned ms)
{
	ns_t until = clock_now() + ms * NS_PER_MS;

	while (clock_now() < until)
		loop_turn(p->loop, 5 * NS_PER_MS);
}

static void shared(void)
{
	struct pair p;

	if (!pair_open(&p))
		return;
	CHECK_EQ(look_up(&p, &p.b, "c1"), -ENOENT);
	CHECK_EQ(put(&p, &p.a, "c1"), 0);
	CHECK_EQ(put(&p, &p.b, "c1"), -EEXIST);
	CHECK_EQ(look_up(&p, &p.b, "c1"), 0);
	CHECK_STR(creds_find(p.b.creds, "c1")->hash, HASH_A);
	CHECK_EQ(drop(&p, &p.b, "c1"), 0);
	CHECK_STR(p.b.gone, "c1");
	CHECK_EQ(drop(&p, &p.a, "c1"), -ENOENT); // but a forgets it
	CHECK_STR(p.a.gone, "c1");
	CHECK_EQ(creds_count(p.a.creds), 0);
	pair_close(&p);
}

static void learns_of_removals(void)
{
	struct pair p;
	char id[16];
	ns_t until;

	if (!pair_open(&p))
		return;
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		CHECK_EQ(put(&p, &p.a, id), 0);
		CHECK_EQ(look_up(&p, &p.b, id), 0);
	}
	for (int i = 0; i < 19; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		CHECK_EQ(drop(&p, &p.a, id), 0);
	}
	CHECK_EQ(creds_count(p.b.creds), 20);
	relay_cut(&p.relay); // on return it reads all again
	until = clock_now() + 15 * NS_PER_S;
	while (creds_count(p.b.creds) > 1 && clock_now() < until)
		loop_turn(p.loop, 5 * NS_PER_MS);
	CHECK_EQ(creds_count(p.b.creds), 1);
	CHECK_EQ(p.b.n_gone, 19);
	CHECK(creds_find(p.b.creds, "c19") != NULL);
	pair_close(&p);
}

static void writes_again(void)
{
	struct pair p;
	struct answer a = {};
	char client[64];
	ns_t until;

	if (!pair_open(&p))
		return;
	CHECK_EQ(put(&p, &p.a, "c1"), 0);
	CHECK_EQ(creds_put_token(p.a.creds, "c1", TOKEN_A, time(NULL) + 100), 0);
	wait_ms(&p, 100);
	redis_kill(&p.redis);
	until = clock_now() + 5 * NS_PER_S;
	while (store_is_up(p.a.store) && clock_now() < until)
		loop_turn(p.loop, 5 * NS_PER_MS);
	CHECK_EQ(look_up(&p, &p.a, "c1"), 0); // from memory
	CHECK_EQ(find_token(&p, &p.a, TOKEN_A, client), 0);
	CHECK_EQ(put(&p, &p.a, "c2"), -ENOTCONN);
	CHECK(redis_start(&p.redis, NULL));
	until = clock_now() + 15 * NS_PER_S;
	while (!store_is_up(p.a.store) && clock_now() < until)
		loop_turn(p.loop, 5 * NS_PER_MS);
	wait_ms(&p, 200);
	CHECK_EQ(p.a.n_gone, 0); // an empty store is no reason to forget
	creds_free(p.b.creds);
	p.b.creds = creds_new(p.loop, p.b.store, "node", on_gone, &p.b); // knows nothing yet
	until = clock_now() + 15 * NS_PER_S;
	while (!store_is_up(p.b.store) && clock_now() < until)
		loop_turn(p.loop, 5 * NS_PER_MS);
	creds_look_up(p.b.creds, "c1", on_done, &a);
	CHECK_EQ(wait_answer(&p, &a), 0);
	CHECK_EQ(find_token(&p, &p.b, TOKEN_A, client), 0);
	CHECK_STR(client, "c1");
	pair_close(&p);
}

static void absence_is_no_order(void)
{
	struct pair p;
	struct answer a = {};
	ns_t until;

	if (!pair_open(&p))
		return;
	CHECK_EQ(put(&p, &p.a, "lost"), 0);
	CHECK_EQ(put(&p, &p.a, "removed"), 0);
	CHECK_EQ(look_up(&p, &p.b, "lost"), 0);
	CHECK_EQ(look_up(&p, &p.b, "removed"), 0);
	store_del(p.a.store, STR("sluice:cred:lost"), on_stored, &a); // nobody unregistered it
	CHECK_EQ(wait_answer(&p, &a), 0);
	CHECK_EQ(drop(&p, &p.a, "removed"), 0);
	relay_cut(&p.relay); // on return b reads all again
	until = clock_now() + 15 * NS_PER_S;
	while (creds_count(p.b.creds) > 1 && clock_now() < until)
		loop_turn(p.loop, 5 * NS_PER_MS);
	wait_ms(&p, 100);
	CHECK_EQ(p.b.n_gone, 1);
	CHECK_STR(p.b.gone, "removed");
	CHECK_EQ(put(&p, &p.a, "lost"), -EEXIST); // b has written it again
	CHECK_EQ(put(&p, &p.a, "removed"), 0);
	pair_close(&p);
}

static void unheard_registrations(void)
{
	struct pair p;
	ns_t until;

	if (!pair_open(&p))
		return;
	CHECK_EQ(look_up(&p, &p.b, "c1"), -ENOENT);
	p.relay.is_one_way = true;
	clock_speed(10);
	CHECK_EQ(put(&p, &p.b, "c1"), -ETIMEDOUT); // Redis has it, but b told its client that it failed
	clock_speed(1);
	CHECK_EQ(look_up(&p, &p.a, "c1"), 0);
	p.relay.is_one_way = false;
	until = clock_now() + 15 * NS_PER_S;
	while (put(&p, &p.b, "c1") != 0 && clock_now() < until)
		wait_ms(&p, 50);
	CHECK(creds_find(p.b.creds, "c1") != NULL); // so b took it back, and the id can be registered
	pair_close(&p);
}

static void tokens(void)
{
	struct pair p;
	char client[64];

	if (!pair_open(&p))
		return;
	CHECK_EQ(put(&p, &p.a, "c1"), 0);
	CHECK_EQ(look_up(&p, &p.b, "c1"), 0);
	CHECK_EQ(creds_put_token(p.a.creds, "c1", TOKEN_A, time(NULL) + 100), 0);
	wait_ms(&p, 100);
	CHECK_EQ(find_token(&p, &p.b, TOKEN_A, client), 0);
	CHECK_STR(client, "c1");
	CHECK_EQ(creds_put_token(p.b.creds, "c1", TOKEN_B, time(NULL) + 100), 0); // login at the other node
	wait_ms(&p, 100);
	CHECK_EQ(find_token(&p, &p.a, TOKEN_A, client), -ENOENT); // one token a client
	CHECK_EQ(find_token(&p, &p.a, TOKEN_B, client), 0);
	CHECK_EQ(drop(&p, &p.b, "c1"), 0);
	wait_ms(&p, 100);
	CHECK_EQ(find_token(&p, &p.a, TOKEN_B, client), -ENOENT);
	pair_close(&p);
}

static void tokens_of_removed(void)
{
	struct pair p;
	char client[64];

	if (!pair_open(&p))
		return;
	CHECK_EQ(put(&p, &p.a, "c1"), 0);
	CHECK_EQ(creds_put_token(p.a.creds, "c1", TOKEN_A, time(NULL) + 100), 0);
	wait_ms(&p, 100);
	CHECK_EQ(find_token(&p, &p.b, TOKEN_A, client), 0);
	CHECK_EQ(drop(&p, &p.b, "c1"), 0); // which never saw the login
	wait_ms(&p, 100);
	CHECK_EQ(find_token(&p, &p.b, TOKEN_A, client), -ENOENT);
	CHECK_EQ(find_token(&p, &p.a, TOKEN_A, client), -ENOENT);
	// a token whose client is gone from the store opens nothing
	store_set(p.a.store, STR("sluice:token:" TOKEN_B), STR("{\"client\":\"c9\",\"expires\":9999999999}"),
		  100, NULL, NULL);
	wait_ms(&p, 100);
	CHECK_EQ(find_token(&p, &p.b, TOKEN_B, client), -ENOENT);
	pair_close(&p);
}

static void values(void)
{
	static const char *const bad[] = {"",
					  "{}",
					  "[]",
					  "{\"hash\":\"x\",\"created\":1}",
					  "{\"hash\":\"" HASH_A "\",\"created\":\"1\"}",
					  "{\"hash\":\"" HASH_A "\"",
					  "null",
					  "{\"hash\":\"$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt."
					  "wU1qD4aFDcg\\n\",\"created\":1}"};
	char out[CREDVAL_MAX];
	struct credval v;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!credval_read(str_of(bad[i]), &v));
	CHECK(credval_write(out, HASH_A, 17, "n") > 0);
	CHECK_STR(out[0] == '{' && credval_read((struct str){out, credval_write(out, HASH_A, 17, "n")}, &v)
			  ? v.hash
			  : "",
		  HASH_A);
	CHECK_EQ(v.created, 17);
}

CU_TestInfo creds_tests[] = {
	{"two nodes share credentials", shared},
	{"D12: a node learns of what another removed", learns_of_removals},
	{"Redis away: memory answers; Redis empty: memory is written again", writes_again},
	{"a credential that the store lost is written again, one that was removed is not", absence_is_no_order},
	{"a registration whose outcome was not heard is taken back", unheard_registrations},
	{"one token a client, over all nodes", tokens},
	{"unregistering ends the token of a login at another node", tokens_of_removed},
	{"store values that are no credentials are refused", values},
	CU_TEST_INFO_NULL,
};
