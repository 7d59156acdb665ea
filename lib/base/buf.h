// Bounded cursors over bytes, big endian. Reading or writing past the end sets a sticky error and
// yields zeros, so a parser checks once at the end. Nothing here allocates.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

// --- raw big-endian access ---------------------------------------------------------------------
static inline uint16_t be16_get(const uint8_t *p)
{
	return (uint16_t)((p[0] << 8) | p[1]);
}
static inline uint32_t be24_get(const uint8_t *p)
{
	return ((uint32_t)p[0] << 16) | ((uint32_t)p[1] << 8) | p[2];
}
static inline uint32_t be32_get(const uint8_t *p)
{
	return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}
static inline uint64_t be64_get(const uint8_t *p)
{
	return ((uint64_t)be32_get(p) << 32) | be32_get(p + 4);
}
static inline void be16_put(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void be32_put(uint8_t *p, uint32_t v)
{
	be16_put(p, (uint16_t)(v >> 16));
	be16_put(p + 2, (uint16_t)v);
}
static inline void be64_put(uint8_t *p, uint64_t v)
{
	be32_put(p, (uint32_t)(v >> 32));
	be32_put(p + 4, (uint32_t)v);
}

// --- reader ------------------------------------------------------------------------------------
struct rbuf {
	const uint8_t *p;   // borrowed; next byte
	const uint8_t *end; // one past the last byte
	bool bad;           // a read went past the end; sticky
};

static inline struct rbuf rbuf_of(const void *data, size_t len)
{
	return (struct rbuf){data, (const uint8_t *)data + len, false};
}
static inline size_t rbuf_left(const struct rbuf *r)
{
	return (size_t)(r->end - r->p);
}
// n bytes in place, or NULL with the sticky error set.
static inline const uint8_t *rbuf_take(struct rbuf *r, size_t n)
{
	const uint8_t *at = r->p;

	if (r->bad || rbuf_left(r) < n) {
		r->bad = true;
		r->p = r->end;
		return NULL;
	}
	r->p += n;
	return at;
}
static inline uint8_t rbuf_u8(struct rbuf *r)
{
	const uint8_t *p = rbuf_take(r, 1);
	return p ? p[0] : 0;
}
static inline uint16_t rbuf_u16(struct rbuf *r)
{
	const uint8_t *p = rbuf_take(r, 2);
	return p ? be16_get(p) : 0;
}
static inline uint32_t rbuf_u32(struct rbuf *r)
{
	const uint8_t *p = rbuf_take(r, 4);
	return p ? be32_get(p) : 0;
}
static inline uint64_t rbuf_u64(struct rbuf *r)
{
	const uint8_t *p = rbuf_take(r, 8);
	return p ? be64_get(p) : 0;
}

// --- writer ------------------------------------------------------------------------------------
struct wbuf {
	uint8_t *start; // borrowed
	uint8_t *p;     // next byte to write
	uint8_t *end;   // one past the last writable byte
	bool full;      // a write did not fit; sticky, nothing partial was written
};

static inline struct wbuf wbuf_of(void *data, size_t size)
{
	return (struct wbuf){data, data, (uint8_t *)data + size, false};
}
static inline size_t wbuf_len(const struct wbuf *w)
{
	return (size_t)(w->p - w->start);
}
static inline size_t wbuf_room(const struct wbuf *w)
{
	return (size_t)(w->end - w->p);
}
// Reserve n bytes; NULL when they do not fit.
static inline uint8_t *wbuf_grab(struct wbuf *w, size_t n)
{
	uint8_t *at = w->p;

	if (w->full || wbuf_room(w) < n) {
		w->full = true;
		return NULL;
	}
	w->p += n;
	return at;
}
static inline void wbuf_bytes(struct wbuf *w, const void *data, size_t n)
{
	uint8_t *p = wbuf_grab(w, n);
	if (p && n)
		memcpy(p, data, n);
}
static inline void wbuf_u8(struct wbuf *w, uint8_t v)
{
	wbuf_bytes(w, &v, 1);
}
static inline void wbuf_u16(struct wbuf *w, uint16_t v)
{
	uint8_t *p = wbuf_grab(w, 2);
	if (p)
		be16_put(p, v);
}
static inline void wbuf_u32(struct wbuf *w, uint32_t v)
{
	uint8_t *p = wbuf_grab(w, 4);
	if (p)
		be32_put(p, v);
}
static inline void wbuf_u64(struct wbuf *w, uint64_t v)
{
	uint8_t *p = wbuf_grab(w, 8);
	if (p)
		be64_put(p, v);
}
// printf into the buffer, without a terminating NUL.
[[gnu::format(printf, 2, 3)]] static inline void wbuf_printf(struct wbuf *w, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (w->full)
		return;
	va_start(ap, fmt);
	n = vsnprintf((char *)w->p, wbuf_room(w), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= wbuf_room(w))
		w->full = true;
	else
		w->p += n;
}
