#include "lib/rtc/wire/sdp.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "tests/unit/check.h"
#include "tests/unit/samples.h"

enum { MAX = 32 };

static struct sdp_media media[MAX];
static struct sdp desc;
static struct sdp_error err;

static int parse(const char *name)
{
	return sdp_parse(sample(name), &desc, media, MAX, &err);
}

static int parse_text(struct str text)
{
	return sdp_parse(text, &desc, media, MAX, &err);
}

static bool is(struct str s, const char *want)
{
	return str_eq(s, str_of(want));
}

static void chromium_first_offer(void)
{
	CHECK_EQ(parse("chromium-dc"), 0);
	CHECK_EQ(desc.n_media, 1);
	CHECK(desc.has_bundle && desc.extmap_mixed && !desc.ice_lite);
	CHECK_EQ(desc.origin_version, 2);
	CHECK_EQ(media[0].kind, SDP_DATA);
	CHECK(is(media[0].mid, "0") && is(media[0].proto, "UDP/DTLS/SCTP"));
	CHECK(is(media[0].formats, "webrtc-datachannel"));
	CHECK(is(media[0].ufrag, "EsAw") && is(media[0].pwd, "P2uYro0UCOQ4zxjKXaWCBui1"));
	CHECK_EQ(media[0].setup, SDP_ACTPASS);
	CHECK_EQ(media[0].sctp_port, 5000);
	CHECK_EQ(media[0].max_message_size, 262144);
	CHECK_EQ(media[0].fingerprint.len, 32);
	CHECK_EQ(media[0].fingerprint.hash[0], 0x4a);
	CHECK_EQ(media[0].fingerprint.hash[31], 0xf1);
	CHECK(media[0].bundled && !media[0].rejected);
}

static void chromium_mic_line(void)
{
	struct sdp_codec codecs[SDP_MAX_CODECS];
	struct sdp_ext exts[SDP_MAX_EXTS];
	struct sdp_source sources[SDP_MAX_SSRCS];

	CHECK_EQ(parse("chromium-mic"), 0);
	CHECK_EQ(desc.n_media, 2);
	CHECK_EQ(media[1].dir, SDP_SENDRECV);
	CHECK(media[1].rtcp_mux && media[1].rtcp_rsize);
	CHECK(is(media[1].msid_stream, "be5b0e7b-44a6-4d9b-9a6d-2a5d8f4dcf4e"));
	CHECK_EQ(sdp_codecs(&media[1], codecs), 8);
	CHECK(is(codecs[0].name, "opus"));
	CHECK_EQ(codecs[0].pt, 111);
	CHECK_EQ(codecs[0].clock_hz, 48000);
	CHECK_EQ(codecs[0].channels, 2);
	CHECK_EQ(codecs[0].fb, SDP_FB_TWCC);
	CHECK(is(sdp_fmtp_get(codecs[0].fmtp, STR("useinbandfec")), "1"));
	CHECK(is(codecs[1].name, "red") && is(codecs[1].fmtp, "111/111"));
	CHECK_EQ(codecs[3].pt, 0);
	CHECK_EQ(sdp_exts(&media[1], exts), 4);
	CHECK_EQ(exts[0].id, 14);
	CHECK(is(exts[0].uri, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"));
	CHECK_EQ(sdp_sources(&media[1], sources), 1);
	CHECK_EQ(sources[0].ssrc, 3570614608);
	CHECK(is(sources[0].stream, "be5b0e7b-44a6-4d9b-9a6d-2a5d8f4dcf4e"));
}

static void chromium_simulcast(void)
{
	struct sdp_codec codecs[SDP_MAX_CODECS];
	struct sdp_source sources[SDP_MAX_SSRCS];
	struct sdp_rid rids[SDP_MAX_RIDS];

	CHECK_EQ(parse("chromium-simulcast"), 0);
	CHECK_EQ(desc.n_media, 3);
	CHECK(media[2].simulcast_send);
	CHECK_EQ(sdp_rids(&media[2], rids), 2);
	CHECK(is(rids[0].id, "l") && rids[0].send && rids[0].listed && !rids[0].paused);
	CHECK(is(rids[1].id, "h") && rids[1].send && rids[1].listed);
	CHECK_EQ(sdp_sources(&media[2], sources), 0);
	CHECK_EQ(sdp_codecs(&media[2], codecs), 9);
	CHECK_EQ(codecs[0].fb, SDP_FB_REMB | SDP_FB_TWCC | SDP_FB_FIR | SDP_FB_NACK | SDP_FB_PLI);
	CHECK(is(codecs[1].name, "rtx") && is(sdp_fmtp_get(codecs[1].fmtp, STR("APT")), "96"));
	CHECK(is(sdp_fmtp_get(codecs[4].fmtp, STR("profile")), "0"));
	CHECK_EQ(sdp_fmtp_get(codecs[4].fmtp, STR("pro")).len, 0);
}

static void screen_with_rtx_and_av1_twin(void)
{
	struct sdp_source sources[SDP_MAX_SSRCS];

	CHECK_EQ(parse("chromium-screen"), 0);
	CHECK_EQ(sdp_sources(&media[1], sources), 2);
	CHECK_EQ(sources[0].rtx, 2222222222);
	CHECK(!sources[0].is_rtx && sources[1].is_rtx);
	CHECK_EQ(parse("chromium-av1-twin"), 0);
	CHECK_EQ(desc.n_media, 3);
	CHECK_EQ(sdp_sources(&media[2], sources), 1);
	CHECK_EQ(sources[0].ssrc, 3333333333);
}

static void firefox_session_level(void)
{
	struct sdp_codec codecs[SDP_MAX_CODECS];
	struct sdp_ext exts[SDP_MAX_EXTS];

	CHECK_EQ(parse("firefox-mic"), 0);
	CHECK_EQ(media[0].fingerprint.len, 32);
	CHECK_EQ(media[1].fingerprint.hash[0], 0x12);
	CHECK_EQ(media[0].dir, SDP_SENDRECV);
	CHECK_EQ(sdp_codecs(&media[1], codecs), 5);
	CHECK_EQ(codecs[0].pt, 109);
	CHECK_EQ(sdp_exts(&media[1], exts), 3);
	CHECK_EQ(exts[1].dir, SDP_RECVONLY);
	CHECK(is(media[1].msid_stream, "{5a3f5b6e-6b1f-4cf1-b0a3-71f6a6e5a5a1}"));
}

static void pion_offers(void)
{
	struct sdp_source sources[SDP_MAX_SSRCS];

	CHECK_EQ(parse("pion-dc"), 0);
	CHECK_EQ(media[0].max_message_size, 1073741823);
	CHECK_EQ(parse("pion-mic"), 0);
	CHECK_EQ(media[0].n_candidates, 3);
	CHECK_EQ(sdp_sources(&media[1], sources), 1);
	CHECK(is(media[1].msid_stream, "audio-bot") && is(media[1].msid_track, "audio-track"));
}

static void line_ends_and_rejection(void)
{
	CHECK_EQ(parse("odd-lf-only"), 0);
	CHECK(is(media[1].mid, "1") && is(media[0].pwd, "P2uYro0UCOQ4zxjKXaWCBui1"));
	CHECK_EQ(parse("odd-rejected-and-bundle-only"), 0);
	CHECK(!media[1].rejected && media[2].rejected && !media[2].bundled);
}

static void refused(void)
{
	static const struct {
		const char *name, *reason;
	} table[] = {
		{"bad-simulcast-empty-alternative", "malformed simulcast"},
		{"bad-simulcast-no-list", "malformed simulcast"},
		{"bad-simulcast-double", "malformed simulcast"},
		{"bad-rid-no-direction", "malformed rid"},
		{"bad-rid-empty", "malformed rid"},
		{"bad-rid-twice", "the same rid twice in a section"},
		{"bad-mid-twice", "two sections with the same mid"},
		{"bad-fingerprint", "malformed fingerprint"},
		{"bad-version", "does not begin with v=0"},
		{"bad-nul", "control character"},
		{"bad-mline", "malformed m-line"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		CHECK_EQ(parse(table[i].name), -EBADMSG);
		CHECK_STR(err.reason, table[i].reason);
	}
}

static void older_forms(void)
{
	CHECK_EQ(parse("two-bundles"), 0);
	CHECK(desc.has_bundle && media[0].bundled);
	CHECK_EQ(parse("draft-simulcast"), 0);
	CHECK(media[desc.n_media - 1].simulcast_send);
	CHECK_EQ(parse_text(STR(
			 "v=0\r\nm=application 9 DTLS/SCTP 5001\r\na=sctpmap:5001 webrtc-datachannel 256\r\n"
			 "m=application 9 dtls/sctp 5001\r\na=sctpmap:5002 webrtc-datachannel 256\r\n"
			 "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\n"
			 "m=audio 9 TCP/DTLS/RTP/SAVPF 0\r\nm=text 9 TCP/MRCPv2 x\r\n")),
		 0);
	CHECK(media[0].sctpmap && media[0].sctp_port == 5001 && media[0].proto_known == SDP_DTLS_SCTP);
	CHECK(!media[1].sctpmap && media[1].sctp_port == 0 && media[1].proto_known == SDP_DTLS_SCTP);
	CHECK(!media[2].sctpmap && media[2].sctp_port == 5000 && media[2].proto_known == SDP_UDP_DTLS_SCTP);
	CHECK_EQ(media[3].proto_known, SDP_TCP_DTLS_RTP_SAVPF);
	CHECK(media[4].kind == SDP_OTHER && media[4].proto_known == SDP_PROTO_OTHER);
}

// Every form of a one-line attribute that must not pass.
static void single_lines(void)
{
	static const char *const bad[] = {
		"a=simulcast:send ;",
		"a=simulcast:send l;;h",
		"a=simulcast:send ,",
		"a=simulcast:send l,",
		"a=simulcast:",
		"a=simulcast:send ~",
		"a=simulcast:sned l",
		"a=simulcast:send l recv",
		"a=simulcast: send rid=",
		"a=simulcast: send rid=l;pt=96",
		"a=rid:",
		"a=rid: ",
		"a=rid:l",
		"a=rid:l both",
		"a=rid:a=b send",
		"a=rid:12345678901234567 send",
		"a=rtpmap:128 opus/48000",
		"a=rtpmap:96",
		"a=rtpmap:96 VP8",
		"a=rtpmap:96 /90000",
		"a=rtpmap:96 VP8/0",
		"a=rtpmap:96 VP8/90000/0",
		"a=fmtp:x y",
		"a=rtcp-fb:200 nack",
		"a=rtcp-fb:96",
		"a=extmap:0 u",
		"a=extmap:256 u",
		"a=extmap:1",
		"a=extmap:1/x u",
		"a=ssrc:0 cname:x",
		"a=ssrc:4294967296 cname:x",
		"a=ssrc:1",
		"a=ssrc-group:FID",
		"a=ssrc-group:FID 1 x",
		"a=msid:",
		"a=mid:",
		"a=mid:a b",
		"a=ice-ufrag:abc",
		"a=ice-ufrag:ab:cd",
		"a=ice-pwd:short",
		"a=fingerprint:sha-256",
		"a=fingerprint:sha-256 00",
		"a=setup:maybe",
		"a=sctp-port:0",
		"a=sctp-port:65536",
		"a=sctpmap:0 webrtc-datachannel 256",
		"a=sctpmap:",
		"a=group:BUNDLE 0",
		"a=max-message-size:-1",
		"a=:x",
		"a",
		"",
		"=",
		"A=x",
	};
	char text[256];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int n = snprintf(text, sizeof(text), "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n%s\r\na=x\r\n",
				 bad[i]);
		int rc = parse_text((struct str){text, (size_t)n});
		if (rc != -EBADMSG)
			check_note(__FILE__, __LINE__, "\"%s\" gave %d", bad[i], rc);
		CHECK_EQ(rc, -EBADMSG);
		CHECK_EQ(err.line, 3);
	}
}

static char *big;
static size_t big_len;

static void big_add(const char *text)
{
	memcpy(big + big_len, text, strlen(text));
	big_len += strlen(text);
}

static void limits(void)
{
	struct sdp_media *many = calloc(300, sizeof(*many));
	char line[64];
	ns_t began;

	big = malloc(2 * SDP_MAX_TEXT);
	CHECK_OR_RETURN(many && big);

	// 200 m-lines: fine for who brings the room, refused by name for who does not.
	big_len = 0;
	big_add("v=0\r\na=group:BUNDLE");
	for (unsigned i = 0; i < 200; i++) {
		snprintf(line, sizeof(line), " %u", i);
		big_add(line);
	}
	big_add("\r\n");
	for (unsigned i = 0; i < 200; i++) {
		snprintf(line, sizeof(line), "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:%u\r\n", i);
		big_add(line);
	}
	CHECK_EQ(sdp_parse((struct str){big, big_len}, &desc, many, 300, &err), 0);
	CHECK_EQ(desc.n_media, 200);
	CHECK(many[199].bundled);
	CHECK_EQ(parse_text((struct str){big, big_len}), -E2BIG);
	CHECK_STR(err.reason, "too many m-lines");

	// A text of exactly 128 KiB in bounded time; one byte more is refused unread.
	big_len = 0;
	big_add("v=0\r\n");
	for (unsigned i = 0; i < 70; i++) {
		snprintf(line, sizeof(line), "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:%u\r\n", i);
		big_add(line);
		for (unsigned k = 0; k < 100; k++)
			big_add("a=candidate:1 1 u\r\n");
	}
	while (big_len < SDP_MAX_TEXT)
		big_add(SDP_MAX_TEXT - big_len > 10 ? "a=a:b\r\n" : "\n");
	began = clock_now();
	(void)sdp_parse((struct str){big, SDP_MAX_TEXT}, &desc, many, 300, &err);
	CHECK(clock_now() - began < 500 * NS_PER_MS);
	CHECK_EQ(sdp_parse((struct str){big, SDP_MAX_TEXT + 1}, &desc, many, 300, &err), -E2BIG);
	CHECK_STR(err.reason, "description is longer than 128 KiB");

	// The protocol of an m-line.
	for (unsigned n = SDP_MAX_PROTO; n <= SDP_MAX_PROTO + 1; n++) {
		big_len = 0;
		big_add("v=0\r\nm=audio 0 ");
		memset(big + big_len, 'P', n);
		big_len += n;
		big_add(" 0\r\n");
		CHECK_EQ(parse_text((struct str){big, big_len}), n > SDP_MAX_PROTO ? -E2BIG : 0);
	}
	CHECK_STR(err.reason, "protocol of an m-line is longer than 64 bytes");
	CHECK_EQ(parse_text(STR("v=0\r\nm=audio 0 UDP/ 0\r\n")), -EBADMSG);
	CHECK_EQ(parse_text(STR("v=0\r\nm=audio 0 U\"P 0\r\n")), -EBADMSG);

	// One line, and one section, that never end.
	big_len = 0;
	big_add("v=0\r\na=");
	memset(big + big_len, 'x', SDP_MAX_LINE + 1);
	CHECK_EQ(parse_text((struct str){big, big_len + SDP_MAX_LINE + 1}), -E2BIG);
	CHECK_STR(err.reason, "line is too long");
	big_len = 0;
	big_add("v=0\r\n");
	for (unsigned i = 0; i <= SDP_MAX_LINES; i++)
		big_add("a=x\r\n");
	CHECK_EQ(parse_text((struct str){big, big_len}), -E2BIG);
	CHECK_STR(err.reason, "too many lines in a section");
	free(big);
	free(many);
}

static void candidates(void)
{
	struct sdp_candidate c;
	char buf[256];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	CHECK_EQ(sdp_candidate_init(&c, STR("192.168.1.10"), 8443, false, 0), 0);
	sdp_candidate_write(&w, &c, STR("abcd"));
	CHECK(str_eq((struct str){buf, wbuf_len(&w)},
		     STR("candidate:2631669666 1 udp 2130706431 192.168.1.10 8443 typ host ufrag abcd")));
	w = wbuf_of(buf, sizeof(buf));
	CHECK_EQ(sdp_candidate_init(&c, STR("192.168.1.10"), 8443, true, 0), 0);
	sdp_candidate_write(&w, &c, STR_NONE);
	CHECK(str_eq((struct str){buf, wbuf_len(&w)},
		     STR("candidate:556754498 1 tcp 1671430143 192.168.1.10 8443 typ host tcptype passive")));
	w = wbuf_of(buf, sizeof(buf));
	CHECK_EQ(sdp_candidate_init(&c, STR("2001:db8::1"), 8443, false, 1), 0);
	sdp_candidate_write(&w, &c, STR_NONE);
	CHECK(memmem(buf, wbuf_len(&w), " 1 udp 2130706175 2001:db8::1 8443 typ host", 43) != NULL);
	CHECK_EQ(sdp_candidate_init(&c, STR(""), 1, false, 0), -EINVAL);
	CHECK_EQ(sdp_candidate_init(&c, STR("fe80::1%eth0"), 1, false, 0), -EINVAL);
	CHECK_EQ(sdp_candidate_init(&c, STR("1.2.3.4\r\na=x"), 1, false, 0), -EINVAL);
}

// The audio section of a server offer as negotiate.c writes it.
static size_t write_voice(char *buf, size_t size)
{
	static const struct sdp_codec_out opus = {"opus",     "minptime=10;useinbandfec=1", 48000, 111, 2,
						  SDP_FB_TWCC};
	static const struct sdp_ext_out exts[] = {
		{"urn:ietf:params:rtp-hdrext:ssrc-audio-level", 1},
		{"urn:ietf:params:rtp-hdrext:sdes:mid", 2},
		{"http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", 5}};
	struct wbuf w = wbuf_of(buf, size);

	sdp_write_media(
		&w, &(struct sdp_media_out){.kind = SDP_AUDIO,
					    .dir = SDP_SENDONLY,
					    .setup = SDP_ACTPASS,
					    .mid = STR("64"),
					    .ufrag = STR("abcdefghijklmnop"),
					    .pwd = STR("abcdefghijklmnopabcdefghijklmnop"),
					    .codecs = &opus,
					    .n_codecs = 1,
					    .exts = exts,
					    .n_exts = 3,
					    .msid_stream = STR("abcdefghijklmnopqrstuvwxyz"),
					    .msid_track = STR("voice_abcdefghijklmnopqrstuvwxyz_12345678"),
					    .cname = STR("abcdefghijklmnopqrstuvwxyz"),
					    .ssrc = 4294967295});
	CHECK(!w.full);
	return wbuf_len(&w);
}

static void thrifty(void)
{
	char buf[1024];
	size_t len = write_voice(buf, sizeof(buf) - 1);
	const char *msid, *ssrc;

	buf[len] = '\0';
	CHECK(len <= 660);
	msid = strstr(buf, "a=msid:");
	ssrc = strstr(buf, "a=ssrc:");
	CHECK(msid && ssrc && msid < ssrc);
	CHECK(strstr(buf, "a=rtcp-mux\r\n") && strstr(buf, "a=rtcp-rsize\r\n") &&
	      strstr(buf, "a=sendonly\r\n"));
}

static void written_is_parsed(void)
{
	static const struct sdp_codec_out vp8[] = {{"VP8", NULL, 90000, 96, 1, SDP_FB_NACK | SDP_FB_PLI},
						   {"rtx", "apt=96", 90000, 97, 1, 0}};
	static const struct sdp_rid_out rids[] = {{STR("l"), false, true, false},
						  {STR("h"), false, true, true}};
	static const struct str mids[] = {STR("0"), STR("v")};
	struct sdp_fingerprint fp = {.len = 32, .hash = {0xab, 0xcd}};
	struct sdp_candidate cand[2];
	struct sdp_source sources[SDP_MAX_SSRCS];
	struct sdp_rid got[SDP_MAX_RIDS];
	char buf[4096];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	CHECK_EQ(sdp_candidate_init(&cand[0], STR("10.0.0.1"), 8443, false, 0), 0);
	CHECK_EQ(sdp_candidate_init(&cand[1], STR("fd00::1"), 8443, false, 1), 0);
	sdp_write_session(&w, &(struct sdp_session_out){.origin_id = INT64_MAX,
							.origin_version = 7,
							.fingerprint = &fp,
							.bundle = mids,
							.n_bundle = 2,
							.ice_lite = true});
	sdp_write_media(&w, &(struct sdp_media_out){.kind = SDP_DATA,
						    .dir = SDP_SENDRECV,
						    .setup = SDP_PASSIVE,
						    .mid = mids[0],
						    .ufrag = STR("abcd"),
						    .sctp_port = 5000,
						    .max_message_size = 262144,
						    .candidates = cand,
						    .n_candidates = 2});
	sdp_write_media(&w, &(struct sdp_media_out){.kind = SDP_VIDEO,
						    .dir = SDP_SENDRECV,
						    .setup = SDP_PASSIVE,
						    .mid = mids[1],
						    .codecs = vp8,
						    .n_codecs = 2,
						    .rids = rids,
						    .n_rids = 2,
						    .ssrc = 1,
						    .rtx_ssrc = 2,
						    .cname = STR("c")});
	sdp_write_media(&w, &(struct sdp_media_out){.kind = SDP_OTHER,
						    .rejected = true,
						    .mid = STR("x"),
						    .name = STR("text"),
						    .proto = STR("RTP/AVP"),
						    .formats = STR("98")});
	CHECK(!w.full);
	CHECK_EQ(parse_text((struct str){buf, wbuf_len(&w)}), 0);
	CHECK_EQ(desc.n_media, 3);
	CHECK(desc.ice_lite);
	CHECK_EQ(desc.origin_id, INT64_MAX);
	CHECK_EQ(media[0].n_candidates, 2);
	CHECK_EQ(media[0].setup, SDP_PASSIVE);
	CHECK_MEM(media[1].fingerprint.hash, fp.hash, 32);
	CHECK_EQ(sdp_sources(&media[1], sources), 2);
	CHECK_EQ(sources[0].rtx, 2);
	CHECK_EQ(sdp_rids(&media[1], got), 2);
	CHECK(got[0].listed && !got[0].send && got[1].paused);
	CHECK(media[2].rejected && !media[2].bundled);
}

static void no_room(void)
{
	char buf[600];

	for (size_t size = 0; size < 500; size++) {
		struct wbuf w = wbuf_of(buf, size);
		sdp_write_session(&w, &(struct sdp_session_out){.origin_id = 1});
		sdp_write_media(&w, &(struct sdp_media_out){.kind = SDP_DATA,
							    .mid = STR("0"),
							    .setup = SDP_ACTPASS,
							    .ufrag = STR("abcdefghijklmnop")});
		CHECK(wbuf_len(&w) <= size);
		CHECK(w.full || memcmp(w.p - 2, "\r\n", 2) == 0);
	}
}

CU_TestInfo sdp_tests[] = {
	{"Chromium's first offer carries only the data channel", chromium_first_offer},
	{"Chromium's microphone line lists Opus, its extensions and one SSRC", chromium_mic_line},
	{"a simulcast offer has rids and no SSRC", chromium_simulcast},
	{"a screen has an RTX pair, its AV1 twin has none", screen_with_rtx_and_av1_twin},
	{"Firefox keeps the fingerprint at session level and it counts for each section",
	 firefox_session_level},
	{"Pion's offers are understood", pion_offers},
	{"bare line feeds are taken; bundle-only is not a rejection", line_ends_and_rejection},
	{"D20: malformed simulcast, rid, mid and bundle forms are refused with a reason", refused},
	{"forms of drafts and of JSEP's list of protocols are understood", older_forms},
	{"D20: each malformed attribute is refused at its line", single_lines},
	{"D17: 200 m-lines, 128 KiB, endless lines: bounded and refused by name", limits},
	{"candidates are written as rtcd writes them, IPv6 too", candidates},
	{"a voice line takes at most 660 bytes, msid before ssrc", thrifty},
	{"what is written is parsed to the same", written_is_parsed},
	{"a full buffer is noticed and not overrun", no_room},
	CU_TEST_INFO_NULL,
};
