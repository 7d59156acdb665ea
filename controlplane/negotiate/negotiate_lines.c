// Lines and wanted tracks: SSRCs and extension ids for them, legs going up and down, and which track goes on
// which line.
#include "controlplane/negotiate/negotiate_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

const char *const negotiate_ext_uri[IPC_N_EXTS] = {
	[EXT_MID] = "urn:ietf:params:rtp-hdrext:sdes:mid",
	[EXT_RID] = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
	[EXT_RRID] = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
	[EXT_LEVEL] = "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
	[EXT_TWCC] = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
	[EXT_ABS_SEND_TIME] = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
};

uint8_t codec_kind(uint8_t codec)
{
	return codec == CODEC_OPUS ? SDP_AUDIO : SDP_VIDEO;
}

// --- SSRCs and extension ids ---------------------------------------------------------------------

// A keyed permutation of 32-bit numbers (four Feistel rounds): counting through it yields numbers that look
// random and never repeat within a session, without a list of those used.
static uint32_t ssrc_permute(uint64_t key, uint32_t x)
{
	uint32_t left = x >> 16, right = x & 0xffff;

	for (unsigned round = 0; round < 4; round++) {
		uint32_t f = (right + (uint32_t)(key >> (16 * round) & 0xffff)) * 0x9e3779b1u;
		uint32_t next = left ^ ((f ^ f >> 15) >> 8 & 0xffff);
		left = right;
		right = next;
	}
	return left << 16 | right;
}

// The peer's own SSRCs are avoided as far as they are known (RFC 3550 section 8.2).
static bool ssrc_is_peers(const struct negotiate *n, uint32_t ssrc)
{
	for (unsigned i = 0; i < n->n_lines; i++)
		for (unsigned k = 0; n->lines[i].up && k < n->lines[i].up->n_ssrcs; k++)
			if (n->lines[i].up->ssrc[k] == ssrc || n->lines[i].up->rtx_ssrc[k] == ssrc)
				return true;
	return false;
}

uint32_t negotiate_new_ssrc(struct negotiate *n)
{
	uint32_t ssrc;

	do
		ssrc = ssrc_permute(n->ssrc_key, n->ssrc_count++);
	while (ssrc == 0 || ssrc_is_peers(n, ssrc));
	n->version++;
	return ssrc;
}

static bool ext_id_taken(const struct negotiate *n, unsigned id, bool heed_peer)
{
	for (unsigned e = 0; e < IPC_N_EXTS; e++)
		if (n->ext_id[e] == id)
			return true;
	return heed_peer && (n->peer_ids & 1u << id) != 0;
}

void extmap_fill(struct negotiate *n, uint8_t exts)
{
	// None of these means something else in the first microphone offer of Chromium (1 level, 2 abs-send-time, 3
	// transport-cc, 4 mid) or Firefox (1 level, 2 csrc level, 3 mid). Such an offer may be under way when ours goes
	// out, and Chromium refuses an id that its own, not yet answered, offer uses for another URI.
	static const uint8_t usual[IPC_N_EXTS] = {
		[EXT_LEVEL] = 1, [EXT_MID] = 4, [EXT_RID] = 10, [EXT_RRID] = 11, [EXT_TWCC] = 5};
	bool changed = false;

	for (unsigned e = 0; e < IPC_N_EXTS; e++) {
		unsigned id = usual[e];

		if ((exts & 1u << e) == 0 || n->ext_id[e] != 0)
			continue;
		if (id == 0 || ext_id_taken(n, id, true))
			for (id = 1; id <= 14 && ext_id_taken(n, id, true); id++)
				;
		if (id >
		    14) // the peer has used up all: an id of an extension that we never agreed to is free too
			for (id = 1; id <= 14 && ext_id_taken(n, id, false); id++)
				;
		if (id <= 14) {
			n->ext_id[e] = (uint8_t)id;
			changed = true;
		}
	}
	if (changed)
		n->ops->extmap(n->arg, n->ext_id);
}

// --- lines and wanted tracks ---------------------------------------------------------------------

int line_add(struct negotiate *n, struct line **out)
{
	assert(n->n_lines < NEGOTIATE_MAX_LINES);
	if (n->n_lines == n->n_lines_room) {
		unsigned room = n->n_lines_room ? n->n_lines_room * 2 : 4;
		struct line *lines = realloc(n->lines, room * sizeof(*lines));
		if (lines == NULL)
			return -ENOMEM;
		n->lines = lines;
		n->n_lines_room = room;
	}
	*out = &n->lines[n->n_lines++];
	**out = (struct line){};
	return 0;
}

void upstream_view(const struct line *l, struct negotiate_upstream *out)
{
	const struct upstream *u = l->up;
	const char *at = u ? u->text : NULL;

	*out = (struct negotiate_upstream){.mid = str_of(l->mid),
					   .kind = l->kind == SDP_AUDIO ? KIND_AUDIO : KIND_VIDEO,
					   .active = u != NULL};
	if (u == NULL)
		return;
	out->clock_hz = u->clock_hz;
	out->n_codecs = u->n_codecs;
	for (unsigned i = 0; i < u->n_codecs; i++) {
		out->codec[i].pt = u->codec[i].pt;
		out->codec[i].codec = u->codec[i].codec;
		out->codec[i].apt = u->codec[i].apt;
		out->codec[i].fb = u->codec[i].fb;
	}
	out->n_ssrcs = u->n_ssrcs;
	memcpy(out->ssrc, u->ssrc, sizeof(out->ssrc));
	memcpy(out->rtx_ssrc, u->rtx_ssrc, sizeof(out->rtx_ssrc));
	out->stream_id = (struct str){at, u->stream_len};
	at += u->stream_len;
	out->track_id = (struct str){at, u->track_len};
	at += u->track_len;
	out->n_rids = u->n_rids;
	for (unsigned i = 0; i < u->n_rids; i++) {
		out->rid[i] = (struct str){at, u->rid_len[i]};
		at += u->rid_len[i];
	}
}

void line_stop_upstream(struct negotiate *n, unsigned index)
{
	struct line *l = &n->lines[index];
	struct negotiate_upstream view;

	if (l->up == NULL)
		return;
	free(l->up);
	l->up = NULL;
	n->version++;
	upstream_view(l, &view);
	n->ops->upstream(n->arg, &view);
}

static uint8_t line_pt(const struct line *l, uint8_t codec)
{
	for (unsigned i = 0; i < l->n_codecs; i++)
		if (l->codec[i].codec == codec)
			return l->codec[i].pt;
	return 0;
}

static uint8_t line_fb(const struct line *l, uint8_t codec)
{
	for (unsigned i = 0; i < l->n_codecs; i++)
		if (l->codec[i].codec == codec)
			return l->codec[i].fb;
	return 0;
}

static uint8_t line_rtx_pt(const struct line *l, uint8_t apt)
{
	for (unsigned i = 0; i < l->n_codecs; i++)
		if (l->codec[i].codec == CODEC_RTX && l->codec[i].apt == apt)
			return l->codec[i].pt;
	return 0;
}

void wanted_view(const struct negotiate *n, const struct wanted *l, struct negotiate_leg *out)
{
	const struct line *line = &n->lines[l->line];

	assert(l->line >= 0 && (unsigned)l->line < n->n_lines);
	*out = (struct negotiate_leg){.key = l->key,
				      .leg = l->number,
				      .kind = line->kind == SDP_AUDIO ? KIND_AUDIO : KIND_VIDEO,
				      .type = l->type,
				      .codec = l->codec,
				      .fb = line_fb(line, l->codec),
				      .pt = line_pt(line, l->codec),
				      .ssrc = l->ssrc,
				      .clock_hz = l->codec == CODEC_OPUS ? 48000 : 90000,
				      .mid = str_of(line->mid)};
	if (l->rtx_ssrc != 0)
		out->rtx_pt = line_rtx_pt(line, out->pt);
	if (out->rtx_pt != 0)
		out->rtx_ssrc = l->rtx_ssrc;
}

void wanted_start(struct negotiate *n, struct wanted *l)
{
	struct negotiate_leg view;
	unsigned number = 0;

	assert(!l->up && l->line >= 0 && n->lines[l->line].wanted == l);
	assert(l->ssrc != 0 && n->lines[l->line].agreed_ssrc == l->ssrc);
	// NEGOTIATE_MAX_WANTS is below IPC_MAX_LEGS: one is free.
	while (n->numbers[number / 64] & UINT64_C(1) << number % 64)
		number++;
	assert(number < IPC_MAX_LEGS);
	n->numbers[number / 64] |= UINT64_C(1) << number % 64;
	l->number = (uint16_t)number;
	l->up = l->confirmed = true;
	l->refusals = 0;
	n->version++;
	wanted_view(n, l, &view);
	n->ops->leg_up(n->arg, &view);
}

void wanted_drop(struct negotiate *n, struct wanted *l)
{
	struct negotiate_leg view;

	assert(l->line < 0 || n->lines[l->line].wanted == l);
	if (l->up) // is on a line
		wanted_view(n, l, &view);
	if (l->line >= 0)
		n->lines[l->line].wanted = NULL;
	l->line = -1;
	if (!l->up)
		return;
	l->up = false;
	l->ssrc = l->rtx_ssrc = 0; // spent
	l->offered_line = -1;
	n->numbers[l->number / 64] &= ~(UINT64_C(1) << l->number % 64);
	n->version++;
	n->ops->leg_down(n->arg, &view);
}

void wanted_refuse(struct negotiate *n, struct wanted *l)
{
	if (l->line >= 0)
		n->lines[l->line].refused = true;
	wanted_drop(n, l);
	if (++l->refusals < NEGOTIATE_MAX_REFUSALS)
		return;
	n->stats.tracks_refused++;
	if (l->codec == CODEC_OPUS || (n->refused_codecs >> l->codec & 1))
		return;
	n->refused_codecs |= (uint8_t)(1u << l->codec);
	if (n->ops->room)
		n->ops->room(n->arg);
}

// --- placing -------------------------------------------------------------------------------------

static bool line_takes_leg(const struct line *l, uint8_t kind)
{
	if (l->kind != kind || l->rejected || l->refused || l->wanted != NULL)
		return false;
	// A line on which the peer sends its own media, or once did and may do so again, is the peer's: only
	// one it opened for receiving is ours to use.
	return !l->peer_made || l->peer_dir == SDP_RECVONLY;
}

static int line_find(const struct negotiate *n, const struct wanted *l)
{
	uint8_t kind = codec_kind(l->codec);

	if (l->offered_line >= 0 && line_takes_leg(&n->lines[l->offered_line], kind))
		return l->offered_line;
	for (unsigned i = 0; i < n->n_lines; i++)
		if (line_takes_leg(&n->lines[i], kind))
			return (int)i;
	return -1;
}

static bool mid_is_used(const struct negotiate *n, const char *mid)
{
	for (unsigned i = 0; i < n->n_lines; i++)
		if (strcmp(n->lines[i].mid, mid) == 0)
			return true;
	return false;
}

// A mid of ours is one more than the highest number in use. A peer that counts in
// billions is passed over.
static void line_name(const struct negotiate *n, struct line *l)
{
	uint64_t next = 0, v;

	for (unsigned i = 0; i < n->n_lines; i++)
		if (str_u64(str_of(n->lines[i].mid), 99999, &v) && v >= next)
			next = v + 1;
	do
		snprintf(l->mid, sizeof(l->mid), "%u", (unsigned)next++);
	while (mid_is_used(n, l->mid));
}

static int line_make(struct negotiate *n, const struct wanted *wanted)
{
	struct line named = {}, *l;

	line_name(n, &named);
	if (n->n_lines >= NEGOTIATE_MAX_LINES || line_add(n, &l) < 0)
		return -1;
	*l = named;
	l->kind = codec_kind(wanted->codec);
	l->proposed = true;
	l->exts = 1u << EXT_MID | 1u << EXT_TWCC;
	if (l->kind == SDP_AUDIO) {
		l->exts |= 1u << EXT_LEVEL;
		l->codec[0] = (struct codec){.pt = n->pt_opus, .codec = CODEC_OPUS, .fb = FB_TWCC};
		l->n_codecs = 1;
	} else {
		// Chromium gives a new line of its own the extensions that its last line of the kind agreed on: without these
		// somebody who has seen a screen could not share in layers.
		l->exts |= 1u << EXT_RID | 1u << EXT_RRID;
	}
	return (int)n->n_lines - 1;
}

static unsigned voice_cap(const struct negotiate *n)
{
	unsigned cap = n->conf->voice_lines ? n->conf->voice_lines : 64;

	return cap < NEGOTIATE_MAX_VOICE_LINES ? cap : NEGOTIATE_MAX_VOICE_LINES;
}

static unsigned voices_placed(const struct negotiate *n)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n->n_lines; i++)
		count += n->lines[i].wanted && n->lines[i].wanted->type == TYPE_VOICE;
	return count;
}

static bool is_placed_voice(const struct wanted *l, uint32_t sid)
{
	return l->line >= 0 && l->type == TYPE_VOICE && l->key.sid == sid;
}

static bool has_voice_before(const struct negotiate *n, uint32_t sid, const struct wanted *end)
{
	const struct wanted *l;

	for (l = TAILQ_FIRST(&n->wanted); l != end; l = TAILQ_NEXT(l, link))
		if (is_placed_voice(l, sid))
			return true;
	return false;
}

// Is it the first voice of somebody who is not heard at all?
static bool is_unheard(const struct negotiate *n, const struct wanted *l)
{
	return l->line < 0 && l->type == TYPE_VOICE && l->refusals < NEGOTIATE_MAX_REFUSALS &&
	       !has_voice_before(n, l->key.sid, NULL);
}

// The newest voice of somebody who is heard with another one, too; NULL: everybody has one.
static struct wanted *voice_in_excess(const struct negotiate *n)
{
	struct wanted *l;

	TAILQ_FOREACH_REVERSE (l, &n->wanted, wanted_list, link)
		if (is_placed_voice(l, l->key.sid) && has_voice_before(n, l->key.sid, l))
			return l;
	return NULL;
}

static bool wanted_fits(const struct negotiate *n, const struct wanted *l, unsigned voices)
{
	if (l->line >= 0 || l->refusals >= NEGOTIATE_MAX_REFUSALS)
		return false;
	if (l->type == TYPE_VOICE && voices >= voice_cap(n))
		return false;
	return n->n_lines < NEGOTIATE_MAX_LINES || line_find(n, l) >= 0;
}

static void wanted_place_one(struct negotiate *n, struct wanted *l)
{
	bool rtx = n->conf->rtx && (l->codec == CODEC_VP8 ? n->pt_vp8_rtx : n->pt_av1_rtx) != 0;
	int at = line_find(n, l);

	if (at < 0 && (at = line_make(n, l)) < 0)
		return;
	if (l->ssrc == 0 || l->offered_line != at) {
		l->ssrc = negotiate_new_ssrc(n);
		l->rtx_ssrc = l->codec != CODEC_OPUS && rtx ? negotiate_new_ssrc(n) : 0;
		l->offered_line = -1;
	}
	n->lines[at].wanted = l;
	l->line = (int16_t)at;
}

// Who opens more microphones than a person has shall not make others inaudible: a line goes to everybody's first voice before it
// goes to a second one, which gives way if need be.
static void wanted_place_unheard(struct negotiate *n)
{
	struct wanted *l, *other;

	TAILQ_FOREACH (l, &n->wanted, link) {
		if (!is_unheard(n, l))
			continue;
		if (!wanted_fits(n, l, voices_placed(n))) {
			other = voice_in_excess(n);
			if (other == NULL)
				return;
			wanted_drop(n, other);
		}
		wanted_place_one(n, l);
	}
}

void wanted_place(struct negotiate *n)
{
	unsigned voices;
	struct wanted *l;

	wanted_place_unheard(n);
	voices = voices_placed(n);
	TAILQ_FOREACH (l, &n->wanted, link) {
		if (!wanted_fits(n, l, voices))
			continue;
		wanted_place_one(n, l);
		voices += l->line >= 0 && l->type == TYPE_VOICE;
	}
}

bool offer_needed(const struct negotiate *n)
{
	unsigned voices = voices_placed(n);
	struct wanted *l;

	if (n->restarting)
		return true;
	for (unsigned i = 0; i < n->n_lines; i++)
		if (n->lines[i].agreed_ssrc != (n->lines[i].wanted ? n->lines[i].wanted->ssrc : 0))
			return true;
	TAILQ_FOREACH (l, &n->wanted, link)
		if (wanted_fits(n, l, voices) || (is_unheard(n, l) && voice_in_excess(n) != NULL))
			return true;
	return false;
}
