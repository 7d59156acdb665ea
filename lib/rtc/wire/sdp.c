// The parser: one walk over the lines. Attributes are dispatched by name through a table; an attribute that
// a list function reads again later (rtpmap, extmap, ssrc, rid, ...) goes through the same value parser of
// sdp_attr.c, so what sdp_parse has let pass cannot fail there.
//
// Costs that are not linear: the mids of n sections are compared pairwise and with the BUNDLE list, at most
// max_media^2 and max_media * 2048 short comparisons.
#include "lib/rtc/wire/sdp_attr.h"

#include <errno.h>

// What is being parsed.
struct parser {
	struct sdp *out;
	struct sdp_media *media; // the section being read; session defaults before the first
	struct sdp_media session;
	struct sdp_error *err;
	struct str bundle;
	unsigned max_media;
	unsigned line;                     // number of the current line, from 1
	unsigned n_lines, n_exts, n_ssrcs; // of the current section
	uint32_t ssrcs[SDP_MAX_SSRCS];
	bool bundle_only;
};

static int refuse(struct parser *p, int err, const char *reason)
{
	*p->err = (struct sdp_error){reason, p->line};
	return err;
}

// --- attributes as met ---------------------------------------------------------------------------

static int on_mid(struct parser *p, struct str v)
{
	if (p->media == &p->session || p->media->mid.len > 0)
		return refuse(p, -EBADMSG, "mid twice or outside a section");
	if (!sdp_is_token(v))
		return refuse(p, -EBADMSG, "mid is not a token");
	if (v.len > SDP_MAX_MID)
		return refuse(p, -E2BIG, "mid is longer than 64 bytes");
	p->media->mid = v;
	return 0;
}

static int on_group(struct parser *p, struct str v)
{
	if (!str_eq(sdp_word(&v), STR("BUNDLE")))
		return 0;
	if (p->media != &p->session)
		return refuse(p, -EBADMSG, "a BUNDLE group in a section");
	if (p->out->has_bundle) // others are transports of their own
		return 0;
	p->out->has_bundle = true;
	p->bundle = v;
	return 0;
}

static int on_rtpmap(struct parser *p, struct str v)
{
	return sdp_rtpmap_parse(v, &(struct sdp_codec){}) ? 0 : refuse(p, -EBADMSG, "malformed rtpmap");
}

static int on_fmtp(struct parser *p, struct str v)
{
	// Data sections of the past wrote "fmtp:webrtc-datachannel ..."; only RTP formats are numbers.
	if (p->media->kind != SDP_AUDIO && p->media->kind != SDP_VIDEO)
		return 0;
	return sdp_fmtp_parse(v, &(uint8_t){0}, &(struct str){}) ? 0 : refuse(p, -EBADMSG, "malformed fmtp");
}

static int on_rtcpfb(struct parser *p, struct str v)
{
	bool ok = sdp_rtcpfb_parse(v, &(uint8_t){0}, &(bool){false}, &(uint8_t){0});
	return ok ? 0 : refuse(p, -EBADMSG, "malformed rtcp-fb");
}

static int on_extmap(struct parser *p, struct str v)
{
	if (!sdp_extmap_parse(v, &(struct sdp_ext){}, &(bool){false}))
		return refuse(p, -EBADMSG, "malformed extmap");
	return ++p->n_exts > SDP_MAX_EXTS ? refuse(p, -E2BIG, "too many header extensions") : 0;
}

static int ssrc_note(struct parser *p, uint32_t ssrc)
{
	for (unsigned i = 0; i < p->n_ssrcs; i++)
		if (p->ssrcs[i] == ssrc)
			return 0;
	if (p->n_ssrcs == SDP_MAX_SSRCS)
		return refuse(p, -E2BIG, "too many SSRCs in a section");
	p->ssrcs[p->n_ssrcs++] = ssrc;
	return 0;
}

static int on_ssrc(struct parser *p, struct str v)
{
	struct sdp_source s;

	if (!sdp_ssrc_parse(v, &s))
		return refuse(p, -EBADMSG, "malformed ssrc");
	return ssrc_note(p, s.ssrc);
}

static int on_ssrc_group(struct parser *p, struct str v)
{
	uint32_t member[SDP_MAX_SSRCS];
	struct str semantics;
	int n = sdp_group_parse(v, &semantics, member, SDP_MAX_SSRCS), err = 0;

	if (n < 0)
		return refuse(p, -EBADMSG, "malformed ssrc-group");
	for (int i = 0; i < n && err == 0; i++)
		err = ssrc_note(p, member[i]);
	return err;
}

static int on_msid(struct parser *p, struct str v)
{
	struct str stream = sdp_word(&v);

	if (stream.len == 0)
		return refuse(p, -EBADMSG, "empty msid");
	if (p->media->msid_stream.len == 0) {
		p->media->msid_stream = stream;
		p->media->msid_track = sdp_word(&v);
	}
	return 0;
}

static int on_rid(struct parser *p, struct str v)
{
	struct sdp_rid r;

	if (!sdp_rid_parse(v, &r))
		return refuse(p, -EBADMSG, "malformed rid");
	if (p->media->n_rids < UINT8_MAX) // above SDP_MAX_RIDS the section is the caller's to refuse
		p->media->n_rids++;
	return 0;
}

static int on_simulcast(struct parser *p, struct str v)
{
	return sdp_simulcast_parse(v, NULL, 0) ? 0 : refuse(p, -EBADMSG, "malformed simulcast");
}

static int on_ufrag(struct parser *p, struct str v)
{
	if (v.len < 4 || !sdp_is_ice(v))
		return refuse(p, -EBADMSG, "malformed ice-ufrag");
	if (v.len > SDP_MAX_UFRAG)
		return refuse(p, -E2BIG, "ice-ufrag is longer than 256 bytes");
	p->media->ufrag = v;
	return 0;
}

static int on_pwd(struct parser *p, struct str v)
{
	if (v.len < 22 || v.len > SDP_MAX_PWD || !sdp_is_ice(v))
		return refuse(p, -EBADMSG, "malformed ice-pwd");
	p->media->pwd = v;
	return 0;
}

static int on_fingerprint(struct parser *p, struct str v)
{
	struct sdp_fingerprint f = {};

	if (!sdp_fingerprint_parse(v, &f))
		return refuse(p, -EBADMSG, "malformed fingerprint");
	// A section's own fingerprint goes before the session's; among several of one level SHA-256 wins.
	if (f.len == 32 || (f.len > 0 && p->media->fingerprint.len == 0))
		p->media->fingerprint = f;
	return 0;
}

static int on_setup(struct parser *p, struct str v)
{
	static const char *const names[] = {[SDP_ACTPASS] = "actpass",
					    [SDP_ACTIVE] = "active",
					    [SDP_PASSIVE] = "passive",
					    [SDP_HOLDCONN] = "holdconn"};

	for (unsigned i = SDP_ACTPASS; i <= SDP_HOLDCONN; i++) {
		if (str_eq(v, str_of(names[i]))) {
			p->media->setup = (uint8_t)i;
			return 0;
		}
	}
	return refuse(p, -EBADMSG, "malformed setup");
}

static int on_candidate(struct parser *p, struct str v)
{
	p->media->n_candidates += p->media->n_candidates < UINT16_MAX;
	return 0;
}

static int on_sctp_port(struct parser *p, struct str v)
{
	uint64_t port;

	if (!str_u64(v, UINT16_MAX, &port) || port == 0)
		return refuse(p, -EBADMSG, "malformed sctp-port");
	p->media->sctp_port = (uint16_t)port;
	return 0;
}

// "5000 webrtc-datachannel 256", for the port on the m-line (draft-ietf-mmusic-sctp-sdp before version 8).
static int on_sctpmap(struct parser *p, struct str v)
{
	uint64_t port, of_mline;

	if (!sdp_word_u64(&v, UINT16_MAX, &port) || port == 0)
		return refuse(p, -EBADMSG, "malformed sctpmap");
	if (p->media->kind != SDP_DATA || !str_eq(sdp_word(&v), STR("webrtc-datachannel")))
		return 0;
	if (!str_u64(p->media->formats, UINT16_MAX, &of_mline) || of_mline != port)
		return 0;
	p->media->sctpmap = true;
	p->media->sctp_port = (uint16_t)port;
	return 0;
}

static int on_max_message_size(struct parser *p, struct str v)
{
	uint64_t n;

	if (!str_u64(v, UINT64_MAX, &n))
		return refuse(p, -EBADMSG, "malformed max-message-size");
	p->media->max_message_size = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
	return 0;
}

static int on_flag(struct parser *p, struct str name)
{
	enum sdp_dir dir;

	if (sdp_dir_parse(name, &dir))
		p->media->dir = (uint8_t)dir;
	else if (str_eq(name, STR("rtcp-mux")))
		p->media->rtcp_mux = true;
	else if (str_eq(name, STR("rtcp-rsize")))
		p->media->rtcp_rsize = true;
	else if (str_eq(name, STR("bundle-only")))
		p->bundle_only = true;
	else if (str_eq(name, STR("ice-lite")))
		p->out->ice_lite = true;
	else if (str_eq(name, STR("extmap-allow-mixed")) && p->media == &p->session)
		p->out->extmap_mixed = true;
	return 0;
}

static const struct {
	struct str name;
	int (*on)(struct parser *, struct str value);
} attributes[] = {
	{{"ssrc", 4}, on_ssrc},
	{{"rtpmap", 6}, on_rtpmap},
	{{"rtcp-fb", 7}, on_rtcpfb},
	{{"fmtp", 4}, on_fmtp},
	{{"extmap", 6}, on_extmap},
	{{"candidate", 9}, on_candidate},
	{{"mid", 3}, on_mid},
	{{"msid", 4}, on_msid},
	{{"ssrc-group", 10}, on_ssrc_group},
	{{"group", 5}, on_group},
	{{"rid", 3}, on_rid},
	{{"simulcast", 9}, on_simulcast},
	{{"ice-ufrag", 9}, on_ufrag},
	{{"ice-pwd", 7}, on_pwd},
	{{"fingerprint", 11}, on_fingerprint},
	{{"setup", 5}, on_setup},
	{{"sctp-port", 9}, on_sctp_port},
	{{"sctpmap", 7}, on_sctpmap},
	{{"max-message-size", 16}, on_max_message_size},
};

static int on_attribute(struct parser *p, struct str v)
{
	bool has_value = v.len > 0 && memchr(v.p, ':', v.len) != NULL;
	struct str name = str_cut(&v, ':');

	if (name.len == 0)
		return refuse(p, -EBADMSG, "attribute without a name");
	if (!has_value)
		return on_flag(p, name);
	for (unsigned i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
		if (str_eq(attributes[i].name, name))
			return attributes[i].on(p, v);
	return 0;
}

// --- lines ---------------------------------------------------------------------------------------

// Payload types of an RTP section.
static int check_formats(struct parser *p, struct str formats)
{
	unsigned n = 0;
	uint64_t pt;

	for (struct str w; (w = sdp_word(&formats)).len > 0; n++) {
		if (!str_u64(w, 127, &pt))
			return refuse(p, -EBADMSG, "malformed payload type on an m-line");
		if (n == SDP_MAX_CODECS)
			return refuse(p, -E2BIG, "too many payload types on an m-line");
	}
	return 0;
}

// What can only be judged once the section has been read whole.
static int section_end(struct parser *p)
{
	struct sdp_media *m = p->media;
	struct sdp_rid rids[SDP_MAX_RIDS];
	unsigned n;

	if (m == &p->session)
		return 0;
	m->rejected = m->rejected && !p->bundle_only;
	if (m->n_rids == 0)
		return 0;
	n = sdp_rids(m, rids);
	for (unsigned i = 0; i < n; i++) {
		m->simulcast_send |= rids[i].send && rids[i].listed;
		for (unsigned k = 0; k < i; k++)
			if (str_eq(rids[i].id, rids[k].id))
				return refuse(p, -EBADMSG, "the same rid twice in a section");
	}
	return 0;
}

// RFC 8866: tokens between slashes. Answers repeat it, so its length is bounded.
static int check_proto(struct parser *p, struct str proto)
{
	if (proto.len > SDP_MAX_PROTO)
		return refuse(p, -E2BIG, "protocol of an m-line is longer than 64 bytes");
	for (bool more = true; more;) {
		more = proto.len > 0 && memchr(proto.p, '/', proto.len) != NULL;
		if (!sdp_is_token(str_cut(&proto, '/')))
			return refuse(p, -EBADMSG, "malformed protocol of an m-line");
	}
	return 0;
}

static uint8_t proto_of(struct str proto)
{
	for (unsigned i = SDP_PROTO_OTHER + 1; i < SDP_N_PROTOS; i++)
		if (str_ieq(proto, sdp_proto_name((enum sdp_proto)i)))
			return (uint8_t)i;
	return SDP_PROTO_OTHER;
}

static int section_begin(struct parser *p, struct str v)
{
	struct str name = sdp_word(&v), port = sdp_word(&v), proto = sdp_word(&v);
	struct sdp_media *m;
	uint64_t n;
	int err;

	port = str_cut(&port, '/');
	if (name.len > SDP_MAX_NAME)
		return refuse(p, -E2BIG, "kind of media is longer than 16 bytes");
	if (!sdp_is_token(name) || !str_u64(port, UINT16_MAX, &n) || proto.len == 0 || str_trim(v).len == 0)
		return refuse(p, -EBADMSG, "malformed m-line");
	if ((err = check_proto(p, proto)) < 0)
		return err;
	if (p->out->n_media == p->max_media)
		return refuse(p, -E2BIG, "too many m-lines");
	m = &p->out->media[p->out->n_media++];
	*m = p->session;
	m->name = name;
	m->proto_known = proto_of(proto);
	m->proto = proto;
	m->formats = str_trim(v);
	m->rejected = n == 0;
	m->kind = str_eq(name, STR("audio"))         ? SDP_AUDIO
		  : str_eq(name, STR("video"))       ? SDP_VIDEO
		  : str_eq(name, STR("application")) ? SDP_DATA
						     : SDP_OTHER;
	m->max_message_size = 65536;
	p->media = m;
	p->n_lines = p->n_exts = p->n_ssrcs = 0;
	p->bundle_only = false;
	return m->kind == SDP_AUDIO || m->kind == SDP_VIDEO ? check_formats(p, v) : 0;
}

static int on_origin(struct parser *p, struct str v)
{
	sdp_word(&v);
	if (!sdp_word_u64(&v, UINT64_MAX, &p->out->origin_id))
		p->out->origin_id = 0;
	if (!sdp_word_u64(&v, UINT64_MAX, &p->out->origin_version))
		p->out->origin_version = 0;
	return 0;
}

static int on_line(struct parser *p, struct str line, struct str rest)
{
	struct str value;
	int err;

	if (line.len == 0 && rest.len == 0)
		return 0;
	if (line.len > SDP_MAX_LINE)
		return refuse(p, -E2BIG, "line is too long");
	if (line.len < 2 || line.p[0] < 'a' || line.p[0] > 'z' || line.p[1] != '=')
		return refuse(p, -EBADMSG, "not of the form x=value");
	if (p->line == 1 && !str_eq(line, STR("v=0")))
		return refuse(p, -EBADMSG, "does not begin with v=0");
	value = str_skip(line, 2);
	if (line.p[0] == 'm') {
		if ((err = section_end(p)) < 0 || (err = section_begin(p, value)) < 0)
			return err;
		p->media->body = rest; // cut to its length at the next m-line
		return 0;
	}
	if (++p->n_lines > SDP_MAX_LINES)
		return refuse(p, -E2BIG, "too many lines in a section");
	if (line.p[0] == 'o')
		return on_origin(p, value);
	return line.p[0] == 'a' ? on_attribute(p, value) : 0;
}

// Line ends and TAB are the only control characters of a description; a NUL would end it in other programs.
static int check_text(struct parser *p, struct str text)
{
	if (text.len > SDP_MAX_TEXT)
		return refuse(p, -E2BIG, "description is longer than 128 KiB");
	p->line = 1;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (c == '\n')
			p->line++;
		else if (c < ' ' && c != '\t' && !(c == '\r' && i + 1 < text.len && text.p[i + 1] == '\n'))
			return refuse(p, -EBADMSG, "control character");
	}
	p->line = 0;
	return 0;
}

// Which sections are in the BUNDLE group; that no mid is used twice.
static int check_mids(struct parser *p)
{
	struct sdp *s = p->out;

	p->line = 0;
	for (unsigned i = 0; i < s->n_media; i++) {
		struct str mid = s->media[i].mid, group = p->bundle;
		for (unsigned k = 0; k < i && mid.len > 0; k++)
			if (str_eq(mid, s->media[k].mid))
				return refuse(p, -EBADMSG, "two sections with the same mid");
		for (struct str w; mid.len > 0 && (w = sdp_word(&group)).len > 0;)
			if (str_eq(w, mid))
				s->media[i].bundled = true;
	}
	return 0;
}

int sdp_parse(struct str text, struct sdp *out, struct sdp_media *media, unsigned max_media,
	      struct sdp_error *err)
{
	struct parser p = {.out = out, .err = err, .max_media = max_media};
	struct str rest = text, line;
	int rc;

	*out = (struct sdp){.text = text, .media = media};
	*err = (struct sdp_error){.reason = ""};
	p.session = (struct sdp_media){.kind = SDP_OTHER, .dir = SDP_SENDRECV};
	p.media = &p.session;
	if ((rc = check_text(&p, text)) < 0)
		return rc;
	if (text.len == 0)
		return refuse(&p, -EBADMSG, "empty description");
	while (sdp_line_next(&rest, &line)) {
		p.line++;
		if (p.media != &p.session && line.len > 0 && line.p[0] == 'm')
			p.media->body.len = (size_t)(line.p - p.media->body.p);
		if ((rc = on_line(&p, line, rest)) < 0)
			return rc;
	}
	if ((rc = section_end(&p)) < 0)
		return rc;
	return check_mids(&p);
}
