// The table of address pairs.
#include "lib/rtc/ice/icelite.h"

#include "tests/support/lib/ice_peer.h"
#include "tests/unit/check.h"

static void ninth_pair(void)
{
	ice_start();
	for (uint16_t i = 0; i < 8; i++) {
		ice_check((struct ice_check){.from = ice_udp(1, (uint16_t)(5000 + i)), .flag = i == 0});
		ice.now += 100 * MS;
	}
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 6000)}),
		 ICELITE_DROP_PAIRS); // none idle for 2 s
	ice.now += 2 * S;
	for (uint16_t i = 2; i < 8; i++)
		ice_check((struct ice_check){.from = ice_udp(1, (uint16_t)(5000 + i))});
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 6000)}), ICELITE_REPLY);
	CHECK(ice.out.events & ICELITE_EV_PAIR_GONE);
	CHECK_EQ(ice.out.n_gone, 1);
	CHECK_EQ(ice.out.gone[0].port, 5001); // the oldest, but not the selected one
	CHECK_EQ(ice_path_port(), 5000);
	CHECK(icelite_find(&ice.agent, &ice.out.gone[0]) < 0);
}

static void many_new_pairs(void)
{
	unsigned n_ok = 0;

	ice_start();
	for (uint16_t i = 0; i < 20; i++) {
		n_ok += ice_check((struct ice_check){.from = ice_udp(1, (uint16_t)(5000 + i))}) ==
			ICELITE_REPLY;
		ice.now += 2500 * MS;
	}
	CHECK_EQ(n_ok, 16);
	ice.now += 60 * S;
	CHECK_EQ(ice_check((struct ice_check){.from = ice_udp(1, 7000)}), ICELITE_REPLY);
}

// Without a pair there is no media: the rule is the caller's.
static void stranger(void)
{
	struct icelite_tuple t = ice_udp(1, 5001), other = t;

	ice_start();
	ice_check((struct ice_check){.from = t, .flag = true});
	CHECK_EQ(icelite_find(&ice.agent, &t), 0);
	other.ip[3]++;
	CHECK(icelite_find(&ice.agent, &other) < 0);
	other = t, other.port++;
	CHECK(icelite_find(&ice.agent, &other) < 0);
	other = t, other.local++; // replies must leave from where the check arrived
	CHECK(icelite_find(&ice.agent, &other) < 0);
}

static void idle_pairs_go(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
	ice_check((struct ice_check){.from = ice_udp(1, 5002)});
	for (unsigned i = 0; i < 31; i++) {
		ice.now += 1 * S;
		if (i < 30)
			ice_check((struct ice_check){.from = ice_udp(1, 5001), .flag = true});
		ice_tick();
		if (ice.out.n_gone)
			break;
	}
	CHECK_EQ((ice.now - 1000 * S) / S, 30);
	CHECK(ice.out.n_gone == 1 && ice.out.gone[0].port == 5002);
	CHECK_EQ(ice_path_port(), 5001);
}

static void gone(struct icelite_tuple t)
{
	int pair = icelite_find(&ice.agent, &t);

	CHECK_OR_RETURN(pair >= 0);
	icelite_on_gone(&ice.agent, (unsigned)pair, ice.now, &ice.out);
	CHECK(ice.out.events & ICELITE_EV_PAIR_GONE);
	CHECK_EQ(ice.out.n_gone, 1);
	CHECK_MEM(&ice.out.gone[0], &t, sizeof(t));
	CHECK(icelite_find(&ice.agent, &t) < 0);
}

static void closed_connection(void)
{
	ice_start();
	ice_check((struct ice_check){.from = ice_tcp(4000, 7), .flag = true, .priority = 5});
	ice_check((struct ice_check){.from = ice_tcp(4001, 8), .priority = 9});
	ice_check((struct ice_check){.from = ice_udp(2, 5002), .priority = 1});
	gone(ice_tcp(4001, 8)); // a spare: the path stays
	CHECK_EQ(ice.out.events & ICELITE_EV_PATH, 0);
	CHECK_EQ(ice_path_port(), 4000);
	ice_check((struct ice_check){.from = ice_tcp(4002, 9), .priority = 9});
	gone(ice_tcp(4000, 7)); // the path: UDP before TCP
	CHECK(ice.out.events & ICELITE_EV_PATH);
	CHECK_EQ(ice_path_port(), 5002);
	CHECK_EQ(ice.agent.liveness, ICELITE_LIVE);
	ice.now += 9 * S;
	ice_check((struct ice_check){.from = ice_tcp(4002, 9), .flag = true, .priority = 9});
	CHECK_EQ(ice_path_port(), 4002);
	gone(ice_tcp(4002, 9)); // UDP was silent for too long to be one
	CHECK(icelite_path(&ice.agent) == NULL);
	CHECK_EQ(ice.agent.liveness, ICELITE_SUSPECT);
	CHECK(ice.out.events & ICELITE_EV_LIVENESS);
	CHECK(!icelite_may_send(&ice.agent, 1));
	ice_check((struct ice_check){.from = ice_tcp(4003, 10), .flag = true});
	CHECK_EQ(ice_path_port(), 4003);
	CHECK_EQ(ice.agent.liveness, ICELITE_LIVE);
}

CU_TestInfo icelite_pairs_tests[] = {
	{"a ninth pair evicts the oldest idle one, never the selected", ninth_pair},
	{"at most 16 new pairs a minute", many_new_pairs},
	{"other addresses, ports and local addresses are strangers", stranger},
	{"idle pairs go after 30 s", idle_pairs_go},
	{"a closed connection takes its pair, and a spare the path, at once", closed_connection},
	CU_TEST_INFO_NULL,
};
