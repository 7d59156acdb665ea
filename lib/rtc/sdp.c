// The parser: one walk over the lines. Attributes are dispatched by name through a table; an attribute that
// a list function reads again later (rtpmap, extmap, ssrc, rid, ...) goes through the same value parser
// here, so what sdp_parse has let pass cannot fail there.
//
// Costs that are not linear: the mids of n sections are compared pairwise and with the BUNDLE list, at most
// max_media^2 and max_media * 2048 short comparisons.
#include "lib/rtc/sdp.h"

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

// --- characters and words ------------------------------------------------------------------------

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// RFC 8866 token: visible ASCII without separators.
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || s.p[i] == 127 || (unsigned char)s.p[i] > 127 ||
		    memchr("\"(),/:;<=>?@[\\]", s.p[i], 15) != NULL)
			return false;
	return s.len > 0;
}

// RFC 8839 ice-char*
static bool is_ice(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '+' && s.p[i] != '/')
			return false;
	return s.len > 0;
}

// RFC 8852: letters and digits; "-" and "_" are seen in the field.
static bool is_rid(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return s.len > 0 && s.len <= SDP_MAX_MID;
}

// The next word of *rest; words are separated by spaces. Empty at the end.
static struct str word(struct str *rest)
{
	while (rest->len > 0 && rest->p[0] == ' ')
		*rest = str_skip(*rest, 1);
	return str_cut(rest, ' ');
}

static bool word_u64(struct str *rest, uint64_t max, uint64_t *out)
{
	return str_u64(word(rest), max, out);
}

// One line without its end; false at the end of the text.
static bool line_next(struct str *rest, struct str *line)
{
	if (rest->len == 0)
		return false;
	*line = str_cut(rest, '\n');
	if (line->len > 0 && line->p[line->len - 1] == '\r')
		line->len--;
	return true;
}

// The next a= line of a section, split at the first colon.
static bool attr_next(struct str *rest, struct str *name, struct str *value)
{
	struct str line;

	while (line_next(rest, &line)) {
		if (!str_starts(line, STR("a=")))
			continue;
		*value = str_skip(line, 2);
		*name = str_cut(value, ':');
		return true;
	}
	return false;
}

// --- values of single attributes -----------------------------------------------------------------

// "111 opus/48000/2"
static bool rtpmap_parse(struct str v, struct sdp_codec *c)
{
	uint64_t pt, clock, channels = 1;
	struct str map, name, rate;

	if (!word_u64(&v, 127, &pt))
		return false;
	map = word(&v);
	name = str_cut(&map, '/');
	rate = str_cut(&map, '/');
	if (!is_token(name) || !str_u64(rate, UINT32_MAX, &clock) || clock == 0)
		return false;
	if (map.len > 0 && (!str_u64(map, 255, &channels) || channels == 0))
		return false;
	c->pt = (uint8_t)pt;
	c->name = name;
	c->clock_hz = (uint32_t)clock;
	c->channels = (uint8_t)channels;
	return true;
}

// "111 minptime=10;useinbandfec=1"
static bool fmtp_parse(struct str v, uint8_t *pt, struct str *params)
{
	uint64_t n;

	if (!word_u64(&v, 127, &n))
		return false;
	*pt = (uint8_t)n;
	*params = str_trim(v);
	return true;
}

// "111 nack pli", "* transport-cc". any: for all payload types. Unknown feedback gives no bit.
static bool rtcpfb_parse(struct str v, uint8_t *pt, bool *any, uint8_t *fb)
{
	struct str first = word(&v), type, param;
	uint64_t n = 0;

	*any = str_eq(first, STR("*"));
	if (!*any && !str_u64(first, 127, &n))
		return false;
	*pt = (uint8_t)n;
	type = word(&v);
	param = word(&v);
	*fb = 0;
	if (str_ieq(type, STR("nack")) && param.len == 0)
		*fb = SDP_FB_NACK;
	else if (str_ieq(type, STR("nack")) && str_ieq(param, STR("pli")))
		*fb = SDP_FB_PLI;
	else if (str_ieq(type, STR("ccm")) && str_ieq(param, STR("fir")))
		*fb = SDP_FB_FIR;
	else if (str_ieq(type, STR("transport-cc")))
		*fb = SDP_FB_TWCC;
	else if (str_ieq(type, STR("goog-remb")))
		*fb = SDP_FB_REMB;
	return type.len > 0;
}

static bool dir_parse(struct str s, enum sdp_dir *dir)
{
	for (enum sdp_dir d = SDP_INACTIVE; d <= SDP_SENDRECV; d++) {
		if (str_eq(s, str_of(sdp_dir_name(d)))) {
			*dir = d;
			return true;
		}
	}
	return false;
}

// "3/sendonly urn:... attributes". skip: an id from 4096 on, valid in an offer but never usable as it is.
static bool extmap_parse(struct str v, struct sdp_ext *e, bool *skip)
{
	struct str first = word(&v), number = str_cut(&first, '/');
	enum sdp_dir dir = SDP_SENDRECV;
	uint64_t id;

	if (!str_u64(number, 4351, &id) || id == 0 || (id > 255 && id < 4096))
		return false;
	if (first.len > 0 && !dir_parse(first, &dir))
		return false;
	e->uri = word(&v);
	e->id = (uint8_t)id;
	e->dir = (uint8_t)dir;
	*skip = id > 255;
	return e->uri.len > 0;
}

// "1234 cname:x", "1234 msid:stream track"
static bool ssrc_parse(struct str v, struct sdp_source *s)
{
	uint64_t ssrc;
	struct str name;

	*s = (struct sdp_source){};
	if (!word_u64(&v, UINT32_MAX, &ssrc) || ssrc == 0)
		return false;
	s->ssrc = (uint32_t)ssrc;
	name = str_cut(&v, ':');
	if (str_eq(name, STR("cname"))) {
		s->cname = v;
	} else if (str_eq(name, STR("msid"))) {
		s->stream = word(&v);
		s->track = word(&v);
	}
	return name.len > 0;
}

// "FID 1 2". Returns the number of members, at most max, or -1.
static int group_parse(struct str v, struct str *semantics, uint32_t *ssrc, int max)
{
	uint64_t n;
	int count = 0;

	*semantics = word(&v);
	if (semantics->len == 0)
		return -1;
	for (struct str w; (w = word(&v)).len > 0; count++) {
		if (count == max || !str_u64(w, UINT32_MAX, &n) || n == 0)
			return -1;
		ssrc[count] = (uint32_t)n;
	}
	return count > 0 ? count : -1;
}

// "l send pt=96"
static bool rid_parse(struct str v, struct sdp_rid *r)
{
	struct str dir;

	*r = (struct sdp_rid){.id = word(&v)};
	dir = word(&v);
	r->send = str_eq(dir, STR("send"));
	return is_rid(r->id) && (r->send || str_eq(dir, STR("recv")));
}

// One "l;h" or "1,~2;3" list. Marks the rids it names; those that no rid line declares are passed over
// (RFC 8853 section 5.3). False when an alternative is empty or no rid (D20).
static bool simulcast_list(struct str list, bool send, struct sdp_rid *rids, unsigned n)
{
	if (list.len == 0 || list.p[list.len - 1] == ';')
		return false;
	while (list.len > 0) {
		struct str stream = str_cut(&list, ';');
		if (stream.len == 0 || stream.p[stream.len - 1] == ',')
			return false;
		while (stream.len > 0) {
			struct str id = str_cut(&stream, ',');
			bool paused = id.len > 0 && id.p[0] == '~';
			if (paused)
				id = str_skip(id, 1);
			if (!is_rid(id))
				return false;
			for (unsigned i = 0; i < n; i++) {
				if (rids[i].send == send && str_eq(rids[i].id, id)) {
					rids[i].listed = true;
					rids[i].paused = paused;
				}
			}
		}
	}
	return true;
}

// "send l;h", "send l;h recv x"
static bool simulcast_parse(struct str v, struct sdp_rid *rids, unsigned n)
{
	bool seen[2] = {false, false};

	for (struct str dir; (dir = word(&v)).len > 0;) {
		bool send = str_eq(dir, STR("send"));
		if ((!send && !str_eq(dir, STR("recv"))) || seen[send])
			return false;
		seen[send] = true;
		if (!simulcast_list(word(&v), send, rids, n))
			return false;
	}
	return seen[0] || seen[1];
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// "sha-256 AB:CD:...". A hash we do not use leaves *f as it is.
static bool fingerprint_parse(struct str v, struct sdp_fingerprint *f)
{
	struct str alg = word(&v), hex = word(&v);
	unsigned len = str_ieq(alg, STR("sha-256")) ? 32 : str_ieq(alg, STR("sha-384")) ? 48 : 64;

	if (len == 64 && !str_ieq(alg, STR("sha-512")))
		return alg.len > 0;
	if (hex.len != len * 3 - 1)
		return false;
	for (unsigned i = 0; i < len; i++) {
		int hi = hex_digit(hex.p[i * 3]), lo = hex_digit(hex.p[i * 3 + 1]);
		if (hi < 0 || lo < 0 || (i + 1 < len && hex.p[i * 3 + 2] != ':'))
			return false;
		f->hash[i] = (uint8_t)(hi << 4 | lo);
	}
	f->len = (uint8_t)len;
	return true;
}

// --- attributes as met ---------------------------------------------------------------------------

static int on_mid(struct parser *p, struct str v)
{
	if (p->media == &p->session || p->media->mid.len > 0)
		return refuse(p, -EBADMSG, "mid twice or outside a section");
	if (!is_token(v))
		return refuse(p, -EBADMSG, "mid is not a token");
	if (v.len > SDP_MAX_MID)
		return refuse(p, -E2BIG, "mid is longer than 16 bytes");
	p->media->mid = v;
	return 0;
}

static int on_group(struct parser *p, struct str v)
{
	if (!str_eq(word(&v), STR("BUNDLE")))
		return 0;
	if (p->media != &p->session || p->out->has_bundle)
		return refuse(p, -EBADMSG, "more than one BUNDLE group");
	p->out->has_bundle = true;
	p->bundle = v;
	return 0;
}

static int on_rtpmap(struct parser *p, struct str v)
{
	return rtpmap_parse(v, &(struct sdp_codec){}) ? 0 : refuse(p, -EBADMSG, "malformed rtpmap");
}

static int on_fmtp(struct parser *p, struct str v)
{
	// Data sections of the past wrote "fmtp:webrtc-datachannel ..."; only RTP formats are numbers.
	if (p->media->kind != SDP_AUDIO && p->media->kind != SDP_VIDEO)
		return 0;
	return fmtp_parse(v, &(uint8_t){0}, &(struct str){}) ? 0 : refuse(p, -EBADMSG, "malformed fmtp");
}

static int on_rtcpfb(struct parser *p, struct str v)
{
	bool ok = rtcpfb_parse(v, &(uint8_t){0}, &(bool){false}, &(uint8_t){0});
	return ok ? 0 : refuse(p, -EBADMSG, "malformed rtcp-fb");
}

static int on_extmap(struct parser *p, struct str v)
{
	if (!extmap_parse(v, &(struct sdp_ext){}, &(bool){false}))
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

	if (!ssrc_parse(v, &s))
		return refuse(p, -EBADMSG, "malformed ssrc");
	return ssrc_note(p, s.ssrc);
}

static int on_ssrc_group(struct parser *p, struct str v)
{
	uint32_t member[SDP_MAX_SSRCS];
	struct str semantics;
	int n = group_parse(v, &semantics, member, SDP_MAX_SSRCS), err = 0;

	if (n < 0)
		return refuse(p, -EBADMSG, "malformed ssrc-group");
	for (int i = 0; i < n && err == 0; i++)
		err = ssrc_note(p, member[i]);
	return err;
}

static int on_msid(struct parser *p, struct str v)
{
	struct str stream = word(&v);

	if (stream.len == 0)
		return refuse(p, -EBADMSG, "empty msid");
	if (p->media->msid_stream.len == 0) {
		p->media->msid_stream = stream;
		p->media->msid_track = word(&v);
	}
	return 0;
}

static int on_rid(struct parser *p, struct str v)
{
	struct sdp_rid r;

	if (!rid_parse(v, &r))
		return refuse(p, -EBADMSG, "malformed rid");
	if (p->media->n_rids == SDP_MAX_RIDS)
		return refuse(p, -E2BIG, "too many rids in a section");
	p->media->n_rids++;
	return 0;
}

static int on_simulcast(struct parser *p, struct str v)
{
	return simulcast_parse(v, NULL, 0) ? 0 : refuse(p, -EBADMSG, "malformed simulcast");
}

static int on_ufrag(struct parser *p, struct str v)
{
	if (v.len < 4 || !is_ice(v))
		return refuse(p, -EBADMSG, "malformed ice-ufrag");
	if (v.len > SDP_MAX_UFRAG)
		return refuse(p, -E2BIG, "ice-ufrag is longer than 32 bytes");
	p->media->ufrag = v;
	return 0;
}

static int on_pwd(struct parser *p, struct str v)
{
	if (v.len < 22 || v.len > SDP_MAX_PWD || !is_ice(v))
		return refuse(p, -EBADMSG, "malformed ice-pwd");
	p->media->pwd = v;
	return 0;
}

static int on_fingerprint(struct parser *p, struct str v)
{
	struct sdp_fingerprint f = {};

	if (!fingerprint_parse(v, &f))
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

	if (dir_parse(name, &dir))
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

	for (struct str w; (w = word(&formats)).len > 0; n++) {
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

static int section_begin(struct parser *p, struct str v)
{
	struct str name = word(&v), port = word(&v), proto = word(&v);
	struct sdp_media *m;
	uint64_t n;

	port = str_cut(&port, '/');
	if (!is_token(name) || !str_u64(port, UINT16_MAX, &n) || proto.len == 0 || str_trim(v).len == 0)
		return refuse(p, -EBADMSG, "malformed m-line");
	if (p->out->n_media == p->max_media)
		return refuse(p, -E2BIG, "too many m-lines");
	m = &p->out->media[p->out->n_media++];
	*m = p->session;
	m->name = name;
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
	word(&v);
	if (!word_u64(&v, UINT64_MAX, &p->out->origin_id))
		p->out->origin_id = 0;
	if (!word_u64(&v, UINT64_MAX, &p->out->origin_version))
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
		for (struct str w; mid.len > 0 && (w = word(&group)).len > 0;)
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
	while (line_next(&rest, &line)) {
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

// --- lists of one section ------------------------------------------------------------------------

unsigned sdp_codecs(const struct sdp_media *m, struct sdp_codec out[SDP_MAX_CODECS])
{
	struct str rest = m->formats, name, value;
	uint8_t at[128], all_fb = 0;
	unsigned n = 0;
	uint64_t pt;

	if (m->kind != SDP_AUDIO && m->kind != SDP_VIDEO)
		return 0;
	memset(at, 0xff, sizeof(at));
	while (n < SDP_MAX_CODECS && word_u64(&rest, 127, &pt)) {
		if (at[pt] != 0xff)
			continue;
		at[pt] = (uint8_t)n;
		out[n++] = (struct sdp_codec){.pt = (uint8_t)pt, .channels = 1};
	}
	rest = m->body;
	while (attr_next(&rest, &name, &value)) {
		struct sdp_codec c = {};
		struct str params;
		uint8_t id, fb;
		bool any;

		if (str_eq(name, STR("rtpmap")) && rtpmap_parse(value, &c)) {
			if (at[c.pt] != 0xff && out[at[c.pt]].name.len == 0) {
				out[at[c.pt]].name = c.name;
				out[at[c.pt]].clock_hz = c.clock_hz;
				out[at[c.pt]].channels = c.channels;
			}
		} else if (str_eq(name, STR("fmtp")) && fmtp_parse(value, &id, &params)) {
			if (at[id] != 0xff && out[at[id]].fmtp.len == 0)
				out[at[id]].fmtp = params;
		} else if (str_eq(name, STR("rtcp-fb")) && rtcpfb_parse(value, &id, &any, &fb)) {
			if (any)
				all_fb |= fb;
			else if (at[id] != 0xff)
				out[at[id]].fb |= fb;
		}
	}
	for (unsigned i = 0; i < n; i++)
		out[i].fb |= all_fb;
	return n;
}

unsigned sdp_exts(const struct sdp_media *m, struct sdp_ext out[SDP_MAX_EXTS])
{
	struct str rest = m->body, name, value;
	unsigned n = 0;
	bool skip;

	while (n < SDP_MAX_EXTS && attr_next(&rest, &name, &value))
		if (str_eq(name, STR("extmap")) && extmap_parse(value, &out[n], &skip) && !skip)
			n++;
	return n;
}

// The entry of ssrc, made when new; NULL when full (sdp_parse has excluded that).
static struct sdp_source *source_at(struct sdp_source *out, unsigned *n, uint32_t ssrc)
{
	for (unsigned i = 0; i < *n; i++)
		if (out[i].ssrc == ssrc)
			return &out[i];
	if (*n == SDP_MAX_SSRCS)
		return NULL;
	out[*n] = (struct sdp_source){.ssrc = ssrc};
	return &out[(*n)++];
}

// FID: retransmissions of the first member; FEC-FR: repair data, not media either.
static void source_pair(struct sdp_source *out, unsigned *n, struct str value)
{
	uint32_t member[SDP_MAX_SSRCS];
	struct str semantics;
	struct sdp_source *media, *repair;

	if (group_parse(value, &semantics, member, SDP_MAX_SSRCS) != 2 || member[0] == member[1])
		return;
	if (!str_eq(semantics, STR("FID")) && !str_eq(semantics, STR("FEC-FR")))
		return;
	media = source_at(out, n, member[0]);
	repair = source_at(out, n, member[1]);
	if (media == NULL || repair == NULL)
		return;
	repair->is_rtx = true;
	if (str_eq(semantics, STR("FID")))
		media->rtx = member[1];
}

unsigned sdp_sources(const struct sdp_media *m, struct sdp_source out[SDP_MAX_SSRCS])
{
	struct str rest = m->body, name, value;
	unsigned n = 0;

	while (attr_next(&rest, &name, &value)) {
		struct sdp_source s, *at;

		if (str_eq(name, STR("ssrc-group"))) {
			source_pair(out, &n, value);
		} else if (str_eq(name, STR("ssrc")) && ssrc_parse(value, &s) &&
			   (at = source_at(out, &n, s.ssrc)) != NULL) {
			if (s.cname.len > 0)
				at->cname = s.cname;
			if (s.stream.len > 0) {
				at->stream = s.stream;
				at->track = s.track;
			}
		}
	}
	return n;
}

unsigned sdp_rids(const struct sdp_media *m, struct sdp_rid out[SDP_MAX_RIDS])
{
	struct str rest = m->body, name, value;
	unsigned n = 0;

	while (n < SDP_MAX_RIDS && attr_next(&rest, &name, &value))
		if (str_eq(name, STR("rid")) && rid_parse(value, &out[n]))
			n++;
	rest = m->body;
	while (attr_next(&rest, &name, &value))
		if (str_eq(name, STR("simulcast")))
			(void)simulcast_parse(value, out, n);
	return n;
}

struct str sdp_fmtp_get(struct str fmtp, struct str name)
{
	while (fmtp.len > 0) {
		struct str value = str_trim(str_cut(&fmtp, ';'));
		struct str key = str_trim(str_cut(&value, '='));
		if (str_ieq(key, name))
			return str_trim(value);
	}
	return STR_NONE;
}

const char *sdp_dir_name(enum sdp_dir dir)
{
	static const char *const names[] = {[SDP_INACTIVE] = "inactive",
					    [SDP_SENDONLY] = "sendonly",
					    [SDP_RECVONLY] = "recvonly",
					    [SDP_SENDRECV] = "sendrecv"};
	return names[dir & 3];
}
