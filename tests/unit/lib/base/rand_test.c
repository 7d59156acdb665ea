#include "tests/unit/check.h"

#include "lib/base/rand.h"

static void test_seeded_is_repeatable(void)
{
	uint64_t first, second, other;

	rand_seed(7);
	first = rand_u64();
	second = rand_u64();
	rand_seed(8);
	other = rand_u64();
	rand_seed(7);
	CHECK(rand_u64() == first);
	CHECK(rand_u64() == second);
	CHECK(first != second && first != other);
	rand_seed(0);
	CHECK(rand_u64() != first);
}

static void test_kernel_fills_every_byte(void)
{
	uint8_t seen[100] = {0}, bytes[100];

	for (int i = 0; i < 64; i++) { // a byte that is never set would stay 0: chance 2^-512 each
		rand_bytes(bytes, sizeof(bytes));
		for (size_t j = 0; j < sizeof(bytes); j++)
			seen[j] |= bytes[j];
	}
	for (size_t j = 0; j < sizeof(seen); j++)
		CHECK(seen[j] != 0);
}

static void test_text_is_even(void)
{
	// 10 does not divide 256: without rejection '0'..'5' would come 4 % too often
	static char text[200001];
	unsigned n[10] = {0};

	rand_seed(42);
	rand_text(text, sizeof(text) - 1, "0123456789");
	rand_seed(0);
	CHECK_EQ(strlen(text), sizeof(text) - 1);
	for (const char *p = text; *p; p++) {
		CHECK_OR_RETURN(*p >= '0' && *p <= '9');
		n[*p - '0']++;
	}
	for (int i = 0; i < 10; i++)
		CHECK(n[i] > 19500 && n[i] < 20500); // 3.7 sigma, and the seed is fixed
}

CU_TestInfo rand_tests[] = {
	{"a seed makes it repeatable, 0 gives it back to the kernel", test_seeded_is_repeatable},
	{"the kernel fills every byte", test_kernel_fills_every_byte},
	{"text draws each character equally often", test_text_is_even},
	CU_TEST_INFO_NULL,
};
