// Which m-line carries which track, and with which payload types and SSRC.
#include <errno.h>
#include <stdlib.h>

#include "tests/support/controlplane/negotiate_talk.h"
#include "tests/unit/check.h"
#include "tests/unit/samples.h"

static struct peer peer;

// Our newest offer turned around, as a browser does that has nothing to send: its answer, or with extra (a
// section and its mid) an offer of its own. `without` is left out of it.
static char *turned(struct talk *f, const char *extra, const char *mid, const char *without)
{
	static const char *const ours[] = {"a=ice-lite", "a=candidate",  "a=end-of-candidates",
					   "a=ssrc",     "a=msid:",      "a=ice-ufrag",
					   "a=ice-pwd",  "a=fingerprint"};
	char *copy = strdup(f->text), *rest = copy, *line, *out = NULL;
	bool is_video = false;
	size_t size;
	FILE *w = open_memstream(&out, &size);

	while ((line = strsep(&rest, "\n")) != NULL) {
		bool skip = *line == '\0' || (without && strstr(line, without));
		line[strcspn(line, "\r")] = '\0';
		for (unsigned i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
			skip |= strncmp(line, ours[i], strlen(ours[i])) == 0;
		if (strncmp(line, "m=", 2) == 0)
			is_video = strncmp(line, "m=video", 7) == 0;
		if (is_video && strcmp(line, "a=sendonly") == 0)
			line = (char *)"a=recvonly";
		if (strncmp(line, "a=setup", 7) == 0)
			fprintf(w,
				"a=setup:%s\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 "
				"%.95s\r\n",
				extra ? "actpass" : "active", "EsAw", "P2uYro0UCOQ4zxjKXaWCBui1",
				strstr(sample("chromium-dc").p, "a=fingerprint:sha-256 ") + 22);
		else if (strncmp(line, "a=group", 7) == 0 && extra)
			fprintf(w, "%s %s\r\n", line, mid);
		else if (!skip)
			fprintf(w, "%s\r\n", line);
	}
	if (extra)
		fputs(extra, w);
	fclose(w);
	free(copy);
	return out;
}

static int taken(struct talk *f, const char *without)
{
	char *text = turned(f, NULL, NULL, without);
	const char *why;
	int rc = negotiate_remote_answer(f->n, str_of(text), f->now, &why);

	free(text);
	return rc;
}

static void video_recycled(void)
{
	struct talk *f = talk_video();
	uint32_t ssrc[20];

	for (unsigned i = 0; i < 20; i++) {
		bool is_av1 = i % 3 == 1;
		CHECK_EQ(talk_want(f, 100 + i, 0, TYPE_SCREEN, is_av1 ? CODEC_AV1 : CODEC_VP8), 0);
		talk_pass(f, NS_PER_S);
		CHECK_EQ(taken(f, NULL), 0);
		CHECK_EQ(f->n_up, 1);
		CHECK_STR(f->up_mid[0], "1");
		CHECK_EQ(f->up[0].pt, is_av1 ? 45 : 96);
		CHECK_EQ(f->up[0].rtx_pt, is_av1 ? 46 : 97);
		CHECK_EQ(f->up[0].type, TYPE_SCREEN);
		ssrc[i] = f->up[0].ssrc;
		for (unsigned k = 0; k < i; k++)
			CHECK(ssrc[k] != ssrc[i] && ssrc[k] != f->up[0].rtx_ssrc);
		talk_unwant(f, 100 + i);
		if (i % 2) {
			talk_pass(f, NS_PER_S);
			CHECK_EQ(taken(f, NULL), 0);
		}
	}
	CHECK_EQ(talk_count(f, "m=video "), 1);
	CHECK_EQ(f->n_bad, 0);
	talk_free(f);
}

// A peer that begins to send video names its own payload types. What is fed under the old ones goes on with
// them.
static void video_types_kept(void)
{
	static const char own[] =
		"m=video 9 UDP/TLS/RTP/SAVPF 120 124\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\n"
		"a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=mid:5\r\na=setup:actpass\r\na=sendonly\r\n"
		"a=rtcp-mux\r\na=rtpmap:120 VP8/90000\r\na=rtpmap:124 rtx/90000\r\na=fmtp:124 apt=120\r\n";
	struct talk *f = talk_video();
	const char *why;
	char *text;

	CHECK_EQ(talk_want(f, 100, 0, TYPE_SCREEN, CODEC_VP8), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(taken(f, NULL), 0);
	CHECK(negotiate_takes(f->n, CODEC_AV1) && !negotiate_has_offered(f->n, CODEC_VP8)); // not known yet
	text = turned(f, own, "5", NULL);
	CHECK_EQ(negotiate_remote_offer(f->n, str_of(text), f->now, &why), 0);
	free(text);
	CHECK_EQ(f->n_room, 1); // what it takes is known now
	CHECK(!negotiate_takes(f->n, CODEC_AV1) && negotiate_has_offered(f->n, CODEC_VP8));
	CHECK_EQ(talk_want(f, 101, 0, TYPE_VIDEO, CODEC_VP8), 0);
	talk_pass(f, NS_PER_S);
	CHECK(strstr(talk_section(f, 1), "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n") != NULL);
	CHECK(strstr(talk_section(f, 3), "m=video 9 UDP/TLS/RTP/SAVPF 120 124\r\n") != NULL);
	talk_free(f);
}

// A client that has never offered video may have any payload type for its voice.
static void pt_taken_by_opus(void)
{
	for (unsigned pt = 96; pt <= 97; pt++) {
		char offer[1024], taken[40];
		struct talk *f = talk_new();

		f->conf.video = f->conf.rtx = true;
		snprintf(offer, sizeof(offer),
			 "v=0\r\na=group:BUNDLE "
			 "0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\n"
			 "a=fingerprint:sha-256 "
			 "AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:"
			 "AA:AA:"
			 "AA:AA:AA\r\nm=audio 9 UDP/TLS/RTP/SAVPF %u 45 "
			 "98\r\na=mid:0\r\na=sendonly\r\na=rtpmap:%u opus/48000/2\r\n"
			 "a=rtpmap:45 ILBC/8000\r\na=rtpmap:98 CN/8000\r\n",
			 pt, pt);
		CHECK_EQ(talk_offer(f, str_of(offer)), 0);
		negotiate_ready(f->n, true, f->now);
		CHECK_EQ(talk_want(f, 100, 0, TYPE_SCREEN, CODEC_VP8), 0);
		CHECK_EQ(talk_want(f, 100, 1, TYPE_VIDEO, CODEC_AV1), 0);
		CHECK_EQ(talk_want_voice(f, 101), 0);
		talk_pass(f, NS_PER_S);
		snprintf(taken, sizeof(taken), "a=rtpmap:%u ", pt);
		CHECK_EQ(talk_count(f, taken), 2); // on both voice lines
		CHECK_EQ(talk_count(f, "a=rtpmap:45 "), 0);
		CHECK_EQ(talk_count(f, "a=rtpmap:98 "), 0);
		CHECK(talk_has(f, pt == 96 ? "a=rtpmap:99 VP8/90000" : "a=rtpmap:96 VP8/90000"));
		CHECK(talk_has(f, pt == 96 ? "a=rtpmap:97 rtx/90000" : "a=rtpmap:99 rtx/90000"));
		CHECK(talk_has(f, "a=rtpmap:100 AV1/90000") && talk_has(f, "a=rtpmap:46 rtx/90000"));
		talk_free(f);
	}
}

static void codec_refused(void)
{
	struct talk *f = talk_video();

	CHECK_EQ(talk_want(f, 100, 0, TYPE_SCREEN, CODEC_AV1), 0);
	for (unsigned i = 0; i < NEGOTIATE_MAX_REFUSALS; i++) {
		CHECK(negotiate_takes(f->n, CODEC_AV1));
		talk_pass(f, NS_PER_S);
		CHECK_EQ(taken(f, "AV1"), 0);
		CHECK_EQ(f->n_up, 0);
	}
	CHECK(!negotiate_takes(f->n, CODEC_AV1) && negotiate_takes(f->n, CODEC_VP8));
	CHECK_EQ(f->n_room, 1); // want everything again: the other twin may do
	talk_free(f);
}

static void client_offer_after_rollback(void)
{
	struct talk *f = talk_joined(&peer);

	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	f->now = negotiate_next_due(f->n);
	negotiate_tick(f->n, f->now); // time-out
	// The client never saw our line 1 and makes its own there, with the same mid.
	CHECK_EQ(talk_offer_sample(f, "chromium-dc"), -EPERM); // (another certificate: another client)
	peer_add_audio(&peer);
	CHECK_STR(peer.lines[1].mid, "1");
	CHECK_EQ(talk_peer_offers(f, &peer), 0);
	CHECK(strstr(talk_section(f, 1), "a=recvonly\r\n") != NULL);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 2);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 1);
	talk_done(f, &peer);
}

static void recycled(void)
{
	struct talk *f = talk_joined(&peer);
	uint32_t ssrc[50];

	for (unsigned i = 0; i < 50; i++) {
		CHECK_EQ(talk_want_voice(f, 100 + i), 0);
		talk_pass(f, NS_PER_S);
		CHECK_EQ(talk_peer_answers(f, &peer), 0);
		CHECK_EQ(f->n_up, 1);
		CHECK_STR(f->up_mid[0], "1");
		CHECK_EQ(f->up[0].leg, 0);
		ssrc[i] = f->up[0].ssrc;
		for (unsigned k = 0; k < i; k++)
			CHECK(ssrc[k] != ssrc[i]);
		talk_unwant(f, 100 + i);
		if (i % 2) { // with and without an offer that takes it back in between
			talk_pass(f, NS_PER_S);
			CHECK_EQ(talk_peer_answers(f, &peer), 0);
		}
	}
	CHECK_EQ(talk_count(f, "m=audio "), 1);
	talk_done(f, &peer);
}

static void voice_cap(void)
{
	struct talk *f = talk_joined(&peer);

	f->conf.voice_lines = 3;
	for (unsigned i = 1; i <= 5; i++)
		CHECK_EQ(talk_want_voice(f, i), 0);
	CHECK_EQ(talk_want(f, 9, 1, TYPE_SCREEN_AUDIO, CODEC_OPUS), 0); // has a line of its own
	talk_pass(f, NS_PER_S);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_up, 4);
	CHECK(talk_is_settled(f));
	negotiate_unwant_session(f->n, 2, f->now);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_up, 4); // the one that waited has its line
	CHECK_EQ(talk_count(f, "m=audio "), 4);
	talk_done(f, &peer);
}

static unsigned n_up_of(const struct talk *f, uint32_t sid)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n_up; i++)
		n += f->up[i].key.sid == sid;
	return n;
}

// On 09e1aeb who wanted a line first kept it, with every microphone.
static void voices_shared(void)
{
	struct talk *f = talk_joined(&peer);

	f->conf.voice_lines = 3;
	for (uint16_t t = 0; t < 5; t++)
		CHECK_EQ(talk_want(f, 2, t, TYPE_VOICE, CODEC_OPUS), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(n_up_of(f, 2), 3);
	for (uint32_t sid = 3; sid <= 5; sid++) {
		CHECK_EQ(talk_want(f, sid, 0, TYPE_VOICE, CODEC_OPUS), 0);
		talk_pass(f, NS_PER_S);
		if (sid < 5)
			CHECK_EQ(talk_peer_answers(f, &peer), 0);
		CHECK(talk_is_settled(f));
		CHECK_EQ(n_up_of(f, 2), sid == 3 ? 2 : 1);
		CHECK_EQ(n_up_of(f, sid), sid < 5); // then everybody has one
		CHECK_EQ(f->n_up, 3);
	}
	negotiate_unwant_session(f->n, 3, f->now);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(n_up_of(f, 5), 1); // before a second one of the first
	CHECK_EQ(n_up_of(f, 2), 1);
	talk_done(f, &peer);
}

static void want_limits(void)
{
	struct talk *f = talk_joined(&peer);
	struct negotiate_want w = {.key = {1, 0}, .codec = CODEC_OPUS, .track_suffix = STR("abcd")};

	w.session_id = STR("a b");
	CHECK_EQ(negotiate_want(f->n, &w, f->now), -EINVAL);
	w.session_id = STR("a\r\na=ice-lite");
	CHECK_EQ(negotiate_want(f->n, &w, f->now), -EINVAL);
	w.session_id = STR("");
	CHECK_EQ(negotiate_want(f->n, &w, f->now), -EINVAL);
	for (unsigned i = 1; i <= NEGOTIATE_MAX_WANTS; i++)
		CHECK_EQ(talk_want_voice(f, i), 0);
	CHECK_EQ(talk_want_voice(f, 1), 0); // known
	CHECK_EQ(talk_want_voice(f, 1000), -ENOSPC);
	for (unsigned i = 1; i <= 100; i++)
		talk_unwant(f, i);
	CHECK_EQ(f->n_room, 1);
	CHECK_EQ(talk_want_voice(f, 1000), 0);
	talk_done(f, &peer);
}

static void refusing_peer(void)
{
	struct talk *f = talk_joined(&peer);

	peer.refuses_audio = true;
	CHECK_EQ(talk_want_voice(f, 1), 0);
	for (unsigned i = 0; i < 10; i++) {
		unsigned n = f->n_offers;
		talk_pass(f, NS_PER_S);
		if (f->n_offers > n)
			CHECK_EQ(talk_peer_answers(f, &peer), 0);
	}
	CHECK_EQ(f->n_up, 0);
	CHECK_EQ(f->n_offers, NEGOTIATE_MAX_REFUSALS);
	CHECK_EQ(talk_stats(f).tracks_refused, 1);
	talk_done(f, &peer);
}

static void browser_takes_our_line(void)
{
	struct talk *f = talk_joined(&peer);

	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	peer_add_audio(&peer);
	CHECK_EQ(peer.n_lines, 2); // on the line that was there
	CHECK(negotiate_lock(f->n, f->now));
	CHECK_EQ(talk_peer_offers(f, &peer), 0);
	CHECK(strstr(talk_section(f, 1), "a=sendrecv\r\n") && strstr(talk_section(f, 1), "a=msid:sender1 "));
	CHECK_EQ(f->n_up, 1);
	CHECK_EQ(f->n_leg_down, 0); // the voice goes on
	CHECK_EQ(f->n_upstream, 1);
	CHECK_STR(f->upstream[0].mid, "1");
	CHECK_EQ(f->upstream[0].ssrc, 1001);
	negotiate_unlock(f->n, f->now);
	// The voice leaves: the microphone stays. Another comes: same line, new SSRC.
	uint32_t old = f->up[0].ssrc;
	talk_unwant(f, 1);
	talk_pass(f, NS_PER_S);
	CHECK(strstr(talk_section(f, 1), "a=recvonly\r\n") != NULL);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(talk_want_voice(f, 2), 0);
	talk_pass(f, NS_PER_S);
	CHECK(strstr(talk_section(f, 1), "a=sendrecv\r\n") != NULL);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_STR(f->up_mid[0], "1");
	CHECK(f->up[0].ssrc != old);
	CHECK_EQ(f->n_upstream, 1);
	talk_done(f, &peer);
}

static void peers_line_is_not_taken(void)
{
	struct talk *f = talk_joined(&peer);

	peer.polite = false; // Pion
	peer_add_audio(&peer);
	CHECK_EQ(talk_peer_offers(f, &peer), 0);
	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, NS_PER_S);
	CHECK(strstr(talk_section(f, 1), "a=recvonly\r\n") != NULL);
	CHECK(strstr(talk_section(f, 2), "a=sendonly\r\n") != NULL);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_STR(f->up_mid[0], "2");
	talk_done(f, &peer);
}

static void peer_stops_receiving(void)
{
	struct talk *f = talk_joined(&peer);
	char *text;
	char buf[8192];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	peer_write(&peer, &w, NULL);
	text = strndup(buf, wbuf_len(&w));
	CHECK_EQ(talk_offer(f, str_of(sdp_edit(str_of(text), "a=recvonly", "a=inactive"))), 0);
	CHECK_EQ(f->n_leg_down, 1);
	CHECK(strstr(talk_section(f, 1), "a=inactive\r\n") != NULL);
	talk_pass(f, NS_PER_S); // still wanted: offered again
	CHECK(f->last_is_offer && talk_has(f, "a=sendonly\r\n"));
	free(text);
	talk_free(f);
}

static void ssrcs(void)
{
	struct talk *f = talk_new();
	enum { N = 20000 };
	uint32_t *seen = malloc(N * sizeof(*seen));
	unsigned same = 0;

	for (unsigned i = 0; i < N; i++)
		seen[i] = negotiate_new_ssrc(f->n);
	for (unsigned i = 0; i < N; i++)
		for (unsigned k = i + 1; k < N && k < i + 400; k++)
			same += seen[i] == seen[k];
	CHECK_EQ(same, 0);
	CHECK(seen[0] != 0 && (seen[1] - seen[0] != 1 || seen[2] - seen[1] != 1));
	free(seen);
	talk_free(f);
}

CU_TestInfo negotiate_lines_tests[] = {
	{"D42: a video line is used again, for whatever codec comes", video_recycled},
	{"payload types of a track that is up stay, whatever the peer offers later", video_types_kept},
	{"a payload type that the peer uses for something else is none of ours", pt_taken_by_opus},
	{"D36: a codec that the peer refuses for good is known to be refused", codec_refused},
	{"D24: a client's own line may take the place of one it never saw", client_offer_after_rollback},
	{"D42: fifty speakers after one another share one line under fifty SSRCs", recycled},
	{"D42: voices above the cap wait for a line", voice_cap},
	{"a line goes to everybody's first voice before a second one", voices_shared},
	{"wants are bounded and their ids cannot break a description", want_limits},
	{"a peer that refuses a track is asked three times", refusing_peer},
	{"a browser takes our line for its microphone and both go on", browser_takes_our_line},
	{"Pion's microphone line is left to it, ours are sendonly", peers_line_is_not_taken},
	{"a peer that stops receiving on a line gets the track on another", peer_stops_receiving},
	{"SSRCs do not repeat", ssrcs},
	CU_TEST_INFO_NULL,
};
