#include "controlplane/auth/auth_key.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "controlplane/auth/auth.h"

void auth_mac(const uint8_t secret[AUTH_SECRET_LEN], const char *client, struct str key,
	      uint8_t out[AUTH_MAC_LEN])
{
	uint8_t text[256 + AUTH_KEY_MAX + 1];
	size_t n = strlen(client) + 1;

	assert(n <= 256 && key.len <= AUTH_KEY_MAX);
	memcpy(text, client, n);
	memcpy(text + n, key.p, key.len);
	HMAC(EVP_sha256(), secret, AUTH_SECRET_LEN, text, n + key.len, out, NULL);
	explicit_bzero(text, sizeof(text));
}

void auth_mac_admin(const uint8_t secret[AUTH_SECRET_LEN], struct str key, uint8_t out[AUTH_MAC_LEN])
{
	HMAC(EVP_sha256(), secret, AUTH_SECRET_LEN, (const void *)(key.p ? key.p : ""), key.len, out, NULL);
}

void auth_mac_pair(const uint8_t secret[AUTH_SECRET_LEN], const uint8_t address[16], const char *client,
		   uint8_t out[AUTH_PAIR_LEN])
{
	uint8_t text[16 + 256], mac[AUTH_MAC_LEN];
	size_t n = strlen(client);

	assert(n < 256);
	memcpy(text, address, 16);
	memcpy(text + 16, client, n);
	HMAC(EVP_sha256(), secret, AUTH_SECRET_LEN, text, 16 + n, mac, NULL);
	memcpy(out, mac, AUTH_PAIR_LEN);
}

bool auth_mac_is_equal(const uint8_t a[AUTH_MAC_LEN], const uint8_t b[AUTH_MAC_LEN])
{
	return CRYPTO_memcmp(a, b, AUTH_MAC_LEN) == 0;
}

void auth_hash_token(struct str token, char out[CREDS_TOKEN_HASH_LEN + 1])
{
	uint8_t digest[32];

	EVP_Digest(token.p ? token.p : "", token.len, digest, NULL, EVP_sha256(), NULL);
	for (unsigned i = 0; i < sizeof(digest); i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

int base64_decode(struct str s, char *out, size_t size)
{
	static const char digits[] = STR_BASE64_DIGITS;
	uint32_t bits = 0;
	size_t n = 0, pad = 0;

	if (s.len % 4 != 0 || s.len / 4 * 3 > size)
		return -EBADMSG;
	for (size_t i = 0; i < s.len; i++) {
		const char *at = s.p[i] ? strchr(digits, s.p[i]) : NULL;

		if (s.p[i] == '=' && i + 2 >= s.len)
			pad++;
		else if (at == NULL || pad > 0)
			return -EBADMSG;
		bits = bits << 6 | (uint32_t)(at ? at - digits : 0);
		if (i % 4 == 3) {
			out[n++] = (char)(bits >> 16);
			out[n++] = (char)(bits >> 8);
			out[n++] = (char)bits;
		}
	}
	return (int)(n - pad);
}
