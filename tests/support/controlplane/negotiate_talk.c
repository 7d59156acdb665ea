#include "tests/support/controlplane/negotiate_talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/negotiate/negotiate_priv.h"
#include "tests/unit/check.h"
#include "tests/unit/samples.h"

const struct negotiate_ice ice_1 = {"localufraglocalu", "localpasswordlocalpasswordlocalp"};
const struct negotiate_ice ice_2 = {"otherufragotheru", "otherpasswordotherpasswordotherp"};

static void on_send(void *arg, const struct negotiate_sdp *s)
{
	struct talk *f = arg;

	free(f->text);
	f->text = malloc(s->text.len + 1);
	memcpy(f->text, s->text.p, s->text.len);
	f->text[s->text.len] = '\0';
	f->text_len = s->text.len;
	f->n_sent++;
	f->n_offers += s->is_offer;
	f->n_answers += !s->is_offer;
	f->last_is_offer = s->is_offer;
	f->last_restart = s->ice_restart;
	f->n_map = 0;
	for (unsigned i = 0; i < s->n_map && i < 128; i++) {
		str_copy(s->map[i].mid, f->map[i].mid, sizeof(f->map[i].mid));
		snprintf(f->map[i].type, sizeof(f->map[i].type), "%s", s->map[i].type);
		str_copy(s->map[i].sender_id, f->map[i].sender, sizeof(f->map[i].sender));
		f->n_map++;
	}
}

static void on_too_long(void *arg)
{
	struct talk *f = arg;

	f->n_too_long++;
}

static int on_transport(void *arg, const struct negotiate_transport *t, struct negotiate_ice *local)
{
	struct talk *f = arg;

	if (f->transport_rc < 0)
		return f->transport_rc;
	f->n_transport++;
	f->has_data = t->has_data;
	str_copy(t->ufrag, f->ufrag, sizeof(f->ufrag));
	if (t->ice_restart) {
		f->n_restart++;
		*local = ice_2;
	}
	return 0;
}

static void on_upstream(void *arg, const struct negotiate_upstream *u)
{
	struct talk *f = arg;
	struct talk_upstream *o = &f->upstream[f->n_upstream++ % 16];

	*o = (struct talk_upstream){.active = u->active,
				    .is_new = u->is_new,
				    .n_ssrcs = u->n_ssrcs,
				    .n_codecs = u->n_codecs,
				    .n_rids = u->n_rids,
				    .ssrc = u->ssrc[0],
				    .rtx_ssrc = u->rtx_ssrc[0],
				    .kind = u->kind,
				    .fb = u->codec[0].fb};
	str_copy(u->mid, o->mid, sizeof(o->mid));
	str_copy(u->stream_id, o->stream, sizeof(o->stream));
	for (unsigned i = 0; i < u->n_rids && i < 2; i++)
		str_copy(u->rid[i], o->rid[i], sizeof(o->rid[i]));
	for (unsigned i = 0; i < u->n_codecs; i++) {
		o->pt[i] = u->codec[i].pt;
		o->codec[i] = u->codec[i].codec;
	}
}

static void on_extmap(void *arg, const uint8_t id[IPC_N_EXTS])
{
	memcpy(((struct talk *)arg)->ext, id, IPC_N_EXTS);
}

static void on_leg_up(void *arg, const struct negotiate_leg *l)
{
	struct talk *f = arg;

	f->n_leg_up++;
	f->n_bad += f->is_up[l->leg];
	f->is_up[l->leg] = true;
	f->up[f->n_up] = *l;
	f->up[f->n_up].mid = STR_NONE;
	str_copy(l->mid, f->up_mid[f->n_up++], 17);
}

static void on_leg_down(void *arg, const struct negotiate_leg *l)
{
	struct talk *f = arg;
	unsigned i;

	f->n_leg_down++;
	f->n_bad += !f->is_up[l->leg];
	f->is_up[l->leg] = false;
	for (i = 0; i < f->n_up && (f->up[i].key.sid != l->key.sid || f->up[i].key.track != l->key.track);
	     i++)
		;
	if (i == f->n_up || f->up[i].leg != l->leg || f->up[i].codec != l->codec) {
		f->n_bad++;
		return;
	}
	f->up[i] = f->up[--f->n_up];
	memmove(f->up_mid[i], f->up_mid[f->n_up], sizeof(f->up_mid[i]));
}

static void on_room(void *arg)
{
	((struct talk *)arg)->n_room++;
}

const struct negotiate_ops talk_ops = {on_send,   on_transport, on_upstream, on_extmap,
				       on_leg_up, on_leg_down,  on_room,     on_too_long};

struct talk *talk_new(void)
{
	struct talk *f = calloc(1, sizeof(*f));

	CHECK_EQ(sdp_candidate_init(&f->cand[0], STR("192.0.2.1"), 8443, false, 0), 0);
	CHECK_EQ(sdp_candidate_init(&f->cand[1], STR("2001:db8::1"), 8443, false, 1), 0);
	f->conf.candidates = f->cand;
	f->conf.n_candidates = 2;
	f->conf.fingerprint = (struct sdp_fingerprint){.len = 32, .hash = {0xaa}};
	f->now = 1000 * NS_PER_S;
	f->n = negotiate_new(&f->conf, &ice_1, &talk_ops, f);
	return f;
}

void talk_free(struct talk *f)
{
	CHECK_EQ(f->n_bad, 0);
	negotiate_free(f->n);
	free(f->text);
	free(f);
}

int talk_offer(struct talk *f, struct str text)
{
	const char *why;

	return negotiate_remote_offer(f->n, text, f->now, &why);
}

int talk_offer_sample(struct talk *f, const char *name)
{
	return talk_offer(f, sample(name));
}

void talk_pass(struct talk *f, ns_t ns)
{
	ns_t until = f->now + ns, due;

	while ((due = negotiate_next_due(f->n)) <= until) {
		f->now = due > f->now ? due : f->now;
		negotiate_tick(f->n, f->now);
		if (negotiate_next_due(f->n) <= f->now) { // must make progress
			f->n_bad++;
			break;
		}
	}
	f->now = until;
}

int talk_want(struct talk *f, uint32_t sid, uint16_t track, enum negotiate_type type, uint8_t codec)
{
	char id[32];

	snprintf(id, sizeof(id), "sender%u", sid);
	return negotiate_want(f->n,
			      &(struct negotiate_want){.key = {sid, track},
						       .type = type,
						       .codec = codec,
						       .session_id = str_of(id),
						       .track_suffix = STR("abcd1234")},
			      f->now);
}

int talk_want_voice(struct talk *f, uint32_t sid)
{
	return talk_want(f, sid, 0, TYPE_VOICE, CODEC_OPUS);
}

void talk_unwant(struct talk *f, uint32_t sid)
{
	negotiate_unwant(f->n, (struct negotiate_key){sid, 0}, f->now);
}

bool talk_has(const struct talk *f, const char *needle)
{
	return f->text && strstr(f->text, needle) != NULL;
}

unsigned talk_count(const struct talk *f, const char *needle)
{
	unsigned n = 0;

	for (const char *at = f->text; at && (at = strstr(at, needle)) != NULL; at++)
		n++;
	return n;
}

// The section with this mid as text; cut off at the next.
const char *talk_section(const struct talk *f, unsigned index)
{
	static char buf[8192];
	const char *at = f->text, *end;

	for (unsigned i = 0; at && i <= index; i++)
		at = strstr(i ? at + 1 : at, "\r\nm=");
	if (at == NULL)
		return "";
	end = strstr(at + 4, "\r\nm=");
	snprintf(buf, sizeof(buf), "%.*s\r\n", end ? (int)(end - at) : (int)strlen(at), at);
	return buf;
}

struct negotiate_stats talk_stats(const struct talk *f)
{
	struct negotiate_stats s;

	negotiate_stats(f->n, &s);
	return s;
}

bool talk_is_settled(const struct talk *f)
{
	return !f->n->pending && !offer_needed(f->n);
}

// The peer model answers the offer that was sent last.
int talk_peer_answers(struct talk *f, struct peer *p)
{
	static char buf[PEER_TEXT];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	const char *why;

	if (!peer_on_offer(p, (struct str){f->text, f->text_len}, &w))
		return -1;
	return negotiate_remote_answer(f->n, (struct str){buf, wbuf_len(&w)}, f->now, &why);
}

int talk_peer_offers(struct talk *f, struct peer *p)
{
	static char buf[PEER_TEXT];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	int rc;

	p->offering = true;
	p->need_offer = false;
	peer_write(p, &w, NULL);
	rc = talk_offer(f, (struct str){buf, wbuf_len(&w)});
	if (rc == 0)
		peer_on_answer(p, (struct str){f->text, f->text_len});
	return rc;
}

// Joined with a data channel, ready for offers.
struct talk *talk_joined(struct peer *p)
{
	struct talk *f = talk_new();

	peer_init(p, true, true);
	CHECK_EQ(talk_peer_offers(f, p), 0);
	negotiate_ready(f->n, true, f->now);
	return f;
}

void talk_done(struct talk *f, struct peer *p)
{
	CHECK_EQ(p->n_bad, 0);
	CHECK_STR(p->why, "");
	talk_free(f);
}

struct talk *talk_video(void)
{
	struct talk *f = talk_new();

	f->conf.video = f->conf.rtx = true;
	CHECK_EQ(talk_offer_sample(f, "chromium-dc"), 0);
	negotiate_ready(f->n, true, f->now);
	return f;
}

char *sdp_edit(struct str text, const char *from, const char *to)
{
	static char buf[20000];
	const char *at = strstr(text.p, from);

	if (at == NULL)
		abort();
	snprintf(buf, sizeof(buf), "%.*s%s%s", (int)(at - text.p), text.p, to, at + strlen(from));
	return buf;
}
