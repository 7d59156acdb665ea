// The ciphers of ipsec-mb alone, as fast as the library can do them in the same place: as many keys, as many
// destinations, packets of the same size. What the dataplane needs beyond it is ours to answer for.
#pragma once

#include <stdalign.h>

#include <intel-ipsec-mb.h>

#include "lib/base/rand.h"
#include "lib/seal/seal.h"
#include "tests/perf/support/perf.h"

#define RAW_KEY 1024 // bytes from key to key: aligned to lines
#define RAW_HDR 20   // RTP header with the level: authenticated, not encrypted
#define RAW_BURST 64

struct raw_cm_key {
	alignas(64) uint8_t round_keys[11 * 16];
	uint8_t inner[20], outer[20];
};

struct raw {
	IMB_MGR *mgr;
	enum seal_profile profile;
	unsigned n_keys;
	uint8_t *gcm_key;
	struct raw_cm_key *cm_key;
	unsigned n_out, at;
	struct rte_mbuf **out; // destinations, used in turn
	struct gcm_context_data ctx;
	IMB_JOB job[RAW_BURST];
	uint8_t iv[RAW_BURST][16], tag[RAW_BURST][20];
	uint8_t in[1500], aad[RAW_HDR];
};

// Destinations are n_out buffers of the pool, whose layout in memory is thereby that of the dataplane's.
static inline struct raw *raw_new(enum seal_profile profile, unsigned n_keys, struct rte_mempool *pool,
				  unsigned n_out)
{
	struct raw *r = perf_alloc(sizeof(*r));
	uint8_t key[32], dec[15 * 16];

	r->mgr = alloc_mb_mgr(0);
	init_mb_mgr_auto(r->mgr, NULL);
	r->profile = profile;
	r->n_keys = n_keys;
	r->gcm_key = perf_alloc((size_t)n_keys * RAW_KEY);
	r->cm_key = perf_alloc(n_keys * sizeof(r->cm_key[0]));
	for (unsigned i = 0; i < n_keys; i++) {
		struct gcm_key_data *gcm = (void *)(r->gcm_key + (size_t)i * RAW_KEY);
		rand_bytes(key, sizeof(key));
		if (profile == SEAL_AEAD_AES_256_GCM)
			IMB_AES256_GCM_PRE(r->mgr, key, gcm);
		else
			IMB_AES128_GCM_PRE(r->mgr, key, gcm);
		IMB_AES_KEYEXP_128(r->mgr, key, r->cm_key[i].round_keys, dec);
		rand_bytes(r->cm_key[i].inner, 40);
	}
	r->n_out = n_out;
	r->out = perf_alloc(n_out * sizeof(struct rte_mbuf *));
	for (unsigned i = 0; i < n_out; i++)
		if ((r->out[i] = rte_pktmbuf_alloc(pool)) == NULL)
			die(EXIT_SOFTWARE, "pool is too small");
	return r;
}

static inline void raw_free(struct raw *r)
{
	mbufs_done(r->out, r->n_out);
	free(r->out);
	free(r->gcm_key);
	free(r->cm_key);
	free_mb_mgr(r->mgr);
	free(r);
}

static inline uint8_t *raw_next(struct raw *r)
{
	struct rte_mbuf *m = r->out[r->at];

	r->at = r->at + 1 == r->n_out ? 0 : r->at + 1;
	return rte_pktmbuf_mtod(m, uint8_t *);
}

// The lines of a key that a packet needs: with VAES the powers of H are at the end.
static inline void raw_prefetch(const struct raw *r, unsigned i)
{
	const uint8_t *key = r->gcm_key + (size_t)(i % r->n_keys) * RAW_KEY;

	for (unsigned k = 0; k < 3; k++) {
		rte_prefetch0(key + k * 64);
		rte_prefetch0(key + 1008 - 64 * (k + 1));
	}
}

static inline void raw_gcm(struct raw *r, uint16_t len)
{
	aes_gcm_enc_dec_t enc = r->profile == SEAL_AEAD_AES_256_GCM ? r->mgr->gcm256_enc : r->mgr->gcm128_enc;

	for (unsigned i = 0; i < r->n_keys; i++) {
		uint8_t *to = raw_next(r);
		raw_prefetch(r, i + 2);
		enc((const void *)(r->gcm_key + (size_t)i * RAW_KEY), &r->ctx, to + RAW_HDR, r->in, len,
		    r->iv[0], r->aad, RAW_HDR, to + RAW_HDR + len, 16);
	}
}

static inline void raw_cm_job(struct raw *r, unsigned slot, const struct raw_cm_key *key, uint8_t *to,
			      uint16_t len)
{
	IMB_JOB *j = &r->job[slot];

	j->enc_keys = key->round_keys;
	j->key_len_in_bytes = 16;
	j->iv = r->iv[slot];
	j->iv_len_in_bytes = 16;
	j->src = r->in;
	j->dst = to + RAW_HDR;
	j->msg_len_to_cipher_in_bytes = len;
	j->u.HMAC._hashed_auth_key_xor_ipad = key->inner;
	j->u.HMAC._hashed_auth_key_xor_opad = key->outer;
	j->msg_len_to_hash_in_bytes = RAW_HDR + len + 4u;
	j->auth_tag_output = r->tag[slot];
	j->auth_tag_output_len_in_bytes = 20;
	j->hash_alg = IMB_AUTH_HMAC_SHA_1;
	j->cipher_mode = IMB_CIPHER_CNTR;
}

static inline void raw_cm(struct raw *r, uint16_t len)
{
	for (unsigned i = 0, n; i < r->n_keys; i += n) {
		n = RTE_MIN(r->n_keys - i, (unsigned)RAW_BURST);
		for (unsigned k = 0; k < n; k++)
			raw_cm_job(r, k, &r->cm_key[i + k], raw_next(r), len);
		IMB_SUBMIT_CIPHER_BURST_NOCHECK(r->mgr, r->job, n, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT,
						IMB_KEY_128_BYTES);
		for (unsigned k = 0; k < n; k++)
			r->job[k].src = r->job[k].dst - RAW_HDR;
		IMB_SUBMIT_HASH_BURST_NOCHECK(r->mgr, r->job, n, IMB_AUTH_HMAC_SHA_1);
	}
}

// One packet of len bytes of payload for each key.
static inline void raw_seal(struct raw *r, uint16_t len)
{
	if (r->profile == SEAL_AES128_CM_SHA1_80)
		raw_cm(r, len);
	else
		raw_gcm(r, len);
}
