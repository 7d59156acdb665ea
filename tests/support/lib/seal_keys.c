#include "tests/support/lib/seal_keys.h"

#include <stdlib.h>

#include "lib/base/err.h"
#include "tests/unit/check.h"

static const char *const engines[] = {
	"ipsec-mb/sse",    "ipsec-mb/avx",         "ipsec-mb/avx2",
	"ipsec-mb/avx512", "ipsec-mb/avx512-vaes", "libsrtp2",
};

void each_engine(void (*test)(struct seal_engine *))
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
		struct seal_engine *e = seal_engine_new(engines[i]);
		if (!e) {
			CHECK_EQ(errno, ENOTSUP);
			continue;
		}
		test(e);
		seal_engine_free(e);
		n++;
	}
	CHECK(n >= 1);
}

struct seal_key *key_new(struct seal_engine *e)
{
	return aligned_alloc(64, seal_key_size(e));
}

struct seal_key *key_ready(struct seal_engine *e, enum seal_profile profile)
{
	static const uint8_t master[32] = "0123456789abcdef0123456789abcde", salt[14] = "a salt of 14 b";
	struct seal_key *key = key_new(e);

	CHECK_EQ(seal_key_init(e, key, profile, master, salt), 0);
	return key;
}

void key_end(struct seal_key *key)
{
	seal_key_fini(key);
	free(key);
}
