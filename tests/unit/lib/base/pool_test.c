#include "tests/unit/check.h"

#include "lib/base/err.h"
#include "lib/base/pool.h"
#include "lib/base/rand.h"

struct thing {
	uint64_t value[3];
};

static void test_stale_handles_find_nothing(void)
{
	struct pool *p = pool_new(sizeof(struct thing), 4);
	handle_t first, again;
	struct thing *t;

	CHECK_OR_RETURN(p != NULL);
	t = pool_get(p, &first);
	CHECK_OR_RETURN(t != NULL);
	CHECK(first != 0 && pool_find(p, first) == t);
	t->value[2] = 9;
	pool_put(p, first);
	CHECK(pool_find(p, first) == NULL);
	for (int i = 0; i < 4; i++) // until the slot comes again
		t = pool_get(p, &again);
	CHECK_EQ(handle_slot(again), handle_slot(first));
	CHECK(again != first);
	CHECK(pool_find(p, first) == NULL);
	CHECK(pool_find(p, again) == t);
	CHECK_EQ(t->value[2], 0); // zeroed
	CHECK(pool_find(p, 0) == NULL);
	CHECK(pool_find(p, UINT32_MAX) == NULL);
	pool_free(p);
	pool_free(NULL);
}

static void test_never_used_slots_come_first(void)
{
	struct pool *p = pool_new(sizeof(struct thing), 1000);
	handle_t a, b, c;

	CHECK_OR_RETURN(p != NULL);
	CHECK(pool_get(p, &a) != NULL && pool_get(p, &b) != NULL);
	pool_put(p, a);
	CHECK(pool_get(p, &c) != NULL);
	CHECK(handle_slot(c) != handle_slot(a));
	CHECK_EQ(handle_slot(c), 2);
	pool_free(p);
}

static void test_the_bound_holds_and_addresses_stay(void)
{
	struct pool *p = pool_new(sizeof(struct thing), 200);
	handle_t h[200], more;
	struct thing *t[200];

	CHECK_OR_RETURN(p != NULL);
	for (int i = 0; i < 200; i++) {
		t[i] = pool_get(p, &h[i]);
		CHECK_OR_RETURN(t[i] != NULL);
		t[i]->value[0] = (uint64_t)i;
	}
	CHECK(pool_get(p, &more) == NULL);
	CHECK_EQ(errno, ENOSPC);
	for (int i = 0; i < 200; i++) {
		CHECK(pool_find(p, h[i]) == t[i]);
		CHECK_EQ(t[i]->value[0], i);
	}
	pool_put(p, h[77]);
	CHECK(pool_get(p, &more) == t[77]);
	CHECK_EQ(pool_count(p), 200);
	pool_free(p);
}

static void test_generations_skip_zero(void)
{
	struct pool *p = pool_new(1, 1);
	handle_t h, before = 0;

	CHECK_OR_RETURN(p != NULL);
	for (int i = 0; i < 600; i++) {
		CHECK_OR_RETURN(pool_get(p, &h) != NULL);
		CHECK(h >> 24 != 0 && h != before);
		before = h;
		pool_put(p, h);
	}
	pool_free(p);
}

static void test_exact_handles_can_be_restored(void)
{
	struct pool *p = pool_new(sizeof(struct thing), 300);
	handle_t wanted = 200u << 24 | 250, h;
	bool was_given = false;

	CHECK_OR_RETURN(p != NULL);
	CHECK(pool_get_at(p, wanted) != NULL);
	CHECK(pool_find(p, wanted) != NULL);
	CHECK(pool_get_at(p, wanted) == NULL);
	CHECK_EQ(errno, EEXIST);
	CHECK(pool_get_at(p, 9u << 24 | 250) == NULL);
	CHECK_EQ(errno, EEXIST);
	CHECK(pool_get_at(p, 250) == NULL); // generation 0
	CHECK_EQ(errno, EINVAL);
	CHECK(pool_get_at(p, 1u << 24 | 300) == NULL);
	CHECK_EQ(errno, EINVAL);
	for (int i = 1; i < 300; i++) { // all others are still there, none twice
		CHECK_OR_RETURN(pool_get(p, &h) != NULL);
		was_given |= handle_slot(h) == 250;
	}
	CHECK(!was_given);
	CHECK(pool_get(p, &h) == NULL);
	pool_put(p, wanted);
	CHECK(pool_get(p, &h) != NULL);
	CHECK_EQ(h, 201u << 24 | 250);
	pool_free(p);
}

static void test_random_use_matches_a_model(void)
{
	struct pool *p = pool_new(64, 128);
	handle_t live[128];
	unsigned n = 0;

	CHECK_OR_RETURN(p != NULL);
	rand_seed(3);
	for (int step = 0; step < 20000; step++) {
		if (n < 128 && rand_u32() % 2) {
			void *o = pool_get(p, &live[n]);

			CHECK_OR_RETURN(o != NULL && (uintptr_t)o % 64 == 0);
			n++;
		} else if (n > 0) {
			unsigned i = rand_u32() % n;
			handle_t gone = live[i];

			live[i] = live[--n];
			pool_put(p, gone);
			CHECK_OR_RETURN(pool_find(p, gone) == NULL);
		}
		CHECK_OR_RETURN(pool_count(p) == n);
	}
	rand_seed(0);
	for (unsigned i = 0; i < n; i++)
		CHECK(pool_find(p, live[i]) != NULL);
	pool_free(p);
}

static void test_iterating_allows_deleting(void)
{
	struct pool *p = pool_new(8, 100);
	uint32_t cursor = 0, n = 0;
	handle_t h;

	CHECK_OR_RETURN(p != NULL);
	for (int i = 0; i < 100; i++)
		CHECK_OR_RETURN(pool_get(p, &h) != NULL);
	while (pool_next(p, &cursor, &h)) {
		pool_put(p, h);
		n++;
	}
	CHECK_EQ(n, 100);
	CHECK_EQ(pool_count(p), 0);
	pool_free(p);
}

CU_TestInfo pool_tests[] = {
	{"a stale handle finds nothing, a new object is zeroed", test_stale_handles_find_nothing},
	{"never-used slots come before used ones", test_never_used_slots_come_first},
	{"the bound holds and addresses stay", test_the_bound_holds_and_addresses_stay},
	{"a generation is never 0 and never the last one", test_generations_skip_zero},
	{"exactly this handle can be taken again", test_exact_handles_can_be_restored},
	{"random use matches a model, objects are aligned", test_random_use_matches_a_model},
	{"iterating allows deleting", test_iterating_allows_deleting},
	CU_TEST_INFO_NULL,
};
