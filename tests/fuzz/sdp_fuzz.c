// Parse, write again what was parsed, parse that: both must agree on everything the writer can say.
// max_len: 131072
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/rtc/wire/sdp.h"

enum { MAX_MEDIA = 64 };

static struct sdp_media first[MAX_MEDIA], second[MAX_MEDIA];

struct lists {
	struct sdp_codec codecs[SDP_MAX_CODECS];
	struct sdp_ext exts[SDP_MAX_EXTS];
	struct sdp_source sources[SDP_MAX_SSRCS];
	struct sdp_rid rids[SDP_MAX_RIDS];
	unsigned n_codecs, n_exts, n_sources, n_rids;
};

static void lists_fill(struct lists *l, const struct sdp_media *m)
{
	l->n_codecs = sdp_codecs(m, l->codecs);
	l->n_exts = sdp_exts(m, l->exts);
	l->n_sources = sdp_sources(m, l->sources);
	l->n_rids = sdp_rids(m, l->rids);
	for (unsigned i = 0; i < l->n_codecs; i++)
		(void)sdp_fmtp_get(l->codecs[i].fmtp, STR("apt"));
}

// A section can be written as accepted when it names a codec or is data.
static bool is_rejected(const struct sdp_media *m, const struct lists *l)
{
	bool named = m->kind == SDP_DATA;

	for (unsigned i = 0; i < l->n_codecs; i++)
		named |= l->codecs[i].name.len > 0;
	return m->rejected || m->kind == SDP_OTHER || !named;
}

static const char *hold(struct str s, char **arena)
{
	char *at = *arena;

	memcpy(at, s.p ? s.p : "", s.len);
	at[s.len] = '\0';
	*arena += s.len + 1;
	return at;
}

static void rewrite(struct wbuf *w, const struct sdp_media *m, const struct lists *l, char *arena)
{
	struct sdp_codec_out codecs[SDP_MAX_CODECS];
	struct sdp_ext_out exts[SDP_MAX_EXTS];
	struct sdp_rid_out rids[SDP_MAX_RIDS];
	struct sdp_media_out o = {.kind = m->kind,
				  .dir = m->dir,
				  .setup = m->setup,
				  .rejected = is_rejected(m, l),
				  .mid = m->mid,
				  .name = m->name,
				  .proto = m->proto,
				  .formats = m->formats,
				  .ufrag = m->ufrag,
				  .pwd = m->pwd,
				  .codecs = codecs,
				  .exts = exts,
				  .rids = rids,
				  .msid_stream = m->msid_stream,
				  .msid_track = m->msid_track,
				  .sctp_port = m->sctp_port ? m->sctp_port : 5000,
				  .max_message_size = m->max_message_size};

	for (unsigned i = 0; i < l->n_codecs; i++)
		if (l->codecs[i].name.len > 0)
			codecs[o.n_codecs++] = (struct sdp_codec_out){
				hold(l->codecs[i].name, &arena),
				l->codecs[i].fmtp.len ? hold(l->codecs[i].fmtp, &arena) : NULL,
				l->codecs[i].clock_hz,
				l->codecs[i].pt,
				l->codecs[i].channels,
				l->codecs[i].fb};
	for (unsigned i = 0; i < l->n_exts; i++)
		exts[o.n_exts++] = (struct sdp_ext_out){hold(l->exts[i].uri, &arena), l->exts[i].id};
	for (unsigned i = 0; i < l->n_rids; i++)
		rids[o.n_rids++] = (struct sdp_rid_out){l->rids[i].id, l->rids[i].send, l->rids[i].listed,
							l->rids[i].paused};
	if (l->n_sources > 0)
		o.ssrc = l->sources[0].ssrc;
	sdp_write_media(w, &o);
}

static void compare(const struct sdp_media *a, const struct lists *la, const struct sdp_media *b)
{
	static struct lists lb;

	lists_fill(&lb, b);
	MUST(b->rejected == is_rejected(a, la));
	MUST(a->kind == b->kind && str_eq(a->mid, b->mid));
	if (is_rejected(a, la))
		return;
	MUST(a->dir == b->dir && a->setup == b->setup);
	MUST(str_eq(a->ufrag, b->ufrag) && str_eq(a->pwd, b->pwd));
	if (a->kind == SDP_DATA) {
		MUST(a->max_message_size == b->max_message_size);
		return;
	}
	MUST(str_eq(a->msid_stream, b->msid_stream) && str_eq(a->msid_track, b->msid_track));
	MUST(la->n_exts == lb.n_exts && la->n_rids == lb.n_rids && a->simulcast_send == b->simulcast_send);
	for (unsigned i = 0, k = 0; i < la->n_codecs; i++) {
		if (la->codecs[i].name.len == 0)
			continue;
		MUST(k < lb.n_codecs && la->codecs[i].pt == lb.codecs[k].pt &&
		     la->codecs[i].fb == lb.codecs[k].fb);
		MUST(str_eq(la->codecs[i].name, lb.codecs[k].name) &&
		     str_eq(la->codecs[i].fmtp, lb.codecs[k].fmtp));
		k++;
	}
	for (unsigned i = 0; i < la->n_rids; i++)
		MUST(str_eq(la->rids[i].id, lb.rids[i].id) && la->rids[i].paused == lb.rids[i].paused &&
		     la->rids[i].listed == lb.rids[i].listed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buf[4 * SDP_MAX_TEXT];
	static char arena[2 * SDP_MAX_TEXT];
	static struct lists lists[MAX_MEDIA];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	struct str text = {(const char *)data, size}, mids[MAX_MEDIA];
	struct sdp_error err;
	struct sdp sdp, again;
	unsigned n_mids = 0;

	if (sdp_parse(text, &sdp, first, MAX_MEDIA, &err) < 0) {
		MUST(err.reason[0] != '\0');
		return 0;
	}
	for (unsigned i = 0; i < sdp.n_media; i++)
		if (first[i].bundled)
			mids[n_mids++] = first[i].mid;
	sdp_write_session(&w, &(struct sdp_session_out){.origin_id = sdp.origin_id,
							.origin_version = sdp.origin_version,
							.bundle = mids,
							.n_bundle = n_mids,
							.ice_lite = sdp.ice_lite,
							.extmap_mixed = sdp.extmap_mixed});
	for (unsigned i = 0; i < sdp.n_media; i++) {
		lists_fill(&lists[i], &first[i]);
		rewrite(&w, &first[i], &lists[i], arena);
	}
	MUST(!w.full);
	MUST(wbuf_len(&w) <= SDP_MAX_TEXT || size > SDP_MAX_TEXT / 8);
	if (wbuf_len(&w) > SDP_MAX_TEXT)
		return 0;
	if (sdp_parse((struct str){(char *)buf, wbuf_len(&w)}, &again, second, MAX_MEDIA, &err) < 0) {
		fprintf(stderr, "line %u of our own text: %s\n%.*s\n", err.line, err.reason,
			(int)wbuf_len(&w), buf);
		abort();
	}
	MUST(again.n_media == sdp.n_media && again.ice_lite == sdp.ice_lite);
	MUST(again.origin_id == sdp.origin_id && again.origin_version == sdp.origin_version);
	for (unsigned i = 0; i < sdp.n_media; i++) {
		MUST(first[i].bundled == second[i].bundled);
		compare(&first[i], &lists[i], &second[i]);
	}
	return 0;
}
