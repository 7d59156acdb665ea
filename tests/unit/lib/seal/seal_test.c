// The transforms against published vectors, on every implementation this CPU can run, and the contract of
// seal.h at its edges. Both backends against each other: seal_diff_test.c.
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/seal/seal_impl.h"
#include "tests/unit/check.h"

#include <stdlib.h>

static const char *const engines[] = {
	"ipsec-mb/sse",    "ipsec-mb/avx",         "ipsec-mb/avx2",
	"ipsec-mb/avx512", "ipsec-mb/avx512-vaes", "libsrtp2",
};
static const enum seal_profile profiles[] = {SEAL_AES128_CM_SHA1_80, SEAL_AEAD_AES_128_GCM,
					     SEAL_AEAD_AES_256_GCM};

// Run test on every engine that works here.
static void each_engine(void (*test)(struct seal_engine *))
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
		struct seal_engine *e = seal_engine_new(engines[i]);
		if (!e) {
			CHECK_EQ(errno, ENOTSUP);
			continue;
		}
		test(e);
		seal_engine_free(e);
		n++;
	}
	CHECK(n >= 1);
}

static struct seal_key *key_new(struct seal_engine *e)
{
	return aligned_alloc(64, seal_key_size(e));
}

static struct seal_key *key_ready(struct seal_engine *e, enum seal_profile profile)
{
	static const uint8_t master[32] = "0123456789abcdef0123456789abcde", salt[14] = "a salt of 14 b";
	struct seal_key *key = key_new(e);

	CHECK_EQ(seal_key_init(e, key, profile, master, salt), 0);
	return key;
}

static void key_end(struct seal_key *key)
{
	seal_key_fini(key);
	free(key);
}

// --- vector files ------------------------------------------------------------------------------
struct vector_file {
	char text[4096];
};

static bool vector_open(struct vector_file *v, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "tests/vectors/%s", name);
	FILE *f = fopen(path, "r");
	CHECK(f != NULL);
	if (!f)
		return false;
	v->text[fread(v->text, 1, sizeof(v->text) - 1, f)] = '\0';
	fclose(f);
	return true;
}

// Bytes of the line "name hex"; a name that is absent fails the test.
static size_t vector_get(const struct vector_file *v, const char *name, uint8_t *out, size_t size)
{
	size_t name_len = strlen(name), n = 0;

	for (const char *line = v->text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		if (strncmp(line, name, name_len) != 0 || line[name_len] != ' ')
			continue;
		for (const char *p = line + name_len + 1; n < size && sscanf(p, "%2hhx", &out[n]) == 1;
		     p += 2)
			n++;
		return n;
	}
	check_note(__FILE__, __LINE__, "no line '%s'", name);
	CHECK(false);
	return 0;
}

static void kdf_vector(struct seal_engine *e)
{
	struct vector_file v;
	uint8_t key[16], salt[14], want[20];
	struct seal_session_keys s;

	if (!vector_open(&v, "rfc3711-b3-key-derivation.txt"))
		return;
	vector_get(&v, "master_key", key, sizeof(key));
	vector_get(&v, "master_salt", salt, sizeof(salt));
	e->ops->derive(e, SEAL_AES128_CM_SHA1_80, key, salt, &s);
	CHECK_EQ(vector_get(&v, "rtp_key", want, sizeof(want)), 16);
	CHECK_MEM(s.rtp_key, want, 16);
	CHECK_EQ(vector_get(&v, "rtp_salt", want, sizeof(want)), 14);
	CHECK_MEM(s.rtp_salt, want, 14);
	CHECK_EQ(vector_get(&v, "rtp_auth", want, sizeof(want)), 20);
	CHECK_MEM(s.rtp_auth, want, 20);
}

static void keystream_vector(struct seal_engine *e)
{
	struct vector_file v;
	struct seal_session_keys s = {};
	uint8_t pkt[12 + 48 + SEAL_MAX_TAG] = {0x80}, zeros[48] = {}, want[48];

	if (!e->ops->key_install || !vector_open(&v, "rfc3711-b2-aes-cm-keystream.txt"))
		return;
	vector_get(&v, "key", s.rtp_key, 16);
	vector_get(&v, "salt", s.rtp_salt, 14);
	struct seal_key *key = key_new(e);
	seal_key_raw(e, key, SEAL_AES128_CM_SHA1_80, &s);
	struct seal_rtp p = {key, pkt, zeros, pkt + 12, 12, sizeof(zeros), 0, 0, -1};
	CHECK_EQ(seal_rtp_protect(e, &p, 1), 1);
	CHECK_EQ(vector_get(&v, "keystream", want, sizeof(want)), 48);
	CHECK_MEM(pkt + 12, want, sizeof(want));
	key_end(key);
}

// Session keys of an RFC 7714 vector, for RTP and RTCP alike.
static struct seal_key *vector_key(struct seal_engine *e, const struct vector_file *v)
{
	struct seal_session_keys s = {};
	uint8_t profile[2] = {};
	struct seal_key *key = key_new(e);

	vector_get(v, "profile", profile, 2);
	vector_get(v, "key", s.rtp_key, 32);
	vector_get(v, "salt", s.rtp_salt, 12);
	memcpy(s.rtcp_key, s.rtp_key, sizeof(s.rtcp_key));
	memcpy(s.rtcp_salt, s.rtp_salt, sizeof(s.rtcp_salt));
	seal_key_raw(e, key, be16_get(profile), &s);
	return key;
}

static void srtp_gcm_vectors(struct seal_engine *e)
{
	static const char *const files[] = {"rfc7714-16.1.1-srtp-aes128gcm.txt",
					    "rfc7714-16.2.1-srtp-aes256gcm.txt"};
	struct vector_file v;
	uint8_t plain[128], sealed[128], pkt[128], out[128], index[6];

	for (size_t i = 0; i < ARRAY_LEN(files) && e->ops->key_install && vector_open(&v, files[i]); i++) {
		struct seal_key *key = vector_key(e, &v);
		uint16_t len = (uint16_t)(vector_get(&v, "plain", plain, sizeof(plain)) - 12);
		CHECK_EQ(vector_get(&v, "sealed", sealed, sizeof(sealed)), 12 + len + 16);
		CHECK_EQ(vector_get(&v, "index", index, 6), 6);
		struct seal_rtp p = {key, pkt, plain + 12,          pkt + 12,
				     12,  len, be32_get(plain + 8), be32_get(index + 2),
				     -1};
		memcpy(pkt, plain, 12);
		CHECK_EQ(seal_rtp_protect(e, &p, 1), 1);
		CHECK_MEM(pkt, sealed, 12 + len + 16);
		struct seal_rtp u = {key, pkt, pkt + 12, out, 12, (uint16_t)(len + 16), p.ssrc, p.index, -1};
		CHECK_EQ(seal_rtp_unprotect(e, &u, 1), 1);
		CHECK_MEM(out, plain + 12, len);
		key_end(key);
	}
}

static void srtcp_gcm_vectors(struct seal_engine *e)
{
	static const struct {
		const char *file;
		bool is_sent_by_us; // E = 1
	} rows[] = {{"rfc7714-17.1-srtcp-aes128gcm.txt", true},
		    {"rfc7714-17.2-srtcp-aes256gcm.txt", true},
		    {"rfc7714-17.3-srtcp-aes128gcm.txt", false},
		    {"rfc7714-17.4-srtcp-aes256gcm.txt", false}};
	struct vector_file v;
	uint8_t plain[128], sealed[128], pkt[128], index[6];

	for (size_t i = 0; i < ARRAY_LEN(rows) && e->ops->key_install && vector_open(&v, rows[i].file); i++) {
		struct seal_key *key = vector_key(e, &v);
		uint32_t got = 0;
		size_t len = vector_get(&v, "plain", plain, sizeof(plain));
		CHECK_EQ(vector_get(&v, "sealed", sealed, sizeof(sealed)), len + 20);
		vector_get(&v, "index", index, 6);
		memcpy(pkt, plain, len);
		if (rows[i].is_sent_by_us) {
			CHECK_EQ(seal_rtcp_protect(e, key, pkt, len, sizeof(pkt), be32_get(index + 2)),
				 len + 20);
			CHECK_MEM(pkt, sealed, len + 20);
		}
		memcpy(pkt, sealed, len + 20);
		CHECK_EQ(seal_rtcp_unprotect(e, key, pkt, len + 20, &got), len);
		CHECK_EQ(got, be32_get(index + 2));
		CHECK_MEM(pkt, plain, len);
		key_end(key);
	}
}

static void test_kdf(void)
{
	each_engine(kdf_vector);
}

static void test_keystream(void)
{
	each_engine(keystream_vector);
}

static void test_srtp_gcm(void)
{
	each_engine(srtp_gcm_vectors);
}

static void test_srtcp_gcm(void)
{
	each_engine(srtcp_gcm_vectors);
}

// --- engines and keys --------------------------------------------------------------------------
static void self_test(struct seal_engine *e)
{
	CHECK_EQ(seal_self_test(e), 0);
}

static void test_self_test(void)
{
	each_engine(self_test);
}

// A backend whose cipher is broken in one bit: what the self-test is for.
static void flip_after_protect(struct seal_engine *e, struct seal_rtp *p, unsigned n)
{
	seal_ops_ipsecmb.rtp_protect(e, p, n);
	p[0].dst[p[0].len / 2] ^= 1;
}

static void test_self_test_fails(void)
{
	struct seal_engine *e = seal_engine_new("ipsec-mb");
	struct seal_ops broken = seal_ops_ipsecmb;

	if (!e) {
		check_skip("no AES instructions");
		return;
	}
	broken.rtp_protect = flip_after_protect;
	e->ops = &broken;
	CHECK_EQ(seal_self_test(e), -EBADMSG);
	seal_engine_free(e);
}

static void test_names(void)
{
	struct seal_engine *e;

	CHECK(seal_engine_new("ipsec") == NULL && errno == EINVAL);
	CHECK(seal_engine_new("ipsec-mb/pentium") == NULL && errno == EINVAL);
	CHECK(seal_engine_new("libsrtp2/fast") == NULL && errno == EINVAL);
	CHECK(seal_engine_new("openssl") == NULL && errno == EINVAL);
	e = seal_engine_new(NULL);
	CHECK_OR_RETURN(e != NULL);
	CHECK(strncmp(seal_engine_name(e), "ipsec-mb ", 9) == 0 ||
	      strncmp(seal_engine_name(e), "libsrtp2 ", 9) == 0);
	seal_engine_free(e);
	seal_engine_free(NULL);
}

static void test_profiles(void)
{
	static const struct {
		enum seal_profile profile;
		size_t key, salt, tag, growth;
		const char *name;
	} rows[] = {
		{SEAL_AES128_CM_SHA1_80, 16, 14, 10, 14, "AES128_CM_SHA1_80"},
		{SEAL_AEAD_AES_128_GCM, 16, 12, 16, 20, "AEAD_AES_128_GCM"},
		{SEAL_AEAD_AES_256_GCM, 32, 12, 16, 20, "AEAD_AES_256_GCM"},
		{SEAL_NONE, 0, 0, 0, 0, "none"},
		{(enum seal_profile)2, 0, 0, 0, 0, "none"},
		{(enum seal_profile)0xffff, 0, 0, 0, 0, "none"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK_EQ(seal_key_len(rows[i].profile), rows[i].key);
		CHECK_EQ(seal_salt_len(rows[i].profile), rows[i].salt);
		CHECK_EQ(seal_rtp_tag_len(rows[i].profile), rows[i].tag);
		CHECK_EQ(seal_rtcp_growth(rows[i].profile), rows[i].growth);
		CHECK_STR(seal_profile_name(rows[i].profile), rows[i].name);
	}
}

static void unknown_profile(struct seal_engine *e)
{
	struct seal_key *key = key_new(e);
	uint8_t bytes[32] = {};

	CHECK_EQ(seal_key_init(e, key, (enum seal_profile)5, bytes, bytes), -EINVAL);
	CHECK_EQ(seal_key_init(e, key, SEAL_NONE, bytes, bytes), -EINVAL);
	free(key);
}

static void test_unknown_profile(void)
{
	each_engine(unknown_profile);
}

static void key_is_wiped(struct seal_engine *e)
{
	size_t size = seal_key_size(e);
	uint8_t *zeros = calloc(1, size);

	CHECK_EQ(size % 64, 0);
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		struct seal_key *key = key_ready(e, profiles[i]);
		CHECK_EQ(seal_key_profile(key), profiles[i]);
		seal_key_fini(key);
		CHECK_MEM(key, zeros, size);
		seal_key_fini(key); // a second time, and on a key never made, is nothing
		free(key);
	}
	free(zeros);
}

static void test_wipe(void)
{
	each_engine(key_is_wiped);
}

// The bytes right behind a key stay as they are, whatever is done with it.
static void key_stays_inside(struct seal_engine *e)
{
	size_t size = seal_key_size(e);
	uint8_t *memory = aligned_alloc(64, size + 64), want[64], pkt[256] = {0x80};
	uint32_t index;

	memset(want, 0xa5, sizeof(want));
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		memset(memory, 0xa5, size + 64);
		struct seal_key *key = (void *)memory;
		CHECK_EQ(seal_key_init(e, key, profiles[i], pkt, pkt), 0);
		struct seal_rtp p = {key, pkt, pkt + 12, pkt + 12, 12, 100, 0, 1, -1};
		CHECK_EQ(seal_rtp_protect(e, &p, 1), 1);
		int len = seal_rtcp_protect(e, key, pkt, 100, sizeof(pkt), 7);
		CHECK(len > 100 && seal_rtcp_unprotect(e, key, pkt, (size_t)len, &index) == 100);
		CHECK_MEM(memory + size, want, 64);
		seal_key_fini(key);
		CHECK_MEM(memory + size, want, 64);
	}
	free(memory);
}

static void test_inside(void)
{
	each_engine(key_stays_inside);
}

// --- packets at the edges ----------------------------------------------------------------------
// In every length below, the byte behind the tag is not written.
static void rtp_lengths(struct seal_engine *e)
{
	uint8_t plain[1500], pkt[12 + 1500 + SEAL_MAX_TAG + 1], out[1501];

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		struct seal_key *key = key_ready(e, profiles[i]);
		uint16_t tag_len = (uint16_t)seal_rtp_tag_len(profiles[i]);
		for (uint16_t len = 0; len <= 1400; len += len < 140 ? 1 : 63) {
			memset(pkt, 0x5a, sizeof(pkt));
			memset(out, 0x5a, sizeof(out));
			memset(pkt, 0, 12);
			pkt[0] = 0x80;
			struct seal_rtp p = {key, pkt, plain, pkt + 12, 12, len, 0, 1, -1};
			CHECK_EQ(seal_rtp_protect(e, &p, 1), 1);
			CHECK_EQ(pkt[12 + len + tag_len], 0x5a);
			struct seal_rtp u = {key, pkt, pkt + 12, out, 12, (uint16_t)(len + tag_len),
					     0,   1,   -1};
			CHECK_EQ(seal_rtp_unprotect(e, &u, 1), 1);
			CHECK_MEM(out, plain, len);
			CHECK_EQ(out[len], 0x5a);
		}
		key_end(key);
	}
}

static void test_lengths(void)
{
	each_engine(rtp_lengths);
}

static void rtp_shorter_than_tag(struct seal_engine *e)
{
	uint8_t pkt[64] = {0x80};

	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		struct seal_key *key = key_ready(e, profiles[i]);
		for (uint16_t len = 0; len <= seal_rtp_tag_len(profiles[i]); len++) {
			struct seal_rtp u = {key, pkt, pkt + 12, pkt + 12, 12, len, 0, 1, 0};
			CHECK_EQ(seal_rtp_unprotect(e, &u, 1), 0);
			CHECK_EQ(u.err, -EBADMSG);
		}
		key_end(key);
	}
}

static void test_shorter_than_tag(void)
{
	each_engine(rtp_shorter_than_tag);
}

static void rtcp_edges(struct seal_engine *e)
{
	static uint8_t pkt[70000];
	uint32_t index = 99;

	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		struct seal_key *key = key_ready(e, profiles[i]);
		size_t growth = seal_rtcp_growth(profiles[i]);
		memset(pkt, 0x80, sizeof(pkt));
		CHECK_EQ(seal_rtcp_protect(e, key, pkt, 7, sizeof(pkt), 1), -EINVAL);
		CHECK_EQ(seal_rtcp_protect(e, key, pkt, 100, 100 + growth - 1, 1), -EINVAL);
		CHECK_EQ(seal_rtcp_protect(e, key, pkt, 100, sizeof(pkt), 0x80000000u), -EINVAL);
		CHECK_EQ(seal_rtcp_protect(e, key, pkt, SEAL_MAX_RTCP + 1, sizeof(pkt), 1), -EINVAL);
		for (size_t len = 0; len <= 8 + growth; len++) {
			CHECK_EQ(seal_rtcp_unprotect(e, key, pkt, len, &index), -EBADMSG);
			CHECK_EQ(seal_rtcp_peek_index(profiles[i], pkt, len, &index),
				 len == 8 + growth ? 0 : -EBADMSG);
		}
		CHECK_EQ(seal_rtcp_unprotect(e, key, pkt, 65535, &index), -EBADMSG);
		CHECK_EQ(seal_rtcp_protect(e, key, pkt, 8, 8 + growth, 0x7fffffff), 8 + growth);
		CHECK_EQ(seal_rtcp_peek_index(profiles[i], pkt, 8 + growth, &index), 0);
		CHECK_EQ(index, 0x7fffffff);
		CHECK_EQ(seal_rtcp_unprotect(e, key, pkt, 8 + growth, &index), 8);
		CHECK_EQ(index, 0x7fffffff);
		key_end(key);
	}
	CHECK_EQ(seal_rtcp_peek_index(SEAL_NONE, pkt, 100, &index), -EBADMSG);
}

static void test_rtcp_edges(void)
{
	each_engine(rtcp_edges);
}

// AES-CM, E = 0: authenticated with the CM layout, body in clear. Made from the parts the RFC names.
static void rtcp_cm_clear(struct seal_engine *e)
{
	static const uint8_t master[16] = "0123456789abcdef", salt[14] = "a salt of 14 b";
	uint8_t pkt[64] = {0x80, 200, 0, 6}, plain[28], mac[20];
	struct seal_session_keys s;
	uint32_t index = 0;

	struct seal_key *key = key_new(e);
	CHECK_EQ(seal_key_init(e, key, SEAL_AES128_CM_SHA1_80, master, salt), 0);
	e->ops->derive(e, SEAL_AES128_CM_SHA1_80, master, salt, &s);
	memset(pkt + 4, 0x33, 24);
	memcpy(plain, pkt, sizeof(plain));
	be32_put(pkt + 28, 1234);
	seal_hmac_sha1(e, s.rtcp_auth, 20, pkt, 32, mac);
	memcpy(pkt + 32, mac, 10);
	CHECK_EQ(seal_rtcp_unprotect(e, key, pkt, 42, &index), 28);
	CHECK_EQ(index, 1234);
	CHECK_MEM(pkt, plain, sizeof(plain));
	pkt[28] = 0x80; // the same packet claimed to be encrypted: the E bit is authenticated
	CHECK_EQ(seal_rtcp_unprotect(e, key, pkt, 42, &index), -EBADMSG);
	key_end(key);
}

static void test_rtcp_cm_clear(void)
{
	each_engine(rtcp_cm_clear);
}

// A full burst of all profiles mixed, with one bad packet among them: only that one fails.
static void mixed_burst(struct seal_engine *e)
{
	static uint8_t pkt[SEAL_MAX_BURST][300], plain[SEAL_MAX_BURST][200];
	struct seal_key *keys[3];
	struct seal_rtp p[SEAL_MAX_BURST];

	for (unsigned i = 0; i < 3; i++)
		keys[i] = key_ready(e, profiles[i]);
	for (unsigned i = 0; i < SEAL_MAX_BURST; i++) {
		memset(plain[i], (int)i, sizeof(plain[i]));
		memset(pkt[i], 0, sizeof(pkt[i]));
		pkt[i][0] = 0x80;
		be16_put(pkt[i] + 2, (uint16_t)i);
		p[i] = (struct seal_rtp){keys[i * 7 % 3],   pkt[i], plain[i], pkt[i] + 12, 12,
					 (uint16_t)(3 * i), 0,      i,        -1};
	}
	CHECK_EQ(seal_rtp_protect(e, p, SEAL_MAX_BURST), SEAL_MAX_BURST);
	pkt[40][20] ^= 4;
	for (unsigned i = 0; i < SEAL_MAX_BURST; i++) {
		p[i].src = p[i].dst; // in place
		p[i].len += (uint16_t)seal_rtp_tag_len(seal_key_profile(p[i].key));
	}
	CHECK_EQ(seal_rtp_unprotect(e, p, SEAL_MAX_BURST), SEAL_MAX_BURST - 1);
	for (unsigned i = 0; i < SEAL_MAX_BURST; i++) {
		CHECK_EQ(p[i].err, i == 40 ? -EBADMSG : 0);
		if (i != 40)
			CHECK_MEM(pkt[i] + 12, plain[i], 3 * i);
	}
	CHECK_EQ(seal_rtp_protect(e, p, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		key_end(keys[i]);
}

static void test_mixed_burst(void)
{
	each_engine(mixed_burst);
}

// The input of a failed open can be tried again at another index (a first packet heard after the wrap: ROC 1).
static void second_try(struct seal_engine *e)
{
	uint8_t plain[40] = "what was sent", pkt[80], out[80];

	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		struct seal_key *key = key_ready(e, profiles[i]);
		memset(pkt, 0, sizeof(pkt));
		pkt[0] = 0x80;
		pkt[3] = 5;
		struct seal_rtp p = {key, pkt, plain, pkt + 12, 12, sizeof(plain), 0, 0x10005, -1};
		CHECK_EQ(seal_rtp_protect(e, &p, 1), 1);
		uint16_t len = (uint16_t)(sizeof(plain) + seal_rtp_tag_len(profiles[i]));
		struct seal_rtp u = {key, pkt, pkt + 12, out, 12, len, 0, 5, -1};
		CHECK_EQ(seal_rtp_unprotect(e, &u, 1), 0);
		u.index = 0x10005;
		CHECK_EQ(seal_rtp_unprotect(e, &u, 1), 1);
		CHECK_MEM(out, plain, sizeof(plain));
		key_end(key);
	}
}

static void test_second_try(void)
{
	each_engine(second_try);
}

static void hmac_vectors(struct seal_engine *e)
{
	uint8_t mac[20], key[64], msg[600];
	static const uint8_t case1[20] = {0xb6, 0x17, 0x31, 0x86, 0x55, 0x05, 0x72, 0x64, 0xe2, 0x8b,
					  0xc0, 0xb6, 0xfb, 0x37, 0x8c, 0x8e, 0xf1, 0x46, 0xbe, 0x00};
	static const uint8_t case3[20] = {0x12, 0x5d, 0x73, 0x42, 0xb9, 0xac, 0x11, 0xcd, 0x91, 0xa3,
					  0x9a, 0xf4, 0x8a, 0xa1, 0x7b, 0x4f, 0x63, 0xf1, 0x75, 0xd3};
	static const uint8_t empty[20] = {0xfb, 0xdb, 0x1d, 0x1b, 0x18, 0xaa, 0x6c, 0x08, 0x32, 0x4b,
					  0x7d, 0x64, 0xb7, 0x1f, 0xb7, 0x63, 0x70, 0x69, 0x0e, 0x1d};
	struct seal_engine *other = seal_engine_new("libsrtp2");

	memset(key, 0x0b, 20);
	seal_hmac_sha1(e, key, 20, (const uint8_t *)"Hi There", 8, mac);
	CHECK_MEM(mac, case1, 20);
	memset(key, 0xaa, 20);
	memset(msg, 0xdd, 50);
	seal_hmac_sha1(e, key, 20, msg, 50, mac);
	CHECK_MEM(mac, case3, 20);
	seal_hmac_sha1(e, key, 0, msg, 0, mac);
	CHECK_MEM(mac, empty, 20);
	for (size_t len = 1; len <= sizeof(msg); len++) {
		uint8_t want[20];
		memset(msg, (int)len, len);
		seal_hmac_sha1(e, key, len % 65, msg, len, mac);
		seal_hmac_sha1(other, key, len % 65, msg, len, want);
		CHECK_MEM(mac, want, 20);
	}
	seal_engine_free(other);
}

static void test_hmac(void)
{
	each_engine(hmac_vectors);
}

CU_TestInfo seal_tests[] = {
	{"RFC 3711 B.3: session keys derive from the master key", test_kdf},
	{"RFC 3711 B.2: AES-CM makes the published keystream", test_keystream},
	{"RFC 7714 16: SRTP under AES-GCM is the published packet", test_srtp_gcm},
	{"RFC 7714 17: SRTCP under AES-GCM, encrypted and only authenticated", test_srtcp_gcm},
	{"RFC 2202: HMAC-SHA1, also empty, long and of every length", test_hmac},
	{"every engine of this CPU passes the self-test", test_self_test},
	{"the self-test notices one wrong bit", test_self_test_fails},
	{"unknown backends are refused by name, the default is found", test_names},
	{"profiles have the lengths of their RFC", test_profiles},
	{"an unknown profile makes no key", test_unknown_profile},
	{"a finished key is all zero", test_wipe},
	{"a key stays inside its size", test_inside},
	{"payloads of 0 to 1400 bytes go through, nothing behind the tag is written", test_lengths},
	{"packets shorter than a tag, or only a wrong tag, are refused", test_shorter_than_tag},
	{"SRTCP at its shortest, longest and last index", test_rtcp_edges},
	{"SRTCP under AES-CM with E = 0 is accepted, and E is authenticated", test_rtcp_cm_clear},
	{"a bad packet in a burst of mixed profiles fails alone", test_mixed_burst},
	{"a packet that failed at one index can be opened at another", test_second_try},
	CU_TEST_INFO_NULL,
};
