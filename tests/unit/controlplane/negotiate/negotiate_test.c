#include "controlplane/negotiate/negotiate.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/rand.h"
#include "tests/unit/check.h"
#include "tests/support/controlplane/negotiate_peer.h"
#include "tests/unit/samples.h"

// --- a session with everything it reports written down -------------------------------------------

struct up {
	char mid[17], stream[64], rid[2][8];
	bool active, is_new;
	unsigned n_ssrcs, n_codecs, n_rids;
	uint32_t ssrc, rtx_ssrc;
	uint8_t kind, pt[4], codec[4], fb;
};

struct fx {
	struct negotiate *n;
	struct negotiate_conf conf;
	struct sdp_candidate cand[2];
	ns_t now;
	// Descriptions sent, newest last.
	char *text;
	size_t text_len;
	unsigned n_sent, n_offers, n_answers;
	bool last_is_offer, last_restart;
	struct {
		char mid[17], type[16], sender[64];
	} map[128];
	unsigned n_map;
	// Events.
	struct negotiate_leg up[300];
	char up_mid[300][17];
	bool is_up[IPC_MAX_LEGS];
	unsigned n_up, n_leg_up, n_leg_down;
	struct up upstream[16];
	unsigned n_upstream;
	uint8_t ext[IPC_N_EXTS];
	unsigned n_transport, n_restart, n_room;
	bool has_data;
	int transport_rc;
	char ufrag[64];
	unsigned n_bad; // contradictions: a leg up twice, down without up
};

static const struct negotiate_ice ice_1 = {"localufraglocalu", "localpasswordlocalpasswordlocalp"};
static const struct negotiate_ice ice_2 = {"otherufragotheru", "otherpasswordotherpasswordotherp"};

static void on_send(void *arg, const struct negotiate_sdp *s)
{
	struct fx *f = arg;

	free(f->text);
	f->text = malloc(s->text.len + 1);
	memcpy(f->text, s->text.p, s->text.len);
	f->text[s->text.len] = '\0';
	f->text_len = s->text.len;
	f->n_sent++;
	f->n_offers += s->is_offer;
	f->n_answers += !s->is_offer;
	f->last_is_offer = s->is_offer;
	f->last_restart = s->ice_restart;
	f->n_map = 0;
	for (unsigned i = 0; i < s->n_map && i < 128; i++) {
		str_copy(s->map[i].mid, f->map[i].mid, sizeof(f->map[i].mid));
		snprintf(f->map[i].type, sizeof(f->map[i].type), "%s", s->map[i].type);
		str_copy(s->map[i].sender_id, f->map[i].sender, sizeof(f->map[i].sender));
		f->n_map++;
	}
}

static int on_transport(void *arg, const struct negotiate_transport *t, struct negotiate_ice *local)
{
	struct fx *f = arg;

	if (f->transport_rc < 0)
		return f->transport_rc;
	f->n_transport++;
	f->has_data = t->has_data;
	str_copy(t->ufrag, f->ufrag, sizeof(f->ufrag));
	if (t->ice_restart) {
		f->n_restart++;
		*local = ice_2;
	}
	return 0;
}

static void on_upstream(void *arg, const struct negotiate_upstream *u)
{
	struct fx *f = arg;
	struct up *o = &f->upstream[f->n_upstream++ % 16];

	*o = (struct up){.active = u->active,
			 .is_new = u->is_new,
			 .n_ssrcs = u->n_ssrcs,
			 .n_codecs = u->n_codecs,
			 .n_rids = u->n_rids,
			 .ssrc = u->ssrc[0],
			 .rtx_ssrc = u->rtx_ssrc[0],
			 .kind = u->kind,
			 .fb = u->codec[0].fb};
	str_copy(u->mid, o->mid, sizeof(o->mid));
	str_copy(u->stream_id, o->stream, sizeof(o->stream));
	for (unsigned i = 0; i < u->n_rids && i < 2; i++)
		str_copy(u->rid[i], o->rid[i], sizeof(o->rid[i]));
	for (unsigned i = 0; i < u->n_codecs; i++) {
		o->pt[i] = u->codec[i].pt;
		o->codec[i] = u->codec[i].codec;
	}
}

static void on_extmap(void *arg, const uint8_t id[IPC_N_EXTS])
{
	memcpy(((struct fx *)arg)->ext, id, IPC_N_EXTS);
}

static void on_leg_up(void *arg, const struct negotiate_leg *l)
{
	struct fx *f = arg;

	f->n_leg_up++;
	f->n_bad += f->is_up[l->leg];
	f->is_up[l->leg] = true;
	f->up[f->n_up] = *l;
	f->up[f->n_up].mid = STR_NONE;
	str_copy(l->mid, f->up_mid[f->n_up++], 17);
}

static void on_leg_down(void *arg, const struct negotiate_leg *l)
{
	struct fx *f = arg;
	unsigned i;

	f->n_leg_down++;
	f->n_bad += !f->is_up[l->leg];
	f->is_up[l->leg] = false;
	for (i = 0; i < f->n_up && (f->up[i].key.sid != l->key.sid || f->up[i].key.track != l->key.track);
	     i++)
		;
	if (i == f->n_up || f->up[i].leg != l->leg || f->up[i].codec != l->codec) {
		f->n_bad++;
		return;
	}
	f->up[i] = f->up[--f->n_up];
	memmove(f->up_mid[i], f->up_mid[f->n_up], sizeof(f->up_mid[i]));
}

static void on_room(void *arg)
{
	((struct fx *)arg)->n_room++;
}

static const struct negotiate_ops ops = {on_send,   on_transport, on_upstream, on_extmap,
					 on_leg_up, on_leg_down,  on_room};

static struct fx *fx_new(void)
{
	struct fx *f = calloc(1, sizeof(*f));

	CHECK_EQ(sdp_candidate_init(&f->cand[0], STR("192.0.2.1"), 8443, false, 0), 0);
	CHECK_EQ(sdp_candidate_init(&f->cand[1], STR("2001:db8::1"), 8443, false, 1), 0);
	f->conf.candidates = f->cand;
	f->conf.n_candidates = 2;
	f->conf.fingerprint = (struct sdp_fingerprint){.len = 32, .hash = {0xaa}};
	f->now = 1000 * NS_PER_S;
	f->n = negotiate_new(&f->conf, &ice_1, &ops, f);
	return f;
}

static void fx_free(struct fx *f)
{
	CHECK_EQ(f->n_bad, 0);
	negotiate_free(f->n);
	free(f->text);
	free(f);
}

static int offer(struct fx *f, struct str text)
{
	const char *why;

	return negotiate_remote_offer(f->n, text, f->now, &why);
}

static int offer_sample(struct fx *f, const char *name)
{
	return offer(f, sample(name));
}

static void pass(struct fx *f, ns_t ns)
{
	ns_t until = f->now + ns, due;

	while ((due = negotiate_next_due(f->n)) <= until) {
		f->now = due > f->now ? due : f->now;
		negotiate_tick(f->n, f->now);
		if (negotiate_next_due(f->n) <= f->now) { // must make progress
			f->n_bad++;
			break;
		}
	}
	f->now = until;
}

static int want(struct fx *f, uint32_t sid, uint16_t track, enum negotiate_type type, uint8_t codec)
{
	char id[32];

	snprintf(id, sizeof(id), "sender%u", sid);
	return negotiate_want(f->n,
			      &(struct negotiate_want){.key = {sid, track},
						       .type = type,
						       .codec = codec,
						       .session_id = str_of(id),
						       .track_suffix = STR("abcd1234")},
			      f->now);
}

static int want_voice(struct fx *f, uint32_t sid)
{
	return want(f, sid, 0, TYPE_VOICE, CODEC_OPUS);
}

static void unwant(struct fx *f, uint32_t sid)
{
	negotiate_unwant(f->n, (struct negotiate_key){sid, 0}, f->now);
}

static bool has(const struct fx *f, const char *needle)
{
	return f->text && strstr(f->text, needle) != NULL;
}

static unsigned count(const struct fx *f, const char *needle)
{
	unsigned n = 0;

	for (const char *at = f->text; at && (at = strstr(at, needle)) != NULL; at++)
		n++;
	return n;
}

// The section with this mid as text; cut off at the next.
static const char *section(const struct fx *f, unsigned index)
{
	static char buf[8192];
	const char *at = f->text, *end;

	for (unsigned i = 0; at && i <= index; i++)
		at = strstr(i ? at + 1 : at, "\r\nm=");
	if (at == NULL)
		return "";
	end = strstr(at + 4, "\r\nm=");
	snprintf(buf, sizeof(buf), "%.*s\r\n", end ? (int)(end - at) : (int)strlen(at), at);
	return buf;
}

static struct negotiate_stats stats(const struct fx *f)
{
	struct negotiate_stats s;

	negotiate_stats(f->n, &s);
	return s;
}

// The peer model answers the offer that was sent last.
static int peer_answers(struct fx *f, struct peer *p)
{
	static char buf[PEER_TEXT];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	const char *why;

	if (!peer_on_offer(p, (struct str){f->text, f->text_len}, &w))
		return -1;
	return negotiate_remote_answer(f->n, (struct str){buf, wbuf_len(&w)}, f->now, &why);
}

static int peer_offers(struct fx *f, struct peer *p)
{
	static char buf[PEER_TEXT];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	int rc;

	p->offering = true;
	p->need_offer = false;
	peer_write(p, &w, NULL);
	rc = offer(f, (struct str){buf, wbuf_len(&w)});
	if (rc == 0)
		peer_on_answer(p, (struct str){f->text, f->text_len});
	return rc;
}

// Joined with a data channel, ready for offers.
static struct fx *fx_joined(struct peer *p)
{
	struct fx *f = fx_new();

	peer_init(p, true, true);
	CHECK_EQ(peer_offers(f, p), 0);
	negotiate_ready(f->n, true, f->now);
	return f;
}

static void fx_done(struct fx *f, struct peer *p)
{
	CHECK_EQ(p->n_bad, 0);
	CHECK_STR(p->why, "");
	fx_free(f);
}

static struct peer peer;

// --- first offer ---------------------------------------------------------------------------------

static void first_offer(void)
{
	static const char *const samples[] = {"chromium-dc", "firefox-dc", "pion-dc"};

	for (unsigned i = 0; i < 3; i++) {
		struct fx *f = fx_new();

		CHECK(!negotiate_established(f->n));
		CHECK_EQ(offer_sample(f, samples[i]), 0);
		CHECK(negotiate_established(f->n));
		CHECK_EQ(f->n_answers, 1);
		CHECK_EQ(f->n_transport, 1);
		CHECK(f->has_data);
		CHECK(has(f, "a=ice-lite\r\n") && has(f, "a=setup:passive\r\n") &&
		      has(f, "a=group:BUNDLE 0\r\n"));
		CHECK(has(f, "a=candidate:") && has(f, " 192.0.2.1 8443 typ host\r\n"));
		CHECK(has(f, " 2001:db8::1 8443 typ host\r\n") && has(f, "a=end-of-candidates\r\n"));
		CHECK(has(f, "a=ice-ufrag:localufraglocalu\r\n") && has(f, "a=sctp-port:5000\r\n"));
		CHECK(has(f, "a=max-message-size:262144\r\n") &&
		      has(f, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"));
		CHECK_EQ(negotiate_next_due(f->n), NS_NEVER);
		fx_free(f);
	}
}

static void mic_offer(void)
{
	struct fx *f = fx_new();
	const char *s;

	CHECK_EQ(offer_sample(f, "chromium-dc"), 0);
	CHECK_EQ(offer_sample(f, "chromium-mic"), 0);
	CHECK_EQ(f->n_transport, 1); // same credentials: nothing new
	CHECK(has(f, "a=group:BUNDLE 0 1\r\n"));
	CHECK_EQ(count(f, "a=candidate:"), 2); // first section only
	s = section(f, 1);
	CHECK(strstr(s, "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n") != NULL); // Opus only: no RED
	CHECK(strstr(s, "a=recvonly\r\n") && strstr(s, "a=setup:passive\r\n") && strstr(s, "a=mid:1\r\n"));
	CHECK(strstr(s, "a=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n") != NULL);
	CHECK(strstr(s, "abs-send-time") == NULL);
	CHECK_EQ(f->n_upstream, 1);
	CHECK(f->upstream[0].active && f->upstream[0].is_new);
	CHECK_STR(f->upstream[0].mid, "1");
	CHECK_STR(f->upstream[0].stream, "be5b0e7b-44a6-4d9b-9a6d-2a5d8f4dcf4e");
	CHECK_EQ(f->upstream[0].ssrc, 3570614608);
	CHECK_EQ(f->upstream[0].pt[0], 111);
	CHECK_EQ(f->upstream[0].fb, FB_TWCC);
	CHECK_EQ(f->ext[EXT_LEVEL], 14);
	CHECK_EQ(f->ext[EXT_MID], 9);
	CHECK_EQ(f->ext[EXT_TWCC], 4);
	CHECK_EQ(f->ext[EXT_ABS_SEND_TIME], 0);

	// The same again changes nothing; the ids of the first round stay.
	CHECK_EQ(offer_sample(f, "chromium-mic"), 0);
	CHECK_EQ(f->n_upstream, 1);

	// The track goes: inactive line, told once.
	struct str text = sample("chromium-mic");
	char *at = strstr((char *)text.p, "a=sendrecv");
	memcpy(at, "a=recvonly", 10);
	CHECK_EQ(offer(f, text), 0);
	CHECK_EQ(f->n_upstream, 2);
	CHECK(!f->upstream[1].active);
	fx_free(f);
}

static void firefox_and_pion_mic(void)
{
	struct fx *f = fx_new();

	CHECK_EQ(offer_sample(f, "firefox-mic"), 0);
	CHECK(has(f, "m=audio 9 UDP/TLS/RTP/SAVPF 109\r\n"));
	CHECK_EQ(f->upstream[0].ssrc, 2655508255);
	// Lines that we open use the payload type of this peer.
	negotiate_ready(f->n, true, f->now);
	CHECK_EQ(want_voice(f, 7), 0);
	pass(f, NS_PER_S);
	CHECK(f->last_is_offer);
	CHECK(strstr(section(f, 2), "m=audio 9 UDP/TLS/RTP/SAVPF 109\r\n") != NULL);
	fx_free(f);

	f = fx_new();
	CHECK_EQ(offer_sample(f, "pion-mic"), 0);
	CHECK_STR(f->upstream[0].stream, "audio-bot");
	// No audio-level offered: none answered. A line of ours may have one, at an id that is free.
	CHECK(!has(f, "ssrc-audio-level"));
	CHECK_EQ(f->ext[EXT_LEVEL], 0);
	negotiate_ready(f->n, true, f->now);
	CHECK_EQ(want_voice(f, 7), 0);
	pass(f, NS_PER_S);
	CHECK(f->ext[EXT_TWCC] == 4 && f->ext[EXT_LEVEL] > 0 && f->ext[EXT_LEVEL] < 4);
	CHECK(f->ext[EXT_MID] > 0 && f->ext[EXT_MID] < 4 && f->ext[EXT_MID] != f->ext[EXT_LEVEL]);
	fx_free(f);
}

// Chromium 156: 1 level, 2 abs-send-time, 3 transport-cc, 4 mid. Firefox: 1 level, 2 csrc level, 3 mid. Chromium
// refuses an offer that gives an id of its own pending offer another meaning.
static void ids_before_microphone(void)
{
	struct fx *f = fx_joined(&peer);

	CHECK_EQ(want_voice(f, 7), 0);
	pass(f, NS_PER_S);
	CHECK(f->last_is_offer);
	CHECK_EQ(f->ext[EXT_LEVEL], 1);
	CHECK(f->ext[EXT_MID] >= 4);
	CHECK(f->ext[EXT_TWCC] >= 5);
	CHECK_EQ(peer_answers(f, &peer), 0);
	fx_done(f, &peer);
}

// --- video while it is off, and on ---------------------------------------------------------------

static void video_off(void)
{
	static const char *const samples[] = {"chromium-simulcast", "chromium-screen", "chromium-av1-twin",
					      "pion-video"};

	for (unsigned i = 0; i < 4; i++) {
		struct fx *f = fx_new();

		CHECK_EQ(offer_sample(f, samples[i]), 0);
		CHECK_EQ(count(f, "m=video 9 "), i == 2 ? 2 : 1);
		CHECK_EQ(count(f, "a=inactive\r\n"), i == 2 ? 2 : 1);
		CHECK(!has(f, "H264") && !has(f, "rtx/90000"));
		CHECK_EQ(f->n_upstream, i == 0 ? 1 : 0); // the microphone in the first
		CHECK_EQ(want(f, 9, 0, TYPE_SCREEN, CODEC_VP8), -ENOTSUP);
		fx_free(f);
	}
}

static void video_on(void)
{
	struct fx *f = fx_new();
	const char *s;

	f->conf.video = f->conf.rtx = true;
	CHECK_EQ(offer_sample(f, "chromium-simulcast"), 0);
	s = section(f, 2);
	CHECK(strstr(s, "m=video 9 UDP/TLS/RTP/SAVPF 96 97 45 46\r\n") && strstr(s, "a=recvonly\r\n"));
	CHECK(strstr(s, "a=rid:l recv\r\n") && strstr(s, "a=rid:h recv\r\n") &&
	      strstr(s, "a=simulcast:recv l;h\r\n"));
	CHECK(strstr(s, "a=fmtp:97 apt=96\r\n") != NULL);
	CHECK_EQ(f->n_upstream, 2);
	CHECK_EQ(f->upstream[1].kind, KIND_VIDEO);
	CHECK_EQ(f->upstream[1].n_rids, 2);
	CHECK_STR(f->upstream[1].rid[0], "l");
	CHECK_EQ(f->upstream[1].n_codecs, 4);
	CHECK_EQ(f->upstream[1].codec[1], CODEC_RTX);
	CHECK_EQ(f->upstream[1].n_ssrcs, 0);
	CHECK_EQ(f->ext[EXT_RID], 10);
	CHECK_EQ(f->ext[EXT_RRID], 11);
	negotiate_ready(f->n, true, f->now);
	CHECK_EQ(want(f, 9, 0, TYPE_SCREEN, CODEC_VP8), 0);
	CHECK_EQ(want(f, 9, 1, TYPE_SCREEN, CODEC_OPUS), -EINVAL);
	pass(f, NS_PER_S);
	s = section(f, 3);
	CHECK(strstr(s, "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n") && strstr(s, "a=ssrc-group:FID "));
	CHECK(strstr(s, "a=msid:sender9 screen_sender9_abcd1234\r\n") != NULL);
	CHECK(strstr(s, "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n") != NULL);
	CHECK(strstr(s, "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n") != NULL);
	CHECK_STR(f->map[0].type, "screen");
	fx_free(f);

	f = fx_new();
	f->conf.video = f->conf.rtx = true;
	CHECK_EQ(offer_sample(f, "chromium-screen"), 0);
	CHECK_EQ(f->upstream[0].ssrc, 1111111111);
	CHECK_EQ(f->upstream[0].rtx_ssrc, 2222222222);
	CHECK_STR(f->upstream[0].stream, "7d1f1a44-screen");
	fx_free(f);
}

// Our newest offer turned around, as a browser does that has nothing to send: its answer, or with extra (a section and
// its mid) an offer of its own. `without` is left out of it.
static char *turned(struct fx *f, const char *extra, const char *mid, const char *without)
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

static int taken(struct fx *f, const char *without)
{
	char *text = turned(f, NULL, NULL, without);
	const char *why;
	int rc = negotiate_remote_answer(f->n, str_of(text), f->now, &why);

	free(text);
	return rc;
}

static struct fx *fx_video(void)
{
	struct fx *f = fx_new();

	f->conf.video = f->conf.rtx = true;
	CHECK_EQ(offer_sample(f, "chromium-dc"), 0);
	negotiate_ready(f->n, true, f->now);
	return f;
}

static void video_recycled(void)
{
	struct fx *f = fx_video();
	uint32_t ssrc[20];

	for (unsigned i = 0; i < 20; i++) {
		bool is_av1 = i % 3 == 1;
		CHECK_EQ(want(f, 100 + i, 0, TYPE_SCREEN, is_av1 ? CODEC_AV1 : CODEC_VP8), 0);
		pass(f, NS_PER_S);
		CHECK_EQ(taken(f, NULL), 0);
		CHECK_EQ(f->n_up, 1);
		CHECK_STR(f->up_mid[0], "1");
		CHECK_EQ(f->up[0].pt, is_av1 ? 45 : 96);
		CHECK_EQ(f->up[0].rtx_pt, is_av1 ? 46 : 97);
		CHECK_EQ(f->up[0].type, TYPE_SCREEN);
		ssrc[i] = f->up[0].ssrc;
		for (unsigned k = 0; k < i; k++)
			CHECK(ssrc[k] != ssrc[i] && ssrc[k] != f->up[0].rtx_ssrc);
		unwant(f, 100 + i);
		if (i % 2) {
			pass(f, NS_PER_S);
			CHECK_EQ(taken(f, NULL), 0);
		}
	}
	CHECK_EQ(count(f, "m=video "), 1);
	CHECK_EQ(f->n_bad, 0);
	fx_free(f);
}

// A peer that begins to send video names its own payload types. What is fed under the old ones goes on with them.
static void video_types_kept(void)
{
	static const char own[] =
		"m=video 9 UDP/TLS/RTP/SAVPF 120 124\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\n"
		"a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=mid:5\r\na=setup:actpass\r\na=sendonly\r\n"
		"a=rtcp-mux\r\na=rtpmap:120 VP8/90000\r\na=rtpmap:124 rtx/90000\r\na=fmtp:124 apt=120\r\n";
	struct fx *f = fx_video();
	const char *why;
	char *text;

	CHECK_EQ(want(f, 100, 0, TYPE_SCREEN, CODEC_VP8), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(taken(f, NULL), 0);
	CHECK(negotiate_takes(f->n, CODEC_AV1) && !negotiate_has_offered(f->n, CODEC_VP8)); // not known yet
	text = turned(f, own, "5", NULL);
	CHECK_EQ(negotiate_remote_offer(f->n, str_of(text), f->now, &why), 0);
	free(text);
	CHECK_EQ(f->n_room, 1); // what it takes is known now
	CHECK(!negotiate_takes(f->n, CODEC_AV1) && negotiate_has_offered(f->n, CODEC_VP8));
	CHECK_EQ(want(f, 101, 0, TYPE_VIDEO, CODEC_VP8), 0);
	pass(f, NS_PER_S);
	CHECK(strstr(section(f, 1), "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n") != NULL);
	CHECK(strstr(section(f, 3), "m=video 9 UDP/TLS/RTP/SAVPF 120 124\r\n") != NULL);
	fx_free(f);
}

static void codec_refused(void)
{
	struct fx *f = fx_video();

	CHECK_EQ(want(f, 100, 0, TYPE_SCREEN, CODEC_AV1), 0);
	for (unsigned i = 0; i < NEGOTIATE_MAX_REFUSALS; i++) {
		CHECK(negotiate_takes(f->n, CODEC_AV1));
		pass(f, NS_PER_S);
		CHECK_EQ(taken(f, "AV1"), 0);
		CHECK_EQ(f->n_up, 0);
	}
	CHECK(!negotiate_takes(f->n, CODEC_AV1) && negotiate_takes(f->n, CODEC_VP8));
	CHECK_EQ(f->n_room, 1); // want everything again: the other twin may do
	fx_free(f);
}

// --- refusals ------------------------------------------------------------------------------------

static void malformed_offers(void)
{
	static const char *const samples[] = {"bad-simulcast-empty-alternative",
					      "bad-simulcast-no-list",
					      "bad-simulcast-draft",
					      "bad-rid-no-direction",
					      "bad-rid-empty",
					      "bad-rid-twice",
					      "bad-mid-twice",
					      "bad-no-mid",
					      "bad-fingerprint",
					      "bad-nul",
					      "bad-mline",
					      "bad-version"};
	struct fx *f = fx_new();
	const char *why;

	CHECK_EQ(offer_sample(f, "chromium-dc"), 0);
	for (unsigned i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		uint32_t version = negotiate_version(f->n);
		CHECK_EQ(negotiate_remote_offer(f->n, sample(samples[i]), f->now, &why), -EBADMSG);
		CHECK(why[0] != '\0');
		CHECK_EQ(negotiate_version(f->n), version);
	}
	CHECK_EQ(negotiate_remote_offer(f->n, STR_NONE, f->now, &why), -EBADMSG);
	CHECK_EQ(stats(f).offers_bad, sizeof(samples) / sizeof(samples[0]) + 1);
	CHECK_EQ(f->n_answers, 1);
	CHECK_EQ(offer_sample(f, "chromium-mic"), 0); // and the session goes on
	fx_free(f);
}

static void extmap_collision(void)
{
	struct fx *f = fx_new();
	const char *why;

	CHECK_EQ(negotiate_remote_offer(f->n, sample("bad-extmap-collision"), f->now, &why), -EBADMSG);
	CHECK_STR(why, "one header extension id has two URIs");
	fx_free(f);
}

static void too_many_lines(void)
{
	struct fx *f = fx_new();
	char *text = malloc(SDP_MAX_TEXT + 2);
	const char *why;

	for (unsigned n = 130; n <= 200; n += 70) {
		size_t len = (size_t)sprintf(text, "v=0\r\n");
		for (unsigned i = 0; i < n; i++)
			len += (size_t)sprintf(text + len, "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:%u\r\n",
					       i);
		CHECK_EQ(negotiate_remote_offer(f->n, (struct str){text, len}, f->now, &why), -E2BIG);
		CHECK_STR(why, "too many m-lines");
	}
	memset(text, 'x', SDP_MAX_TEXT + 1);
	CHECK_EQ(negotiate_remote_offer(f->n, (struct str){text, SDP_MAX_TEXT + 1}, f->now, &why), -E2BIG);
	CHECK(!negotiate_established(f->n));
	free(text);
	fx_free(f);
}

static char *edit(struct str text, const char *from, const char *to)
{
	static char buf[20000];
	const char *at = strstr(text.p, from);

	if (at == NULL)
		abort();
	snprintf(buf, sizeof(buf), "%.*s%s%s", (int)(at - text.p), text.p, to, at + strlen(from));
	return buf;
}

static void transport_rules(void)
{
	struct fx *f = fx_new();
	struct str dc = sample("chromium-dc");

	CHECK_EQ(offer(f, str_of(edit(dc, "a=setup:actpass", "a=setup:passive"))), -ENOTSUP);
	CHECK_EQ(offer(f, str_of(edit(dc, "a=ice-pwd:", "a=x:"))), -EBADMSG);
	CHECK_EQ(offer(f, str_of(edit(dc, "a=fingerprint:", "a=x:"))), -EBADMSG);
	f->transport_rc = -ENOSPC;
	CHECK_EQ(offer(f, dc), -ENOSPC);
	CHECK(!negotiate_established(f->n));
	f->transport_rc = 0;
	CHECK_EQ(offer(f, dc), 0);
	CHECK_EQ(offer(f, str_of(edit(dc, "4A:AD", "4B:AD"))), -EPERM); // another certificate
	CHECK_EQ(offer(f, str_of(edit(dc, "a=setup:actpass", "a=setup:passive"))), -ENOTSUP);
	CHECK_EQ(offer(f, str_of(edit(dc, "a=mid:0", "a=mid:7"))), -EBADMSG);
	fx_free(f);

	f = fx_new();
	f->conf.dtls_active = true;
	CHECK_EQ(offer(f, dc), 0);
	CHECK(has(f, "a=setup:active\r\n"));
	fx_free(f);
}

static void peer_restarts_ice(void)
{
	struct fx *f = fx_new();

	CHECK_EQ(offer_sample(f, "chromium-dc"), 0);
	CHECK_EQ(f->n_restart, 0);
	CHECK_EQ(offer(f, str_of(edit(sample("chromium-dc"), "a=ice-ufrag:EsAw", "a=ice-ufrag:NewOne"))), 0);
	CHECK_EQ(f->n_restart, 1);
	CHECK_STR(f->ufrag, "NewOne");
	CHECK(has(f, "a=ice-ufrag:otherufragotheru\r\n") &&
	      has(f, "a=ice-pwd:otherpasswordotherpasswordotherp\r\n"));
	fx_free(f);
}

// --- offers of ours ------------------------------------------------------------------------------

static void batched(void)
{
	struct fx *f = fx_joined(&peer);

	for (unsigned i = 1; i <= 5; i++) {
		CHECK_EQ(want_voice(f, i), 0);
		pass(f, 15 * NS_PER_MS);
	}
	CHECK_EQ(f->n_offers, 0);
	pass(f, 60 * NS_PER_MS);
	CHECK_EQ(f->n_offers, 1); // five tracks in one
	CHECK_EQ(count(f, "m=audio "), 5);
	CHECK_EQ(count(f, "a=sendonly\r\n"), 5);
	CHECK_EQ(count(f, "a=setup:actpass\r\n"), 6);
	CHECK_EQ(f->n_leg_up, 0); // nothing is fed before the answer
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 5);
	CHECK_EQ(f->up[0].pt, 111);
	CHECK_EQ(f->up[0].clock_hz, 48000);
	CHECK(negotiate_settled(f->n));
	pass(f, 60 * NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	CHECK(f->text_len < 5 * 660 + 1400);
	fx_done(f, &peer);
}

static void not_before_ready(void)
{
	struct fx *f = fx_new();

	CHECK_EQ(want_voice(f, 1), 0);
	negotiate_ready(f->n, true, f->now);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_sent, 0); // no first offer yet
	negotiate_ready(f->n, false, f->now);
	CHECK_EQ(offer_sample(f, "chromium-dc"), 0);
	pass(f, 60 * NS_PER_S);
	CHECK_EQ(f->n_offers, 0);
	negotiate_ready(f->n, true, f->now);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	fx_free(f);
}

static void media_map(void)
{
	struct fx *f = fx_joined(&peer);

	CHECK_EQ(want_voice(f, 1), 0);
	CHECK_EQ(want(f, 2, 3, TYPE_SCREEN_AUDIO, CODEC_OPUS), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_map, 2);
	CHECK_STR(f->map[0].mid, "1");
	CHECK_STR(f->map[0].type, "voice");
	CHECK_STR(f->map[0].sender, "sender1"); // D23: the sender's id
	CHECK_STR(f->map[1].type, "screen-audio");
	CHECK(has(f, "a=msid:sender2 screen-audio_sender2_abcd1234\r\n"));
	CHECK_EQ(peer_answers(f, &peer), 0);
	// A removal is an offer too, with the whole map again, and client offers that meet it are ignored.
	unwant(f, 1);
	CHECK_EQ(f->n_leg_down, 1);
	pass(f, NS_PER_S);
	CHECK(f->last_is_offer);
	CHECK_EQ(f->n_map, 1);
	CHECK_STR(f->map[0].mid, "2");
	CHECK_EQ(offer_sample(f, "chromium-dc"), -EBUSY);
	CHECK_EQ(peer_answers(f, &peer), 0);
	fx_done(f, &peer);
}

static void lost_answer(void)
{
	struct fx *f = fx_joined(&peer);
	static char first[8192];

	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	snprintf(first, sizeof(first), "%s", section(f, 1));
	CHECK_EQ(offer_sample(f, "chromium-mic"), -EBUSY);
	pass(f, 10 * NS_PER_S);
	CHECK_EQ(stats(f).answer_timeouts, 1);
	// Rolled back: the client's offers are answered again, and ours is made again with the same SSRC.
	CHECK_EQ(f->n_offers, 2);
	CHECK_STR(section(f, 1), first);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 1);
	peer_add_audio(&peer);
	CHECK_EQ(peer_offers(f, &peer), 0);
	fx_done(f, &peer);
}

static void client_offer_after_rollback(void)
{
	struct fx *f = fx_joined(&peer);

	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	f->now = negotiate_next_due(f->n);
	negotiate_tick(f->n, f->now); // time-out
	// The client never saw our line 1 and makes its own there, with the same mid.
	CHECK_EQ(offer_sample(f, "chromium-dc"), -EPERM); // (another certificate: another client)
	peer_add_audio(&peer);
	CHECK_STR(peer.lines[1].mid, "1");
	CHECK_EQ(peer_offers(f, &peer), 0);
	CHECK(strstr(section(f, 1), "a=recvonly\r\n") != NULL);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 2);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 1);
	fx_done(f, &peer);
}

static void unsolicited_answers(void)
{
	struct fx *f = fx_joined(&peer);
	char *late;
	const char *why;
	char buf[8192];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	CHECK_EQ(negotiate_remote_answer(f->n, sample("chromium-dc"), f->now, &why), -EALREADY);
	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, NS_PER_S);
	CHECK(peer_on_offer(&peer, (struct str){f->text, f->text_len}, &w));
	late = strndup(buf, wbuf_len(&w));
	pass(f, 9 * NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	// The answer misses its time; a second track is in the next offer, so the late answer does not fit it.
	CHECK_EQ(want_voice(f, 2), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 2);
	CHECK_EQ(negotiate_remote_answer(f->n, str_of(late), f->now, &why), -ESTALE);
	CHECK_EQ(f->n_leg_up, 0);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 2);
	CHECK_EQ(negotiate_remote_answer(f->n, str_of(late), f->now, &why), -EALREADY);
	CHECK_EQ(stats(f).answers_stale, 3);
	// Garbage leaves the offer pending.
	CHECK_EQ(want_voice(f, 3), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(negotiate_remote_answer(f->n, STR("v=0\r\nm="), f->now, &why), -EBADMSG);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 3);
	free(late);
	fx_done(f, &peer);
}

// --- the lock ------------------------------------------------------------------------------------

static void lock_lease(void)
{
	struct fx *f = fx_joined(&peer);

	CHECK(negotiate_lock(f->n, f->now));
	CHECK(!negotiate_lock(f->n, f->now)); // one at a time
	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, 9 * NS_PER_S);
	CHECK_EQ(f->n_offers, 0);
	pass(f, 2 * NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	CHECK_EQ(stats(f).leases_expired, 1);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 1);
	CHECK(negotiate_lock(f->n, f->now)); // and the client may have it again
	fx_done(f, &peer);
}

static void lock_foreign_unlock(void)
{
	struct fx *f = fx_joined(&peer);

	negotiate_unlock(f->n, f->now); // free: nothing happens
	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	CHECK(!negotiate_lock(f->n, f->now)); // the server holds it
	negotiate_unlock(f->n, f->now);
	CHECK(!negotiate_lock(f->n, f->now)); // still
	CHECK_EQ(stats(f).foreign_unlocks, 2);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK(negotiate_lock(f->n, f->now));
	fx_done(f, &peer);
}

static void lock_order(void)
{
	struct fx *f = fx_joined(&peer);

	CHECK(negotiate_lock(f->n, f->now));
	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, NS_PER_S);
	peer_add_audio(&peer);
	CHECK_EQ(peer_offers(f, &peer), 0);
	CHECK_EQ(f->n_offers, 0);
	pass(f, 20 * NS_PER_MS);
	negotiate_unlock(f->n, f->now);
	CHECK_EQ(f->n_offers, 1); // what waited goes at once
	CHECK(!negotiate_lock(f->n, f->now));
	CHECK_EQ(want_voice(f, 2), 0);
	CHECK_EQ(peer_answers(f, &peer), 0);
	pass(f, 100 * NS_PER_MS); // then the client has its turn
	CHECK(negotiate_lock(f->n, f->now));
	CHECK_EQ(f->n_offers, 1);
	negotiate_unlock(f->n, f->now);
	pass(f, 100 * NS_PER_MS);
	CHECK_EQ(f->n_offers, 2);
	CHECK_EQ(peer_answers(f, &peer), 0);
	fx_done(f, &peer);
}

static void lock_turn(void)
{
	struct fx *f = fx_joined(&peer);

	// A call that everybody joins: there is always something to offer. A client 300 ms away asks once while
	// the server holds the lock, and again 350 ms after that.
	for (unsigned i = 1; i <= 3; i++) {
		CHECK_EQ(want_voice(f, i), 0);
		pass(f, NS_PER_S);
		CHECK_EQ(f->n_offers, i);
		CHECK(!negotiate_lock(f->n, f->now));
		CHECK_EQ(want_voice(f, 100 + i), 0);
		CHECK_EQ(peer_answers(f, &peer), 0);
		pass(f, 350 * NS_PER_MS);
		CHECK_EQ(f->n_offers, i);
		CHECK(negotiate_lock(f->n, f->now));
		negotiate_unlock(f->n, f->now);
		CHECK_EQ(f->n_offers, i + 1); // the wait ends with the client's turn
		CHECK_EQ(peer_answers(f, &peer), 0);
		pass(f, NS_PER_S);
		f->n_offers = i;
	}
	// One that never comes back delays an offer by 600 ms, once.
	CHECK_EQ(want_voice(f, 7), 0);
	pass(f, NS_PER_S);
	CHECK(!negotiate_lock(f->n, f->now));
	CHECK_EQ(want_voice(f, 8), 0);
	f->n_offers = 0;
	CHECK_EQ(peer_answers(f, &peer), 0);
	pass(f, 590 * NS_PER_MS);
	CHECK_EQ(f->n_offers, 0);
	pass(f, 20 * NS_PER_MS);
	CHECK_EQ(f->n_offers, 1);
	CHECK_EQ(peer_answers(f, &peer), 0);
	fx_done(f, &peer);
}

// --- wanting -------------------------------------------------------------------------------------

static void nothing_is_lost(void)
{
	struct fx *f = fx_joined(&peer);

	// The client holds the lock for long, answers get lost, a hundred tracks come and go meanwhile.
	CHECK(negotiate_lock(f->n, f->now));
	for (unsigned i = 1; i <= 120; i++)
		CHECK_EQ(want_voice(f, i), 0);
	for (unsigned i = 1; i <= 120; i += 2)
		unwant(f, i);
	pass(f, 12 * NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	CHECK_EQ(count(f, "a=sendonly\r\n"), 60);
	pass(f, 11 * NS_PER_S); // unanswered
	CHECK_EQ(f->n_offers, 2);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_up, 60);
	fx_done(f, &peer);
}

static void cancelled(void)
{
	struct fx *f = fx_joined(&peer);

	CHECK_EQ(want_voice(f, 1), 0);
	unwant(f, 1);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 0); // never offered
	CHECK_EQ(want_voice(f, 2), 0);
	CHECK_EQ(want_voice(f, 3), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	unwant(f, 2); // while the offer is out
	CHECK_EQ(f->n_leg_down, 0);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 1);
	CHECK_EQ(f->up[0].key.sid, 3);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 2); // takes it back
	CHECK(strstr(section(f, 1), "a=inactive\r\n") != NULL);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK(negotiate_settled(f->n));
	fx_done(f, &peer);
}

static void recycled(void)
{
	struct fx *f = fx_joined(&peer);
	uint32_t ssrc[50];

	for (unsigned i = 0; i < 50; i++) {
		CHECK_EQ(want_voice(f, 100 + i), 0);
		pass(f, NS_PER_S);
		CHECK_EQ(peer_answers(f, &peer), 0);
		CHECK_EQ(f->n_up, 1);
		CHECK_STR(f->up_mid[0], "1");
		CHECK_EQ(f->up[0].leg, 0);
		ssrc[i] = f->up[0].ssrc;
		for (unsigned k = 0; k < i; k++)
			CHECK(ssrc[k] != ssrc[i]);
		unwant(f, 100 + i);
		if (i % 2) { // with and without an offer that takes it back in between
			pass(f, NS_PER_S);
			CHECK_EQ(peer_answers(f, &peer), 0);
		}
	}
	CHECK_EQ(count(f, "m=audio "), 1);
	fx_done(f, &peer);
}

static void voice_cap(void)
{
	struct fx *f = fx_joined(&peer);

	f->conf.voice_lines = 3;
	for (unsigned i = 1; i <= 5; i++)
		CHECK_EQ(want_voice(f, i), 0);
	CHECK_EQ(want(f, 9, 1, TYPE_SCREEN_AUDIO, CODEC_OPUS), 0); // has a line of its own
	pass(f, NS_PER_S);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_up, 4);
	CHECK(negotiate_settled(f->n));
	negotiate_unwant_session(f->n, 2, f->now);
	pass(f, NS_PER_S);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_up, 4); // the one that waited has its line
	CHECK_EQ(count(f, "m=audio "), 4);
	fx_done(f, &peer);
}

static void want_limits(void)
{
	struct fx *f = fx_joined(&peer);
	struct negotiate_want w = {.key = {1, 0}, .codec = CODEC_OPUS, .track_suffix = STR("abcd")};

	w.session_id = STR("a b");
	CHECK_EQ(negotiate_want(f->n, &w, f->now), -EINVAL);
	w.session_id = STR("a\r\na=ice-lite");
	CHECK_EQ(negotiate_want(f->n, &w, f->now), -EINVAL);
	w.session_id = STR("");
	CHECK_EQ(negotiate_want(f->n, &w, f->now), -EINVAL);
	for (unsigned i = 1; i <= NEGOTIATE_MAX_WANTS; i++)
		CHECK_EQ(want_voice(f, i), 0);
	CHECK_EQ(want_voice(f, 1), 0); // known
	CHECK_EQ(want_voice(f, 1000), -ENOSPC);
	for (unsigned i = 1; i <= 100; i++)
		unwant(f, i);
	CHECK_EQ(f->n_room, 1);
	CHECK_EQ(want_voice(f, 1000), 0);
	fx_done(f, &peer);
}

static void refusing_peer(void)
{
	struct fx *f = fx_joined(&peer);

	peer.refuses_audio = true;
	CHECK_EQ(want_voice(f, 1), 0);
	for (unsigned i = 0; i < 10; i++) {
		unsigned n = f->n_offers;
		pass(f, NS_PER_S);
		if (f->n_offers > n)
			CHECK_EQ(peer_answers(f, &peer), 0);
	}
	CHECK_EQ(f->n_up, 0);
	CHECK_EQ(f->n_offers, NEGOTIATE_MAX_REFUSALS);
	CHECK_EQ(stats(f).tracks_refused, 1);
	fx_done(f, &peer);
}

// --- shared lines --------------------------------------------------------------------------------

static void browser_takes_our_line(void)
{
	struct fx *f = fx_joined(&peer);

	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(peer_answers(f, &peer), 0);
	peer_add_audio(&peer);
	CHECK_EQ(peer.n_lines, 2); // on the line that was there
	CHECK(negotiate_lock(f->n, f->now));
	CHECK_EQ(peer_offers(f, &peer), 0);
	CHECK(strstr(section(f, 1), "a=sendrecv\r\n") && strstr(section(f, 1), "a=msid:sender1 "));
	CHECK_EQ(f->n_up, 1);
	CHECK_EQ(f->n_leg_down, 0); // the voice goes on
	CHECK_EQ(f->n_upstream, 1);
	CHECK_STR(f->upstream[0].mid, "1");
	CHECK_EQ(f->upstream[0].ssrc, 1001);
	negotiate_unlock(f->n, f->now);
	// The voice leaves: the microphone stays. Another comes: same line, new SSRC.
	uint32_t old = f->up[0].ssrc;
	unwant(f, 1);
	pass(f, NS_PER_S);
	CHECK(strstr(section(f, 1), "a=recvonly\r\n") != NULL);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(want_voice(f, 2), 0);
	pass(f, NS_PER_S);
	CHECK(strstr(section(f, 1), "a=sendrecv\r\n") != NULL);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_STR(f->up_mid[0], "1");
	CHECK(f->up[0].ssrc != old);
	CHECK_EQ(f->n_upstream, 1);
	fx_done(f, &peer);
}

static void peers_line_is_not_taken(void)
{
	struct fx *f = fx_joined(&peer);

	peer.polite = false; // Pion
	peer_add_audio(&peer);
	CHECK_EQ(peer_offers(f, &peer), 0);
	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, NS_PER_S);
	CHECK(strstr(section(f, 1), "a=recvonly\r\n") != NULL);
	CHECK(strstr(section(f, 2), "a=sendonly\r\n") != NULL);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_STR(f->up_mid[0], "2");
	fx_done(f, &peer);
}

static void peer_stops_receiving(void)
{
	struct fx *f = fx_joined(&peer);
	char *text;
	char buf[8192];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(peer_answers(f, &peer), 0);
	peer_write(&peer, &w, NULL);
	text = strndup(buf, wbuf_len(&w));
	CHECK_EQ(offer(f, str_of(edit(str_of(text), "a=recvonly", "a=inactive"))), 0);
	CHECK_EQ(f->n_leg_down, 1);
	CHECK(strstr(section(f, 1), "a=inactive\r\n") != NULL);
	pass(f, NS_PER_S); // still wanted: offered again
	CHECK(f->last_is_offer && has(f, "a=sendonly\r\n"));
	free(text);
	fx_free(f);
}

// --- ICE restart of ours -------------------------------------------------------------------------

static void restart(void)
{
	struct fx *f = fx_new();
	const char *why;
	char *text, *late;
	char buf[8192];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	CHECK_EQ(negotiate_restart_ice(f->n, &ice_2, f->now), -EAGAIN);
	fx_free(f);
	f = fx_joined(&peer);
	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, NS_PER_S);
	CHECK(f->last_is_offer && !f->last_restart);
	CHECK(peer_on_offer(&peer, (struct str){f->text, f->text_len}, &w));
	late = strndup(buf, wbuf_len(&w)); // stuck in the dead path
	CHECK_EQ(negotiate_restart_ice(f->n, &ice_2, f->now), 0);
	CHECK(f->last_is_offer && f->last_restart);
	CHECK_EQ(count(f, "a=ice-ufrag:otherufragotheru\r\n"), 2);
	text = strdup(f->text);
	memcpy(peer.ufrag, "peerNew", 8);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_STR(f->ufrag, "peerNew"); // told, without a restart of its own
	CHECK_EQ(f->n_restart, 0);
	CHECK_EQ(f->n_up, 1);
	// The answer to the offer given up comes now: the peer has gone back to the old credentials.
	CHECK_EQ(negotiate_remote_answer(f->n, str_of(late), f->now, &why), -EALREADY);
	pass(f, NS_PER_S);
	CHECK(f->last_is_offer && f->last_restart);
	CHECK_EQ(peer_answers(f, &peer), 0);
	pass(f, 60 * NS_PER_S);
	CHECK(negotiate_settled(f->n));
	CHECK_EQ(f->n_leg_down, 0);
	free(late);
	free(text);
	fx_done(f, &peer);
}

// --- restart of the control plane ----------------------------------------------------------------

static void count_leg(void *arg, const struct negotiate_leg *l)
{
	((unsigned *)arg)[0]++;
}

static void count_upstream(void *arg, const struct negotiate_upstream *u)
{
	((unsigned *)arg)[1]++;
}

static void saved(void)
{
	struct fx *f = fx_joined(&peer);
	struct negotiate_transport t;
	unsigned n[2] = {};
	uint8_t buf[16384], ext[IPC_N_EXTS];
	int len;

	peer.polite = false;
	peer_add_audio(&peer);
	CHECK_EQ(peer_offers(f, &peer), 0);
	for (unsigned i = 1; i <= 4; i++)
		CHECK_EQ(want_voice(f, i), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(want_voice(f, 5), 0);
	pass(f, NS_PER_S); // an offer is out when the process dies
	len = negotiate_save(f->n, buf, sizeof(buf));
	CHECK(len > 0 && (size_t)len <= negotiate_save_size(f->n));
	CHECK_EQ(negotiate_save(f->n, buf, (size_t)len - 1), -ENOSPC);
	len = negotiate_save(f->n, buf, sizeof(buf));
	negotiate_free(f->n);

	f->conf.fingerprint.hash[0] = 0xbb; // the new process has a new certificate
	f->n = negotiate_load(&f->conf, &ops, f, buf, (size_t)len);
	CHECK_OR_RETURN(f->n != NULL);
	CHECK(negotiate_established(f->n));
	negotiate_each_leg(f->n, count_leg, n);
	negotiate_each_upstream(f->n, count_upstream, n);
	CHECK_EQ(n[0], 4);
	CHECK_EQ(n[1], 1);
	negotiate_extmap(f->n, ext);
	CHECK_MEM(ext, f->ext, IPC_N_EXTS);
	CHECK(negotiate_transport(f->n, &t) && str_eq(t.ufrag, str_of(peer.ufrag)) && t.has_data);
	for (unsigned i = 2; i <= 6; i++)
		CHECK_EQ(want_voice(f, i), 0); // 1 left meanwhile, 5 and 6 are new
	negotiate_load_done(f->n, f->now);
	CHECK_EQ(f->n_leg_down, 1);
	CHECK(negotiate_lock(f->n, f->now)); // who asks does not hold it
	negotiate_unlock(f->n, f->now);

	CHECK_EQ(f->n_up, 3);
	negotiate_ready(f->n, true, f->now);
	pass(f, NS_PER_S);
	CHECK(f->last_is_offer && has(f, "a=fingerprint:sha-256 AA:00:"));
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_up, 5);
	CHECK(negotiate_settled(f->n));
	fx_done(f, &peer);
}

static void saved_locked(void)
{
	struct fx *f = fx_joined(&peer);
	uint8_t buf[4096];
	int len;

	// The client got the lock from the process that died, and its offer is under way.
	CHECK(negotiate_lock(f->n, f->now));
	len = negotiate_save(f->n, buf, sizeof(buf));
	CHECK_OR_RETURN(len > 0);
	negotiate_free(f->n);
	f->n = negotiate_load(&f->conf, &ops, f, buf, (size_t)len);
	CHECK_OR_RETURN(f->n != NULL);
	CHECK_EQ(want_voice(f, 1), 0);
	negotiate_load_done(f->n, f->now);
	negotiate_ready(f->n, true, f->now);
	pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 0);
	peer_add_audio(&peer);
	CHECK_EQ(peer_offers(f, &peer), 0);
	negotiate_unlock(f->n, f->now);
	CHECK_EQ(f->n_offers, 1);
	CHECK_EQ(peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_up, 1);
	fx_done(f, &peer);
}

static void saved_deaf(void)
{
	struct fx *f = fx_joined(&peer);
	uint8_t buf[16384];
	int len;

	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(peer_answers(f, &peer), 0);
	len = negotiate_save(f->n, buf, sizeof(buf));
	negotiate_free(f->n);
	f->n = negotiate_load(&f->conf, &ops, f, buf, (size_t)len);
	CHECK_OR_RETURN(f->n != NULL);
	negotiate_assume_answers(f->n);
	CHECK_EQ(want_voice(f, 1), 0);
	negotiate_load_done(f->n, f->now);
	negotiate_ready(f->n, true, f->now);
	CHECK_EQ(want_voice(f, 2), 0);
	CHECK_EQ(want_voice(f, 3), 0);
	f->last_is_offer = false;
	pass(f, 2 * NS_PER_S + NS_PER_S / 2);
	CHECK(f->last_is_offer);
	CHECK_EQ(f->n_up, 1);
	pass(f, 2 * NS_PER_S);
	CHECK_EQ(f->n_up, 3);
	CHECK_EQ(f->n_leg_down, 0);
	CHECK(negotiate_settled(f->n));
	unwant(f, 3);
	pass(f, 3 * NS_PER_S);
	CHECK(negotiate_settled(f->n));
	fx_free(f);
}

static void saved_damaged(void)
{
	struct fx *f = fx_joined(&peer);
	uint8_t buf[4096];
	int len;

	CHECK_EQ(want_voice(f, 1), 0);
	pass(f, NS_PER_S);
	CHECK_EQ(peer_answers(f, &peer), 0);
	len = negotiate_save(f->n, buf, sizeof(buf));
	CHECK_OR_RETURN(len > 0);
	for (size_t cut = 0; cut < (size_t)len; cut++) {
		errno = 0;
		CHECK(negotiate_load(&f->conf, &ops, f, buf, cut) == NULL);
		CHECK_EQ(errno, EBADMSG);
	}
	buf[5]++;
	CHECK(negotiate_load(&f->conf, &ops, f, buf, (size_t)len) == NULL);
	CHECK_EQ(errno, ENOTSUP);
	fx_done(f, &peer);
}

static void ssrcs(void)
{
	struct fx *f = fx_new();
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
	fx_free(f);
}

// --- random rounds -------------------------------------------------------------------------------

enum msg_type { MSG_OFFER, MSG_ANSWER, MSG_LOCK, MSG_UNLOCK, MSG_GRANT, MSG_REFUSE };

struct msg {
	enum msg_type type;
	ns_t at;
	char *text;
	size_t len;
};

// Two ordered queues between a session and a peer.
struct link {
	struct msg up[512], down[512]; // up: from the peer
	unsigned up_head, up_tail, down_head, down_tail;
};

struct world {
	struct fx *f;
	struct peer *p;
	struct link link;
	unsigned n_sent_seen, n_mics, loss; // loss in percent, of descriptions
	ns_t lock_retry, lock_giveup;
	bool wanted[64];
};

static void post(struct msg *q, unsigned *tail, enum msg_type type, ns_t at, const char *text, size_t len)
{
	struct msg *m = &q[(*tail)++ % 512];

	*m = (struct msg){type, at, text ? malloc(len + 1) : NULL, len};
	if (text) {
		memcpy(m->text, text, len);
		m->text[len] = '\0';
	}
}

static void to_server(struct world *w, enum msg_type type, const char *text, size_t len)
{
	ns_t at = w->f->now + (5 + rand() % 60) * NS_PER_MS;
	struct link *l = &w->link;

	// Pion has no way back from an offer of its own: its descriptions travel on a channel that loses none.
	if (text && type == MSG_ANSWER && (unsigned)rand() % 100 < w->loss)
		return;
	if (text && type == MSG_OFFER && w->p->polite && w->p->n_answered > 0 &&
	    (unsigned)rand() % 100 < w->loss)
		return;
	if (l->up_tail != l->up_head && l->up[(l->up_tail - 1) % 512].at > at)
		at = l->up[(l->up_tail - 1) % 512].at;
	post(l->up, &l->up_tail, type, at, text, len);
}

static void to_peer(struct world *w, enum msg_type type, const char *text, size_t len)
{
	ns_t at = w->f->now + (5 + rand() % 60) * NS_PER_MS;
	struct link *l = &w->link;

	if (text && (type == MSG_OFFER || w->p->polite) && w->p->n_answered > 0 &&
	    (unsigned)rand() % 100 < w->loss)
		return;
	if (l->down_tail != l->down_head && l->down[(l->down_tail - 1) % 512].at > at)
		at = l->down[(l->down_tail - 1) % 512].at;
	post(l->down, &l->down_tail, type, at, text, len);
}

// What the session has sent since the last look goes into the link.
static void world_collect(struct world *w)
{
	if (w->f->n_sent == w->n_sent_seen)
		return;
	if (w->f->n_sent != w->n_sent_seen + 1)
		peer_bad(w->p, "two descriptions in one turn");
	w->n_sent_seen = w->f->n_sent;
	to_peer(w, w->f->last_is_offer ? MSG_OFFER : MSG_ANSWER, w->f->text, w->f->text_len);
}

static void world_server(struct world *w, struct msg *m)
{
	struct fx *f = w->f;
	const char *why;
	int rc;

	switch (m->type) {
	case MSG_OFFER:
		rc = negotiate_remote_offer(f->n, (struct str){m->text, m->len}, f->now, &why);
		if (rc < 0 && rc != -EBUSY)
			peer_bad(w->p, "offer refused: %s", why);
		if (rc == -EBUSY && w->p->locks)
			peer_bad(w->p, "a locked offer was ignored");
		break;
	case MSG_ANSWER:
		rc = negotiate_remote_answer(f->n, (struct str){m->text, m->len}, f->now, &why);
		if (rc < 0 && rc != -EALREADY && rc != -ESTALE)
			peer_bad(w->p, "answer refused: %s", why);
		break;
	case MSG_LOCK:
		to_peer(w, negotiate_lock(f->n, f->now) ? MSG_GRANT : MSG_REFUSE, NULL, 0);
		break;
	default:
		negotiate_unlock(f->n, f->now);
	}
	world_collect(w);
}

static void peer_sync_mics(struct world *w)
{
	unsigned sends = 0;

	for (unsigned i = 0; i < w->p->n_lines; i++)
		sends += w->p->lines[i].kind == SDP_AUDIO && w->p->lines[i].sends;
	for (; sends < w->n_mics; sends++)
		peer_add_audio(w->p);
	for (; sends > w->n_mics; sends--)
		peer_remove_audio(w->p);
}

static void peer_send_offer(struct world *w)
{
	static char buf[PEER_TEXT];
	struct wbuf o = wbuf_of(buf, sizeof(buf));

	peer_sync_mics(w);
	w->p->offering = true;
	w->p->need_offer = false;
	peer_write(w->p, &o, NULL);
	to_server(w, MSG_OFFER, buf, wbuf_len(&o));
}

static void world_peer(struct world *w, struct msg *m)
{
	static char buf[PEER_TEXT];
	struct wbuf a = wbuf_of(buf, sizeof(buf));
	struct peer *p = w->p;
	bool first = p->n_answered == 0;

	switch (m->type) {
	case MSG_OFFER:
		if (peer_on_offer(p, (struct str){m->text, m->len}, &a))
			to_server(w, MSG_ANSWER, buf, wbuf_len(&a));
		if (p->need_offer && !p->wants_lock) // rolled back: again, with the lock
			w->lock_retry = w->f->now;
		break;
	case MSG_ANSWER:
		peer_on_answer(p, (struct str){m->text, m->len});
		if (!first && !p->offering) {
			p->has_lock = false;
			to_server(w, MSG_UNLOCK, NULL, 0);
		}
		if (first)
			negotiate_ready(w->f->n, true, w->f->now);
		break;
	case MSG_GRANT:
		p->wants_lock = false;
		p->has_lock = true;
		if (p->offering)
			break;
		if (rand() % 20 == 0) { // found nothing to do: the lock leaks
			p->has_lock = false;
			w->lock_retry = w->f->now + NS_PER_S;
			break;
		}
		peer_send_offer(w);
		break;
	default:
		w->lock_retry = w->f->now + 100 * NS_PER_MS;
	}
}

static void world_peer_acts(struct world *w)
{
	struct peer *p = w->p;

	if (!p->need_offer || p->offering)
		return;
	if (!p->locks || p->n_answered == 0) {
		peer_send_offer(w);
		return;
	}
	if (w->f->now >= w->lock_retry) {
		w->lock_retry = NS_NEVER;
		p->wants_lock = true;
		to_server(w, MSG_LOCK, NULL, 0);
		w->lock_giveup = w->f->now + 5 * NS_PER_S;
	} else if (p->wants_lock && w->f->now >= w->lock_giveup) {
		p->wants_lock = false;
		w->lock_retry = w->f->now + NS_PER_S;
	}
}

static void world_step(struct world *w)
{
	struct link *l = &w->link;

	w->f->now += 10 * NS_PER_MS;
	while (l->up_head != l->up_tail && l->up[l->up_head % 512].at <= w->f->now) {
		struct msg m = l->up[l->up_head++ % 512];
		world_server(w, &m);
		free(m.text);
	}
	while (l->down_head != l->down_tail && l->down[l->down_head % 512].at <= w->f->now) {
		struct msg m = l->down[l->down_head++ % 512];
		world_peer(w, &m);
		free(m.text);
	}
	if (negotiate_next_due(w->f->n) <= w->f->now) {
		negotiate_tick(w->f->n, w->f->now);
		world_collect(w);
	}
	world_peer_acts(w);
}

static void world_shake(struct world *w, unsigned i)
{
	unsigned sid = 1 + (unsigned)rand() % 40;

	if (rand() % 12 == 0) {
		if (w->wanted[sid])
			unwant(w->f, sid);
		else
			CHECK_EQ(want_voice(w->f, sid), 0);
		w->wanted[sid] = !w->wanted[sid];
	}
	if (rand() % 150 == 0) {
		w->n_mics = (unsigned)rand() % 3;
		w->p->need_offer = true;
		if (w->lock_retry == NS_NEVER && !w->p->wants_lock)
			w->lock_retry = 0;
	}
}

// Every wanted track is up, is on exactly one line of the peer's under the same SSRC, and nothing else is.
static void world_compare(struct world *w)
{
	unsigned n_wanted = 0, n_heard = 0, n_active = 0;
	char track[64];

	for (unsigned sid = 1; sid < 64; sid++)
		n_wanted += w->wanted[sid];
	CHECK_EQ(w->f->n_up, n_wanted);
	for (unsigned i = 0; i < w->p->n_lines; i++)
		n_heard += w->p->lines[i].ssrc != 0;
	CHECK_EQ(n_heard, n_wanted);
	for (unsigned i = 0; i < w->f->n_up; i++) {
		bool found = false;
		snprintf(track, sizeof(track), "voice_sender%u_abcd1234", w->f->up[i].key.sid);
		CHECK(w->wanted[w->f->up[i].key.sid]);
		for (unsigned k = 0; k < w->p->n_lines; k++)
			found |= w->p->lines[k].ssrc == w->f->up[i].ssrc &&
				 strcmp(w->p->lines[k].mid, w->f->up_mid[i]) == 0 &&
				 strcmp(w->p->lines[k].track, track) == 0;
		CHECK(found);
	}
	negotiate_each_upstream(w->f->n, count_upstream, (unsigned[]){0, 0});
	for (unsigned i = 0; i < w->p->n_lines; i++)
		n_active += w->p->lines[i].kind == SDP_AUDIO && w->p->lines[i].sends;
	unsigned n[2] = {};
	negotiate_each_upstream(w->f->n, count_upstream, n);
	if (!w->p->offering) // else its last offer or our answer was lost, and it has no time-out of its own
		CHECK_EQ(n[1], n_active);
}

static void world_save_and_load(struct world *w)
{
	uint8_t *buf = malloc(65536);
	int len = negotiate_save(w->f->n, buf, 65536);

	negotiate_free(w->f->n);
	w->f->n = negotiate_load(&w->f->conf, &ops, w->f, buf, len > 0 ? (size_t)len : 0);
	free(buf);
	if (w->f->n == NULL)
		abort();
	for (unsigned sid = 1; sid < 64; sid++)
		if (w->wanted[sid])
			CHECK_EQ(want_voice(w->f, sid), 0);
	negotiate_load_done(w->f->n, w->f->now);
	negotiate_ready(w->f->n, true, w->f->now);
}

static void rounds(bool polite, bool locks, unsigned n_rounds, bool restarts)
{
	for (unsigned round = 0; round < n_rounds; round++) {
		struct world *w = calloc(1, sizeof(*w));
		unsigned steps = 0;

		srand(round * 7 + polite * 2 + locks);
		rand_seed(round + 1);
		peer_init(&peer, polite, locks);
		w->p = &peer;
		w->f = fx_new();
		w->loss = restarts ? 0 : (unsigned)rand() % 4 * 8;
		for (unsigned i = 0; i < 3000; i++) {
			world_shake(w, i);
			world_step(w);
			if (restarts && peer.n_answered > 0 && i % 700 == 699)
				world_save_and_load(w);
		}
		w->loss = 0;
		do // calm: until both are done, with room for a lease and time-outs
			world_step(w);
		while (++steps < 12000 &&
		       (steps < 3000 || !negotiate_settled(w->f->n) || peer.offering || peer.need_offer));
		world_compare(w);
		if (peer.n_bad)
			check_note(__FILE__, __LINE__, "round %u (loss %u): %s", round, w->loss, peer.why);
		CHECK_EQ(peer.n_bad, 0);
		CHECK_EQ(w->f->n_bad, 0);
		CHECK_EQ(peer.n_lost, 0); // no offer of ours met one of a peer that cannot roll back
		CHECK(stats(w->f).offers_out > 0);
		for (; w->link.up_head != w->link.up_tail; w->link.up_head++)
			free(w->link.up[w->link.up_head % 512].text);
		for (; w->link.down_head != w->link.down_tail; w->link.down_head++)
			free(w->link.down[w->link.down_head % 512].text);
		fx_free(w->f);
		free(w);
	}
	rand_seed(0);
}

static void rounds_browser(void)
{
	rounds(true, true, 60, false);
}

static void rounds_browser_unlocked(void)
{
	rounds(true, false, 60, false);
}

static void rounds_pion(void)
{
	rounds(false, true, 60, false);
}

static void rounds_restarts(void)
{
	rounds(true, true, 20, true);
	rounds(false, true, 20, true);
}

CU_TestInfo negotiate_tests[] = {
	{"a first offer with the data channel alone is answered with all that connects", first_offer},
	{"a microphone line is answered with Opus only and reported once", mic_offer},
	{"payload types and extension ids are the peer's", firefox_and_pion_mic},
	{"extension ids of ours are none that a browser's first microphone offer uses otherwise",
	 ids_before_microphone},
	{"video lines are accepted inactive while video is off", video_off},
	{"D42: a video line is used again, for whatever codec comes", video_recycled},
	{"payload types of a track that is up stay, whatever the peer offers later", video_types_kept},
	{"D36: a codec that the peer refuses for good is known to be refused", codec_refused},
	{"video on: simulcast, RTX and screens are negotiated by the flag", video_on},
	{"D20: malformed simulcast and rid forms refuse the offer and leave the session as it was",
	 malformed_offers},
	{"one header extension id for two URIs is refused by name", extmap_collision},
	{"D17: 60 and 200 m-lines and 128 KiB are refused by name", too_many_lines},
	{"credentials, certificate and DTLS role are required and stay", transport_rules},
	{"an ICE restart of the peer gets new credentials", peer_restarts_ice},
	{"five tracks within 100 ms go into one offer and up after its answer", batched},
	{"no offer before the first answer and the ready signal", not_before_ready},
	{"D27: each offer, of removals too, has the whole map and makes client offers collide", media_map},
	{"D24: an unanswered offer is rolled back and made again", lost_answer},
	{"D24: a client's own line may take the place of one it never saw", client_offer_after_rollback},
	{"D25: late and unsolicited answers are dropped", unsolicited_answers},
	{"D21: a lock that is never released expires", lock_lease},
	{"D21: an unlock by who does not hold the lock is ignored", lock_foreign_unlock},
	{"D21: after an unlock our waiting offer goes first, then the client has its turn", lock_order},
	{"D21: a client that was refused has time to ask again before our next offer", lock_turn},
	{"D26: no track is lost to a held lock or lost answers", nothing_is_lost},
	{"D43: what is no longer wanted is not negotiated, or taken back", cancelled},
	{"D42: fifty speakers after one another share one line under fifty SSRCs", recycled},
	{"D42: voices above the cap wait for a line", voice_cap},
	{"wants are bounded and their ids cannot break a description", want_limits},
	{"a peer that refuses a track is asked three times", refusing_peer},
	{"a browser takes our line for its microphone and both go on", browser_takes_our_line},
	{"Pion's microphone line is left to it, ours are sendonly", peers_line_is_not_taken},
	{"a peer that stops receiving on a line gets the track on another", peer_stops_receiving},
	{"an ICE restart of ours goes at once and survives a late answer to what it replaced", restart},
	{"a saved session goes on negotiating after a restart", saved},
	{"after a restart a client that holds the lock finishes first", saved_locked},
	{"after a restart offers to a client that answers on the dead data channel count as taken",
	 saved_deaf},
	{"a damaged saved form is refused", saved_damaged},
	{"SSRCs do not repeat", ssrcs},
	{"D24 D25 D26: 60 random calls of a browser that locks, with losses, end as wanted", rounds_browser},
	{"D24 D25 D26: 60 random calls of a browser that does not lock, with losses, end as wanted",
	 rounds_browser_unlocked},
	{"D21 D24 D26: 60 random calls of Pion, which cannot roll back, end as wanted", rounds_pion},
	{"40 random calls go on through restarts of the control plane", rounds_restarts},
	CU_TEST_INFO_NULL,
};
