#include "lib/peer/sslmem.h"

#include <openssl/crypto.h>
#include <string.h>

#include "tests/unit/check.h"

#define LARGE (22 * 1024)
#define PAGE 4096
#define LARGE_PAGES (24 * 1024) // it has its last page for itself

static int installed;

// Before main, as suites that run before this one use OpenSSL.
__attribute__((constructor)) static void install(void)
{
	installed = sslmem_install();
}

static void large_blocks_are_noticed(void)
{
	struct sslmem m = {};
	void *small, *large, *unseen = OPENSSL_malloc(LARGE);

	CHECK_EQ(installed, 0);
	sslmem_watch(&m);
	small = OPENSSL_malloc(17 * 1024); // a record buffer
	CHECK(m.block == NULL);
	large = OPENSSL_malloc(LARGE);
	CHECK(m.block == large && m.len == LARGE_PAGES);
	OPENSSL_free(large);
	CHECK(m.block == NULL);
	large = OPENSSL_realloc(NULL, LARGE); // as BUF_MEM_grow does it
	CHECK(m.block == large);
	sslmem_watch(NULL);
	OPENSSL_free(small);
	OPENSSL_free(unseen);
	CHECK(m.block == large);
	OPENSSL_free(large);
}

static unsigned count(const uint8_t *p, size_t n, uint8_t value)
{
	unsigned found = 0;

	for (size_t i = 0; i < n; i++)
		found += p[i] == value;
	return found;
}

// Dropped pages come back zeroed.
static void pages_are_dropped(void)
{
	struct sslmem m = {};
	uint8_t *p;

	sslmem_watch(&m);
	p = OPENSSL_realloc(NULL, LARGE);
	sslmem_watch(NULL);
	memset(p, 0xa5, LARGE);
	sslmem_drop_pages(&m);
	CHECK_EQ(count(p, LARGE, 0), LARGE);
	memset(p, 0x5a, LARGE); // and it may be used again
	CHECK_EQ(count(p, LARGE, 0x5a), LARGE);
	OPENSSL_free(p);
	sslmem_drop_pages(&(struct sslmem){}); // nothing was noticed
}

// A block that grew lies anywhere.
static void what_shares_a_page_stays(void)
{
	struct sslmem m = {};
	uint8_t *p = OPENSSL_malloc(100);

	sslmem_watch(&m);
	p = OPENSSL_realloc(p, LARGE);
	sslmem_watch(NULL);
	CHECK(m.block == p);
	memset(p, 0xa5, LARGE);
	sslmem_drop_pages(&m);
	CHECK_EQ(count(p, LARGE, 0) + count(p, LARGE, 0xa5), LARGE);
	CHECK(count(p, LARGE, 0) >= LARGE - 2 * PAGE);
	CHECK_EQ(count(p, LARGE, 0) % PAGE, 0);
	OPENSSL_free(p);
}

CU_TestInfo sslmem_tests[] = {
	{"the handshake buffer is noticed by its size, and forgotten when it is freed",
	 large_blocks_are_noticed},
	{"its pages are dropped", pages_are_dropped},
	{"of one that grew those that nothing else shares", what_shares_a_page_stays},
	CU_TEST_INFO_NULL,
};
