// The contract of seal.h at its edges. Published vectors: seal_vectors_test.c; both backends against each other:
// seal_diff_test.c.
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/seal/seal_impl.h"
#include "tests/support/lib/seal_keys.h"
#include "tests/unit/check.h"

#include <stdlib.h>

static const enum seal_profile profiles[] = {SEAL_AES128_CM_SHA1_80, SEAL_AEAD_AES_128_GCM,
					     SEAL_AEAD_AES_256_GCM};

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

CU_TestInfo seal_tests[] = {
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
