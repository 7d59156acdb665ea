// STUN messages of ICE: parse, and build what an ICE-lite agent sends. No HMAC here: the message says which
// bytes are to be authenticated, the caller computes (lib/seal in the dataplane, a test's own elsewhere).
//
// source: RFC 8489 (STUN), RFC 8445 section 7 (ICE attributes),
//         draft-thatcher-ice-renomination-01 (NOMINATION, 0xC001)
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

#define STUN_HDR_LEN 20
#define STUN_COOKIE 0x2112a442u
#define STUN_TXID_LEN 12
#define STUN_MAC_LEN 20
#define STUN_MAX_ATTRS 24
#define STUN_MAX_USERNAME 513 // bytes
#define STUN_MAX_UNKNOWN 8    // comprehension-required types remembered

enum stun_class { STUN_REQUEST = 0, STUN_INDICATION = 1, STUN_SUCCESS = 2, STUN_ERROR = 3 };
enum stun_method { STUN_BINDING = 1 };
enum stun_attr {
	STUN_ATTR_MAPPED_ADDRESS = 0x0001,
	STUN_ATTR_USERNAME = 0x0006,
	STUN_ATTR_MESSAGE_INTEGRITY = 0x0008,
	STUN_ATTR_ERROR_CODE = 0x0009,
	STUN_ATTR_UNKNOWN_ATTRIBUTES = 0x000a,
	STUN_ATTR_REALM = 0x0014,
	STUN_ATTR_NONCE = 0x0015,
	STUN_ATTR_MESSAGE_INTEGRITY_SHA256 = 0x001c,
	STUN_ATTR_XOR_MAPPED_ADDRESS = 0x0020,
	STUN_ATTR_PRIORITY = 0x0024,
	STUN_ATTR_USE_CANDIDATE = 0x0025,
	STUN_ATTR_SOFTWARE = 0x8022,
	STUN_ATTR_FINGERPRINT = 0x8028,
	STUN_ATTR_ICE_CONTROLLED = 0x8029,
	STUN_ATTR_ICE_CONTROLLING = 0x802a,
	STUN_ATTR_NOMINATION = 0xc001,
};

// A transport address inside a STUN attribute.
struct stun_addr {
	uint8_t family; // 4 or 6; 0: absent
	uint16_t port;  // host order
	uint8_t ip[16]; // network order; IPv4 in the first four bytes
};

// A parsed message. Attributes after MESSAGE-INTEGRITY are ignored, except FINGERPRINT.
struct stun_msg {
	uint8_t *p;   // borrowed: the whole datagram
	uint16_t len; // bytes
	uint16_t method;
	uint8_t cls;       // enum stun_class
	uint8_t n_unknown; // comprehension-required attributes we do not know; at most STUN_MAX_UNKNOWN kept
	uint16_t mac_off; // offset of the MESSAGE-INTEGRITY attribute, 0: none; the MAC covers what is before
	uint16_t error_code;  // 300..699 of an error response, else 0
	bool has_fingerprint; // present and last; its value is judged by stun_fingerprint_check
	bool has_username, has_priority, has_nomination;
	bool use_candidate, controlling, controlled;
	uint32_t priority;
	uint32_t nomination;  // 24 bits
	uint32_t fingerprint; // as received
	uint64_t tie_breaker;
	struct str username;     // borrowed
	struct stun_addr mapped; // XOR-MAPPED-ADDRESS
	uint16_t unknown[STUN_MAX_UNKNOWN];
};

// Parse one datagram. Nothing is authenticated yet.
//
// in:      p    borrowed by *msg; stun_mac_check writes to its length field and restores it
// returns: 0; -EBADMSG malformed (an attribute overruns, more than STUN_MAX_ATTRS, a fixed-size attribute of
//          another size, not STUN at all)
[[nodiscard]] int stun_parse(uint8_t *p, size_t len, struct stun_msg *msg);

// Is FINGERPRINT present, last and right? Not part of stun_parse, so that a stranger's message costs a
// look-up before it costs a CRC.
bool stun_fingerprint_check(const struct stun_msg *);

// The two halves of USERNAME ("local:remote" in a request we receive); false when there is not exactly one
// ':'.
bool stun_username(const struct stun_msg *, struct str *left, struct str *right);

static inline const uint8_t *stun_txid(const struct stun_msg *m)
{
	return m->p + 8;
}

// Keyed hash to be supplied: HMAC-SHA1 of msg under key.
//
// in: arg  struct's own
typedef void stun_mac_fn(void *arg, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
			 uint8_t out[STUN_MAC_LEN]);
struct stun_mac {
	stun_mac_fn *hmac_sha1;
	void *arg; // borrowed
};

// Is MESSAGE-INTEGRITY right under key? Constant time in the MAC. False when absent.
bool stun_mac_check(const struct stun_msg *, const struct stun_mac *, const uint8_t *key, size_t key_len);

// --- builders -----------------------------------------------------------------------------------
// All write a complete message with MESSAGE-INTEGRITY and FINGERPRINT and return its bytes, or -ENOSPC.

#define STUN_MAX_REPLY 128 // bytes: largest response we build
#define STUN_MAX_PROBE 448 // bytes: largest request we build

struct stun_key {
	const struct stun_mac *mac; // borrowed
	const uint8_t *key;         // borrowed
	size_t key_len;
};

// Binding success: 64 bytes for IPv4, 76 for IPv6.
[[nodiscard]] int stun_write_success(uint8_t *out, size_t size, const uint8_t *txid,
				     const struct stun_addr *mapped, const struct stun_key *);
// 487 and others that are no more than a code.
[[nodiscard]] int stun_write_error(uint8_t *out, size_t size, const uint8_t *txid, unsigned code,
				   const struct stun_key *);
// 420 (Unknown Attribute) with the types it is about.
[[nodiscard]] int stun_write_unknown(uint8_t *out, size_t size, const uint8_t *txid, const uint16_t *unknown,
				     unsigned n_unknown, const struct stun_key *);

// Binding request; a path probe of ours has controlled = true. Also for tests and tools that play a client.
struct stun_request {
	const uint8_t *txid;             // borrowed, 12 bytes
	struct str to_ufrag, from_ufrag; // USERNAME "to:from"
	uint32_t priority;
	uint64_t tie_breaker;
	bool controlled; // ICE-CONTROLLED, else ICE-CONTROLLING
	bool use_candidate;
	bool has_nomination;
	uint32_t nomination;
};
[[nodiscard]] int stun_write_request(uint8_t *out, size_t size, const struct stun_request *,
				     const struct stun_key *);

// CRC-32 (ISO 3309) as FINGERPRINT uses it, before the XOR with 0x5354554e.
uint32_t stun_crc32(const uint8_t *p, size_t len);
