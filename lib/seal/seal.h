// SRTP and SRTCP transforms in bursts, out of place, on explicit packet indices. No replay window, no
// index estimate, no SSRC table here: that is lib/rtc/recv/srtpidx.h and its callers.
//
// Two backends behind one ops table: "ipsec-mb" (default) and "libsrtp2" (reference, test oracle,
// fallback). Contexts of one backend must not be handed to the other.
//
// thread: a struct seal_engine belongs to one thread; a struct seal_key may be moved between threads with
// the usual hand-over, and is read only once made.
// source: RFC 3711 (CM, SHA1_80), RFC 7714 (AEAD GCM), KDF RFC 3711 section 4.3 and RFC 7714 section 11.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Values are the DTLS-SRTP protection profile ids.
enum seal_profile {
	SEAL_NONE = 0,
	SEAL_AES128_CM_SHA1_80 = 0x0001,
	SEAL_AEAD_AES_128_GCM = 0x0007,
	SEAL_AEAD_AES_256_GCM = 0x0008,
};

#define SEAL_MAX_TAG 16               // bytes a packet grows by, RTP
#define SEAL_MAX_RTCP_GROWTH (16 + 4) // tag and index word
#define SEAL_MAX_BURST 64             // packets per call
#define SEAL_MAX_RTCP 2048            // bytes of a plain RTCP compound

// 0 for an unknown profile.
size_t seal_key_len(enum seal_profile);  // master key bytes
size_t seal_salt_len(enum seal_profile); // master salt bytes
size_t seal_rtp_tag_len(enum seal_profile);
size_t seal_rtcp_growth(enum seal_profile); // tag + index word
const char *seal_profile_name(enum seal_profile);

struct seal_engine; // per thread: ipsec-mb manager, scratch, counters
struct seal_key;    // one direction of one session: expanded keys; 64-byte aligned

// backend: "ipsec-mb", "libsrtp2", or NULL for the first of the two that this CPU can run (ipsec-mb wants
// AES instructions). "ipsec-mb/sse", /avx, /avx2, /avx512, /avx512-vaes choose an implementation, for tests;
// keys made by one do not fit another. NULL + EINVAL (unknown), ENOMEM, ENOTSUP (CPU).
struct seal_engine *seal_engine_new(const char *backend);
void seal_engine_free(struct seal_engine *);
const char *seal_engine_name(const struct seal_engine *); // "ipsec-mb 1.3 avx512-vaes" and the like

// RFC vectors on this engine (KDF, RTP, RTCP, all profiles). 0 or -EBADMSG.
[[nodiscard]] int seal_self_test(struct seal_engine *);

// Bytes of one key, a multiple of 64, so a caller can place keys in its own memory (aligned to 64): 1088 with
// VAES, 448 with AVX2 or AVX-512 only, 576 with SSE and AVX, 64 with libsrtp2 (which has the rest on the
// heap).
size_t seal_key_size(const struct seal_engine *);

// Expand master key and salt into *key (seal_key_size bytes). 0, -EINVAL.
[[nodiscard]] int seal_key_init(struct seal_engine *, struct seal_key *key, enum seal_profile,
				const uint8_t *master_key, const uint8_t *master_salt);
void seal_key_fini(struct seal_key *); // wipes; releases what the backend holds
enum seal_profile seal_key_profile(const struct seal_key *);

// One RTP packet of a burst.
struct seal_rtp {
	const struct seal_key *key; // borrowed
	uint8_t *hdr;       // RTP header with CSRCs and extension, final; authenticated, not encrypted
	const uint8_t *src; // payload in; protect: plaintext anywhere, may equal dst; unprotect: must be
			    // hdr + hdr_len, ciphertext followed by the tag. The tag's bytes are unchanged on
			    // return but may be written meanwhile.
	uint8_t *dst; // payload out; protect: must be hdr + hdr_len and have room for the tag; unprotect:
		      // anywhere, may equal src
	uint16_t hdr_len;
	uint16_t len;   // payload bytes in: without tag (protect), with tag (unprotect)
	uint32_t ssrc;  // host order
	uint64_t index; // ROC << 16 | seq
	int err;        // out: 0 or -EBADMSG (tag wrong; dst content is undefined then)
};

// Protect or unprotect n <= SEAL_MAX_BURST packets, any mix of profiles and keys. Return how many have err 0.
unsigned seal_rtp_protect(struct seal_engine *, struct seal_rtp *, unsigned n);
unsigned seal_rtp_unprotect(struct seal_engine *, struct seal_rtp *, unsigned n);

// One SRTCP compound, in place. index is 31 bits; protect always encrypts (E = 1).
// protect:   len bytes in (8..SEAL_MAX_RTCP), room for seal_rtcp_growth; returns new length or -EINVAL
// unprotect: returns plain length and the index, or -EBADMSG; E = 0 packets are authenticated only.
//            The caller checks replay on *index before using anything.
[[nodiscard]] int seal_rtcp_protect(struct seal_engine *, const struct seal_key *, uint8_t *pkt, size_t len,
				    size_t size, uint32_t index);
[[nodiscard]] int seal_rtcp_unprotect(struct seal_engine *, const struct seal_key *, uint8_t *pkt, size_t len,
				      uint32_t *index);
// Index word of a protected SRTCP packet without touching it (for the replay check before the cipher).
[[nodiscard]] int seal_rtcp_peek_index(enum seal_profile, const uint8_t *pkt, size_t len, uint32_t *index);

// HMAC-SHA1 (RFC 2104) over msg; STUN MESSAGE-INTEGRITY of the dataplane. key_len <= 64 here.
void seal_hmac_sha1(struct seal_engine *, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		    uint8_t out[20]);
