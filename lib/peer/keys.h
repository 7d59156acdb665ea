// DTLS-SRTP keying material: the split of RFC 5764 section 4.2, by role.
//
// Only master keys and salts leave here; the session keys are derived by whoever seals (lib/seal).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_MAX_EXPORT 88 // bytes: two 32-byte keys and two 12-byte salts need 88, CM needs 60

// DTLS-SRTP protection profiles (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
enum keys_profile {
	KEYS_CM_SHA1_80 = 0x0001,
	KEYS_GCM_128 = 0x0007,
	KEYS_GCM_256 = 0x0008,
};

// Holder wipes with keys_wipe as soon as the keys are handed on.
struct keys {
	uint16_t profile;               // enum keys_profile
	uint8_t key_len, salt_len;      // bytes
	uint8_t rx_key[32], tx_key[32]; // rx opens what the peer sends, tx seals what we send
	uint8_t rx_salt[16], tx_salt[16];
};

// Bytes to export for a profile, 0 when it is not one of ours.
size_t keys_export_len(uint16_t profile);

// Split exported material: client key, server key, client salt, server salt.
//
// in:      is_server  our DTLS role: a server receives under the client's key
// returns: 0, -ENOTSUP for an unknown profile, -EBADMSG when len is not what the profile needs
// source:  RFC 5764 section 4.2
[[nodiscard]] int keys_split(struct keys *, uint16_t profile, bool is_server, const uint8_t *material,
			     size_t len);

void keys_wipe(struct keys *);
