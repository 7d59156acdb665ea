// Paths and consent as the dataplane applies them; what icelite decides is tested with lib/rtc.
#include "dataplane/gate/flow.h"
#include "tests/support/dataplane/rig_peer.h"

// The peer's credentials as its offer told them.
static void know_peer(const struct rig_peer *p)
{
	struct ipc_session_ice ice = {.sid = p->sid, .remote_ufrag_len = 3};

	memcpy(ice.ufrag, p->ufrag, sizeof(ice.ufrag));
	memcpy(ice.pwd, p->pwd, sizeof(ice.pwd));
	memcpy(ice.remote_ufrag, "rig", 3);
	memcpy(ice.remote_pwd, "rigs own password", 17);
	CHECK_EQ(rig_cmd(&ice, CMD_SESSION_ICE), 0);
}

static unsigned n_checks_to(uint16_t port)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig.n_sent; i++)
		n += rig.sent[i].to.remote_port == port && be16_get(rig.sent[i].data) == 0x0001;
	return n;
}

// Pion nominates in rounds of 200 ms, or when a check comes on a pair that is valid by then.
static void checked_back(void)
{
	struct rig_peer a, stranger;

	CHECK_OR_RETURN(rig_open(1));
	rig_add(&a, 0, SEAL_AEAD_AES_128_GCM);
	know_peer(&a);
	rig.n_sent = 0;
	stranger = a;
	stranger.port = 6666;
	memset(stranger.pwd, 'x', sizeof(stranger.pwd));
	rig_check(&stranger);
	rig_run(0);
	CHECK_EQ(rig.n_sent, 0);
	rig_check(&a);
	rig_run(0);
	CHECK_OR_RETURN(rig.n_sent == 2);
	CHECK_EQ(be16_get(rig.sent[0].data), 0x0101); // the answer first
	CHECK_EQ(be16_get(rig.sent[1].data), 0x0001);
	CHECK_EQ(rig_counter(CTR_STUN_PROBES), 1);
	rig_check(&a);
	rig_run(0);
	CHECK_EQ(n_checks_to(a.port), 1);
	a.port = 6000;
	rig_check(&a);
	rig_run(0);
	CHECK_EQ(n_checks_to(6000), 1);
	rig_leave(&a);
	rig_close();
}

static uint8_t last_liveness(uint32_t sid)
{
	struct note note;
	uint8_t state = 0xff;

	for (unsigned i = 0; i < rig.dp->n_workers; i++)
		while (note_take(rig.dp->worker[i], &note))
			if (note.type == NOTE_LIVENESS && note.sid == sid)
				state = note.liveness;
	return state;
}

static unsigned replies_to(uint16_t port)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig.n_sent; i++)
		n += rig.sent[i].to.remote_port == port && be16_get(rig.sent[i].data) == 0x0101;
	return n;
}

static void consent(void)
{
	struct rig_peer a, b;
	unsigned heard;

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig_join(&b, 1, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	last_liveness(b.sid);
	for (unsigned i = 0; i < 29 * 50; i++) { // b checks no more
		rig_say(&a);
		rig_run(20 * NS_PER_MS);
		if (i % 100 == 0)
			rig_check(&a);
	}
	CHECK_EQ(rig_n_heard(&b, 77), 29 * 50);
	CHECK_EQ(last_liveness(b.sid), LIVE_SUSPECT);
	for (unsigned i = 0; i < 2 * 50; i++) {
		rig_say(&a);
		rig_run(20 * NS_PER_MS);
	}
	CHECK_EQ(last_liveness(b.sid), LIVE_LOST);
	heard = rig_n_heard(&b, 77);
	for (unsigned i = 0; i < 50; i++) {
		rig_say(&a);
		rig_run(20 * NS_PER_MS);
	}
	CHECK_EQ(rig_n_heard(&b, 77), heard);
	CHECK(rig_counter(DROP_NO_PATH) >= 50);
	CHECK_EQ(rig_counter(CTR_CONSENT_LOST), 1);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

static void never_came(void)
{
	struct rig_peer a;

	CHECK_OR_RETURN(rig_open(1));
	rig_add(&a, 0, SEAL_AEAD_AES_128_GCM);
	for (unsigned i = 0; i < 58; i++)
		rig_run(500 * NS_PER_MS);
	CHECK_EQ(last_liveness(a.sid), 0xff);
	for (unsigned i = 0; i < 4; i++)
		rig_run(500 * NS_PER_MS);
	CHECK_EQ(last_liveness(a.sid), LIVE_NO_PATH);
	rig_leave(&a);
	rig_close();
}

// The NAT gives the client another port, and its packets now arrive at another worker.
static void rebinding(void)
{
	struct rig_peer a, b;
	struct rtp_view before, after;
	uint16_t old_port;

	CHECK_OR_RETURN(rig_open(2));
	rig_join(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig_join(&b, 1, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig_leg(&a, 0, &b, 88), 0);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	for (unsigned i = 0; i < 50; i++) {
		rig_say(&a);
		rig_say(&b);
		rig_run(20 * NS_PER_MS);
	}
	CHECK_OR_RETURN(rig_heard(&a, 88, &before) != NULL);
	old_port = a.port;
	a.port = 6000;
	a.queue = 1;
	rig_say(&a); // before the check: from nobody
	rig_run(20 * NS_PER_MS);
	CHECK_EQ(rig_counter(DROP_NO_FLOW), 1);
	rig_check(&a);
	rig_run(20 * NS_PER_MS);
	CHECK_EQ(replies_to(6000), 1);
	rig.n_sent = 0;
	for (unsigned i = 0; i < 150; i++) { // 3 s
		rig_say(&a);
		rig_say(&b);
		rig_run(20 * NS_PER_MS);
	}
	CHECK(rig_n_heard(&a, 88) > 100); // at the new address
	CHECK(rig_heard(&a, 88, &after) != NULL && after.seq == (uint16_t)(before.seq + 150));
	CHECK_EQ(rig_n_heard(&b, 77), 150);
	a.port = old_port;
	CHECK(rig_n_heard(&a, 88) < 50);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

static void addresses_go_with_the_session(void)
{
	struct rig_peer a;
	struct ipc_session_ref ref = {};

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, SEAL_AEAD_AES_128_GCM);
	a.port = 6001;
	rig_check(&a);
	rig_run(0);
	CHECK_EQ(flow_count(rig.dp), 2);
	ref.sid = a.sid;
	CHECK_EQ(rig_cmd(&ref, CMD_SESSION_DEL), 0);
	rig_run(NS_PER_MS);
	CHECK_EQ(flow_count(rig.dp), 0);
	rig_check(&a);
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_STUN_UNKNOWN_UFRAG), 1);
	rig_leave(&a);
	rig_close();
}

// New credentials: both answer, then only the new ones.
static void restart(void)
{
	struct rig_peer a, old;
	struct ipc_session_ice ice = {};

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, SEAL_AEAD_AES_128_GCM);
	old = a;
	memset(a.ufrag, 'n', sizeof(a.ufrag));
	memset(a.pwd, 'N', sizeof(a.pwd));
	ice.sid = a.sid;
	memcpy(ice.ufrag, a.ufrag, sizeof(ice.ufrag));
	memcpy(ice.pwd, a.pwd, sizeof(ice.pwd));
	CHECK_EQ(rig_cmd(&ice, CMD_SESSION_ICE), 0);
	rig.n_sent = 0;
	rig_check(&old);
	rig_run(0);
	rig_check(&a);
	rig_run(0);
	CHECK_EQ(replies_to(a.port), 2);
	for (unsigned i = 0; i < 70; i++) { // 35 s
		rig_run(500 * NS_PER_MS);
		if (i % 4 == 0)
			rig_check(&a);
		union ipc_msg event;
		struct note note;
		while (note_take(rig.dp->worker[0], &note))
			model_note(rig.model, &note, &event);
	}
	rig.n_sent = 0;
	rig_check(&old);
	rig_run(0);
	CHECK_EQ(replies_to(a.port), 0);
	CHECK_EQ(ufrag_find(rig.dp, old.ufrag).sid, 0);
	rig_check(&a);
	rig_run(0);
	CHECK_EQ(replies_to(a.port), 1);
	rig_leave(&a);
	rig_close();
}

// In one round of worker 1 a packet is queued for b, then b's check from a new address comes over from worker 0.
static void queued_before_the_change(void)
{
	struct rig_peer p[4];
	uint16_t old_port;

	CHECK_OR_RETURN(rig_open(2));
	for (unsigned i = 0; i < 4; i++)
		rig_join(&p[i], i, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig.dp->session[1]->home, 1);
	CHECK_EQ(rig.dp->session[3]->home, 1);
	CHECK_EQ(rig_leg(&p[3], 0, &p[1], 77), 0);
	p[1].queue = 1;
	for (unsigned i = 0; i < 150; i++) {
		rig_say(&p[1]);
		rig_run(20 * NS_PER_MS);
	}
	rig.n_sent = 0;
	old_port = p[3].port;
	p[3].port = 6000;
	rig_say(&p[1]);
	rig_check(&p[3]);
	rig_run(20 * NS_PER_MS);
	CHECK_EQ(rig.dp->session[3]->path.key.remote_port, 6000);
	CHECK_EQ(rig_n_heard(&p[3], 77), 0);
	p[3].port = old_port;
	CHECK_EQ(rig_n_heard(&p[3], 77), 1);
	for (unsigned i = 0; i < 4; i++)
		rig_leave(&p[i]);
	rig_close();
}

static unsigned n_bound, n_unbound;

static void count_bind(struct port *p, unsigned queue, const struct flow_key *key, uint32_t sid,
		       bool is_bound)
{
	if (sid != 0x01000001)
		return;
	CHECK_EQ(queue, 1); // of its home
	n_bound += is_bound;
	n_unbound += !is_bound;
}

// Its news may come in at another worker than the session's home.
static void closed_connection(void)
{
	struct port_ops ops = rig_ops;
	struct rig_peer a, b;

	CHECK_OR_RETURN(rig_open(2));
	ops.bind = count_bind;
	n_bound = n_unbound = 0;
	rig_join(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig.port.ops = &ops;
	rig_join(&b, 1, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig.dp->session[1]->home, 1);
	CHECK_EQ(n_bound, 1);
	rig_check(&b);
	rig_run(0);
	CHECK_EQ(n_bound, 2); // said again at each check
	last_liveness(b.sid);
	rig_receive(&b, "", 0);
	rig_run(0);
	CHECK_EQ(n_unbound, 1);
	CHECK_EQ(last_liveness(b.sid), LIVE_SUSPECT); // at once, not after 3 s
	CHECK_EQ(rig.dp->session[1]->send, SEND_NOT);
	CHECK_EQ(flow_count(rig.dp), 1);
	rig_receive(&b, "", 0); // nobody's any more
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_NO_FLOW), 0);
	rig_check(&b);
	rig_run(0);
	CHECK_EQ(flow_count(rig.dp), 2);
	CHECK_EQ(last_liveness(b.sid), LIVE_OK);
	struct ipc_session_ref ref = {.sid = b.sid};
	CHECK_EQ(rig_cmd(&ref, CMD_SESSION_DEL), 0);
	rig_run(0);
	CHECK_EQ(n_unbound, 2); // the session's end closes its connections
	CHECK_EQ(rte_mempool_in_use_count(rig.dp->rx_pool), 0);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

// Receive buffers are shared by all sessions: one that never gets keys gives back what it parked.
static void parked_go_back(void)
{
	struct rig_peer a;
	unsigned n_free;

	CHECK_OR_RETURN(rig_open(1));
	rig_add(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig_check(&a);
	rig_run(0);
	n_free = rte_mempool_avail_count(rig.dp->rx_pool);
	for (unsigned i = 0; i < PARKING_MAX; i++)
		rig_say(&a);
	rig_run(0);
	CHECK_EQ(rte_mempool_avail_count(rig.dp->rx_pool), n_free - PARKING_MAX);
	rig_run(NS_PER_S);
	rig_run(NS_PER_S);
	CHECK_EQ(rte_mempool_avail_count(rig.dp->rx_pool), n_free);
	CHECK_EQ(rig_counter(DROP_NOT_KEYED), PARKING_MAX);
	rig_leave(&a);
	rig_close();
}

CU_TestInfo ice_tests[] = {
	{"a new address is answered and asked at once, a stranger is not", checked_back},
	{"without checks sending stops after 30 s, and it is told", consent},
	{"a client that never comes is told after 30 s", never_came},
	{"a rebinding to another worker's queue: media follow, numbers go on", rebinding},
	{"addresses go with their session", addresses_go_with_the_session},
	{"after an ICE restart the old credentials answer for 30 s", restart},
	{"what was queued before a change of path leaves on the old one", queued_before_the_change},
	{"a closed connection takes its pair at once, a session its connections", closed_connection},
	{"parked packets whose keys do not come are given back", parked_go_back},
	CU_TEST_INFO_NULL,
};
