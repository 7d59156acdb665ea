#include "tools/sluicegun/desc.h"

#include "tests/unit/check.h"

#include <errno.h>

#define FP                                                                                              \
	"a=fingerprint:sha-256 "                                                                        \
	"00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:" \
	"1F\r\n"
#define HEAD "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n" FP "a=group:BUNDLE 0 1 2\r\n"
#define DATA                                                                             \
	"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 "                  \
	"0.0.0.0\r\na=mid:0\r\na=setup:passive\r\n"                                      \
	"a=ice-ufrag:uuuu\r\na=ice-pwd:pppppppppppppppppppppppp\r\na=sctp-port:5000\r\n" \
	"a=candidate:1 1 udp 1 192.0.2.1 8443 typ host\r\n"
#define VOICE                                                                                     \
	"m=audio 9 UDP/TLS/RTP/SAVPF 109\r\nc=IN IP4 "                                            \
	"0.0.0.0\r\na=mid:1\r\na=setup:actpass\r\na=rtcp-mux\r\n"                                 \
	"a=rtpmap:109 opus/48000/2\r\na=extmap:7 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" \
	"a=ssrc:1234 cname:x\r\na=sendonly\r\n"
#define VIDEO(codec)                                                                                   \
	"m=video 9 UDP/TLS/RTP/SAVPF 98 99\r\nc=IN IP4 "                                               \
	"0.0.0.0\r\na=mid:2\r\na=setup:actpass\r\na=rtcp-mux\r\n"                                      \
	"a=rtpmap:98 " codec "/90000\r\na=rtcp-fb:98 nack\r\na=rtcp-fb:98 nack pli\r\n"                \
	"a=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\na=ssrc-group:FID 55 56\r\na=ssrc:55 cname:x\r\n" \
	"a=ssrc:56 cname:x\r\na=sendonly\r\n"

static struct {
	unsigned n_candidates, n_sources;
	struct desc_source source[8];
} got;

static void on_candidate(void *arg, struct str line)
{
	got.n_candidates++;
}

static void on_source(void *arg, const struct desc_source *s)
{
	got.source[got.n_sources++ % 8] = *s;
}

static const struct desc_sink sink = {on_candidate, on_source, NULL};
static struct desc d;
static char text[DESC_MAX_TEXT];
static struct sdp sdp;
static struct sdp_media media[DESC_MAX_LINES];

static void begin(void)
{
	struct sdp_fingerprint fp = {.len = 32};

	got.n_candidates = got.n_sources = 0;
	desc_init(&d, "mine", "mypasswordof24characters", &fp);
	desc_add_data(&d);
}

static int read(const char *z, bool is_offer, struct desc_remote *r)
{
	return desc_read(&d, str_of(z), is_offer, r, &sink);
}

// Write and parse back: false when what we wrote is no description.
static bool written(bool is_offer)
{
	struct wbuf w = wbuf_of(text, sizeof(text));
	struct sdp_error err;

	(is_offer ? desc_write_offer : desc_write_answer)(&d, &w);
	if (w.full || sdp_parse((struct str){text, wbuf_len(&w)}, &sdp, media, DESC_MAX_LINES, &err) < 0) {
		check_note(__FILE__, __LINE__, "line %u: %s", w.full ? 0 : err.line,
			   w.full ? "full" : err.reason);
		return false;
	}
	return true;
}

static void test_first(void)
{
	struct desc_remote r;

	begin();
	CHECK_OR_RETURN(written(true));
	CHECK_EQ(sdp.n_media, 1);
	CHECK_EQ(media[0].kind, SDP_DATA);
	CHECK_EQ(media[0].setup, SDP_ACTPASS);
	CHECK(media[0].bundled);
	CHECK_EQ(read(HEAD DATA, false, &r), 0);
	CHECK_EQ(got.n_candidates, 1);
	CHECK_EQ(r.setup, SDP_PASSIVE);
	CHECK_EQ(r.fingerprint.len, 32);
	CHECK(str_eq(r.ufrag, STR("uuuu")));
}

static void test_server_offer(void)
{
	struct desc_remote r;
	struct sdp_codec codecs[SDP_MAX_CODECS];
	struct sdp_ext exts[SDP_MAX_EXTS];

	begin();
	d.setup = SDP_ACTIVE;
	CHECK_EQ(read(HEAD DATA VOICE VIDEO("VP8"), true, &r), 0);
	CHECK_EQ(got.n_sources, 2);
	CHECK_EQ(got.source[0].ssrc, 1234);
	CHECK_EQ(got.source[1].ssrc, 55);
	CHECK_EQ(got.source[1].rtx, 56);
	CHECK(got.source[1].has_nack);
	CHECK_OR_RETURN(written(false));
	CHECK_EQ(sdp.n_media, 3);
	CHECK_EQ(media[1].dir, SDP_RECVONLY);
	CHECK_EQ(media[2].setup, SDP_ACTIVE);
	CHECK_EQ(sdp_codecs(&media[1], codecs), 1);
	CHECK_EQ(codecs[0].pt, 109);
	CHECK_EQ(sdp_codecs(&media[2], codecs), 2);
	CHECK_EQ(codecs[0].pt, 98);
	CHECK_EQ(codecs[0].fb, SDP_FB_NACK | SDP_FB_PLI);
	CHECK(str_eq(sdp_fmtp_get(codecs[1].fmtp, STR("apt")), STR("98")));
	CHECK(sdp_exts(&media[1], exts) >= 1);
	CHECK_EQ(exts[0].id, 7); // the server's number
}

static void test_codec(void)
{
	struct desc_remote r;

	begin();
	CHECK_EQ(read(HEAD DATA VOICE VIDEO("AV1"), true, &r), 0);
	CHECK_EQ(got.n_sources, 1);
	CHECK_OR_RETURN(written(false));
	CHECK(media[2].rejected);
	CHECK(!media[1].rejected);
}

static void test_own_tracks(void)
{
	struct desc_remote r;
	struct sdp_source src[SDP_MAX_SSRCS];
	struct sdp_rid rids[SDP_MAX_RIDS];

	begin();
	CHECK_EQ(read(HEAD DATA VOICE, true, &r), 0);
	desc_add_track(&d, DESC_VOICE, 77);
	desc_add_track(&d, DESC_SIMULCAST, 0);
	CHECK_OR_RETURN(written(true));
	CHECK_EQ(sdp.n_media, 4);
	CHECK_EQ(media[1].dir, SDP_RECVONLY);
	CHECK_EQ(media[2].dir, SDP_SENDRECV);
	CHECK_EQ(media[3].dir, SDP_SENDONLY);
	CHECK_EQ(sdp_sources(&media[2], src), 1);
	CHECK_EQ(src[0].ssrc, 77);
	CHECK(media[3].simulcast_send);
	CHECK_EQ(sdp_rids(&media[3], rids), 2);
	CHECK_EQ(sdp_sources(&media[3], src), 0);
	desc_rollback(&d, 2);
	CHECK_OR_RETURN(written(true));
	CHECK_EQ(sdp.n_media, 2);
}

static void test_unfit(void)
{
	struct desc_remote r;

	begin();
	CHECK_EQ(read(HEAD VOICE, true, &r), -ENOTSUP); // where the data channel was
	begin();
	desc_add_track(&d, DESC_VOICE, 1);
	CHECK_EQ(read(HEAD DATA, false, &r), -ENOTSUP); // a line is missing
	begin();
	CHECK_EQ(read("hello", false, &r), -EBADMSG);
	CHECK_EQ(read("", false, &r), -EBADMSG);
}

CU_TestInfo desc_tests[] = {
	{"the first offer has the data channel alone, its answer is read", test_first},
	{"an offer of the server is answered with its own numbers", test_server_offer},
	{"a codec that we do not have is rejected, the rest is not", test_codec},
	{"own tracks follow what the server has offered", test_own_tracks},
	{"descriptions that do not fit are refused", test_unfit},
	CU_TEST_INFO_NULL,
};
