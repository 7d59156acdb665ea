// usrsctp behind lib/peer/dchan, facing an SCTP peer that has shaken hands and then says anything: chunks with right tags
// and checksums, some well formed around the numbers of the moment, some raw; time passes in between.
// sources: lib/peer/dchan.c
// libs: -lusrsctp
// max_len: 16384
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/peer/dchan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t crc_table[256];
static uint32_t crc32c(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;
	if (!crc_table[1])
		for (unsigned i = 0; i < 256; i++) {
			uint32_t v = i;
			for (int k = 0; k < 8; k++)
				v = v & 1 ? v >> 1 ^ 0x82f63b78u : v >> 1;
			crc_table[i] = v;
		}
	while (n--)
		c = c >> 8 ^ crc_table[(c ^ *p++) & 0xff];
	return ~c;
}

struct peer {
	struct dchan *d;
	uint32_t their_tag, their_tsn; // of dchan
	uint32_t our_tag, tsn, rtsn;   // ours
	uint32_t last_tsn, recon_seq;
	bool has_init, has_cookie;
	unsigned n_out, n_msg;
	bool down;
};

static void on_send(void *arg, const uint8_t *p, size_t len)
{
	struct peer *e = arg;
	size_t at = 12;

	e->n_out++;
	while (at + 4 <= len) {
		unsigned n = be16_get(p + at + 2);
		if (n < 4 || at + n > len)
			break;
		if (p[at] == 1 && n >= 20) {
			e->their_tag = be32_get(p + at + 4);
			e->their_tsn = be32_get(p + at + 16);
			e->recon_seq = e->their_tsn;
			e->has_init = true;
		} else if (p[at] == 10) {
			e->has_cookie = true;
		} else if (p[at] == 0 && n >= 16) {
			e->last_tsn = be32_get(p + at + 4);
		}
		at += (n + 3) & ~3u;
	}
}
static void on_up(void *arg)
{
}
static void on_open(void *arg, uint16_t stream, struct str label, struct str protocol)
{
	struct peer *e = arg;
	(void)!dchan_send(e->d, stream, DCHAN_BINARY, "hello", 5);
}
static void on_message(void *arg, uint16_t stream, enum dchan_kind kind, const uint8_t *data, size_t len)
{
	struct peer *e = arg;
	volatile uint8_t sum = 0;
	for (size_t i = 0; i < len; i++)
		sum ^= data[i];
	e->n_msg++;
	if (e->n_msg % 3 == 0)
		(void)!dchan_send(e->d, stream, DCHAN_TEXT, data, len > 64 ? 64 : len);
}
static void on_closed(void *arg, uint16_t stream)
{
}
static void on_down(void *arg)
{
	((struct peer *)arg)->down = true;
}

static const struct dchan_ops ops = {on_send, on_up, on_open, on_message, on_closed, on_down};

static void feed(struct peer *e, const uint8_t *chunks, size_t n, uint32_t tag)
{
	uint8_t *pkt = malloc(12 + n);
	uint32_t c;
	be16_put(pkt, 5000);
	be16_put(pkt + 2, 5000);
	be32_put(pkt + 4, tag);
	memset(pkt + 8, 0, 4);
	memcpy(pkt + 12, chunks, n);
	c = crc32c(pkt, 12 + n);
	memcpy(pkt + 8, &c, 4);
	dchan_input(e->d, pkt, 12 + n);
	free(pkt);
}

static size_t chunk(uint8_t *out, uint8_t type, uint8_t flags, const uint8_t *body, size_t n)
{
	out[0] = type;
	out[1] = flags;
	be16_put(out + 2, (uint16_t)(4 + n));
	memcpy(out + 4, body, n);
	while (n % 4)
		out[4 + n++] = 0;
	return 4 + n;
}

static bool shake_hands(struct peer *e, bool with_ext, bool collide)
{
	uint8_t body[128] = {}, out[256];
	size_t n = 16;
	if (!e->has_init)
		return false;
	be32_put(body, e->our_tag);
	be32_put(body + 4, 131072);
	be16_put(body + 8, 16);
	be16_put(body + 10, 16);
	be32_put(body + 12, e->tsn);
	if (with_ext) { // supported extensions: I-DATA, RE-CONFIG, FORWARD-TSN, I-FORWARD-TSN
		be16_put(body + n, 0x8008);
		be16_put(body + n + 2, 8);
		body[n + 4] = 64, body[n + 5] = 130, body[n + 6] = 192, body[n + 7] = 194;
		n += 8;
		be16_put(body + n, 0xc000);
		be16_put(body + n + 2, 4);
		n += 4;
	}
	if (collide) {
		feed(e, out, chunk(out, 1, 0, body, n), 0);
	}
	be16_put(body + n, 7); // state cookie
	be16_put(body + n + 2, 12);
	memcpy(body + n + 4, "COOKIE!!", 8);
	n += 12;
	feed(e, out, chunk(out, 2, 0, body, n), e->their_tag);
	if (!e->has_cookie)
		return false;
	feed(e, out, chunk(out, 11, 0, body, 0), e->their_tag);
	return true;
}

static uint8_t u8(struct rbuf *r)
{
	return rbuf_left(r) ? rbuf_u8(r) : 0;
}
static uint16_t u16(struct rbuf *r)
{
	return rbuf_left(r) >= 2 ? rbuf_u16(r) : 0;
}

static size_t take(struct rbuf *r, uint8_t *out, size_t max)
{
	size_t n = u8(r) % (max + 1);
	if (n > rbuf_left(r))
		n = rbuf_left(r);
	if (n)
		memcpy(out, rbuf_take(r, n), n);
	return n;
}

static size_t make(struct peer *e, struct rbuf *r, uint8_t *out, size_t room)
{
	uint8_t body[600] = {};
	size_t n = 0;
	uint8_t op = u8(r), flags;

	if (room < 700)
		return 0;
	switch (op % 16) {
	case 0: // DATA
	case 1:
	case 2:
		flags = u8(r);
		be32_put(body, e->tsn + (flags & 0x80 ? (uint32_t)(int8_t)u8(r) : 0));
		if (!(flags & 0x80))
			e->tsn++;
		be16_put(body + 4, u8(r) % 20);
		be16_put(body + 6, (op & 0x10) ? u16(r) : (uint16_t)(e->rtsn++));
		be32_put(body + 8, op & 0x20 ? 50 : 51 + u8(r) % 8);
		n = 12 + take(r, body + 12, 255);
		return chunk(out, 0, flags & 0x0f, body, n);
	case 3: // I-DATA
		flags = u8(r);
		be32_put(body, e->tsn + (flags & 0x80 ? (uint32_t)(int8_t)u8(r) : 0));
		if (!(flags & 0x80))
			e->tsn++;
		be16_put(body + 4, u8(r) % 20);
		be32_put(body + 8, u8(r));
		be32_put(body + 12, flags & 2 ? 51 : u8(r));
		n = 16 + take(r, body + 16, 255);
		return chunk(out, 64, flags & 0x0f, body, n);
	case 4: // SACK
	case 5: {
		unsigned gaps = u8(r) % 8, dups = u8(r) % 4;
		be32_put(body, e->last_tsn + (uint32_t)(int8_t)u8(r));
		be32_put(body + 4, (uint32_t)u16(r) << (u8(r) % 16));
		be16_put(body + 8, (uint16_t)gaps);
		be16_put(body + 10, (uint16_t)dups);
		n = 12;
		for (unsigned i = 0; i < gaps + dups; i++, n += 4) {
			be16_put(body + n, u8(r));
			be16_put(body + n + 2, u8(r));
		}
		return chunk(out, op % 16 == 4 ? 3 : 16, 0, body, n);
	}
	case 6: // FORWARD-TSN
		be32_put(body, e->tsn + (uint32_t)(int8_t)u8(r));
		n = 4 + 4 * (take(r, body + 4, 64) / 4);
		return chunk(out, op & 0x10 ? 194 : 192, u8(r), body, n);
	case 7: { // RE-CONFIG
		unsigned type = 13 + u8(r) % 7;
		be16_put(body, (uint16_t)type);
		be32_put(body + 4, e->recon_seq + (uint32_t)(int8_t)u8(r));
		be32_put(body + 8, e->recon_seq - 1 + u8(r) % 4);
		be32_put(body + 12, e->tsn - 1);
		n = 16 + take(r, body + 16, 64);
		be16_put(body + 2, (uint16_t)(op & 0x10 ? u8(r) : n));
		return chunk(out, 130, 0, body, n);
	}
	case 8: { // INIT, INIT ACK, COOKIE ECHO ... anything with a plausible body
		static const uint8_t types[] = {1,  2,   10,  11,  4,   5, 9,  7,  8,
						14, 193, 128, 129, 132, 6, 12, 13, 15};
		n = take(r, body, 255);
		return chunk(out, types[u8(r) % sizeof(types)], u8(r), body, n);
	}
	case 9: // INIT again: restart
		be32_put(body, e->our_tag + u8(r) % 2);
		be32_put(body + 4, u16(r) * 4u);
		be16_put(body + 8, u16(r));
		be16_put(body + 10, u16(r));
		be32_put(body + 12, e->tsn);
		n = 16 + take(r, body + 16, 200);
		return chunk(out, 1, 0, body, n);
	default: // raw
		n = take(r, out, 255);
		return n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_of(data, size);
	static bool started;
	static ns_t now;
	struct peer e = {.our_tag = 0x11223344, .tsn = 1000};
	uint8_t opt = u8(&r);

	if (!started)
		MUST(dchan_start(now) == 0);
	started = true;
	e.d = dchan_new(&ops, &e);
	if (e.d == NULL)
		return 0;
	if (shake_hands(&e, opt & 1, opt & 2)) {
		for (unsigned i = 0; i < 200 && rbuf_left(&r) > 0; i++) {
			uint8_t pkt[1200];
			size_t n = 0;
			uint8_t k = u8(&r);
			for (unsigned c = 0; c <= k % 4 && rbuf_left(&r) > 0; c++)
				n += make(&e, &r, pkt + n, sizeof(pkt) - n);
			feed(&e, pkt, n, k & 0x80 ? e.our_tag : e.their_tag);
			if (k & 0x10) {
				now += (ns_t)(k & 0x20 ? 3000 : 50) * NS_PER_MS;
				dchan_clock(now);
			}
			if (k & 0x40 && !e.down)
				(void)!dchan_open(e.d, 1 + k % 8, STR("x"));
		}
	}
	dchan_free(e.d);
	for (int i = 0; i < 20; i++) {
		now += 1000 * NS_PER_MS;
		dchan_clock(now);
	}
	return 0;
}
