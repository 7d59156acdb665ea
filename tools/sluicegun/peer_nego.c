// Descriptions: the first offer holds the data channel alone; tracks follow one at a time under the signalling
// lock, as clients of the product do. The server's offers are answered at once; one that comes while ours is out
// takes ours back (the client is the polite side), and ours is made again.
#include "tools/sluicegun/peer.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/msgpack.h"

#define LOCK_RETRY_NS (50 * NS_PER_MS)
#define LOCK_TIMEOUT_NS (1 * NS_PER_S) // no reply at all: ask again
#define OFFER_TIMEOUT_NS (10 * NS_PER_S)

enum channel_msg { MSG_PING = 1, MSG_PONG = 2, MSG_SDP = 3, MSG_LOCK = 7, MSG_UNLOCK = 8 };

static uint8_t text[DESC_MAX_TEXT]; // one description at a time

static void channel_send(struct peer *p, enum channel_msg type)
{
	uint8_t msg = (uint8_t)type;

	if (p->has_channel)
		(void)!dchan_send(p->dchan, p->channel, DCHAN_BINARY, &msg, 1);
}

void peer_ping(struct peer *p)
{
	channel_send(p, MSG_PING);
}

static void send_offer(struct peer *p)
{
	struct wbuf w = wbuf_of(text, sizeof(text));

	desc_write_offer(p->desc, &w);
	if (w.full)
		peer_fail(p, "description too large");
	else
		peer_signaling(p)->sdp(p, true, (struct str){(char *)text, wbuf_len(&w)});
	p->nego = NEGO_OFFERED;
	p->lock_at = p->w->now;
}

static void add_voice(struct peer *p)
{
	p->voice.ssrc = rand_u32() | 1;
	if (desc_add_track(p->desc, DESC_VOICE, p->voice.ssrc))
		p->offering |= TRACK_VOICE;
}

static void add_screen(struct peer *p)
{
	struct desc_line *l;

	for (unsigned i = 0; i < GUN_LAYERS; i++)
		p->screen[i].ssrc = rand_u32() | 1;
	l = desc_add_track(p->desc, p->w->conf->simulcast ? DESC_SIMULCAST : DESC_SCREEN, p->screen[0].ssrc);
	if (l == NULL)
		return;
	p->offering |= TRACK_SCREEN;
	// What was announced as the screen's stream.
	memcpy(l->stream, p->session, sizeof(p->session));
}

static void add_tracks(struct peer *p, uint8_t tracks)
{
	p->offering = 0;
	if (tracks & TRACK_VOICE)
		add_voice(p);
	if (tracks & TRACK_SCREEN)
		add_screen(p);
}

static void desc_begin(struct peer *p)
{
	struct dtls_fingerprint fp;
	struct sdp_fingerprint mine;

	MUST(dtls_fingerprint_parse(&fp, STR("sha-256"), str_of(dtls_ctx_fingerprint(p->w->dtls))) == 0);
	mine.len = fp.len;
	memcpy(mine.hash, fp.value, sizeof(mine.hash));
	desc_init(p->desc, p->ice.ufrag, p->ice.pwd, &mine);
}

void peer_offer_first(struct peer *p)
{
	desc_begin(p);
	if (peer_signaling(p)->has_channel) {
		p->offering = 0;
		desc_add_data(p->desc);
	} else {
		add_tracks(p, p->want);
	}
	send_offer(p);
}

static void lock(struct peer *p)
{
	p->nego = NEGO_LOCKING;
	p->lock_at = p->w->now;
	channel_send(p, MSG_LOCK);
}

static void on_lock(struct peer *p, bool is_granted)
{
	uint8_t track = p->want & TRACK_VOICE ? TRACK_VOICE : TRACK_SCREEN;

	if (p->nego != NEGO_LOCKING) {
		if (is_granted)
			channel_send(p, MSG_UNLOCK);
		return;
	}
	if (!is_granted) {
		p->w->tally->n_lock_waits++;
		p->lock_at = p->w->now - LOCK_TIMEOUT_NS + LOCK_RETRY_NS;
		return;
	}
	if (track == TRACK_SCREEN)
		peer_signaling(p)->track(p, TRACK_SCREEN, true);
	add_tracks(p, track);
	send_offer(p);
}

void peer_negotiate(struct peer *p)
{
	if (p->state != PEER_READY || !p->has_answer || p->w->is_over)
		return;
	if (p->nego == NEGO_OFFERED) {
		if (p->w->now - p->lock_at > OFFER_TIMEOUT_NS)
			peer_fail(p, "offer not answered");
		return;
	}
	if (p->want == 0 || !peer_signaling(p)->has_channel)
		return;
	if (p->nego == NEGO_IDLE || p->w->now - p->lock_at >= LOCK_TIMEOUT_NS)
		lock(p);
}

// --- what the server says ----------------------------------------------------------------------------------

static void on_candidate(void *arg, struct str line)
{
	struct peer *p = arg;

	(void)!iceclient_candidate(&p->ice, line);
}

void peer_on_candidate(struct peer *p, struct str line)
{
	if (p->state == PEER_JOINING)
		on_candidate(p, line);
}

static void on_source(void *arg, const struct desc_source *s)
{
	peer_heard_add(arg, s);
}

// New credentials of the server in an offer: ICE restart, which our answer repeats with new ones of ours.
static void take_remote(struct peer *p, const struct desc_remote *r, bool is_offer)
{
	if (str_eq(r->ufrag, str_of(p->ice.remote_ufrag)))
		return;
	if (p->ice.remote_ufrag[0] != '\0') {
		struct ice_path path[ICE_CANDIDATES];
		unsigned n = p->ice.n_paths;

		memcpy(path, p->ice.path, sizeof(path));
		iceclient_init(&p->ice);
		for (unsigned i = 0; i < n; i++)
			p->ice.path[i] = (struct ice_path){.to = path[i].to, .wait = 50 * NS_PER_MS};
		p->ice.n_paths = (uint8_t)n;
	}
	if (iceclient_remote(&p->ice, r->ufrag, r->pwd) < 0) {
		peer_fail(p, "no ICE credentials");
		return;
	}
	if (p->desc->setup == SDP_SETUP_NONE) {
		p->remote_cert.len = r->fingerprint.len;
		memcpy(p->remote_cert.value, r->fingerprint.hash, sizeof(p->remote_cert.value));
		p->desc->setup = r->setup == SDP_ACTIVE ? SDP_PASSIVE : SDP_ACTIVE;
	}
	iceclient_tick(&p->ice, p->w->now);
}

static void on_answer(struct peer *p)
{
	if (p->nego != NEGO_OFFERED)
		return;
	p->nego = NEGO_IDLE;
	p->n_agreed = p->desc->n_lines;
	if (p->has_answer)
		channel_send(p, MSG_UNLOCK);
	p->has_answer = true;
	p->want &= (uint8_t)~p->offering;
	for (unsigned bit = TRACK_VOICE; bit <= TRACK_SCREEN; bit <<= 1)
		if (p->offering & bit)
			peer_start_track(p, (enum peer_track)bit);
	p->offering = 0;
	peer_negotiate(p);
}

static void answer(struct peer *p)
{
	struct wbuf w = wbuf_of(text, sizeof(text));

	p->n_agreed = p->desc->n_lines;
	desc_write_answer(p->desc, &w);
	if (w.full)
		peer_fail(p, "description too large");
	else
		peer_signaling(p)->sdp(p, false, (struct str){(char *)text, wbuf_len(&w)});
}

void peer_on_sdp(struct peer *p, bool is_offer, struct str sdp)
{
	struct desc_sink sink = {.on_candidate = on_candidate, .on_source = on_source, .arg = p};
	struct desc_remote r;

	if (p->state != PEER_JOINING && p->state != PEER_READY)
		return;
	if (is_offer && p->desc->ufrag == NULL)
		desc_begin(p);
	if (is_offer && p->nego == NEGO_OFFERED && p->has_answer) {
		desc_rollback(p->desc, p->n_agreed);
		p->nego = NEGO_IDLE;
	}
	if (desc_read(p->desc, sdp, is_offer, &r, &sink) < 0) {
		peer_fail(p,
			  is_offer ? "the server's offer does not fit" : "the server's answer does not fit");
		return;
	}
	take_remote(p, &r, is_offer);
	if (is_offer)
		answer(p);
	else
		on_answer(p);
}

void peer_on_channel(struct peer *p, const uint8_t *msg, size_t len)
{
	struct mp_reader r = mp_reader_of(msg, len);
	uint64_t type;
	bool is_granted;

	if (mp_read_uint(&r, &type) < 0)
		return;
	if (type == MSG_PONG)
		p->w->tally->n_pongs++;
	else if (type == MSG_LOCK && mp_read_bool(&r, &is_granted) == 0)
		on_lock(p, is_granted);
}
