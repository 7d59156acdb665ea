// What survives when one of the two processes, or the link between them, goes away.
#include "controlplane/calls/hub.h"
#include "controlplane/calls/late.h"
#include "controlplane/session/persist.h"
#include "tests/support/calls/client.h"
#include "tests/support/calls/fake_dp.h"
#include "tests/support/calls/fake_metrics.h"
#include "tests/support/calls/video.h"
#include "tests/support/calls/world.h"

// Alice talks, Bob hears her; both are in the store.
static void world_with_call(struct client *c[2], bool dc_signaling)
{
	world_begin();
	c[0] = client_connect("alice", "call1", 1111, dc_signaling);
	c[1] = client_connect("bob", "call1", 0, dc_signaling);
	dp_live(c[0]);
	CHECK(world_until(c[1]->n_offers == 1, 2));
	client_answer(c[1]);
	CHECK(world_until(c[1]->n_legs_up == 1, 2));
	world_for(0.4);
	CHECK_EQ(world->n_records, 2);
}

static void hub_killed(void)
{
	world_kill_hub();
	for (unsigned i = 0; i < world->n_clients; i++) {
		struct client *c = world->clients[i];
		c->n_legs_up = c->n_legs_down = c->n_tracks = c->n_gates = 0;
	}
	world->n_dels = 0;
}

static void taken_back(void)
{
	struct client *c[2], *late;

	world_with_call(c, true);
	hub_killed();
	world_hub();
	CHECK(world_until(world_serves(), 2));
	CHECK_EQ(world_sessions(), 2);
	CHECK_EQ(c[0]->n_closes + c[1]->n_closes, 0);
	CHECK_EQ(world->n_dels, 0);
	world_for(0.1);
	CHECK_EQ(c[1]->n_legs_down, 0); // Bob goes on hearing
	CHECK_EQ(c[1]->last_leg.src_sid, c[0]->sid);
	unsigned number = c[0]->last_track.track;
	client_rtc(c[0], RTC_MUTE, "");
	CHECK(world_until(c[0]->n_gates == 1 && !c[0]->last_gate, 2));
	CHECK_EQ(c[0]->last_track.track, number);
	// a late joiner hears Alice
	late = client_connect("carol", "call1", 0, true);
	CHECK(world_until(late->n_offers == 1, 2));
	client_answer(late);
	CHECK(world_until(late->n_legs_up == 1, 2));
	CHECK_EQ(late->last_leg.src_sid, c[0]->sid);
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("alice"));
	CHECK_EQ(c[0]->n_closes, 1);
	CHECK(world_until(c[1]->n_legs_down == 1 && late->n_legs_down == 1, 2));
	world_for(0.3);
	CHECK_EQ(world->n_records, 2);
	world_fini();
}

static void written_again(void)
{
	struct client *c[2];

	world_with_call(c, true);
	store_lose_all();
	CHECK(world_until(world->n_records == 2, 2));
	hub_killed(); // and the new records are good
	world_hub();
	CHECK(world_until(world_serves(), 2));
	CHECK_EQ(world_sessions(), 2);
	CHECK_EQ(c[0]->n_closes + c[1]->n_closes, 0);
	world_fini();
}

static void speaks_by_websocket(void)
{
	struct client *c[2], *late;

	world_with_call(c, true);
	hub_killed();
	world_hub();
	CHECK(world_until(world_serves(), 2));
	late = client_connect("carol", "call1", 3333, true);
	dp_live(late);
	unsigned before = c[1]->n_offers;
	CHECK(world_until(c[1]->n_offers > before, 3));
	CHECK(!c[1]->offer_by_dc);
	// the certificate it shook hands with, not this process's own
	CHECK(strncmp(strstr(c[1]->offer, "a=fingerprint:"), strstr(c[1]->answer, "a=fingerprint:"), 117) ==
	      0);
	CHECK(strncmp(strstr(late->answer, "a=fingerprint:"), strstr(c[1]->answer, "a=fingerprint:"), 117) !=
	      0);
	client_answer(c[1]);
	CHECK(world_until(c[1]->n_legs_up >= 2, 2)); // the one it had, told again, and Carol's
	CHECK_EQ(c[1]->last_leg.src_sid, late->sid);
	world_fini();
}

static void mute_survives(void)
{
	struct client *c[2];

	world_with_call(c, true);
	client_rtc(c[0], RTC_MUTE, "");
	world_for(0.4);
	hub_killed();
	world_hub();
	CHECK(world_until(world_serves(), 2));
	CHECK(world_until(c[0]->n_tracks > 0, 2));
	CHECK(!c[0]->track_enabled);
	world_fini();
}

static void halves_end(void)
{
	struct client *c[2];

	world_with_call(c, true);
	hub_killed();
	c[0]->is_deleted = true; // the dataplane has lost Alice
	struct fake_record *bob = NULL;
	for (unsigned i = 0; i < world->n_records; i++)
		if (strstr(world->records[i].key, "bob"))
			bob = &world->records[i];
	CHECK_OR_RETURN(bob != NULL);
	record_clear(bob); // the store has lost Bob
	world_hub();
	CHECK(world_until(world_serves(), 2));
	CHECK_EQ(world_sessions(), 0);
	CHECK_EQ(c[0]->n_closes, 1);
	CHECK(world_until(c[1]->is_deleted, 2));
	CHECK_EQ(world->n_records, 0);
	world_fini();
}

static void foreign_records(void)
{
	struct client *c[2];

	world_with_call(c, true);
	hub_killed();
	for (unsigned i = 0; i < world->n_records; i++)
		world->records[i].value[world->records[i].value_len - 1] ^= 1; // the seal does not hold
	static char name[300];
	snprintf(name, sizeof(name), "%s-junk", world->records[0].key);
	store_set(NULL, str_of(name), STR("\x01 not a record"), 1, NULL, NULL);
	world_hub();
	CHECK(world_until(world_serves(), 2));
	CHECK_EQ(world_sessions(), 0);
	CHECK_EQ(c[0]->n_closes + c[1]->n_closes, 2);
	CHECK(world_until(c[0]->is_deleted && c[1]->is_deleted, 2));
	CHECK_EQ(world->n_records, 0);
	world_fini();
}

static void messages_wait(void)
{
	struct client *c[2], *d;
	struct hub_load l;

	world_with_call(c, true);
	hub_killed();
	world_hub();
	hub_load(world->hub, &l);
	CHECK(l.restoring);
	d = client_new("dave");
	client_join(d, "call1", true);
	client_offer(d, 0, false);
	client_join(c[0], "call1", true); // lives on: nothing happens
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("bob"));
	CHECK_EQ(d->n_answers, 0);
	CHECK(world_until(d->n_answers == 1, 2));
	CHECK_EQ(c[0]->n_closes, 0);
	CHECK_EQ(c[1]->n_closes, 1);
	CHECK_EQ(world_sessions(), 2);
	world_fini();
}

static void messages_wait_bounded(void)
{
	struct client *c[2], *d;
	static char big[1 << 20];

	world_with_call(c, true);
	hub_killed();
	world_hub();
	d = client_new("dave");
	for (unsigned i = 0; i < 64; i++) // what one flooding plugin may keep us remembering
		hub_plugin_ops.rtc(world->hub, 1, STR("clientA"), STR("alice"), RTC_SDP,
				   (struct str){big, sizeof(big)});
	for (unsigned i = 0; i < LATE_MAX; i++)
		hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("nobody"));
	client_join(d, "call1", true);
	CHECK_EQ(d->n_closes, 1); // D53: told at once
	CHECK(world_until(world_serves(), 2));
	world_fini();
}

static void dataplane_restarts(void)
{
	struct client *c[2], *d;

	world_with_call(c, true);
	dp_die();
	world->boot_id++;
	c[0]->is_deleted = c[1]->is_deleted = true;
	dp_listen();
	CHECK(world_until(c[0]->n_closes == 1 && c[1]->n_closes == 1, 3));
	CHECK_EQ(world_sessions(), 0);
	client_gone(c[0]);
	client_gone(c[1]);
	d = client_connect("dave", "call1", 1, true);
	CHECK_EQ(d->n_closes, 0);
	world_fini();
}

static void dataplane_stays_away(void)
{
	struct client *c[2];

	world_with_call(c, true);
	dp_die();
	CHECK(!world_until(c[0]->n_closes > 0, 2.5));
	CHECK(world_until(c[0]->n_closes == 1 && c[1]->n_closes == 1, 2));
	world_fini();
}

static void link_breaks(void)
{
	struct client *c[2], *fresh;

	world_with_call(c, true);
	fresh = client_new("fresh");
	dp_die();
	client_join(fresh, "call1", true); // made while the link is down
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("bob"));
	dp_listen();
	CHECK(world_until(fresh->sid != 0, 3));
	CHECK(world_until(c[1]->is_deleted, 2)); // left meanwhile
	CHECK_EQ(c[0]->n_closes + fresh->n_closes, 0);
	client_dc(c[0], "\x01", 1, DCHAN_BINARY);
	CHECK(world_until(c[0]->n_pongs == 1, 3));
	CHECK_EQ(world_sessions(), 2);
	world_fini();
}

static void link_was_deaf(void)
{
	struct client *c[2];

	world_begin();
	c[0] = client_connect("alice", "call1", 1111, true);
	c[1] = client_connect("bob", "call1", 2222, true);
	dp_die();
	c[0]->talks = true;
	c[1]->is_silent = true;
	dp_listen();
	CHECK(world_until(c[1]->n_offers == 1, 3)); // her first packet came meanwhile
	CHECK_EQ(c[0]->n_voice_on, 1);
	CHECK_EQ(c[0]->n_offers + c[1]->n_voice_on, 0);
	dp_die();
	c[0]->talks = false;
	c[1]->is_lost = true;
	dp_listen();
	CHECK(world_until(c[1]->n_closes == 1, 3));
	CHECK_EQ(c[0]->n_voice_off, 1);
	CHECK_EQ(c[0]->n_closes, 0);
	world_fini();
}

static void nothing_to_read(void)
{
	struct client *c;

	world_init();
	hub_free(world->hub);
	world->store_is_away = true;
	world_hub();
	c = client_new("a");
	client_join(c, "call1", true);
	CHECK(!world_until(world_serves(), 4));
	CHECK(world_until(world_serves(), 2));
	CHECK(world_until(c->sid != 0, 2));
	world_fini();
}

static void nothing_left(void)
{
	struct client *c[2];

	world_with_call(c, true);
	dp_die();
	hub_killed();
	world_hub();
	CHECK(!world_until(c[0]->n_closes > 0, 4));
	CHECK(world_until(c[0]->n_closes == 1 && c[1]->n_closes == 1, 2));
	CHECK_EQ(world->n_records, 0);
	world_fini();
}

static void store_shows_no_secret(void)
{
	struct client *c[2];

	world_with_call(c, true);
	for (unsigned i = 0; i < world->n_records; i++)
		for (int k = 0; k < 2; k++)
			CHECK(memmem(world->records[i].value, world->records[i].value_len, c[k]->add.pwd,
				     IPC_PWD_LEN) == NULL);
	world_fini();
}

static void hub_restarts(void)
{
	world_kill_hub();
	world_hub();
	CHECK(world_until(world_serves(), 2));
}

static void share_survives(void)
{
	struct client *old, *new, *c, *d;

	world_begin();
	old = client_connect_with("old", false, NULL, 0);
	new = client_connect_with("new", true, NULL, 0);
	c = client_connect_with("alice", true, twins, 2);
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 0, CODEC_VP8);
	dp_live_track(c, 1, CODEC_AV1);
	client_takes(old, 1);
	client_takes(new, 1);
	CHECK(world_until(client_leg_of(old, c, 0) && client_leg_of(new, c, 1), 2));
	d = client_connect_with("dora", false, camera, 1); // held: nothing was announced
	dp_live_track(d, 0, CODEC_VP8);
	world_for(0.5);
	unsigned down = old->n_legs_down + new->n_legs_down, offers = old->n_offers + new->n_offers;
	char track[64] = "";
	sscanf(strstr(old->offer, "a=msid:"), "%63[^\r]", track);
	hub_restarts();
	world_for(0.5);
	CHECK_EQ(world_sessions(), 4);
	CHECK_EQ(old->n_legs_down + new->n_legs_down, down); // the share goes on
	CHECK_EQ(old->n_offers + new->n_offers, offers);
	CHECK(client_leg_of(old, c, 0) && client_leg_of(new, c, 1) && c->tracks[0].enabled &&
	      !d->tracks[0].enabled);
	struct client *late = client_connect_with("late", true, NULL, 0);
	client_takes(late, 1);
	CHECK(world_until(client_leg_of(late, c, 1) && client_n_legs(late) == 1, 2));
	struct client *later = client_connect_with("later", false, NULL, 0);
	client_takes(later, 1);
	CHECK(strstr(later->offer, track) != NULL); // under the same name
	// who presents is known, and what is held still waits
	client_rtc(d, RTC_SCREEN_ON, "{\"screenStreamID\":\"cam\"}");
	CHECK(*drop_count("second_screen") == 1);
	client_rtc(d, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	client_takes(later, 2);
	CHECK(client_map_has(later, "video dora") && client_map_has(later, "screen alice"));
	client_rtc(c, RTC_SCREEN_OFF, "");
	CHECK(world_until(
		!client_leg_of(old, c, 0) && !client_leg_of(new, c, 1) && !client_leg_of(late, c, 1), 2));
	world_fini();
}

static void withdrawn_survives(void)
{
	struct client *c;

	world_begin();
	c = client_connect_with("alice", false, screen, 2);
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 0, CODEC_VP8);
	client_rtc(c, RTC_SCREEN_OFF, "");
	world_for(0.5);
	hub_restarts();
	struct client *late = client_connect_with("late", false, NULL, 0);
	CHECK(!world_until(late->n_offers > 0, 0.4));
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	client_takes(late, 1);
	CHECK(client_map_has(late, "screen alice"));
	world_fini();
}

CU_TestInfo resync_tests[] = {
	{"a killed control plane takes its calls back; nobody stops hearing", taken_back},
	{"sessions are written again when the store has lost them", written_again},
	{"without its data channel a session is offered tracks by WebSocket", speaks_by_websocket},
	{"D56: a muted microphone stays muted over a restart", mute_survives},
	{"a session that one side has lost ends, with close", halves_end},
	{"records that cannot be opened are deleted and their sessions closed", foreign_records},
	{"plugin messages wait in order while state is read back", messages_wait},
	{"D53: a join that finds no room during a restart is told by close", messages_wait_bounded},
	{"a restarted dataplane ends its sessions with close and serves new ones", dataplane_restarts},
	{"a dataplane that stays away ends its sessions", dataplane_stays_away},
	{"a broken link alone ends nothing", link_breaks},
	{"what happened while the link was down is caught up with", link_was_deaf},
	{"a store that is away delays the start by no more than its limit", nothing_to_read},
	{"without dataplane at the start, what was is told to end", nothing_left},
	{"no ICE password is in the store", store_shows_no_secret},
	{"a screen share and what is held survive a restart", share_survives},
	{"a share that is over stays over after a restart", withdrawn_survives},
	CU_TEST_INFO_NULL,
};
