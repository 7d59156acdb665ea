// What a peer describes: first offers, forms that are refused, what must stay.
#include <errno.h>
#include <stdlib.h>

#include "tests/support/controlplane/negotiate_talk.h"
#include "tests/unit/check.h"
#include "tests/unit/samples.h"

static struct peer peer;

static void first_offer(void)
{
	static const char *const samples[] = {"chromium-dc", "firefox-dc", "pion-dc"};

	for (unsigned i = 0; i < 3; i++) {
		struct talk *f = talk_new();

		CHECK(!negotiate_established(f->n));
		CHECK_EQ(talk_offer_sample(f, samples[i]), 0);
		CHECK(negotiate_established(f->n));
		CHECK_EQ(f->n_answers, 1);
		CHECK_EQ(f->n_transport, 1);
		CHECK(f->has_data);
		CHECK(talk_has(f, "a=ice-lite\r\n") && talk_has(f, "a=setup:passive\r\n") &&
		      talk_has(f, "a=group:BUNDLE 0\r\n"));
		CHECK(talk_has(f, "a=candidate:") && talk_has(f, " 192.0.2.1 8443 typ host\r\n"));
		CHECK(talk_has(f, " 2001:db8::1 8443 typ host\r\n") &&
		      talk_has(f, "a=end-of-candidates\r\n"));
		CHECK(talk_has(f, "a=ice-ufrag:localufraglocalu\r\n") && talk_has(f, "a=sctp-port:5000\r\n"));
		CHECK(talk_has(f, "a=max-message-size:262144\r\n") &&
		      talk_has(f, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"));
		CHECK_EQ(negotiate_next_due(f->n), NS_NEVER);
		talk_free(f);
	}
}

static void mic_offer(void)
{
	struct talk *f = talk_new();
	const char *s;

	CHECK_EQ(talk_offer_sample(f, "chromium-dc"), 0);
	CHECK_EQ(talk_offer_sample(f, "chromium-mic"), 0);
	CHECK_EQ(f->n_transport, 1); // same credentials: nothing new
	CHECK(talk_has(f, "a=group:BUNDLE 0 1\r\n"));
	CHECK_EQ(talk_count(f, "a=candidate:"), 2); // first section only
	s = talk_section(f, 1);
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
	CHECK_EQ(talk_offer_sample(f, "chromium-mic"), 0);
	CHECK_EQ(f->n_upstream, 1);

	// The track goes: inactive line, told once.
	struct str text = sample("chromium-mic");
	char *at = strstr((char *)text.p, "a=sendrecv");
	memcpy(at, "a=recvonly", 10);
	CHECK_EQ(talk_offer(f, text), 0);
	CHECK_EQ(f->n_upstream, 2);
	CHECK(!f->upstream[1].active);
	talk_free(f);
}

static void firefox_and_pion_mic(void)
{
	struct talk *f = talk_new();

	CHECK_EQ(talk_offer_sample(f, "firefox-mic"), 0);
	CHECK(talk_has(f, "m=audio 9 UDP/TLS/RTP/SAVPF 109\r\n"));
	CHECK_EQ(f->upstream[0].ssrc, 2655508255);
	// Lines that we open use the payload type of this peer.
	negotiate_ready(f->n, true, f->now);
	CHECK_EQ(talk_want_voice(f, 7), 0);
	talk_pass(f, NS_PER_S);
	CHECK(f->last_is_offer);
	CHECK(strstr(talk_section(f, 2), "m=audio 9 UDP/TLS/RTP/SAVPF 109\r\n") != NULL);
	talk_free(f);

	f = talk_new();
	CHECK_EQ(talk_offer_sample(f, "pion-mic"), 0);
	CHECK_STR(f->upstream[0].stream, "audio-bot");
	// No audio-level offered: none answered. A line of ours may have one, at an id that is free.
	CHECK(!talk_has(f, "ssrc-audio-level"));
	CHECK_EQ(f->ext[EXT_LEVEL], 0);
	negotiate_ready(f->n, true, f->now);
	CHECK_EQ(talk_want_voice(f, 7), 0);
	talk_pass(f, NS_PER_S);
	CHECK(f->ext[EXT_TWCC] == 4 && f->ext[EXT_LEVEL] > 0 && f->ext[EXT_LEVEL] < 4);
	CHECK(f->ext[EXT_MID] > 0 && f->ext[EXT_MID] < 4 && f->ext[EXT_MID] != f->ext[EXT_LEVEL]);
	talk_free(f);
}

// Chromium 156: 1 level, 2 abs-send-time, 3 transport-cc, 4 mid. Firefox: 1 level, 2 csrc level, 3 mid.
// Chromium refuses an offer that gives an id of its own pending offer another meaning.
static void ids_before_microphone(void)
{
	struct talk *f = talk_joined(&peer);

	CHECK_EQ(talk_want_voice(f, 7), 0);
	talk_pass(f, NS_PER_S);
	CHECK(f->last_is_offer);
	CHECK_EQ(f->ext[EXT_LEVEL], 1);
	CHECK(f->ext[EXT_MID] >= 4);
	CHECK(f->ext[EXT_TWCC] >= 5);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	talk_done(f, &peer);
}

static void video_off(void)
{
	static const char *const samples[] = {"chromium-simulcast", "chromium-screen", "chromium-av1-twin",
					      "pion-video"};

	for (unsigned i = 0; i < 4; i++) {
		struct talk *f = talk_new();

		CHECK_EQ(talk_offer_sample(f, samples[i]), 0);
		CHECK_EQ(talk_count(f, "m=video 9 "), i == 2 ? 2 : 1);
		CHECK_EQ(talk_count(f, "a=inactive\r\n"), i == 2 ? 2 : 1);
		CHECK(!talk_has(f, "H264") && !talk_has(f, "rtx/90000"));
		CHECK_EQ(f->n_upstream, i == 0 ? 1 : 0); // the microphone in the first
		CHECK_EQ(talk_want(f, 9, 0, TYPE_SCREEN, CODEC_VP8), -ENOTSUP);
		talk_free(f);
	}
}

static void video_on(void)
{
	struct talk *f = talk_new();
	const char *s;

	f->conf.video = f->conf.rtx = true;
	CHECK_EQ(talk_offer_sample(f, "chromium-simulcast"), 0);
	s = talk_section(f, 2);
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
	CHECK_EQ(talk_want(f, 9, 0, TYPE_SCREEN, CODEC_VP8), 0);
	CHECK_EQ(talk_want(f, 9, 1, TYPE_SCREEN, CODEC_OPUS), -EINVAL);
	talk_pass(f, NS_PER_S);
	s = talk_section(f, 3);
	CHECK(strstr(s, "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n") && strstr(s, "a=ssrc-group:FID "));
	CHECK(strstr(s, "a=msid:sender9 screen_sender9_abcd1234\r\n") != NULL);
	CHECK(strstr(s, "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n") != NULL);
	CHECK(strstr(s, "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n") != NULL);
	CHECK_STR(f->map[0].type, "screen");
	talk_free(f);

	f = talk_new();
	f->conf.video = f->conf.rtx = true;
	CHECK_EQ(talk_offer_sample(f, "chromium-screen"), 0);
	CHECK_EQ(f->upstream[0].ssrc, 1111111111);
	CHECK_EQ(f->upstream[0].rtx_ssrc, 2222222222);
	CHECK_STR(f->upstream[0].stream, "7d1f1a44-screen");
	talk_free(f);
}

static void malformed_offers(void)
{
	static const char *const samples[] = {"bad-simulcast-empty-alternative",
					      "bad-simulcast-no-list",
					      "bad-rid-no-direction",
					      "bad-rid-empty",
					      "bad-rid-twice",
					      "bad-mid-twice",
					      "bad-no-mid",
					      "bad-fingerprint",
					      "bad-nul",
					      "bad-mline",
					      "bad-version"};
	struct talk *f = talk_new();
	const char *why;

	CHECK_EQ(talk_offer_sample(f, "chromium-dc"), 0);
	for (unsigned i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		uint32_t version = negotiate_version(f->n);
		CHECK_EQ(negotiate_remote_offer(f->n, sample(samples[i]), f->now, &why), -EBADMSG);
		CHECK(why[0] != '\0');
		CHECK_EQ(negotiate_version(f->n), version);
	}
	CHECK_EQ(negotiate_remote_offer(f->n, STR_NONE, f->now, &why), -EBADMSG);
	CHECK_EQ(talk_stats(f).offers_bad, sizeof(samples) / sizeof(samples[0]) + 1);
	CHECK_EQ(f->n_answers, 1);
	CHECK_EQ(talk_offer_sample(f, "chromium-mic"), 0); // and the session goes on
	talk_free(f);
}

static void extmap_collision(void)
{
	struct talk *f = talk_new();
	const char *why;

	CHECK_EQ(negotiate_remote_offer(f->n, sample("bad-extmap-collision"), f->now, &why), -EBADMSG);
	CHECK_STR(why, "one header extension id has two URIs");
	talk_free(f);
}

static void too_many_lines(void)
{
	struct talk *f = talk_new();
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
	talk_free(f);
}

// The words of a peer that an answer repeats, each as long as it may be, on as many lines as there may be.
static void longest_answer(void)
{
	struct talk *f = talk_new();
	static char text[SDP_MAX_TEXT];
	char proto[SDP_MAX_PROTO + 2];
	struct str dc = sample("chromium-dc");
	size_t len;

	memset(proto, '&', sizeof(proto));
	proto[SDP_MAX_PROTO] = '\0';
	memcpy(text, dc.p, dc.len);
	len = dc.len;
	for (unsigned i = 1; i < NEGOTIATE_MAX_PEER_LINES; i++)
		len += (size_t)sprintf(text + len, "m=audio 0 %s 0\r\na=mid:abcdefghijklm%03u\r\n", proto, i);
	CHECK_EQ(talk_offer(f, (struct str){text, len}), 0);
	CHECK_EQ(f->n_answers, 1);
	CHECK_EQ(talk_count(f, proto), NEGOTIATE_MAX_PEER_LINES - 1);
	CHECK_EQ(f->n_too_long, 0);
	talk_free(f);

	f = talk_new();
	len = dc.len +
	      (size_t)snprintf(text + dc.len, sizeof(text) - dc.len, "m=audio 0 %s& 0\r\na=mid:1\r\n", proto);
	CHECK_EQ(talk_offer(f, (struct str){text, len}), -E2BIG);
	len = dc.len +
	      (size_t)snprintf(text + dc.len, sizeof(text) - dc.len, "m=audio 0 UDP//X 0\r\na=mid:1\r\n");
	CHECK_EQ(talk_offer(f, (struct str){text, len}), -EBADMSG);
	CHECK_EQ(f->n_answers, 0);
	talk_free(f);
}

static void transport_rules(void)
{
	struct talk *f = talk_new();
	struct negotiate_transport t;
	struct str dc = sample("chromium-dc");

	CHECK_EQ(talk_offer(f, str_of(sdp_edit(dc, "a=setup:actpass", "a=setup:holdconn"))), -ENOTSUP);
	CHECK_EQ(talk_offer(f, str_of(sdp_edit(dc, "a=ice-pwd:", "a=x:"))), -EBADMSG);
	CHECK_EQ(talk_offer(f, str_of(sdp_edit(dc, "a=fingerprint:", "a=x:"))), -EBADMSG);
	f->transport_rc = -ENOSPC;
	CHECK_EQ(talk_offer(f, dc), -ENOSPC);
	CHECK(!negotiate_established(f->n));
	f->transport_rc = 0;
	CHECK_EQ(talk_offer(f, dc), 0);
	CHECK_EQ(talk_offer(f, str_of(sdp_edit(dc, "4A:AD", "4B:AD"))), -EPERM); // another certificate
	CHECK_EQ(talk_offer(f, str_of(sdp_edit(dc, "a=setup:actpass", "a=setup:passive"))), -ENOTSUP);
	CHECK_EQ(talk_offer(f, str_of(sdp_edit(dc, "a=mid:0", "a=mid:7"))), -EBADMSG);
	talk_free(f);

	f = talk_new();
	f->conf.dtls_active = true;
	CHECK_EQ(talk_offer(f, dc), 0);
	CHECK(talk_has(f, "a=setup:active\r\n"));
	talk_free(f);

	f = talk_new(); // who wants to be the server makes us the client, for good
	CHECK_EQ(talk_offer(f, str_of(sdp_edit(dc, "a=setup:actpass", "a=setup:passive"))), 0);
	CHECK(talk_has(f, "a=setup:active\r\n"));
	CHECK(negotiate_transport(f->n, &t) && t.we_are_dtls_client);
	CHECK_EQ(talk_offer(f, str_of(sdp_edit(dc, "a=setup:actpass", "a=setup:active"))), -ENOTSUP);
	talk_free(f);
}

#define LEGAL_TRANSPORT                                                                                     \
	"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=fingerprint:sha-256 " \
	"AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:"     \
	"AA\r\n"
#define LEGAL_MID "{01234567-89ab-cdef-0123-456789abcdef}"

// Whatever form the sections have, the answer has it too, a saved session remembers it, and so do offers of ours.
static void legal_shapes(void)
{
	static const char offer[] =
		"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 " LEGAL_MID
		" t\r\na=group:BUNDLE 2\r\n" LEGAL_TRANSPORT
		"m=application 9 DTLS/SCTP 5000\r\na=mid:0\r\na=sctpmap:5000 webrtc-datachannel 256\r\n"
		"m=audio 9 RTP/SAVPF 111\r\na=mid:" LEGAL_MID
		"\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
		"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:1 "
		"urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
		"m=text 9 RTP/SAVPF 98\r\na=mid:t\r\na=rtpmap:98 t140/1000\r\n"
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:2\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n";
	struct talk *f = talk_new();
	uint8_t buf[4096];
	int len;

	CHECK_EQ(talk_offer(f, str_of(offer)), 0);
	CHECK(talk_has(f, "a=group:BUNDLE 0 " LEGAL_MID "\r\n"));
	CHECK(talk_has(f, "m=application 9 DTLS/SCTP 5000\r\n") &&
	      talk_has(f, "a=sctpmap:5000 webrtc-datachannel 256\r\n"));
	CHECK(talk_has(f, "m=audio 9 RTP/SAVPF 111\r\n") && talk_has(f, "a=mid:" LEGAL_MID "\r\n"));
	CHECK(!talk_has(f, "sdes:mid")); // longer than packets carry
	CHECK(talk_has(f, "m=text 0 RTP/SAVPF ") && talk_has(f, "m=audio 0 UDP/TLS/RTP/SAVPF "));
	CHECK_EQ(f->n_upstream, 1);

	len = negotiate_save(f->n, buf, sizeof(buf));
	CHECK_OR_RETURN(len > 0 && (size_t)len <= negotiate_save_size(f->n));
	negotiate_free(f->n);
	f->n = negotiate_load(&f->conf, &talk_ops, f, buf, (size_t)len);
	CHECK_OR_RETURN(f->n != NULL);
	negotiate_ready(f->n, true, f->now);
	CHECK_EQ(talk_want_voice(f, 7), 0);
	talk_pass(f, NS_PER_S);
	CHECK(f->last_is_offer && talk_has(f, "m=application 9 DTLS/SCTP 5000\r\n"));
	CHECK(talk_has(f, "m=audio 9 RTP/SAVPF 111\r\n") && talk_has(f, "m=text 0 "));
	talk_free(f);
}

// Credentials of any length that RFC 8839 allows.
static void long_credentials(void)
{
	struct str dc = sample("chromium-dc");
	struct negotiate_transport t;
	char ufrag[300], pwd[300], text[8192];
	struct talk *f;
	uint8_t buf[4096];
	int len;

	for (unsigned n = 256; n <= 257; n++) {
		snprintf(ufrag, sizeof(ufrag), "a=ice-ufrag:%.*u\r\na=x:", (int)n, 7);
		snprintf(pwd, sizeof(pwd), "a=ice-pwd:%.*u\r\na=x:", (int)n, 9);
		snprintf(text, sizeof(text), "%s", sdp_edit(dc, "a=ice-ufrag:", ufrag));
		f = talk_new();
		if (n > 256) {
			CHECK_EQ(talk_offer(f, str_of(text)), -E2BIG);
			CHECK_EQ(talk_offer(f, str_of(sdp_edit(dc, "a=ice-pwd:", pwd))), -EBADMSG);
			talk_free(f);
			break;
		}
		CHECK_EQ(talk_offer(f, str_of(sdp_edit(str_of(text), "a=ice-pwd:", pwd))), 0);
		len = negotiate_save(f->n, buf, sizeof(buf));
		CHECK_OR_RETURN(len > 0 && (size_t)len <= negotiate_save_size(f->n));
		negotiate_free(f->n);
		f->n = negotiate_load(&f->conf, &talk_ops, f, buf, (size_t)len);
		CHECK_OR_RETURN(f->n != NULL);
		CHECK(negotiate_transport(f->n, &t) && t.ufrag.len == 256 && t.pwd.len == 256);
		talk_free(f);
	}
}

static void peer_restarts_ice(void)
{
	struct talk *f = talk_new();

	CHECK_EQ(talk_offer_sample(f, "chromium-dc"), 0);
	CHECK_EQ(f->n_restart, 0);
	CHECK_EQ(talk_offer(f, str_of(sdp_edit(sample("chromium-dc"), "a=ice-ufrag:EsAw",
					       "a=ice-ufrag:NewOne"))),
		 0);
	CHECK_EQ(f->n_restart, 1);
	CHECK_STR(f->ufrag, "NewOne");
	CHECK(talk_has(f, "a=ice-ufrag:otherufragotheru\r\n") &&
	      talk_has(f, "a=ice-pwd:otherpasswordotherpasswordotherp\r\n"));
	talk_free(f);
}

static void restart(void)
{
	struct talk *f = talk_new();
	const char *why;
	char *text, *late;
	char buf[8192];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	CHECK_EQ(negotiate_restart_ice(f->n, &ice_2, f->now), -EAGAIN);
	talk_free(f);
	f = talk_joined(&peer);
	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, NS_PER_S);
	CHECK(f->last_is_offer && !f->last_restart);
	CHECK(peer_on_offer(&peer, (struct str){f->text, f->text_len}, &w));
	late = strndup(buf, wbuf_len(&w)); // stuck in the dead path
	CHECK_EQ(negotiate_restart_ice(f->n, &ice_2, f->now), 0);
	CHECK(f->last_is_offer && f->last_restart);
	CHECK_EQ(talk_count(f, "a=ice-ufrag:otherufragotheru\r\n"), 2);
	text = strdup(f->text);
	memcpy(peer.ufrag, "peerNew", 8);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_STR(f->ufrag, "peerNew"); // told, without a restart of its own
	CHECK_EQ(f->n_restart, 0);
	CHECK_EQ(f->n_up, 1);
	// The answer to the offer given up comes now: the peer has gone back to the old credentials.
	CHECK_EQ(negotiate_remote_answer(f->n, str_of(late), f->now, &why), -EALREADY);
	talk_pass(f, NS_PER_S);
	CHECK(f->last_is_offer && f->last_restart);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	talk_pass(f, 60 * NS_PER_S);
	CHECK(talk_is_settled(f));
	CHECK_EQ(f->n_leg_down, 0);
	free(late);
	free(text);
	talk_done(f, &peer);
}

static void unsolicited_answers(void)
{
	struct talk *f = talk_joined(&peer);
	char *late;
	const char *why;
	char buf[8192];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	CHECK_EQ(negotiate_remote_answer(f->n, sample("chromium-dc"), f->now, &why), -EALREADY);
	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, NS_PER_S);
	CHECK(peer_on_offer(&peer, (struct str){f->text, f->text_len}, &w));
	late = strndup(buf, wbuf_len(&w));
	talk_pass(f, 9 * NS_PER_S);
	CHECK_EQ(f->n_offers, 1);
	// The answer misses its time; a second track is in the next offer, so the late answer does not fit it.
	CHECK_EQ(talk_want_voice(f, 2), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 2);
	CHECK_EQ(negotiate_remote_answer(f->n, str_of(late), f->now, &why), -ESTALE);
	CHECK_EQ(f->n_leg_up, 0);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 2);
	CHECK_EQ(negotiate_remote_answer(f->n, str_of(late), f->now, &why), -EALREADY);
	CHECK_EQ(talk_stats(f).answers_stale, 3);
	// Garbage leaves the offer pending.
	CHECK_EQ(talk_want_voice(f, 3), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(negotiate_remote_answer(f->n, STR("v=0\r\nm="), f->now, &why), -EBADMSG);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_leg_up, 3);
	free(late);
	talk_done(f, &peer);
}

CU_TestInfo negotiate_remote_tests[] = {
	{"a first offer with the data channel alone is answered with all that connects", first_offer},
	{"a microphone line is answered with Opus only and reported once", mic_offer},
	{"payload types and extension ids are the peer's", firefox_and_pion_mic},
	{"extension ids of ours are none that a browser's first microphone offer uses otherwise",
	 ids_before_microphone},
	{"video lines are accepted inactive while video is off", video_off},
	{"video on: simulcast, RTX and screens are negotiated by the flag", video_on},
	{"D20: malformed simulcast and rid forms refuse the offer and leave the session as it was",
	 malformed_offers},
	{"every shape that JSEP allows, and those of drafts, is answered in kind", legal_shapes},
	{"credentials have up to 256 characters", long_credentials},
	{"one header extension id for two URIs is refused by name", extmap_collision},
	{"D17: 60 and 200 m-lines and 128 KiB are refused by name", too_many_lines},
	{"the protocol of a rejected m-line is repeated up to 64 bytes; a longer one is refused",
	 longest_answer},
	{"credentials, certificate and DTLS role are required and stay", transport_rules},
	{"an ICE restart of the peer gets new credentials", peer_restarts_ice},
	{"an ICE restart of ours goes at once and survives a late answer to what it replaced", restart},
	{"D25: late and unsolicited answers are dropped", unsolicited_answers},
	CU_TEST_INFO_NULL,
};
