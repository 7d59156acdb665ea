// The kernel is the only source in production. In tests a seeded xoshiro256** (Blackman, Vigna 2018)
// takes its place; the seed is process-wide and meant for single-threaded tests.
#include "lib/base/rand.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/err.h"

static struct {
	_Atomic bool is_seeded;
	uint64_t s[4];
} test_source;

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static uint64_t xoshiro_next(uint64_t s[4])
{
	uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

static void seeded_bytes(uint8_t *out, size_t len)
{
	while (len > 0) {
		uint64_t v = xoshiro_next(test_source.s);
		size_t n = len < sizeof(v) ? len : sizeof(v);

		memcpy(out, &v, n);
		out += n;
		len -= n;
	}
}

void rand_bytes(void *out, size_t len)
{
	uint8_t *p = out;

	if (atomic_load_explicit(&test_source.is_seeded, memory_order_relaxed)) {
		seeded_bytes(p, len);
		return;
	}
	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		// cannot: getrandom fails for a bad address or flag alone, and ours are constant
		MUST(n > 0);
		p += n;
		len -= (size_t)n;
	}
}

uint32_t rand_u32(void)
{
	uint32_t v;

	rand_bytes(&v, sizeof(v));
	return v;
}

uint64_t rand_u64(void)
{
	uint64_t v;

	rand_bytes(&v, sizeof(v));
	return v;
}

void rand_text(char *out, size_t n, const char *alphabet)
{
	size_t n_chars = strlen(alphabet), done = 0;
	unsigned even; // bytes at or above would favour the first characters
	uint8_t block[64];

	// cannot: alphabets are constants
	MUST(n_chars >= 2 && n_chars <= 256);
	even = 256 - 256 % (unsigned)n_chars;
	while (done < n) {
		rand_bytes(block, sizeof(block));
		for (size_t i = 0; i < sizeof(block) && done < n; i++)
			if (block[i] < even)
				out[done++] = alphabet[block[i] % n_chars];
	}
	out[n] = '\0';
	explicit_bzero(block, sizeof(block));
}

void rand_seed(uint64_t seed)
{
	// splitmix64 spreads the seed, as the authors of xoshiro advise.
	for (uint64_t x = seed, i = 0; i < 4; i++) {
		uint64_t z = x += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		test_source.s[i] = z ^ z >> 31;
	}
	atomic_store_explicit(&test_source.is_seeded, seed != 0, memory_order_relaxed);
}
