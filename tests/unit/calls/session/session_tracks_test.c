// Screens and cameras: what they are taken for, who gets them, what the dataplane is told, what survives a restart.
#include "controlplane/calls/hub_state.h"
#include "controlplane/calls/query.h"
#include "tests/support/calls/world.h"

// An m-line of a client.
struct line {
	char kind;          // 'a' or 'v'
	const char *stream; // msid stream, NULL: the client stopped it
	uint32_t ssrc, rtx; // 0: none
	const char *codec;  // video: "VP8" or "AV1"
	const char *rids;   // text of rid and simulcast lines
};

static void write_line(FILE *f, const struct line *l, unsigned mid)
{
	bool is_av1 = l->codec && strcmp(l->codec, "AV1") == 0;

	fprintf(f,
		"m=%s 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:cccc\r\n"
		"a=ice-pwd:cccccccccccccccccccccccc\r\na=fingerprint:sha-256 "
		"%s\r\na=setup:actpass\r\na=mid:%u\r\n"
		"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
		l->kind == 'a' ? "audio" : "video",
		l->kind == 'a' ? "111"
		: is_av1       ? "45"
			       : "96 97",
		dtls_ctx_fingerprint(world->dtls), mid);
	if (l->stream)
		fprintf(f, "a=sendrecv\r\na=msid:%s track-%u\r\n", l->stream, mid);
	else
		fprintf(f, "a=recvonly\r\n");
	fprintf(f, "a=rtcp-mux\r\n");
	if (l->kind == 'a')
		fprintf(f, "a=rtpmap:111 opus/48000/2\r\n");
	else if (is_av1)
		fprintf(f, "a=rtpmap:45 AV1/90000\r\na=rtcp-fb:45 nack\r\na=rtcp-fb:45 nack pli\r\n");
	else
		fprintf(f, "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n"
			   "a=rtcp-fb:96 transport-cc\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n");
	if (l->rids)
		fprintf(f,
			"a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
			"a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n%s",
			l->rids);
	if (l->rtx)
		fprintf(f, "a=ssrc-group:FID %u %u\r\na=ssrc:%u cname:c\r\n", l->ssrc, l->rtx, l->rtx);
	if (l->ssrc)
		fprintf(f, "a=ssrc:%u cname:c\r\n", l->ssrc);
}

static void offer_lines(struct client *c, const struct line *lines, unsigned n)
{
	char *out = NULL;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	fprintf(f, "v=0\r\no=- 1 %u IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0", 1 + c->n_answers);
	for (unsigned i = 0; i < n; i++)
		fprintf(f, " %u", i + 1);
	fprintf(f,
		"\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 "
		"0.0.0.0\r\na=ice-ufrag:cccc\r\n"
		"a=ice-pwd:cccccccccccccccccccccccc\r\na=fingerprint:sha-256 "
		"%s\r\na=setup:actpass\r\na=mid:0\r\n"
		"a=sctp-port:5000\r\na=max-message-size:262144\r\n",
		dtls_ctx_fingerprint(world->dtls));
	for (unsigned i = 0; i < n; i++)
		write_line(f, &lines[i], i + 1);
	fclose(f);
	client_send_sdp(c, SIGMSG_OFFER, out, false);
	free(out);
}

static void join(struct client *c, bool av1)
{
	struct join_msg j = {.call_id = STR("call1"),
			     .user_id = STR("user"),
			     .session_id = str_of(c->id),
			     .av1_support = av1,
			     .has_av1 = true,
			     .dc_signaling = true,
			     .has_dc = true};

	hub_join(world->hub, 1, STR("clientA"), &j);
	CHECK(world_until(c->sid != 0, 2));
}

static struct client *connect_with(const char *id, bool av1, const struct line *lines, unsigned n)
{
	struct client *c = client_new(id);

	join(c, av1);
	offer_lines(c, lines, n);
	CHECK_EQ(c->n_answers, 1);
	dp_path(c);
	client_start_dtls(c);
	CHECK(world_until(c->has_channel, 5));
	return c;
}

static void begin(void)
{
	world_init();
	CHECK(world_until(world_serves(), 2));
}

static unsigned n_legs(const struct client *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < IPC_MAX_LEGS; i++)
		n += c->legs[i].sid != 0;
	return n;
}

static const struct ipc_leg_add *leg_of(const struct client *c, const struct client *sender, unsigned track)
{
	for (unsigned i = 0; i < IPC_MAX_LEGS; i++)
		if (c->legs[i].sid != 0 && c->legs[i].src_sid == sender->sid && c->legs[i].src_track == track)
			return &c->legs[i];
	return NULL;
}

static bool map_has(const struct client *c, const char *entry)
{
	for (unsigned i = 0; i < c->n_map; i++)
		if (strcmp(c->map[i], entry) == 0)
			return true;
	return false;
}

// The viewer is offered something and takes it.
static void takes(struct client *viewer, unsigned n_offers)
{
	CHECK(world_until(viewer->n_offers == n_offers, 2));
	CHECK(viewer->map_before_offer);
	client_answer(viewer);
}

static unsigned m_lines(const char *sdp)
{
	unsigned n = 0;

	for (const char *at = sdp; at && (at = strstr(at, "m=")) != NULL; at += 2)
		n += at == sdp || at[-1] == '\n';
	return n;
}

static const struct line camera[] = {{'v', "cam", 1000, 1001, "VP8", NULL}};
static const struct line screen[] = {{'v', "scr", 2000, 2001, "VP8", NULL},
				     {'a', "scr", 2100, 0, NULL, NULL}};
static const struct line twins[] = {{'v', "scr", 2000, 2001, "VP8", NULL},
				    {'v', "scr", 3000, 0, "AV1", NULL}};

// --- what is what ----------------------------------------------------------------------------------
static void camera_is_held(void)
{
	struct client *viewer, *c;

	begin();
	viewer = connect_with("viewer", false, NULL, 0);
	c = connect_with("alice", false, camera, 1);
	CHECK_EQ(c->tracks[0].kind, KIND_VIDEO);
	CHECK(!c->tracks[0].enabled);
	dp_live_track(c, 0, CODEC_VP8);
	CHECK(!world_until(viewer->n_offers > 0, 0.4));
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	takes(viewer, 1);
	CHECK(c->tracks[0].enabled);
	CHECK_STR(viewer->map[0], "video alice");
	CHECK(world_until(leg_of(viewer, c, 0) != NULL, 2));
	CHECK_EQ(leg_of(viewer, c, 0)->importance, 1);
	world_fini();
}

static void camera_after_its_name(void)
{
	struct client *viewer, *c;

	begin();
	viewer = connect_with("viewer", false, NULL, 0);
	c = client_new("alice");
	join(c, false);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	offer_lines(c, camera, 1);
	CHECK(world_until(c->n_tracks == 1, 2));
	CHECK(c->tracks[0].enabled);
	dp_live_track(c, 0, CODEC_VP8);
	takes(viewer, 1);
	CHECK_STR(viewer->map[0], "video alice");
	world_fini();
}

static void screen_is_held(void)
{
	struct client *viewer, *c;

	begin();
	viewer = connect_with("viewer", false, NULL, 0);
	c = connect_with("alice", false, screen, 2);
	client_rtc(c, RTC_MUTE, "");
	CHECK(world_until(!c->tracks[1].enabled, 2)); // its sound passes for a voice so far
	dp_live_track(c, 0, CODEC_VP8);
	CHECK(!world_until(viewer->n_offers > 0, 0.3));
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 1, CODEC_OPUS);
	takes(viewer, 1);
	CHECK(c->tracks[0].enabled && c->tracks[1].enabled && !c->tracks[1].is_ranked);
	CHECK_EQ(viewer->n_map, 2);
	CHECK(map_has(viewer, "screen alice") && map_has(viewer, "screen-audio alice"));
	CHECK(world_until(leg_of(viewer, c, 0) != NULL, 2));
	CHECK_EQ(leg_of(viewer, c, 0)->importance, 0);
	world_fini();
}

static void only_one_left(void)
{
	static const struct line two[] = {{'v', "odd", 1000, 0, "VP8", NULL},
					  {'v', "other", 1500, 0, "VP8", NULL}};
	static const struct line one[] = {{'v', "odd", 1000, 0, "VP8", NULL}, {'v', NULL, 0, 0, "VP8", NULL}};
	struct client *viewer, *c;

	begin();
	viewer = connect_with("viewer", false, NULL, 0);
	c = connect_with("alice", false, two, 2);
	dp_live_track(c, 0, CODEC_VP8);
	dp_live_track(c, 1, CODEC_VP8);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"nobody's\"}");
	CHECK(!world_until(viewer->n_offers > 0, 0.3)); // which of the two?
	offer_lines(c, one, 2);
	takes(viewer, 1);
	CHECK_STR(viewer->map[0], "video alice");
	CHECK_EQ(viewer->n_map, 1);
	// and it stays that, whatever is announced next
	client_rtc(c, RTC_VIDEO_OFF, "");
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"new\"}");
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"odd\"}");
	CHECK(!world_until(viewer->n_offers > 1, 0.3));
	CHECK(c->tracks[0].enabled);
	struct client *late = connect_with("late", false, NULL, 0);
	takes(late, 1);
	CHECK_STR(late->map[0], "video alice");
	world_fini();
}

static void screen_while_camera_is_off(void)
{
	struct client *viewer, *c;

	begin();
	viewer = connect_with("viewer", false, NULL, 0);
	c = connect_with("alice", false, NULL, 0);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	client_rtc(c, RTC_VIDEO_OFF, "");
	offer_lines(c, screen, 1);
	CHECK(world_until(c->n_tracks == 1, 2));
	dp_live_track(c, 0, CODEC_VP8);
	CHECK(!world_until(viewer->n_offers > 0, 0.3));
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	takes(viewer, 1);
	CHECK_STR(viewer->map[0], "screen alice");
	world_fini();
}

static void id_of_another(void)
{
	struct client *viewer, *c, *d;

	begin();
	viewer = connect_with("viewer", false, NULL, 0);
	c = connect_with("alice", false, screen, 1);
	d = connect_with("bob", false, screen, 1); // the same stream id
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(d, 0, CODEC_VP8);
	CHECK(!world_until(viewer->n_offers > 0, 0.3)); // not taken for Alice's
	client_rtc(d, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	CHECK(*drop_count("second_screen") == 1);
	CHECK(!world_until(viewer->n_offers > 0, 0.3));
	CHECK(!d->tracks[0].enabled);
	client_rtc(d, RTC_SCREEN_OFF, ""); // not his to end
	dp_live_track(c, 0, CODEC_VP8);
	takes(viewer, 1);
	CHECK_STR(viewer->map[0], "screen alice");
	// Alice stops: Bob may
	client_rtc(c, RTC_SCREEN_OFF, "");
	client_rtc(d, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	takes(viewer, 2);
	CHECK_EQ(viewer->n_map, 1);
	CHECK_STR(viewer->map[0], "screen bob");
	CHECK(!c->tracks[0].enabled && d->tracks[0].enabled);
	world_fini();
}

static void share_ends(void)
{
	struct client *viewer, *c;

	begin();
	viewer = connect_with("viewer", false, NULL, 0);
	c = connect_with("alice", false, screen, 2);
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 0, CODEC_VP8);
	dp_live_track(c, 1, CODEC_OPUS);
	takes(viewer, 1);
	CHECK(world_until(n_legs(viewer) == 2, 2));
	client_rtc(c, RTC_SCREEN_OFF, "");
	CHECK(world_until(n_legs(viewer) == 0, 2));
	takes(viewer, 2);
	CHECK_EQ(viewer->n_map, 0);
	CHECK(viewer->offer && strstr(viewer->offer, "a=inactive") && !strstr(viewer->offer, "a=ssrc:"));
	// what is over before it was offered is not offered
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	client_rtc(c, RTC_SCREEN_OFF, "");
	CHECK(!world_until(viewer->n_offers > 2, 0.4));
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	takes(viewer, 3);
	CHECK_EQ(viewer->n_map, 2);
	hub_leave(world->hub, 1, STR("clientA"), STR("alice")); // the presenter leaves
	CHECK(world_until(n_legs(viewer) == 0, 2));
	hub_leave(world->hub, 1, STR("clientA"), STR("viewer"));
	CHECK(world->sums[M_RTC_RTP_TRACKS] == 0);
	world_fini();
}

static void many_presenters(void)
{
	struct client *viewer;
	unsigned lines = 0;

	begin();
	viewer = connect_with("viewer", false, NULL, 0);
	for (unsigned i = 0; i < 20; i++) {
		char id[16];
		snprintf(id, sizeof(id), "p%u", i);
		struct client *c = connect_with(id, false, screen, 2);
		client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
		dp_live_track(c, 0, CODEC_VP8);
		dp_live_track(c, 1, CODEC_OPUS);
		takes(viewer, 2 * i + 1);
		CHECK(world_until(n_legs(viewer) == 2, 2));
		if (lines == 0)
			lines = m_lines(viewer->offer);
		CHECK_EQ(m_lines(viewer->offer), lines);
		CHECK_STR(leg_of(viewer, c, 0)->mid, "1");
		client_rtc(c, RTC_SCREEN_OFF, "");
		takes(viewer, 2 * i + 2);
		hub_leave(world->hub, 1, STR("clientA"), str_of(id));
		client_gone(c);
	}
	CHECK_EQ(lines, 3);
	world_fini();
}

// --- twins -----------------------------------------------------------------------------------------
static void one_of_twins(void)
{
	struct client *old, *new, *c;

	begin();
	old = connect_with("old", false, NULL, 0);
	new = connect_with("new", true, NULL, 0);
	c = connect_with("alice", true, twins, 2);
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 0, CODEC_VP8); // no AV1 yet: both get what there is
	takes(old, 1);
	takes(new, 1);
	CHECK(world_until(leg_of(old, c, 0) && leg_of(new, c, 0), 2));
	dp_live_track(c, 1, CODEC_AV1);
	takes(new, 2);
	CHECK(world_until(leg_of(new, c, 1) != NULL, 2));
	CHECK(leg_of(new, c, 0) == NULL);
	CHECK_EQ(leg_of(new, c, 1)->codec, CODEC_AV1);
	CHECK_EQ(m_lines(new->offer), 2);
	CHECK_EQ(new->n_map, 1);
	CHECK(leg_of(old, c, 0) && !leg_of(old, c, 1));
	CHECK_EQ(old->n_offers, 1);
	// a late joiner gets its own at once
	struct client *late = connect_with("late", true, NULL, 0);
	takes(late, 1);
	CHECK(world_until(leg_of(late, c, 1) && !leg_of(late, c, 0), 2));
	// AV1 stops
	offer_lines(c, (struct line[]){twins[0], {'v', NULL, 0, 0, "AV1", NULL}}, 2);
	takes(new, 3);
	CHECK(world_until(leg_of(new, c, 0) && n_legs(new) == 1, 2));
	CHECK_EQ(leg_of(new, c, 0)->codec, CODEC_VP8);
	world_fini();
}

static void only_av1(void)
{
	static const struct line own_av1[] = {{'v', NULL, 0, 0, "AV1", NULL}};
	static const struct line own_vp8[] = {{'v', NULL, 0, 0, "VP8", NULL}};
	struct client *asks, *knows, *cannot, *c;

	begin();
	asks = connect_with("asks", true, NULL, 0);
	knows = connect_with("knows", false, own_av1, 1);
	cannot = connect_with("cannot", true, own_vp8, 1); // says so, but has no payload type for it
	c = connect_with("alice", true, &twins[1], 1);
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 0, CODEC_AV1);
	takes(asks, 1);
	takes(knows, 1);
	CHECK(world_until(leg_of(asks, c, 0) && leg_of(knows, c, 0), 2));
	CHECK_EQ(leg_of(knows, c, 0)->pt, 45);
	CHECK(!world_until(cannot->n_offers > 0, 0.3));
	world_fini();
}

// --- what the dataplane is told --------------------------------------------------------------------
static void encodings(void)
{
	static const struct line up[] = {
		{'a', "mic", 100, 0, NULL, NULL},
		{'v', "scr", 0, 0, "VP8", "a=rid:l send\r\na=rid:h send\r\na=simulcast:send l;h\r\n"},
		{'v', "cam", 1000, 1001, "VP8", NULL},
		{'v', "odd", 0, 0, "VP8", "a=rid:hi send\r\na=rid:lo send\r\na=simulcast:send hi;lo\r\n"},
		{'v', "down", 0, 0, "VP8", "a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;l\r\n"}};
	struct client *c;

	begin();
	c = connect_with("alice", false, up, 5);
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
	struct line changed[5];
	memcpy(changed, up, sizeof(up));
	changed[1].rids = "a=rid:l send\r\na=rid:m send\r\na=rid:h send\r\na=simulcast:send l;m;h\r\n";
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	offer_lines(c, changed, 5);
	CHECK(world_until(c->n_tracks == 6 && c->tracks[1].n_rids == 3, 2));
	CHECK(c->tracks[1].enabled);
	CHECK_EQ(c->n_track_dels, 1);
	world_fini();
}

static void leg_fields(void)
{
	struct client *viewer, *c;

	begin();
	viewer = connect_with("viewer", false, NULL, 0);
	c = connect_with("alice", false, camera, 1);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	dp_live_track(c, 0, CODEC_VP8);
	takes(viewer, 1);
	CHECK(world_until(leg_of(viewer, c, 0) != NULL, 2));
	const struct ipc_leg_add *l = leg_of(viewer, c, 0);
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

	begin();
	free(world->conf.audio.every_voice_users.item[0]);
	world->conf.audio.every_voice_users.item[0] = strdup("bot");
	world->conf.audio.every_voice_users.n = 1;
	c = connect_with("human", false, NULL, 0);
	CHECK_EQ(c->add.flags, 0);
	struct client *b = client_new("bot1");
	struct join_msg j = {.call_id = STR("call1"), .user_id = STR("bot"), .session_id = STR("bot1")};
	hub_join(world->hub, 1, STR("clientA"), &j);
	CHECK(world_until(b->sid != 0, 2));
	CHECK_EQ(b->add.flags, SESSION_EVERY_VOICE);
	world_fini();
}

// --- hostile ---------------------------------------------------------------------------------------
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
	const struct line up[] = {
		{'v', "a", 0, 0, "VP8", fifty},
		{'v', "b", 0, 0, "VP8",
		 "a=rid:abcdefghijkl send\r\na=rid:m send\r\na=simulcast:send abcdefghijkl;m\r\n"},
		{'v', "c", 0, 0, "VP8",
		 "a=rid:1 send\r\na=rid:2 send\r\na=rid:3 send\r\na=rid:4 send\r\na=simulcast:send "
		 "1;2;3;4\r\n"},
		{'a', "mic", 100, 0, NULL, NULL},
		{'v', "cam", 7, 8, "VP8",
		 "a=ssrc-group:FID 8 7\r\na=ssrc-group:FID 7 7\r\na=ssrc-group:SIM 7 8 9\r\n"}};
	begin();
	viewer = connect_with("viewer", false, NULL, 0);
	c = connect_with("alice", false, up, 5);
	CHECK_EQ(c->n_tracks, 2); // the microphone and the camera
	CHECK_EQ(c->tracks[0].kind, KIND_AUDIO);
	unsigned inactive = 0;
	for (const char *at = c->answer; at && (at = strstr(at, "a=inactive")) != NULL; at++)
		inactive++;
	CHECK_EQ(inactive, 3);
	CHECK(c->answer && !strstr(c->answer, "a=rid:"));
	dp_live_track(c, 0, CODEC_OPUS);
	takes(viewer, 1);
	CHECK_STR(viewer->map[0], "voice alice");
	// packets of kinds that do not fit their line
	dp_live_track(c, 1, CODEC_OPUS);
	dp_live_track(c, 1, CODEC_RTX);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	CHECK(!world_until(viewer->n_offers > 1, 0.3));
	world_fini();
}

// --- after a restart -------------------------------------------------------------------------------
// kill -9: the store keeps what it had, clients lose their data channels.
static void hub_is_killed(void)
{
	static struct fake_record kept[MAX_RECORDS];
	unsigned n = world->n_records;

	memcpy(kept, world->records, sizeof(kept));
	world->n_records = 0;
	dp_hang_up();
	for (unsigned i = 0; i < world->n_clients; i++)
		client_gone(world->clients[i]);
	hub_free(world->hub);
	memcpy(world->records, kept, sizeof(kept));
	world->n_records = n;
	for (unsigned i = 0; i < world->n_clients; i++)
		world->clients[i]->n_closes = 0;
	world_hub();
	CHECK(world_until(world_serves(), 2));
}

static void share_survives(void)
{
	struct client *old, *new, *c, *d;

	begin();
	old = connect_with("old", false, NULL, 0);
	new = connect_with("new", true, NULL, 0);
	c = connect_with("alice", true, twins, 2);
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 0, CODEC_VP8);
	dp_live_track(c, 1, CODEC_AV1);
	takes(old, 1);
	takes(new, 1);
	CHECK(world_until(leg_of(old, c, 0) && leg_of(new, c, 1), 2));
	d = connect_with("dora", false, camera, 1); // held: nothing was announced
	dp_live_track(d, 0, CODEC_VP8);
	world_for(0.5);
	unsigned down = old->n_legs_down + new->n_legs_down, offers = old->n_offers + new->n_offers;
	char track[64] = "";
	sscanf(strstr(old->offer, "a=msid:"), "%63[^\r]", track);
	hub_is_killed();
	world_for(0.5);
	CHECK_EQ(world_sessions(), 4);
	CHECK_EQ(old->n_legs_down + new->n_legs_down, down); // the share goes on
	CHECK_EQ(old->n_offers + new->n_offers, offers);
	CHECK(leg_of(old, c, 0) && leg_of(new, c, 1) && c->tracks[0].enabled && !d->tracks[0].enabled);
	struct client *late = connect_with("late", true, NULL, 0);
	takes(late, 1);
	CHECK(world_until(leg_of(late, c, 1) && n_legs(late) == 1, 2));
	struct client *later = connect_with("later", false, NULL, 0);
	takes(later, 1);
	CHECK(strstr(later->offer, track) != NULL); // under the same name
	// who presents is known, and what is held still waits
	client_rtc(d, RTC_SCREEN_ON, "{\"screenStreamID\":\"cam\"}");
	CHECK(*drop_count("second_screen") == 1);
	client_rtc(d, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	takes(later, 2);
	CHECK(map_has(later, "video dora") && map_has(later, "screen alice"));
	client_rtc(c, RTC_SCREEN_OFF, "");
	CHECK(world_until(!leg_of(old, c, 0) && !leg_of(new, c, 1) && !leg_of(late, c, 1), 2));
	world_fini();
}

static void withdrawn_survives(void)
{
	struct client *c;

	begin();
	c = connect_with("alice", false, screen, 2);
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	dp_live_track(c, 0, CODEC_VP8);
	client_rtc(c, RTC_SCREEN_OFF, "");
	world_for(0.5);
	hub_is_killed();
	struct client *late = connect_with("late", false, NULL, 0);
	CHECK(!world_until(late->n_offers > 0, 0.4));
	client_rtc(c, RTC_SCREEN_ON, "{\"screenStreamID\":\"scr\"}");
	takes(late, 1);
	CHECK(map_has(late, "screen alice"));
	world_fini();
}

// --- the path --------------------------------------------------------------------------------------
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
static void answer_restart(struct client *c)
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

	begin();
	c = connect_with("alice", false, NULL, 0);
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
	answer_restart(c);
	CHECK(world_until(c->n_ice == ice + 2, 1)); // the client's new half
	answer_restart(c);
	CHECK(!world_until(c->n_offers > 2, 5.2));
	CHECK_EQ(c->n_closes, 0);
	world_fini();
}

static void path_that_came_back(void)
{
	struct client *c;

	begin();
	c = connect_with("alice", false, NULL, 0);
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

	begin();
	c = connect_with("alice", false, NULL, 0);
	for (unsigned i = 0; i < 10; i++) { // pings come: the user's WebSocket was lost, the path was not
		client_dc(c, "\x01", 1, DCHAN_BINARY);
		if (i == 4)
			hub_reconnect(world->hub, 7, STR("clientA"), STR("alice"));
		world_for(0.3);
	}
	CHECK_EQ(c->n_offers, 0);
	world_for(1.8); // silence that the dataplane does not call suspect yet
	hub_reconnect(world->hub, 7, STR("clientA"), STR("alice"));
	CHECK(world_until(c->n_offers == 1, 0.2));
	CHECK(!c->offer_by_dc);
	// The plugin may have lost that one: its next connection gets it again, soon.
	hub_reconnect(world->hub, 8, STR("clientA"), STR("alice"));
	CHECK(world_until(c->n_offers == 2, 2));
	CHECK_EQ(c->last_conn, 8);
	world_fini();
}

// The dataplane finds the path silent just before the client is in another network: what was offered then does not help.
static void reconnect_after_a_repair(void)
{
	struct client *c;
	char first[64];

	begin();
	c = connect_with("alice", false, NULL, 0);
	dp_liveness(c, LIVE_SUSPECT);
	CHECK(world_until(c->n_offers == 1, 1));
	strcpy(first, ufrag_of(c->offer));
	client_answer(c);
	world_for(0.1);
	for (unsigned i = 0; i < 5; i++) {
		hub_reconnect(world->hub, 7, STR("clientA"), STR("alice"));
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

	begin();
	c = connect_with("alice", false, NULL, 0);
	dp_liveness(c, LIVE_SUSPECT);
	world_for(10.5);
	CHECK_EQ(c->n_offers, 3);
	dp_liveness(c, LIVE_LOST);
	CHECK(world_until(c->n_closes == 1, 1));
	world_fini();
}

// --- questions -------------------------------------------------------------------------------------
static struct {
	unsigned n;
	int err;
	char json[4096];
} answer;

static void on_answer(void *arg, int err, const struct query_view *v)
{
	struct wbuf w = wbuf_of(answer.json, sizeof(answer.json) - 1);

	answer.n++;
	answer.err = err;
	if (v != NULL)
		query_write_json(&w, v);
	answer.json[wbuf_len(&w)] = '\0';
}

static int ask(const char *call, const char *id)
{
	const char *what;

	return hub_query(world->hub, STR("clientA"), str_of(call), str_of(id), &what, on_answer, &answer);
}

static void dp_leg_state(const struct client *viewer, const struct client *sender, unsigned track)
{
	struct ipc_leg_state l;

	ipc_begin(&l, EVT_LEG_STATE);
	l.sid = viewer->sid;
	l.src_sid = sender->sid;
	l.src_track = (uint16_t)track;
	l.n_layers = 2;
	l.layer = 1;
	l.layer_bps[0] = 500000;
	l.layer_bps[1] = 2500000;
	l.sent_bps = 2400000;
	l.n_switches = 3;
	dp_event(&l);
}

static void dp_session_state(const struct client *c, uint32_t seq)
{
	struct ipc_session_state s;

	ipc_begin(&s, EVT_SESSION_STATE);
	s.hdr.seq = seq;
	s.sid = c->sid;
	s.estimate_bps = 3000000;
	s.rtt_us = 20500;
	s.loss = 12;
	s.remote = (struct ipc_addr){.family = 4, .proto = 6, .port = 4000, .ip = {192, 0, 2, 7}};
	dp_event(&s);
}

static void what_is_received(void)
{
	struct client *viewer, *c;

	begin();
	memset(&answer, 0, sizeof(answer));
	viewer = connect_with("viewer", false, NULL, 0);
	c = connect_with("alice", false, camera, 1);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	CHECK_EQ(ask("call1", "nobody"), -ENOENT);
	CHECK_EQ(ask("call2", "viewer"), -ENOENT);
	CHECK_EQ(ask("call1", "viewer"), 0);
	CHECK(world_until(world->n_queries == 1, 1));
	dp_leg_state(viewer, c, 0);
	dp_leg_state(viewer, c, 9); // has ended
	dp_session_state(viewer, world->query_seq);
	CHECK(world_until(answer.n == 1, 0.9));
	CHECK_EQ(answer.err, 0);
	CHECK_STR(answer.json,
		  "{\"session_id\":\"viewer\",\"estimate_bps\":3000000,\"rtt_ms\":20.500,\"loss\":0.012,"
		  "\"queue_ms\":0,\"probes\":0,\"path\":{\"protocol\":\"tcp\",\"address\":\"192.0.2.7\","
		  "\"port\":4000},"
		  "\"video\":[{\"sender_id\":\"alice\",\"type\":\"video\",\"codec\":\"VP8\",\"layer\":1,"
		  "\"layer_bps\":[500000,2500000],\"sent_bps\":2400000,\"paused\":false,\"switches\":3,"
		  "\"nacked\":0,"
		  "\"resent\":0,\"key_requests\":0}]}\n");
	world_fini();
}

static void questions_are_bounded(void)
{
	struct client *c;
	uint32_t late;

	begin();
	memset(&answer, 0, sizeof(answer));
	c = connect_with("alice", false, NULL, 0);
	for (unsigned i = 0; i < QUERY_MAX; i++)
		CHECK_EQ(ask("call1", "alice"), 0);
	CHECK_EQ(ask("call1", "alice"), -EBUSY);
	CHECK(world_until(world->n_queries == QUERY_MAX, 1));
	late = world->query_seq;
	CHECK(world_until(answer.n == QUERY_MAX, 1.5));
	CHECK_EQ(answer.err, -ETIMEDOUT);
	// the late answer is not taken for one to the next question
	CHECK_EQ(ask("call1", "alice"), 0);
	CHECK(world_until(world->n_queries == QUERY_MAX + 1, 1));
	dp_leg_state(c, c, 0);
	dp_session_state(c, late);
	dp_session_state(c, world->query_seq);
	CHECK(world_until(answer.n == QUERY_MAX + 1, 0.9));
	CHECK_EQ(answer.err, 0);
	CHECK(strstr(answer.json, "\"video\":[]") != NULL);
	// nobody listens any more; and one that the hub takes with it
	CHECK_EQ(ask("call1", "alice"), 0);
	hub_query_forget(world->hub, &answer);
	CHECK(!world_until(answer.n > QUERY_MAX + 1, 1.2));
	CHECK_EQ(ask("call1", "alice"), 0);
	world_fini();
}

CU_TestInfo video_tests[] = {
	{"D39: a camera that comes before video_on is held, and shown when it comes", camera_is_held},
	{"a camera that comes after video_on is shown at once", camera_after_its_name},
	{"D39: a screen and its sound that come before screen_on are held and renamed", screen_is_held},
	{"D39: the only video is the camera whatever its id, and stays it", only_one_left},
	{"D39: a screen is not taken for a camera that is off", screen_while_camera_is_off},
	{"D40: a screen is its own announcer's; a refused one changes nothing; then it takes over",
	 id_of_another},
	{"D41, D43: a share ends with its sound, and what was not offered yet never is", share_ends},
	{"D42: 20 people share in turn on the same m-lines", many_presenters},
	{"D36: of AV1 and VP8 twins each viewer gets one, and the other when it ends", one_of_twins},
	{"D36: AV1 alone goes to all who can take it", only_av1},
	{"D46: encodings in ascending order, unknown names too, and RTX", encodings},
	{"a video leg has RTX, feedback, importance, and an offer that Go clients understand", leg_fields},
	{"audio.every_voice_users get every voice", bots},
	{"too many or too long rids and lying groups: that track is inactive, the rest goes on", odd_rids},
	{"a screen share and what is held survive a restart", share_survives},
	{"a share that is over stays over after a restart", withdrawn_survives},
	{"a silent path is repaired by an ICE restart, answered late by data channel", path_is_repaired},
	{"a path that came back is left alone", path_that_came_back},
	{"reconnect restarts ICE when no ping came, and only then", reconnect_looks},
	{"reconnect does not wait for an offer of a moment before", reconnect_after_a_repair},
	{"three ICE restarts are offered, then consent runs out", keeps_trying},
	{"what a session receives is asked of the dataplane", what_is_received},
	{"questions are bounded, time out, and late answers hit nobody", questions_are_bounded},
	CU_TEST_INFO_NULL,
};
