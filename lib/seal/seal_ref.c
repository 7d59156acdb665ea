// The libsrtp2 backend: reference and oracle of the tests, and what serves where the CPU has no AES
// instructions. It allocates per packet inside the library and is 5 to 80 times slower than ipsec-mb.
//
// libsrtp2 wants to keep indices and replay windows itself; we say the index of every packet. One srtp_t
// per key holds a stream per SSRC, and this file remembers the highest index each stream has seen. A packet
// a little ahead of that goes straight through, because then the library's own estimate is the index we
// want. For any other index (older, repeated, a jump) the stream is made anew and its roll-over counter
// set. SRTCP is opened by the library in the same manner; SRTCP is sealed by its ciphers with our framing,
// because the library offers no way to set the index it sends.
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/seal/seal_impl.h"
#include "lib/seal/sha1.h"

#include <srtp2/auth.h>
#include <srtp2/cipher.h>
#include <srtp2/srtp.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Exported by the library, declared only in headers it does not install.
extern const srtp_cipher_type_t srtp_aes_icm_128, srtp_aes_icm_256, srtp_aes_gcm_128, srtp_aes_gcm_256;
extern const srtp_auth_type_t srtp_hmac;

#define REF_STREAMS 64    // SSRCs remembered per key; the one used longest ago makes room
#define REF_AHEAD 0x7fff  // an index at most this far ahead is what the library would estimate
#define REF_MAX_PKT 65536 // hdr_len and len are 16-bit, and the library wants room for its trailer
#define REF_WINDOW 128    // packets; the smallest the library is at ease with, we never rely on it

struct ref_stream {
	uint32_t ssrc;
	uint32_t used_at; // tick of last use
	uint64_t top;     // highest index processed
};

struct ref_ctx {
	srtp_t srtp;           // owned
	srtp_cipher_t *cipher; // owned: SRTCP sealing
	srtp_auth_t *auth;     // owned: SRTCP sealing, CM only
	uint8_t rtcp_salt[16]; // GCM only, 12 count; the CM cipher has it inside
	unsigned n_streams;
	uint32_t tick;
	struct ref_stream streams[REF_STREAMS];
};

struct ref_key {
	struct seal_key head; // salt is unused
	struct ref_ctx *ctx;  // owned
};

struct ref_engine {
	struct seal_engine base;
	alignas(16) uint8_t pkt[REF_MAX_PKT + 2 * SRTP_MAX_TRAILER_LEN];
};

static struct ref_engine *ref(struct seal_engine *e)
{
	return container_of(e, struct ref_engine, base);
}

static struct ref_ctx *key_ctx(const struct seal_key *key)
{
	return container_of(key, const struct ref_key, head)->ctx;
}

// --- engine ------------------------------------------------------------------------------------
static srtp_err_status_t init_status;

static void quiet(srtp_event_data_t *event)
{
}

static void library_init(void)
{
	init_status = srtp_init();
	if (init_status == srtp_err_status_ok)
		srtp_install_event_handler(quiet);
}

static void ref_close(struct seal_engine *base)
{
	struct ref_engine *e = ref(base);

	explicit_bzero(e, sizeof(*e));
	free(e);
}

static struct seal_engine *ref_open(const char *variant)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (variant)
		return err_null(EINVAL);
	pthread_once(&once, library_init);
	if (init_status != srtp_err_status_ok)
		return err_null(ENOTSUP);
	struct ref_engine *e = aligned_alloc(64, (sizeof(*e) + 63) / 64 * 64);
	if (!e)
		return err_null(ENOMEM);
	memset(e, 0, sizeof(*e));
	e->base.ops = &seal_ops_libsrtp2;
	e->base.backend = SEAL_BY_LIBSRTP2;
	e->base.key_lines = (sizeof(struct ref_key) + SEAL_LINE - 1) / SEAL_LINE;
	snprintf(e->base.name, sizeof(e->base.name), "%s", srtp_get_version_string());
	return &e->base;
}

// --- keys --------------------------------------------------------------------------------------
// Keystream of AES-CM under key and salt at label, as many bytes as asked.
static srtp_err_status_t derive_one(srtp_cipher_t *cm, enum seal_label label, uint8_t *out, uint32_t len)
{
	uint8_t nonce[16] = {[7] = (uint8_t)label};
	srtp_err_status_t status = srtp_cipher_set_iv(cm, nonce, srtp_direction_encrypt);

	return status ? status : srtp_cipher_output(cm, out, &len);
}

static srtp_err_status_t derive_all(srtp_cipher_t *cm, enum seal_profile profile, struct seal_session_keys *s)
{
	const struct {
		enum seal_label label;
		uint8_t *out;
		size_t len;
	} want[] = {
		{LABEL_RTP_KEY, s->rtp_key, seal_key_len(profile)},
		{LABEL_RTP_AUTH, s->rtp_auth, seal_is_gcm(profile) ? 0 : 20},
		{LABEL_RTP_SALT, s->rtp_salt, seal_salt_len(profile)},
		{LABEL_RTCP_KEY, s->rtcp_key, seal_key_len(profile)},
		{LABEL_RTCP_AUTH, s->rtcp_auth, seal_is_gcm(profile) ? 0 : 20},
		{LABEL_RTCP_SALT, s->rtcp_salt, seal_salt_len(profile)},
	};

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		srtp_err_status_t status =
			want[i].len ? derive_one(cm, want[i].label, want[i].out, (uint32_t)want[i].len) : 0;
		if (status)
			return status;
	}
	return srtp_err_status_ok;
}

static srtp_err_status_t ref_derive_status(enum seal_profile profile, const uint8_t *master_key,
					   const uint8_t salt[14], struct seal_session_keys *s)
{
	size_t key_len = seal_key_len(profile);
	uint8_t key[32 + 14];
	srtp_cipher_t *cm;

	memset(s, 0, sizeof(*s));
	memcpy(key, master_key, key_len);
	memcpy(key + key_len, salt, 14);
	srtp_err_status_t status = srtp_cipher_type_alloc(
		key_len == 32 ? &srtp_aes_icm_256 : &srtp_aes_icm_128, &cm, (int)key_len + 14, 0);
	if (status == srtp_err_status_ok) {
		status = srtp_cipher_init(cm, key);
		if (status == srtp_err_status_ok)
			status = derive_all(cm, profile, s);
		srtp_cipher_dealloc(cm);
	}
	explicit_bzero(key, sizeof(key));
	return status;
}

static void ref_derive(struct seal_engine *e, enum seal_profile profile, const uint8_t *master_key,
		       const uint8_t salt[14], struct seal_session_keys *s)
{
	// cannot: the profile is one of three and keys have its lengths
	MUST(ref_derive_status(profile, master_key, salt, s) == srtp_err_status_ok);
}

// Ciphers for sealing SRTCP.
static srtp_err_status_t rtcp_setup(struct ref_ctx *ctx, enum seal_profile profile,
				    const struct seal_session_keys *s)
{
	size_t key_len = seal_key_len(profile), salt_len = seal_salt_len(profile);
	const srtp_cipher_type_t *type = profile == SEAL_AEAD_AES_256_GCM   ? &srtp_aes_gcm_256
					 : profile == SEAL_AEAD_AES_128_GCM ? &srtp_aes_gcm_128
									    : &srtp_aes_icm_128;
	uint8_t key[32 + 14];

	memcpy(key, s->rtcp_key, key_len);
	memcpy(key + key_len, s->rtcp_salt, salt_len);
	memcpy(ctx->rtcp_salt, s->rtcp_salt, sizeof(s->rtcp_salt));
	srtp_err_status_t status = srtp_cipher_type_alloc(type, &ctx->cipher, (int)(key_len + salt_len),
							  seal_is_gcm(profile) ? SEAL_GCM_TAG : 0);
	if (status == srtp_err_status_ok)
		status = srtp_cipher_init(ctx->cipher, key);
	explicit_bzero(key, sizeof(key));
	if (status || seal_is_gcm(profile))
		return status;
	status = srtp_auth_type_alloc(&srtp_hmac, &ctx->auth, 20, SEAL_CM_TAG);
	return status ? status : srtp_auth_init(ctx->auth, s->rtcp_auth);
}

static srtp_err_status_t rtp_setup(struct ref_ctx *ctx, enum seal_profile profile, const uint8_t *master_key,
				   const uint8_t salt[14])
{
	uint8_t master[32 + 14];
	srtp_policy_t policy = {
		.ssrc.type = ssrc_any_inbound, // both directions work on it, see stream_at
		.key = master,
		.window_size = REF_WINDOW,
		.allow_repeat_tx = 1,
	};

	memcpy(master, master_key, seal_key_len(profile));
	memcpy(master + seal_key_len(profile), salt, 14);
	srtp_err_status_t status =
		srtp_crypto_policy_set_from_profile_for_rtp(&policy.rtp, (srtp_profile_t)profile);
	if (status == srtp_err_status_ok)
		status = srtp_crypto_policy_set_from_profile_for_rtcp(&policy.rtcp, (srtp_profile_t)profile);
	if (status == srtp_err_status_ok)
		status = srtp_create(&ctx->srtp, &policy);
	explicit_bzero(master, sizeof(master));
	return status;
}

static void ref_key_release(struct seal_key *key)
{
	struct ref_ctx *ctx = key_ctx(key);

	if (!ctx)
		return;
	if (ctx->srtp)
		srtp_dealloc(ctx->srtp);
	if (ctx->cipher)
		srtp_cipher_dealloc(ctx->cipher);
	if (ctx->auth)
		srtp_auth_dealloc(ctx->auth);
	explicit_bzero(ctx, sizeof(*ctx));
	free(ctx);
}

static int ref_key_expand(struct seal_engine *e, struct seal_key *key, const uint8_t *master_key,
			  const uint8_t salt[14])
{
	struct ref_ctx *ctx = calloc(1, sizeof(*ctx));
	struct seal_session_keys s;

	if (!ctx)
		return -ENOMEM;
	container_of(key, struct ref_key, head)->ctx = ctx;
	srtp_err_status_t status = ref_derive_status(key->profile, master_key, salt, &s);
	if (status == srtp_err_status_ok)
		status = rtcp_setup(ctx, key->profile, &s);
	if (status == srtp_err_status_ok)
		status = rtp_setup(ctx, key->profile, master_key, salt);
	explicit_bzero(&s, sizeof(s));
	if (status == srtp_err_status_ok)
		return 0;
	ref_key_release(key);
	return status == srtp_err_status_alloc_fail ? -ENOMEM : -EINVAL;
}

// --- RTP ---------------------------------------------------------------------------------------
static struct ref_stream *stream_find(struct ref_ctx *ctx, uint32_t ssrc)
{
	for (unsigned i = 0; i < ctx->n_streams; i++)
		if (ctx->streams[i].ssrc == ssrc)
			return &ctx->streams[i];
	return NULL;
}

static void stream_forget(struct ref_ctx *ctx, struct ref_stream *s)
{
	srtp_remove_stream(ctx->srtp, __builtin_bswap32(s->ssrc));
	*s = ctx->streams[--ctx->n_streams];
}

static struct ref_stream *stream_add(struct ref_ctx *ctx, uint32_t ssrc)
{
	if (ctx->n_streams == REF_STREAMS) {
		struct ref_stream *oldest = &ctx->streams[0];
		for (unsigned i = 1; i < REF_STREAMS; i++)
			if ((int32_t)(ctx->streams[i].used_at - oldest->used_at) < 0)
				oldest = &ctx->streams[i];
		stream_forget(ctx, oldest);
	}
	struct ref_stream *s = &ctx->streams[ctx->n_streams++];
	*s = (struct ref_stream){.ssrc = ssrc};
	return s;
}

// Seal a packet that goes nowhere, so that the library copies its template to a stream for ssrc.
static bool stream_touch(struct ref_ctx *ctx, uint32_t ssrc, uint16_t seq)
{
	alignas(16) uint8_t pkt[12 + 2 * SRTP_MAX_TRAILER_LEN] = {0x80};
	int len = 12;

	be16_put(pkt + 2, seq);
	be32_put(pkt + 8, ssrc);
	return srtp_protect(ctx->srtp, pkt, &len) == srtp_err_status_ok;
}

// Bring the stream of ssrc to where the library will take the packet's sequence number for index.
static bool stream_at(struct ref_ctx *ctx, uint32_t ssrc, uint64_t index)
{
	struct ref_stream *s = stream_find(ctx, ssrc);

	if (s && index > s->top && index - s->top <= REF_AHEAD)
		return true;
	if (s)
		stream_forget(ctx, s);
	if (index >> 16 == 0)
		return true; // the template starts at index 0
	if (!stream_touch(ctx, ssrc, 0))
		return false;
	stream_add(ctx, ssrc);
	return srtp_set_stream_roc(ctx->srtp, ssrc, (uint32_t)(index >> 16)) == srtp_err_status_ok;
}

// The library took index: remember.
static void stream_done(struct ref_ctx *ctx, uint32_t ssrc, uint64_t index)
{
	struct ref_stream *s = stream_find(ctx, ssrc);

	if (!s)
		s = stream_add(ctx, ssrc);
	s->top = index;
	s->used_at = ctx->tick++;
}

static void ref_one(struct ref_engine *e, struct seal_rtp *p, bool is_protect)
{
	struct ref_ctx *ctx = key_ctx(p->key);
	size_t tag_len = seal_rtp_tag_len(p->key->profile);
	size_t total = (size_t)p->hdr_len + p->len;
	int len = (int)total;

	p->err = -EBADMSG;
	if (total > REF_MAX_PKT || (!is_protect && p->len < tag_len) || !stream_at(ctx, p->ssrc, p->index))
		return;
	memcpy(e->pkt, p->hdr, p->hdr_len);
	memcpy(e->pkt + p->hdr_len, p->src, p->len);
	srtp_err_status_t status =
		is_protect ? srtp_protect(ctx->srtp, e->pkt, &len) : srtp_unprotect(ctx->srtp, e->pkt, &len);
	if (status != srtp_err_status_ok || (size_t)len != (is_protect ? total + tag_len : total - tag_len))
		return;
	stream_done(ctx, p->ssrc, p->index);
	memcpy(p->dst, e->pkt + p->hdr_len, (size_t)len - p->hdr_len);
	p->err = 0;
}

static void ref_rtp_protect(struct seal_engine *e, struct seal_rtp *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ref_one(ref(e), &p[i], true);
}

static void ref_rtp_unprotect(struct seal_engine *e, struct seal_rtp *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ref_one(ref(e), &p[i], false);
}

// --- RTCP --------------------------------------------------------------------------------------
static srtp_err_status_t gcm_rtcp_seal(struct ref_ctx *ctx, uint8_t *pkt, size_t len, uint32_t index)
{
	uint8_t nonce[16], aad[SEAL_RTCP_CLEAR + SEAL_INDEX_WORD];
	uint32_t body_len = (uint32_t)len - SEAL_RTCP_CLEAR, tag_len = SEAL_GCM_TAG;

	memcpy(aad, pkt, SEAL_RTCP_CLEAR);
	be32_put(aad + SEAL_RTCP_CLEAR, SEAL_E_BIT | index);
	seal_gcm_nonce(nonce, ctx->rtcp_salt, be32_get(pkt + 4), index);
	srtp_err_status_t status = srtp_cipher_set_iv(ctx->cipher, nonce, srtp_direction_encrypt);
	if (status == srtp_err_status_ok)
		status = srtp_cipher_set_aad(ctx->cipher, aad, sizeof(aad));
	if (status == srtp_err_status_ok)
		status = srtp_cipher_encrypt(ctx->cipher, pkt + SEAL_RTCP_CLEAR, &body_len);
	if (status == srtp_err_status_ok)
		status = srtp_cipher_get_tag(ctx->cipher, pkt + len, &tag_len);
	be32_put(pkt + len + SEAL_GCM_TAG, SEAL_E_BIT | index);
	return status;
}

static srtp_err_status_t cm_rtcp_seal(struct ref_ctx *ctx, uint8_t *pkt, size_t len, uint32_t index)
{
	static const uint8_t no_salt[14]; // the library's cipher adds its own
	uint8_t iv[16];
	uint32_t body_len = (uint32_t)len - SEAL_RTCP_CLEAR;

	seal_cm_iv(iv, no_salt, be32_get(pkt + 4), index);
	srtp_err_status_t status = srtp_cipher_set_iv(ctx->cipher, iv, srtp_direction_encrypt);
	if (status == srtp_err_status_ok && body_len > 0)
		status = srtp_cipher_encrypt(ctx->cipher, pkt + SEAL_RTCP_CLEAR, &body_len);
	be32_put(pkt + len, SEAL_E_BIT | index);
	if (status == srtp_err_status_ok)
		status = srtp_auth_start(ctx->auth);
	if (status == srtp_err_status_ok)
		status = srtp_auth_compute(ctx->auth, pkt, (int)len + SEAL_INDEX_WORD,
					   pkt + len + SEAL_INDEX_WORD);
	return status;
}

static int ref_rtcp_protect(struct seal_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			    uint32_t index)
{
	struct ref_ctx *ctx = key_ctx(key);
	srtp_err_status_t status = seal_is_gcm(key->profile) ? gcm_rtcp_seal(ctx, pkt, len, index)
							     : cm_rtcp_seal(ctx, pkt, len, index);

	return status == srtp_err_status_ok ? 0 : -EINVAL;
}

// E = 0 under AES-CM: the library refuses what RFC 3711 section 3.4 lets a sender choose.
static int cm_rtcp_open_clear(struct ref_ctx *ctx, const uint8_t *pkt, size_t len)
{
	uint8_t mac[SEAL_CM_TAG];
	size_t msg_len = len - SEAL_CM_TAG;

	if (srtp_auth_start(ctx->auth) != srtp_err_status_ok ||
	    srtp_auth_compute(ctx->auth, pkt, (int)msg_len, mac) != srtp_err_status_ok)
		return -EBADMSG;
	return seal_same(mac, pkt + msg_len, sizeof(mac)) ? 0 : -EBADMSG;
}

static int ref_rtcp_unprotect(struct seal_engine *base, const struct seal_key *key, uint8_t *pkt, size_t len,
			      uint32_t word)
{
	struct ref_engine *e = ref(base);
	struct ref_ctx *ctx = key_ctx(key);
	int out_len = (int)len;
	struct ref_stream *s = stream_find(ctx, be32_get(pkt + 4));

	if (!seal_is_gcm(key->profile) && !(word & SEAL_E_BIT))
		return cm_rtcp_open_clear(ctx, pkt, len);
	if (s) // its window may have the index already
		stream_forget(ctx, s);
	memcpy(e->pkt, pkt, len);
	srtp_err_status_t status = srtp_unprotect_rtcp(ctx->srtp, e->pkt, &out_len);
	srtp_remove_stream(ctx->srtp, __builtin_bswap32(be32_get(pkt + 4)));
	if (status != srtp_err_status_ok || (size_t)out_len != len - seal_rtcp_growth(key->profile))
		return -EBADMSG;
	memcpy(pkt, e->pkt, (size_t)out_len);
	return 0;
}

static void ref_hmac_sha1(struct seal_engine *e, const uint8_t *key, size_t key_len, const uint8_t *msg,
			  size_t len, uint8_t out[20])
{
	sha1_hmac(key, key_len, msg, len, out);
}

const struct seal_ops seal_ops_libsrtp2 = {
	.name = "libsrtp2",
	.open = ref_open,
	.close = ref_close,
	.key_expand = ref_key_expand,
	.key_release = ref_key_release,
	.derive = ref_derive,
	.rtp_protect = ref_rtp_protect,
	.rtp_unprotect = ref_rtp_unprotect,
	.rtcp_protect = ref_rtcp_protect,
	.rtcp_unprotect = ref_rtcp_unprotect,
	.hmac_sha1 = ref_hmac_sha1,
};
