// Sequences of everything a peer and the calls can do to a session: the input is a list of operations, each a
// byte and its arguments. After each one the invariants of negotiate.h are checked: legs start and stop in
// turn, no SSRC comes twice, what is sent parses, what is saved loads.
// sources: controlplane/negotiate/negotiate.c controlplane/negotiate/negotiate_lines.c controlplane/negotiate/negotiate_plan.c controlplane/negotiate/negotiate_offer.c
// sources: controlplane/negotiate/negotiate_remote.c controlplane/negotiate/negotiate_save.c controlplane/negotiate/negotiate_text.c
// max_len: 131072
#include <stdlib.h>
#include <string.h>

#include "controlplane/negotiate/negotiate.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"

enum { MAX_SSRCS = 4096 };

static struct sdp_media media[NEGOTIATE_MAX_LINES];
static struct {
	struct negotiate *n;
	struct negotiate_conf conf;
	bool up[IPC_MAX_LEGS];
	uint32_t ssrcs[MAX_SSRCS];
	unsigned n_ssrcs;
	char *offer; // our newest
	size_t offer_len;
	unsigned n_lines;
	ns_t now;
	int transport_rc;
} f;

static void on_send(void *arg, const struct negotiate_sdp *s)
{
	struct sdp_error err;
	struct sdp d;

	if (s->text.len > SDP_MAX_TEXT)
		return;
	MUST(sdp_parse(s->text, &d, media, NEGOTIATE_MAX_LINES, &err) == 0);
	MUST(d.ice_lite && d.n_media > 0);
	for (unsigned i = 0; i < s->n_map; i++)
		MUST(s->map[i].mid.len > 0 && s->map[i].sender_id.len > 0);
	if (!s->is_offer)
		return;
	MUST(d.n_media >= f.n_lines);
	free(f.offer);
	f.offer = malloc(s->text.len + 1);
	memcpy(f.offer, s->text.p, s->text.len);
	f.offer_len = s->text.len;
}

static int on_transport(void *arg, const struct negotiate_transport *t, struct negotiate_ice *local)
{
	MUST(t->ufrag.len > 0 && t->pwd.len > 0 && t->fingerprint->len > 0);
	if (t->ice_restart)
		*local = (struct negotiate_ice){"otherufragotheru", "otherpasswordotherpasswordotherp"};
	return f.transport_rc;
}

static void on_upstream(void *arg, const struct negotiate_upstream *u)
{
	if (!u->active)
		return;
	MUST(u->mid.len > 0 && u->n_codecs > 0 && u->clock_hz > 0);
	for (unsigned i = 0; i < u->n_ssrcs; i++)
		MUST(u->ssrc[i] != 0 && u->ssrc[i] != u->rtx_ssrc[i]);
	MUST(u->kind == KIND_AUDIO || (f.conf.video && u->n_ssrcs <= (u->n_rids > 0 ? 0 : 1)));
	for (unsigned i = 0; i < u->n_rids; i++)
		MUST(u->rid[i].len > 0 && u->rid[i].len < IPC_RID_LEN);
}

static void on_extmap(void *arg, const uint8_t id[IPC_N_EXTS])
{
	for (unsigned a = 0; a < IPC_N_EXTS; a++)
		for (unsigned b = 0; b < a; b++)
			MUST(id[a] == 0 || id[a] != id[b]);
}

static void on_leg_up(void *arg, const struct negotiate_leg *l)
{
	MUST(l->leg < IPC_MAX_LEGS && !f.up[l->leg] && l->ssrc != 0 && l->mid.len > 0);
	MUST((l->rtx_pt != 0) == (l->rtx_ssrc != 0) &&
	     (l->rtx_pt == 0 || (f.conf.rtx && l->kind == KIND_VIDEO)));
	MUST((l->codec == CODEC_OPUS) == (l->kind == KIND_AUDIO));
	// One that refused a track of this codec for good may take another one of it, in the same answer even.
	MUST(l->codec == CODEC_OPUS || f.conf.video);
	f.up[l->leg] = true;
	for (unsigned i = 0; i < f.n_ssrcs; i++)
		MUST(f.ssrcs[i] != l->ssrc);
	if (f.n_ssrcs < MAX_SSRCS)
		f.ssrcs[f.n_ssrcs++] = l->ssrc;
}

static void on_leg_down(void *arg, const struct negotiate_leg *l)
{
	MUST(l->leg < IPC_MAX_LEGS && f.up[l->leg] && l->codec != CODEC_NONE);
	f.up[l->leg] = false;
}

// No offer may lead there, however long its words are.
static void on_too_long(void *arg)
{
	MUST(false);
}

static const struct negotiate_ops ops = {on_send,   on_transport, on_upstream, on_extmap,
					 on_leg_up, on_leg_down,  NULL,        on_too_long};

// Answer our newest offer: each section mirrored, with its direction masked and its rejection chosen by flags.
static void answer(uint8_t mask, uint8_t reject_every)
{
	static uint8_t buf[SDP_MAX_TEXT];
	static const struct sdp_codec_out opus = {"opus", NULL, 48000, 111, 2, 0};
	static const struct sdp_codec_out vp8 = {"VP8", NULL, 90000, 96, 1, 0};
	static const struct sdp_fingerprint fp = {.len = 32, .hash = {0x4a, 0xad, 0xb9}};
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	struct str mids[NEGOTIATE_MAX_LINES];
	struct sdp_error err;
	struct sdp d;
	const char *why;

	if (f.offer == NULL ||
	    sdp_parse((struct str){f.offer, f.offer_len}, &d, media, NEGOTIATE_MAX_LINES, &err) < 0)
		return;
	for (unsigned i = 0; i < d.n_media; i++)
		mids[i] = media[i].mid;
	sdp_write_session(
		&w, &(struct sdp_session_out){.fingerprint = &fp, .bundle = mids, .n_bundle = d.n_media});
	for (unsigned i = 0; i < d.n_media; i++) {
		bool audio = media[i].kind == SDP_AUDIO;
		sdp_write_media(
			&w, &(struct sdp_media_out){.kind = media[i].kind,
						    .rejected = media[i].rejected ||
								(reject_every > 0 && i % reject_every == 1),
						    .dir = sdp_dir_mirror(media[i].dir) & mask,
						    .setup = SDP_ACTIVE,
						    .mid = media[i].mid,
						    .name = media[i].name,
						    .proto = media[i].proto,
						    .formats = STR("0"),
						    .ufrag = STR("EsAw"),
						    .pwd = STR("P2uYro0UCOQ4zxjKXaWCBui1"),
						    .codecs = audio ? &opus : &vp8,
						    .n_codecs = 1,
						    .ssrc = 5000 + i,
						    .sctp_port = 5000});
	}
	if (!w.full)
		(void)!negotiate_remote_answer(f.n, (struct str){(char *)buf, wbuf_len(&w)}, f.now, &why);
}

static void want(uint8_t sid, uint8_t how)
{
	static const struct {
		enum negotiate_type type;
		uint8_t codec;
	} kinds[] = {{TYPE_VOICE, CODEC_OPUS},
		     {TYPE_SCREEN_AUDIO, CODEC_OPUS},
		     {TYPE_SCREEN, CODEC_VP8},
		     {TYPE_VIDEO, CODEC_AV1}};

	(void)!negotiate_want(f.n,
			      &(struct negotiate_want){.key = {sid, how & 1},
						       .type = kinds[how >> 1 & 3].type,
						       .codec = kinds[how >> 1 & 3].codec,
						       .session_id = STR("sender"),
						       .track_suffix = STR("abcd1234")},
			      f.now);
}

static void save_and_load(bool rewant)
{
	size_t size = negotiate_save_size(f.n);
	void *buf = malloc(size);
	int len = negotiate_save(f.n, buf, size);

	MUST(len > 0);
	negotiate_free(f.n);
	f.n = negotiate_load(&f.conf, &ops, NULL, buf, (size_t)len);
	MUST(f.n != NULL);
	for (unsigned sid = 0; rewant && sid < 256; sid++)
		want((uint8_t)sid, 0);
	negotiate_load_done(f.n, f.now);
	free(buf);
}

static void operate(struct rbuf *r)
{
	uint8_t op = rbuf_u8(r), a = rbuf_u8(r);
	struct negotiate *loaded;
	const uint8_t *text;
	const char *why;
	uint16_t len;
	uint8_t b;

	switch (op % 16) {
	case 0:
	case 1:
		len = rbuf_u16(r);
		if (len > rbuf_left(r))
			len = (uint16_t)rbuf_left(r);
		text = rbuf_take(r, len);
		if (text == NULL)
			break;
		if (op % 16 == 0)
			(void)!negotiate_remote_offer(f.n, (struct str){(const char *)text, len}, f.now,
						      &why);
		else
			(void)!negotiate_remote_answer(f.n, (struct str){(const char *)text, len}, f.now,
						       &why);
		break;
	case 2:
	case 3:
		want(a, rbuf_u8(r));
		break;
	case 4:
		negotiate_unwant(f.n, (struct negotiate_key){a, rbuf_u8(r) & 1}, f.now);
		break;
	case 5:
		negotiate_unwant_session(f.n, a, f.now);
		break;
	case 6:
		(void)!negotiate_lock(f.n, f.now);
		break;
	case 7:
		negotiate_unlock(f.n, f.now);
		break;
	case 8:
		negotiate_ready(f.n, a & 1, f.now);
		break;
	case 9:
		f.now += (ns_t)a * 50 * NS_PER_MS;
		negotiate_tick(f.n, f.now);
		break;
	case 10:
	case 11:
		b = rbuf_u8(r);
		answer(a & 1 ? 3 : b, a & 2 ? b : 0);
		break;
	case 12:
		(void)!negotiate_restart_ice(
			f.n, &(struct negotiate_ice){"thirdufragthirdu", "thirdpasswordthirdpasswordthirdp"},
			f.now);
		break;
	case 13:
		save_and_load(a & 1);
		break;
	case 14:
		f.transport_rc = a & 1 ? -ENOSPC : 0;
		break;
	default:
		len = rbuf_u16(r);
		if (len > rbuf_left(r))
			len = (uint16_t)rbuf_left(r);
		text = rbuf_take(r, len);
		loaded = text ? negotiate_load(&f.conf, &ops, NULL, text, len) : NULL;
		negotiate_free(loaded);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct negotiate_ice ice = {"localufraglocalu", "localpasswordlocalpasswordlocalp"};
	struct rbuf r = rbuf_of(data, size);
	uint8_t flags = rbuf_u8(&r);

	rand_seed(1);
	memset(&f, 0, sizeof(f));
	f.conf.video = flags & 1;
	f.conf.rtx = flags & 2;
	f.conf.dtls_active = flags & 4;
	f.conf.voice_lines = flags >> 4;
	f.conf.fingerprint.len = 32;
	f.now = NS_PER_S;
	f.n = negotiate_new(&f.conf, &ice, &ops, NULL);
	for (unsigned i = 0; i < 200 && !r.bad && rbuf_left(&r) > 0; i++) {
		operate(&r);
		MUST(negotiate_next_due(f.n) >= 0);
	}
	negotiate_free(f.n);
	free(f.offer);
	return 0;
}
