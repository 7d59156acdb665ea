// Floods of STUN from strangers: bounded per network, and nobody who is known notices.
#include "dataplane/core/strangers.h"
#include "tests/support/dataplane/rig_peer.h"

static struct flow_key from_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct flow_key){.remote = {a, b, c, d}, .family = 4, .remote_port = 1234};
}

static void per_network(void)
{
	struct strangers *s = malloc(sizeof(*s));
	struct flow_key bad = from_v4(198, 51, 100, 0), near = from_v4(198, 51, 100, 77),
			far = from_v4(198, 51, 101, 0),
			v6 = {.remote = {0x20, 1, 0xd, 0xb8, [15] = 1}, .family = 6}, v6_near = v6,
			v6_far = v6;
	ns_t now = 5 * NS_PER_S;

	strangers_init(s, 7);
	for (unsigned i = 0; i < 199; i++) {
		bad.remote[3] = (uint8_t)i;
		strangers_failed(s, &bad, now);
	}
	CHECK(!strangers_over(s, &near, now));
	strangers_failed(s, &bad, now);
	CHECK(strangers_over(s, &near, now));
	CHECK(!strangers_over(s, &far, now));
	for (unsigned i = 0; i < 200; i++)
		strangers_failed(s, &v6, now);
	v6_near.remote[15] = 99;
	v6_far.remote[7] = 1;
	CHECK(strangers_over(s, &v6_near, now));
	CHECK(!strangers_over(s, &v6_far, now));
	CHECK(!strangers_over(s, &near, now + NS_PER_S)); // the next second
	free(s);
}

static void all_networks(void)
{
	struct strangers *s = malloc(sizeof(*s));
	struct flow_key new = from_v4(203, 0, 113, 1);

	strangers_init(s, 7);
	for (unsigned i = 0; i < 49999; i++) { // 10 networks
		struct flow_key key = from_v4(10, 0, (uint8_t)(i % 10), 1);
		strangers_failed(s, &key, 0);
	}
	CHECK(!strangers_over(s, &new, 0));
	strangers_failed(s, &new, 0);
	CHECK(strangers_over(s, &new, 0));
	free(s);
}

// 400 ufrags tried from the next-door address: the known client goes on, a new one waits for the next second.
static void guessed_ufrags(void)
{
	struct rig_peer a, b, stranger;

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig_add(&b, 1, SEAL_AEAD_AES_128_GCM);
	stranger = a;
	stranger.port = 9000;
	for (unsigned i = 0; i < 400; i++) {
		snprintf(stranger.ufrag, sizeof(stranger.ufrag), "guess%010u", i);
		rig_check(&stranger);
		rig_run(0);
	}
	CHECK_EQ(rig_counter(DROP_STUN_UNKNOWN_UFRAG), 200);
	CHECK_EQ(rig_counter(DROP_STUN_SOURCE_RATE), 200);
	rig.n_sent = 0;
	rig_check(&a);
	rig_run(0);
	CHECK_EQ(rig.n_sent, 1);
	rig_check(&b);
	rig_run(0);
	CHECK_EQ(rig.n_sent, 1);
	rig_run(NS_PER_S);
	rig.n_sent = 0;
	rig_check(&b);
	rig_run(0);
	CHECK_EQ(rig.n_sent, 1);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

CU_TestInfo strangers_tests[] = {
	{"a /24 or /64 that failed 200 times in a second waits for the next", per_network},
	{"all strangers together fail 50000 times in a second at most", all_networks},
	{"a flood of guessed ufrags is cut off, known clients are served on", guessed_ufrags},
	CU_TEST_INFO_NULL,
};
