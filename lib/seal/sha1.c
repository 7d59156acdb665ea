#include "lib/seal/sha1.h"

#include "lib/base/buf.h"

#include <string.h>

struct sha1 {
	uint32_t h[5];
	uint64_t n_bytes;
	uint8_t block[64]; // the n_bytes % 64 bytes that wait
};

static void sha1_init(struct sha1 *s)
{
	*s = (struct sha1){.h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
}

static uint32_t rotate(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

static uint32_t round_f(int t, uint32_t b, uint32_t c, uint32_t d)
{
	switch (t / 20) {
	case 0:
		return ((b & c) | (~b & d)) + 0x5a827999;
	case 1:
		return (b ^ c ^ d) + 0x6ed9eba1;
	case 2:
		return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
	default:
		return (b ^ c ^ d) + 0xca62c1d6;
	}
}

static void sha1_block(struct sha1 *s, const uint8_t *p)
{
	uint32_t w[80], a = s->h[0], b = s->h[1], c = s->h[2], d = s->h[3], e = s->h[4];

	for (int t = 0; t < 80; t++) {
		w[t] = t < 16 ? be32_get(p + 4 * t) : rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
		uint32_t next = rotate(a, 5) + round_f(t, b, c, d) + e + w[t];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	s->h[0] += a;
	s->h[1] += b;
	s->h[2] += c;
	s->h[3] += d;
	s->h[4] += e;
	explicit_bzero(w, sizeof(w));
}

static void sha1_add(struct sha1 *s, const uint8_t *p, size_t len)
{
	while (len > 0) {
		size_t at = s->n_bytes % 64, n = len < 64 - at ? len : 64 - at;
		memcpy(s->block + at, p, n);
		s->n_bytes += n;
		p += n;
		len -= n;
		if (s->n_bytes % 64 == 0)
			sha1_block(s, s->block);
	}
}

static void sha1_end(struct sha1 *s, uint8_t out[20])
{
	static const uint8_t pad[64] = {0x80};
	uint64_t n_bits = s->n_bytes * 8;
	uint8_t length[8];

	sha1_add(s, pad, 1 + (64 + 55 - s->n_bytes % 64) % 64);
	be64_put(length, n_bits);
	sha1_add(s, length, sizeof(length));
	for (int i = 0; i < 5; i++)
		be32_put(out + 4 * i, s->h[i]);
	explicit_bzero(s, sizeof(*s));
}

void sha1_hmac(const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len, uint8_t out[20])
{
	uint8_t block[64];
	struct sha1 s;

	memset(block, 0x36, sizeof(block));
	for (size_t i = 0; i < key_len; i++)
		block[i] ^= key[i];
	sha1_init(&s);
	sha1_add(&s, block, sizeof(block));
	sha1_add(&s, msg, len);
	sha1_end(&s, out);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	sha1_init(&s);
	sha1_add(&s, block, sizeof(block));
	sha1_add(&s, out, 20);
	sha1_end(&s, out);
	explicit_bzero(block, sizeof(block));
}
