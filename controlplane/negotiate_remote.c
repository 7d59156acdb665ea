// What the peer says: its offers and its answers.
//
// Both are handled in two steps. The first reads the description into a plan and may refuse it; the second
// applies the plan and cannot fail. So a description is taken whole or leaves the session as it was (D20).
#include "controlplane/negotiate_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/err.h"

// One section of a remote description, judged.
struct judged {
	struct codec codec[IPC_TRACK_CODECS]; // common codecs, in the peer's order
	struct upstream *up;                  // owned until applied: what it sends; NULL: nothing
	uint8_t n_codecs;
	uint8_t exts; // bit per enum ipc_ext
	bool accepted;
	bool simulcast;
};

struct plan {
	struct sdp sdp;
	struct sdp_media *media;    // owned
	struct judged *section;     // owned, one per m-line
	unsigned transport;         // index of the section that carries the transport
	int data;                   // index of the accepted data section, -1: none
	uint8_t ext_id[IPC_N_EXTS]; // as the peer numbers them here; 0: not in this description
	uint32_t ids_used;          // bit per id 1..14 it uses for anything
	const char *why;
};

static int refuse(struct plan *p, int err, const char *why)
{
	p->why = why;
	return err;
}

static void plan_free(struct plan *p)
{
	for (unsigned i = 0; p->section && i < p->sdp.n_media; i++)
		free(p->section[i].up);
	free(p->section);
	free(p->media);
}

static int plan_parse(struct plan *p, struct str text)
{
	struct sdp_error err;
	int rc;

	*p = (struct plan){.data = -1, .why = ""};
	p->media = malloc(NEGOTIATE_MAX_LINES * sizeof(*p->media));
	if (p->media == NULL)
		return refuse(p, -ENOMEM, "no memory");
	rc = sdp_parse(text, &p->sdp, p->media, NEGOTIATE_MAX_LINES, &err);
	if (rc < 0)
		return refuse(p, rc, err.reason);
	if (p->sdp.n_media == 0)
		return refuse(p, -EBADMSG, "no m-lines");
	p->section = calloc(p->sdp.n_media, sizeof(*p->section));
	return p->section ? 0 : refuse(p, -ENOMEM, "no memory");
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
static void judge_codecs(const struct negotiate *n, const struct sdp_media *m, struct judged *j)
{
	uint8_t wanted_fb = m->kind == SDP_AUDIO ? FB_TWCC : FB_NACK | FB_PLI | FB_FIR | FB_TWCC | FB_REMB;
	struct sdp_codec list[SDP_MAX_CODECS];
	unsigned n_list = sdp_codecs(m, list), seen = 0;

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

static uint8_t exts_wanted(enum sdp_kind kind, uint8_t offered)
{
	uint8_t exts = offered & (1u << EXT_MID | 1u << EXT_TWCC);

	if (kind == SDP_AUDIO)
		return exts | (offered & 1u << EXT_LEVEL);
	exts |= offered & (1u << EXT_RID | 1u << EXT_RRID);
	if ((offered & 1u << EXT_TWCC) == 0) // its estimator then works with REMB (Firefox)
		exts |= offered & 1u << EXT_ABS_SEND_TIME;
	return exts;
}

// One id must stand for one URI in the whole bundle (clients.md 2.8). by_id: the URIs seen so far.
static int judge_exts(struct plan *p, const struct sdp_media *m, struct judged *j, struct str by_id[256])
{
	struct sdp_ext list[SDP_MAX_EXTS];
	unsigned n = sdp_exts(m, list);
	uint8_t offered = 0, id[IPC_N_EXTS] = {};

	for (unsigned i = 0; i < n; i++) {
		struct str *seen = &by_id[list[i].id];

		if (seen->len > 0 && !str_eq(*seen, list[i].uri))
			return refuse(p, -EBADMSG, "one header extension id has two URIs");
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
	j->exts = j->accepted ? exts_wanted(m->kind, offered) : 0;
	for (unsigned e = 0; e < IPC_N_EXTS; e++)
		if (j->exts & 1u << e)
			p->ext_id[e] = id[e];
	return 0;
}

// --- what the peer sends -------------------------------------------------------------------------

static void upstream_ssrcs(const struct sdp_media *m, struct upstream *u, struct str *stream,
			   struct str *track)
{
	struct sdp_source list[SDP_MAX_SSRCS];
	unsigned n = sdp_sources(m, list);

	for (unsigned i = 0; i < n && u->n_ssrcs < IPC_TRACK_SSRCS; i++) {
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
	size_t size = sizeof(*j->up) + 2 * UINT8_MAX + SDP_MAX_RIDS * SDP_MAX_MID;
	struct upstream *u = calloc(1, size), *fitted;
	char *at;

	if (u == NULL)
		return refuse(p, -ENOMEM, "no memory");
	u->clock_hz = m->kind == SDP_AUDIO ? 48000 : 90000;
	u->n_codecs = j->n_codecs;
	memcpy(u->codec, j->codec, sizeof(u->codec));
	upstream_ssrcs(m, u, &stream, &track);
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

static int judge_section(struct negotiate *n, struct plan *p, unsigned i, struct str by_id[256])
{
	const struct sdp_media *m = &p->media[i];
	struct judged *j = &p->section[i];
	bool in_bundle = p->sdp.has_bundle ? m->bundled : i == 0;
	int rc;

	if (m->kind == SDP_OTHER)
		return refuse(p, -ENOTSUP, "a section that is neither audio, video nor application");
	if (m->mid.len == 0 && !m->rejected)
		return refuse(p, -EBADMSG, "a section without mid");
	if (m->rejected || !in_bundle)
		return 0;
	if (m->kind == SDP_DATA) {
		j->accepted = p->data < 0 && str_eq(m->proto, STR("UDP/DTLS/SCTP")) && m->sctp_port != 0;
		if (j->accepted)
			p->data = (int)i;
		return 0;
	}
	judge_codecs(n, m, j);
	j->accepted = j->n_codecs > 0 && str_ieq(m->proto, STR("UDP/TLS/RTP/SAVPF"));
	if ((rc = judge_exts(p, m, j, by_id)) < 0)
		return rc;
	j->simulcast = m->simulcast_send;
	if (j->accepted && (m->dir & SDP_SENDONLY) && (m->kind == SDP_AUDIO || n->conf->video))
		return judge_upstream(p, m, j);
	return 0;
}

static int judge_sections(struct negotiate *n, struct plan *p)
{
	struct str *by_id = calloc(256, sizeof(*by_id));
	int rc = 0;

	if (by_id == NULL)
		return refuse(p, -ENOMEM, "no memory");
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
	return refuse(p, -ENOTSUP, "no section that can be accepted");
}

static int judge_transport(const struct negotiate *n, struct plan *p)
{
	const struct sdp_media *m;
	int rc = find_transport(p);

	if (rc < 0)
		return rc;
	m = &p->media[p->transport];
	if (m->ufrag.len == 0 || m->pwd.len == 0)
		return refuse(p, -EBADMSG, "no ICE credentials");
	if (m->fingerprint.len == 0)
		return refuse(p, -EBADMSG, "no certificate fingerprint");
	if (n->established &&
	    (n->peer_fingerprint.len != m->fingerprint.len ||
	     memcmp(n->peer_fingerprint.hash, m->fingerprint.hash, m->fingerprint.len) != 0))
		return refuse(p, -EPERM, "certificate fingerprint changed");
	return 0;
}

// The DTLS role is settled by the first answer and stays (clients.md 2.8).
static int judge_setup(const struct negotiate *n, struct plan *p, bool *dtls_client)
{
	enum sdp_setup setup = p->media[p->transport].setup;

	*dtls_client = n->established ? n->dtls_client : n->conf->dtls_active;
	if (setup == SDP_HOLDCONN)
		return refuse(p, -ENOTSUP, "setup:holdconn");
	if (!n->established && setup == SDP_ACTIVE)
		*dtls_client = false;
	if ((setup == SDP_ACTIVE && *dtls_client) || (setup == SDP_PASSIVE && !*dtls_client))
		return refuse(p, -ENOTSUP, "setup contradicts our DTLS role");
	return 0;
}

static bool transport_changed(const struct negotiate *n, const struct plan *p)
{
	const struct sdp_media *m = &p->media[p->transport];

	return !str_eq(m->ufrag, str_of(n->peer_ufrag)) || !str_eq(m->pwd, str_of(n->peer_pwd));
}

static void transport_store(struct negotiate *n, const struct plan *p)
{
	const struct sdp_media *m = &p->media[p->transport];

	str_copy(m->ufrag, n->peer_ufrag, sizeof(n->peer_ufrag));
	str_copy(m->pwd, n->peer_pwd, sizeof(n->peer_pwd));
	n->peer_fingerprint = m->fingerprint;
	if (p->data >= 0)
		n->peer_max_message = p->media[p->data].max_message_size;
}

// Tell what changed, and get new credentials of ours when the peer restarts ICE.
static int transport_tell(struct negotiate *n, const struct plan *p, bool dtls_client, bool may_restart)
{
	const struct sdp_media *m = &p->media[p->transport];
	struct negotiate_transport t = {.ufrag = m->ufrag,
					.pwd = m->pwd,
					.fingerprint = &m->fingerprint,
					.we_are_dtls_client = dtls_client,
					.has_data = p->data >= 0,
					.max_message_size = n->peer_max_message};
	bool changed = transport_changed(n, p);

	if (p->data >= 0)
		t.max_message_size = p->media[p->data].max_message_size;
	t.ice_restart = changed && n->established && may_restart;
	if (n->established && !changed && (n->data_line >= 0) == t.has_data)
		return 0;
	return n->ops->transport(n->arg, &t, &n->local);
}

// --- applying ------------------------------------------------------------------------------------

static void apply_extmap(struct negotiate *n, const struct plan *p)
{
	bool changed = false;

	for (unsigned e = 0; e < IPC_N_EXTS; e++) {
		uint8_t id = p->ext_id[e] == UINT8_MAX ? 0 : p->ext_id[e];
		if (p->ext_id[e] == 0 || n->ext_id[e] == id)
			continue;
		n->ext_id[e] = id;
		changed = true;
	}
	if (changed)
		n->ops->extmap(n->arg, n->ext_id);
}

// The payload types the peer uses, for lines that we open later.
static void learn_codecs(struct negotiate *n, const struct judged *j)
{
	for (unsigned i = 0; i < j->n_codecs; i++) {
		const struct codec *c = &j->codec[i];
		if (c->codec == CODEC_OPUS)
			n->pt_opus = c->pt;
		else if (c->codec == CODEC_VP8)
			n->pt_vp8 = c->pt;
		else if (c->codec == CODEC_AV1)
			n->pt_av1 = c->pt;
		else if (i > 0 && j->codec[i - 1].codec == CODEC_VP8)
			n->pt_vp8_rtx = c->pt;
		else if (i > 0)
			n->pt_av1_rtx = c->pt;
	}
}

// Hand over what the peer sends on line i, or that it stopped.
static void apply_upstream(struct negotiate *n, unsigned i, struct judged *j)
{
	struct line *l = &n->lines[i];
	struct upstream *old = l->up;
	struct negotiate_upstream view;

	if (j->up == NULL) {
		line_stop_upstream(n, i);
		return;
	}
	if (old && old->size == j->up->size && memcmp(old, j->up, old->size) == 0)
		return;
	l->up = j->up;
	j->up = NULL;
	upstream_view(l, &view);
	view.is_new = old == NULL;
	free(old);
	n->version++;
	n->ops->upstream(n->arg, &view);
}

static void line_reject(struct negotiate *n, unsigned i)
{
	struct line *l = &n->lines[i];

	if (l->leg)
		leg_drop(n, l->leg);
	line_stop_upstream(n, i);
	l->rejected = true;
	l->agreed_ssrc = l->offered_ssrc = 0;
	l->peer_dir = SDP_INACTIVE;
}

static void line_accept(struct negotiate *n, unsigned i, const struct sdp_media *m, struct judged *j)
{
	struct line *l = &n->lines[i];

	l->peer_dir = m->dir;
	l->proposed = false;
	if (l->kind == SDP_DATA)
		return;
	memcpy(l->codec, j->codec, sizeof(l->codec));
	l->n_codecs = j->n_codecs;
	l->simulcast = j->simulcast;
	apply_upstream(n, i, j);
}

// --- offers --------------------------------------------------------------------------------------

// A section may take over a line that was rejected, or one that only offers of ours have had (RFC 8829 5.2.2).
static bool line_replaceable(const struct line *l)
{
	return l->rejected || l->proposed;
}

static bool line_same(const struct line *l, const struct sdp_media *m)
{
	return l->kind == m->kind && (str_eq(m->mid, str_of(l->mid)) || (m->rejected && m->mid.len == 0));
}

static int judge_lines(const struct negotiate *n, struct plan *p)
{
	unsigned known = n->n_lines, n_new = 0;

	while (known > p->sdp.n_media && n->lines[known - 1].proposed)
		known--;
	if (known > p->sdp.n_media)
		return refuse(p, -EBADMSG, "m-lines are missing");
	for (unsigned i = 0; i < p->sdp.n_media; i++) {
		if (i < known && line_same(&n->lines[i], &p->media[i]))
			continue;
		if (i < known && !line_replaceable(&n->lines[i]))
			return refuse(p, -EBADMSG, "an m-line changed its mid or kind");
		n_new++;
	}
	if (n->n_peer_made + n_new > NEGOTIATE_MAX_PEER_LINES)
		return refuse(p, -E2BIG, "too many m-lines");
	return 0;
}

// Room for all sections before anything is changed; then lines that the peer does not know go.
static int lines_reserve(struct negotiate *n, unsigned n_media)
{
	struct line *l;

	while (n->n_lines_room < n_media) {
		unsigned used = n->n_lines, room = n->n_lines_room;
		n->n_lines = room;
		if (line_add(n, &l) < 0) {
			n->n_lines = used;
			return -ENOMEM;
		}
		n->n_lines = used;
	}
	return 0;
}

static void lines_truncate(struct negotiate *n, unsigned n_media)
{
	struct leg *l;

	if (n->n_lines > n_media)
		n->n_lines = n_media;
	TAILQ_FOREACH (l, &n->legs, link)
		if (l->offered_line >= (int)n->n_lines)
			l->offered_line = -1;
}

// Make line i the peer's. Room was reserved.
static void line_begin(struct negotiate *n, unsigned i, const struct sdp_media *m)
{
	struct line *l = &n->lines[i];

	if (i < n->n_lines) {
		line_reject(n, i);
		n->n_peer_made -= l->peer_made;
	} else {
		n->n_lines = i + 1;
	}
	*l = (struct line){.kind = m->kind, .peer_made = true};
	str_copy(m->mid, l->mid, sizeof(l->mid));
	n->n_peer_made++;
}

static void apply_offered_line(struct negotiate *n, struct plan *p, unsigned i)
{
	const struct sdp_media *m = &p->media[i];
	struct judged *j = &p->section[i];
	struct line *l;

	if (i >= n->n_lines || !line_same(&n->lines[i], m))
		line_begin(n, i, m);
	l = &n->lines[i];
	if (!j->accepted) {
		l->proposed = false;
		line_reject(n, i);
		return;
	}
	l->rejected = false;
	l->exts = j->exts;
	if (m->dir & SDP_RECVONLY) {
		l->refused = false;
	} else if (l->leg) {
		leg_drop(n, l->leg); // stays wanted: goes to another line
	}
	if (l->leg == NULL || l->agreed_ssrc != l->leg->ssrc)
		l->agreed_ssrc = 0; // the answer announces nothing here
	line_accept(n, i, m, j);
	learn_codecs(n, j);
}

static int plan_offer(struct negotiate *n, struct plan *p, struct str text, bool *dtls_client)
{
	int rc;

	if ((rc = plan_parse(p, text)) < 0 || (rc = judge_lines(n, p)) < 0 ||
	    (rc = judge_sections(n, p)) < 0 || (rc = judge_transport(n, p)) < 0 ||
	    (rc = judge_setup(n, p, dtls_client)) < 0)
		return rc;
	if ((rc = lines_reserve(n, p->sdp.n_media)) < 0)
		return refuse(p, rc, "no memory");
	rc = transport_tell(n, p, *dtls_client, true);
	return rc < 0 ? refuse(p, rc, "transport refused") : 0;
}

static void apply_offer(struct negotiate *n, struct plan *p, bool dtls_client)
{
	transport_store(n, p);
	n->dtls_client = dtls_client;
	n->data_line = p->data;
	n->peer_ids = (uint16_t)p->ids_used;
	lines_truncate(n, p->sdp.n_media);
	apply_extmap(n, p);
	for (unsigned i = 0; i < p->sdp.n_media; i++)
		apply_offered_line(n, p, i);
	n->established = true;
	n->version++;
}

// A client with the lock frees it when it has applied our answer; any other gets a moment for that.
static void after_answer(struct negotiate *n, ns_t now)
{
	if (n->lock == LOCK_CLIENT)
		n->lock_until = now + negotiate_lock_lease(n);
	else
		n->hold_until = now + negotiate_coalesce(n);
	offer_soon(n, now);
}

int negotiate_remote_offer(struct negotiate *n, struct str text, ns_t now, const char **why)
{
	struct plan p = {};
	bool dtls_client;
	int rc;

	n->stats.offers_in++;
	*why = "";
	if (n->pending) {
		n->stats.offers_ignored++;
		*why = "an offer of ours is pending";
		return -EBUSY;
	}
	rc = plan_offer(n, &p, text, &dtls_client);
	if (rc == 0) {
		apply_offer(n, &p, dtls_client);
		rc = answer_send(n, &p.sdp);
		if (rc < 0)
			p.why = "no memory";
		after_answer(n, now);
	}
	if (rc < 0) {
		n->stats.offers_bad++;
		*why = p.why;
	}
	plan_free(&p);
	return rc;
}

// --- answers -------------------------------------------------------------------------------------

// Does it fit the pending offer? Else it was made for an earlier one (D25).
static int judge_answer(const struct negotiate *n, struct plan *p)
{
	if (p->sdp.n_media != n->n_lines)
		return refuse(p, -ESTALE, "other number of m-lines than the offer");
	for (unsigned i = 0; i < n->n_lines; i++) {
		const struct line *l = &n->lines[i];
		const struct sdp_media *m = &p->media[i];

		if (l->kind != m->kind || (m->mid.len > 0 && !str_eq(m->mid, str_of(l->mid))))
			return refuse(p, -ESTALE, "other m-lines than the offer");
		if (l->rejected && !m->rejected)
			return refuse(p, -ESTALE, "accepts an m-line that was offered with port 0");
		if (m->kind == SDP_DATA || m->rejected)
			continue;
		if ((m->dir & ~sdp_dir_mirror(l->offered_dir)) != 0)
			return refuse(p, -ESTALE, "a direction that was not offered");
	}
	return 0;
}

// The track that we offered on line i: taken or not.
static void apply_answered_leg(struct negotiate *n, unsigned i, const struct judged *j, bool taken)
{
	struct line *l = &n->lines[i];
	struct leg *leg = l->leg;
	bool has_codec = false;

	l->agreed_ssrc = taken ? l->offered_ssrc : 0;
	if (leg == NULL || leg->ssrc != l->offered_ssrc)
		return; // no longer wanted: the next offer takes it back
	for (unsigned k = 0; k < j->n_codecs; k++)
		has_codec |= j->codec[k].codec == leg->codec;
	if (!taken || !has_codec) {
		leg_refuse(n, leg);
		l->agreed_ssrc = 0;
	} else if (!leg->up) {
		leg_start(n, leg);
	}
}

static void apply_answered_line(struct negotiate *n, struct plan *p, unsigned i)
{
	const struct sdp_media *m = &p->media[i];
	struct judged *j = &p->section[i];
	struct line *l = &n->lines[i];
	bool takes = m->dir & SDP_RECVONLY;

	if (l->rejected)
		return;
	if (l->kind == SDP_DATA) {
		l->rejected = m->rejected;
		return;
	}
	if (!j->accepted) {
		struct leg *leg = l->leg;
		if (leg)
			leg_refuse(n, leg);
		l->proposed = false;
		line_reject(n, i);
		return;
	}
	l->exts &= j->exts;
	line_accept(n, i, m, j);
	if (l->offered_dir & SDP_SENDONLY)
		apply_answered_leg(n, i, j, takes);
	else
		l->agreed_ssrc = 0;
}

static int plan_answer(struct negotiate *n, struct plan *p, struct str text)
{
	int rc;

	if ((rc = plan_parse(p, text)) < 0 || (rc = judge_answer(n, p)) < 0 ||
	    (rc = judge_sections(n, p)) < 0 || (rc = judge_transport(n, p)) < 0)
		return rc;
	rc = transport_tell(n, p, n->dtls_client, false);
	return rc < 0 ? refuse(p, rc, "transport refused") : 0;
}

static int answer_unexpected(struct negotiate *n, ns_t now, const char **why)
{
	n->stats.answers_stale++;
	*why = "no offer is pending";
	if (n->reassert) { // the peer has just applied the credentials of an offer that was given up
		n->reassert = false;
		n->restarting = true;
		offer_soon(n, now);
	}
	return -EALREADY;
}

int negotiate_remote_answer(struct negotiate *n, struct str text, ns_t now, const char **why)
{
	struct plan p = {};
	int rc;

	n->stats.answers_in++;
	*why = "";
	if (!n->pending)
		return answer_unexpected(n, now, why);
	rc = plan_answer(n, &p, text);
	if (rc == 0) {
		transport_store(n, &p);
		n->data_line = p.data;
		n->restarting = false;
		for (unsigned i = 0; i < n->n_lines; i++)
			apply_answered_line(n, &p, i);
		offer_settle(n, now);
	} else {
		n->stats.answers_stale += rc == -ESTALE;
		n->stats.answers_bad += rc != -ESTALE;
		*why = p.why;
	}
	plan_free(&p);
	return rc;
}
