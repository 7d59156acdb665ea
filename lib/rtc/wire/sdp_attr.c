// Values of single attributes, and the lists of one section that are made of them. sdp_parse has run every value
// through the same functions, so the lists pass over nothing that matters.
#include "lib/rtc/wire/sdp_attr.h"

// --- characters and words ------------------------------------------------------------------------

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// RFC 8866 token: visible ASCII without separators.
bool sdp_is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || s.p[i] == 127 || (unsigned char)s.p[i] > 127 ||
		    memchr("\"(),/:;<=>?@[\\]", s.p[i], 15) != NULL)
			return false;
	return s.len > 0;
}

// RFC 8839 ice-char*
bool sdp_is_ice(struct str s)
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
	return s.len > 0 && s.len <= SDP_MAX_RID;
}

// The next word of *rest; words are separated by spaces. Empty at the end.
struct str sdp_word(struct str *rest)
{
	while (rest->len > 0 && rest->p[0] == ' ')
		*rest = str_skip(*rest, 1);
	return str_cut(rest, ' ');
}

bool sdp_word_u64(struct str *rest, uint64_t max, uint64_t *out)
{
	return str_u64(sdp_word(rest), max, out);
}

// One line without its end; false at the end of the text.
bool sdp_line_next(struct str *rest, struct str *line)
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

	while (sdp_line_next(rest, &line)) {
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
bool sdp_rtpmap_parse(struct str v, struct sdp_codec *c)
{
	uint64_t pt, clock, channels = 1;
	struct str map, name, rate;

	if (!sdp_word_u64(&v, 127, &pt))
		return false;
	map = sdp_word(&v);
	name = str_cut(&map, '/');
	rate = str_cut(&map, '/');
	if (!sdp_is_token(name) || !str_u64(rate, UINT32_MAX, &clock) || clock == 0)
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
bool sdp_fmtp_parse(struct str v, uint8_t *pt, struct str *params)
{
	uint64_t n;

	if (!sdp_word_u64(&v, 127, &n))
		return false;
	*pt = (uint8_t)n;
	*params = str_trim(v);
	return true;
}

// "111 nack pli", "* transport-cc". any: for all payload types. Unknown feedback gives no bit.
bool sdp_rtcpfb_parse(struct str v, uint8_t *pt, bool *any, uint8_t *fb)
{
	struct str first = sdp_word(&v), type, param;
	uint64_t n = 0;

	*any = str_eq(first, STR("*"));
	if (!*any && !str_u64(first, 127, &n))
		return false;
	*pt = (uint8_t)n;
	type = sdp_word(&v);
	param = sdp_word(&v);
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

bool sdp_dir_parse(struct str s, enum sdp_dir *dir)
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
bool sdp_extmap_parse(struct str v, struct sdp_ext *e, bool *skip)
{
	struct str first = sdp_word(&v), number = str_cut(&first, '/');
	enum sdp_dir dir = SDP_SENDRECV;
	uint64_t id;

	if (!str_u64(number, 4351, &id) || id == 0 || (id > 255 && id < 4096))
		return false;
	if (first.len > 0 && !sdp_dir_parse(first, &dir))
		return false;
	e->uri = sdp_word(&v);
	e->id = (uint8_t)id;
	e->dir = (uint8_t)dir;
	*skip = id > 255;
	return e->uri.len > 0;
}

// "1234 cname:x", "1234 msid:stream track"
bool sdp_ssrc_parse(struct str v, struct sdp_source *s)
{
	uint64_t ssrc;
	struct str name;

	*s = (struct sdp_source){};
	if (!sdp_word_u64(&v, UINT32_MAX, &ssrc) || ssrc == 0)
		return false;
	s->ssrc = (uint32_t)ssrc;
	name = str_cut(&v, ':');
	if (str_eq(name, STR("cname"))) {
		s->cname = v;
	} else if (str_eq(name, STR("msid"))) {
		s->stream = sdp_word(&v);
		s->track = sdp_word(&v);
	}
	return name.len > 0;
}

// "FID 1 2". Returns the number of members, at most max, or -1.
int sdp_group_parse(struct str v, struct str *semantics, uint32_t *ssrc, int max)
{
	uint64_t n;
	int count = 0;

	*semantics = sdp_word(&v);
	if (semantics->len == 0)
		return -1;
	for (struct str w; (w = sdp_word(&v)).len > 0; count++) {
		if (count == max || !str_u64(w, UINT32_MAX, &n) || n == 0)
			return -1;
		ssrc[count] = (uint32_t)n;
	}
	return count > 0 ? count : -1;
}

// "l send pt=96"
bool sdp_rid_parse(struct str v, struct sdp_rid *r)
{
	struct str dir;

	*r = (struct sdp_rid){.id = sdp_word(&v)};
	dir = sdp_word(&v);
	r->send = str_eq(dir, STR("send"));
	return is_rid(r->id) && (r->send || str_eq(dir, STR("recv")));
}

// One "l;h" or "1,~2;3" list. Marks the rids it names; those that no rid line declares are passed over
// (RFC 8853 section 5.3). False when an alternative is empty or no rid (D20).
static bool simulcast_list(struct str list, bool send, struct sdp_rid *rids, unsigned n)
{
	if (str_starts(list, STR("rid="))) // drafts before version 4 of RFC 8853
		list = str_skip(list, 4);
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
bool sdp_simulcast_parse(struct str v, struct sdp_rid *rids, unsigned n)
{
	bool seen[2] = {false, false};

	for (struct str dir; (dir = sdp_word(&v)).len > 0;) {
		bool send = str_eq(dir, STR("send"));
		if ((!send && !str_eq(dir, STR("recv"))) || seen[send])
			return false;
		seen[send] = true;
		if (!simulcast_list(sdp_word(&v), send, rids, n))
			return false;
	}
	return seen[0] || seen[1];
}

// "sha-256 AB:CD:...". A hash we do not use leaves *f as it is.
bool sdp_fingerprint_parse(struct str v, struct sdp_fingerprint *f)
{
	struct str alg = sdp_word(&v), hex = sdp_word(&v);
	unsigned len = str_ieq(alg, STR("sha-256")) ? 32 : str_ieq(alg, STR("sha-384")) ? 48 : 64;

	if (len == 64 && !str_ieq(alg, STR("sha-512")))
		return alg.len > 0;
	if (hex.len != len * 3 - 1)
		return false;
	for (unsigned i = 0; i < len; i++) {
		int hi = str_hex_digit(hex.p[i * 3]), lo = str_hex_digit(hex.p[i * 3 + 1]);
		if (hi < 0 || lo < 0 || (i + 1 < len && hex.p[i * 3 + 2] != ':'))
			return false;
		f->hash[i] = (uint8_t)(hi << 4 | lo);
	}
	f->len = (uint8_t)len;
	return true;
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
	while (n < SDP_MAX_CODECS && sdp_word_u64(&rest, 127, &pt)) {
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

		if (str_eq(name, STR("rtpmap")) && sdp_rtpmap_parse(value, &c)) {
			if (at[c.pt] != 0xff && out[at[c.pt]].name.len == 0) {
				out[at[c.pt]].name = c.name;
				out[at[c.pt]].clock_hz = c.clock_hz;
				out[at[c.pt]].channels = c.channels;
			}
		} else if (str_eq(name, STR("fmtp")) && sdp_fmtp_parse(value, &id, &params)) {
			if (at[id] != 0xff && out[at[id]].fmtp.len == 0)
				out[at[id]].fmtp = params;
		} else if (str_eq(name, STR("rtcp-fb")) && sdp_rtcpfb_parse(value, &id, &any, &fb)) {
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
		if (str_eq(name, STR("extmap")) && sdp_extmap_parse(value, &out[n], &skip) && !skip)
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

	if (sdp_group_parse(value, &semantics, member, SDP_MAX_SSRCS) != 2 || member[0] == member[1])
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
		} else if (str_eq(name, STR("ssrc")) && sdp_ssrc_parse(value, &s) &&
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
		if (str_eq(name, STR("rid")) && sdp_rid_parse(value, &out[n]))
			n++;
	rest = m->body;
	while (attr_next(&rest, &name, &value))
		if (str_eq(name, STR("simulcast")))
			(void)sdp_simulcast_parse(value, out, n);
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

struct str sdp_proto_name(enum sdp_proto proto)
{
	static const char *const names[SDP_N_PROTOS] = {
		[SDP_PROTO_OTHER] = "",
		[SDP_UDP_TLS_RTP_SAVPF] = "UDP/TLS/RTP/SAVPF",
		[SDP_UDP_TLS_RTP_SAVP] = "UDP/TLS/RTP/SAVP",
		[SDP_TCP_DTLS_RTP_SAVPF] = "TCP/DTLS/RTP/SAVPF",
		[SDP_TCP_DTLS_RTP_SAVP] = "TCP/DTLS/RTP/SAVP",
		[SDP_RTP_SAVPF] = "RTP/SAVPF",
		[SDP_RTP_SAVP] = "RTP/SAVP",
		[SDP_RTP_AVPF] = "RTP/AVPF",
		[SDP_RTP_AVP] = "RTP/AVP",
		[SDP_UDP_DTLS_SCTP] = "UDP/DTLS/SCTP",
		[SDP_TCP_DTLS_SCTP] = "TCP/DTLS/SCTP",
		[SDP_DTLS_SCTP] = "DTLS/SCTP",
	};

	return str_of(names[proto < SDP_N_PROTOS ? proto : SDP_PROTO_OTHER]);
}

const char *sdp_dir_name(enum sdp_dir dir)
{
	static const char *const names[] = {[SDP_INACTIVE] = "inactive",
					    [SDP_SENDONLY] = "sendonly",
					    [SDP_RECVONLY] = "recvonly",
					    [SDP_SENDRECV] = "sendrecv"};
	return names[dir & 3];
}
