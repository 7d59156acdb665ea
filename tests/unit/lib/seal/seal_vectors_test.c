// The transforms against published vectors, on every implementation this CPU can run.
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/seal/seal_impl.h"
#include "tests/support/lib/seal_keys.h"
#include "tests/unit/check.h"

#include <stdlib.h>

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

CU_TestInfo seal_vectors_tests[] = {
	{"RFC 3711 B.3: session keys derive from the master key", test_kdf},
	{"RFC 3711 B.2: AES-CM makes the published keystream", test_keystream},
	{"RFC 7714 16: SRTP under AES-GCM is the published packet", test_srtp_gcm},
	{"RFC 7714 17: SRTCP under AES-GCM, encrypted and only authenticated", test_srtcp_gcm},
	{"RFC 2202: HMAC-SHA1, also empty, long and of every length", test_hmac},
	CU_TEST_INFO_NULL,
};
