// Any datagram through the STUN parser and everything that looks at its result. The first byte chooses whether header
// fields that rarely come right by chance are made right.
#include "lib/base/err.h"
#include "lib/rtc/wire/stun.h"

static void sum_mac(void *arg, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		    uint8_t out[20])
{
	memset(out, 0, 20);
	for (size_t i = 0; i < len; i++) // touches every byte that is authenticated
		out[i % 20] = (uint8_t)(out[i % 20] * 31 + msg[i] + key[i % key_len]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stun_mac mac = {sum_mac, NULL};
	struct stun_key key = {&mac, (const uint8_t *)"password", 8};
	uint8_t *p, reply[STUN_MAX_REPLY];
	struct str left, right;
	struct stun_msg m;
	size_t len;

	if (size < 1)
		return 0;
	len = size - 1;
	p = malloc(len ? len : 1); // exact size, writable as a packet buffer is
	memcpy(p, data + 1, len);
	if ((data[0] & 1) && len >= STUN_HDR_LEN) {
		be16_put(p + 2, (uint16_t)(len - STUN_HDR_LEN));
		be32_put(p + 4, STUN_COOKIE);
	}
	if (stun_parse(p, len, &m) == 0) {
		MUST(m.n_unknown <= STUN_MAX_UNKNOWN && m.username.len <= STUN_MAX_USERNAME);
		if (stun_username(&m, &left, &right))
			MUST(left.len + right.len + 1 == m.username.len);
		(void)stun_fingerprint_check(&m);
		(void)stun_mac_check(&m, &mac, key.key, key.key_len);
		MUST((data[0] & 1) || memcmp(p, data + 1, len) == 0); // checking restores what it touches
		if (m.mapped.family == 0) // we always have an address to tell
			m.mapped.family = 4;
		int n = stun_write_success(reply, sizeof(reply), stun_txid(&m), &m.mapped, &key);
		MUST(n == 64 || n == 76);
		n = stun_write_unknown(reply, sizeof(reply), stun_txid(&m), m.unknown, m.n_unknown, &key);
		MUST(n > 0 && n <= STUN_MAX_REPLY);
		MUST(stun_parse(reply, (size_t)n, &m) == 0 && m.error_code == 420);
		MUST(stun_mac_check(&m, &mac, key.key, key.key_len) && stun_fingerprint_check(&m));
	}
	free(p);
	return 0;
}
