// Who gets in, who hears whom, and how sessions end.
#include "tests/support/calls/client.h"
#include "tests/support/calls/fake_dp.h"
#include "tests/support/calls/fake_metrics.h"
#include "tests/support/calls/world.h"

#include "tests/support/calls/world.h"

// Everybody answers whatever was offered until nothing new comes for a while.
static void settle(struct client **c, unsigned n)
{
	unsigned seen[MAX_CLIENTS] = {};

	for (ns_t quiet = clock_now(); clock_now() - quiet < NS_PER_S * 4 / 10;) {
		world_turn();
		for (unsigned i = 0; i < n; i++)
			if (c[i]->n_offers > seen[i] && c[i]->offer) {
				seen[i] = c[i]->n_offers;
				client_answer(c[i]);
				quiet = clock_now();
			}
	}
}

static void hears_each_other(bool dc_signaling)
{
	struct client *c[2];

	world_begin();
	c[0] = client_connect("alice", "call1", 1111, dc_signaling);
	c[1] = client_connect("bob", "call1", 2222, dc_signaling);
	CHECK(c[0]->has_keys && c[1]->has_keys);
	CHECK_EQ(c[0]->keys.profile, KEYS_GCM_128);
	struct keys k;
	CHECK_EQ(dtls_export(c[0]->dtls, &k), 0);
	CHECK_MEM(k.tx_key, c[0]->keys.rx_key, 16);
	CHECK_MEM(k.rx_salt, c[0]->keys.tx_salt, 12);
	CHECK(c[0]->answer && strstr(c[0]->answer, "a=ice-lite") &&
	      strstr(c[0]->answer, "127.0.0.1 8443 typ host"));
	CHECK_EQ(c[0]->n_tracks, 1);
	CHECK_EQ(c[0]->last_track.ssrc[0], 1111);
	CHECK(c[0]->track_enabled);
	dp_live(c[0]);
	CHECK(world_until(c[1]->n_offers == 1, 2));
	CHECK_EQ(c[1]->offer_by_dc, dc_signaling);
	CHECK(c[1]->map_before_offer);
	CHECK_STR(c[1]->map_sender, "alice");
	CHECK_STR(c[1]->map_type, "voice");
	CHECK(c[1]->offer && strstr(c[1]->offer, "a=msid:alice voice_alice_"));
	CHECK_EQ(c[1]->n_legs_up, 0);
	client_answer(c[1]);
	CHECK(world_until(c[1]->n_legs_up == 1, 2));
	CHECK_EQ(c[1]->last_leg.src_sid, c[0]->sid);
	dp_live(c[1]);
	settle(c, 2);
	CHECK_EQ(c[0]->n_legs_up, 1);
	CHECK_EQ(c[0]->n_offers, 1);
	// a late joiner hears both
	struct client *late = client_connect("carol", "call1", 0, dc_signaling);
	CHECK(world_until(late->n_offers == 1, 2));
	client_answer(late);
	CHECK(world_until(late->n_legs_up == 2, 2));
	// leaving
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("alice"));
	CHECK_EQ(c[0]->n_closes, 1);
	CHECK(world_until(c[1]->n_legs_down == 1 && late->n_legs_down == 1 && c[0]->is_deleted, 2));
	CHECK(world_until(c[0]->is_down, 2)); // close_notify
	CHECK_EQ(c[1]->n_closes + late->n_closes, 0);
	CHECK_EQ(world_sessions(), 2);
	world_fini();
}

static void hears_by_dc(void)
{
	hears_each_other(true);
}
static void hears_by_ws(void)
{
	hears_each_other(false);
}

static void duplicate_join(void)
{
	struct client *c;

	world_begin();
	c = client_connect("alice", "call1", 1, true);
	for (int i = 0; i < 100; i++)
		client_join(c, i & 1 ? "call1" : "call2", true);
	world_for(0.1);
	CHECK_EQ(c->n_closes, 0);
	CHECK_EQ(world_sessions(), 1);
	CHECK(world->sums[M_RTC_SESSIONS] == 1);
	CHECK(*drop_count("duplicate") == 100);
	client_dc(c, "\x01", 1, DCHAN_BINARY);
	CHECK(world_until(c->n_pongs == 1, 2));
	world_fini();
}

// Each of its messages costs 300 ms: it waits alone, and ends when it goes on. The other one is served all the time.
static void costly_session(void)
{
	struct client *dear, *other;

	world_begin();
	dear = client_connect("alice", "call1", 1, true);
	other = client_connect("bob", "call1", 2, true);
	for (int i = 0; i < 30 && dear->n_closes == 0; i++) {
		clock_price(300 * NS_PER_MS);
		client_rtc(dear, RTC_MUTE, "");
		clock_price(0);
		client_dc(other, "\x01", 1, DCHAN_BINARY);
		CHECK(world_until(other->n_pongs == (unsigned)i + 1, 2));
		world_for(0.5);
	}
	CHECK(*drop_count("over_budget") > 5);
	CHECK_EQ(dear->n_closes, 1);
	CHECK_EQ(other->n_closes, 0);
	world_fini();
}

// One worker that gives up video client_takes nobody new; who is in stays.
static void overloaded_dataplane(void)
{
	struct client *a, *b;

	world_begin();
	a = client_new("a");
	client_join(a, "call1", true);
	CHECK_EQ(world_sessions(), 1);
	statseg_set(statseg_block(world->stats, 0), GAUGE_FULL, 1);
	b = client_new("b");
	client_join(b, "call1", true);
	CHECK_EQ(b->n_closes, 1);
	CHECK_EQ(a->n_closes, 0);
	CHECK_EQ(world_sessions(), 1);
	statseg_set(statseg_block(world->stats, 0), GAUGE_FULL, 0);
	client_join(client_new("c"), "call1", true);
	CHECK_EQ(world_sessions(), 2);
	world_fini();
}

static void refused_join(void)
{
	struct client *a, *b;

	world_init();
	world->conf.limits.sessions_per_call = 1;
	hub_free(world->hub);
	world_hub();
	CHECK(world_until(world_serves(), 2));
	a = client_new("a");
	b = client_new("b");
	client_join(a, "call1", true);
	client_join(b, "call1", true);
	CHECK_EQ(b->n_closes, 1);
	CHECK_EQ(a->n_closes, 0);
	CHECK_EQ(world_sessions(), 1);
	CHECK(world->sums[M_RTC_SESSIONS] == 1);
	CHECK(world_until(a->sid != 0, 2));
	// the dataplane refuses
	world->refuses_sessions = true;
	struct client *d = client_new("d");
	client_join(d, "call2", true);
	CHECK(world_until(d->n_closes == 1, 2));
	CHECK_EQ(world_sessions(), 1);
	world_fini();
}

// On 09e1aeb a refused leg was logged, and its receiver heard nothing until it joined anew.
static void refused_legs(void)
{
	struct client *c[2];

	world_init();
	CHECK(world_until(world_serves(), 2));
	c[0] = client_connect("alice", "call1", 1111, true);
	c[1] = client_connect("bob", "call1", 2222, true);
	dp_live(c[0]);
	CHECK(world_until(c[1]->n_offers == 1, 2));
	world->n_legs_refused = 1;
	client_answer(c[1]);
	CHECK(world_until(c[1]->n_offers == 2, 2)); // it is offered anew
	CHECK_EQ(c[1]->n_legs_up, 0);
	client_answer(c[1]);
	CHECK(world_until(c[1]->n_legs_up == 1, 2));
	CHECK_EQ(c[1]->last_leg.src_sid, c[0]->sid);
	CHECK_EQ(c[1]->n_closes, 0);
	// one that no attempt brings up ends its receiver's session, and nobody else's
	world->n_legs_refused = 100;
	struct client *late = client_connect("carol", "call1", 0, true);
	for (unsigned i = 1; i <= 3; i++) {
		CHECK(world_until(late->n_offers == i, 2));
		client_answer(late);
	}
	CHECK(world_until(late->n_closes == 1, 2));
	CHECK_EQ(c[0]->n_closes + c[1]->n_closes, 0);
	CHECK_EQ(world_sessions(), 2);
	world_fini();
}

static void no_offer(void)
{
	struct client *c;

	world_init();
	world->conf.rtc.first_offer_s = 1;
	CHECK(world_until(world_serves(), 2));
	c = client_new("a");
	client_join(c, "call1", true);
	CHECK(!world_until(c->n_closes > 0, 0.8));
	CHECK(world_until(c->n_closes == 1, 1));
	CHECK_EQ(world_sessions(), 0);
	CHECK(world->sums[M_RTC_SESSIONS] == 0);
	CHECK(*drop_count("no_offer") == 1);
	// an unusable first offer ends it as well
	struct client *d = client_new("b");
	client_join(d, "call1", true);
	client_rtc(d, RTC_SDP, "{\"type\":\"offer\",\"sdp\":\"v=0\\r\\nnonsense\"}");
	CHECK_EQ(d->n_closes, 1);
	struct client *e = client_new("c");
	client_join(e, "call1", true);
	client_rtc(e, RTC_SDP, "{\"type\":\"pranswer\"");
	CHECK_EQ(e->n_closes, 1);
	world_fini();
}

static void foreign_client(void)
{
	struct client *c;

	world_begin();
	c = client_connect("alice", "call1", 1, true);
	hub_plugin_ops.leave(world->hub, 2, STR("clientB"), STR("alice"));
	hub_plugin_ops.rtc(world->hub, 2, STR("clientB"), STR("alice"), RTC_MUTE, STR_NONE);
	hub_plugin_ops.reconnect(world->hub, 2, STR("clientB"), STR("alice"));
	hub_plugin_ops.leave(world->hub, 2, STR("clientA"), STR("nobody"));
	world_for(0.05);
	CHECK_EQ(world_sessions(), 1);
	CHECK_EQ(c->n_gates, 0);
	CHECK_EQ(c->n_closes, 0);
	CHECK(*drop_count("unknown_session") == 4);
	dp_live(c);
	dp_voice(c, true);
	CHECK(world_until(c->n_voice_on == 1, 2));
	CHECK_EQ(c->last_conn, 1); // not taken over
	CHECK_STR(registry_resolve(hub_registry(world->hub),
				   &(struct session_key){STR("clientB"), STR("call1")})
			  .missing,
		  "group");
	world_fini();
}

static void leaves_at_once(void)
{
	struct client *c[2];

	world_begin();
	c[0] = client_connect("alice", "call1", 1, true);
	c[1] = client_connect("bob", "call1", 2, true);
	client_dc(c[1], "\x07", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->lock_granted, 2));
	dp_live(c[0]);
	world_for(0.2); // the server waits for the lock, and for an answer on the other side
	dp_live(c[1]);
	CHECK(world_until(c[0]->n_offers == 1, 2));
	ns_t before = clock_of_machine();
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("bob"));
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("alice"));
	CHECK(clock_of_machine() - before < NS_PER_S / 20);
	CHECK_EQ(c[0]->n_closes + c[1]->n_closes, 2);
	world_fini();
}

static void reused_id(void)
{
	struct client *c;
	uint32_t first;

	world_begin();
	c = client_connect("alice", "call1", 1, true);
	first = c->sid;
	struct client old = {.sid = first};
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("alice"));
	CHECK_EQ(c->n_closes, 1);
	client_gone(c);
	client_join(c, "call1", true);
	CHECK(world_until(c->sid != first, 2));
	dp_liveness(&old, LIVE_LOST); // late news of the old one
	dp_path(&old);
	for (int i = 0; i < 5; i++)
		dp_punt_to_cp(first, (const uint8_t *)"\x16\xfe\xfd", 3);
	world_for(0.1);
	CHECK_EQ(c->n_closes, 1);
	CHECK_EQ(world_sessions(), 1);
	world_fini();
}

static void path_ends(void)
{
	struct client *c[3];

	world_begin();
	c[0] = client_connect("lost", "call1", 1, true);
	c[1] = client_connect("closes", "call1", 2, true);
	c[2] = client_connect("stays", "call1", 3, true);
	dp_liveness(c[0], LIVE_SUSPECT);
	world_for(0.05);
	CHECK_EQ(c[0]->n_closes, 0);
	dp_liveness(c[0], LIVE_LOST);
	CHECK(world_until(c[0]->n_closes == 1, 2));
	dtls_close(c[1]->dtls);
	CHECK(world_until(c[1]->n_closes == 1, 2));
	CHECK_EQ(c[2]->n_closes, 0);
	CHECK(*drop_count("path_lost") == 1);
	CHECK(*drop_count("peer_closed") == 1);
	hub_client_gone(world->hub, STR("clientA"));
	CHECK_EQ(c[2]->n_closes, 1);
	CHECK_EQ(world_sessions(), 0);
	world_fini();
}

static void description_flood(void)
{
	struct client *c;

	world_begin();
	c = client_connect("alice", "call1", 1, true);
	for (unsigned i = 0; i < 1000; i++)
		client_rtc(c, RTC_SDP, "{\"type\":\"answer\",\"sdp\":\"v=0\"}");
	CHECK(*drop_count("plugin_rate") >= 750);
	CHECK_EQ(c->n_closes, 0);
	world_fini();
}

// Names are C strings inside: an id with a NUL would be filed under one name and removed under another.
static void nul_in_ids(void)
{
	struct join_msg j = {.call_id = STR("call1"), .user_id = STR("u"), .session_id = STR("a\0b")};

	world_begin();
	for (unsigned i = 0; i < 3; i++) {
		hub_plugin_ops.join(world->hub, 1, STR("clientA"), &j);
		hub_plugin_ops.leave(world->hub, 1, STR("clientA"), j.session_id);
		world_for(0.05);
	}
	j = (struct join_msg){.call_id = STR("c\0d"), .user_id = STR("u"), .session_id = STR("s")};
	for (unsigned i = 0; i < 3; i++) {
		hub_plugin_ops.join(world->hub, 1, STR("clientA"), &j);
		hub_plugin_ops.leave(world->hub, 1, STR("clientA"), j.session_id);
		world_for(0.05);
	}
	CHECK_EQ(world->n_unknown_closes, 6); // D53: each refused join is told
	CHECK_EQ(world_sessions(), 0);
	world_fini();
}

static void keys_are_apart(void)
{
	struct client *c;

	world_begin();
	c = client_connect("x/y%", "call1", 1, true);
	CHECK(world_until(world->n_records == 1, 2));
	CHECK(strstr(world->records[0].key, "/clientA/x%2Fy%25") != NULL);
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), str_of(c->id));
	CHECK(world_until(world->n_records == 0, 2));
	world_fini();
}

// A join that fell into a restart: the plugin reconnects a session that nobody knows.
static void reconnects_unknown(void)
{
	struct client *c;

	world_begin();
	c = client_new("ghost");
	hub_plugin_ops.reconnect(world->hub, 7, STR("clientA"), STR("ghost"));
	CHECK_EQ(c->n_closes, 1);
	CHECK_EQ(world_sessions(), 0);
	world_fini();
}

static void drained(void *arg)
{
	*(bool *)arg = true;
}

static void drains(void)
{
	struct client *a, *b, *late;
	bool done = false;

	world_begin();
	a = client_connect("a", "call1", 1, true);
	hub_drain(world->hub, drained, &done);
	world_for(0.05);
	CHECK(!done);
	b = client_new("b");
	client_join(b, "call1", true);
	CHECK_EQ(b->n_closes, 0);
	late = client_new("late");
	client_join(late, "call2", true);
	CHECK_EQ(late->n_closes, 1);
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("a"));
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("b"));
	CHECK(world_until(done, 1));
	CHECK_EQ(a->n_closes, 1);
	world_fini();
}

static void five_hundred_lives(void)
{
	world_init();
	world->conf.limits.sessions = 1000;
	CHECK(world_until(world_serves(), 2));
	for (int i = 0; i < 500; i++) {
		char id[16], call[16];
		snprintf(id, sizeof(id), "s%d", i);
		snprintf(call, sizeof(call), "call%d", i / 5);
		struct client *c = client_connect(id, call, (uint32_t)i + 1, i & 1);
		dp_live(c);
		if (i >= 10) {
			struct client *old = world->clients[i - 10];
			if (i % 3 == 0) {
				dtls_close(old->dtls);
				CHECK(world_until(old->n_closes == 1, 2));
			} else {
				hub_plugin_ops.leave(world->hub, 1, STR("clientA"), str_of(old->id));
			}
			CHECK_EQ(old->n_closes, 1);
			client_gone(old);
		}
		if (c->n_offers > 0)
			client_answer(c);
	}
	CHECK_EQ(world_sessions(), 10);
	CHECK(world->sums[M_RTC_SESSIONS] == 10);
	hub_client_gone(world->hub, STR("clientA"));
	CHECK_EQ(world_sessions(), 0);
	CHECK(world->sums[M_RTC_SESSIONS] == 0);
	CHECK(world->sums[M_RTC_RTP_TRACKS] == 0);
	world_for(0.3);
	CHECK_EQ(world->n_records, 0);
	world_fini();
}

CU_TestInfo hub_tests[] = {
	{"a session whose work is too dear waits alone, then ends", costly_session},
	{"two people and a late joiner hear each other, data-channel signaling", hears_by_dc},
	{"D23, D27: the same by WebSocket, the map arriving before its offer", hears_by_ws},
	{"D14: duplicate joins are ignored and cost nothing", duplicate_join},
	{"an overloaded dataplane takes nobody new", overloaded_dataplane},
	{"D53, D58: a refused join is answered by close", refused_join},
	{"a leg that the dataplane refuses is offered anew; at the third time its session ends", refused_legs},
	{"no or an unusable first offer ends the session", no_offer},
	{"D10: another client cannot touch a session", foreign_client},
	{"D28: leaving waits for no lock and no answer", leaves_at_once},
	{"D30: late news of an ended session does not hit its successor", reused_id},
	{"lost path, close_notify and unregistering end sessions with close", path_ends},
	{"D17: a flood of descriptions that fit no offer is not even read", description_flood},
	{"joins with a NUL in an id are refused", nul_in_ids},
	{"D10: no id makes one tenant's record another's", keys_are_apart},
	{"reconnect of a session that is not here is answered by close", reconnects_unknown},
	{"D31, D32: draining refuses new calls and ends with the last session", drains},
	{"500 sessions live and end without a trace", five_hundred_lives},
	CU_TEST_INFO_NULL,
};
