// Keys and tokens as bytes: MACs under a secret of this process, hashes of tokens, base64.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/auth/creds.h"
#include "lib/base/str.h"

enum { AUTH_MAC_LEN = 32, AUTH_SECRET_LEN = 32, AUTH_PAIR_LEN = 16 };

// MAC of a client (below 256 bytes) and its key (up to AUTH_KEY_MAX bytes), and of the admin's key of any length.
void auth_mac(const uint8_t secret[AUTH_SECRET_LEN], const char *client, struct str key,
	      uint8_t out[AUTH_MAC_LEN]);
void auth_mac_admin(const uint8_t secret[AUTH_SECRET_LEN], struct str key, uint8_t out[AUTH_MAC_LEN]);
// Digest of a client (below 256 bytes) at an address (http_source.key).
void auth_mac_pair(const uint8_t secret[AUTH_SECRET_LEN], const uint8_t address[16], const char *client,
		   uint8_t out[AUTH_PAIR_LEN]);
bool auth_mac_is_equal(const uint8_t a[AUTH_MAC_LEN], const uint8_t b[AUTH_MAC_LEN]); // in constant time
void auth_hash_token(struct str token, char out[CREDS_TOKEN_HASH_LEN + 1]);           // SHA-256 in hex
// Standard base64 with padding (RFC 4648 section 4). Length, or -EBADMSG.
[[nodiscard]] int base64_decode(struct str, char *out, size_t size);
