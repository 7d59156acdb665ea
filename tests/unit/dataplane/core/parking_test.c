// Packets that wait: what one tenant's sessions hold leaves room for others, and never more than the lot is taken.
#include "dataplane/core/parking.h"

#include "dataplane/worker/worker_stats.h"
#include "tests/support/dataplane/rig_peer.h"

#define LOT 64

static struct rig_peer peer[16];

// A session with a path and without keys says n packets. On 09e1aeb each kept its 8, however many there were.
static void join_and_say(unsigned slot, uint32_t tenant, unsigned n)
{
	rig.tenant = tenant;
	rig_add(&peer[slot], slot, SEAL_AEAD_AES_128_GCM);
	rig_check(&peer[slot]);
	rig_run(0);
	for (unsigned i = 0; i < n; i++)
		rig_say(&peer[slot]);
	rig_run(0);
}

static void leave(unsigned slot)
{
	struct ipc_session_ref ref = {.sid = peer[slot].sid};

	CHECK_EQ(rig_cmd(&ref, CMD_SESSION_DEL), 0);
	rig_leave(&peer[slot]);
	rig_run(0);
}

static void tenants_share(void)
{
	struct parking_lot *lot;

	CHECK_OR_RETURN(rig_open(1));
	lot = &rig.dp->worker[0]->parking;
	CHECK(lot->max > 0 && lot->max * PARKING_POOL_SHARE <= rig.dp->rx_pool->size);
	lot->max = LOT;
	for (unsigned i = 0; i < 8; i++)
		join_and_say(i, 1, PARKING_MAX);
	CHECK_EQ(lot->n, LOT / 2); // one has half of it at most
	CHECK_EQ(rig_counter(DROP_PARKING_FULL), LOT / 2);
	join_and_say(8, 2, PARKING_MAX);
	CHECK_EQ(lot->n, LOT / 2 + PARKING_MAX);
	rig_keys(&peer[8]); // what waited is opened
	rig_run(0);
	CHECK_EQ(rig_counter(CTR_RTP_RX_PACKETS), PARKING_MAX);
	for (unsigned i = 9; i < 13; i++)
		join_and_say(i, 3 + i, PARKING_MAX);
	CHECK(lot->n > LOT / 2 && lot->n <= LOT);
	for (unsigned i = 0; i < 13; i++)
		leave(i);
	CHECK_EQ(lot->n, 0);
	for (unsigned i = 0; i < PARKING_TENANTS; i++)
		CHECK_OR_RETURN(lot->held[i] == 0);
	rig_close();
}

static void room_comes_back(void)
{
	struct parking_lot *lot;

	CHECK_OR_RETURN(rig_open(1));
	lot = &rig.dp->worker[0]->parking;
	lot->max = 8;
	join_and_say(0, 1, PARKING_MAX);
	CHECK_EQ(lot->n, 4);
	rig_run(2 * PARKING_NS);
	rig_run(PARKING_NS);
	CHECK_EQ(lot->n, 0); // they waited for too long
	CHECK_EQ(rig_counter(DROP_NOT_KEYED), 4);
	join_and_say(1, 1, 1);
	CHECK_EQ(lot->n, 1);
	rig_run(WORKER_STATS_NS);
	CHECK_EQ(rig_counter(GAUGE_PARKED), 1);
	leave(0);
	leave(1);
	rig_close();
}

CU_TestInfo parking_tests[] = {
	{"what waits for one tenant leaves room for others", tenants_share},
	{"who waited too long makes room", room_comes_back},
	CU_TEST_INFO_NULL,
};
