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

	world_init();
	CHECK(world_until(world_serves(), 2));
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
	hub_leave(world->hub, 1, STR("clientA"), STR("alice"));
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

	world_init();
	CHECK(world_until(world_serves(), 2));
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

// One worker that gives up video takes nobody new; who is in stays.
static void overloaded_dataplane(void)
{
	struct client *a, *b;

	world_init();
	CHECK(world_until(world_serves(), 2));
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

static void no_channel(void)
{
	struct client *c;

	world_init();
	world->conf.rtc.dc_open_s = 1;
	CHECK(world_until(world_serves(), 2));
	c = client_new("a");
	client_join(c, "call1", true);
	CHECK(world_until(c->sid, 2));
	client_offer(c, 0, false);
	CHECK_EQ(c->n_answers, 1);
	CHECK(!world_until(c->n_closes > 0, 0.8));
	CHECK(world_until(c->n_closes == 1, 1));
	CHECK(*drop_count("no_data_channel") == 1);
	// one that opens in time stays
	struct client *d = client_connect("b", "call1", 0, true);
	world_for(1.3);
	CHECK_EQ(d->n_closes, 0);
	world_fini();
}

static void foreign_client(void)
{
	struct client *c;

	world_init();
	CHECK(world_until(world_serves(), 2));
	c = client_connect("alice", "call1", 1, true);
	hub_leave(world->hub, 2, STR("clientB"), STR("alice"));
	hub_rtc(world->hub, 2, STR("clientB"), STR("alice"), RTC_MUTE, STR_NONE);
	hub_reconnect(world->hub, 2, STR("clientB"), STR("alice"));
	hub_leave(world->hub, 2, STR("clientA"), STR("nobody"));
	world_for(0.05);
	CHECK_EQ(world_sessions(), 1);
	CHECK_EQ(c->n_gates, 0);
	CHECK_EQ(c->n_closes, 0);
	CHECK(*drop_count("unknown_session") == 4);
	dp_live(c);
	dp_voice(c, true);
	CHECK(world_until(c->n_voice_on == 1, 2));
	CHECK_EQ(c->last_conn, 1); // not taken over
	const char *what = "";
	CHECK_EQ(hub_sessions(world->hub, STR("clientB"), STR("call1"), STR_NONE, &what, NULL, NULL),
		 -ENOENT);
	CHECK_STR(what, "group");
	world_fini();
}

static void mic_state(void)
{
	struct client *c, *early;

	world_init();
	CHECK(world_until(world_serves(), 2));
	c = client_connect("alice", "call1", 1, true);
	dp_live(c);
	client_rtc(c, RTC_MUTE, "");
	CHECK(world_until(c->n_gates == 1, 2));
	CHECK(!c->last_gate);
	CHECK_EQ(c->n_voice_off, 0); // it was never on
	client_rtc(c, RTC_UNMUTE, "");
	CHECK(world_until(c->n_gates == 2, 2));
	CHECK(c->last_gate);
	dp_voice(c, true);
	CHECK(world_until(c->n_voice_on == 1, 2));
	dp_voice(c, true); // no repeats
	client_rtc(c, RTC_MUTE, "");
	CHECK_EQ(c->n_voice_off, 1);
	client_rtc(c, RTC_MUTE, "");
	dp_voice(c, true); // muted: not told
	world_for(0.05);
	CHECK_EQ(c->n_voice_on, 1);
	CHECK_EQ(c->n_voice_off, 1);
	// before the track is known
	early = client_new("early");
	client_join(early, "call1", true);
	client_rtc(early, RTC_MUTE, "");
	CHECK(world_until(early->sid, 2));
	client_offer(early, 5, false);
	CHECK(world_until(early->n_tracks == 1, 2));
	CHECK(!early->track_enabled);
	world_fini();
}

static void lock_rules(void)
{
	struct client *c[2];

	world_init();
	CHECK(world_until(world_serves(), 2));
	c[0] = client_connect("alice", "call1", 1, true);
	c[1] = client_connect("bob", "call1", 2, true);
	client_dc(c[1], "\x08", 1, DCHAN_BINARY); // unlock without lock
	client_dc(c[1], "\x07", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->n_locks == 1, 2));
	CHECK(c[1]->lock_granted);
	client_dc(c[1], "\xcc\x07", 2, DCHAN_BINARY);
	CHECK(world_until(c[1]->n_locks == 2, 2));
	CHECK(!c[1]->lock_granted);
	dp_live(c[0]);
	CHECK(!world_until(c[1]->n_offers > 0, 0.5)); // the client holds it
	client_dc(c[1], "\x08", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->n_offers == 1, 2));
	client_dc(c[1], "\x07", 1, DCHAN_BINARY); // now the server holds it
	CHECK(world_until(c[1]->n_locks == 3, 2));
	CHECK(!c[1]->lock_granted);
	client_dc(c[1], "\x08", 1, DCHAN_BINARY); // not its to free
	client_dc(c[1], "\x07", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->n_locks == 4, 2));
	CHECK(!c[1]->lock_granted);
	client_answer(c[1]);
	CHECK(world_until(c[1]->n_legs_up == 1, 2));
	client_dc(c[1], "\x07", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->n_locks == 5, 2));
	CHECK(c[1]->lock_granted);
	world_fini();
}

static void leaves_at_once(void)
{
	struct client *c[2];

	world_init();
	CHECK(world_until(world_serves(), 2));
	c[0] = client_connect("alice", "call1", 1, true);
	c[1] = client_connect("bob", "call1", 2, true);
	client_dc(c[1], "\x07", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->lock_granted, 2));
	dp_live(c[0]);
	world_for(0.2); // the server waits for the lock, and for an answer on the other side
	dp_live(c[1]);
	CHECK(world_until(c[0]->n_offers == 1, 2));
	ns_t before = clock_now();
	hub_leave(world->hub, 1, STR("clientA"), STR("bob"));
	hub_leave(world->hub, 1, STR("clientA"), STR("alice"));
	CHECK(clock_now() - before < NS_PER_S / 20);
	CHECK_EQ(c[0]->n_closes + c[1]->n_closes, 2);
	world_fini();
}

static void lock_lease(void)
{
	struct client *c[2];

	world_init();
	world->conf.rtc.lock_lease_s = 1;
	hub_free(world->hub);
	world_hub();
	CHECK(world_until(world_serves(), 2));
	c[0] = client_connect("alice", "call1", 1, true);
	c[1] = client_connect("bob", "call1", 2, true);
	client_dc(c[1], "\x07", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->lock_granted, 2));
	dp_live(c[0]);
	CHECK(world_until(c[1]->n_offers == 1, 3));
	client_answer(c[1]);
	CHECK(world_until(c[1]->n_legs_up == 1, 2));
	world_fini();
}

static void hostile_messages(void)
{
	static const uint8_t bomb_head[] = {0x03, 0xc6};
	struct client *c;
	size_t size = 8 << 20;
	uint8_t *msg = malloc(200000);

	world_init();
	CHECK(world_until(world_serves(), 2));
	c = client_connect("alice", "call1", 1, true);
	client_dc(c, "ping", 4, DCHAN_TEXT);
	client_dc(c, "ping", 4, DCHAN_BINARY);
	client_dc(c, "", 0, DCHAN_BINARY);
	client_dc(c, "", 0, DCHAN_TEXT);
	client_dc(c, "\x2a", 1, DCHAN_BINARY);
	client_dc(c, "\x05\xcb\x7f\xf8\0\0\0\0\0\0", 10, DCHAN_BINARY); // NaN
	client_dc(c, "\x03\xc6\xff\xff\xff\xff", 6, DCHAN_BINARY);
	memcpy(msg, bomb_head, 2);
	char *zeros = calloc(1, size);
	struct wbuf w = wbuf_of(msg, 200000);
	CHECK_EQ(dcmsg_write_sdp(&w, (struct str){zeros, size}), 0);
	client_dc(c, msg, wbuf_len(&w), DCHAN_BINARY);
	client_dc(c, "\x01", 1, DCHAN_BINARY);
	CHECK(world_until(c->n_pongs == 1, 5));
	CHECK_EQ(c->n_text_pongs, 2);
	CHECK_EQ(c->n_closes, 0);
	CHECK(*drop_count("dc_sdp_too_big") == 1);
	CHECK(*drop_count("dc_unknown") == 1);
	CHECK(*drop_count("dc_number") == 1);
	CHECK(world->sums[M_RTC_CLIENT_RTT] == 0);
	for (int i = 0; i < 1000; i++) {
		client_dc(c, "\x01", 1, DCHAN_BINARY);
		if (i % 50 == 0)
			CHECK(world_until(dchan_is_flushed(c->dchan), 2));
	}
	CHECK(world_until(*drop_count("dc_rate") > 500, 5));
	CHECK(c->n_pongs < 400);
	world_for(1.1);
	unsigned before = c->n_pongs;
	client_dc(c, "\x01", 1, DCHAN_BINARY);
	CHECK(world_until(c->n_pongs == before + 1, 2));
	CHECK_EQ(c->n_closes, 0);
	free(zeros);
	free(msg);
	world_fini();
}

static void channels(void)
{
	struct client *c;

	world_init();
	CHECK(world_until(world_serves(), 2));
	c = client_connect("alice", "call1", 1, true);
	CHECK_EQ(dchan_open(c->dchan, 2, STR("other")), 0);
	world_for(0.1);
	CHECK_EQ(dchan_send(c->dchan, 2, DCHAN_BINARY, "\x01", 1), 0);
	CHECK(!world_until(c->n_pongs > 0, 0.2));
	client_dc(c, "\x01", 1, DCHAN_BINARY);
	CHECK(world_until(c->n_pongs == 1, 2));
	CHECK_EQ(dchan_open(c->dchan, 4, STR("calls-dc")), 0);
	CHECK_EQ(dchan_send(c->dchan, 4, DCHAN_BINARY, "\x01", 1), 0);
	CHECK(world_until(c->n_pongs == 2, 2));
	client_dc(c, "\x01", 1, DCHAN_BINARY); // superseded
	CHECK(!world_until(c->n_pongs > 2, 0.2));
	world_fini();
}

static void reused_id(void)
{
	struct client *c;
	uint32_t first;

	world_init();
	CHECK(world_until(world_serves(), 2));
	c = client_connect("alice", "call1", 1, true);
	first = c->sid;
	struct client old = {.sid = first};
	hub_leave(world->hub, 1, STR("clientA"), STR("alice"));
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

	world_init();
	CHECK(world_until(world_serves(), 2));
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

static void dtls_client(void)
{
	struct client *c;
	struct dtls_fingerprint fp;

	world_init();
	hub_free(world->hub);
	free(world->conf.rtc.dtls_role);
	world->conf.rtc.dtls_role = strdup("active");
	world_hub();
	CHECK(world_until(world_serves(), 2));
	c = client_new("alice");
	client_join(c, "call1", true);
	CHECK(world_until(c->sid, 2));
	client_offer(c, 1, false);
	CHECK(c->answer && strstr(c->answer, "a=setup:active"));
	fp = answer_fingerprint(c);
	c->dtls = dtls_new(world->dtls, DTLS_SERVER, &fp, &client_dtls_ops, c);
	dtls_start(c->dtls, loop_now(world->loop));
	world_for(0.05);
	CHECK_EQ(world->n_punts, 0); // not before there is a path
	dp_path(c);
	CHECK(world_until(c->has_channel && c->has_keys, 3));
	struct keys k;
	CHECK_EQ(dtls_export(c->dtls, &k), 0);
	CHECK_MEM(k.tx_key, c->keys.rx_key, 16);
	CHECK_MEM(k.rx_salt, c->keys.tx_salt, 12);
	world_fini();
}

static void wrong_certificate(void)
{
	struct client *c;
	struct dtls_ctx *other = dtls_ctx_new();
	struct dtls_fingerprint fp;

	world_init();
	CHECK(world_until(world_serves(), 2));
	c = client_new("mallory");
	client_join(c, "call1", true);
	CHECK(world_until(c->sid, 2));
	client_offer(c, 1, false);
	fp = answer_fingerprint(c);
	c->dtls = dtls_new(other, DTLS_CLIENT, &fp, &client_dtls_ops, c);
	dtls_start(c->dtls, loop_now(world->loop));
	CHECK(world_until(c->n_closes == 1, 5));
	CHECK(!c->has_keys);
	CHECK(*drop_count("dtls_failed") == 1);
	world_fini();
	dtls_ctx_free(other);
}

static void screen_ids(void)
{
	struct client *c[2];

	world_init();
	CHECK(world_until(world_serves(), 2));
	c[0] = client_connect("alice", "call1", 0, true);
	c[1] = client_connect("bob", "call1", 2, true);
	client_rtc(c[0], RTC_SCREEN_ON, "{\"screenStreamID\":\"stream-bob\"}"); // bob's own stream id
	client_rtc(c[1], RTC_SCREEN_ON, "{\"screenStreamID\":\"x\"}");          // refused: alice shares
	CHECK(*drop_count("second_screen") == 1);
	dp_live(c[1]);
	CHECK(world_until(c[0]->n_offers == 1, 2));
	CHECK_STR(c[0]->map_type, "voice"); // not taken for alice's screen
	client_rtc(c[0], RTC_SCREEN_ON, "{\"screenStreamID\":7}");
	CHECK(*drop_count("bad_screen_id") == 1);
	client_rtc(c[0], RTC_SCREEN_OFF, "");
	// its own id makes it screen audio, never gated
	struct client *d = client_new("dave");
	client_join(d, "call1", true);
	client_rtc(d, RTC_SCREEN_ON, "{\"screenStreamID\":\"stream-dave\"}");
	client_rtc(d, RTC_MUTE, "");
	CHECK(world_until(d->sid, 2));
	client_offer(d, 9, false);
	CHECK(world_until(d->n_tracks == 1, 2));
	CHECK(d->track_enabled);
	world_fini();
}

static void reconnects(void)
{
	struct client *c;

	world_init();
	CHECK(world_until(world_serves(), 2));
	c = client_connect("alice", "call1", 1, true);
	hub_reconnect(world->hub, 7, STR("clientA"), STR("alice"));
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

// A join that fell into a restart: the plugin reconnects a session that nobody knows.
static void reconnects_unknown(void)
{
	struct client *c;

	world_init();
	CHECK(world_until(world_serves(), 2));
	c = client_new("ghost");
	hub_reconnect(world->hub, 7, STR("clientA"), STR("ghost"));
	CHECK_EQ(c->n_closes, 1);
	CHECK_EQ(world_sessions(), 0);
	world_fini();
}

// Names are C strings inside: an id with a NUL would be filed under one name and removed under another.
static void nul_in_ids(void)
{
	struct join_msg j = {.call_id = STR("call1"), .user_id = STR("u"), .session_id = STR("a\0b")};

	world_init();
	CHECK(world_until(world_serves(), 2));
	for (unsigned i = 0; i < 3; i++) {
		hub_join(world->hub, 1, STR("clientA"), &j);
		hub_leave(world->hub, 1, STR("clientA"), j.session_id);
		world_for(0.05);
	}
	j = (struct join_msg){.call_id = STR("c\0d"), .user_id = STR("u"), .session_id = STR("s")};
	for (unsigned i = 0; i < 3; i++) {
		hub_join(world->hub, 1, STR("clientA"), &j);
		hub_leave(world->hub, 1, STR("clientA"), j.session_id);
		world_for(0.05);
	}
	CHECK_EQ(world->n_unknown_closes, 6); // D53: each refused join is told
	CHECK_EQ(world_sessions(), 0);
	world_fini();
}

static void description_flood(void)
{
	struct client *c;

	world_init();
	CHECK(world_until(world_serves(), 2));
	c = client_connect("alice", "call1", 1, true);
	for (unsigned i = 0; i < 1000; i++)
		client_rtc(c, RTC_SDP, "{\"type\":\"answer\",\"sdp\":\"v=0\"}");
	CHECK(*drop_count("plugin_rate") >= 750);
	CHECK_EQ(c->n_closes, 0);
	world_fini();
}

static void keys_are_apart(void)
{
	struct client *c;

	world_init();
	CHECK(world_until(world_serves(), 2));
	c = client_connect("x/y%", "call1", 1, true);
	CHECK(world_until(world->n_records == 1, 2));
	CHECK(strstr(world->records[0].key, "/clientA/x%2Fy%25") != NULL);
	hub_leave(world->hub, 1, STR("clientA"), str_of(c->id));
	CHECK(world_until(world->n_records == 0, 2));
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

	world_init();
	CHECK(world_until(world_serves(), 2));
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
	hub_leave(world->hub, 1, STR("clientA"), STR("a"));
	hub_leave(world->hub, 1, STR("clientA"), STR("b"));
	CHECK(world_until(done, 1));
	CHECK_EQ(a->n_closes, 1);
	world_fini();
}

static void half_open(void)
{
	struct client *c, *good;

	world_init();
	CHECK(world_until(world_serves(), 2));
	good = client_connect("good", "call1", 1, true);
	c = client_new("half");
	client_join(c, "call2", true);
	CHECK(world_until(c->sid, 2));
	client_offer(c, 1, false);
	// 10,000 different ClientHellos on one session's path, none of which goes on
	for (int i = 0; i < 10000; i++) {
		struct dtls_fingerprint fp = answer_fingerprint(c);
		struct dtls *d = dtls_new(world->dtls, DTLS_CLIENT, &fp, &client_dtls_ops, c);
		dtls_start(d, loop_now(world->loop));
		dtls_free(d);
		if (i % 100 == 0)
			world_turn();
	}
	// and as many for sessions that do not exist
	for (int i = 0; i < 10000; i++) {
		dp_punt_to_cp(0x01000000u + 500 + (unsigned)i, (const uint8_t *)"\x16\xfe\xff", 3);
		if (i % 100 == 0)
			world_turn();
	}
	client_dc(good, "\x01", 1, DCHAN_BINARY);
	CHECK(world_until(good->n_pongs == 1, 2));
	CHECK_EQ(world_sessions(), 2);
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
				hub_leave(world->hub, 1, STR("clientA"), str_of(old->id));
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
	{"two people and a late joiner hear each other, data-channel signaling", hears_by_dc},
	{"D23, D27: the same by WebSocket, the map arriving before its offer", hears_by_ws},
	{"D14: duplicate joins are ignored and cost nothing", duplicate_join},
	{"an overloaded dataplane takes nobody new", overloaded_dataplane},
	{"D53, D58: a refused join is answered by close", refused_join},
	{"no or an unusable first offer ends the session", no_offer},
	{"D60: a data channel that does not open in time ends the session", no_channel},
	{"D10: another client cannot touch a session", foreign_client},
	{"D56: the last word on the microphone counts, also before the track", mic_state},
	{"D21: locks have an owner", lock_rules},
	{"D21: a lock that is never released expires", lock_lease},
	{"D28: leaving waits for no lock and no answer", leaves_at_once},
	{"D17, D18, D19: hostile data-channel messages are dropped and counted", hostile_messages},
	{"D22: the first calls-dc serves until another one replaces it", channels},
	{"D30: late news of an ended session does not hit its successor", reused_id},
	{"lost path, close_notify and unregistering end sessions with close", path_ends},
	{"rtc.dtls_role active: the server begins the handshake on the first path", dtls_client},
	{"a certificate that SDP did not announce ends the session", wrong_certificate},
	{"D40: a screen id belongs to the session that announced it", screen_ids},
	{"D13: reconnect moves the route, and restarts ICE when the path is silent", reconnects},
	{"D17: a flood of descriptions that fit no offer is not even read", description_flood},
	{"joins with a NUL in an id are refused", nul_in_ids},
	{"D10: no id makes one tenant's record another's", keys_are_apart},
	{"reconnect of a session that is not here is answered by close", reconnects_unknown},
	{"D31, D32: draining refuses new calls and ends with the last session", drains},
	{"10,000 half-open handshakes are bounded and disturb nobody", half_open},
	{"500 sessions live and end without a trace", five_hundred_lives},
	CU_TEST_INFO_NULL,
};
