// A description of the peer, read into a plan and judged section by section. Nothing here changes the session.
#include "controlplane/negotiate/negotiate_priv.h"

#include <errno.h>
#include <stdlib.h>

int plan_refuse(struct plan *p, int err, const char *why)
{
	p->why = why;
	return err;
}

void plan_free(struct plan *p)
{
	for (unsigned i = 0; p->section && i < p->sdp.n_media; i++)
		free(p->section[i].up);
	free(p->section);
	free(p->media);
}

int plan_parse(struct plan *p, struct str text)
{
	struct sdp_error err;
	int rc;

	*p = (struct plan){.data = -1, .why = ""};
	p->media = malloc(NEGOTIATE_MAX_LINES * sizeof(*p->media));
	if (p->media == NULL)
		return plan_refuse(p, -ENOMEM, "no memory");
	rc = sdp_parse(text, &p->sdp, p->media, NEGOTIATE_MAX_LINES, &err);
	if (rc < 0)
		return plan_refuse(p, rc, err.reason);
	if (p->sdp.n_media == 0)
		return plan_refuse(p, -EBADMSG, "no m-lines");
	p->section = calloc(p->sdp.n_media, sizeof(*p->section));
	return p->section ? 0 : plan_refuse(p, -ENOMEM, "no memory");
}

// --- codecs and extensions -----------------------------------------------------------------------

static uint8_t codec_known(const struct sdp_codec *c, enum sdp_kind kind)
{
	struct str profile;

	if (kind == SDP_AUDIO)
		return str_ieq(c->name, STR("opus")) && c->clock_hz == 48000 && c->channels == 2 ? CODEC_OPUS
												 : CODEC_NONE;
	if (c->clock_hz != 90000)
		return CODEC_NONE;
	if (str_ieq(c->name, STR("VP8")))
		return CODEC_VP8;
	if (!str_ieq(c->name, STR("AV1")))
		return CODEC_NONE;
	profile = sdp_fmtp_get(c->fmtp, STR("profile"));
	return profile.len == 0 || str_eq(profile, STR("0")) ? CODEC_AV1 : CODEC_NONE;
}

static uint8_t rtx_find(const struct sdp_codec *list, unsigned n, uint8_t pt)
{
	uint64_t apt;

	for (unsigned i = 0; i < n; i++)
		if (str_ieq(list[i].name, STR("rtx")) &&
		    str_u64(sdp_fmtp_get(list[i].fmtp, STR("apt")), 127, &apt) && apt == pt)
			return list[i].pt;
	return 0;
}

// The first payload type of each codec we know, each followed by its RTX.
static void judge_codecs(const struct negotiate *n, struct plan *p, const struct sdp_media *m,
			 struct judged *j)
{
	uint8_t wanted_fb = m->kind == SDP_AUDIO ? FB_TWCC : FB_NACK | FB_PLI | FB_FIR | FB_TWCC | FB_REMB;
	struct sdp_codec list[SDP_MAX_CODECS];
	unsigned n_list = sdp_codecs(m, list), seen = 0;

	for (unsigned i = 0; i < n_list; i++)
		p->pts[list[i].pt / 64] |= UINT64_C(1) << list[i].pt % 64;
	for (unsigned i = 0; i < n_list && j->n_codecs < IPC_TRACK_CODECS; i++) {
		uint8_t codec = codec_known(&list[i], m->kind), rtx;

		if (codec == CODEC_NONE || (seen & 1u << codec))
			continue;
		seen |= 1u << codec;
		j->codec[j->n_codecs++] =
			(struct codec){.pt = list[i].pt, .codec = codec, .fb = list[i].fb & wanted_fb};
		rtx = n->conf->rtx && m->kind == SDP_VIDEO ? rtx_find(list, n_list, list[i].pt) : 0;
		if (rtx != 0 && j->n_codecs < IPC_TRACK_CODECS)
			j->codec[j->n_codecs++] =
				(struct codec){.pt = rtx, .codec = CODEC_RTX, .apt = list[i].pt};
	}
}

static uint8_t exts_wanted(const struct sdp_media *m, uint8_t offered)
{
	uint8_t exts = offered & (1u << EXT_MID | 1u << EXT_TWCC);

	if (m->mid.len > SDP_MAX_MID_EXT) // cannot be told apart by what packets carry of it
		exts &= (uint8_t) ~(1u << EXT_MID);
	if (m->kind == SDP_AUDIO)
		return exts | (offered & 1u << EXT_LEVEL);
	exts |= offered & (1u << EXT_RID | 1u << EXT_RRID);
	if ((offered & 1u << EXT_TWCC) == 0) // its estimator then works with REMB (Firefox)
		exts |= offered & 1u << EXT_ABS_SEND_TIME;
	return exts;
}

// One id must stand for one URI in the whole bundle: browsers refuse a description that breaks this.
// by_id: the URIs seen so far.
static int judge_exts(struct plan *p, const struct sdp_media *m, struct judged *j, struct str by_id[256])
{
	struct sdp_ext list[SDP_MAX_EXTS];
	unsigned n = sdp_exts(m, list);
	uint8_t offered = 0, id[IPC_N_EXTS] = {};

	for (unsigned i = 0; i < n; i++) {
		struct str *seen = &by_id[list[i].id];

		if (seen->len > 0 && !str_eq(*seen, list[i].uri))
			return plan_refuse(p, -EBADMSG, "one header extension id has two URIs");
		*seen = list[i].uri;
		if (list[i].id > 14) // we write one-byte headers only
			continue;
		p->ids_used |= 1u << list[i].id;
		for (unsigned e = 0; e < IPC_N_EXTS && list[i].dir == SDP_SENDRECV; e++) {
			if (negotiate_ext_uri[e] && str_eq(list[i].uri, str_of(negotiate_ext_uri[e]))) {
				offered |= 1u << e;
				id[e] = list[i].id;
			}
		}
	}
	j->exts = j->accepted ? exts_wanted(m, offered) : 0;
	for (unsigned e = 0; e < IPC_N_EXTS; e++)
		if (j->exts & 1u << e)
			p->ext_id[e] = id[e];
	return 0;
}

// --- what the peer sends -------------------------------------------------------------------------

// A video line is one encoding, unless it is told apart by rids. One repair stream serves one SSRC only.
static void upstream_ssrcs(const struct sdp_media *m, struct upstream *u, struct str *stream,
			   struct str *track)
{
	unsigned max = m->kind == SDP_VIDEO ? 1 : IPC_TRACK_SSRCS;
	struct sdp_source list[SDP_MAX_SSRCS];
	unsigned n = sdp_sources(m, list);

	for (unsigned i = 0; i < n && u->n_ssrcs < max; i++) {
		if (list[i].is_rtx)
			continue;
		u->ssrc[u->n_ssrcs] = list[i].ssrc;
		u->rtx_ssrc[u->n_ssrcs++] = list[i].rtx;
		if (stream->len == 0) { // no a=msid in the section
			*stream = list[i].stream;
			*track = list[i].track;
		}
	}
}

// Names longer than any we may have to compare with are cut.
static uint8_t text_add(char **at, struct str s)
{
	size_t len = s.len < UINT8_MAX ? s.len : UINT8_MAX;

	if (len > 0)
		memcpy(*at, s.p, len);
	*at += len;
	return (uint8_t)len;
}

static int judge_upstream(struct plan *p, const struct sdp_media *m, struct judged *j)
{
	struct str stream = m->msid_stream, track = m->msid_track;
	struct sdp_rid rids[SDP_MAX_RIDS];
	unsigned n_rids = m->simulcast_send ? sdp_rids(m, rids) : 0;
	size_t size = sizeof(*j->up) + 2 * UINT8_MAX + IPC_TRACK_RIDS * IPC_RID_LEN;
	struct upstream *u = calloc(1, size), *fitted;
	char *at;

	if (u == NULL)
		return plan_refuse(p, -ENOMEM, "no memory");
	u->clock_hz = m->kind == SDP_AUDIO ? 48000 : 90000;
	u->n_codecs = j->n_codecs;
	memcpy(u->codec, j->codec, sizeof(u->codec));
	upstream_ssrcs(m, u, &stream, &track);
	if (n_rids > 0) // which of them is which encoding only the packets say
		u->n_ssrcs = 0;
	for (unsigned i = u->n_ssrcs; i < IPC_TRACK_SSRCS; i++)
		u->ssrc[i] = u->rtx_ssrc[i] = 0;
	at = u->text;
	u->stream_len = text_add(&at, stream);
	u->track_len = text_add(&at, track);
	for (unsigned i = 0; i < n_rids; i++)
		if (rids[i].send && rids[i].listed)
			u->rid_len[u->n_rids++] = text_add(&at, rids[i].id);
	u->size = (uint16_t)(at - (char *)u);
	if (u->size < sizeof(*u)) // the struct's tail padding is part of the comparison
		u->size = sizeof(*u);
	fitted = realloc(u, u->size);
	j->up = fitted ? fitted : u;
	return 0;
}

// More encodings, or longer names of them, than the dataplane tells apart: the peer is told not to send, and
// everything else goes on.
static bool rids_fit(const struct sdp_media *m)
{
	struct sdp_rid rids[SDP_MAX_RIDS];
	unsigned n = m->simulcast_send ? sdp_rids(m, rids) : 0, n_sent = 0;

	if (m->simulcast_send && m->n_rids > SDP_MAX_RIDS)
		return false;
	for (unsigned i = 0; i < n; i++) {
		if (!rids[i].send || !rids[i].listed)
			continue;
		n_sent++;
		if (rids[i].id.len >= IPC_RID_LEN) // with the NUL that ends it there
			return false;
	}
	return n_sent <= IPC_TRACK_RIDS;
}

static int judge_section(struct negotiate *n, struct plan *p, unsigned i, struct str by_id[256])
{
	const struct sdp_media *m = &p->media[i];
	struct judged *j = &p->section[i];
	bool in_bundle = p->sdp.has_bundle ? m->bundled : i == 0;
	int rc;

	if (m->mid.len == 0 && !m->rejected)
		return plan_refuse(p, -EBADMSG, "a section without mid");
	if (m->rejected || !in_bundle || m->kind == SDP_OTHER)
		return 0;
	if (m->kind == SDP_DATA) {
		j->accepted = p->data < 0 && m->proto_known >= SDP_UDP_DTLS_SCTP && m->sctp_port != 0;
		if (j->accepted)
			p->data = (int)i;
		return 0;
	}
	judge_codecs(n, p, m, j);
	j->accepted =
		j->n_codecs > 0 && m->proto_known != SDP_PROTO_OTHER && m->proto_known < SDP_UDP_DTLS_SCTP;
	if ((rc = judge_exts(p, m, j, by_id)) < 0)
		return rc;
	j->simulcast = m->simulcast_send;
	if (j->accepted && (m->dir & SDP_SENDONLY) && (m->kind == SDP_AUDIO || n->conf->video) && rids_fit(m))
		return judge_upstream(p, m, j);
	return 0;
}

int judge_sections(struct negotiate *n, struct plan *p)
{
	struct str *by_id = calloc(256, sizeof(*by_id));
	int rc = 0;

	if (by_id == NULL)
		return plan_refuse(p, -ENOMEM, "no memory");
	for (unsigned i = 0; i < p->sdp.n_media && rc == 0; i++)
		rc = judge_section(n, p, i, by_id);
	// An id that we use for another extension than the peer does now is the peer's.
	for (unsigned e = 0; e < IPC_N_EXTS && rc == 0; e++) {
		const struct str *uri = &by_id[n->ext_id[e]];
		if (n->ext_id[e] != 0 && uri->len > 0 && !str_eq(*uri, str_of(negotiate_ext_uri[e])) &&
		    p->ext_id[e] == 0)
			p->ext_id[e] = UINT8_MAX; // taken away
	}
	free(by_id);
	return rc;
}

// --- transport -----------------------------------------------------------------------------------

// The section whose transport the bundle uses: the first accepted one.
static int find_transport(struct plan *p)
{
	for (unsigned i = 0; i < p->sdp.n_media; i++) {
		if (p->section[i].accepted) {
			p->transport = i;
			return 0;
		}
	}
	return plan_refuse(p, -ENOTSUP, "no section that can be accepted");
}

int judge_transport(const struct negotiate *n, struct plan *p)
{
	const struct sdp_media *m;
	int rc = find_transport(p);

	if (rc < 0)
		return rc;
	m = &p->media[p->transport];
	if (m->ufrag.len == 0 || m->pwd.len == 0)
		return plan_refuse(p, -EBADMSG, "no ICE credentials");
	if (m->fingerprint.len == 0)
		return plan_refuse(p, -EBADMSG, "no certificate fingerprint");
	if (n->established &&
	    (n->peer_fingerprint.len != m->fingerprint.len ||
	     memcmp(n->peer_fingerprint.hash, m->fingerprint.hash, m->fingerprint.len) != 0))
		return plan_refuse(p, -EPERM, "certificate fingerprint changed");
	return 0;
}

// The DTLS role is settled by the first answer and stays: browsers refuse an answer that changes it.
int judge_setup(const struct negotiate *n, struct plan *p, bool *dtls_client)
{
	enum sdp_setup setup = p->media[p->transport].setup;

	*dtls_client = n->established ? n->dtls_client : n->conf->dtls_active;
	if (setup == SDP_HOLDCONN)
		return plan_refuse(p, -ENOTSUP, "setup:holdconn");
	if (!n->established && (setup == SDP_ACTIVE || setup == SDP_PASSIVE))
		*dtls_client = setup == SDP_PASSIVE;
	if ((setup == SDP_ACTIVE && *dtls_client) || (setup == SDP_PASSIVE && !*dtls_client))
		return plan_refuse(p, -ENOTSUP, "setup contradicts our DTLS role");
	return 0;
}
