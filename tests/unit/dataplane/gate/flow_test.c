// Tables of flows and ufrags.
#include "dataplane/gate/flow.h"
#include "tests/support/dataplane/rig_peer.h"

static void flows(void)
{
	struct rig_peer a = {.port = 5000}, b = {.port = 5001};
	struct flow_key ka = rig_key(&a), kb = rig_key(&b);

	CHECK_OR_RETURN(rig_open(1));
	CHECK_EQ(flow_find(rig.dp, &ka).sid, 0);
	CHECK(flow_add(rig.dp, &ka, (struct flow){.sid = 0xff000001, .home = 3, .pair = 7}));
	CHECK_EQ(flow_find(rig.dp, &ka).sid, 0xff000001);
	CHECK_EQ(flow_find(rig.dp, &ka).home, 3);
	CHECK_EQ(flow_find(rig.dp, &ka).pair, 7);
	CHECK_EQ(flow_find(rig.dp, &kb).sid, 0);
	CHECK(flow_add(rig.dp, &ka, (struct flow){.sid = 2})); // the address went to another session
	flow_del(rig.dp, &ka, 0xff000001);
	CHECK_EQ(flow_find(rig.dp, &ka).sid, 2);
	flow_del(rig.dp, &ka, 2);
	CHECK_EQ(flow_find(rig.dp, &ka).sid, 0);
	CHECK_EQ(flow_count(rig.dp), 0);
	rig_close();
}

static void ufrags(void)
{
	CHECK_OR_RETURN(rig_open(1));
	CHECK(ufrag_add(rig.dp, "0123456789abcdef", 5, 0));
	CHECK(!ufrag_add(rig.dp, "0123456789abcdef", 6, 0)); // never two
	CHECK_EQ(ufrag_find(rig.dp, "0123456789abcdef").sid, 5);
	CHECK_EQ(ufrag_find(rig.dp, "0123456789abcdeF").sid, 0);
	ufrag_del(rig.dp, "0123456789abcdef");
	CHECK_EQ(ufrag_find(rig.dp, "0123456789abcdef").sid, 0);
	rig_close();
}

CU_TestInfo flow_tests[] = {
	{"a flow is found, re-bound, and removed only by its owner", flows},
	{"a ufrag belongs to one session", ufrags},
	CU_TEST_INFO_NULL,
};
