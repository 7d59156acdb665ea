// Who may speak to the agent: checks and how they are judged.
#include "lib/rtc/ice/icelite.h"

#include "tests/support/lib/ice_peer.h"
#include "tests/unit/check.h"

static void valid_check(void)
{
	struct stun_msg m;

	ice_start();
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 5000), .priority = 9}), ICELITE_REPLY);
	CHECK_EQ(ice.out.events, ICELITE_EV_PATH | ICELITE_EV_PAIR_NEW);
	CHECK_EQ(ice.out.reply_len, 64);
	CHECK_EQ(stun_parse(ice.out.reply, ice.out.reply_len, &m), 0);
	CHECK(m.cls == STUN_SUCCESS && m.mapped.family == 4 && m.mapped.port == 5000 && m.mapped.ip[3] == 1);
	CHECK(stun_fingerprint_check(&m) && stun_mac_check(&m, &ice_env.mac, (const uint8_t *)ice_pwd1, 32));
	CHECK(ice.out.reply_len <= ice.last_request_len);
	CHECK(icelite_path(&ice.agent) && !icelite_path(&ice.agent)->is_nominated); // provisional
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 5000), .flag = true}), ICELITE_REPLY);
	CHECK_EQ(ice.out.events, ICELITE_EV_PATH);
	CHECK(icelite_path(&ice.agent)->is_nominated);
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 5000), .flag = true}), ICELITE_REPLY);
	CHECK_EQ(ice.out.events, 0);
}

static void ipv6_check(void)
{
	struct icelite_tuple t = {
		.family = 6, .proto = UDP, .port = 6000, .ip = {0x20, 1, 0xd, 0xb8}, .local = 2};
	struct stun_msg m;

	ice_start();
	CHECK_EQ(ice_check((struct ice_check){.from = t}), ICELITE_REPLY);
	CHECK_EQ(ice.out.reply_len, 76);
	CHECK_EQ(stun_parse(ice.out.reply, ice.out.reply_len, &m), 0);
	CHECK(m.mapped.family == 6 && m.mapped.port == 6000);
	CHECK_MEM(m.mapped.ip, t.ip, 16);
}

// Silence, and nothing changed.
static void refused(void)
{
	static const struct {
		struct ice_check c;
		enum icelite_verdict want;
	} t[] = {
		{{.spoil_mac = true}, ICELITE_DROP_INTEGRITY},
		{{.pwd = ice_pwd2}, ICELITE_DROP_INTEGRITY},
		{{.spoil_fp = true}, ICELITE_DROP_FINGERPRINT},
		{{.ufrag = ice_ufrag2}, ICELITE_DROP_USERNAME},
		{{.ufrag = "AAAABBBBCCCCDDD"}, ICELITE_DROP_USERNAME},
		{{.ufrag = "AAAABBBBCCCCDDDDE"}, ICELITE_DROP_USERNAME},
		{{.remote = "other"}, ICELITE_DROP_USERNAME},
		{{.remote = "rem"}, ICELITE_DROP_USERNAME},
		{{.remote = "remo:"}, ICELITE_DROP_USERNAME},
	};

	ice_start();
	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct ice_check c = t[i].c;
		c.from = ice_udp(1, 5000);
		CHECK_EQ(ice_check(c), t[i].want);
		CHECK(ice.out.events == 0 && ice.out.reply_len == 0);
		CHECK(icelite_find(&ice.agent, &c.from) < 0 && !ice.agent.had_path);
	}
}

static void missing_parts(void)
{
	struct icelite_tuple from = ice_udp(1, 5000);
	uint8_t p[512];
	struct stun_msg m;
	size_t n;

	ice_start();
	n = ice_check_build(&(struct ice_check){.flag = true}, p, sizeof(p));
	be16_put(p + 2, (uint16_t)(n - 8 - 20)); // without FINGERPRINT
	CHECK_EQ(stun_parse(p, n - 8, &m), 0);
	CHECK_EQ(icelite_on_stun(&ice.agent, &ice_env, &m, &from, ice.now, &ice.out),
		 ICELITE_DROP_FINGERPRINT);
	memmove(p + n - 32, p + n - 8, 8); // without MESSAGE-INTEGRITY
	be16_put(p + 2, (uint16_t)(n - 24 - 20));
	be32_put(p + n - 28, stun_crc32(p, n - 32) ^ 0x5354554e);
	CHECK_EQ(stun_parse(p, n - 24, &m), 0);
	CHECK_EQ(icelite_on_stun(&ice.agent, &ice_env, &m, &from, ice.now, &ice.out), ICELITE_DROP_INTEGRITY);
	CHECK(icelite_path(&ice.agent) == NULL);
}

static void unknown_attribute(void)
{
	struct stun_msg m;

	ice_start();
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 5000), .unknown = 0x7abc}), ICELITE_REPLY);
	CHECK_EQ(stun_parse(ice.out.reply, ice.out.reply_len, &m), 0);
	CHECK(m.cls == STUN_ERROR && m.error_code == 420);
	CHECK(stun_mac_check(&m, &ice_env.mac, (const uint8_t *)ice_pwd1, 32) && stun_fingerprint_check(&m));
	CHECK_MEM(ice.out.reply + 28, ((uint8_t[]){0, 0x0a, 0, 2, 0x7a, 0xbc}), 6);
	CHECK(icelite_path(&ice.agent) == NULL && ice.out.events == 0);
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 5000), .unknown = 0xc057}),
		 ICELITE_REPLY); // optional
	CHECK(icelite_path(&ice.agent) != NULL);
}

static void role_conflict(void)
{
	struct stun_msg m;

	ice_start();
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 5000), .controlled = true, .flag = true}),
		 ICELITE_REPLY);
	CHECK_EQ(stun_parse(ice.out.reply, ice.out.reply_len, &m), 0);
	CHECK(m.cls == STUN_ERROR && m.error_code == 487);
	CHECK(stun_mac_check(&m, &ice_env.mac, (const uint8_t *)ice_pwd1, 32) && stun_fingerprint_check(&m));
	CHECK(icelite_path(&ice.agent) == NULL);
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 5000), .flag = true}), ICELITE_REPLY);
	CHECK_EQ(ice_path_port(), 5000);
}

static void other_messages(void)
{
	struct icelite_tuple from = ice_udp(1, 5000);
	uint8_t p[512];
	struct stun_msg m;
	size_t n;

	ice_start();
	ice_check((struct ice_check){.from = from, .flag = true});
	uint32_t checked = ice.agent.pair[0].last_check;
	ice.now += 5 * S;
	static const uint16_t types[] = {0x0011, 0x0101, 0x0111, 0x0003, 0x0200};
	for (unsigned i = 0; i < 5; i++) {
		n = ice_check_build(&(struct ice_check){.flag = true}, p, sizeof(p));
		be16_put(p, types[i]);
		be32_put(p + n - 4, stun_crc32(p, n - 8) ^ 0x5354554e);
		CHECK_EQ(stun_parse(p, n, &m), 0);
		CHECK_EQ(icelite_on_stun(&ice.agent, &ice_env, &m, &from, ice.now, &ice.out),
			 ICELITE_DROP_METHOD);
		CHECK_EQ(ice.out.events, 0);
	}
	CHECK_EQ(ice.agent.pair[0].last_check, checked); // no consent from these
}

static void replays(void)
{
	ice_start();
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 5000), .txid = 77, .flag = true}),
		 ICELITE_REPLY);
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 5000), .txid = 77, .flag = true}),
		 ICELITE_REPLY);
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(9, 6666), .txid = 77, .flag = true}),
		 ICELITE_DROP_REPLAY);
	CHECK_EQ(ice.out.events, 0);
	CHECK_EQ(ice_path_port(), 5000);
	for (unsigned i = 0; i < 63; i++) {
		ice.now += 100 * MS;
		ice_check((struct ice_check){.from = ice_udp(1, 5000), .flag = true});
	}
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(9, 6666), .txid = 77}),
		 ICELITE_DROP_REPLAY); // still known
}

static void flood_of_bad_checks(void)
{
	unsigned n_answered = 0, n_hashed = 0, n = 0;

	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	for (unsigned i = 0; i < 40000; i++) { // 1000/s for 40 s, from everywhere
		enum icelite_verdict v = ice_check((struct ice_check){
			.from = ice_udp((uint8_t)(10 + i % 200), (uint16_t)i), .spoil_mac = true});
		n_hashed += v == ICELITE_DROP_INTEGRITY;
		CHECK_OR_RETURN(v == ICELITE_DROP_INTEGRITY || v == ICELITE_DROP_RATE);
		if (i % 2500 == 0) {
			n_answered += ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true}) ==
				      ICELITE_REPLY;
			n++;
		}
		if (i % 100 == 0)
			ice_tick();
		ice.now += 1 * MS;
	}
	CHECK_EQ(n_answered, n);
	CHECK_EQ(ice.agent.liveness, ICELITE_LIVE);
	CHECK(n_hashed <= 100 + 50 * 40 + 1); // the rest costs no hash
}

static void own_flood(void)
{
	unsigned n_ok = 0;

	ice_start();
	for (unsigned i = 0; i < 10000; i++) { // 1000/s for 10 s
		n_ok += ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true}) ==
			ICELITE_REPLY;
		ice.now += 1 * MS;
	}
	CHECK(n_ok >= 590 && n_ok <= 610); // burst 100 and 50/s
}

static void small(void)
{
	CHECK(sizeof(struct icelite) <= 1152);
}

CU_TestInfo icelite_tests[] = {
	{"a valid check is answered, selected provisionally, then by nomination", valid_check},
	{"an IPv6 check is answered", ipv6_check},
	{"wrong integrity, fingerprint or names: silence, no state", refused},
	{"missing fingerprint or integrity: silence", missing_parts},
	{"an unknown mandatory attribute gets a signed 420", unknown_attribute},
	{"ICE-CONTROLLED gets a signed 487, the retry works", role_conflict},
	{"indications, foreign responses and other methods are dropped and refresh nothing", other_messages},
	{"a repeated check is answered, from another address it is dropped", replays},
	{"a flood of bad checks from elsewhere cannot starve consent", flood_of_bad_checks},
	{"a known pair is limited to 50 checks a second", own_flood},
	{"an agent is small", small},
	CU_TEST_INFO_NULL,
};
