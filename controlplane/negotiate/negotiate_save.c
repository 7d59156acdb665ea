// The saved form of a session: big endian, fixed order, a version in front. The reader trusts nothing: what
// it accepts is a state that the writer could have made.
#include "controlplane/negotiate/negotiate_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/err.h"

enum {
	SAVE_MAGIC = 0x534c4e47, // "SLNG"
	SAVE_VERSION = 4,
	SAVE_OLDEST =
		3, // without the protocols of lines, and with the peer's credentials of at most 255 bytes
	// SSRCs that the dead process may have drawn after its last save are skipped.
	SSRC_SKIP = 4096,
};

enum line_flags {
	LINE_REJECTED = 1,
	LINE_PROPOSED = 2,
	LINE_PEER_MADE = 4,
	LINE_REFUSED = 8,
	LINE_SIMULCAST = 16,
	LINE_LEG = 32,
	LINE_UP = 64,
	LINE_UNFIT = 128
};
enum proto_flags { PROTO_SCTPMAP = 128 }; // above an enum sdp_proto
enum session_flags { SESSION_ESTABLISHED = 1, SESSION_DTLS_CLIENT = 2, SESSION_RESTARTING = 4 };

// --- writing -------------------------------------------------------------------------------------

static void put_text(struct wbuf *w, struct str s)
{
	wbuf_u8(w, (uint8_t)s.len);
	wbuf_bytes(w, s.p, s.len);
}

static void put_long_text(struct wbuf *w, struct str s)
{
	wbuf_u16(w, (uint16_t)s.len);
	wbuf_bytes(w, s.p, s.len);
}

static void put_codecs(struct wbuf *w, const struct codec *list, unsigned n)
{
	wbuf_u8(w, (uint8_t)n);
	wbuf_bytes(w, list, n * sizeof(*list)); // four single bytes each
}

static void put_upstream(struct wbuf *w, const struct upstream *u)
{
	size_t text = u->stream_len + u->track_len;

	put_codecs(w, u->codec, u->n_codecs);
	wbuf_u32(w, u->clock_hz);
	wbuf_u8(w, u->n_ssrcs);
	for (unsigned i = 0; i < u->n_ssrcs; i++) {
		wbuf_u32(w, u->ssrc[i]);
		wbuf_u32(w, u->rtx_ssrc[i]);
	}
	wbuf_u8(w, u->n_rids);
	for (unsigned i = 0; i < u->n_rids; i++) {
		wbuf_u8(w, u->rid_len[i]);
		text += u->rid_len[i];
	}
	wbuf_u8(w, u->stream_len);
	wbuf_u8(w, u->track_len);
	wbuf_bytes(w, u->text, text);
}

static void put_leg(struct wbuf *w, const struct wanted *l)
{
	wbuf_u32(w, l->key.sid);
	wbuf_u16(w, l->key.track);
	wbuf_u32(w, l->ssrc);
	wbuf_u32(w, l->rtx_ssrc);
	wbuf_u16(w, l->number);
	wbuf_u8(w, l->type);
	wbuf_u8(w, l->codec);
	put_text(w, wanted_id(l));
	put_text(w, (struct str){l->text + l->id_len, l->suffix_len});
}

static void put_line(struct wbuf *w, const struct line *l)
{
	bool has_leg = l->wanted && l->wanted->up;

	wbuf_u8(w, (uint8_t)((l->rejected ? LINE_REJECTED : 0) | (l->proposed ? LINE_PROPOSED : 0) |
			     (l->peer_made ? LINE_PEER_MADE : 0) | (l->refused ? LINE_REFUSED : 0) |
			     (l->simulcast ? LINE_SIMULCAST : 0) | (has_leg ? LINE_LEG : 0) |
			     (l->up ? LINE_UP : 0) | (l->unfit ? LINE_UNFIT : 0)));
	wbuf_u8(w, l->kind);
	wbuf_u8(w, l->peer_dir);
	wbuf_u8(w, l->exts);
	wbuf_u32(w, l->agreed_ssrc);
	put_text(w, str_of(l->mid));
	wbuf_u8(w, (uint8_t)(l->proto | (l->sctpmap ? PROTO_SCTPMAP : 0)));
	put_text(w, str_of(l->name));
	put_codecs(w, l->codec, l->n_codecs);
	if (has_leg)
		put_leg(w, l->wanted);
	if (l->up)
		put_upstream(w, l->up);
}

static void put_fingerprint(struct wbuf *w, const struct sdp_fingerprint *f)
{
	wbuf_u8(w, f->len);
	wbuf_bytes(w, f->hash, f->len);
}

static void put_session(struct wbuf *w, const struct negotiate *n)
{
	wbuf_u8(w, (uint8_t)((n->established ? SESSION_ESTABLISHED : 0) |
			     (n->dtls_client ? SESSION_DTLS_CLIENT : 0) |
			     (n->restarting ? SESSION_RESTARTING : 0)));
	put_text(w, str_of(n->local.ufrag));
	put_text(w, str_of(n->local.pwd));
	wbuf_u64(w, n->origin_id);
	wbuf_u64(w, n->origin_version);
	wbuf_u64(w, n->ssrc_key);
	wbuf_u32(w, n->ssrc_count);
	put_long_text(w, str_of(n->peer_ufrag));
	put_long_text(w, str_of(n->peer_pwd));
	put_fingerprint(w, &n->fingerprint);
	put_fingerprint(w, &n->peer_fingerprint);
	wbuf_u32(w, n->peer_max_message);
	wbuf_bytes(w, n->ext_id, IPC_N_EXTS);
	wbuf_u16(w, n->peer_ids);
	wbuf_bytes(w, (uint8_t[]){n->pt_opus, n->pt_vp8, n->pt_vp8_rtx, n->pt_av1, n->pt_av1_rtx}, 5);
	wbuf_u8(w, n->offered_codecs);
	wbuf_u8(w, n->refused_codecs);
}

size_t negotiate_save_size(const struct negotiate *n)
{
	size_t size = 8 + 1280; // header; session part with the longest texts

	for (unsigned i = 0; i < n->n_lines; i++) {
		const struct line *l = &n->lines[i];
		size += 42 + SDP_MAX_MID + SDP_MAX_NAME;
		if (l->wanted)
			size += 24 + l->wanted->id_len + l->wanted->suffix_len;
		if (l->up)
			size += 80 + l->up->size;
	}
	return size;
}

int negotiate_save(const struct negotiate *n, void *buf, size_t size)
{
	struct wbuf w = wbuf_of(buf, size);

	wbuf_u32(&w, SAVE_MAGIC);
	wbuf_u16(&w, SAVE_VERSION);
	wbuf_u16(&w, (uint16_t)n->n_lines);
	put_session(&w, n);
	for (unsigned i = 0; i < n->n_lines; i++)
		put_line(&w, &n->lines[i]);
	return w.full ? -ENOSPC : (int)wbuf_len(&w);
}

// --- reading -------------------------------------------------------------------------------------

static void get_text_of(struct rbuf *r, char *dst, size_t max, size_t len)
{
	const uint8_t *p = rbuf_take(r, len);

	if (p == NULL || len > max) {
		r->bad = true;
		return;
	}
	for (size_t i = 0; i < len; i++)
		r->bad |= p[i] <= ' ' || p[i] > '~';
	memcpy(dst, p, len);
	dst[len] = '\0';
}

// A text of at most max bytes, printable, into a NUL-terminated field.
static void get_text(struct rbuf *r, char *dst, size_t max)
{
	get_text_of(r, dst, max, rbuf_u8(r));
}

// The same with a length of 16 bits, unless the writer is old.
static void get_long_text(struct rbuf *r, char *dst, size_t max, uint16_t version)
{
	get_text_of(r, dst, max, version == SAVE_OLDEST ? rbuf_u8(r) : rbuf_u16(r));
}

static void get_bytes(struct rbuf *r, void *dst, size_t n)
{
	const uint8_t *p = rbuf_take(r, n);

	if (p)
		memcpy(dst, p, n);
}

static unsigned get_count(struct rbuf *r, unsigned max)
{
	unsigned n = rbuf_u8(r);

	if (n > max)
		r->bad = true;
	return r->bad ? 0 : n;
}

static uint8_t get_codecs(struct rbuf *r, struct codec list[IPC_TRACK_CODECS])
{
	unsigned n = get_count(r, IPC_TRACK_CODECS);

	get_bytes(r, list, n * sizeof(*list));
	for (unsigned i = 0; i < n; i++)
		r->bad |= list[i].pt > 127 || list[i].apt > 127 || list[i].codec == CODEC_NONE ||
			  list[i].codec > CODEC_RTX;
	return (uint8_t)n;
}

static int get_upstream(struct rbuf *r, struct line *l)
{
	size_t max = sizeof(struct upstream) + 2 * UINT8_MAX + IPC_TRACK_RIDS * IPC_RID_LEN, text;
	struct upstream *u = calloc(1, max);

	if (u == NULL)
		return -ENOMEM;
	l->up = u;
	u->n_codecs = get_codecs(r, u->codec);
	u->clock_hz = rbuf_u32(r);
	u->n_ssrcs = (uint8_t)get_count(r, IPC_TRACK_SSRCS);
	for (unsigned i = 0; i < u->n_ssrcs; i++) {
		u->ssrc[i] = rbuf_u32(r);
		u->rtx_ssrc[i] = rbuf_u32(r);
	}
	u->n_rids = (uint8_t)get_count(r, IPC_TRACK_RIDS);
	text = 0;
	for (unsigned i = 0; i < u->n_rids; i++)
		text += u->rid_len[i] = (uint8_t)get_count(r, IPC_RID_LEN - 1);
	u->stream_len = rbuf_u8(r);
	u->track_len = rbuf_u8(r);
	text += u->stream_len + u->track_len;
	get_bytes(r, u->text, r->bad ? 0 : text);
	u->size = (uint16_t)(offsetof(struct upstream, text) + text);
	if (u->size < sizeof(*u))
		u->size = sizeof(*u);
	u = realloc(u, u->size);
	if (u != NULL)
		l->up = u;
	return 0;
}

// The track on line i, its leg up.
static int get_leg(struct rbuf *r, struct negotiate *n, unsigned i)
{
	char id[NEGOTIATE_MAX_ID + 1] = "", suffix[16 + 1] = "";
	struct wanted fixed = {.up = true, .line = (int16_t)i, .offered_line = (int16_t)i}, *l;

	fixed.key.sid = rbuf_u32(r);
	fixed.key.track = rbuf_u16(r);
	fixed.ssrc = rbuf_u32(r);
	fixed.rtx_ssrc = rbuf_u32(r);
	fixed.number = rbuf_u16(r);
	fixed.type = rbuf_u8(r);
	fixed.codec = rbuf_u8(r);
	get_text(r, id, NEGOTIATE_MAX_ID);
	get_text(r, suffix, 16);
	fixed.id_len = (uint8_t)strlen(id);
	fixed.suffix_len = (uint8_t)strlen(suffix);
	if (r->bad || fixed.ssrc != n->lines[i].agreed_ssrc || fixed.ssrc == 0 ||
	    fixed.number >= IPC_MAX_LEGS ||
	    (n->numbers[fixed.number / 64] & UINT64_C(1) << fixed.number % 64) || fixed.type > TYPE_VIDEO ||
	    n->n_wanted == NEGOTIATE_MAX_WANTS || fixed.id_len == 0 || fixed.suffix_len == 0 ||
	    (fixed.codec != CODEC_OPUS && fixed.codec != CODEC_VP8 && fixed.codec != CODEC_AV1) ||
	    codec_kind(fixed.codec) != n->lines[i].kind) {
		r->bad = true;
		return 0;
	}
	l = malloc(sizeof(*l) + fixed.id_len + fixed.suffix_len);
	if (l == NULL)
		return -ENOMEM;
	*l = fixed;
	memcpy(l->text, id, fixed.id_len);
	memcpy(l->text + fixed.id_len, suffix, fixed.suffix_len);
	n->numbers[l->number / 64] |= UINT64_C(1) << l->number % 64;
	TAILQ_INSERT_TAIL(&n->wanted, l, link);
	n->n_wanted++;
	n->lines[i].wanted = l;
	return 0;
}

static void get_proto(struct rbuf *r, struct line *l)
{
	uint8_t proto = rbuf_u8(r);

	l->sctpmap = proto & PROTO_SCTPMAP;
	l->proto = proto & (uint8_t)~PROTO_SCTPMAP;
	get_text(r, l->name, SDP_MAX_NAME);
	r->bad |= l->proto >= SDP_N_PROTOS || (l->kind == SDP_OTHER) != (l->name[0] != '\0') ||
		  (l->kind == SDP_OTHER && !l->rejected);
}

static int get_line(struct rbuf *r, struct negotiate *n, uint16_t version)
{
	unsigned i = n->n_lines;
	struct line *l;
	uint8_t flags;

	if (line_add(n, &l) < 0)
		return -ENOMEM;
	flags = rbuf_u8(r);
	l->rejected = flags & LINE_REJECTED;
	l->proposed = flags & LINE_PROPOSED;
	l->peer_made = flags & LINE_PEER_MADE;
	l->refused = flags & LINE_REFUSED;
	l->simulcast = flags & LINE_SIMULCAST;
	l->unfit = flags & LINE_UNFIT;
	l->kind = (uint8_t)get_count(r, SDP_OTHER);
	l->peer_dir = (uint8_t)get_count(r, SDP_SENDRECV);
	l->exts = rbuf_u8(r);
	l->agreed_ssrc = rbuf_u32(r);
	get_text(r, l->mid, SDP_MAX_MID);
	if (version > SAVE_OLDEST)
		get_proto(r, l);
	else
		r->bad |= l->kind == SDP_OTHER;
	l->n_codecs = get_codecs(r, l->codec);
	n->n_peer_made += l->peer_made;
	if (l->kind == SDP_DATA && !l->rejected && n->data_line < 0)
		n->data_line = (int)i;
	if ((flags & (LINE_LEG | LINE_UP)) && (l->kind == SDP_DATA || l->rejected || l->proposed))
		r->bad = true;
	if (!r->bad && (flags & LINE_LEG) && get_leg(r, n, i) < 0)
		return -ENOMEM;
	if (!r->bad && (flags & LINE_UP) && get_upstream(r, l) < 0)
		return -ENOMEM;
	return 0;
}

static void get_fingerprint(struct rbuf *r, struct sdp_fingerprint *f)
{
	f->len = (uint8_t)get_count(r, sizeof(f->hash));
	get_bytes(r, f->hash, f->len);
}

static void get_session(struct rbuf *r, struct negotiate *n, uint16_t version)
{
	uint8_t flags = rbuf_u8(r), pt[5] = {};

	n->established = flags & SESSION_ESTABLISHED;
	n->dtls_client = flags & SESSION_DTLS_CLIENT;
	n->restarting = flags & SESSION_RESTARTING;
	get_text(r, n->local.ufrag, IPC_UFRAG_LEN);
	get_text(r, n->local.pwd, IPC_PWD_LEN);
	n->origin_id = rbuf_u64(r);
	// The dead process may have sent some more: browsers want the version to grow.
	n->origin_version = rbuf_u64(r) + 1000;
	n->ssrc_key = rbuf_u64(r);
	n->ssrc_count = rbuf_u32(r) + SSRC_SKIP;
	get_long_text(r, n->peer_ufrag, SDP_MAX_UFRAG, version);
	get_long_text(r, n->peer_pwd, SDP_MAX_PWD, version);
	get_fingerprint(r, &n->fingerprint);
	get_fingerprint(r, &n->peer_fingerprint);
	n->peer_max_message = rbuf_u32(r);
	get_bytes(r, n->ext_id, IPC_N_EXTS);
	for (unsigned e = 0; e < IPC_N_EXTS; e++)
		r->bad |= n->ext_id[e] > 14 || (n->ext_id[e] != 0 && negotiate_ext_uri[e] == NULL);
	n->peer_ids = rbuf_u16(r);
	get_bytes(r, pt, sizeof(pt));
	for (unsigned i = 0; i < sizeof(pt); i++)
		r->bad |= pt[i] > 127;
	n->pt_opus = pt[0];
	n->pt_vp8 = pt[1];
	n->pt_vp8_rtx = pt[2];
	n->pt_av1 = pt[3];
	n->pt_av1_rtx = pt[4];
	n->offered_codecs = rbuf_u8(r);
	n->refused_codecs = rbuf_u8(r);
}

struct negotiate *negotiate_load(const struct negotiate_conf *conf, const struct negotiate_ops *ops,
				 void *arg, const void *buf, size_t len)
{
	struct rbuf r = rbuf_of(buf, len);
	bool magic = rbuf_u32(&r) == SAVE_MAGIC;
	uint16_t version = rbuf_u16(&r), n_lines = rbuf_u16(&r);
	struct negotiate *n;
	int err = 0;

	if (r.bad || !magic || n_lines > NEGOTIATE_MAX_LINES)
		return err_null(EBADMSG);
	if (version < SAVE_OLDEST || version > SAVE_VERSION)
		return err_null(ENOTSUP);
	n = negotiate_new(conf, &(struct negotiate_ice){}, ops, arg);
	if (n == NULL)
		return NULL;
	get_session(&r, n, version);
	for (unsigned i = 0; i < n_lines && !r.bad && err == 0; i++)
		err = get_line(&r, n, version);
	if (err == 0 && !r.bad && rbuf_left(&r) == 0)
		return n;
	negotiate_free(n);
	return err_null(err ? ENOMEM : EBADMSG);
}
