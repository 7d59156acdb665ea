// Which pair is the path.
#include "lib/rtc/ice/icelite.h"

#include "tests/support/lib/ice_peer.h"
#include "tests/unit/check.h"

static void aggressive(void)
{
	unsigned n_changes = 0;

	ice_start();
	for (unsigned i = 0; i < 200; i++) { // 10 s; port 5002 has the highest priority
		uint16_t port = (uint16_t)(5001 + i % 3);
		ice_check((struct ice_check){
			.from = ice_udp(1, port), .flag = true, .priority = port == 5002 ? 900 : 100});
		n_changes += (ice.out.events & ICELITE_EV_PATH) != 0;
		ice.now += 50 * MS;
	}
	CHECK_EQ(ice_path_port(), 5002);
	CHECK_EQ(n_changes, 2); // the first at once, the best once
}

static void silent_path(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true, .priority = 900});
	ice_check((struct ice_check){.from = ice_udp(1, 5002), .flag = true, .priority = 100});
	CHECK_EQ(ice_path_port(), 5001);
	for (unsigned i = 0; i < 60 && ice_path_port() == 5001; i++) {
		ice.now += 100 * MS;
		if (i % 9 == 8) // flagged checks go on only on the other pair
			ice_check(
				(struct ice_check){.from = ice_udp(1, 5002), .flag = true, .priority = 100});
	}
	CHECK_EQ(ice_path_port(), 5002);
	CHECK(ice.now - 1000 * S <= 2500 * MS + 900 * MS);
}

static void nomination_values(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .nomination = 1});
	CHECK_EQ(ice_path_port(), 5001);
	ice_check((struct ice_check){.from = ice_udp(1, 5002), .nomination = 2});
	CHECK_EQ(ice_path_port(), 5002);
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .nomination = 2});
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .nomination = 1});
	CHECK_EQ(ice_path_port(), 5002);
	// Chrome's way: the flag leaves 5002, which is still checked, and appears on 5003 of lower priority.
	ice_check((struct ice_check){.from = ice_udp(1, 5002), .priority = 900});
	ice_check((struct ice_check){.from = ice_udp(1, 5003), .priority = 5, .flag = true});
	CHECK_EQ(ice_path_port(), 5003);
}

static void pion_keepalives(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	for (unsigned i = 0; i < 30; i++) { // without flag every 2 s, for a minute
		ice.now += 2 * S;
		ice_check((struct ice_check){.from = ice_udp(1, 5001)});
		ice_tick();
		CHECK_EQ(ice.out.events, 0);
	}
	CHECK_EQ(ice_path_port(), 5001);
	CHECK(icelite_path(&ice.agent)->is_nominated);
}

static void rebinding(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	icelite_on_keys(&ice.agent, ice.agent.selected);
	ice_media(5001, 50, true);
	// NAT gives a new port: a check without the flag makes it a pair, media moves the path.
	ice_check((struct ice_check){.from = ice_udp(1, 5002)});
	CHECK_EQ(ice_path_port(), 5001);
	CHECK_EQ(ice_media(5002, 24, true), 0); // 480 ms
	CHECK_EQ(ice_media(5002, 4, true), 1);
	CHECK_EQ(ice_path_port(), 5002);
	CHECK(icelite_path(&ice.agent)->is_nominated &&
	      icelite_path(&ice.agent)->is_proven); // same address, no probing
	CHECK(icelite_may_send(&ice.agent, 100000));
}

static void media_does_not_move_alone(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	ice_check((struct ice_check){.from = ice_udp(1, 5002)});
	for (unsigned i = 0; i < 100; i++) { // the selected path is in use
		CHECK_EQ(ice_media(5001, 1, true), 0);
		CHECK_EQ(ice_media(5002, 3, true), 0);
	}
	CHECK_EQ(ice_media(5002, 100, false), 0); // copies of old packets move nothing
	CHECK_EQ(ice_path_port(), 5001);
}

static void idle_selected(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true, .priority = 9});
	for (unsigned i = 0; i < 9;
	     i++) { // the other pair was nominated once and is checked without flag since
		ice_check((struct ice_check){.from = ice_udp(1, 5002), .flag = i == 0, .priority = 1});
		CHECK_EQ(ice_path_port(), 5001);
		ice.now += 900 * MS;
		ice_tick();
		if (ice_path_port() == 5002)
			break;
	}
	CHECK_EQ(ice_path_port(), 5002);
	CHECK_EQ((ice.now - 1000 * S) / MS, 8100);
}

static void udp_before_tcp(void)
{
	struct icelite_tuple t = ice_udp(1, 4000);

	t.proto = TCP;
	t.conn = 7;
	ice_start();
	ice_check((struct ice_check){.from = t, .flag = true, .priority = 900});
	CHECK_EQ(ice_path_port(), 4000);
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true, .priority = 5});
	CHECK_EQ(ice_path_port(), 5001);
	for (unsigned i = 0; i < 10; i++) {
		ice.now += 500 * MS;
		ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true, .priority = 5});
		ice_check((struct ice_check){.from = t, .flag = true, .priority = 900});
		CHECK_EQ(ice_path_port(), 5001);
	}
}

// The network begins to swallow UDP: Chrome keeps its TCP spare warm, moves its flag there, and back when UDP works.
static void spare_path(void)
{
	struct icelite_tuple spare = ice_tcp(4000, 7);

	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true, .priority = 900});
	ice_check((struct ice_check){.from = ice_tcp(4000, 7), .priority = 5});
	CHECK_EQ(ice_path_port(), 5001);
	for (unsigned i = 0; i < 30; i++) { // 60 s: nothing moves, nothing is forgotten
		ice.now += 2 * S;
		ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true, .priority = 900});
		ice_check((struct ice_check){.from = ice_tcp(4000, 7), .priority = 5});
		ice_tick();
		CHECK_EQ(ice_path_port(), 5001);
		CHECK(icelite_find(&ice.agent, &spare) >= 0);
	}
	ice.now += 2500 * MS; // UDP is silent
	ice_check((struct ice_check){.from = ice_tcp(4000, 7), .flag = true, .priority = 5});
	CHECK_EQ(ice_path_port(), 4000);
	CHECK(icelite_path(&ice.agent)->is_nominated && icelite_path(&ice.agent)->is_proven);
	CHECK_EQ(ice.agent.liveness, ICELITE_LIVE);
	ice.now += 10 * S; // UDP works again, the flag is still on TCP
	ice_check((struct ice_check){.from = ice_tcp(4000, 7), .flag = true, .priority = 5});
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .priority = 900});
	CHECK_EQ(ice_path_port(), 4000);
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true, .priority = 900});
	CHECK_EQ(ice_path_port(), 5001);
}

// Both nominated, both silent then fresh again: the timer too takes UDP, whatever the priorities.
static void timer_prefers_udp(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .nomination = 9});
	ice_check((struct ice_check){.from = ice_tcp(4000, 7), .nomination = 1, .priority = 900});
	ice_check((struct ice_check){.from = ice_udp(1, 5002), .nomination = 1, .priority = 1});
	CHECK_EQ(ice_path_port(), 5001);
	ice.now += 7 * S;
	ice_check((struct ice_check){.from = ice_tcp(4000, 7), .priority = 900});
	ice_check((struct ice_check){.from = ice_udp(1, 5002), .priority = 1});
	ice.now += 1 * S;
	ice_tick();
	CHECK_EQ(ice_path_port(), 5002);
}

static void few_changes(void)
{
	unsigned n = 0;

	ice_start();
	for (uint32_t i = 1; i <= 100; i++) { // a peer that nominates another port every 100 ms
		ice_check((struct ice_check){.from = ice_udp(1, (uint16_t)(5000 + i % 2)), .nomination = i});
		n += (ice.out.events & ICELITE_EV_PATH) != 0;
		ice.now += 100 * MS;
	}
	CHECK(n <= 6);
	ice.now += 10 * S; // later its wish is heard again
	ice_check((struct ice_check){.from = ice_udp(1, 5000), .nomination = 200});
	CHECK_EQ(ice_path_port(), 5000);
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .nomination = 201});
	CHECK_EQ(ice_path_port(), 5001);
}

CU_TestInfo icelite_path_tests[] = {
	{"three pairs flagged in turn settle on the highest priority without flapping", aggressive},
	{"a silent path is left within 2.5 s and one check", silent_path},
	{"renomination values, and a flag that moves to a lower priority", nomination_values},
	{"keepalives without the flag keep the path (Pion)", pion_keepalives},
	{"after a NAT rebinding authenticated media moves the path", rebinding},
	{"media moves nothing while the path is in use, nor do copies", media_does_not_move_alone},
	{"a path idle for 8 s gives way to a nominated one", idle_selected},
	{"UDP is preferred over TCP", udp_before_tcp},
	{"a client that loses UDP moves to its TCP spare and back", spare_path},
	{"when the path goes silent the timer, too, prefers UDP", timer_prefers_udp},
	{"the path changes at most 4 times in 10 s", few_changes},
	CU_TEST_INFO_NULL,
};
