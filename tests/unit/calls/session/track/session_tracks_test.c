// What a track is taken for, and what the dataplane is told of it.
#include "tests/support/calls/client.h"
#include "tests/support/calls/fake_dp.h"
#include "tests/support/calls/fake_metrics.h"
#include "tests/support/calls/video.h"
#include "tests/support/calls/world.h"

static void mic_state(void)
{
	struct client *c, *early;

	world_begin();
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

static void screen_ids(void)
{
	struct client *c[2];

	world_begin();
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

static void camera_is_held(void)
{
	struct client *viewer, *c;

	world_begin();
	viewer = client_connect_with("viewer", false, NULL, 0);
	c = client_connect_with("alice", false, camera, 1);
	CHECK_EQ(c->tracks[0].kind, KIND_VIDEO);
	CHECK(!c->tracks[0].enabled);
	dp_live_track(c, 0, CODEC_VP8);
	CHECK(!world_until(viewer->n_offers > 0, 0.4));
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	client_takes(viewer, 1);
	CHECK(c->tracks[0].enabled);
	CHECK_STR(viewer->map[0], "video alice");
	CHECK(world_until(client_leg_of(viewer, c, 0) != NULL, 2));
	CHECK_EQ(client_leg_of(viewer, c, 0)->importance, 1);
	world_fini();
}

static void camera_after_its_name(void)
{
	struct client *viewer, *c;

	world_begin();
	viewer = client_connect_with("viewer", false, NULL, 0);
	c = client_new("alice");
	client_join_av1(c, false);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	client_offer_lines(c, camera, 1);
	CHECK(world_until(c->n_tracks == 1, 2));
	CHECK(c->tracks[0].enabled);
	dp_live_track(c, 0, CODEC_VP8);
	client_takes(viewer, 1);
	CHECK_STR(viewer->map[0], "video alice");
	world_fini();
}

static void screen_is_held(void)
{
	struct client *viewer, *c;

	world_begin();
	viewer = client_connect_with("viewer", false, NULL, 0);
	c = client_connect_with("alice", false, screen, 2);
	client_rtc(c, RTC_MUTE, "");
	CHECK(world_until(!c->tracks[1].enabled, 2)); // its sound passes for a voice so far
	dp_live_track(c, 0, CODEC_VP8);
	CHECK(!world_until(viewer->n_offers > 0, 0.3));
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 1, CODEC_OPUS);
	client_takes(viewer, 1);
	CHECK(c->tracks[0].enabled && c->tracks[1].enabled && !c->tracks[1].is_ranked);
	CHECK_EQ(viewer->n_map, 2);
	CHECK(client_map_has(viewer, "screen alice") && client_map_has(viewer, "screen-audio alice"));
	CHECK(world_until(client_leg_of(viewer, c, 0) != NULL, 2));
	CHECK_EQ(client_leg_of(viewer, c, 0)->importance, 0);
	world_fini();
}

static void only_one_left(void)
{
	static const struct offer_line two[] = {{'v', "odd", 1000, 0, "VP8", NULL},
						{'v', "other", 1500, 0, "VP8", NULL}};
	static const struct offer_line one[] = {{'v', "odd", 1000, 0, "VP8", NULL},
						{'v', NULL, 0, 0, "VP8", NULL}};
	struct client *viewer, *c;

	world_begin();
	viewer = client_connect_with("viewer", false, NULL, 0);
	c = client_connect_with("alice", false, two, 2);
	dp_live_track(c, 0, CODEC_VP8);
	dp_live_track(c, 1, CODEC_VP8);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"nobody's\"}");
	CHECK(!world_until(viewer->n_offers > 0, 0.3)); // which of the two?
	client_offer_lines(c, one, 2);
	client_takes(viewer, 1);
	CHECK_STR(viewer->map[0], "video alice");
	CHECK_EQ(viewer->n_map, 1);
	// and it stays that, whatever is announced next
	client_rtc(c, RTC_VIDEO_OFF, "");
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"new\"}");
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"odd\"}");
	CHECK(!world_until(viewer->n_offers > 1, 0.3));
	CHECK(c->tracks[0].enabled);
	struct client *late = client_connect_with("late", false, NULL, 0);
	client_takes(late, 1);
	CHECK_STR(late->map[0], "video alice");
	world_fini();
}

static void screen_while_camera_is_off(void)
{
	struct client *viewer, *c;

	world_begin();
	viewer = client_connect_with("viewer", false, NULL, 0);
	c = client_connect_with("alice", false, NULL, 0);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	client_rtc(c, RTC_VIDEO_OFF, "");
	client_offer_lines(c, screen, 1);
	CHECK(world_until(c->n_tracks == 1, 2));
	dp_live_track(c, 0, CODEC_VP8);
	CHECK(!world_until(viewer->n_offers > 0, 0.3));
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	client_takes(viewer, 1);
	CHECK_STR(viewer->map[0], "screen alice");
	world_fini();
}

static void id_of_another(void)
{
	struct client *viewer, *c, *d;

	world_begin();
	viewer = client_connect_with("viewer", false, NULL, 0);
	c = client_connect_with("alice", false, screen, 1);
	d = client_connect_with("bob", false, screen, 1); // the same stream id
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(d, 0, CODEC_VP8);
	CHECK(!world_until(viewer->n_offers > 0, 0.3)); // not taken for Alice's
	client_rtc(d, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	CHECK(*drop_count("second_screen") == 1);
	CHECK(!world_until(viewer->n_offers > 0, 0.3));
	CHECK(!d->tracks[0].enabled);
	client_rtc(d, RTC_SCREEN_OFF, ""); // not his to end
	dp_live_track(c, 0, CODEC_VP8);
	client_takes(viewer, 1);
	CHECK_STR(viewer->map[0], "screen alice");
	// Alice stops: Bob may
	client_rtc(c, RTC_SCREEN_OFF, "");
	client_rtc(d, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	client_takes(viewer, 2);
	CHECK_EQ(viewer->n_map, 1);
	CHECK_STR(viewer->map[0], "screen bob");
	CHECK(!c->tracks[0].enabled && d->tracks[0].enabled);
	world_fini();
}

static void encodings(void)
{
	static const struct offer_line up[] = {
		{'a', "mic", 100, 0, NULL, NULL},
		{'v', "scr", 0, 0, "VP8", "a=rid:l send\r\na=rid:h send\r\na=simulcast:send l;h\r\n"},
		{'v', "cam", 1000, 1001, "VP8", NULL},
		{'v', "odd", 0, 0, "VP8", "a=rid:hi send\r\na=rid:lo send\r\na=simulcast:send hi;lo\r\n"},
		{'v', "down", 0, 0, "VP8", "a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;l\r\n"}};
	struct client *c;

	world_begin();
	c = client_connect_with("alice", false, up, 5);
	CHECK(c->tracks[0].is_ranked && c->tracks[0].n_rids == 0);
	CHECK_EQ(c->tracks[1].n_rids, 2);
	CHECK_STR(c->tracks[1].rid[0], "l");
	CHECK_STR(c->tracks[1].rid[1], "h");
	CHECK_EQ(c->tracks[1].ssrc[0], 0);
	CHECK_EQ(c->tracks[1].codec[0].codec, CODEC_VP8);
	CHECK_EQ(c->tracks[1].codec[0].fb, FB_NACK | FB_PLI | FB_TWCC);
	CHECK_EQ(c->tracks[1].codec[1].codec, CODEC_RTX);
	CHECK_EQ(c->tracks[1].codec[1].apt, 96);
	CHECK(!c->tracks[1].is_ranked);
	CHECK_EQ(c->tracks[2].ssrc[0], 1000);
	CHECK_EQ(c->tracks[2].rtx_ssrc[0], 1001);
	CHECK_STR(c->tracks[3].rid[0], "hi"); // unknown names: as they come
	CHECK_STR(c->tracks[4].rid[0], "l");  // known ones: the poorest first
	CHECK_STR(c->tracks[4].rid[1], "h");
	CHECK(c->answer && strstr(c->answer, "a=simulcast:recv h;l"));
	// the number of encodings is for life: a line that changes it is another track
	CHECK_EQ(c->n_tracks, 5);
	struct offer_line changed[5];
	memcpy(changed, up, sizeof(up));
	changed[1].rids = "a=rid:l send\r\na=rid:m send\r\na=rid:h send\r\na=simulcast:send l;m;h\r\n";
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	client_offer_lines(c, changed, 5);
	CHECK(world_until(c->n_tracks == 6 && c->tracks[1].n_rids == 3, 2));
	CHECK(c->tracks[1].enabled);
	CHECK_EQ(c->n_track_dels, 1);
	world_fini();
}

static void odd_rids(void)
{
	char fifty[4096] = "", list[512] = "a=simulcast:send r0";
	struct client *viewer, *c;

	for (unsigned i = 0; i < 50; i++) {
		snprintf(fifty + strlen(fifty), 64, "a=rid:r%u send\r\n", i);
		if (i > 0)
			snprintf(list + strlen(list), 16, ";r%u", i);
	}
	strcat(strcat(fifty, list), "\r\n");
	const struct offer_line up[] = {
		{'v', "a", 0, 0, "VP8", fifty},
		{'v', "b", 0, 0, "VP8",
		 "a=rid:abcdefghijkl send\r\na=rid:m send\r\na=simulcast:send abcdefghijkl;m\r\n"},
		{'v', "c", 0, 0, "VP8",
		 "a=rid:1 send\r\na=rid:2 send\r\na=rid:3 send\r\na=rid:4 send\r\na=simulcast:send "
		 "1;2;3;4\r\n"},
		{'a', "mic", 100, 0, NULL, NULL},
		{'v', "cam", 7, 8, "VP8",
		 "a=ssrc-group:FID 8 7\r\na=ssrc-group:FID 7 7\r\na=ssrc-group:SIM 7 8 9\r\n"}};
	world_begin();
	viewer = client_connect_with("viewer", false, NULL, 0);
	c = client_connect_with("alice", false, up, 5);
	CHECK_EQ(c->n_tracks, 2); // the microphone and the camera
	CHECK_EQ(c->tracks[0].kind, KIND_AUDIO);
	unsigned inactive = 0;
	for (const char *at = c->answer; at && (at = strstr(at, "a=inactive")) != NULL; at++)
		inactive++;
	CHECK_EQ(inactive, 3);
	CHECK(c->answer && !strstr(c->answer, "a=rid:"));
	dp_live_track(c, 0, CODEC_OPUS);
	client_takes(viewer, 1);
	CHECK_STR(viewer->map[0], "voice alice");
	// packets of kinds that do not fit their line
	dp_live_track(c, 1, CODEC_OPUS);
	dp_live_track(c, 1, CODEC_RTX);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	CHECK(!world_until(viewer->n_offers > 1, 0.3));
	world_fini();
}

CU_TestInfo session_tracks_tests[] = {
	{"D56: the last word on the microphone counts, also before the track", mic_state},
	{"D40: a screen id belongs to the session that announced it", screen_ids},
	{"D39: a camera that comes before video_on is held, and shown when it comes", camera_is_held},
	{"a camera that comes after video_on is shown at once", camera_after_its_name},
	{"D39: a screen and its sound that come before screen_on are held and renamed", screen_is_held},
	{"D39: the only video is the camera whatever its id, and stays it", only_one_left},
	{"D39: a screen is not taken for a camera that is off", screen_while_camera_is_off},
	{"D40: a screen is its own announcer's; a refused one changes nothing; then it takes over",
	 id_of_another},
	{"D46: encodings in ascending order, unknown names too, and RTX", encodings},
	{"too many or too long rids and lying groups: that track is inactive, the rest goes on", odd_rids},
	CU_TEST_INFO_NULL,
};
