// Message layout (draft section 3.1), after the two SSRCs:
// |      base sequence number     |      packet status count      |
// |                 reference time                | fb pkt. count |
// |          packet chunk         |         packet chunk          |
// |         packet chunk          |  recv delta   |  recv delta   | ...
#include "lib/rtc/wire/twcc.h"

#include <assert.h>
#include <errno.h>

#include "lib/rtc/wire/rtp.h"

#define TICK_NS (250 * NS_PER_US)
#define REF_TICKS 256 // 64 ms
#define FIXED_LEN 20  // bytes: RTCP header, SSRCs, base to fb count

enum symbol { LOST = 0, SMALL = 1, LARGE = 2 };

// --- log ----------------------------------------------------------------------------------------

void twcc_log_init(struct twcc_log *l, uint32_t *ring, uint32_t n_slots, ns_t interval)
{
	assert(n_slots >= 64 && (n_slots & (n_slots - 1)) == 0);
	*l = (struct twcc_log){
		.ring = ring, .mask = n_slots - 1, .interval = interval ? interval : 100 * NS_PER_MS};
}

// Arrival as ring value: 250 us ticks modulo 2^32, never 0.
static uint32_t tick_of(const struct twcc_log *l, ns_t arrival)
{
	uint32_t tick = (uint32_t)((arrival - l->start) / TICK_NS);

	return tick ? tick : 1;
}

static void log_begin(struct twcc_log *l, uint32_t ext)
{
	memset(l->ring, 0, (l->mask + 1) * sizeof(*l->ring));
	l->base = l->top = l->low = ext;
	l->floor = ext - (l->mask + 1) / 2; // the first to arrive need not be the first that was sent
	l->n_pending = 0;
}

// Slots of (top, ext] become the newest; what they held is forgotten.
static void log_advance(struct twcc_log *l, uint32_t ext)
{
	for (uint32_t i = l->top + 1; i != ext + 1; i++)
		l->ring[i & l->mask] = 0;
	l->top = ext;
	if (seq32_diff(l->top - l->mask, l->floor) > 0)
		l->floor = l->top - l->mask;
	if (seq32_diff(l->floor, l->base) > 0)
		l->base = l->floor;
	if (seq32_diff(l->floor, l->low) > 0)
		l->low = l->floor;
}

// A late packet is worth reporting again while its neighbours are recent.
static bool is_recent(const struct twcc_log *l, uint32_t ext, uint32_t tick)
{
	for (uint32_t i = ext + 1; seq32_diff(l->top, i) >= 0; i++)
		if (l->ring[i & l->mask] != 0)
			return seq32_diff(tick, l->ring[i & l->mask]) <= (int32_t)(TWCC_BACK_NS / TICK_NS);
	return true;
}

void twcc_log_add(struct twcc_log *l, uint16_t seq, ns_t arrival)
{
	uint32_t ext, tick;
	int32_t ahead;

	if (!l->started) {
		l->started = true;
		l->start = arrival - arrival % (REF_TICKS * TICK_NS) - REF_TICKS * TICK_NS; // no tick is 0
		log_begin(l, 0x10000u + seq);
	}
	ext = seq32_extend(l->top, seq);
	ahead = seq32_diff(ext, l->top);
	if (ahead > TWCC_MAX_GAP || ahead > (int32_t)l->mask || ahead < -TWCC_MAX_GAP)
		log_begin(l, ext);
	else if (ahead > 0)
		log_advance(l, ext);
	if (seq32_diff(ext, l->floor) < 0 || l->ring[ext & l->mask] != 0)
		return;
	tick = tick_of(l, arrival);
	l->ring[ext & l->mask] = tick;
	if (seq32_diff(ext, l->base) < 0 && !is_recent(l, ext, tick))
		return;
	if (seq32_diff(ext, l->low) < 0)
		l->low = ext;
	if (l->n_pending++ == 0 && arrival - l->last_sent > l->interval)
		l->last_sent = arrival;
}

ns_t twcc_log_due(const struct twcc_log *l)
{
	if (l->n_pending == 0)
		return NS_NEVER;
	return l->n_pending >= 100 ? l->last_sent : l->last_sent + l->interval;
}

// --- encoding -----------------------------------------------------------------------------------

// One message being put together.
struct twcc_draft {
	uint32_t begin, n; // statuses begin .. begin + n - 1
	uint32_t ref_tick; // ring tick of the reference time
	unsigned n_received;
	uint16_t delta_len;
	uint8_t symbol[TWCC_MAX_STATUS];
	uint8_t delta[2 * TWCC_MAX_STATUS];
};

// Absolute 250 us ticks of a ring value, which lies within half a turn (6 days) of now.
static int64_t abs_tick(const struct twcc_log *l, uint32_t tick, ns_t now)
{
	int64_t at = now / TICK_NS;
	uint32_t now_tick = (uint32_t)((now - l->start) / TICK_NS);

	return at - seq32_diff(now_tick, tick);
}

static uint32_t first_arrival(const struct twcc_log *l, uint32_t begin)
{
	for (uint32_t i = begin; seq32_diff(l->top, i) >= 0; i++)
		if (l->ring[i & l->mask] != 0)
			return l->ring[i & l->mask];
	return 0;
}

// Symbols and deltas from `begin` on, until one delta does not fit 16 bits or there are enough.
static void draft_fill(const struct twcc_log *l, struct twcc_draft *d)
{
	uint32_t prev = d->ref_tick;

	for (uint32_t i = d->begin; seq32_diff(l->top, i) >= 0 && d->n < TWCC_MAX_STATUS; i++) {
		uint32_t tick = l->ring[i & l->mask];
		int32_t delta = seq32_diff(tick, prev);

		if (tick == 0) {
			d->symbol[d->n++] = LOST;
			continue;
		}
		if (delta > INT16_MAX || delta < INT16_MIN)
			break;
		if (delta >= 0 && delta <= UINT8_MAX) {
			d->symbol[d->n++] = SMALL;
			d->delta[d->delta_len++] = (uint8_t)delta;
		} else {
			d->symbol[d->n++] = LARGE;
			be16_put(d->delta + d->delta_len, (uint16_t)delta);
			d->delta_len = (uint16_t)(d->delta_len + 2);
		}
		d->n_received++;
		prev = tick;
	}
}

// Next chunk for the symbols from `at` on; returns how many it covers.
static uint32_t chunk_make(const struct twcc_draft *d, uint32_t at, uint16_t *chunk)
{
	uint32_t left = d->n - at, run = 1, n_vec, bits;
	bool has_large = false;

	while (run < left && run < 0x1fff && d->symbol[at + run] == d->symbol[at])
		run++;
	for (uint32_t i = at; i < d->n && i < at + 14; i++)
		has_large |= d->symbol[i] == LARGE;
	if (run == left || run >= 14 || (run >= 7 && has_large)) {
		*chunk = (uint16_t)(d->symbol[at] << 13 | run);
		return run;
	}
	bits = has_large ? 2 : 1;
	n_vec = 14 / bits;
	*chunk = has_large ? 0xc000 : 0x8000;
	for (uint32_t i = 0; i < n_vec && i < left; i++)
		*chunk |= (uint16_t)(d->symbol[at + i] << (bits * (n_vec - 1 - i)));
	return left < n_vec ? left : n_vec;
}

static unsigned chunks_make(const struct twcc_draft *d, uint16_t *chunk)
{
	unsigned n = 0;

	for (uint32_t at = 0; at < d->n;)
		at += chunk_make(d, at, &chunk[n++]);
	return n;
}

static int draft_write(const struct twcc_log *l, const struct twcc_draft *d, struct wbuf *w, uint32_t sender,
		       uint32_t media, ns_t now)
{
	uint16_t chunk[TWCC_MAX_STATUS];
	unsigned n_chunks = chunks_make(d, chunk);
	size_t used = FIXED_LEN + 2u * n_chunks + d->delta_len, pad = -used & 3;
	static const uint8_t zero[3];

	if (w->full || wbuf_room(w) < used + pad)
		return -ENOSPC;
	wbuf_u8(w, (uint8_t)(0x80 | (pad ? 0x20 : 0) | RTPFB_TWCC));
	wbuf_u8(w, RTCP_RTPFB);
	wbuf_u16(w, (uint16_t)((used + pad) / 4 - 1));
	wbuf_u32(w, sender);
	wbuf_u32(w, media);
	wbuf_u16(w, (uint16_t)d->begin);
	wbuf_u16(w, (uint16_t)d->n);
	wbuf_u32(w, (uint32_t)(abs_tick(l, d->ref_tick, now) / REF_TICKS) << 8 | l->fb_count);
	for (unsigned i = 0; i < n_chunks; i++)
		wbuf_u16(w, chunk[i]);
	wbuf_bytes(w, d->delta, d->delta_len);
	if (pad) {
		wbuf_bytes(w, zero, pad - 1);
		wbuf_u8(w, (uint8_t)pad);
	}
	return (int)(used + pad);
}

int twcc_log_write(struct twcc_log *l, struct wbuf *w, uint32_t sender_ssrc, uint32_t media_ssrc, ns_t now)
{
	struct twcc_draft d;
	uint32_t first;
	int len;

	if (l->n_pending == 0)
		return 0;
	d.begin = seq32_diff(l->low, l->base) < 0 ? l->low : l->base;
	d.n = d.n_received = d.delta_len = 0;
	first = first_arrival(l, d.begin);
	assert(first != 0);
	d.ref_tick = first & ~(REF_TICKS - 1u); // start is a multiple of the reference unit
	draft_fill(l, &d);
	len = draft_write(l, &d, w, sender_ssrc, media_ssrc, now);
	if (len < 0)
		return len;
	l->fb_count++;
	l->last_sent = now;
	if (seq32_diff(d.begin + d.n, l->base) > 0)
		l->base = d.begin + d.n;
	l->low = d.begin + d.n;
	// What is behind the message's end goes into the next one; its exact count does not matter.
	l->n_pending = seq32_diff(l->top, l->low) >= 0 ? 1 : 0;
	return len;
}

// --- reading ------------------------------------------------------------------------------------

static enum symbol chunk_symbol(uint16_t word, unsigned i, unsigned n)
{
	if (!(word & 0x8000))
		return word >> 13 & 3;
	return word & 0x4000 ? word >> (2 * (n - 1 - i)) & 3 : word >> (n - 1 - i) & 1;
}

// Symbols in a chunk.
static unsigned chunk_len(uint16_t word)
{
	return !(word & 0x8000) ? word & 0x1fff : word & 0x4000 ? 7 : 14;
}

int twcc_fb_begin(struct twcc_fb *f, const struct rtcp_fb *fb)
{
	struct rbuf r = rbuf_of(fb->fci, fb->fci_len);
	size_t delta_len = 0;
	uint32_t word;

	*f = (struct twcc_fb){.base = rbuf_u16(&r), .n_status = rbuf_u16(&r)};
	word = rbuf_u32(&r);
	f->ref_time = word >> 8;
	f->fb_count = (uint8_t)word;
	f->chunk = r.p;
	for (unsigned n = 0; n < f->n_status && !r.bad;) {
		uint16_t c = rbuf_u16(&r);
		for (unsigned i = 0; i < chunk_len(c) && n < f->n_status; i++, n++) {
			enum symbol s = chunk_symbol(c, i, chunk_len(c));
			if (s > LARGE)
				return -EBADMSG;
			delta_len += s;
		}
	}
	f->delta = r.p;
	f->end = r.p + delta_len;
	f->time_us = (int64_t)f->ref_time * 64000;
	if (r.bad || f->n_status == 0 || delta_len > rbuf_left(&r))
		return -EBADMSG;
	return 0;
}

bool twcc_fb_next(struct twcc_fb *f, struct twcc_status *st)
{
	unsigned n;

	if (f->i == f->n_status)
		return false;
	while (f->left == 0) { // chunks of length 0 are skipped; begin has seen that enough follow
		f->word = be16_get(f->chunk);
		f->chunk += 2;
		f->left = (uint16_t)chunk_len(f->word);
	}
	n = chunk_len(f->word);
	*st = (struct twcc_status){.seq = (uint16_t)(f->base + f->i)};
	switch (chunk_symbol(f->word, n - f->left, n)) {
	case LOST:
		break;
	case SMALL:
		f->time_us += *f->delta * 250;
		f->delta += 1;
		st->is_received = true;
		break;
	case LARGE:
		f->time_us += (int16_t)be16_get(f->delta) * 250;
		f->delta += 2;
		st->is_received = true;
		break;
	}
	if (st->is_received)
		st->arrival_us = f->time_us;
	f->left--;
	f->i++;
	return true;
}
