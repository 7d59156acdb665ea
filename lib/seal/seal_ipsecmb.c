// The ipsec-mb backend: its engine, and RTP. Keys are in seal_ipsecmb_key.c, SRTCP in seal_ipsecmb_rtcp.c.
//
// GCM packets go one by one through the direct call: one packet has enough blocks to fill the AES units.
// AES-CM + HMAC-SHA1 packets are gathered over the burst, because SHA-1 is serial and only runs fast over
// many packets side by side: all CTR first and then all HMAC when protecting, all HMAC and then only the
// good ones' CTR when opening. Both use the library's synchronous bursts on a job array of our own.
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/seal/seal_ipsecmb.h"

#include <stdlib.h>
#include <string.h>

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

// --- RTP, GCM ----------------------------------------------------------------------------------
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
