// What silence means.
#include "lib/rtc/ice/icelite.h"

#include "tests/support/lib/ice_peer.h"
#include "tests/unit/check.h"

static void consent(void)
{
	ns_t last;

	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	icelite_on_keys(&ice.agent, ice.agent.selected);
	last = ice.now;
	while (icelite_may_send(&ice.agent, 100) && ice.now - last < 60 * S) { // media alone is no consent
		ice.now += 100 * MS;
		icelite_on_media(&ice.agent, 0, true, ice.now, &ice.out);
		ice_tick();
	}
	CHECK_EQ((ice.now - last) / MS, 30000);
	CHECK_EQ(ice.agent.liveness, ICELITE_LOST);
	CHECK(ice.out.events & ICELITE_EV_LIVENESS);
	CHECK((ice.out.events & ICELITE_EV_PAIR_GONE) && ice.out.gone[0].port == 5001);
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true}),
		 ICELITE_REPLY); // and comes back
	CHECK(ice.out.events & ICELITE_EV_LIVENESS);
	CHECK_EQ(ice.agent.liveness, ICELITE_LIVE);
	CHECK(icelite_may_send(&ice.agent, 100));
}

static void suspect(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	ice.now += 2900 * MS;
	ice_tick();
	CHECK_EQ(ice.out.events, 0);
	ice.now += 100 * MS;
	ice_tick();
	CHECK(ice.out.events == ICELITE_EV_LIVENESS && ice.agent.liveness == ICELITE_SUSPECT);
	ice_tick();
	CHECK_EQ(ice.out.events, 0);
	CHECK(icelite_may_send(&ice.agent, 100)); // only a warning
	icelite_on_media(&ice.agent, 0, false, ice.now, &ice.out);
	CHECK(ice.out.events == ICELITE_EV_LIVENESS && ice.agent.liveness == ICELITE_LIVE);
}

static void no_path(void)
{
	ice_start();
	ice.now += 29 * S;
	ice_tick();
	CHECK_EQ(ice.out.events, 0);
	ice.now += 1 * S;
	ice_tick();
	CHECK(ice.out.events == ICELITE_EV_LIVENESS && ice.agent.liveness == ICELITE_NO_PATH);
	ice_tick();
	CHECK_EQ(ice.out.events, 0);
	ice_check((struct ice_check){.from = ice_udp(1, 5001)});
	CHECK_EQ(ice.agent.liveness, ICELITE_LIVE);
}

CU_TestInfo icelite_liveness_tests[] = {
	{"without checks sending stops after 30 s, a check revives", consent},
	{"nothing for 3 s makes the session suspect, media alone clears it", suspect},
	{"no check within 30 s of the start is told once", no_path},
	CU_TEST_INFO_NULL,
};
