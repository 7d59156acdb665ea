// A path that falls silent, and what repairs it.
#include <stdlib.h>

#include "tests/support/calls/client.h"
#include "tests/support/calls/fake_dp.h"
#include "tests/support/calls/video.h"
#include "tests/support/calls/world.h"

static void reconnects(void)
{
	struct client *c;

	world_begin();
	c = client_connect("alice", "call1", 1, true);
	hub_plugin_ops.reconnect(world->hub, 7, STR("clientA"), STR("alice"));
	world_for(0.1);
	CHECK_EQ(c->n_offers, 0); // the path is fine
	dp_live(c);
	dp_voice(c, true);
	CHECK(world_until(c->n_voice_on == 1, 2));
	CHECK_EQ(c->last_conn, 7);
	unsigned ice = c->n_ice;
	char *ufrag = c->answer ? strdup(strstr(c->answer, "a=ice-ufrag:")) : strdup("");
	dp_liveness(c, LIVE_SUSPECT);
	CHECK(world_until(c->n_offers == 1, 2));
	CHECK(!c->offer_by_dc);
	CHECK_EQ(c->last_conn, 7);
	CHECK(world_until(c->n_ice == ice + 1, 2));
	CHECK(c->offer && strncmp(strstr(c->offer, "a=ice-ufrag:"), ufrag, 12 + IPC_UFRAG_LEN) != 0);
	CHECK_EQ(c->n_closes, 0);
	free(ufrag);
	world_fini();
}

static char *ufrag_of(const char *sdp)
{
	static char ufrag[2][64];
	static unsigned turn;
	char *out = ufrag[turn++ % 2];

	out[0] = '\0';
	if (sdp && (sdp = strstr(sdp, "a=ice-ufrag:")) != NULL)
		sscanf(sdp, "a=ice-ufrag:%60[^\r]", out);
	return out;
}

// As a client that has applied new credentials answers: with new ones of its own.
static void client_answer_restart(struct client *c)
{
	char *sdp = client_accept(c);

	for (char *at = sdp; (at = strstr(at, "a=ice-ufrag:cccc")) != NULL; at++)
		memcpy(at, "a=ice-ufrag:dddd", 16);
	client_send_sdp(c, SIGMSG_ANSWER, sdp, true);
	free(sdp);
}

static void path_is_repaired(void)
{
	struct client *c;
	char first[64];

	world_begin();
	c = client_connect_with("alice", false, NULL, 0);
	unsigned ice = c->n_ice;
	dp_liveness(c, LIVE_SUSPECT);
	CHECK(world_until(c->n_offers == 1, 1)); // at once
	CHECK(!c->offer_by_dc);
	strcpy(first, ufrag_of(c->offer));
	CHECK(strcmp(first, ufrag_of(c->answer)) != 0);
	CHECK(!world_until(c->n_offers > 1, 4.5));
	CHECK(world_until(c->n_offers == 2, 1)); // may have been lost
	CHECK_STR(ufrag_of(c->offer), first);    // and if it was not, the answer fits both
	CHECK_EQ(c->n_ice, ice + 1);
	// The path stands again, and the answer comes late, by data channel.
	dp_path(c);
	world_for(0.05);
	client_answer_restart(c);
	CHECK(world_until(c->n_ice == ice + 2, 1)); // the client's new half
	client_answer_restart(c);
	CHECK(!world_until(c->n_offers > 2, 5.2));
	CHECK_EQ(c->n_closes, 0);
	world_fini();
}

static void path_that_came_back(void)
{
	struct client *c;

	world_begin();
	c = client_connect_with("alice", false, NULL, 0);
	dp_liveness(c, LIVE_SUSPECT);
	CHECK(world_until(c->n_offers == 1, 1));
	client_answer(c);
	dp_liveness(c, LIVE_OK);
	CHECK(!world_until(c->n_offers > 1, 5.5));
	world_fini();
}

static void reconnect_looks(void)
{
	struct client *c;

	world_begin();
	c = client_connect_with("alice", false, NULL, 0);
	for (unsigned i = 0; i < 10; i++) { // pings come: the user's WebSocket was lost, the path was not
		client_dc(c, "\x01", 1, DCHAN_BINARY);
		if (i == 4)
			hub_plugin_ops.reconnect(world->hub, 7, STR("clientA"), STR("alice"));
		world_for(0.3);
	}
	CHECK_EQ(c->n_offers, 0);
	world_for(1.8); // silence that the dataplane does not call suspect yet
	hub_plugin_ops.reconnect(world->hub, 7, STR("clientA"), STR("alice"));
	CHECK(world_until(c->n_offers == 1, 0.2));
	CHECK(!c->offer_by_dc);
	// The plugin may have lost that one: its next connection gets it again, soon.
	hub_plugin_ops.reconnect(world->hub, 8, STR("clientA"), STR("alice"));
	CHECK(world_until(c->n_offers == 2, 2));
	CHECK_EQ(c->last_conn, 8);
	world_fini();
}

// The dataplane finds the path silent just before the client is in another network: what was offered then does
// not help.
static void reconnect_after_a_repair(void)
{
	struct client *c;
	char first[64];

	world_begin();
	c = client_connect_with("alice", false, NULL, 0);
	dp_liveness(c, LIVE_SUSPECT);
	CHECK(world_until(c->n_offers == 1, 1));
	strcpy(first, ufrag_of(c->offer));
	client_answer(c);
	world_for(0.1);
	for (unsigned i = 0; i < 5; i++) {
		hub_plugin_ops.reconnect(world->hub, 7, STR("clientA"), STR("alice"));
		world_for(0.2);
		CHECK_EQ(c->n_offers, 2); // at once, and only once
	}
	CHECK(strcmp(first, ufrag_of(c->offer)) != 0);
	CHECK(world_until(c->n_offers == 3, 2));
	world_fini();
}

static void keeps_trying(void)
{
	struct client *c;

	world_begin();
	c = client_connect_with("alice", false, NULL, 0);
	dp_liveness(c, LIVE_SUSPECT);
	world_for(10.5);
	CHECK_EQ(c->n_offers, 3);
	dp_liveness(c, LIVE_LOST);
	CHECK(world_until(c->n_closes == 1, 1));
	world_fini();
}

CU_TestInfo session_path_tests[] = {
	{"D13: reconnect moves the route, and restarts ICE when the path is silent", reconnects},
	{"a silent path is repaired by an ICE restart, answered late by data channel", path_is_repaired},
	{"a path that came back is left alone", path_that_came_back},
	{"reconnect restarts ICE when no ping came, and only then", reconnect_looks},
	{"reconnect does not wait for an offer of a moment before", reconnect_after_a_repair},
	{"three ICE restarts are offered, then consent runs out", keeps_trying},
	CU_TEST_INFO_NULL,
};
