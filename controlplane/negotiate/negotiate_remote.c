// What the peer says, applied: its offers and its answers.
//
// Both are handled in two steps. The first reads the description into a plan and may refuse it
// (negotiate_plan.c); the second applies the plan and cannot fail. So a description is taken whole or leaves the
// session as it was (D20).
#include "controlplane/negotiate/negotiate_priv.h"

#include <errno.h>
#include <stdlib.h>

// --- transport -----------------------------------------------------------------------------------

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
	uint8_t before = n->offered_codecs;

	for (unsigned i = 0; i < j->n_codecs; i++) {
		const struct codec *c = &j->codec[i];
		switch (c->codec) {
		case CODEC_OPUS:
			n->pt_opus = c->pt;
			break;
		case CODEC_VP8:
			n->pt_vp8 = c->pt;
			n->pt_vp8_rtx = 0; // follows, if there is one
			break;
		case CODEC_AV1:
			n->pt_av1 = c->pt;
			n->pt_av1_rtx = 0;
			break;
		default:
			*(i > 0 && j->codec[i - 1].codec == CODEC_VP8 ? &n->pt_vp8_rtx : &n->pt_av1_rtx) =
				c->pt;
		}
		if (c->codec == CODEC_VP8 || c->codec == CODEC_AV1)
			n->offered_codecs |= (uint8_t)(1u << c->codec);
	}
	if (before != n->offered_codecs && n->ops->room)
		n->ops->room(n->arg);
}

static bool peer_has_codec(const struct plan *p, struct codec c)
{
	for (unsigned i = 0; i < p->sdp.n_media; i++)
		for (unsigned k = 0; k < p->section[i].n_codecs; k++) {
			const struct codec *of = &p->section[i].codec[k];
			if (of->codec == c.codec && of->pt == c.pt && of->apt == c.apt)
				return true;
		}
	return false;
}

static bool peer_uses_pt(const struct plan *p, unsigned pt)
{
	return p->pts[pt / 64] >> pt % 64 & 1;
}

// Choose another payload type for what the peer has not offered, when it uses this one for something else: within a
// bundle one stands for one codec (RFC 9143 section 10.1.2).
static void pt_avoid(struct negotiate *n, const struct plan *p, uint8_t *pt, uint8_t codec, uint8_t apt)
{
	const uint8_t ours[] = {n->pt_opus, n->pt_vp8, n->pt_vp8_rtx, n->pt_av1, n->pt_av1_rtx};

	if (*pt == 0 || !peer_uses_pt(p, *pt) ||
	    peer_has_codec(p, (struct codec){.pt = *pt, .codec = codec, .apt = apt}))
		return;
	for (unsigned i = 96; i < 128 + 64 - 35;
	     i++) { // the dynamic ones, then 35 to 63 (RFC 3551 section 3)
		uint8_t free = (uint8_t)(i < 128 ? i : i - 128 + 35);
		if (!peer_uses_pt(p, free) && memchr(ours, free, sizeof(ours)) == NULL) {
			*pt = free;
			return;
		}
	}
}

static void pts_avoid(struct negotiate *n, const struct plan *p)
{
	pt_avoid(n, p, &n->pt_opus, CODEC_OPUS, 0);
	pt_avoid(n, p, &n->pt_vp8, CODEC_VP8, 0);
	pt_avoid(n, p, &n->pt_vp8_rtx, CODEC_RTX, n->pt_vp8);
	pt_avoid(n, p, &n->pt_av1, CODEC_AV1, 0);
	pt_avoid(n, p, &n->pt_av1_rtx, CODEC_RTX, n->pt_av1);
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

	if (l->wanted)
		wanted_drop(n, l->wanted);
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
	if (m->dir & SDP_SENDONLY)
		l->unfit = j->up == NULL;
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
	if (l->kind == SDP_OTHER && !str_eq(m->name, str_of(l->name)))
		return false;
	return l->kind == m->kind && (str_eq(m->mid, str_of(l->mid)) || (m->rejected && m->mid.len == 0));
}

static int judge_lines(const struct negotiate *n, struct plan *p)
{
	unsigned known = n->n_lines, n_new = 0;

	while (known > p->sdp.n_media && n->lines[known - 1].proposed)
		known--;
	if (known > p->sdp.n_media)
		return plan_refuse(p, -EBADMSG, "m-lines are missing");
	for (unsigned i = 0; i < p->sdp.n_media; i++) {
		if (i < known && line_same(&n->lines[i], &p->media[i]))
			continue;
		if (i < known && !line_replaceable(&n->lines[i]))
			return plan_refuse(p, -EBADMSG, "an m-line changed its mid or kind");
		n_new++;
	}
	if (n->n_peer_made + n_new > NEGOTIATE_MAX_PEER_LINES)
		return plan_refuse(p, -E2BIG, "too many m-lines");
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
	struct wanted *l;

	if (n->n_lines > n_media)
		n->n_lines = n_media;
	TAILQ_FOREACH (l, &n->wanted, link)
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
	if (m->kind == SDP_OTHER)
		str_copy(m->name, l->name, sizeof(l->name));
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
	l->proto = m->proto_known;
	l->sctpmap = m->sctpmap;
	l->exts = j->exts;
	if (m->dir & SDP_RECVONLY) {
		l->refused = false;
	} else if (l->wanted) {
		wanted_drop(n, l->wanted); // stays wanted: goes to another line
	}
	if (l->wanted == NULL || l->agreed_ssrc != l->wanted->ssrc)
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
		return plan_refuse(p, rc, "no memory");
	rc = transport_tell(n, p, *dtls_client, true);
	return rc < 0 ? plan_refuse(p, rc, "transport refused") : 0;
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
	pts_avoid(n, p);
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
			p.why = rc == -ENOBUFS ? "its answer would be too long" : "no memory";
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
		return plan_refuse(p, -ESTALE, "other number of m-lines than the offer");
	for (unsigned i = 0; i < n->n_lines; i++) {
		const struct line *l = &n->lines[i];
		const struct sdp_media *m = &p->media[i];

		if (l->kind != m->kind || (m->mid.len > 0 && !str_eq(m->mid, str_of(l->mid))))
			return plan_refuse(p, -ESTALE, "other m-lines than the offer");
		if (l->rejected && !m->rejected)
			return plan_refuse(p, -ESTALE, "accepts an m-line that was offered with port 0");
		if (m->kind == SDP_DATA || m->rejected)
			continue;
		if ((m->dir & ~sdp_dir_mirror(l->offered_dir)) != 0)
			return plan_refuse(p, -ESTALE, "a direction that was not offered");
	}
	return 0;
}

// The track that we offered on line i: taken or not.
static void apply_answered_leg(struct negotiate *n, unsigned i, const struct judged *j, bool taken)
{
	struct line *l = &n->lines[i];
	struct wanted *wanted = l->wanted;
	bool has_codec = false;

	l->agreed_ssrc = taken ? l->offered_ssrc : 0;
	if (wanted == NULL || wanted->ssrc != l->offered_ssrc)
		return; // no longer wanted: the next offer takes it back
	for (unsigned k = 0; k < j->n_codecs; k++)
		has_codec |= j->codec[k].codec == wanted->codec;
	if (!taken || !has_codec) {
		wanted_refuse(n, wanted);
		l->agreed_ssrc = 0;
	} else if (!wanted->up) {
		wanted_start(n, wanted);
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
		struct wanted *wanted = l->wanted;
		if (wanted)
			wanted_refuse(n, wanted);
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
	return rc < 0 ? plan_refuse(p, rc, "transport refused") : 0;
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
		pts_avoid(n, &p);
		offer_settle(n, now);
	} else {
		n->stats.answers_stale += rc == -ESTALE;
		n->stats.answers_bad += rc != -ESTALE;
		*why = p.why;
	}
	plan_free(&p);
	return rc;
}
