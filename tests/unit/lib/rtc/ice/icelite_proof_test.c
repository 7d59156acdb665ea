// How much may be sent to an address, and what proves that the peer receives there.
#include "lib/rtc/ice/icelite.h"

#include "tests/support/lib/ice_peer.h"
#include "tests/unit/check.h"

static void unproven_address(void)
{
	struct icelite_tuple victim = ice_udp(200, 7000);
	unsigned rx, tx = 0, n_probes = 0;
	struct stun_msg m;
	struct str l, r;

	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	icelite_on_keys(&ice.agent, ice.agent.selected);
	CHECK(icelite_may_send(&ice.agent, 1000000)); // DTLS proved this one
	ice.now += 3 * S;
	ice_check((struct ice_check){.from = victim, .flag = true});
	CHECK_EQ(ice_path_port(), 7000);
	rx = (unsigned)ice.last_request_len;
	ice_tick();
	CHECK(ice.out.events & ICELITE_EV_SEND);
	CHECK(memcmp(&ice.out.to, &victim, sizeof(victim)) == 0);
	CHECK_EQ(stun_parse(ice.out.reply, ice.out.reply_len, &m), 0);
	CHECK(m.cls == STUN_REQUEST && m.controlled && m.has_priority && !m.use_candidate);
	CHECK(stun_username(&m, &l, &r) && str_eq(l, STR("remo")) && str_eq(r, STR("AAAABBBBCCCCDDDD")));
	CHECK(stun_fingerprint_check(&m) &&
	      stun_mac_check(&m, &ice_env.mac, (const uint8_t *)"remotepassword", 14));
	tx = ice.out.reply_len;
	for (unsigned i = 0; i < 200; i++) { // media wants to flow, probes are repeated and end
		ice.now += 100 * MS;
		ice_tick();
		if (ice.out.events & ICELITE_EV_SEND) {
			tx += ice.out.reply_len;
			n_probes++;
		}
		tx += icelite_may_send(&ice.agent, 60) ? 60 : 0;
	}
	CHECK(tx <= 3 * rx);
	CHECK(n_probes <= 8);
}

// Voice that takes all that an unproven address may have must not keep the probe away that would prove it.
static void voice_leaves_room_for_the_probe(void)
{
	unsigned n_probes = 0;

	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	icelite_on_keys(&ice.agent, ice.agent.selected);
	ice.now += 3 * S;
	ice_check((struct ice_check){.from = ice_udp(2, 7000), .flag = true});
	for (unsigned i = 0; i < 100; i++) { // two seconds of voice, looked at each half second
		while (icelite_may_send(&ice.agent, 60))
			;
		ice.now += 20 * MS;
		if (i % 25 == 24) {
			ice_tick();
			n_probes += (ice.out.events & ICELITE_EV_SEND) != 0;
		}
	}
	CHECK(n_probes >= 1);
	CHECK_EQ(ice_answer_probe(ice_udp(2, 7000), "remotepassword"), ICELITE_OK);
	CHECK(icelite_may_send(&ice.agent, 2000));
}

static void proof_by_probe(void)
{
	struct icelite_tuple t = ice_udp(2, 7000);

	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	icelite_on_keys(&ice.agent, ice.agent.selected);
	ice.now += 3 * S;
	ice_check((struct ice_check){.from = t, .flag = true});
	CHECK(!icelite_may_send(&ice.agent, 2000));
	ice_tick();
	CHECK(ice.out.events & ICELITE_EV_SEND);
	CHECK_EQ(ice_answer_probe(t, "wrong"), ICELITE_DROP_INTEGRITY);
	CHECK_EQ(ice_answer_probe(ice_udp(3, 7000), "remotepassword"), ICELITE_DROP_METHOD); // from elsewhere
	CHECK(!icelite_may_send(&ice.agent, 2000));
	CHECK_EQ(ice_answer_probe(t, "remotepassword"), ICELITE_OK);
	CHECK(icelite_may_send(&ice.agent, 2000));
	CHECK_EQ(ice_answer_probe(t, "remotepassword"), ICELITE_DROP_METHOD); // only once
	ice.now += 10 * S;
	ice_tick();
	CHECK(!(ice.out.events & ICELITE_EV_SEND));
}

// Found by fuzzing: without a password the answer would have been checked with an empty key.
static void probe_then_restart(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	icelite_on_keys(&ice.agent, ice.agent.selected);
	ice.now += 3 * S;
	ice_check((struct ice_check){.from = ice_udp(2, 7000), .flag = true});
	ice_tick();
	CHECK(ice.out.events & ICELITE_EV_SEND);
	CHECK_EQ(icelite_set_creds(&ice.agent, ice_ufrag2, ice_pwd2, STR_NONE, STR_NONE, &ice.out), 0);
	CHECK_EQ(ice_answer_probe(ice_udp(2, 7000), ""), ICELITE_DROP_METHOD);
	CHECK_EQ(ice_answer_probe(ice_udp(2, 7000), "remotepassword"), ICELITE_DROP_METHOD);
	CHECK(!icelite_may_send(&ice.agent, 2000));
	// with the new password known, the address is asked again
	CHECK_EQ(icelite_set_creds(&ice.agent, ice_ufrag2, ice_pwd2, STR("new1"), STR("newpwd"), &ice.out),
		 0);
	ice.now += 3 * S;
	ice_tick();
	CHECK(ice.out.events & ICELITE_EV_SEND);
	CHECK_EQ(ice_answer_probe(ice_udp(2, 7000), "newpwd"), ICELITE_OK);
	CHECK(icelite_may_send(&ice.agent, 2000));
}

static void proof_by_report(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	icelite_on_keys(&ice.agent, ice.agent.selected);
	ice.now += 3 * S;
	ice_check((struct ice_check){.from = ice_udp(2, 7000), .flag = true});
	CHECK(!icelite_may_send(&ice.agent, 2000));
	icelite_on_acked(&ice.agent, ice.now - 100 * MS); // a report that was sent the old way
	icelite_on_acked(&ice.agent, ice.now);
	CHECK(!icelite_may_send(&ice.agent, 2000));
	icelite_on_acked(&ice.agent, ice.now + 20 * MS);
	CHECK(icelite_may_send(&ice.agent, 2000));
	// and back to the first address, which was proven before
	ice.now += 3 * S;
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	CHECK_EQ(ice_path_port(), 5001);
	CHECK(icelite_may_send(&ice.agent, 2000));
}

static void before_dtls(void)
{
	unsigned tx = 0;

	ice_start();
	CHECK(!icelite_may_send(&ice.agent, 1)); // no path
	ice_check((struct ice_check){.from = ice_udp(1, 5001)});
	for (unsigned i = 0; i < 100; i++)
		tx += icelite_may_send(&ice.agent, 100) ? 100 : 0;
	CHECK(tx > 3900 && tx <= 4096); // room for the server flight, no more
	icelite_on_rx(&ice.agent, 0, 2000);
	CHECK(icelite_may_send(&ice.agent, 1500)); // three times what came
	CHECK(!icelite_may_send(&ice.agent, 2500));
}

// The handshake of TCP went there and back: nothing is asked of such an address.
static void tcp_is_proven(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	icelite_on_keys(&ice.agent, ice.agent.selected);
	ice.now += 3 * S;
	struct icelite_tuple elsewhere = ice_tcp(4000, 7);
	elsewhere.ip[3] = 77;
	ice_check((struct ice_check){.from = elsewhere, .flag = true});
	CHECK_EQ(ice_path_port(), 4000);
	CHECK(icelite_may_send(&ice.agent, 1000000));
	ice_tick();
	CHECK((ice.out.events & ICELITE_EV_SEND) == 0);
}

static void a_check_is_checked_back(void)
{
	struct icelite_tuple a = ice_udp(1, 5001), b = ice_udp(2, 5002), c = ice_tcp(4000, 7);
	struct stun_msg m;

	ice_start();
	CHECK_EQ(ice_check((struct ice_check){.from = a, .spoil_mac = true}), ICELITE_DROP_INTEGRITY);
	CHECK_EQ(icelite_find(&ice.agent, &a), -1);
	ice_tick();
	CHECK(!(ice.out.events & ICELITE_EV_SEND));
	ice_check((struct ice_check){.from = a});
	CHECK(ice_check_back(a));
	CHECK_EQ(stun_parse(ice.out.reply, ice.out.reply_len, &m), 0);
	CHECK(m.cls == STUN_REQUEST && m.controlled && !m.use_candidate);
	CHECK(stun_mac_check(&m, &ice_env.mac, (const uint8_t *)"remotepassword", 14));
	ice_check((struct ice_check){.from = a, .flag = true});
	CHECK(!ice_check_back(a)); // once
	ice_check((struct ice_check){.from = b});
	CHECK(ice_check_back(b));
	ice_check((struct ice_check){.from = c}); // proven, and still waiting for its next round
	CHECK(ice_check_back(c));
	CHECK_EQ(ice_answer_probe(a, "remotepassword"), ICELITE_DROP_METHOD); // what c was asked
	CHECK_EQ(ice_answer_probe(c, "remotepassword"), ICELITE_OK);
	// An ICE restart is a new start on the same addresses.
	CHECK_EQ(icelite_set_creds(&ice.agent, ice_ufrag2, ice_pwd2, STR("remo"), STR("new"), &ice.out), 0);
	ice_check((struct ice_check){.from = a}); // a late one under the old credentials
	CHECK(!ice_check_back(a));
	ice_check((struct ice_check){.from = a, .ufrag = ice_ufrag2, .pwd = ice_pwd2});
	CHECK(ice_check_back(a));
	ice_check((struct ice_check){.from = a, .ufrag = ice_ufrag2, .pwd = ice_pwd2});
	CHECK(!ice_check_back(a));
}

// Who copies a check to a victim's address makes us send there no more than three times what he spends.
static void asked_again_until_proven(void)
{
	struct icelite_tuple t = ice_udp(1, 5001);
	unsigned n = 1, tx;

	ice_start();
	ice_check((struct ice_check){.from = t});
	CHECK(ice_check_back(t));
	tx = ice.out.reply_len;
	for (unsigned i = 0; i < 200; i++) {
		ice.now += 100 * MS;
		ice_tick();
		if (ice.out.events & ICELITE_EV_SEND) {
			CHECK(n > 1 || i == 4); // RFC 8489: not before 500 ms
			tx += ice.out.reply_len;
			n++;
		}
	}
	CHECK(n >= 2 && n <= 8);
	CHECK(tx <= 3 * ice.last_request_len);
	CHECK_EQ(ice_answer_probe(t, "remotepassword"), ICELITE_OK);
	CHECK(icelite_may_send(&ice.agent, 100000));
}

// What comes from the peer's first address arrives, what goes there does not.
static void one_way_path(void)
{
	struct icelite_tuple one_way = ice_udp(1, 5001), good = ice_udp(2, 5002);

	ice_start();
	ice_check((struct ice_check){.from = one_way, .flag = true});
	ice_check_back(one_way);
	ice_check((struct ice_check){.from = good, .flag = true});
	CHECK(ice_check_back(good));
	CHECK_EQ(ice_path_port(), 5001);
	CHECK_EQ(icelite_dtls_pair(&ice.agent, 1), 0); // could be anybody's
	icelite_on_handshake(&ice.agent, 1, ice.now, &ice.out);
	CHECK_EQ(ice_path_port(), 5001);
	CHECK_EQ(ice_answer_probe(good, "remotepassword"), ICELITE_OK);
	CHECK_EQ(icelite_dtls_pair(&ice.agent, 1), 1);
	CHECK_EQ(icelite_dtls_pair(&ice.agent, 0), 0);
	CHECK_EQ(icelite_dtls_pair(&ice.agent, 5), 0); // no pair
	CHECK_EQ(icelite_dtls_pair(&ice.agent, -1), 0);
	icelite_on_handshake(&ice.agent, 1, ice.now, &ice.out);
	CHECK(ice.out.events & ICELITE_EV_PATH);
	CHECK_EQ(ice_path_port(), 5002);
	icelite_on_handshake(&ice.agent, 0, ice.now, &ice.out);
	CHECK_EQ(ice_path_port(), 5002);
}

CU_TestInfo icelite_proof_tests[] = {
	{"the first check of a pair is answered by one of ours too, once", a_check_is_checked_back},
	{"an unproven address is asked again within three times what it sent", asked_again_until_proven},
	{"DTLS and the path go where the peer answered, not where it only sends from", one_way_path},
	{"a spoofed address gets three times what it sent, probes end", unproven_address},
	{"voice leaves room for the probe of a new address", voice_leaves_room_for_the_probe},
	{"the peer's answer to a probe proves an address", proof_by_probe},
	{"a probe under way is forgotten when the password it needs is gone", probe_then_restart},
	{"a report about what was sent there proves an address", proof_by_report},
	{"before DTLS at most 4 KiB or three times", before_dtls},
	{"a TCP connection proves its address", tcp_is_proven},
	CU_TEST_INFO_NULL,
};
