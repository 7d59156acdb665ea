// From the state of the lines to the text of an offer or an answer, and to the media map.
#include "controlplane/negotiate/negotiate_priv.h"

#include <errno.h>
#include <stdlib.h>

enum {
	// What the longest section takes: 4 codecs with 5 feedback lines (1100), 6 extensions (540), 8 rids
	// (450), sources with 64-byte session ids (700), transport and the rest (400). A peer's words in it are short:
	// SDP_MAX_MID, SDP_MAX_PROTO, IPC_RID_LEN.
	SECTION_BYTES = 3584,
	CANDIDATE_BYTES = 160,
	SESSION_BYTES = 1024,
};

const char *negotiate_type_name(enum negotiate_type type)
{
	static const char *const names[] = {[TYPE_VOICE] = "voice",
					    [TYPE_SCREEN] = "screen",
					    [TYPE_SCREEN_AUDIO] = "screen-audio",
					    [TYPE_VIDEO] = "video"};
	return names[type];
}

// Lists that one section's struct sdp_media_out points to.
struct section {
	struct sdp_media_out out;
	struct sdp_codec_out codecs[IPC_TRACK_CODECS];
	struct sdp_ext_out exts[IPC_N_EXTS];
	struct sdp_rid_out rids[IPC_TRACK_RIDS];
	char apt[IPC_TRACK_CODECS][8]; // "apt=127"
	char track[16 + NEGOTIATE_MAX_ID + 32];
};

static void fill_codecs(struct section *s, const struct codec *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct sdp_codec_out *c = &s->codecs[i];

		*c = (struct sdp_codec_out){.pt = list[i].pt, .fb = list[i].fb, .clock_hz = 90000};
		switch (list[i].codec) {
		case CODEC_OPUS:
			c->name = "opus";
			c->clock_hz = 48000;
			c->channels = 2;
			c->fmtp = "minptime=10;useinbandfec=1";
			break;
		case CODEC_VP8:
			c->name = "VP8";
			break;
		case CODEC_AV1:
			c->name = "AV1";
			break;
		default:
			c->name = "rtx";
			snprintf(s->apt[i], sizeof(s->apt[i]), "apt=%u", list[i].apt);
			c->fmtp = s->apt[i];
		}
	}
	s->out.codecs = s->codecs;
	s->out.n_codecs = n;
}

static void fill_exts(const struct negotiate *n, struct section *s, uint8_t exts)
{
	unsigned count = 0;

	for (unsigned e = 0; e < IPC_N_EXTS; e++)
		if ((exts & 1u << e) && n->ext_id[e] != 0)
			s->exts[count++] = (struct sdp_ext_out){negotiate_ext_uri[e], n->ext_id[e]};
	s->out.exts = s->exts;
	s->out.n_exts = count;
}

// The track we send on a line.
static void fill_leg(struct section *s, const struct wanted *l)
{
	s->out.msid_stream = s->out.cname = wanted_id(l);
	snprintf(s->track, sizeof(s->track), "%s_%.*s_%.*s", negotiate_type_name(l->type), l->id_len, l->text,
		 l->suffix_len, l->text + l->id_len);
	s->out.msid_track = str_of(s->track);
	s->out.ssrc = l->ssrc;
	s->out.rtx_ssrc = l->rtx_ssrc;
}

// Our mirror of the rids the peer sends.
static void fill_upstream_rids(struct section *s, const struct line *l)
{
	struct negotiate_upstream u;

	upstream_view(l, &u);
	for (unsigned i = 0; i < u.n_rids; i++)
		s->rids[i] = (struct sdp_rid_out){.id = u.rid[i], .simulcast = true};
	s->out.rids = s->rids;
	s->out.n_rids = u.n_rids;
}

static void fill_rejected(struct section *s, const struct line *l)
{
	static const struct str names[] = {
		[SDP_AUDIO] = {"audio", 5}, [SDP_VIDEO] = {"video", 5}, [SDP_DATA] = {"application", 11}};

	s->out.rejected = true;
	s->out.name = l->kind == SDP_OTHER ? str_of(l->name) : names[l->kind];
	s->out.proto = l->kind == SDP_DATA ? STR("UDP/DTLS/SCTP") : STR("UDP/TLS/RTP/SAVPF");
	s->out.formats = l->kind == SDP_DATA ? STR("webrtc-datachannel") : STR("0");
}

// What all sections have in common.
static void fill_section(const struct negotiate *n, struct section *s, const struct line *l,
			 enum sdp_setup setup)
{
	*s = (struct section){};
	s->out.kind = l->kind;
	s->out.mid = str_of(l->mid);
	if (l->rejected) {
		fill_rejected(s, l);
		return;
	}
	s->out.proto = sdp_proto_name((enum sdp_proto)l->proto);
	s->out.setup = (uint8_t)setup;
	s->out.ufrag = str_of(n->local.ufrag);
	s->out.pwd = str_of(n->local.pwd);
	if (l->kind == SDP_DATA) {
		s->out.dir = SDP_SENDRECV;
		s->out.sctp_port = 5000;
		s->out.sctpmap = l->sctpmap;
		s->out.max_message_size = n->conf->max_message_size ? n->conf->max_message_size : 262144;
		return;
	}
	fill_codecs(s, l->codec, l->n_codecs);
	fill_exts(n, s, l->exts);
}

// A description being written.
struct answer_text {
	struct wbuf w;
	struct negotiate_map_entry *map;
	unsigned n_map;
	bool has_candidates;
};

static int text_begin(struct negotiate *n, struct answer_text *t, bool group, bool mixed)
{
	size_t size = SESSION_BYTES + (size_t)n->n_lines * (SECTION_BYTES + SDP_MAX_MID + 1) +
		      (size_t)n->conf->n_candidates * CANDIDATE_BYTES;
	struct str *mids = calloc(n->n_lines + 1, sizeof(*mids));
	uint8_t *buf = malloc(size);
	unsigned n_mids = 0;

	*t = (struct answer_text){.w = wbuf_of(buf, size), .map = calloc(n->n_lines + 1, sizeof(*t->map))};
	if (mids == NULL || buf == NULL || t->map == NULL) {
		free(mids);
		free(buf);
		free(t->map);
		return -ENOMEM;
	}
	for (unsigned i = 0; group && i < n->n_lines; i++)
		if (!n->lines[i].rejected)
			mids[n_mids++] = str_of(n->lines[i].mid);
	sdp_write_session(&t->w, &(struct sdp_session_out){.origin_id = n->origin_id,
							   .origin_version = ++n->origin_version,
							   .fingerprint = &n->fingerprint,
							   .bundle = mids,
							   .n_bundle = n_mids,
							   .ice_lite = true,
							   .extmap_mixed = mixed});
	free(mids);
	return 0;
}

// Candidates stand in the first section that is in use; the others are bundled with it.
static void text_section(const struct negotiate *n, struct answer_text *t, struct section *s)
{
	if (!s->out.rejected && !t->has_candidates) {
		s->out.candidates = n->conf->candidates;
		s->out.n_candidates = n->conf->n_candidates;
		t->has_candidates = true;
	}
	sdp_write_media(&t->w, &s->out);
}

// Hand it on. Should it be longer than any is meant to be, that one session ends.
static int text_send(struct negotiate *n, struct answer_text *t, bool is_offer)
{
	bool is_whole = !t->w.full;

	struct negotiate_sdp sdp = {.is_offer = is_offer,
				    .ice_restart = is_offer && n->restarting,
				    .text = {(const char *)t->w.start, wbuf_len(&t->w)},
				    .map = t->map,
				    .n_map = t->n_map};

	if (is_whole)
		n->ops->send_sdp(n->arg, &sdp);
	else
		n->ops->too_long(n->arg);
	free(t->w.start);
	free(t->map);
	return is_whole ? 0 : -ENOBUFS;
}

int answer_send(struct negotiate *n, const struct sdp *offer)
{
	struct section s;
	struct answer_text t;

	if (text_begin(n, &t, offer->has_bundle, offer->extmap_mixed) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < n->n_lines; i++) {
		const struct line *l = &n->lines[i];
		bool sends = l->wanted && l->agreed_ssrc != 0;
		bool receives = l->up != NULL;

		fill_section(n, &s, l, n->dtls_client ? SDP_ACTIVE : SDP_PASSIVE);
		if (l->rejected) {
			s.out.proto = offer->media[i].proto; // must be the offer's
		} else if (l->kind != SDP_DATA) {
			s.out.dir = (sends ? SDP_SENDONLY : 0) | (receives ? SDP_RECVONLY : 0);
			if (sends)
				fill_leg(&s, l->wanted);
			if (receives)
				fill_upstream_rids(&s, l);
		}
		text_section(n, &t, &s);
	}
	return text_send(n, &t, false);
}

// A video line that only we send on offers just what its track has; all others keep their codecs.
static void offer_codecs(const struct negotiate *n, struct line *l)
{
	uint8_t video_fb = FB_NACK | FB_PLI | FB_FIR | FB_TWCC | FB_REMB;
	uint8_t pt, rtx;

	if (l->wanted == NULL || l->wanted->up || l->up != NULL || l->kind != SDP_VIDEO)
		return;
	pt = l->wanted->codec == CODEC_AV1 ? n->pt_av1 : n->pt_vp8;
	rtx = l->wanted->codec == CODEC_AV1 ? n->pt_av1_rtx : n->pt_vp8_rtx;
	l->codec[0] = (struct codec){.pt = pt, .codec = l->wanted->codec, .fb = video_fb};
	l->codec[1] = (struct codec){.pt = rtx, .codec = CODEC_RTX, .apt = pt};
	l->n_codecs = l->wanted->rtx_ssrc != 0 ? 2 : 1;
}

static enum sdp_dir offer_dir(const struct negotiate *n, const struct line *l)
{
	// A line the peer made stays open for what it may send again; one we made is only for us to send on
	// until the peer has taken it for its microphone.
	bool receives =
		l->up != NULL || (l->peer_made && !l->unfit && (l->kind == SDP_AUDIO || n->conf->video));

	return (enum sdp_dir)((l->wanted ? SDP_SENDONLY : 0) | (receives ? SDP_RECVONLY : 0));
}

int offer_send(struct negotiate *n)
{
	struct section s;
	struct answer_text t;

	if (text_begin(n, &t, true, false) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < n->n_lines; i++) {
		struct line *l = &n->lines[i];

		l->offered_ssrc = l->wanted ? l->wanted->ssrc : 0;
		offer_codecs(n, l);
		fill_section(n, &s, l, SDP_ACTPASS);
		if (!l->rejected && l->kind != SDP_DATA) {
			l->offered_dir = s.out.dir = (uint8_t)offer_dir(n, l);
			if (l->up)
				fill_upstream_rids(&s, l);
			if (l->wanted) {
				fill_leg(&s, l->wanted);
				l->wanted->offered_line = (int16_t)i;
				t.map[t.n_map++] = (struct negotiate_map_entry){
					str_of(l->mid), negotiate_type_name(l->wanted->type),
					wanted_id(l->wanted)};
			}
		}
		text_section(n, &t, &s);
	}
	return text_send(n, &t, true);
}
