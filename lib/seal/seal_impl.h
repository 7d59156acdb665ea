// Inside of lib/seal: what seal.c, its self-test and the two backends share. Not for callers.
//
// Protocol of a backend:
// 1. open() allocates its engine, whose first member is struct seal_engine, and fills name, key_size and
//    key_lines; close() frees it and wipes what it held.
// 2. key_expand() gets a zeroed key of key_lines cache lines whose common head is filled already.
// 3. the packet operations trust their caller on lengths (seal.c has checked them).
#pragma once

#include "lib/seal/seal.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>

#define SEAL_LINE 64      // bytes of a cache line, unit of key sizes
#define SEAL_CM_TAG 10    // bytes of an HMAC-SHA1-80 tag
#define SEAL_GCM_TAG 16   // bytes of a GCM tag
#define SEAL_RTCP_CLEAR 8 // leading bytes of an SRTCP packet that are never encrypted
#define SEAL_INDEX_WORD 4 // bytes of E | SRTCP index
#define SEAL_E_BIT 0x80000000u

// The two backends in struct seal_key.backend.
enum seal_backend { SEAL_BY_IPSECMB = 1, SEAL_BY_LIBSRTP2 = 2 };

// Head of every key, 16 bytes; the backend's part follows.
struct seal_key {
	uint8_t salt[14];    // RTP session salt; 12 bytes with GCM
	uint8_t profile : 4; // enum seal_profile
	uint8_t backend : 4; // enum seal_backend
	uint8_t n_lines;     // cache lines of the whole key, so that it can be wiped without its engine
};
static_assert(sizeof(struct seal_key) == 16);

// What the key derivation of RFC 3711 section 4.3 yields for one direction.
struct seal_session_keys {
	uint8_t rtp_key[32], rtcp_key[32];   // first 16 bytes for 128-bit profiles
	uint8_t rtp_auth[20], rtcp_auth[20]; // CM only
	uint8_t rtp_salt[14], rtcp_salt[14]; // 12 bytes with GCM
};

// Labels of RFC 3711 section 4.3.2.
enum seal_label {
	LABEL_RTP_KEY,
	LABEL_RTP_AUTH,
	LABEL_RTP_SALT,
	LABEL_RTCP_KEY,
	LABEL_RTCP_AUTH,
	LABEL_RTCP_SALT
};

struct seal_ops {
	const char *name; // as in seal_engine_new
	// variant: NULL or what follows "NAME/"; NULL + errno as seal_engine_new
	struct seal_engine *(*open)(const char *variant);
	void (*close)(struct seal_engine *);
	// master: the key and its salt padded with zeros to 14 bytes; 0 or -EINVAL, -ENOMEM
	int (*key_expand)(struct seal_engine *, struct seal_key *, const uint8_t *master_key,
			  const uint8_t master_salt[14]);
	void (*key_release)(struct seal_key *); // NULL when a key holds nothing outside itself
	void (*derive)(struct seal_engine *, enum seal_profile, const uint8_t *master_key,
		       const uint8_t master_salt[14], struct seal_session_keys *);
	// For vectors that give session keys; NULL when the backend only takes master keys.
	void (*key_install)(struct seal_engine *, struct seal_key *, const struct seal_session_keys *);
	// Set err of each packet to 0 or -EBADMSG.
	void (*rtp_protect)(struct seal_engine *, struct seal_rtp *, unsigned n);
	void (*rtp_unprotect)(struct seal_engine *, struct seal_rtp *, unsigned n);
	// len counts the plain packet; room for tag and index word is there.
	int (*rtcp_protect)(struct seal_engine *, const struct seal_key *, uint8_t *pkt, size_t len,
			    uint32_t index);
	// len counts tag and index word; word is the E | index word found in the packet.
	int (*rtcp_unprotect)(struct seal_engine *, const struct seal_key *, uint8_t *pkt, size_t len,
			      uint32_t word);
	void (*hmac_sha1)(struct seal_engine *, const uint8_t *key, size_t key_len, const uint8_t *msg,
			  size_t len, uint8_t out[20]);
};

struct seal_engine {
	const struct seal_ops *ops;
	enum seal_backend backend;
	unsigned key_lines; // cache lines of a key
	char name[48];
};

// seal_key_init without the derivation, for published vectors; only if the backend has key_install.
void seal_key_raw(struct seal_engine *, struct seal_key *, enum seal_profile,
		  const struct seal_session_keys *);

extern const struct seal_ops seal_ops_ipsecmb, seal_ops_libsrtp2;

static inline bool seal_is_gcm(enum seal_profile profile)
{
	return profile != SEAL_AES128_CM_SHA1_80;
}

// Equal or not, in time that depends on len only.
static inline bool seal_same(const uint8_t *a, const uint8_t *b, size_t len)
{
	uint8_t diff = 0;

	for (size_t i = 0; i < len; i++)
		diff |= a[i] ^ b[i];
	return diff == 0;
}

// GCM nonce: 0^16 | SSRC | low 48 bits of index, XOR salt. For SRTCP the index is the 31-bit one.
// One 16-byte store, so that the cipher's wide load right after it need not wait for narrow ones: nonce has
// 16 bytes, of which 12 count, and 16 are read at salt.
// source: RFC 7714 sections 8.1 and 9.1
static inline void seal_gcm_nonce(uint8_t nonce[16], const uint8_t *salt, uint32_t ssrc, uint64_t index)
{
	typedef uint64_t v2u64 __attribute__((vector_size(16)));
	v2u64 v, mask = {
			 __builtin_bswap64((uint64_t)ssrc << 16 | (index >> 32 & 0xffff)),
			 __builtin_bswap32((uint32_t)index),
		 };

	__builtin_memcpy(&v, salt, 16);
	v ^= mask;
	__builtin_memcpy(nonce, &v, 16);
}

// AES-CM counter block: (salt << 16) XOR (SSRC << 64) XOR (index << 16).
// source: RFC 3711 section 4.1.1
static inline void seal_cm_iv(uint8_t iv[16], const uint8_t *salt, uint32_t ssrc, uint64_t index)
{
	__builtin_memcpy(iv, salt, 14);
	iv[14] = iv[15] = 0;
	for (int i = 0; i < 4; i++)
		iv[4 + i] ^= (uint8_t)(ssrc >> (24 - 8 * i));
	for (int i = 0; i < 6; i++)
		iv[8 + i] ^= (uint8_t)(index >> (40 - 8 * i));
}
