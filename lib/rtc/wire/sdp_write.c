// The writer: what sdp.h's structs say, in the order that browsers and Pion write themselves. It puts out
// bytes only; whether a description makes sense is decided by its caller.
#include "lib/rtc/wire/sdp.h"

#include <errno.h>

static void put(struct wbuf *w, struct str s)
{
	wbuf_bytes(w, s.p, s.len);
}

static void put_z(struct wbuf *w, const char *text)
{
	put(w, str_of(text));
}

static void put_u64(struct wbuf *w, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	wbuf_bytes(w, digits + n, sizeof(digits) - n);
}

static void put_end(struct wbuf *w)
{
	wbuf_bytes(w, "\r\n", 2);
}

// "a=name:value"; nothing when value is empty.
static void put_attr(struct wbuf *w, const char *name, struct str value)
{
	if (value.len == 0)
		return;
	put_z(w, "a=");
	put_z(w, name);
	wbuf_u8(w, ':');
	put(w, value);
	put_end(w);
}

static void put_number(struct wbuf *w, const char *before, uint64_t v)
{
	put_z(w, before);
	put_u64(w, v);
}

// --- candidates ----------------------------------------------------------------------------------

// CRC-32 (IEEE 802.3), bit by bit: a few dozen bytes once per candidate.
static uint32_t crc32_add(uint32_t crc, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		crc ^= (unsigned char)s.p[i];
		for (unsigned k = 0; k < 8; k++)
			crc = (crc >> 1) ^ (0xedb88320u & -(crc & 1));
	}
	return crc;
}

int sdp_candidate_init(struct sdp_candidate *c, struct str address, uint16_t port, bool tcp, unsigned rank)
{
	bool v6 = address.len > 0 && memchr(address.p, ':', address.len) != NULL;
	// Type preference 126 for host (RFC 8445 5.1.2.2), 99 for TCP so that it stays below every UDP one;
	// local preference 65535, for passive TCP (4 << 13) + 8191 (RFC 6544 4.2).
	uint32_t type = tcp ? 99 : 126, local = tcp ? 40959 : 65535;
	uint32_t crc;

	*c = (struct sdp_candidate){.port = port, .tcp = tcp};
	for (size_t i = 0; i < address.len; i++)
		if (memchr("0123456789abcdefABCDEF:.", address.p[i], 24) == NULL)
			return -EINVAL;
	if (address.len == 0 || !str_copy(address, c->address, sizeof(c->address)))
		return -EINVAL;
	c->priority = type << 24 | (local - (rank < 8191 ? rank : 8191)) << 8 | 255;
	crc = crc32_add(UINT32_MAX, STR("host"));
	crc = crc32_add(crc, address);
	crc = crc32_add(crc, tcp ? STR("tcp") : STR("udp"));
	c->foundation = ~crc32_add(crc, v6 ? STR("6") : STR("4"));
	return 0;
}

void sdp_candidate_write(struct wbuf *w, const struct sdp_candidate *c, struct str ufrag)
{
	put_number(w, "candidate:", c->foundation);
	put_number(w, c->tcp ? " 1 tcp " : " 1 udp ", c->priority);
	wbuf_u8(w, ' ');
	put_z(w, c->address);
	put_number(w, " ", c->port);
	put_z(w, c->tcp ? " typ host tcptype passive" : " typ host");
	if (ufrag.len > 0) {
		put_z(w, " ufrag ");
		put(w, ufrag);
	}
}

// --- session part --------------------------------------------------------------------------------

static void put_fingerprint(struct wbuf *w, const struct sdp_fingerprint *f)
{
	put_z(w, f->len == 32   ? "a=fingerprint:sha-256 "
		 : f->len == 48 ? "a=fingerprint:sha-384 "
				: "a=fingerprint:sha-512 ");
	for (unsigned i = 0; i < f->len; i++) {
		if (i > 0)
			wbuf_u8(w, ':');
		wbuf_u8(w, (uint8_t) "0123456789ABCDEF"[f->hash[i] >> 4]);
		wbuf_u8(w, (uint8_t) "0123456789ABCDEF"[f->hash[i] & 15]);
	}
	put_end(w);
}

void sdp_write_session(struct wbuf *w, const struct sdp_session_out *s)
{
	put_number(w, "v=0\r\no=- ", s->origin_id);
	put_number(w, " ", s->origin_version);
	put_z(w, " IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
	if (s->ice_lite)
		put_z(w, "a=ice-lite\r\n");
	put_z(w, "a=msid-semantic:WMS *\r\n");
	if (s->fingerprint && s->fingerprint->len > 0)
		put_fingerprint(w, s->fingerprint);
	if (s->extmap_mixed)
		put_z(w, "a=extmap-allow-mixed\r\n");
	if (s->n_bundle == 0)
		return;
	put_z(w, "a=group:BUNDLE");
	for (unsigned i = 0; i < s->n_bundle; i++) {
		wbuf_u8(w, ' ');
		put(w, s->bundle[i]);
	}
	put_end(w);
}

// --- sections ------------------------------------------------------------------------------------

static void put_mline(struct wbuf *w, const struct sdp_media_out *m)
{
	static const char *const names[] = {
		[SDP_AUDIO] = "audio", [SDP_VIDEO] = "video", [SDP_DATA] = "application"};

	put_z(w, "m=");
	if (m->rejected) {
		put(w, m->name);
		put_z(w, " 0 ");
		put(w, m->proto);
		wbuf_u8(w, ' ');
		put(w, m->formats);
	} else {
		put_z(w, m->kind <= SDP_DATA ? names[m->kind] : "audio");
		put_z(w, " 9 ");
		if (m->proto.len > 0)
			put(w, m->proto);
		else
			put_z(w, m->kind == SDP_DATA ? "UDP/DTLS/SCTP" : "UDP/TLS/RTP/SAVPF");
		if (m->kind == SDP_DATA && m->sctpmap)
			put_number(w, " ", m->sctp_port);
		else if (m->kind == SDP_DATA)
			put_z(w, " webrtc-datachannel");
		for (unsigned i = 0; m->kind != SDP_DATA && i < m->n_codecs; i++)
			put_number(w, " ", m->codecs[i].pt);
	}
	put_z(w, "\r\nc=IN IP4 0.0.0.0\r\n");
}

static void put_codec(struct wbuf *w, const struct sdp_codec_out *c)
{
	static const struct {
		enum sdp_fb bit;
		const char *text;
	} feedback[] = {{SDP_FB_REMB, "goog-remb"},
			{SDP_FB_FIR, "ccm fir"},
			{SDP_FB_NACK, "nack"},
			{SDP_FB_PLI, "nack pli"},
			{SDP_FB_TWCC, "transport-cc"}};

	put_number(w, "a=rtpmap:", c->pt);
	wbuf_u8(w, ' ');
	put_z(w, c->name);
	put_number(w, "/", c->clock_hz);
	if (c->channels > 1)
		put_number(w, "/", c->channels);
	put_end(w);
	if (c->fmtp) {
		put_number(w, "a=fmtp:", c->pt);
		wbuf_u8(w, ' ');
		put_z(w, c->fmtp);
		put_end(w);
	}
	for (unsigned i = 0; i < sizeof(feedback) / sizeof(feedback[0]); i++) {
		if ((c->fb & feedback[i].bit) == 0)
			continue;
		put_number(w, "a=rtcp-fb:", c->pt);
		wbuf_u8(w, ' ');
		put_z(w, feedback[i].text);
		put_end(w);
	}
}

// One direction of a=simulcast, without the line's begin; false when no rid is in it.
static bool put_simulcast_list(struct wbuf *w, const struct sdp_media_out *m, bool send, bool begun)
{
	bool any = false;

	for (unsigned i = 0; i < m->n_rids; i++) {
		const struct sdp_rid_out *r = &m->rids[i];
		if (r->send != send || !r->simulcast)
			continue;
		if (any)
			wbuf_u8(w, ';');
		else
			put_z(w, begun ? (send ? " send " : " recv ")
				       : (send ? "a=simulcast:send " : "a=simulcast:recv "));
		if (r->paused)
			wbuf_u8(w, '~');
		put(w, r->id);
		any = true;
	}
	return any;
}

static void put_rids(struct wbuf *w, const struct sdp_media_out *m)
{
	bool begun;

	for (unsigned i = 0; i < m->n_rids; i++) {
		put_z(w, "a=rid:");
		put(w, m->rids[i].id);
		put_z(w, m->rids[i].send ? " send\r\n" : " recv\r\n");
	}
	begun = put_simulcast_list(w, m, true, false);
	if (put_simulcast_list(w, m, false, begun) || begun)
		put_end(w);
}

// a=msid goes first: Pion takes the track's names from it when it comes to the a=ssrc line.
static void put_sources(struct wbuf *w, const struct sdp_media_out *m)
{
	if (m->msid_stream.len > 0) {
		put_z(w, "a=msid:");
		put(w, m->msid_stream);
		if (m->msid_track.len > 0) {
			wbuf_u8(w, ' ');
			put(w, m->msid_track);
		}
		put_end(w);
	}
	if (m->ssrc == 0)
		return;
	if (m->rtx_ssrc != 0) {
		put_number(w, "a=ssrc-group:FID ", m->ssrc);
		put_number(w, " ", m->rtx_ssrc);
		put_end(w);
	}
	for (unsigned i = 0; i < (m->rtx_ssrc != 0 ? 2 : 1); i++) {
		put_number(w, "a=ssrc:", i == 0 ? m->ssrc : m->rtx_ssrc);
		put_z(w, " cname:");
		put(w, m->cname.len > 0 ? m->cname : STR("-"));
		put_end(w);
	}
}

static void put_candidates(struct wbuf *w, const struct sdp_media_out *m)
{
	for (unsigned i = 0; i < m->n_candidates; i++) {
		put_z(w, "a=");
		sdp_candidate_write(w, &m->candidates[i], STR_NONE);
		put_end(w);
	}
	if (m->n_candidates > 0)
		put_z(w, "a=end-of-candidates\r\n");
}

static void put_rtp(struct wbuf *w, const struct sdp_media_out *m)
{
	put_z(w, "a=rtcp-mux\r\na=rtcp-rsize\r\n");
	for (unsigned i = 0; i < m->n_codecs; i++)
		put_codec(w, &m->codecs[i]);
	for (unsigned i = 0; i < m->n_exts; i++) {
		put_number(w, "a=extmap:", m->exts[i].id);
		wbuf_u8(w, ' ');
		put_z(w, m->exts[i].uri);
		put_end(w);
	}
	put_rids(w, m);
	put_sources(w, m);
}

void sdp_write_media(struct wbuf *w, const struct sdp_media_out *m)
{
	static const char *const setups[] = {[SDP_ACTPASS] = "actpass",
					     [SDP_ACTIVE] = "active",
					     [SDP_PASSIVE] = "passive",
					     [SDP_HOLDCONN] = "holdconn"};

	put_mline(w, m);
	put_attr(w, "mid", m->mid);
	if (m->rejected) {
		put_z(w, "a=inactive\r\n");
		return;
	}
	if (m->setup != SDP_SETUP_NONE)
		put_attr(w, "setup", str_of(setups[m->setup]));
	put_attr(w, "ice-ufrag", m->ufrag);
	put_attr(w, "ice-pwd", m->pwd);
	if (m->kind == SDP_DATA) {
		put_number(w, m->sctpmap ? "a=sctpmap:" : "a=sctp-port:", m->sctp_port);
		if (m->sctpmap)
			put_z(w, " webrtc-datachannel 256");
		put_number(w, "\r\na=max-message-size:", m->max_message_size);
		put_end(w);
	} else {
		put_rtp(w, m);
	}
	put_z(w, "a=");
	put_z(w, sdp_dir_name((enum sdp_dir)m->dir));
	put_end(w);
	put_candidates(w, m);
}
