// Who is offered which track, and what becomes of the offer when the track ends.
#include <stdlib.h>

#include "tests/support/calls/client.h"
#include "tests/support/calls/fake_dp.h"
#include "tests/support/calls/video.h"
#include "tests/support/calls/world.h"

static void share_ends(void)
{
	struct client *viewer, *c;

	world_begin();
	viewer = client_connect_with("viewer", false, NULL, 0);
	c = client_connect_with("alice", false, screen, 2);
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 0, CODEC_VP8);
	dp_live_track(c, 1, CODEC_OPUS);
	client_takes(viewer, 1);
	CHECK(world_until(client_n_legs(viewer) == 2, 2));
	client_rtc(c, RTC_SCREEN_OFF, "");
	CHECK(world_until(client_n_legs(viewer) == 0, 2));
	client_takes(viewer, 2);
	CHECK_EQ(viewer->n_map, 0);
	CHECK(viewer->offer && strstr(viewer->offer, "a=inactive") && !strstr(viewer->offer, "a=ssrc:"));
	// what is over before it was offered is not offered
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	client_rtc(c, RTC_SCREEN_OFF, "");
	CHECK(!world_until(viewer->n_offers > 2, 0.4));
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	client_takes(viewer, 3);
	CHECK_EQ(viewer->n_map, 2);
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("alice")); // the presenter leaves
	CHECK(world_until(client_n_legs(viewer) == 0, 2));
	hub_plugin_ops.leave(world->hub, 1, STR("clientA"), STR("viewer"));
	CHECK(world->sums[M_RTC_RTP_TRACKS] == 0);
	world_fini();
}

static void many_presenters(void)
{
	struct client *viewer;
	unsigned lines = 0;

	world_begin();
	viewer = client_connect_with("viewer", false, NULL, 0);
	for (unsigned i = 0; i < 20; i++) {
		char id[16];
		snprintf(id, sizeof(id), "p%u", i);
		struct client *c = client_connect_with(id, false, screen, 2);
		client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
		dp_live_track(c, 0, CODEC_VP8);
		dp_live_track(c, 1, CODEC_OPUS);
		client_takes(viewer, 2 * i + 1);
		CHECK(world_until(client_n_legs(viewer) == 2, 2));
		if (lines == 0)
			lines = sdp_m_lines(viewer->offer);
		CHECK_EQ(sdp_m_lines(viewer->offer), lines);
		CHECK_STR(client_leg_of(viewer, c, 0)->mid, "1");
		client_rtc(c, RTC_SCREEN_OFF, "");
		client_takes(viewer, 2 * i + 2);
		hub_plugin_ops.leave(world->hub, 1, STR("clientA"), str_of(id));
		client_gone(c);
	}
	CHECK_EQ(lines, 3);
	world_fini();
}

static void one_of_twins(void)
{
	struct client *old, *new, *c;

	world_begin();
	old = client_connect_with("old", false, NULL, 0);
	new = client_connect_with("new", true, NULL, 0);
	c = client_connect_with("alice", true, twins, 2);
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 0, CODEC_VP8); // no AV1 yet: both get what there is
	client_takes(old, 1);
	client_takes(new, 1);
	CHECK(world_until(client_leg_of(old, c, 0) && client_leg_of(new, c, 0), 2));
	dp_live_track(c, 1, CODEC_AV1);
	client_takes(new, 2);
	CHECK(world_until(client_leg_of(new, c, 1) != NULL, 2));
	CHECK(client_leg_of(new, c, 0) == NULL);
	CHECK_EQ(client_leg_of(new, c, 1)->codec, CODEC_AV1);
	CHECK_EQ(sdp_m_lines(new->offer), 2);
	CHECK_EQ(new->n_map, 1);
	CHECK(client_leg_of(old, c, 0) && !client_leg_of(old, c, 1));
	CHECK_EQ(old->n_offers, 1);
	// a late joiner gets its own at once
	struct client *late = client_connect_with("late", true, NULL, 0);
	client_takes(late, 1);
	CHECK(world_until(client_leg_of(late, c, 1) && !client_leg_of(late, c, 0), 2));
	// AV1 stops
	client_offer_lines(c, (struct offer_line[]){twins[0], {'v', NULL, 0, 0, "AV1", NULL}}, 2);
	client_takes(new, 3);
	CHECK(world_until(client_leg_of(new, c, 0) && client_n_legs(new) == 1, 2));
	CHECK_EQ(client_leg_of(new, c, 0)->codec, CODEC_VP8);
	world_fini();
}

static void only_av1(void)
{
	static const struct offer_line own_av1[] = {{'v', NULL, 0, 0, "AV1", NULL}};
	static const struct offer_line own_vp8[] = {{'v', NULL, 0, 0, "VP8", NULL}};
	struct client *asks, *knows, *cannot, *c;

	world_begin();
	asks = client_connect_with("asks", true, NULL, 0);
	knows = client_connect_with("knows", false, own_av1, 1);
	cannot = client_connect_with("cannot", true, own_vp8, 1); // says so, but has no payload type for it
	c = client_connect_with("alice", true, &twins[1], 1);
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 0, CODEC_AV1);
	client_takes(asks, 1);
	client_takes(knows, 1);
	CHECK(world_until(client_leg_of(asks, c, 0) && client_leg_of(knows, c, 0), 2));
	CHECK_EQ(client_leg_of(knows, c, 0)->pt, 45);
	CHECK(!world_until(cannot->n_offers > 0, 0.3));
	world_fini();
}

static void leg_fields(void)
{
	struct client *viewer, *c;

	world_begin();
	viewer = client_connect_with("viewer", false, NULL, 0);
	c = client_connect_with("alice", false, camera, 1);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	dp_live_track(c, 0, CODEC_VP8);
	client_takes(viewer, 1);
	CHECK(world_until(client_leg_of(viewer, c, 0) != NULL, 2));
	const struct ipc_leg_add *l = client_leg_of(viewer, c, 0);
	CHECK_EQ(l->kind, KIND_VIDEO);
	CHECK_EQ(l->pt, 96);
	CHECK_EQ(l->rtx_pt, 97); // a viewer that never offered video is offered RTX all the same
	CHECK(l->rtx_ssrc != 0 && l->rtx_ssrc != l->ssrc);
	CHECK_EQ(l->fb, FB_NACK | FB_PLI | FB_FIR | FB_TWCC | FB_REMB);
	CHECK_EQ(l->clock_hz, 90000);
	// what the Go client needs
	const char *video = viewer->offer ? strstr(viewer->offer, "m=video") : "";
	const char *msid = strstr(video, "a=msid:alice video_alice_"), *ssrc = strstr(video, "a=ssrc:");
	CHECK(msid && ssrc && msid < ssrc);
	CHECK(strstr(video, "a=ssrc-group:FID ") && strstr(video, "a=sendonly\r\n"));
	world_fini();
}

static void bots(void)
{
	struct client *c;

	world_begin();
	free(world->conf.audio.every_voice_users.item[0]);
	world->conf.audio.every_voice_users.item[0] = strdup("bot");
	world->conf.audio.every_voice_users.n = 1;
	c = client_connect_with("human", false, NULL, 0);
	CHECK_EQ(c->add.flags, 0);
	struct client *b = client_new("bot1");
	struct join_msg j = {.call_id = STR("call1"), .user_id = STR("bot"), .session_id = STR("bot1")};
	hub_plugin_ops.join(world->hub, 1, STR("clientA"), &j);
	CHECK(world_until(b->sid != 0, 2));
	CHECK_EQ(b->add.flags, SESSION_EVERY_VOICE);
	world_fini();
}

CU_TestInfo session_audience_tests[] = {
	{"D41, D43: a share ends with its sound, and what was not offered yet never is", share_ends},
	{"D42: 20 people share in turn on the same m-lines", many_presenters},
	{"D36: of AV1 and VP8 twins each viewer gets one, and the other when it ends", one_of_twins},
	{"D36: AV1 alone goes to all who can take it", only_av1},
	{"a video leg has RTX, feedback, importance, and an offer that Go clients understand", leg_fields},
	{"audio.every_voice_users get every voice", bots},
	CU_TEST_INFO_NULL,
};
