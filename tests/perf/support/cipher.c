#include "tests/perf/support/cipher.h"

#include <stdalign.h>
#include <stdlib.h>

#include <intel-ipsec-mb.h>
#include <rte_prefetch.h>

#include "lib/base/rand.h"
#include "tests/perf/support/perf.h"

#define CIPHER_KEY 1024 // bytes from key to key: aligned to lines
#define CIPHER_BURST 64

struct cipher_cm_key {
	alignas(64) uint8_t round_keys[11 * 16];
	uint8_t inner[20], outer[20];
};

struct cipher {
	IMB_MGR *mgr;
	enum seal_profile profile;
	unsigned n_keys;
	uint8_t *gcm_key;
	struct cipher_cm_key *cm_key;
	unsigned n_out, at;
	struct rte_mbuf **out; // destinations, used in turn
	struct gcm_context_data ctx;
	IMB_JOB job[CIPHER_BURST];
	uint8_t iv[CIPHER_BURST][16], tag[CIPHER_BURST][20];
	uint8_t in[1500], aad[CIPHER_HDR];
};

struct cipher *cipher_new(enum seal_profile profile, unsigned n_keys, struct rte_mempool *pool,
				  unsigned n_out)
{
	struct cipher *r = perf_alloc(sizeof(*r));
	uint8_t key[32], dec[15 * 16];

	r->mgr = alloc_mb_mgr(0);
	init_mb_mgr_auto(r->mgr, NULL);
	r->profile = profile;
	r->n_keys = n_keys;
	r->gcm_key = perf_alloc((size_t)n_keys * CIPHER_KEY);
	r->cm_key = perf_alloc(n_keys * sizeof(r->cm_key[0]));
	for (unsigned i = 0; i < n_keys; i++) {
		struct gcm_key_data *gcm = (void *)(r->gcm_key + (size_t)i * CIPHER_KEY);
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

void cipher_free(struct cipher *r)
{
	mbufs_done(r->out, r->n_out);
	free(r->out);
	free(r->gcm_key);
	free(r->cm_key);
	free_mb_mgr(r->mgr);
	free(r);
}

static uint8_t *cipher_next(struct cipher *r)
{
	struct rte_mbuf *m = r->out[r->at];

	r->at = r->at + 1 == r->n_out ? 0 : r->at + 1;
	return rte_pktmbuf_mtod(m, uint8_t *);
}

// The lines of a key that a packet needs: with VAES the powers of H are at the end.
static void cipher_prefetch(const struct cipher *r, unsigned i)
{
	const uint8_t *key = r->gcm_key + (size_t)(i % r->n_keys) * CIPHER_KEY;

	for (unsigned k = 0; k < 3; k++) {
		rte_prefetch0(key + k * 64);
		rte_prefetch0(key + 1008 - 64 * (k + 1));
	}
}

static void cipher_gcm(struct cipher *r, uint16_t len)
{
	aes_gcm_enc_dec_t enc = r->profile == SEAL_AEAD_AES_256_GCM ? r->mgr->gcm256_enc : r->mgr->gcm128_enc;

	for (unsigned i = 0; i < r->n_keys; i++) {
		uint8_t *to = cipher_next(r);
		cipher_prefetch(r, i + 2);
		enc((const void *)(r->gcm_key + (size_t)i * CIPHER_KEY), &r->ctx, to + CIPHER_HDR, r->in, len,
		    r->iv[0], r->aad, CIPHER_HDR, to + CIPHER_HDR + len, 16);
	}
}

static void cipher_cm_job(struct cipher *r, unsigned slot, const struct cipher_cm_key *key, uint8_t *to,
			      uint16_t len)
{
	IMB_JOB *j = &r->job[slot];

	j->enc_keys = key->round_keys;
	j->key_len_in_bytes = 16;
	j->iv = r->iv[slot];
	j->iv_len_in_bytes = 16;
	j->src = r->in;
	j->dst = to + CIPHER_HDR;
	j->msg_len_to_cipher_in_bytes = len;
	j->u.HMAC._hashed_auth_key_xor_ipad = key->inner;
	j->u.HMAC._hashed_auth_key_xor_opad = key->outer;
	j->msg_len_to_hash_in_bytes = CIPHER_HDR + len + 4u;
	j->auth_tag_output = r->tag[slot];
	j->auth_tag_output_len_in_bytes = 20;
	j->hash_alg = IMB_AUTH_HMAC_SHA_1;
	j->cipher_mode = IMB_CIPHER_CNTR;
}

static void cipher_cm(struct cipher *r, uint16_t len)
{
	for (unsigned i = 0, n; i < r->n_keys; i += n) {
		n = RTE_MIN(r->n_keys - i, (unsigned)CIPHER_BURST);
		for (unsigned k = 0; k < n; k++)
			cipher_cm_job(r, k, &r->cm_key[i + k], cipher_next(r), len);
		IMB_SUBMIT_CIPHER_BURST_NOCHECK(r->mgr, r->job, n, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT,
						IMB_KEY_128_BYTES);
		for (unsigned k = 0; k < n; k++)
			r->job[k].src = r->job[k].dst - CIPHER_HDR;
		IMB_SUBMIT_HASH_BURST_NOCHECK(r->mgr, r->job, n, IMB_AUTH_HMAC_SHA_1);
	}
}

void cipher_seal(struct cipher *r, uint16_t len)
{
	if (r->profile == SEAL_AES128_CM_SHA1_80)
		cipher_cm(r, len);
	else
		cipher_gcm(r, len);
}
