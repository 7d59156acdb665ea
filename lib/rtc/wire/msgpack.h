// MessagePack: a bounded reader over bytes and a writer into a buffer. Nothing is allocated; a declared
// length counts only when the bytes are there.
//
// Reading: every mp_read_* either consumes one value and returns 0, or consumes nothing and returns an error,
// so a caller may try one type after another.
//
// source: https://github.com/msgpack/msgpack/blob/master/spec.md
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

enum mp_type {
	MP_END, // no bytes left
	MP_NIL,
	MP_BOOL,
	MP_INT, // signed or unsigned, any width
	MP_FLOAT,
	MP_STR,
	MP_BIN,
	MP_ARRAY,
	MP_MAP,
	MP_EXT,
	MP_INVALID, // 0xc1
};

#define MP_MAX_DEPTH 16 // nesting that mp_skip follows

// --- reader -------------------------------------------------------------------------------------

struct mp_reader {
	const uint8_t *p, *end; // borrowed
};

static inline struct mp_reader mp_reader_of(const void *data, size_t len)
{
	return (struct mp_reader){data, (const uint8_t *)data + len};
}
static inline size_t mp_left(const struct mp_reader *r)
{
	return (size_t)(r->end - r->p);
}

// Type of the next value, without consuming it.
enum mp_type mp_peek(const struct mp_reader *);

// All: returns 0; -ENOMSG another type comes next; -ENODATA the value is cut off, its declared length is
// larger than what is there, or nothing is left.
[[nodiscard]] int mp_read_nil(struct mp_reader *);
[[nodiscard]] int mp_read_bool(struct mp_reader *, bool *);
// Any integer form. -ERANGE when the value does not fit.
[[nodiscard]] int mp_read_int(struct mp_reader *, int64_t *);
[[nodiscard]] int mp_read_uint(struct mp_reader *, uint64_t *);
// float32, float64, or any integer form (JavaScript encoders write 0.0 as an integer).
[[nodiscard]] int mp_read_number(struct mp_reader *, double *);
[[nodiscard]] int mp_read_str(struct mp_reader *, struct str *); // borrowed view
// str or bin; also nil, as the empty view with p NULL, when is_nil_ok.
[[nodiscard]] int mp_read_bytes(struct mp_reader *, bool is_nil_ok, struct str *);
// Headers. -ENODATA also when the declared count cannot fit what is left (one byte per element at least).
[[nodiscard]] int mp_read_array(struct mp_reader *, uint32_t *n);
[[nodiscard]] int mp_read_map(struct mp_reader *, uint32_t *n_pairs);
// Consume one value of any type with all it contains. -ELOOP deeper than MP_MAX_DEPTH, -EBADMSG on 0xc1.
[[nodiscard]] int mp_skip(struct mp_reader *);

// --- writer -------------------------------------------------------------------------------------
// Shortest encodings, as the Go library of the plugin writes them. Overflow sets w->full.

void mp_write_bool(struct wbuf *, bool);
void mp_write_uint(struct wbuf *, uint64_t);
void mp_write_uint8(struct wbuf *, uint8_t); // always `cc NN`: data channel message types
void mp_write_str(struct wbuf *, struct str);
void mp_write_bin(struct wbuf *, const void *data, size_t len);
void mp_write_map(struct wbuf *, uint32_t n_pairs);
