// Inside of the ipsec-mb backend: seal_ipsecmb.c (engine, RTP), seal_ipsecmb_key.c and seal_ipsecmb_rtcp.c.
// Nobody else includes this.
//
// A key in memory (multiples of 64 bytes, made for one implementation of the library):
//
//     0  struct seal_key: RTP salt, profile           16 bytes
//    16  GCM: struct gcm_key_data, cut after what the chosen implementation fills: 368 bytes (AVX2, and
//        AVX-512 without VAES), 496 (SSE, AVX) or all 1008 (AVX-512 with VAES)
//        CM: AES round keys 176, HMAC inner and outer state 2 x 20
//   end-64  struct rtcp_part: unexpanded RTCP session keys. RTCP is rare, so its keys are expanded for each
//        packet into the engine's scratch (about the cost of sealing one packet) instead of doubling
//        every key: 1088 bytes in place of 2080, and no further line touched by RTP.
#pragma once

#include "lib/base/err.h"
#include "lib/seal/seal_impl.h"

#include <intel-ipsec-mb.h>

#define GCM_AT sizeof(struct seal_key) // offset of key material in a key
#define E_SCRATCH (SEAL_MAX_RTCP + SEAL_MAX_RTCP_GROWTH)

struct cm_part {
	uint8_t round_keys[11 * 16];
	uint8_t inner[20], outer[20]; // SHA-1 states after the padded key
};

struct rtcp_part {
	uint8_t key[32];
	uint8_t salt[14];
	uint8_t rsvd[2];
};

struct rtcp_cm_part { // same 64 bytes for the CM profile
	uint8_t key[16];
	uint8_t auth[20];
	uint8_t salt[14];
};
static_assert(sizeof(struct rtcp_part) <= SEAL_LINE && sizeof(struct rtcp_cm_part) <= SEAL_LINE);

struct imb_engine {
	struct seal_engine base;
	IMB_MGR *mgr; // owned
	struct gcm_context_data gcm_ctx;
	alignas(64) struct gcm_key_data gcm_key; // RTCP keys while in use
	alignas(64) struct cm_part cm_key;       // likewise
	IMB_JOB jobs[SEAL_MAX_BURST];
	struct seal_rtp *cm[SEAL_MAX_BURST]; // packet of each job
	uint8_t iv[SEAL_MAX_BURST][16];
	uint8_t mac[SEAL_MAX_BURST][20];
	uint8_t saved[SEAL_MAX_BURST][SEAL_INDEX_WORD]; // tag bytes under the ROC while a MAC runs
	uint8_t scratch[E_SCRATCH];                     // contiguous AAD of unencrypted SRTCP
};

static inline struct imb_engine *imb(struct seal_engine *e)
{
	return container_of(e, struct imb_engine, base);
}

static inline uint8_t *key_body(struct seal_key *key)
{
	return (uint8_t *)key + GCM_AT;
}

static inline const struct gcm_key_data *key_gcm(const struct seal_key *key)
{
	return (const void *)((const uint8_t *)key + GCM_AT);
}

static inline const struct cm_part *key_cm(const struct seal_key *key)
{
	return (const void *)((const uint8_t *)key + GCM_AT);
}

static inline const void *key_rtcp(const struct seal_key *key)
{
	return (const uint8_t *)key + (key->n_lines - 1) * SEAL_LINE;
}

// --- jobs --------------------------------------------------------------------------------------
static inline void job_ctr(IMB_JOB *j, const void *round_keys, IMB_KEY_SIZE_BYTES key_len, const uint8_t *iv)
{
	j->enc_keys = round_keys;
	j->key_len_in_bytes = key_len;
	j->iv = iv;
	j->iv_len_in_bytes = 16;
	j->cipher_mode = IMB_CIPHER_CNTR;
	j->cipher_direction = IMB_DIR_ENCRYPT;
	j->cipher_start_src_offset_in_bytes = 0;
}

// Run n prepared CTR jobs; the library finishes them before it returns.
static inline void run_ctr(struct imb_engine *e, unsigned n, IMB_KEY_SIZE_BYTES key_len)
{
	if (n > 0)
		// cannot: jobs are complete and at most a burst; the library then finishes all
		MUST(IMB_SUBMIT_CIPHER_BURST_NOCHECK(e->mgr, e->jobs, n, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT,
						     key_len) == n);
}

// The MAC covers header, ciphertext and ROC. The ROC is written where the tag is or will be (the first 4
// of its 10 bytes), so that the library sees one contiguous message.
static inline void job_mac(struct imb_engine *e, unsigned i, const struct cm_part *cm, const uint8_t *msg,
			   size_t len)
{
	IMB_JOB *j = &e->jobs[i];

	j->src = msg;
	j->hash_start_src_offset_in_bytes = 0;
	j->msg_len_to_hash_in_bytes = len;
	j->hash_alg = IMB_AUTH_HMAC_SHA_1;
	j->u.HMAC._hashed_auth_key_xor_ipad = cm->inner;
	j->u.HMAC._hashed_auth_key_xor_opad = cm->outer;
	j->auth_tag_output = e->mac[i];
	j->auth_tag_output_len_in_bytes = sizeof(e->mac[i]);
}

static inline void run_mac(struct imb_engine *e, unsigned n)
{
	if (n > 0)
		// cannot: jobs are complete and at most a burst; the library then finishes all
		MUST(IMB_SUBMIT_HASH_BURST_NOCHECK(e->mgr, e->jobs, n, IMB_AUTH_HMAC_SHA_1) == n);
}

// --- GCM ---------------------------------------------------------------------------------------
// One packet of any GCM profile; tag gets 16 bytes.
struct gcm_op {
	uint8_t *dst;
	const uint8_t *src;
	size_t len;
	const uint8_t *nonce; // 12 bytes
	const uint8_t *aad;
	size_t aad_len;
	uint8_t *tag;
};

static inline void gcm_enc(struct imb_engine *e, bool is_256, const struct gcm_key_data *key,
			   const struct gcm_op *op)
{
	if (is_256)
		IMB_AES256_GCM_ENC(e->mgr, key, &e->gcm_ctx, op->dst, op->src, op->len, op->nonce, op->aad,
				   op->aad_len, op->tag, SEAL_GCM_TAG);
	else
		IMB_AES128_GCM_ENC(e->mgr, key, &e->gcm_ctx, op->dst, op->src, op->len, op->nonce, op->aad,
				   op->aad_len, op->tag, SEAL_GCM_TAG);
}

static inline void gcm_dec(struct imb_engine *e, bool is_256, const struct gcm_key_data *key,
			   const struct gcm_op *op)
{
	if (is_256)
		IMB_AES256_GCM_DEC(e->mgr, key, &e->gcm_ctx, op->dst, op->src, op->len, op->nonce, op->aad,
				   op->aad_len, op->tag, SEAL_GCM_TAG);
	else
		IMB_AES128_GCM_DEC(e->mgr, key, &e->gcm_ctx, op->dst, op->src, op->len, op->nonce, op->aad,
				   op->aad_len, op->tag, SEAL_GCM_TAG);
}

// --- seal_ipsecmb_key.c ------------------------------------------------------------------------
// SHA-1 states after the first block of inner and outer hash; key_len <= 64. source: RFC 2104
void imb_hmac_states(struct imb_engine *, const uint8_t *key, size_t key_len, uint8_t inner[20],
		     uint8_t outer[20]);
void imb_cm_expand(struct imb_engine *, struct cm_part *, const uint8_t key[16], const uint8_t auth[20]);

// As in struct seal_ops.
void imb_derive(struct seal_engine *, enum seal_profile, const uint8_t *master_key, const uint8_t master_salt[14],
		struct seal_session_keys *);
void imb_key_install(struct seal_engine *, struct seal_key *, const struct seal_session_keys *);
int imb_key_expand(struct seal_engine *, struct seal_key *, const uint8_t *master_key,
		   const uint8_t master_salt[14]);

// --- seal_ipsecmb_rtcp.c -----------------------------------------------------------------------
// As in struct seal_ops.
int imb_rtcp_protect(struct seal_engine *, const struct seal_key *, uint8_t *pkt, size_t len, uint32_t index);
int imb_rtcp_unprotect(struct seal_engine *, const struct seal_key *, uint8_t *pkt, size_t len,
		       uint32_t word);
void imb_hmac_sha1(struct seal_engine *, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		   uint8_t out[20]);
