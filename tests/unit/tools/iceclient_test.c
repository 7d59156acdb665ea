#include "tools/sluicegun/iceclient.h"

#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <errno.h>

#include "lib/seal/sha1.h"

#define SERVER_PWD "server-password-of-24-ch"

static struct {
	unsigned n;
	union ice_addr to;
	uint8_t msg[512];
	size_t len;
} out;

static void on_send(void *arg, const union ice_addr *to, const uint8_t *msg, size_t len)
{
	out.n++;
	out.to = *to;
	out.len = len;
	memcpy(out.msg, msg, len);
}

static void hmac(void *arg, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		 uint8_t mac[STUN_MAC_LEN])
{
	sha1_hmac(key, key_len, msg, len, mac);
}

static const struct stun_mac mac = {hmac, NULL};

static void begin(struct iceclient *c, unsigned n_candidates)
{
	*c = (struct iceclient){.send = on_send, .mac = &mac};
	iceclient_init(c);
	out.n = 0;
	CHECK_EQ(iceclient_remote(c, STR("srv"), STR(SERVER_PWD)), 0);
	CHECK_EQ(iceclient_candidate(c, STR("a=candidate:1 1 udp 2130706431 192.0.2.1 8443 typ host")), 0);
	if (n_candidates > 1)
		CHECK_EQ(iceclient_candidate(c, STR("candidate:2 1 UDP 2130706430 192.0.2.2 8443 typ host")),
			 0);
}

// Answer the last check as a server with this password would. returns: what iceclient_input says
static bool reply(struct iceclient *c, const char *pwd, ns_t now)
{
	struct stun_key key = {&mac, (const uint8_t *)pwd, strlen(pwd)};
	struct stun_addr mapped = {.family = 4, .port = 1, .ip = {127, 0, 0, 1}};
	uint8_t msg[STUN_MAX_REPLY];
	int len = stun_write_success(msg, sizeof(msg), out.msg + 8, &mapped, &key);

	return iceclient_input(c, msg, (size_t)len, &out.to, now);
}

static bool nominates(void)
{
	struct stun_msg m;

	CHECK_EQ(stun_parse(out.msg, out.len, &m), 0);
	CHECK(m.controlling);
	CHECK(stun_mac_check(&m, &mac, (const uint8_t *)SERVER_PWD, strlen(SERVER_PWD)));
	return m.use_candidate;
}

static void test_select(void)
{
	struct iceclient c;

	begin(&c, 2);
	iceclient_tick(&c, 0);
	CHECK_EQ(out.n, 2);
	CHECK(!nominates());
	CHECK(!reply(&c, SERVER_PWD, NS_PER_MS)); // the second one answers first
	CHECK_EQ(out.n, 3);
	CHECK(nominates());
	CHECK(reply(&c, SERVER_PWD, 2 * NS_PER_MS));
	CHECK(c.is_selected);
	CHECK_EQ(c.nominee, 1);
	CHECK_EQ(c.path[c.nominee].due, 2 * NS_PER_MS + ICE_CONSENT_NS);
}

static void test_retry(void)
{
	struct iceclient c;
	unsigned n = 0;

	begin(&c, 1);
	for (ns_t t = 0; t < 5 * NS_PER_S; t += 10 * NS_PER_MS) {
		iceclient_tick(&c, t);
		n = out.n;
	}
	CHECK(n >= 6 && n <= 9); // 0, 50, 150, 350, 750, 1550, 3150 ms, then every 1.6 s
}

static void test_lost(void)
{
	struct iceclient c;

	begin(&c, 1);
	iceclient_tick(&c, 0);
	reply(&c, SERVER_PWD, 0);
	reply(&c, SERVER_PWD, 0);
	iceclient_tick(&c, ICE_LOST_NS);
	CHECK(!c.is_lost);
	iceclient_tick(&c, ICE_LOST_NS + 1);
	CHECK(c.is_lost);
	reply(&c, SERVER_PWD, ICE_LOST_NS + 2);
	CHECK(!c.is_lost);
}

static void test_forged(void)
{
	struct iceclient c;

	begin(&c, 1);
	iceclient_tick(&c, 0);
	CHECK(!reply(&c, "another password, longer", 0));
	CHECK(!c.is_nominating);
	out.msg[8] ^= 1; // an answer to a question never asked
	CHECK(!reply(&c, SERVER_PWD, 0));
	CHECK(!c.is_nominating);
}

static void test_full_agent(void)
{
	struct iceclient c;
	uint8_t txid[STUN_TXID_LEN] = {1}, msg[STUN_MAX_PROBE];
	struct stun_request r = {.txid = txid, .from_ufrag = STR("srv"), .controlled = true};
	struct stun_msg m;
	struct stun_key key;
	union ice_addr from = {.v4 = {.sin_family = AF_INET, .sin_port = htons(9)}};
	int len;

	begin(&c, 1);
	r.to_ufrag = str_of(c.ufrag);
	key = (struct stun_key){&mac, (const uint8_t *)c.pwd, ICE_PWD_LEN};
	len = stun_write_request(msg, sizeof(msg), &r, &key);
	CHECK(!iceclient_input(&c, msg, (size_t)len, &from, 0));
	CHECK_EQ(out.n, 1);
	CHECK_EQ(stun_parse(out.msg, out.len, &m), 0);
	CHECK_EQ(m.cls, STUN_SUCCESS);
	CHECK_EQ(m.mapped.port, 9);
	msg[len - 20] ^= 1; // within the MAC
	CHECK(!iceclient_input(&c, msg, (size_t)len, &from, 0));
	CHECK_EQ(out.n, 1);
}

static void test_candidates(void)
{
	struct iceclient c;

	begin(&c, 1);
	CHECK_EQ(iceclient_candidate(&c, STR("candidate:1 1 udp 1 192.0.2.1 8443 typ host")), 0);
	CHECK_EQ(c.n_paths, 1); // the same
	CHECK_EQ(iceclient_candidate(&c, STR("candidate:1 1 tcp 1 192.0.2.3 8443 typ host tcptype passive")),
		 -ENOTSUP);
	CHECK_EQ(iceclient_candidate(&c, STR("candidate:1 2 udp 1 192.0.2.3 8443 typ host")), -ENOTSUP);
	CHECK_EQ(iceclient_candidate(&c, STR("candidate:1 1 udp 1 2001:db8::1 8443 typ host")), -ENOTSUP);
	CHECK_EQ(iceclient_candidate(&c, STR("candidate:1 1 udp 1 name.local 8443 typ host")), -ENOTSUP);
	CHECK_EQ(iceclient_candidate(&c, STR("candidate:1 1 udp 1 192.0.2.3 99999 typ host")), -ENOTSUP);
	CHECK_EQ(iceclient_candidate(&c, STR("candidate:")), -ENOTSUP);
	CHECK_EQ(iceclient_candidate(&c, STR_NONE), -ENOTSUP);
	CHECK_EQ(c.n_paths, 1);
}

CU_TestInfo iceclient_tests[] = {
	{"the first candidate that answers is nominated and selected", test_select},
	{"unanswered checks are repeated ever more slowly", test_retry},
	{"a path without answers for ten seconds is lost until one comes", test_lost},
	{"forged answers change nothing", test_forged},
	{"checks of a full agent are answered, forged ones are not", test_full_agent},
	{"only UDP candidates of one family with an address are taken", test_candidates},
	CU_TEST_INFO_NULL,
};
