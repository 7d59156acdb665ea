#include "tests/unit/check.h"

#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/rand.h"

// SipHash-1-3 of 0, 1, 2, .. under the key 0, 1, .. 15: reference code of the authors with 1 and 3 rounds;
// the same as in Rust's core tests.
static void test_siphash_vectors(void)
{
	static const uint64_t want[] = {
		0xabac0158050fc4dc, 0xc9f49bf37d57ca93, 0x82cb9b024dc7d44d,
		0x8bf80ab8e7ddf7fb, 0xcf75576088d38328, 0xdef9d52f49533b67,
		0xc50d2b50c59f22a7, 0xd3927d989bb11140, 0x369095118d299a8e,
	};
	const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	uint8_t data[16];

	for (uint8_t i = 0; i < sizeof(data); i++)
		data[i] = i;
	for (size_t len = 0; len < ARRAY_LEN(want); len++)
		CHECK(hash_sip13(key, data, len) == want[len]);
}

static struct str number_key(char buf[16], unsigned i)
{
	return (struct str){buf, (size_t)snprintf(buf, 16, "key %u", i)};
}

static void test_put_find_delete(void)
{
	struct map *m = map_new();
	int a, b;

	CHECK_OR_RETURN(m != NULL);
	CHECK(map_find(m, STR("x")) == NULL);
	CHECK_EQ(map_put(m, STR("x"), &a), 0);
	CHECK_EQ(map_put(m, STR("x"), &b), -EEXIST);
	CHECK(map_find(m, STR("x")) == &a);
	CHECK_EQ(map_put(m, STR_NONE, &b), 0); // the empty key is a key
	CHECK(map_find(m, STR("")) == &b);
	CHECK_EQ(map_put(m, STR("a\0b"), &b), 0);
	CHECK(map_find(m, STR("a\0c")) == NULL);
	CHECK_EQ(map_count(m), 3);
	CHECK(map_del(m, STR("x")) == &a);
	CHECK(map_del(m, STR("x")) == NULL);
	CHECK_EQ(map_count(m), 2);
	map_free(m);
	map_free(NULL);
}

static void test_thousands_and_churn(void)
{
	static int value[20000];
	struct map *m = map_new();
	char buf[16];

	CHECK_OR_RETURN(m != NULL);
	for (unsigned i = 0; i < ARRAY_LEN(value); i++)
		CHECK_OR_RETURN(map_put(m, number_key(buf, i), &value[i]) == 0);
	for (unsigned i = 0; i < ARRAY_LEN(value); i += 2)
		CHECK_OR_RETURN(map_del(m, number_key(buf, i)) == &value[i]);
	for (unsigned i = 0; i < ARRAY_LEN(value); i++)
		CHECK_OR_RETURN(map_find(m, number_key(buf, i)) == (i % 2 ? &value[i] : NULL));
	// graves must not fill the table: far more puts than slots, always one live
	for (unsigned i = 0; i < 200000; i++) {
		CHECK_OR_RETURN(map_put(m, STR("one"), &value[0]) == 0);
		CHECK_OR_RETURN(map_del(m, STR("one")) == &value[0]);
	}
	CHECK_EQ(map_count(m), ARRAY_LEN(value) / 2);
	map_free(m);
}

static void test_iterate_and_delete(void)
{
	static int value[1000];
	static bool seen[1000];
	struct map *m = map_new();
	size_t cursor = 0, n = 0;
	struct str key;
	char buf[16];
	int *v;

	CHECK_OR_RETURN(m != NULL);
	for (unsigned i = 0; i < 1000; i++)
		CHECK_OR_RETURN(map_put(m, number_key(buf, i), &value[i]) == 0);
	while ((v = map_next(m, &cursor, &key)) != NULL) {
		unsigned i = (unsigned)(v - value);

		CHECK_OR_RETURN(i < 1000 && !seen[i]);
		CHECK(str_eq(key, number_key(buf, i)));
		seen[i] = true;
		n++;
		if (i % 3 == 0)
			CHECK(map_del(m, number_key(buf, i)) == v);
	}
	CHECK_EQ(n, 1000);
	CHECK_EQ(map_count(m), 666);
	map_free(m);
}

CU_TestInfo hash_tests[] = {
	{"SipHash-1-3 gives the reference values", test_siphash_vectors},
	{"a map finds what was put and forgets what was deleted", test_put_find_delete},
	{"a map takes thousands of keys and endless churn", test_thousands_and_churn},
	{"iterating meets each entry once, also while deleting", test_iterate_and_delete},
	CU_TEST_INFO_NULL,
};
