// The ipsec-mb backend.
//
// GCM packets go one by one through the direct call: one packet has enough blocks to fill the AES units.
// AES-CM + HMAC-SHA1 packets are gathered over the burst, because SHA-1 is serial and only runs fast over
// many packets side by side: all CTR first and then all HMAC when protecting, all HMAC and then only the
// good ones' CTR when opening. Both use the library's synchronous bursts on a job array of our own.
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
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/seal/seal_impl.h"
#include "lib/seal/sha1.h"

#include <intel-ipsec-mb.h>

#include <stdlib.h>
#include <string.h>

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

static struct imb_engine *imb(struct seal_engine *e)
{
	return container_of(e, struct imb_engine, base);
}

static uint8_t *key_body(struct seal_key *key)
{
	return (uint8_t *)key + GCM_AT;
}

static const struct gcm_key_data *key_gcm(const struct seal_key *key)
{
	return (const void *)((const uint8_t *)key + GCM_AT);
}

static const struct cm_part *key_cm(const struct seal_key *key)
{
	return (const void *)((const uint8_t *)key + GCM_AT);
}

static const void *key_rtcp(const struct seal_key *key)
{
	return (const uint8_t *)key + (key->n_lines - 1) * SEAL_LINE;
}

// --- engine ------------------------------------------------------------------------------------
// Variants other than the CPU's best exist so that tests on one machine cover them all.
static const struct variant {
	const char *name;
	uint64_t flags;
	void (*init)(IMB_MGR *);
	uint64_t needs; // IMB_FEATURE_* bits
} variants[] = {
	{"sse", 0, init_mb_mgr_sse, IMB_CPUFLAGS_SSE},
	{"avx", 0, init_mb_mgr_avx, IMB_CPUFLAGS_AVX},
	{"avx2", 0, init_mb_mgr_avx2, IMB_CPUFLAGS_AVX2},
	// Without GFNI the library takes its AVX-512 code for CPUs that have no VAES.
	{"avx512", IMB_FLAG_GFNI_OFF, init_mb_mgr_avx512, IMB_CPUFLAGS_AVX512},
	{"avx512-vaes", 0, init_mb_mgr_avx512, IMB_CPUFLAGS_AVX512_T2},
};

static const struct variant *best_variant(uint64_t features)
{
	for (size_t i = ARRAY_LEN(variants); i-- > 0;)
		if ((features & variants[i].needs) == variants[i].needs)
			return &variants[i];
	return NULL;
}

static const struct variant *find_variant(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(variants); i++)
		if (strcmp(variants[i].name, name) == 0)
			return &variants[i];
	return NULL;
}

// What this CPU and the library have in common, or 0.
static uint64_t cpu_features(void)
{
	IMB_MGR *mgr = alloc_mb_mgr(0);
	uint64_t features = mgr ? mgr->features : 0;

	free_mb_mgr(mgr);
	return features;
}

// Bytes at the front of struct gcm_key_data that the chosen implementation uses: what it fills is what
// it reads. Measured, because the library decides by CPU flags that are its own business.
static size_t gcm_key_len(IMB_MGR *mgr)
{
	static const uint8_t key[32] = {1};
	struct gcm_key_data a, b;
	size_t len = sizeof(a);

	memset(&a, 0x00, sizeof(a));
	memset(&b, 0xff, sizeof(b));
	IMB_AES256_GCM_PRE(mgr, key, &a);
	IMB_AES256_GCM_PRE(mgr, key, &b);
	while (len > 0 && ((uint8_t *)&a)[len - 1] != ((uint8_t *)&b)[len - 1])
		len--;
	return len;
}

static void engine_free(struct imb_engine *e)
{
	free_mb_mgr(e->mgr);
	explicit_bzero(e, sizeof(*e));
	free(e);
}

static void imb_close(struct seal_engine *base)
{
	engine_free(imb(base));
}

static struct seal_engine *imb_open(const char *name)
{
	uint64_t features = cpu_features();
	const struct variant *v = name ? find_variant(name) : best_variant(features);

	if (name && !v)
		return err_null(EINVAL);
	if (!v || (features & v->needs) != v->needs)
		return err_null(ENOTSUP);
	struct imb_engine *e = aligned_alloc(64, (sizeof(*e) + 63) / 64 * 64);
	if (!e)
		return err_null(ENOMEM);
	memset(e, 0, sizeof(*e));
	e->mgr = alloc_mb_mgr(v->flags);
	if (!e->mgr) {
		free(e);
		return err_null(ENOMEM);
	}
	v->init(e->mgr);
	if (imb_get_errno(e->mgr) != 0 || !(e->mgr->features & IMB_FEATURE_SELF_TEST_PASS)) {
		engine_free(e);
		return err_null(ENOTSUP);
	}
	size_t body = gcm_key_len(e->mgr);
	if (body < sizeof(struct cm_part))
		body = sizeof(struct cm_part);
	e->base.ops = &seal_ops_ipsecmb;
	e->base.backend = SEAL_BY_IPSECMB;
	e->base.key_lines = (unsigned)((GCM_AT + body + SEAL_LINE - 1) / SEAL_LINE + 1);
	snprintf(e->base.name, sizeof(e->base.name), "ipsec-mb %s %s", imb_get_version_str(), v->name);
	return &e->base;
}

// --- key derivation ----------------------------------------------------------------------------
static void job_ctr(IMB_JOB *j, const void *round_keys, IMB_KEY_SIZE_BYTES key_len, const uint8_t *iv)
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
static void run_ctr(struct imb_engine *e, unsigned n, IMB_KEY_SIZE_BYTES key_len)
{
	if (n > 0)
		MUST(IMB_SUBMIT_CIPHER_BURST_NOCHECK(e->mgr, e->jobs, n, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT,
						     key_len) == n);
}

// PRF of RFC 3711 section 4.3.3: out = AES-CM keystream at ((label << 48) XOR salt) << 16.
static void derive_one(struct imb_engine *e, const uint8_t *round_keys, IMB_KEY_SIZE_BYTES key_len,
		       const uint8_t salt[14], enum seal_label label, uint8_t *out, size_t out_len)
{
	static const uint8_t zeros[32];
	IMB_JOB *j = &e->jobs[0];

	memcpy(e->iv[0], salt, 14);
	memset(e->iv[0] + 14, 0, 2);
	e->iv[0][7] ^= (uint8_t)label;
	job_ctr(j, round_keys, key_len, e->iv[0]);
	j->src = zeros;
	j->dst = out;
	j->msg_len_to_cipher_in_bytes = out_len;
	run_ctr(e, 1, key_len);
}

static void imb_derive(struct seal_engine *base, enum seal_profile profile, const uint8_t *master,
		       const uint8_t salt[14], struct seal_session_keys *s)
{
	struct imb_engine *e = imb(base);
	alignas(64) uint8_t enc[15 * 16], dec[15 * 16];
	size_t len = seal_key_len(profile), salt_len = seal_salt_len(profile);
	IMB_KEY_SIZE_BYTES imb_len = len == 32 ? IMB_KEY_256_BYTES : IMB_KEY_128_BYTES;

	if (len == 32)
		IMB_AES_KEYEXP_256(e->mgr, master, enc, dec);
	else
		IMB_AES_KEYEXP_128(e->mgr, master, enc, dec);
	memset(s, 0, sizeof(*s));
	derive_one(e, enc, imb_len, salt, LABEL_RTP_KEY, s->rtp_key, len);
	derive_one(e, enc, imb_len, salt, LABEL_RTP_SALT, s->rtp_salt, salt_len);
	derive_one(e, enc, imb_len, salt, LABEL_RTCP_KEY, s->rtcp_key, len);
	derive_one(e, enc, imb_len, salt, LABEL_RTCP_SALT, s->rtcp_salt, salt_len);
	if (!seal_is_gcm(profile)) {
		derive_one(e, enc, imb_len, salt, LABEL_RTP_AUTH, s->rtp_auth, 20);
		derive_one(e, enc, imb_len, salt, LABEL_RTCP_AUTH, s->rtcp_auth, 20);
	}
	explicit_bzero(enc, sizeof(enc));
	explicit_bzero(dec, sizeof(dec));
}

// SHA-1 states after the first block of inner and outer hash. source: RFC 2104
static void hmac_states(struct imb_engine *e, const uint8_t *key, size_t key_len, uint8_t inner[20],
			uint8_t outer[20])
{
	uint8_t block[64];

	memset(block, 0x36, sizeof(block));
	for (size_t i = 0; i < key_len; i++)
		block[i] ^= key[i];
	IMB_SHA1_ONE_BLOCK(e->mgr, block, inner);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	IMB_SHA1_ONE_BLOCK(e->mgr, block, outer);
	explicit_bzero(block, sizeof(block));
}

static void cm_expand(struct imb_engine *e, struct cm_part *cm, const uint8_t key[16], const uint8_t auth[20])
{
	alignas(64) uint8_t dec[11 * 16];

	IMB_AES_KEYEXP_128(e->mgr, key, cm->round_keys, dec);
	explicit_bzero(dec, sizeof(dec));
	hmac_states(e, auth, 20, cm->inner, cm->outer);
}

static void imb_key_install(struct seal_engine *base, struct seal_key *key, const struct seal_session_keys *s)
{
	struct imb_engine *e = imb(base);

	memcpy(key->salt, s->rtp_salt, sizeof(key->salt));
	if (!seal_is_gcm(key->profile)) {
		struct rtcp_cm_part *rtcp = (void *)key_rtcp(key);
		memcpy(rtcp->key, s->rtcp_key, sizeof(rtcp->key));
		memcpy(rtcp->auth, s->rtcp_auth, sizeof(rtcp->auth));
		memcpy(rtcp->salt, s->rtcp_salt, sizeof(rtcp->salt));
		cm_expand(e, (void *)key_body(key), s->rtp_key, s->rtp_auth);
		return;
	}
	struct rtcp_part *rtcp = (void *)key_rtcp(key);
	memcpy(rtcp->key, s->rtcp_key, sizeof(rtcp->key));
	memcpy(rtcp->salt, s->rtcp_salt, sizeof(rtcp->salt));
	if (key->profile == SEAL_AEAD_AES_256_GCM)
		IMB_AES256_GCM_PRE(e->mgr, s->rtp_key, (void *)key_body(key));
	else
		IMB_AES128_GCM_PRE(e->mgr, s->rtp_key, (void *)key_body(key));
}

static int imb_key_expand(struct seal_engine *base, struct seal_key *key, const uint8_t *master_key,
			  const uint8_t master_salt[14])
{
	struct seal_session_keys s;

	imb_derive(base, key->profile, master_key, master_salt, &s);
	imb_key_install(base, key, &s);
	explicit_bzero(&s, sizeof(s));
	return 0;
}

// --- RTP, GCM ----------------------------------------------------------------------------------
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

static inline void gcm_rtp_protect(struct imb_engine *e, struct seal_rtp *p)
{
	uint8_t nonce[16];

	seal_gcm_nonce(nonce, p->key->salt, p->ssrc, p->index);
	gcm_enc(e, p->key->profile == SEAL_AEAD_AES_256_GCM, key_gcm(p->key),
		&(struct gcm_op){p->dst, p->src, p->len, nonce, p->hdr, p->hdr_len, p->dst + p->len});
	p->err = 0;
}

static inline void gcm_rtp_unprotect(struct imb_engine *e, struct seal_rtp *p)
{
	uint8_t nonce[16], tag[SEAL_GCM_TAG];

	if (p->len < SEAL_GCM_TAG) {
		p->err = -EBADMSG;
		return;
	}
	size_t len = p->len - SEAL_GCM_TAG;
	seal_gcm_nonce(nonce, p->key->salt, p->ssrc, p->index);
	gcm_dec(e, p->key->profile == SEAL_AEAD_AES_256_GCM, key_gcm(p->key),
		&(struct gcm_op){p->dst, p->src, len, nonce, p->hdr, p->hdr_len, tag});
	p->err = seal_same(tag, p->src + len, sizeof(tag)) ? 0 : -EBADMSG;
}

// --- RTP, AES-CM and HMAC-SHA1-80 --------------------------------------------------------------
// The MAC covers header, ciphertext and ROC. The ROC is written where the tag is or will be (the first 4
// of its 10 bytes), so that the library sees one contiguous message.
static void job_mac(struct imb_engine *e, unsigned i, const struct cm_part *cm, const uint8_t *msg,
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

static void run_mac(struct imb_engine *e, unsigned n)
{
	if (n > 0)
		MUST(IMB_SUBMIT_HASH_BURST_NOCHECK(e->mgr, e->jobs, n, IMB_AUTH_HMAC_SHA_1) == n);
}

// Append the CTR job of packet p; nothing to do for an empty payload.
static unsigned cm_job_ctr(struct imb_engine *e, unsigned n, const struct seal_rtp *p, size_t len)
{
	if (len == 0)
		return n;
	seal_cm_iv(e->iv[n], p->key->salt, p->ssrc, p->index);
	job_ctr(&e->jobs[n], key_cm(p->key)->round_keys, IMB_KEY_128_BYTES, e->iv[n]);
	e->jobs[n].src = p->src;
	e->jobs[n].dst = p->dst;
	e->jobs[n].msg_len_to_cipher_in_bytes = len;
	return n + 1;
}

static void cm_protect(struct imb_engine *e, unsigned n)
{
	unsigned n_ctr = 0;

	for (unsigned i = 0; i < n; i++)
		n_ctr = cm_job_ctr(e, n_ctr, e->cm[i], e->cm[i]->len);
	run_ctr(e, n_ctr, IMB_KEY_128_BYTES);
	for (unsigned i = 0; i < n; i++) {
		struct seal_rtp *p = e->cm[i];
		be32_put(p->dst + p->len, (uint32_t)(p->index >> 16));
		job_mac(e, i, key_cm(p->key), p->hdr, (size_t)p->hdr_len + p->len + 4);
	}
	run_mac(e, n);
	for (unsigned i = 0; i < n; i++) {
		memcpy(e->cm[i]->dst + e->cm[i]->len, e->mac[i], SEAL_CM_TAG);
		e->cm[i]->err = 0;
	}
}

static void cm_unprotect(struct imb_engine *e, unsigned n)
{
	unsigned n_ctr = 0;

	for (unsigned i = 0; i < n; i++) {
		struct seal_rtp *p = e->cm[i];
		uint8_t *tag = p->hdr + p->hdr_len + p->len - SEAL_CM_TAG;
		memcpy(e->saved[i], tag, 4);
		be32_put(tag, (uint32_t)(p->index >> 16));
		job_mac(e, i, key_cm(p->key), p->hdr, (size_t)p->hdr_len + p->len - SEAL_CM_TAG + 4);
	}
	run_mac(e, n);
	for (unsigned i = 0; i < n; i++) {
		struct seal_rtp *p = e->cm[i];
		uint8_t *tag = p->hdr + p->hdr_len + p->len - SEAL_CM_TAG;
		memcpy(tag, e->saved[i], 4);
		p->err = seal_same(tag, e->mac[i], SEAL_CM_TAG) ? 0 : -EBADMSG;
		if (p->err == 0)
			n_ctr = cm_job_ctr(e, n_ctr, p, p->len - SEAL_CM_TAG);
	}
	run_ctr(e, n_ctr, IMB_KEY_128_BYTES);
}

// --- RTP, bursts -------------------------------------------------------------------------------
// Round keys (3 lines with the head) and the powers of H that a short packet needs (the last 3 lines).
static inline void prefetch_key(const struct seal_key *key, unsigned key_lines)
{
	const uint8_t *line = (const void *)key;

	for (unsigned i = 0; i < 3; i++) {
		__builtin_prefetch(line + i * SEAL_LINE);
		__builtin_prefetch(line + (key_lines - 2 - i) * SEAL_LINE);
	}
}

#define PREFETCH_AHEAD 2 // packets

static void imb_rtp_protect(struct seal_engine *base, struct seal_rtp *p, unsigned n)
{
	struct imb_engine *e = imb(base);
	unsigned n_cm = 0;

	for (unsigned i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			prefetch_key(p[i + PREFETCH_AHEAD].key, base->key_lines);
		if (seal_is_gcm(p[i].key->profile))
			gcm_rtp_protect(e, &p[i]);
		else
			e->cm[n_cm++] = &p[i];
	}
	if (n_cm > 0)
		cm_protect(e, n_cm);
}

static void imb_rtp_unprotect(struct seal_engine *base, struct seal_rtp *p, unsigned n)
{
	struct imb_engine *e = imb(base);
	unsigned n_cm = 0;

	for (unsigned i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			prefetch_key(p[i + PREFETCH_AHEAD].key, base->key_lines);
		if (seal_is_gcm(p[i].key->profile))
			gcm_rtp_unprotect(e, &p[i]);
		else if (p[i].len < SEAL_CM_TAG)
			p[i].err = -EBADMSG;
		else
			e->cm[n_cm++] = &p[i];
	}
	if (n_cm > 0)
		cm_unprotect(e, n_cm);
}

// --- RTCP --------------------------------------------------------------------------------------
static void gcm_rtcp_expand(struct imb_engine *e, const struct seal_key *key)
{
	const struct rtcp_part *rtcp = key_rtcp(key);

	if (key->profile == SEAL_AEAD_AES_256_GCM)
		IMB_AES256_GCM_PRE(e->mgr, rtcp->key, &e->gcm_key);
	else
		IMB_AES128_GCM_PRE(e->mgr, rtcp->key, &e->gcm_key);
}

// AAD is the clear part and the index word, which are not neighbours in the packet.
// source: RFC 7714 sections 9.2 and 9.3
static void gcm_rtcp_protect(struct imb_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			     uint32_t index)
{
	const struct rtcp_part *rtcp = key_rtcp(key);
	uint8_t nonce[16], aad[SEAL_RTCP_CLEAR + SEAL_INDEX_WORD];
	uint8_t *body = pkt + SEAL_RTCP_CLEAR, *end = pkt + len;

	memcpy(aad, pkt, SEAL_RTCP_CLEAR);
	be32_put(aad + SEAL_RTCP_CLEAR, SEAL_E_BIT | index);
	seal_gcm_nonce(nonce, rtcp->salt, be32_get(pkt + 4), index);
	gcm_enc(e, key->profile == SEAL_AEAD_AES_256_GCM, &e->gcm_key,
		&(struct gcm_op){body, body, len - SEAL_RTCP_CLEAR, nonce, aad, sizeof(aad), end});
	be32_put(end + SEAL_GCM_TAG, SEAL_E_BIT | index);
}

static int gcm_rtcp_unprotect(struct imb_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			      uint32_t word)
{
	const struct rtcp_part *rtcp = key_rtcp(key);
	uint8_t nonce[16], tag[SEAL_GCM_TAG];
	size_t plain_len = len - SEAL_GCM_TAG - SEAL_INDEX_WORD;
	size_t aad_len = word & SEAL_E_BIT ? SEAL_RTCP_CLEAR : plain_len; // E = 0: all is AAD

	memcpy(e->scratch, pkt, aad_len);
	be32_put(e->scratch + aad_len, word);
	seal_gcm_nonce(nonce, rtcp->salt, be32_get(pkt + 4), word & ~SEAL_E_BIT);
	gcm_dec(e, key->profile == SEAL_AEAD_AES_256_GCM, &e->gcm_key,
		&(struct gcm_op){pkt + aad_len, pkt + aad_len, plain_len - aad_len, nonce, e->scratch,
				 aad_len + SEAL_INDEX_WORD, tag});
	return seal_same(tag, pkt + plain_len, sizeof(tag)) ? 0 : -EBADMSG;
}

static void cm_rtcp_crypt(struct imb_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			  uint32_t index)
{
	const struct rtcp_cm_part *rtcp = key_rtcp(key);

	if (len == SEAL_RTCP_CLEAR)
		return;
	seal_cm_iv(e->iv[0], rtcp->salt, be32_get(pkt + 4), index);
	job_ctr(&e->jobs[0], e->cm_key.round_keys, IMB_KEY_128_BYTES, e->iv[0]);
	e->jobs[0].src = e->jobs[0].dst = pkt + SEAL_RTCP_CLEAR;
	e->jobs[0].msg_len_to_cipher_in_bytes = len - SEAL_RTCP_CLEAR;
	run_ctr(e, 1, IMB_KEY_128_BYTES);
}

// source: RFC 3711 section 3.4
static void cm_rtcp_protect(struct imb_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			    uint32_t index)
{
	cm_rtcp_crypt(e, key, pkt, len, index);
	be32_put(pkt + len, SEAL_E_BIT | index);
	job_mac(e, 0, &e->cm_key, pkt, len + SEAL_INDEX_WORD);
	run_mac(e, 1);
	memcpy(pkt + len + SEAL_INDEX_WORD, e->mac[0], SEAL_CM_TAG);
}

static int cm_rtcp_unprotect(struct imb_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			     uint32_t word)
{
	size_t plain_len = len - SEAL_INDEX_WORD - SEAL_CM_TAG;

	job_mac(e, 0, &e->cm_key, pkt, plain_len + SEAL_INDEX_WORD);
	run_mac(e, 1);
	if (!seal_same(e->mac[0], pkt + len - SEAL_CM_TAG, SEAL_CM_TAG))
		return -EBADMSG;
	if (word & SEAL_E_BIT)
		cm_rtcp_crypt(e, key, pkt, plain_len, word & ~SEAL_E_BIT);
	return 0;
}

static int imb_rtcp_protect(struct seal_engine *base, const struct seal_key *key, uint8_t *pkt, size_t len,
			    uint32_t index)
{
	struct imb_engine *e = imb(base);

	if (seal_is_gcm(key->profile)) {
		gcm_rtcp_expand(e, key);
		gcm_rtcp_protect(e, key, pkt, len, index);
		explicit_bzero(&e->gcm_key, sizeof(e->gcm_key));
	} else {
		const struct rtcp_cm_part *rtcp = key_rtcp(key);
		cm_expand(e, &e->cm_key, rtcp->key, rtcp->auth);
		cm_rtcp_protect(e, key, pkt, len, index);
		explicit_bzero(&e->cm_key, sizeof(e->cm_key));
	}
	return 0;
}

static int imb_rtcp_unprotect(struct seal_engine *base, const struct seal_key *key, uint8_t *pkt, size_t len,
			      uint32_t word)
{
	struct imb_engine *e = imb(base);
	int rc;

	if (seal_is_gcm(key->profile)) {
		gcm_rtcp_expand(e, key);
		rc = gcm_rtcp_unprotect(e, key, pkt, len, word);
		explicit_bzero(&e->gcm_key, sizeof(e->gcm_key));
	} else {
		const struct rtcp_cm_part *rtcp = key_rtcp(key);
		cm_expand(e, &e->cm_key, rtcp->key, rtcp->auth);
		rc = cm_rtcp_unprotect(e, key, pkt, len, word);
		explicit_bzero(&e->cm_key, sizeof(e->cm_key));
	}
	return rc;
}

static void imb_hmac_sha1(struct seal_engine *base, const uint8_t *key, size_t key_len, const uint8_t *msg,
			  size_t len, uint8_t out[20])
{
	struct imb_engine *e = imb(base);

	if (len == 0) { // the library's burst gives a wrong MAC for an empty message
		sha1_hmac(key, key_len, msg, len, out);
		return;
	}
	hmac_states(e, key, key_len, e->cm_key.inner, e->cm_key.outer);
	job_mac(e, 0, &e->cm_key, msg, len);
	run_mac(e, 1);
	memcpy(out, e->mac[0], 20);
	explicit_bzero(&e->cm_key, sizeof(e->cm_key));
}

const struct seal_ops seal_ops_ipsecmb = {
	.name = "ipsec-mb",
	.open = imb_open,
	.close = imb_close,
	.key_expand = imb_key_expand,
	.derive = imb_derive,
	.key_install = imb_key_install,
	.rtp_protect = imb_rtp_protect,
	.rtp_unprotect = imb_rtp_unprotect,
	.rtcp_protect = imb_rtcp_protect,
	.rtcp_unprotect = imb_rtcp_unprotect,
	.hmac_sha1 = imb_hmac_sha1,
};
