#include "tests/support/controlplane/negotiate_peer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"

void peer_bad(struct peer *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (p->n_bad++ == 0)
		vsnprintf(p->why, sizeof(p->why), fmt, ap);
	va_end(ap);
}

void peer_init(struct peer *p, bool polite, bool locks)
{
	memset(p, 0, sizeof(*p));
	p->polite = polite;
	p->locks = locks;
	snprintf(p->ufrag, sizeof(p->ufrag), "peer%04u", rand() % 10000);
	p->lines[p->n_lines++] = (struct peer_line){.mid = "0", .kind = SDP_DATA};
	p->need_offer = true;
}

void peer_add_audio(struct peer *p)
{
	char mid[17];
	unsigned next = 0;

	for (unsigned i = 0; i < p->n_lines; i++) {
		struct peer_line *l = &p->lines[i];
		if (p->polite && l->kind == SDP_AUDIO && !l->sends && !l->rejected) {
			l->sends = true;
			p->need_offer = true;
			return;
		}
		if ((unsigned)atoi(l->mid) >= next)
			next = (unsigned)atoi(l->mid) + 1;
	}
	if (p->n_lines == PEER_LINES)
		return;
	snprintf(mid, sizeof(mid), "%u", next);
	p->lines[p->n_lines] = (struct peer_line){.kind = SDP_AUDIO, .sends = true};
	memcpy(p->lines[p->n_lines++].mid, mid, sizeof(mid));
	p->need_offer = true;
}

void peer_remove_audio(struct peer *p)
{
	for (unsigned i = 0; i < p->n_lines; i++) {
		if (p->lines[i].kind == SDP_AUDIO && p->lines[i].sends) {
			p->lines[i].sends = false;
			p->need_offer = true;
			return;
		}
	}
}

void peer_write(struct peer *p, struct wbuf *w, const struct sdp *offer)
{
	static const struct sdp_codec_out opus = {"opus",     "minptime=10;useinbandfec=1", 48000, 111, 2,
						  SDP_FB_TWCC};
	static const struct sdp_ext_out exts[] = {
		{"urn:ietf:params:rtp-hdrext:ssrc-audio-level", 1},
		{"urn:ietf:params:rtp-hdrext:sdes:mid", 2},
		{"http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", 5}};
	static const struct sdp_fingerprint fp = {.len = 32, .hash = {1, 2, 3}};
	struct str mids[PEER_LINES];
	unsigned n_mids = 0;

	for (unsigned i = 0; i < p->n_lines; i++)
		if (!p->lines[i].rejected)
			mids[n_mids++] = str_of(p->lines[i].mid);
	sdp_write_session(w, &(struct sdp_session_out){.origin_id = 1,
						       .origin_version = ++p->version,
						       .fingerprint = &fp,
						       .bundle = mids,
						       .n_bundle = n_mids});
	for (unsigned i = 0; i < p->n_lines; i++) {
		const struct peer_line *l = &p->lines[i];
		int offered = offer ? offer->media[i].dir : SDP_SENDRECV;
		struct sdp_media_out m = {.kind = (uint8_t)l->kind,
					  .setup = offer ? SDP_ACTIVE : SDP_ACTPASS,
					  .rejected = l->rejected,
					  .mid = str_of(l->mid),
					  .name = l->kind == SDP_AUDIO ? STR("audio") : STR("application"),
					  .proto = l->kind == SDP_AUDIO ? STR("UDP/TLS/RTP/SAVPF")
									: STR("UDP/DTLS/SCTP"),
					  .formats = STR("0"),
					  .ufrag = str_of(p->ufrag),
					  .pwd = STR("peerpasswordpeerpasswordpeer"),
					  .sctp_port = 5000,
					  .max_message_size = 262144};
		if (l->kind == SDP_AUDIO) {
			m.codecs = &opus;
			m.n_codecs = 1;
			m.exts = exts;
			m.n_exts = 3;
			m.dir = (l->sends && (offered & SDP_RECVONLY) ? SDP_SENDONLY : 0) |
				(offered & SDP_SENDONLY ? SDP_RECVONLY : 0);
			if (offer && p->refuses_audio)
				m.dir = SDP_INACTIVE;
			if (l->sends) {
				m.msid_stream = STR("mic");
				m.ssrc = 1000 + i;
			}
		} else {
			m.dir = SDP_SENDRECV;
		}
		sdp_write_media(w, &m);
	}
	MUST(!w->full);
}

// An SSRC belongs to one line and one track for ever.
static void peer_note(struct peer *p, const struct peer_line *l)
{
	for (unsigned i = 0; i < p->n_seen; i++) {
		if (p->seen[i].ssrc != l->ssrc)
			continue;
		if (strcmp(p->seen[i].mid, l->mid) != 0 || strcmp(p->seen[i].track, l->track) != 0)
			peer_bad(p, "ssrc %u moved from %s %s to %s %s", l->ssrc, p->seen[i].mid,
				 p->seen[i].track, l->mid, l->track);
		return;
	}
	if (p->n_seen == 4096)
		return;
	p->seen[p->n_seen].ssrc = l->ssrc;
	strcpy(p->seen[p->n_seen].mid, l->mid);
	strcpy(p->seen[p->n_seen++].track, l->track);
}

// What holds for every description of ours.
static void peer_judge(struct peer *p, const struct sdp *d, bool is_offer)
{
	const char *uri_of[256] = {};
	size_t uri_len[256] = {};

	if (!d->ice_lite)
		peer_bad(p, "no ice-lite");
	if (d->n_media < p->n_lines)
		peer_bad(p, "%u m-lines, %u known", d->n_media, p->n_lines);
	for (unsigned i = 0; i < d->n_media; i++) {
		const struct sdp_media *m = &d->media[i];
		struct sdp_ext exts[SDP_MAX_EXTS];
		unsigned n = sdp_exts(m, exts);

		if (m->mid.len == 0 || (!m->rejected && !m->bundled))
			peer_bad(p, "line %u: no mid or not bundled", i);
		if (m->rejected)
			continue;
		if (m->setup != (is_offer ? SDP_ACTPASS : SDP_PASSIVE))
			peer_bad(p, "line %u: setup", i);
		if (m->kind == SDP_AUDIO && !m->rtcp_mux)
			peer_bad(p, "line %u: no rtcp-mux", i);
		for (unsigned k = 0; k < n; k++) {
			if (uri_of[exts[k].id] &&
			    (uri_len[exts[k].id] != exts[k].uri.len ||
			     memcmp(uri_of[exts[k].id], exts[k].uri.p, exts[k].uri.len)))
				peer_bad(p, "extension id %u collides", exts[k].id);
			uri_of[exts[k].id] = exts[k].uri.p;
			uri_len[exts[k].id] = exts[k].uri.len;
		}
	}
}

static void peer_take_line(struct peer *p, unsigned i, const struct sdp_media *m)
{
	struct sdp_source src[SDP_MAX_SSRCS];
	struct peer_line *l = &p->lines[i];
	unsigned n = sdp_sources(m, src);

	if (i >= p->n_lines) {
		*l = (struct peer_line){.kind = m->kind};
		str_copy(m->mid, l->mid, sizeof(l->mid));
		p->n_lines = i + 1;
	} else if (l->kind != m->kind || !str_eq(m->mid, str_of(l->mid))) {
		peer_bad(p, "line %u was %s, is %.*s", i, l->mid, STR_ARG(m->mid));
	}
	l->agreed = true;
	l->rejected = m->rejected;
	l->ssrc = 0;
	l->track[0] = '\0';
	if (!m->rejected && (m->dir & SDP_SENDONLY) && m->kind == SDP_AUDIO) {
		if (n != 1 || m->msid_track.len == 0)
			peer_bad(p, "line %u sends without ssrc or msid", i);
		l->ssrc = n ? src[0].ssrc : 0;
		str_copy(m->msid_track, l->track, sizeof(l->track));
		peer_note(p, l);
	}
}

bool peer_on_offer(struct peer *p, struct str text, struct wbuf *answer)
{
	static struct sdp_media media[PEER_LINES];
	struct sdp_error err;
	struct sdp d;

	if (sdp_parse(text, &d, media, PEER_LINES, &err) < 0) {
		peer_bad(p, "our offer does not parse: %s", err.reason);
		return false;
	}
	if (p->offering) {
		if (!p->polite) {
			p->n_lost++;
			return false;
		}
		p->offering = false;
		p->need_offer = true;
		// Lines that only the offer taken back had are gone, and their tracks wait for another.
		while (p->n_lines > 1 && !p->lines[p->n_lines - 1].agreed)
			p->n_lines--;
	}
	peer_judge(p, &d, true);
	for (unsigned i = 0; i < d.n_media; i++)
		peer_take_line(p, i, &media[i]);
	peer_write(p, answer, &d);
	return true;
}

void peer_on_answer(struct peer *p, struct str text)
{
	static struct sdp_media media[PEER_LINES];
	struct sdp_error err;
	struct sdp d;

	if (!p->offering)
		return;
	if (sdp_parse(text, &d, media, PEER_LINES, &err) < 0) {
		peer_bad(p, "our answer does not parse: %s", err.reason);
		return;
	}
	peer_judge(p, &d, false);
	if (d.n_media != p->n_lines)
		peer_bad(p, "answer has %u lines, offer %u", d.n_media, p->n_lines);
	for (unsigned i = 0; i < d.n_media && i < p->n_lines; i++)
		peer_take_line(p, i, &media[i]);
	p->offering = false;
	p->n_answered++;
}
