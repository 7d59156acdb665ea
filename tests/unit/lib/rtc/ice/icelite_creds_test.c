// Credentials, and what an ICE restart does with them.
#include "lib/rtc/ice/icelite.h"

#include <errno.h>

#include "tests/support/lib/ice_peer.h"
#include "tests/unit/check.h"

static void restart(void)
{
	struct ice_check old = {.from = ice_udp(1, 5001), .flag = true};
	struct ice_check fresh = {.from = ice_udp(1, 5002),
				  .flag = true,
				  .ufrag = ice_ufrag2,
				  .pwd = ice_pwd2,
				  .remote = "new1"};

	ice_start();
	ice_check(old);
	icelite_on_keys(&ice.agent, ice.agent.selected);
	CHECK_EQ(icelite_set_creds(&ice.agent, ice_ufrag2, ice_pwd2, STR_NONE, STR_NONE, &ice.out), 0);
	CHECK_EQ(ice.out.events, 0);
	ice.now += 40 * S / 20;
	CHECK_EQ(ice_check(old), ICELITE_REPLY); // the answer is still on its way
	CHECK_EQ(ice_path_port(), 5001);
	CHECK(icelite_may_send(&ice.agent, 1000));
	CHECK_EQ(ice_check(fresh), ICELITE_REPLY);   // remote ufrag not known yet: any
	CHECK_EQ(ice_path_port(), 5002);             // the new generation takes over at once
	CHECK(icelite_may_send(&ice.agent, 100000)); // same address, keys live on
	CHECK_EQ(icelite_set_creds(&ice.agent, ice_ufrag2, ice_pwd2, STR("new1"), STR("newpwd"), &ice.out),
		 0);
	fresh.remote = "bad1";
	CHECK_EQ(ice_check(fresh), ICELITE_DROP_USERNAME);
	fresh.remote = "new1";
	for (unsigned i = 0; i < 14; i++) {
		ice.now += 2 * S;
		CHECK_EQ(ice_check(old), ICELITE_REPLY);
		CHECK_EQ(ice_check(fresh), ICELITE_REPLY);
		ice_tick();
		CHECK_EQ(ice_path_port(), 5002); // flagged checks of the old generation move nothing
	}
	ice.now += 2 * S; // 30 s after the first check under the new ones
	ice_tick();
	CHECK(ice.out.events & ICELITE_EV_CREDS_GONE);
	CHECK_MEM(ice.out.gone_ufrag, ice_ufrag1, ICELITE_UFRAG_LEN);
	CHECK_EQ(ice_check(old), ICELITE_DROP_USERNAME);
	CHECK_EQ(ice_check(fresh), ICELITE_REPLY);
}

static void restart_renomination(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .nomination = 7});
	CHECK_EQ(icelite_set_creds(&ice.agent, ice_ufrag2, ice_pwd2, STR("new1"), STR("newpwd"), &ice.out),
		 0);
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .nomination = 8});
	ice_check((struct ice_check){.from = ice_udp(1, 5002),
				     .nomination = 1,
				     .ufrag = ice_ufrag2,
				     .pwd = ice_pwd2,
				     .remote = "new1"});
	CHECK_EQ(ice_path_port(), 5002); // values start again with the generation
}

static void second_restart(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	CHECK_EQ(icelite_set_creds(&ice.agent, ice_ufrag2, ice_pwd2, STR_NONE, STR_NONE, &ice.out), 0);
	CHECK_EQ(icelite_set_creds(&ice.agent, ice_ufrag3, ice_pwd2, STR_NONE, STR_NONE, &ice.out), 0);
	CHECK(ice.out.events & ICELITE_EV_CREDS_GONE);
	CHECK_MEM(ice.out.gone_ufrag, ice_ufrag1, ICELITE_UFRAG_LEN);
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 5001)}), ICELITE_DROP_USERNAME);
	CHECK_EQ(
		ice_check((struct ice_check){.from = ice_udp(1, 5001), .ufrag = ice_ufrag2, .pwd = ice_pwd2}),
		ICELITE_REPLY);
	CHECK_EQ(
		ice_check((struct ice_check){.from = ice_udp(1, 5001), .ufrag = ice_ufrag3, .pwd = ice_pwd2}),
		ICELITE_REPLY);
}

static void long_remote_values(void)
{
	char longer[300];

	memset(longer, 'x', sizeof(longer));
	ice_start();
	CHECK_EQ(icelite_set_creds(&ice.agent, ice_ufrag2, ice_pwd2, (struct str){longer, 33}, STR("p"),
				   &ice.out),
		 -EINVAL);
	CHECK_EQ(icelite_set_creds(&ice.agent, ice_ufrag2, ice_pwd2, (struct str){longer, 32},
				   (struct str){longer, 256}, &ice.out),
		 0);
	ice_check((struct ice_check){.from = ice_udp(1, 1),
				     .ufrag = ice_ufrag2,
				     .pwd = ice_pwd2,
				     .remote = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
				     .flag = true});
	icelite_on_keys(&ice.agent, ice.agent.selected);
	ice.now += 3 * S;
	ice_check((struct ice_check){.from = ice_udp(2, 2),
				     .ufrag = ice_ufrag2,
				     .pwd = ice_pwd2,
				     .remote = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
				     .flag = true});
	CHECK_EQ(ice_path_port(), 2);
	ice_tick();
	CHECK(!(ice.out.events & ICELITE_EV_SEND)); // no probes with such a password
}

CU_TestInfo icelite_creds_tests[] = {
	{"ICE restart: old and new are answered, the new one takes over, the old one ends", restart},
	{"nomination values start again with an ICE restart", restart_renomination},
	{"a second restart ends the first credentials at once", second_restart},
	{"remote names too long are refused, passwords too long only disable probes", long_remote_values},
	CU_TEST_INFO_NULL,
};
