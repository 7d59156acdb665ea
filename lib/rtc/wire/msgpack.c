// The reader decodes the head of a value into struct msgpack_head first (type, length or bits, bytes of the head) and
// then decides; the cursor moves only when everything a value claims is there.
#include "lib/rtc/wire/msgpack.h"

#include <errno.h>

struct msgpack_head {
	enum mp_type type;
	bool is_signed; // MP_INT: bits is an int64_t
	uint8_t n;      // bytes of the head, including fixed-size values
	uint8_t width;  // MP_FLOAT: 4 or 8
	uint64_t bits;  // value of bool, int and float; length or count of the others
};

static uint64_t be_get(const uint8_t *p, unsigned width)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < width; i++)
		v = v << 8 | p[i];
	return v;
}

// Forms c0..df: what follows the first byte, and what it means. width: bytes of value or length.
static const struct {
	uint8_t type, width;
} wide_form[32] = {
	{MP_NIL, 0},   {MP_INVALID, 0}, {MP_BOOL, 0}, {MP_BOOL, 0},  {MP_BIN, 1},   {MP_BIN, 2}, {MP_BIN, 4},
	{MP_EXT, 1},   {MP_EXT, 2},     {MP_EXT, 4},  {MP_FLOAT, 4}, {MP_FLOAT, 8}, {MP_INT, 1}, {MP_INT, 2},
	{MP_INT, 4},   {MP_INT, 8},     {MP_INT, 1},  {MP_INT, 2},   {MP_INT, 4},   {MP_INT, 8}, {MP_EXT, 0},
	{MP_EXT, 0},   {MP_EXT, 0},     {MP_EXT, 0},  {MP_EXT, 0},   {MP_STR, 1},   {MP_STR, 2}, {MP_STR, 4},
	{MP_ARRAY, 2}, {MP_ARRAY, 4},   {MP_MAP, 2},  {MP_MAP, 4},
};

static void head_fix(uint8_t b, struct msgpack_head *h)
{
	h->n = 1;
	if (b < 0x80)
		*h = (struct msgpack_head){.type = MP_INT, .n = 1, .bits = b};
	else if (b < 0x90)
		*h = (struct msgpack_head){.type = MP_MAP, .n = 1, .bits = b & 0x0f};
	else if (b < 0xa0)
		*h = (struct msgpack_head){.type = MP_ARRAY, .n = 1, .bits = b & 0x0f};
	else if (b < 0xc0)
		*h = (struct msgpack_head){.type = MP_STR, .n = 1, .bits = b & 0x1f};
	else
		*h = (struct msgpack_head){
			.type = MP_INT, .is_signed = true, .n = 1, .bits = (uint64_t)(int64_t)(int8_t)b};
}

static int head_read(const struct mp_reader *r, struct msgpack_head *h)
{
	uint8_t b;

	if (r->p >= r->end)
		return -ENODATA;
	b = *r->p;
	if (b < 0xc0 || b >= 0xe0) {
		head_fix(b, h);
		return 0;
	}
	*h = (struct msgpack_head){.type = wide_form[b - 0xc0].type, .width = wide_form[b - 0xc0].width};
	h->n = (uint8_t)(1 + h->width);
	if (mp_left(r) < h->n)
		return -ENODATA;
	h->bits = be_get(r->p + 1, h->width);
	if (b == 0xc2 || b == 0xc3)
		h->bits = b & 1;
	if (b >= 0xd0 && b <= 0xd3) { // int8..int64: extend the sign
		unsigned shift = 64 - 8u * h->width;
		h->is_signed = true;
		h->bits = (uint64_t)((int64_t)(h->bits << shift) >> shift);
	}
	if (b >= 0xd4 && b <= 0xd8) // fixext 1, 2, 4, 8, 16
		h->bits = UINT64_C(1) << (b - 0xd4);
	if (h->type == MP_EXT)
		h->bits += 1; // its type byte comes before the data
	return 0;
}

// The head, when it is of this type.
static int head_want(const struct mp_reader *r, enum mp_type type, struct msgpack_head *h)
{
	int rc = head_read(r, h);

	if (rc < 0)
		return rc;
	return h->type == type ? 0 : -ENOMSG;
}

enum mp_type mp_peek(const struct mp_reader *r)
{
	uint8_t b;
	struct msgpack_head h;

	if (r->p >= r->end)
		return MP_END;
	b = *r->p;
	if (b >= 0xc0 && b < 0xe0)
		return wide_form[b - 0xc0].type;
	head_fix(b, &h);
	return h.type;
}

int mp_read_nil(struct mp_reader *r)
{
	struct msgpack_head h;
	int rc = head_want(r, MP_NIL, &h);

	if (rc == 0)
		r->p += h.n;
	return rc;
}

int mp_read_bool(struct mp_reader *r, bool *v)
{
	struct msgpack_head h;
	int rc = head_want(r, MP_BOOL, &h);

	if (rc < 0)
		return rc;
	*v = h.bits != 0;
	r->p += h.n;
	return 0;
}

int mp_read_int(struct mp_reader *r, int64_t *v)
{
	struct msgpack_head h;
	int rc = head_want(r, MP_INT, &h);

	if (rc < 0)
		return rc;
	if (!h.is_signed && h.bits > INT64_MAX)
		return -ERANGE;
	*v = (int64_t)h.bits;
	r->p += h.n;
	return 0;
}

int mp_read_uint(struct mp_reader *r, uint64_t *v)
{
	struct msgpack_head h;
	int rc = head_want(r, MP_INT, &h);

	if (rc < 0)
		return rc;
	if (h.is_signed && (int64_t)h.bits < 0)
		return -ERANGE;
	*v = h.bits;
	r->p += h.n;
	return 0;
}

static double head_double(const struct msgpack_head *h)
{
	if (h->type == MP_INT)
		return h->is_signed ? (double)(int64_t)h->bits : (double)h->bits;
	if (h->width == 4) {
		uint32_t bits = (uint32_t)h->bits;
		float f;
		memcpy(&f, &bits, sizeof(f));
		return f;
	}
	double d;
	memcpy(&d, &h->bits, sizeof(d));
	return d;
}

int mp_read_number(struct mp_reader *r, double *v)
{
	struct msgpack_head h;
	int rc = head_read(r, &h);

	if (rc < 0)
		return rc;
	if (h.type != MP_INT && h.type != MP_FLOAT)
		return -ENOMSG;
	*v = head_double(&h);
	r->p += h.n;
	return 0;
}

// Head read, length known: take the bytes, if they are there.
static int take_bytes(struct mp_reader *r, const struct msgpack_head *h, struct str *v)
{
	if (h->bits > mp_left(r) - h->n)
		return -ENODATA;
	*v = (struct str){(const char *)r->p + h->n, (size_t)h->bits};
	r->p += h->n + h->bits;
	return 0;
}

int mp_read_str(struct mp_reader *r, struct str *v)
{
	struct msgpack_head h;
	int rc = head_want(r, MP_STR, &h);

	return rc < 0 ? rc : take_bytes(r, &h, v);
}

int mp_read_bytes(struct mp_reader *r, bool is_nil_ok, struct str *v)
{
	struct msgpack_head h;
	int rc = head_read(r, &h);

	if (rc < 0)
		return rc;
	if (h.type == MP_NIL && is_nil_ok) {
		*v = STR_NONE;
		r->p += h.n;
		return 0;
	}
	return h.type == MP_STR || h.type == MP_BIN ? take_bytes(r, &h, v) : -ENOMSG;
}

static int read_count(struct mp_reader *r, enum mp_type type, unsigned bytes_each, uint32_t *n)
{
	struct msgpack_head h;
	int rc = head_want(r, type, &h);

	if (rc < 0)
		return rc;
	if (h.bits * bytes_each > mp_left(r) - h.n)
		return -ENODATA;
	*n = (uint32_t)h.bits;
	r->p += h.n;
	return 0;
}

int mp_read_array(struct mp_reader *r, uint32_t *n)
{
	return read_count(r, MP_ARRAY, 1, n);
}

int mp_read_map(struct mp_reader *r, uint32_t *n_pairs)
{
	return read_count(r, MP_MAP, 2, n_pairs);
}

// Iterative, so that the peer chooses neither the depth of our stack nor the time: every step consumes a
// byte.
int mp_skip(struct mp_reader *r)
{
	uint64_t left[MP_MAX_DEPTH + 1] = {1}; // values still to skip at each level
	unsigned depth = 0;
	struct mp_reader at = *r;

	for (;;) {
		struct msgpack_head h;
		int rc;

		while (depth > 0 && left[depth] == 0)
			depth--;
		if (left[depth] == 0)
			break;
		left[depth]--;
		rc = head_read(&at, &h);
		if (rc < 0)
			return rc;
		if (h.type == MP_INVALID)
			return -EBADMSG;
		at.p += h.n;
		if (h.type == MP_ARRAY || h.type == MP_MAP) {
			uint64_t n = h.type == MP_MAP ? 2 * h.bits : h.bits;
			if (n > mp_left(&at))
				return -ENODATA;
			if (n == 0)
				continue;
			if (depth == MP_MAX_DEPTH)
				return -ELOOP;
			left[++depth] = n;
		} else if (h.type == MP_STR || h.type == MP_BIN || h.type == MP_EXT) {
			if (h.bits > mp_left(&at))
				return -ENODATA;
			at.p += h.bits;
		}
	}
	r->p = at.p;
	return 0;
}

// --- writer -------------------------------------------------------------------------------------

// First byte and a big-endian value of width bytes, or nothing.
static void put(struct wbuf *w, uint8_t first, uint64_t v, unsigned width)
{
	uint8_t *p = wbuf_grab(w, 1 + width);

	if (p == NULL)
		return;
	p[0] = first;
	for (unsigned i = 0; i < width; i++)
		p[1 + i] = (uint8_t)(v >> (8 * (width - 1 - i)));
}

void mp_write_bool(struct wbuf *w, bool v)
{
	wbuf_u8(w, v ? 0xc3 : 0xc2);
}

void mp_write_uint(struct wbuf *w, uint64_t v)
{
	if (v < 0x80)
		wbuf_u8(w, (uint8_t)v);
	else if (v <= UINT8_MAX)
		put(w, 0xcc, v, 1);
	else if (v <= UINT16_MAX)
		put(w, 0xcd, v, 2);
	else if (v <= UINT32_MAX)
		put(w, 0xce, v, 4);
	else
		put(w, 0xcf, v, 8);
}

void mp_write_uint8(struct wbuf *w, uint8_t v)
{
	put(w, 0xcc, v, 1);
}

void mp_write_str(struct wbuf *w, struct str s)
{
	if (s.len > UINT32_MAX || wbuf_room(w) < s.len + 1) {
		w->full = true;
		return;
	}
	if (s.len < 32)
		wbuf_u8(w, (uint8_t)(0xa0 | s.len));
	else if (s.len <= UINT8_MAX)
		put(w, 0xd9, s.len, 1);
	else if (s.len <= UINT16_MAX)
		put(w, 0xda, s.len, 2);
	else
		put(w, 0xdb, s.len, 4);
	wbuf_bytes(w, s.p, s.len);
}

static void put_bin_head(struct wbuf *w, uint32_t len)
{
	if (len <= UINT8_MAX)
		put(w, 0xc4, len, 1);
	else if (len <= UINT16_MAX)
		put(w, 0xc5, len, 2);
	else
		put(w, 0xc6, len, 4);
}

void mp_write_bin(struct wbuf *w, const void *data, size_t len)
{
	if (len > UINT32_MAX || wbuf_room(w) < len + 2) {
		w->full = true;
		return;
	}
	put_bin_head(w, (uint32_t)len);
	wbuf_bytes(w, data, len);
}

void mp_write_map(struct wbuf *w, uint32_t n_pairs)
{
	if (n_pairs < 16)
		wbuf_u8(w, (uint8_t)(0x80 | n_pairs));
	else if (n_pairs <= UINT16_MAX)
		put(w, 0xde, n_pairs, 2);
	else
		put(w, 0xdf, n_pairs, 4);
}
