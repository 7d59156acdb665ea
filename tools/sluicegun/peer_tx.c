// Voice and screen out. A tick makes the packets of one participant, seals them in one burst and gives them to
// the kernel in one call.
#include "tools/sluicegun/peer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"

#define VP8_MAX_HEAD (6 + 10)        // descriptor, frame tag, start code and size
#define KEY_GAP_NS (500 * NS_PER_MS) // an encoder does not make key frames faster on request
#define TURN_NS (150 * NS_PER_MS)
#define SIMULCAST_H_BPS 2500000
#define SIMULCAST_L_BPS 500000

struct burst {
	struct peer *p;
	unsigned n;
	struct seal_rtp job[SEAL_MAX_BURST];
	struct sender *from[SEAL_MAX_BURST];
	uint8_t pkt[SEAL_MAX_BURST][PEER_MAX_PKT];
};

static struct burst burst; // one participant at a time

struct sender *peer_sender(struct peer *p, unsigned i)
{
	struct sender *s = i == 0 ? &p->voice : &p->screen[i - 1];

	return s->is_on ? s : NULL;
}

// --- out -------------------------------------------------------------------------------------------------

static bool chance(struct peer *p, double probability)
{
	return probability > 0 && rng_unit(&p->w->rng) < probability;
}

// One packet late by one: kept until the next of the same participant has gone.
static void send_held(struct peer *p)
{
	if (p->held_len > 0)
		peer_send(p, p->held, p->held_len);
	p->held_len = 0;
}

static bool hold(struct peer *p, const uint8_t *pkt, size_t len)
{
	if (p->held_len > 0 || !chance(p, p->w->conf->reorder))
		return false;
	if (p->held == NULL && (p->held = malloc(PEER_MAX_PKT)) == NULL)
		return false;
	memcpy(p->held, pkt, len);
	p->held_len = (uint16_t)len;
	return true;
}

static void remember(struct sender *s, const struct seal_rtp *job, size_t len)
{
	struct sent_pkt *h = s->history ? &s->history[job->index % PEER_HISTORY] : NULL;

	if (h == NULL)
		return;
	h->seq = (uint16_t)job->index;
	h->len = (uint16_t)len;
	memcpy(h->data, job->hdr, len);
}

static void flush(struct burst *b)
{
	struct peer *p = b->p;
	union ice_addr *to = &p->ice.path[p->ice.nominee].to;
	struct mmsghdr msg[SEAL_MAX_BURST] = {};
	struct iovec iov[SEAL_MAX_BURST];
	unsigned n = 0, tag = (unsigned)seal_rtp_tag_len(p->profile);
	int sent;

	MUST(seal_rtp_protect(p->w->seal, b->job, b->n) == b->n);
	for (unsigned i = 0; i < b->n; i++) {
		size_t len = b->job[i].hdr_len + b->job[i].len + tag;

		remember(b->from[i], &b->job[i], len);
		p->w->tally->bytes_sent += len;
		if (chance(p, p->w->conf->loss)) {
			p->w->tally->n_dropped++;
			continue;
		}
		if (hold(p, b->job[i].hdr, len))
			continue;
		iov[n] = (struct iovec){b->job[i].hdr, len};
		msg[n].msg_hdr = (struct msghdr){
			.msg_name = to, .msg_namelen = ice_addr_len(to), .msg_iov = &iov[n], .msg_iovlen = 1};
		n++;
	}
	for (unsigned at = 0; at < n; at += (unsigned)sent) {
		sent = sendmmsg(p->fd, msg + at, n - at, MSG_NOSIGNAL);
		if (sent <= 0) {
			p->w->tally->n_send_failed++;
			sent = 1;
		}
	}
	if (n > 0)
		send_held(p);
	b->n = 0;
}

// --- packets ---------------------------------------------------------------------------------------------

static unsigned put_exts(struct peer *p, const struct sender *s, const uint8_t *level, bool is_first,
			 uint8_t *out, size_t size)
{
	const uint8_t *id = p->desc->ext_id;
	struct rtp_ext ext[4];
	uint8_t twcc[2];
	unsigned n = 0;
	int len;

	if (level)
		ext[n++] = (struct rtp_ext){.id = id[RTP_EXT_LEVEL], .data = level, .len = 1};
	else if (id[RTP_EXT_TWCC]) {
		be16_put(twcc, p->twcc_seq++);
		ext[n++] = (struct rtp_ext){.id = id[RTP_EXT_TWCC], .data = twcc, .len = 2};
	}
	// Names of the line and the layer: with simulcast always, as nothing else tells the layers apart.
	if (s->rid && is_first) {
		for (unsigned i = 0; i < p->desc->n_lines; i++)
			if (p->desc->line[i].send == DESC_SIMULCAST)
				ext[n++] = (struct rtp_ext){.id = id[RTP_EXT_MID],
							    .data = (uint8_t *)p->desc->line[i].mid,
							    .len = (uint8_t)strlen(p->desc->line[i].mid)};
		ext[n++] = (struct rtp_ext){.id = id[RTP_EXT_RID], .data = (const uint8_t *)s->rid, .len = 1};
	}
	len = rtp_ext_write(out, size, ext, n);
	return len < 0 ? 0 : (unsigned)len;
}

// Begin a packet of s in the burst; the caller writes body_len bytes where it says and calls finish.
static uint8_t *begin(struct peer *p, struct sender *s, const uint8_t *level, bool marker)
{
	struct burst *b = &burst;
	uint8_t *pkt = b->pkt[b->n];
	unsigned ext_len = put_exts(p, s, level, s->n_packets < 200 || s->rid, pkt + RTP_HDR_LEN,
				    PEER_MAX_PKT - RTP_HDR_LEN);

	b->p = p;
	b->from[b->n] = s;
	rtp_write(pkt, ext_len > 0, marker, s->pt, (uint16_t)s->index, s->ts, s->ssrc);
	b->job[b->n] = (struct seal_rtp){.key = p->tx,
					 .hdr = pkt,
					 .hdr_len = (uint16_t)(RTP_HDR_LEN + ext_len),
					 .ssrc = s->ssrc,
					 .index = s->index};
	return pkt + RTP_HDR_LEN + ext_len;
}

static void finish(struct sender *s, uint8_t *payload, unsigned len)
{
	struct burst *b = &burst;
	struct mark m = {.stream = s->stream,
			 .count = s->count++,
			 .sent_us = gun_wall_us(),
			 .generation = b->p->generation};

	mark_write(payload + len - MARK_LEN, &m);
	b->job[b->n].src = b->job[b->n].dst = payload;
	b->job[b->n].len = (uint16_t)len;
	s->index++;
	s->n_packets++;
	s->n_bytes += len;
	atomic_store_explicit(&b->p->w->shared->sent[s->stream], (uint64_t)m.generation << 32 | s->count,
			      memory_order_relaxed);
	if (++b->n == SEAL_MAX_BURST)
		flush(b);
}

static void on_voice(struct timer *t, ns_t now)
{
	struct peer *p = container_of(t, struct peer, voice_timer);
	struct sender *s = &p->voice;
	unsigned len = plan_voice_bytes(&p->w->rng);
	uint8_t level = plan_level(&p->spurt, &p->w->rng, now);
	uint8_t *payload;

	if (p->state != PEER_READY && p->state != PEER_JOINING)
		return;
	// A turn of the loop may be late; the rhythm does not move.
	wheel_arm(&p->w->wheel, t, t->due + PLAN_VOICE_NS);
	if (p->is_muted || p->state == PEER_JOINING) {
		s->ts += 960;
		return;
	}
	payload = begin(p, s, &level, s->count == 0);
	memset(payload, 0x5a, len);
	finish(s, payload, len);
	flush(&burst);
	s->ts += 960;
	p->w->tally->voice_sent++;
}

// RFC 7741 section 4.2: X I L T K, 15-bit picture id.
static unsigned put_vp8(const struct sender *s, bool is_first, bool is_key, uint8_t *out)
{
	unsigned n = 6;

	out[0] = (uint8_t)(0x80 | (is_first ? 0x10 : 0));
	out[1] = 0xe0 | 0x10;
	be16_put(out + 2, (uint16_t)(0x8000 | (s->picture_id & 0x7fff)));
	out[4] = s->tl0;
	out[5] = 0x20; // TID 0, Y
	if (!is_first)
		return n;
	// RFC 6386 section 9.1: frame tag, then start code and size of a key frame.
	out[n++] = (uint8_t)(0x10 | (is_key ? 0 : 1));
	out[n++] = 0x02;
	out[n++] = 0x00;
	if (is_key) {
		static const uint8_t head[] = {0x9d, 0x01, 0x2a, 0x80, 0x07, 0x38, 0x04};

		memcpy(out + n, head, sizeof(head));
		n += sizeof(head);
	}
	return n;
}

static void send_frame(struct peer *p, struct sender *s)
{
	ns_t now = p->w->now;
	bool is_key = s->last_key == 0 || now - s->last_key >= PLAN_KEY_NS ||
		      (s->wants_key && now - s->last_key >= KEY_GAP_NS);
	unsigned left = plan_frame_bytes(&p->w->rng, s->bps, is_key);
	bool is_first = true;

	if (is_key) {
		s->last_key = now;
		s->wants_key = false;
		p->w->tally->n_keys++;
	}
	s->picture_id++;
	s->tl0++;
	while (left > 0) {
		unsigned len = left > PLAN_MAX_PAYLOAD ? PLAN_MAX_PAYLOAD : left, n;
		uint8_t *payload;

		left -= len;
		if (len < VP8_MAX_HEAD + MARK_LEN)
			len = VP8_MAX_HEAD + MARK_LEN;
		payload = begin(p, s, NULL, left == 0);
		n = put_vp8(s, is_first, is_key, payload);
		memset(payload + n, 0xa5, len - n);
		finish(s, payload, len);
		p->w->tally->video_sent++;
		is_first = false;
	}
	s->ts += (uint32_t)(90000 * PLAN_FRAME_NS / NS_PER_S);
}

static void on_screen(struct timer *t, ns_t now)
{
	struct peer *p = container_of(t, struct peer, screen_timer);

	if (p->state != PEER_READY && p->state != PEER_JOINING)
		return;
	wheel_arm(&p->w->wheel, t, t->due + PLAN_FRAME_NS);
	if (p->state == PEER_JOINING)
		return;
	for (unsigned i = 0; i < GUN_LAYERS; i++)
		if (p->screen[i].is_on)
			send_frame(p, &p->screen[i]);
	if (burst.n > 0)
		flush(&burst);
}

// --- on and off ------------------------------------------------------------------------------------------

static void sender_start(struct peer *p, struct sender *s, unsigned kind, uint8_t pt)
{
	*s = (struct sender){.ssrc = s->ssrc,
			     .stream = p->id * GUN_STREAMS + kind,
			     .index = 1 + rand_u32() % 0x7fff,
			     .ts = rand_u32(),
			     .picture_id = (uint16_t)rand_u32(),
			     .history = s->history,
			     .is_on = true,
			     .pt = pt};
	if (kind > 0 && s->history == NULL)
		s->history = calloc(PEER_HISTORY, sizeof(*s->history));
}

static uint8_t agreed_pt(const struct peer *p, enum desc_send send, uint8_t otherwise)
{
	for (unsigned i = 0; i < p->desc->n_lines; i++)
		if (p->desc->line[i].send == send)
			return p->desc->line[i].pt;
	return otherwise;
}

void peer_start_track(struct peer *p, enum peer_track track)
{
	struct worker *w = p->w;
	bool simulcast = w->conf->simulcast;

	if (track == TRACK_VOICE) {
		sender_start(p, &p->voice, 0, agreed_pt(p, DESC_VOICE, DESC_OPUS));
		peer_signaling(p)->track(p, TRACK_VOICE, true);
		p->voice_timer.on_due = on_voice;
		wheel_arm(&w->wheel, &p->voice_timer, w->now + rng_below(&w->rng, PLAN_VOICE_NS));
		return;
	}
	for (unsigned i = 0; i < (simulcast ? 2u : 1u); i++) {
		struct sender *s = &p->screen[i];

		sender_start(p, s, 1 + i, agreed_pt(p, simulcast ? DESC_SIMULCAST : DESC_SCREEN, DESC_VP8));
		s->rid = !simulcast ? NULL : i == 0 ? "h" : "l";
		s->bps = !simulcast ? PLAN_SCREEN_BPS : i == 0 ? SIMULCAST_H_BPS : SIMULCAST_L_BPS;
	}
	p->screen_timer.on_due = on_screen;
	wheel_arm(&w->wheel, &p->screen_timer, w->now + rng_below(&w->rng, PLAN_FRAME_NS));
}

// The message and the media take different ways: on either side of a mute there is a pause, or packets would be
// counted as lost that the server was right to drop.
void peer_mute(struct peer *p, bool is_muted)
{
	if (p->state != PEER_READY || !p->voice.is_on)
		return;
	if (is_muted)
		p->is_muted = true;
	else
		peer_signaling(p)->track(p, TRACK_VOICE, true);
	p->is_turning_on = !is_muted;
	p->turn_at = p->w->now + TURN_NS;
}

void peer_turn(struct peer *p)
{
	if (p->turn_at == 0 || p->w->now < p->turn_at)
		return;
	p->turn_at = 0;
	if (p->is_turning_on)
		p->is_muted = false;
	else
		peer_signaling(p)->track(p, TRACK_VOICE, false);
}

void peer_want_key(struct peer *p, uint32_t ssrc)
{
	for (unsigned i = 0; i < GUN_LAYERS; i++)
		if (p->screen[i].is_on && p->screen[i].ssrc == ssrc)
			p->screen[i].wants_key = true;
}

void peer_resend(struct peer *p, uint32_t ssrc, const uint16_t *seq, unsigned n)
{
	for (unsigned i = 0; i < GUN_LAYERS; i++) {
		struct sender *s = &p->screen[i];

		if (!s->is_on || s->ssrc != ssrc || s->history == NULL)
			continue;
		for (unsigned k = 0; k < n; k++) {
			uint64_t index;
			struct sent_pkt *h;

			if (!seq64_extend(s->index, seq[k], &index))
				continue;
			h = &s->history[index % PEER_HISTORY];
			if (h->len == 0 || h->seq != seq[k] || chance(p, p->w->conf->loss))
				continue;
			peer_send(p, h->data, h->len);
			p->w->tally->n_resent++;
		}
	}
}
