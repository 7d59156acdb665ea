#include "tools/sluicegun/desc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/rand.h"

static const char *const ext_uri[RTP_N_EXTS] = {
	[RTP_EXT_MID] = "urn:ietf:params:rtp-hdrext:sdes:mid",
	[RTP_EXT_RID] = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
	[RTP_EXT_RRID] = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
	[RTP_EXT_LEVEL] = "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
	[RTP_EXT_TWCC] = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
};
// The ids that Chromium chooses.
static const uint8_t ext_default[RTP_N_EXTS] = {
	[RTP_EXT_LEVEL] = 1, [RTP_EXT_TWCC] = 3, [RTP_EXT_MID] = 4, [RTP_EXT_RID] = 10, [RTP_EXT_RRID] = 11};

void desc_init(struct desc *d, const char *ufrag, const char *pwd, const struct sdp_fingerprint *fp)
{
	*d = (struct desc){
		.ufrag = ufrag, .pwd = pwd, .fingerprint = *fp, .origin = rand_u64() >> 2, .version = 0};
	memcpy(d->ext_id, ext_default, sizeof(d->ext_id));
	rand_text(d->cname, 16, "abcdefghijklmnopqrstuvwxyz0123456789");
}

static struct desc_line *add(struct desc *d, enum sdp_kind kind)
{
	struct desc_line *l;

	if (d->n_lines == DESC_MAX_LINES)
		return NULL;
	l = &d->line[d->n_lines];
	*l = (struct desc_line){.kind = (uint8_t)kind, .remote_dir = SDP_RECVONLY};
	snprintf(l->mid, sizeof(l->mid), "%u", d->n_lines);
	d->n_lines++;
	return l;
}

struct desc_line *desc_add_data(struct desc *d)
{
	return add(d, SDP_DATA);
}

struct desc_line *desc_add_track(struct desc *d, enum desc_send send, uint32_t ssrc)
{
	struct desc_line *l = add(d, send == DESC_VOICE ? SDP_AUDIO : SDP_VIDEO);

	if (l == NULL)
		return NULL;
	l->send = (uint8_t)send;
	l->ssrc = send == DESC_SIMULCAST ? 0 : ssrc;
	l->pt = send == DESC_VOICE ? DESC_OPUS : DESC_VP8;
	l->fb = send == DESC_VOICE ? SDP_FB_TWCC : SDP_FB_NACK | SDP_FB_PLI | SDP_FB_FIR | SDP_FB_TWCC;
	rand_text(l->stream, 26, "abcdefghijklmnopqrstuvwxyz0123456789");
	return l;
}

void desc_rollback(struct desc *d, unsigned n_lines)
{
	if (n_lines < d->n_lines)
		d->n_lines = (uint16_t)n_lines;
}

// --- writing ---------------------------------------------------------------------------------------------

static unsigned line_exts(const struct desc *d, const struct desc_line *l, struct sdp_ext_out *out)
{
	static const uint8_t audio[] = {RTP_EXT_LEVEL, RTP_EXT_TWCC, RTP_EXT_MID};
	static const uint8_t video[] = {RTP_EXT_TWCC, RTP_EXT_MID, RTP_EXT_RID, RTP_EXT_RRID};
	const uint8_t *kind = l->kind == SDP_AUDIO ? audio : video;
	unsigned n = 0, n_kinds = l->kind == SDP_AUDIO ? sizeof(audio) : sizeof(video);

	for (unsigned i = 0; i < n_kinds; i++)
		if (d->ext_id[kind[i]] != 0)
			out[n++] = (struct sdp_ext_out){ext_uri[kind[i]], d->ext_id[kind[i]]};
	return n;
}

static unsigned line_codecs(const struct desc_line *l, char apt[12], struct sdp_codec_out *out)
{
	if (l->kind == SDP_AUDIO) {
		out[0] = (struct sdp_codec_out){.name = "opus",
						.fmtp = "minptime=10;useinbandfec=1",
						.clock_hz = 48000,
						.pt = l->pt,
						.channels = 2,
						.fb = l->fb};
		return 1;
	}
	out[0] = (struct sdp_codec_out){.name = "VP8", .clock_hz = 90000, .pt = l->pt, .fb = l->fb};
	if (l->rtx_pt == 0)
		return 1;
	snprintf(apt, 12, "apt=%u", l->pt);
	out[1] = (struct sdp_codec_out){.name = "rtx", .fmtp = apt, .clock_hz = 90000, .pt = l->rtx_pt};
	return 2;
}

static enum sdp_dir line_dir(const struct desc_line *l, bool is_offer)
{
	bool sends = l->send != DESC_NOTHING, takes = l->kind == SDP_AUDIO || !sends;

	if (l->kind == SDP_DATA)
		return SDP_SENDRECV;
	if (!is_offer) {
		sends = sends && (l->remote_dir & SDP_RECVONLY);
		takes = (l->remote_dir & SDP_SENDONLY) != 0;
	}
	return (enum sdp_dir)((sends ? SDP_SENDONLY : 0) | (takes ? SDP_RECVONLY : 0));
}

static void write_line(const struct desc *d, const struct desc_line *l, bool is_offer, struct wbuf *w)
{
	static const struct sdp_rid_out rids[] = {{.id = STR("l"), .send = true, .simulcast = true},
						  {.id = STR("h"), .send = true, .simulcast = true}};
	struct sdp_codec_out codecs[2];
	struct sdp_ext_out exts[RTP_N_EXTS];
	char apt[12];
	struct sdp_media_out m = {.kind = l->kind,
				  .dir = (uint8_t)line_dir(l, is_offer),
				  .setup = is_offer ? SDP_ACTPASS : d->setup,
				  .mid = str_of(l->mid),
				  .ufrag = str_of(d->ufrag),
				  .pwd = str_of(d->pwd),
				  .codecs = codecs,
				  .exts = exts};

	if (l->rejected) {
		m.rejected = true;
		m.name = l->kind == SDP_AUDIO ? STR("audio") : STR("video");
		m.proto = STR("UDP/TLS/RTP/SAVPF");
		m.formats = STR("0");
	} else if (l->kind == SDP_DATA) {
		m.sctp_port = 5000;
		m.max_message_size = 262144;
	} else {
		m.n_codecs = line_codecs(l, apt, codecs);
		m.n_exts = line_exts(d, l, exts);
	}
	if (l->send != DESC_NOTHING && (m.dir & SDP_SENDONLY)) {
		m.msid_stream = m.msid_track = str_of(l->stream);
		m.ssrc = l->ssrc;
		m.cname = str_of(d->cname);
	}
	if (l->send == DESC_SIMULCAST) {
		m.rids = rids;
		m.n_rids = 2;
	}
	sdp_write_media(w, &m);
}

static void write_all(struct desc *d, bool is_offer, struct wbuf *w)
{
	struct str mids[DESC_MAX_LINES];
	unsigned n = 0;

	for (unsigned i = 0; i < d->n_lines; i++)
		if (!d->line[i].rejected)
			mids[n++] = str_of(d->line[i].mid);
	sdp_write_session(w, &(struct sdp_session_out){.origin_id = d->origin,
						       .origin_version = d->version++,
						       .fingerprint = &d->fingerprint,
						       .bundle = mids,
						       .n_bundle = n,
						       .extmap_mixed = true});
	for (unsigned i = 0; i < d->n_lines; i++)
		write_line(d, &d->line[i], is_offer, w);
}

void desc_write_offer(struct desc *d, struct wbuf *w)
{
	write_all(d, true, w);
}

void desc_write_answer(struct desc *d, struct wbuf *w)
{
	write_all(d, false, w);
}

// --- reading ---------------------------------------------------------------------------------------------

static void read_candidates(const struct sdp_media *m, const struct desc_sink *sink)
{
	struct str rest = m->body;

	while (rest.len > 0) {
		struct str line = str_cut(&rest, '\n');

		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (str_starts(line, STR("a=candidate:")))
			sink->on_candidate(sink->arg, line);
	}
}

static void read_exts(struct desc *d, const struct sdp_media *m)
{
	struct sdp_ext exts[SDP_MAX_EXTS];
	unsigned n = sdp_exts(m, exts);

	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < RTP_N_EXTS; k++)
			if (ext_uri[k] && str_eq(exts[i].uri, str_of(ext_uri[k])) && exts[i].id < 15)
				d->ext_id[k] = exts[i].id;
}

// Choose of what is offered. false: nothing of it is ours.
static bool choose_codec(struct desc_line *l, const struct sdp_media *m)
{
	struct sdp_codec codecs[SDP_MAX_CODECS];
	unsigned n = sdp_codecs(m, codecs);
	struct str want = l->kind == SDP_AUDIO ? STR("opus") : STR("VP8");
	uint64_t apt;
	bool found = false;

	for (unsigned i = 0; i < n && !found; i++)
		if (str_ieq(codecs[i].name, want)) {
			l->pt = codecs[i].pt;
			l->fb = codecs[i].fb &
				(l->kind == SDP_AUDIO ? SDP_FB_TWCC
						      : SDP_FB_NACK | SDP_FB_PLI | SDP_FB_FIR | SDP_FB_TWCC);
			found = true;
		}
	l->rtx_pt = 0;
	for (unsigned i = 0; i < n && found; i++)
		if (str_ieq(codecs[i].name, STR("rtx")) &&
		    str_u64(sdp_fmtp_get(codecs[i].fmtp, STR("apt")), 127, &apt) && apt == l->pt)
			l->rtx_pt = codecs[i].pt;
	return found;
}

static void report_sources(const struct desc_line *l, const struct sdp_media *m, const struct desc_sink *sink)
{
	struct sdp_source sources[SDP_MAX_SSRCS];
	unsigned n = sdp_sources(m, sources);

	for (unsigned i = 0; i < n; i++)
		if (!sources[i].is_rtx)
			sink->on_source(sink->arg,
					&(struct desc_source){.ssrc = sources[i].ssrc,
							      .rtx = sources[i].rtx,
							      .kind = l->kind,
							      .pt = l->pt,
							      .rtx_pt = l->rtx_pt,
							      .has_nack = (l->fb & SDP_FB_NACK) != 0,
							      .has_twcc = (l->fb & SDP_FB_TWCC) != 0});
}

static int read_line(struct desc *d, unsigned i, const struct sdp_media *m, bool is_offer,
		     const struct desc_sink *sink)
{
	struct desc_line *l = i < d->n_lines ? &d->line[i] : add(d, (enum sdp_kind)m->kind);

	if (l == NULL)
		return -E2BIG;
	if (l->kind != m->kind)
		return -ENOTSUP;
	if (!str_copy(m->mid, l->mid, sizeof(l->mid)))
		return -EBADMSG;
	l->remote_dir = m->rejected ? SDP_INACTIVE : m->dir;
	if (m->kind == SDP_DATA)
		return 0;
	read_exts(d, m);
	if (is_offer)
		l->rejected = m->rejected || !choose_codec(l, m);
	else
		l->rejected = m->rejected;
	if (is_offer && !l->rejected && (m->dir & SDP_SENDONLY))
		report_sources(l, m, sink);
	return 0;
}

int desc_read(struct desc *d, struct str text, bool is_offer, struct desc_remote *r,
	      const struct desc_sink *sink)
{
	static struct sdp_media media[DESC_MAX_LINES];
	struct sdp_error err;
	struct sdp sdp;
	int rc = sdp_parse(text, &sdp, media, DESC_MAX_LINES, &err);

	if (rc < 0)
		return rc;
	*r = (struct desc_remote){};
	if (sdp.n_media < d->n_lines)
		return -ENOTSUP;
	for (unsigned i = 0; i < sdp.n_media; i++) {
		rc = read_line(d, i, &media[i], is_offer, sink);
		if (rc < 0)
			return rc;
		if (r->ufrag.len == 0 && media[i].ufrag.len > 0) {
			r->ufrag = media[i].ufrag;
			r->pwd = media[i].pwd;
			r->fingerprint = media[i].fingerprint;
			r->setup = media[i].setup;
		}
		read_candidates(&media[i], sink);
	}
	return r->ufrag.len > 0 ? 0 : -EBADMSG;
}
