// Known answers for seal_self_test: the published vectors, and packets under a derived key for both
// backends (libsrtp2 takes master keys only). The derived ones were made with ipsec-mb, which the published
// vectors vouch for, and libsrtp2 agrees.
#include "lib/seal/seal.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/seal/seal_impl.h"

#include <stdlib.h>
#include <string.h>

// RFC 3711 appendix B.3: master key and salt, and three of the session keys.
#define MASTER_KEY "e1f97a0d3e018be0d64fa32c06de4139"
#define MASTER_SALT "0ec675ad498afeebb6960b3aabe6"
#define B3_KEY "c61e7a93744f39ee10734afe3ff7a087"
#define B3_SALT "30cbbc08863d8c85d49db34a9ae1"
#define B3_AUTH "cebe321f6ff7716b6fd4ab49af256a156d38baa4"

// RFC 7714 sections 16 and 17: all examples share these.
#define GCM_KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define GCM_SALT "517569642070726f2071756f"
#define RTP_HDR "8040f17b8041f8d35501a0b2"
#define RTP_PLAIN RTP_HDR "47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573"
#define RTCP_PLAIN                                                         \
	"81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61" \
	"deadbeefdeadbeefdeadbeefdeadbeefdeadbeef"
#define RTCP_INDEX 0x5d4

#define MAX_VECTOR 128 // bytes

static const struct vector {
	const char *source;
	enum seal_profile profile;
	bool is_raw;  // GCM_KEY and GCM_SALT are session keys; else MASTER_KEY and MASTER_SALT are derived
		      // from
	bool is_rtcp; // index RTCP_INDEX
	bool is_open_only; // E = 0, which we accept and never send
	uint64_t index;
	const char *plain, *sealed;
} vectors[] = {
	{"RFC 7714 16.1.1", SEAL_AEAD_AES_128_GCM, true, false, false, 0xf17b, RTP_PLAIN,
	 "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f"
	 "42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"},
	{"RFC 7714 16.2.1", SEAL_AEAD_AES_256_GCM, true, false, false, 0xf17b, RTP_PLAIN,
	 "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3"
	 "b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13"},
	{"RFC 7714 17.1", SEAL_AEAD_AES_128_GCM, true, true, false, RTCP_INDEX, RTCP_PLAIN,
	 "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1"
	 "730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4"},
	{"RFC 7714 17.2", SEAL_AEAD_AES_256_GCM, true, true, false, RTCP_INDEX, RTCP_PLAIN,
	 "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1"
	 "110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4"},
	{"RFC 7714 17.3", SEAL_AEAD_AES_128_GCM, true, true, true, RTCP_INDEX, RTCP_PLAIN,
	 "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeef"
	 "deadbeefdeadbeefdeadbeefdeadbeef841dd9683dd78ec92ae58790125f62b3000005d4"},
	{"RFC 7714 17.4", SEAL_AEAD_AES_256_GCM, true, true, true, RTCP_INDEX, RTCP_PLAIN,
	 "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeef"
	 "deadbeefdeadbeefdeadbeefdeadbeef91db4afbfeee5a978fab4393ed2615fe000005d4"},
	{"derived, ROC 0x12345", SEAL_AES128_CM_SHA1_80, false, false, false, 0x12345f17b, RTP_PLAIN,
	 "8040f17b8041f8d35501a0b2d8b157960e64c0305154ffe3c58c1c76dac2ff1fedc6a696"
	 "65000b9eccfcfb07c4b0067d21e6c70274ef0afa2fc009fa"},
	{"derived, RTCP", SEAL_AES128_CM_SHA1_80, false, true, false, RTCP_INDEX, RTCP_PLAIN,
	 "81c8000d4d617273fdb8da32345ac6ae7541d2eb3a86d0b67e0c53697a55613d6f435415"
	 "46f3f279209ef4ff48e6541a2a6fed16800005d49ebe21f0a083308385df"},
	{"derived, ROC 0x12345", SEAL_AEAD_AES_128_GCM, false, false, false, 0x12345f17b, RTP_PLAIN,
	 "8040f17b8041f8d35501a0b281d6951ecd979f6974f239531d7ae3c91f4a819e714910ec"
	 "631ea44e4e46371c9da60d9bf52902a26154b0765b77317e4985722f611f"},
	{"derived, RTCP", SEAL_AEAD_AES_128_GCM, false, true, false, RTCP_INDEX, RTCP_PLAIN,
	 "81c8000d4d617273e145405a90f3cdc68f3137e7ce3465ab3aa7d8c497a4913be40f62bb"
	 "f6c5304111ff3e06ce3b2fc5ed3bd93666a67a6b1fc24b128f08d9e88799cdec800005d4"},
	{"derived, ROC 0x12345", SEAL_AEAD_AES_256_GCM, false, false, false, 0x12345f17b, RTP_PLAIN,
	 "8040f17b8041f8d35501a0b283addccdda31d82a01a7a47317288bd3148f93e184fa8b78"
	 "749f642d6a0afee01fdd3dcd22f6bab823455806b4dc43236b645553f250"},
	{"derived, RTCP", SEAL_AEAD_AES_256_GCM, false, true, false, RTCP_INDEX, RTCP_PLAIN,
	 "81c8000d4d6172736ab235ab9470856593b30090415645787db6c569bfe5439f6db47275"
	 "848183017b6cec0346d646580bed6691d2fea594f7bdbf79d1a585e539377e9b800005d4"},
};

static size_t unhex(const char *text, uint8_t *out)
{
	size_t n = strlen(text) / 2;

	for (size_t i = 0; i < n; i++) {
		char digits[3] = {text[2 * i], text[2 * i + 1]};
		out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return n;
}

static bool same_hex(const uint8_t *got, const char *want)
{
	uint8_t bytes[MAX_VECTOR];

	return memcmp(got, bytes, unhex(want, bytes)) == 0;
}

static bool check_derivation(struct seal_engine *e)
{
	uint8_t key[16], salt[14];
	struct seal_session_keys s;

	unhex(MASTER_KEY, key);
	unhex(MASTER_SALT, salt);
	e->ops->derive(e, SEAL_AES128_CM_SHA1_80, key, salt, &s);
	return same_hex(s.rtp_key, B3_KEY) && same_hex(s.rtp_salt, B3_SALT) && same_hex(s.rtp_auth, B3_AUTH);
}

// RFC 2202 case 2.
static bool check_hmac(struct seal_engine *e)
{
	uint8_t mac[20];

	seal_hmac_sha1(e, (const uint8_t *)"Jefe", 4, (const uint8_t *)"what do ya want for nothing?", 28,
		       mac);
	return same_hex(mac, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}

static int vector_key(struct seal_engine *e, struct seal_key *key, const struct vector *v)
{
	uint8_t master[32], salt[14] = {};
	struct seal_session_keys s = {};

	if (!v->is_raw) {
		unhex(MASTER_KEY MASTER_KEY, master);
		unhex(MASTER_SALT, salt);
		return seal_key_init(e, key, v->profile, master, salt);
	}
	unhex(GCM_KEY, s.rtp_key);
	unhex(GCM_SALT, s.rtp_salt);
	memcpy(s.rtcp_key, s.rtp_key, sizeof(s.rtcp_key));
	memcpy(s.rtcp_salt, s.rtp_salt, sizeof(s.rtcp_salt));
	seal_key_raw(e, key, v->profile, &s);
	return 0;
}

static bool check_rtp(struct seal_engine *e, const struct seal_key *key, const struct vector *v)
{
	uint8_t pkt[MAX_VECTOR], plain[MAX_VECTOR];
	size_t hdr_len = strlen(RTP_HDR) / 2, len = unhex(v->plain, plain) - hdr_len;
	struct seal_rtp seal = {key,
				pkt,
				plain + hdr_len,
				pkt + hdr_len,
				(uint16_t)hdr_len,
				(uint16_t)len,
				be32_get(plain + 8),
				v->index,
				0};
	struct seal_rtp open = {key,
				pkt,
				pkt + hdr_len,
				plain + hdr_len,
				(uint16_t)hdr_len,
				(uint16_t)(len + seal_rtp_tag_len(v->profile)),
				be32_get(plain + 8),
				v->index,
				0};

	memcpy(pkt, plain, hdr_len);
	if (seal_rtp_protect(e, &seal, 1) != 1 || !same_hex(pkt, v->sealed))
		return false;
	memset(plain, 0, sizeof(plain));
	if (seal_rtp_unprotect(e, &open, 1) != 1 || !same_hex(plain + hdr_len, v->plain + 2 * hdr_len))
		return false;
	pkt[hdr_len] ^= 1;
	return seal_rtp_unprotect(e, &open, 1) == 0;
}

static bool check_rtcp(struct seal_engine *e, const struct seal_key *key, const struct vector *v)
{
	uint8_t pkt[MAX_VECTOR];
	uint32_t index = 0;
	int len = (int)unhex(v->plain, pkt);
	int sealed_len = len + (int)seal_rtcp_growth(v->profile);

	if (!v->is_open_only &&
	    (seal_rtcp_protect(e, key, pkt, (size_t)len, sizeof(pkt), (uint32_t)v->index) != sealed_len ||
	     !same_hex(pkt, v->sealed)))
		return false;
	unhex(v->sealed, pkt);
	if (seal_rtcp_unprotect(e, key, pkt, (size_t)sealed_len, &index) != len || index != v->index ||
	    !same_hex(pkt, v->plain))
		return false;
	unhex(v->sealed, pkt);
	pkt[9] ^= 0x80;
	return seal_rtcp_unprotect(e, key, pkt, (size_t)sealed_len, &index) == -EBADMSG;
}

static bool check_vector(struct seal_engine *e, struct seal_key *key, const struct vector *v)
{
	if (v->is_raw && !e->ops->key_install)
		return true;
	if (vector_key(e, key, v) < 0)
		return false;
	bool ok = v->is_rtcp ? check_rtcp(e, key, v) : check_rtp(e, key, v);
	seal_key_fini(key);
	return ok;
}

int seal_self_test(struct seal_engine *e)
{
	struct seal_key *key = aligned_alloc(SEAL_LINE, seal_key_size(e));
	bool ok = key && check_derivation(e) && check_hmac(e);

	for (size_t i = 0; ok && i < ARRAY_LEN(vectors); i++)
		ok = check_vector(e, key, &vectors[i]);
	free(key);
	return ok ? 0 : -EBADMSG;
}
