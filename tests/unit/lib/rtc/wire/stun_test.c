#include "lib/rtc/wire/stun.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "lib/base/rand.h"

static void openssl_hmac(void *arg, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
			 uint8_t out[STUN_MAC_LEN])
{
	HMAC(EVP_sha1(), key, (int)key_len, msg, len, out, NULL);
}
static const struct stun_mac mac = {openssl_hmac, NULL};

#define PASSWORD (const uint8_t *)"VOkJxbRl1RmTxUk/WvJxBt", 22

// RFC 5769 section 2.1.
static const uint8_t sample_request[] = {
	0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
	0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73,
	0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff,
	0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09,
	0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14,
	0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49,
	0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
};
// Section 2.2.
static const uint8_t sample_ipv4[] = {
	0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
	0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63,
	0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
	0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5, 0x99, 0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9,
	0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b, 0xe7, 0xd7, 0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
};
// Section 2.3.
static const uint8_t sample_ipv6[] = {
	0x01, 0x01, 0x00, 0x48, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
	0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63,
	0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa,
	0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9, 0x00, 0x08, 0x00, 0x14,
	0xa3, 0x82, 0x95, 0x4e, 0x4b, 0xe6, 0x7b, 0xf1, 0x17, 0x84, 0xc9, 0x7c, 0x82, 0x92, 0xc2, 0x75,
	0xbf, 0xe3, 0xed, 0x41, 0x80, 0x28, 0x00, 0x04, 0xc8, 0xfb, 0x0b, 0x4c,
};
static const uint8_t sample_txid[] = {0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};
static const uint8_t sample_ip6[] = {0x20, 0x01, 0x0d, 0xb8, 0x12, 0x34, 0x56, 0x78,
				     0,    0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77};

static uint8_t buf[2048];

static int parse(const uint8_t *p, size_t len, struct stun_msg *m)
{
	memcpy(buf, p, len);
	return stun_parse(buf, len, m);
}

static void vector_request(void)
{
	struct stun_msg m;
	struct str l, r;

	CHECK_EQ(parse(sample_request, sizeof(sample_request), &m), 0);
	CHECK(m.method == STUN_BINDING && m.cls == STUN_REQUEST);
	CHECK(m.has_priority && m.priority == 0x6e0001ff);
	CHECK(m.controlled && !m.controlling && m.tie_breaker == 0x932ff9b151263b36);
	CHECK(stun_username(&m, &l, &r) && str_eq(l, STR("evtj")) && str_eq(r, STR("h6vY")));
	CHECK(!m.use_candidate && m.n_unknown == 0);
	CHECK(stun_fingerprint_check(&m));
	CHECK(stun_mac_check(&m, &mac, PASSWORD));
	CHECK(!stun_mac_check(&m, &mac, PASSWORD - 1));         // one character less
	CHECK_MEM(buf, sample_request, sizeof(sample_request)); // checking left no trace
}

static void vector_responses(void)
{
	struct stun_msg m;

	CHECK_EQ(parse(sample_ipv4, sizeof(sample_ipv4), &m), 0);
	CHECK(m.cls == STUN_SUCCESS && m.mapped.family == 4 && m.mapped.port == 32853);
	CHECK_MEM(m.mapped.ip, ((uint8_t[]){192, 0, 2, 1}), 4);
	CHECK(stun_fingerprint_check(&m) && stun_mac_check(&m, &mac, PASSWORD));
	CHECK_EQ(parse(sample_ipv6, sizeof(sample_ipv6), &m), 0);
	CHECK(m.mapped.family == 6 && m.mapped.port == 32853);
	CHECK_MEM(m.mapped.ip, sample_ip6, 16);
	CHECK(stun_fingerprint_check(&m) && stun_mac_check(&m, &mac, PASSWORD));
}

static void any_bit_matters(void)
{
	struct stun_msg m;

	for (unsigned bit = 0; bit < 8 * sizeof(sample_request); bit++) {
		bool ok;
		memcpy(buf, sample_request, sizeof(sample_request));
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ok = stun_parse(buf, sizeof(sample_request), &m) == 0 && stun_fingerprint_check(&m) &&
		     stun_mac_check(&m, &mac, PASSWORD);
		CHECK_OR_RETURN(!ok);
	}
}

static void every_truncation(void)
{
	struct stun_msg m;

	for (size_t len = 0; len < sizeof(sample_request); len++) {
		uint8_t *p = malloc(len ? len : 1);
		memcpy(p, sample_request, len);
		CHECK_EQ(stun_parse(p, len, &m), -EBADMSG);
		if (len >= 20) { // with the length field made right
			be16_put(p + 2, (uint16_t)(len - 20));
			if (stun_parse(p, len, &m) == 0)
				CHECK(!stun_fingerprint_check(&m));
		}
		free(p);
	}
}

// A request header for a body of n bytes in buf.
static void header(size_t n)
{
	memset(buf, 0, sizeof(buf));
	be16_put(buf, 1);
	be16_put(buf + 2, (uint16_t)n);
	be32_put(buf + 4, STUN_COOKIE);
}

static void odd_lengths(void)
{
	struct stun_msg m;

	for (size_t n = 0; n < 40; n++) {
		header(n);
		CHECK_EQ(stun_parse(buf, 20 + n, &m), n % 4         ? -EBADMSG
						      : n == 0      ? 0
						      : n / 4 <= 24 ? 0
								    : -EBADMSG);
	}
	header(1000 * 4); // a thousand attributes without value
	static uint8_t big[20 + 4000];
	memcpy(big, buf, 20);
	CHECK_EQ(stun_parse(big, sizeof(big), &m), -EBADMSG);
}

static void overruns(void)
{
	struct stun_msg m;

	header(8);
	be16_put(buf + 20, 0x8022);
	for (unsigned len = 0; len < 0x10000; len += 1 + len / 7) {
		be16_put(buf + 22, (uint16_t)len);
		CHECK_EQ(stun_parse(buf, 28, &m), len <= 4 ? 0 : -EBADMSG);
	}
}

static void wrong_sizes(void)
{
	static const struct {
		uint16_t type, len;
	} t[] = {{STUN_ATTR_PRIORITY, 3},       {STUN_ATTR_USE_CANDIDATE, 4},
		 {STUN_ATTR_ICE_CONTROLLED, 4}, {STUN_ATTR_ICE_CONTROLLING, 9},
		 {STUN_ATTR_FINGERPRINT, 8},    {STUN_ATTR_MESSAGE_INTEGRITY, 19},
		 {STUN_ATTR_USERNAME, 514},     {STUN_ATTR_XOR_MAPPED_ADDRESS, 8},
		 {STUN_ATTR_ERROR_CODE, 3}};
	struct stun_msg m;

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		size_t body = 4 + ((t[i].len + 3u) & ~3u);
		header(body);
		be16_put(buf + 20, t[i].type);
		be16_put(buf + 22, t[i].len);
		CHECK_EQ(stun_parse(buf, 20 + body, &m), -EBADMSG);
	}
	header(8 + 4); // NOMINATION of another shape is an extension we do not know
	be16_put(buf + 20, STUN_ATTR_NOMINATION);
	be16_put(buf + 22, 8);
	CHECK_EQ(stun_parse(buf, 32, &m), 0);
	CHECK(!m.has_nomination && m.n_unknown == 0);
}

static void duplicates(void)
{
	static const uint8_t body[] = {0, 6,    0, 3, 'a', ':', 'b', 0, 0, 6,    0, 3, 'x', ':', 'y', 0,
				       0, 0x24, 0, 4, 0,   0,   0,   1, 0, 0x24, 0, 4, 0,   0,   0,   2};
	struct stun_msg m;
	struct str l, r;

	header(sizeof(body));
	memcpy(buf + 20, body, sizeof(body));
	CHECK_EQ(stun_parse(buf, 20 + sizeof(body), &m), 0);
	CHECK(stun_username(&m, &l, &r) && str_eq(l, STR("a")) && m.priority == 1);
}

static void usernames(void)
{
	struct stun_msg m = {.has_username = true};
	struct str l, r;

	m.username = STR("ab");
	CHECK(!stun_username(&m, &l, &r));
	m.username = STR("a:b:c");
	CHECK(!stun_username(&m, &l, &r));
	m.username = STR("a:");
	CHECK(stun_username(&m, &l, &r) && r.len == 0);
	m.username = STR("");
	CHECK(!stun_username(&m, &l, &r));
	m.has_username = false;
	CHECK(!stun_username(&m, &l, &r));
}

static const struct stun_key key = {&mac, PASSWORD};

static int request(uint8_t *out, size_t size)
{
	struct stun_request q = {.txid = sample_txid,
				 .to_ufrag = STR("evtj"),
				 .from_ufrag = STR("h6vY"),
				 .priority = 7,
				 .tie_breaker = 8,
				 .use_candidate = true,
				 .has_nomination = true,
				 .nomination = 3};

	return stun_write_request(out, size, &q, &key);
}

// Insert an attribute without value after MESSAGE-INTEGRITY, before FINGERPRINT, which is made anew.
static void smuggled(void)
{
	uint8_t p[256];
	struct stun_request q = {
		.txid = sample_txid, .to_ufrag = STR("evtj"), .from_ufrag = STR("h6vY"), .priority = 7};
	int n = stun_write_request(p, sizeof(p), &q, &key);
	struct stun_msg m;

	be16_put(p + n - 8, STUN_ATTR_USE_CANDIDATE);
	be16_put(p + n - 6, 0);
	be16_put(p + n - 4, 0x0fff); // and one that must be understood
	be16_put(p + n - 2, 0);
	be16_put(p + n, STUN_ATTR_FINGERPRINT);
	be16_put(p + n + 2, 4);
	be16_put(p + 2, (uint16_t)(n + 8 - 20));
	be32_put(p + n + 4, stun_crc32(p, (size_t)n) ^ 0x5354554e);
	CHECK_EQ(stun_parse(p, (size_t)n + 8, &m), 0);
	CHECK(stun_fingerprint_check(&m) && stun_mac_check(&m, &mac, PASSWORD));
	CHECK(!m.use_candidate && m.n_unknown == 0);
}

static void fingerprint_place(void)
{
	uint8_t p[256];
	int n = request(p, sizeof(p));
	struct stun_msg m;

	CHECK_EQ(stun_parse(p, (size_t)n, &m), 0);
	CHECK(stun_fingerprint_check(&m));
	be16_put(p + n, 0x8022); // something behind it
	be16_put(p + n + 2, 0);
	be16_put(p + 2, (uint16_t)(n + 4 - 20));
	CHECK_EQ(stun_parse(p, (size_t)n + 4, &m), 0);
	CHECK(!stun_fingerprint_check(&m));
	be16_put(p + 2, (uint16_t)(n - 8 - 20)); // none at all
	CHECK_EQ(stun_parse(p, (size_t)n - 8, &m), 0);
	CHECK(!stun_fingerprint_check(&m));
	CHECK(stun_mac_check(&m, &mac, PASSWORD)); // which does not touch the MAC
}

static void request_round_trip(void)
{
	uint8_t p[256];
	int n = request(p, sizeof(p));
	struct stun_msg m;

	CHECK_OR_RETURN(n > 0);
	CHECK_EQ(stun_parse(p, (size_t)n, &m), 0);
	CHECK(m.use_candidate && m.controlling && m.has_nomination && m.nomination == 3 && m.priority == 7);
	CHECK(stun_fingerprint_check(&m) && stun_mac_check(&m, &mac, PASSWORD));
	for (int size = 0; size < n; size++)
		CHECK_EQ(request(p, (size_t)size), -ENOSPC);
}

static void success_golden(void)
{
	// As section 2.2 without SOFTWARE: header, address and their integrity.
	static const uint8_t head4[] = {0x01, 0x01, 0,    44,   0x21, 0x12, 0xa4, 0x42, 0xb7,
					0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87,
					0xdf, 0xae, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1,
					0x47, 0xe1, 0x12, 0xa6, 0x43, 0x00, 0x08, 0x00, 0x14};
	struct stun_addr a4 = {.family = 4, .port = 32853, .ip = {192, 0, 2, 1}},
			 a6 = {.family = 6, .port = 32853};
	uint8_t p[STUN_MAX_REPLY];
	struct stun_msg m;

	CHECK_EQ(stun_write_success(p, sizeof(p), sample_txid, &a4, &key), 64);
	CHECK_MEM(p, head4, sizeof(head4));
	CHECK_EQ(stun_parse(p, 64, &m), 0);
	CHECK(stun_fingerprint_check(&m) && stun_mac_check(&m, &mac, PASSWORD));
	memcpy(a6.ip, sample_ip6, 16);
	CHECK_EQ(stun_write_success(p, sizeof(p), sample_txid, &a6, &key), 76);
	CHECK_MEM(p + 20, sample_ipv6 + 36, 24); // the address attribute of the vector
	CHECK_EQ(stun_parse(p, 76, &m), 0);
	CHECK(stun_fingerprint_check(&m) && stun_mac_check(&m, &mac, PASSWORD));
	for (size_t size = 0; size < 76; size++)
		CHECK_EQ(stun_write_success(p, size, sample_txid, &a6, &key), -ENOSPC);
}

static void errors_signed(void)
{
	static const uint16_t unknown[] = {0x0fff, 0x7001, 0x7002};
	uint8_t p[STUN_MAX_REPLY];
	struct stun_msg m;
	int n = stun_write_unknown(p, sizeof(p), sample_txid, unknown, 3, &key);

	CHECK_EQ(stun_parse(p, (size_t)n, &m), 0);
	CHECK(m.cls == STUN_ERROR && m.error_code == 420);
	CHECK(stun_fingerprint_check(&m) && stun_mac_check(&m, &mac, PASSWORD));
	CHECK_MEM(p + 28, ((uint8_t[]){0, 0x0a, 0, 6, 0x0f, 0xff, 0x70, 0x01, 0x70, 0x02, 0, 0}), 12);
	n = stun_write_error(p, sizeof(p), sample_txid, 487, &key);
	CHECK_EQ(stun_parse(p, (size_t)n, &m), 0);
	CHECK(m.error_code == 487 && stun_mac_check(&m, &mac, PASSWORD));
}

static void crc_vector(void)
{
	CHECK_EQ(stun_crc32((const uint8_t *)"123456789", 9), 0xcbf43926);
}

CU_TestInfo stun_tests[] = {
	{"RFC 5769 section 2.1: the sample request verifies", vector_request},
	{"RFC 5769 sections 2.2 and 2.3: the sample responses verify", vector_responses},
	{"CRC-32 of the check string", crc_vector},
	{"flipping any bit of a request is noticed", any_bit_matters},
	{"every truncation is refused", every_truncation},
	{"lengths that are no multiple of 4, a thousand attributes", odd_lengths},
	{"attributes that overrun", overruns},
	{"attributes of a wrong size are malformed", wrong_sizes},
	{"of duplicate attributes the first counts", duplicates},
	{"USERNAME has exactly one colon", usernames},
	{"what follows MESSAGE-INTEGRITY is ignored", smuggled},
	{"FINGERPRINT must be there and last", fingerprint_place},
	{"a request is read as written, or not written", request_round_trip},
	{"success responses have the expected bytes, 64 and 76 of them", success_golden},
	{"error responses are signed and list the types", errors_signed},
	CU_TEST_INFO_NULL,
};
