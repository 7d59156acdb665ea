#include "dataplane/publish/bind.h"

#include <string.h>

#include "dataplane/core/session.h"
#include "dataplane/media/source.h"
#include "dataplane/media/video.h"

// Layer of the n-th listed SSRC.
static uint8_t nth_layer(const struct source *src, unsigned n)
{
	return src->decl.n_rids > 0 && n < src->video->n_layers ? (uint8_t)n : 0;
}

static bool by_ssrc(struct source *src, uint32_t ssrc, struct binding *b)
{
	const struct ipc_track_add *d = &src->decl;

	for (unsigned i = 0; i < IPC_TRACK_SSRCS && ssrc != 0; i++) {
		bool is_rtx = src->video && d->rtx_ssrc[i] == ssrc;

		if (d->ssrc[i] != ssrc && !is_rtx)
			continue;
		*b = (struct binding){.source = src, .is_rtx = is_rtx};
		b->layer = src->video ? nth_layer(src, i) : 0;
		return true;
	}
	return false;
}

// The encoding that a packet with the MID of this track says it is of.
static enum bind_result by_rid(struct source *src, uint8_t pt, const struct rtp_exts *x, struct binding *b)
{
	struct str rid = x->rrid.len > 0 ? x->rrid : x->rid;

	*b = (struct binding){.source = src};
	if (src->video == NULL)
		return BIND_FOUND;
	b->is_rtx = x->rrid.len > 0 || source_codec(src, pt) == CODEC_RTX;
	if (src->decl.n_rids == 0)
		return BIND_FOUND;
	if (rid.len == 0)
		return BIND_NOT_YET;
	for (unsigned i = 0; i < src->decl.n_rids && i < src->video->n_layers; i++) {
		const char *known = src->decl.rid[i];

		if (!str_eq(rid, (struct str){known, strnlen(known, IPC_RID_LEN)}))
			continue;
		b->layer = (uint8_t)i;
		return BIND_FOUND;
	}
	return BIND_UNKNOWN_RID;
}

static bool lists_any_ssrc(const struct source *src)
{
	for (unsigned i = 0; i < IPC_TRACK_SSRCS; i++)
		if (src->decl.ssrc[i])
			return true;
	return false;
}

static enum bind_result by_pt(const struct session *s, uint8_t pt, struct binding *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		struct source *src = s->track[i];

		if (src == NULL || source_codec(src, pt) == CODEC_NONE || lists_any_ssrc(src) ||
		    src->decl.n_rids > 0)
			continue;
		*b = (struct binding){.source = src, .is_rtx = source_codec(src, pt) == CODEC_RTX};
		n++;
	}
	return n == 1 ? BIND_FOUND : BIND_NOT_YET;
}

enum bind_result bind_find(const struct session *s, uint32_t ssrc, uint8_t pt, const struct rtp_exts *x,
			   struct binding *b)
{
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++)
		if (s->track[i] && by_ssrc(s->track[i], ssrc, b))
			return BIND_FOUND;
	if (x->mid.len == 0)
		return by_pt(s, pt, b);
	for (unsigned i = 0; i < IPC_MAX_TRACKS; i++) {
		struct source *src = s->track[i];

		if (src && str_eq(x->mid, (struct str){src->decl.mid, src->mid_len}))
			return by_rid(src, pt, x, b);
	}
	return BIND_NOT_YET;
}
