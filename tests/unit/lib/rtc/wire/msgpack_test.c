// libmsgpack (msgpack-c) is the oracle: what it packs we read, what we write it unpacks, and random bytes are taken
// or refused by both.
#include "lib/rtc/wire/msgpack.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <math.h>
#include <msgpack.h>
#include <stdlib.h>

#include "lib/base/rand.h"

static uint8_t buf[1 << 17];

static struct mp_reader written(const struct wbuf *w)
{
	CHECK(!w->full);
	return mp_reader_of(w->start, wbuf_len(w));
}

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static void golden_bytes(void)
{
	static const uint8_t pong[] = {0xcc, 0x02}, granted[] = {0xcc, 0x07, 0xc3};
	static const uint8_t leave[] = {0xa5, 'l', 'e', 'a', 'v', 'e', 0x81, 0xa9, 's', 'e',
					's',  's', 'i', 'o', 'n', 'I', 'D',  0xa2, 's', '1'};
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	mp_write_uint8(&w, 2);
	CHECK(wbuf_len(&w) == sizeof(pong));
	CHECK_MEM(buf, pong, sizeof(pong));
	w = wbuf_of(buf, sizeof(buf));
	mp_write_uint8(&w, 7);
	mp_write_bool(&w, true);
	CHECK_MEM(buf, granted, sizeof(granted));
	w = wbuf_of(buf, sizeof(buf));
	mp_write_str(&w, STR("leave"));
	mp_write_map(&w, 1);
	mp_write_str(&w, STR("sessionID"));
	mp_write_str(&w, STR("s1"));
	CHECK(wbuf_len(&w) == sizeof(leave));
	CHECK_MEM(buf, leave, sizeof(leave));
}

// Negative numbers come from peers alone.
static void int_write(struct wbuf *w, int64_t v)
{
	msgpack_sbuffer sb;
	msgpack_packer pk;

	if (v >= 0) {
		mp_write_uint(w, (uint64_t)v);
		return;
	}
	msgpack_sbuffer_init(&sb);
	msgpack_packer_init(&pk, &sb, msgpack_sbuffer_write);
	msgpack_pack_int64(&pk, v);
	wbuf_bytes(w, sb.data, sb.size);
	msgpack_sbuffer_destroy(&sb);
}

static void widths(void)
{
	static const struct {
		int64_t v;
		size_t len;
	} t[] = {{0, 1},
		 {127, 1},
		 {128, 2},
		 {255, 2},
		 {256, 3},
		 {65535, 3},
		 {65536, 5},
		 {UINT32_MAX, 5},
		 {INT64_C(1) << 32, 9},
		 {INT64_MAX, 9},
		 {-1, 1},
		 {-32, 1},
		 {-33, 2},
		 {-128, 2},
		 {-129, 3},
		 {-32768, 3},
		 {-32769, 5},
		 {INT32_MIN, 5},
		 {(int64_t)INT32_MIN - 1, 9},
		 {INT64_MIN, 9}};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct wbuf w = wbuf_of(buf, sizeof(buf));
		struct mp_reader r;
		int64_t got;

		int_write(&w, t[i].v);
		CHECK_EQ(wbuf_len(&w), t[i].len);
		r = written(&w);
		CHECK_EQ(mp_read_int(&r, &got), 0);
		CHECK(got == t[i].v && mp_left(&r) == 0);
		for (size_t len = 0; len < t[i].len; len++) { // and nothing less
			struct mp_reader cut = mp_reader_of(buf, len);
			CHECK_EQ(mp_read_int(&cut, &got), -ENODATA);
			CHECK(cut.p == buf);
		}
	}
}

static void any_int_form(void)
{
	static const struct {
		uint8_t b[9];
		unsigned len;
	} five[] = {{{5}, 1},
		    {{0xcc, 5}, 2},
		    {{0xcd, 0, 5}, 3},
		    {{0xce, 0, 0, 0, 5}, 5},
		    {{0xcf, 0, 0, 0, 0, 0, 0, 0, 5}, 9},
		    {{0xd0, 5}, 2},
		    {{0xd1, 0, 5}, 3},
		    {{0xd2, 0, 0, 0, 5}, 5},
		    {{0xd3, 0, 0, 0, 0, 0, 0, 0, 5}, 9}};
	int64_t i;
	uint64_t u;
	double d;

	for (unsigned k = 0; k < 9; k++) {
		struct mp_reader r = mp_reader_of(five[k].b, five[k].len);
		CHECK(mp_read_int(&r, &i) == 0 && i == 5 && mp_left(&r) == 0);
		r = mp_reader_of(five[k].b, five[k].len);
		CHECK(mp_read_uint(&r, &u) == 0 && u == 5);
		r = mp_reader_of(five[k].b, five[k].len);
		CHECK(mp_read_number(&r, &d) == 0 && d == 5);
	}
	struct mp_reader r = mp_reader_of(BYTES(0xff));
	CHECK_EQ(mp_read_uint(&r, &u), -ERANGE);
	CHECK(mp_read_int(&r, &i) == 0 && i == -1);
	r = mp_reader_of(BYTES(0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0));
	CHECK_EQ(mp_read_int(&r, &i), -ERANGE);
	CHECK(mp_read_uint(&r, &u) == 0 && u == UINT64_C(1) << 63);
	r = mp_reader_of(BYTES(0xc0));
	CHECK_EQ(mp_read_int(&r, &i), -ENOMSG);
	CHECK_EQ(mp_read_nil(&r), 0);
}

static void floats(void)
{
	struct mp_reader r = mp_reader_of(BYTES(0xcb, 0x3f, 0xa9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a));
	double d;

	CHECK(mp_read_number(&r, &d) == 0 && d == 0.05);
	r = mp_reader_of(BYTES(0xca, 0x3f, 0x00, 0, 0));
	CHECK(mp_read_number(&r, &d) == 0 && d == 0.5);
	r = mp_reader_of(BYTES(0xca, 0x7f, 0xc0, 0, 0));
	CHECK(mp_read_number(&r, &d) == 0 && isnan(d)); // judging it is the caller's
	r = mp_reader_of(BYTES(0xa1, 'x'));
	CHECK_EQ(mp_read_number(&r, &d), -ENOMSG);
}

// D18: lengths of up to 4 GiB with a few bytes behind them cost nothing and give nothing.
static void declared_lengths(void)
{
	static const struct {
		uint8_t b[8];
		unsigned len;
	} t[] = {{{0xc6, 0xff, 0xff, 0xff, 0xff, 'a'}, 6},
		 {{0xdb, 0xff, 0xff, 0xff, 0xff, 'a'}, 6},
		 {{0xc5, 0xff, 0xff, 'a'}, 4},
		 {{0xda, 0xff, 0xff, 'a'}, 4},
		 {{0xc4, 2, 'a'}, 3},
		 {{0xd9, 2, 'a'}, 3},
		 {{0xbf, 'a'}, 2},
		 {{0xdd, 0xff, 0xff, 0xff, 0xff, 0}, 6},
		 {{0xdf, 0xff, 0xff, 0xff, 0xff, 0}, 6},
		 {{0xdc, 0, 4, 0, 0, 0}, 6},
		 {{0xde, 0, 2, 0, 0, 0}, 6},
		 {{0x82, 0, 0, 0}, 4},
		 {{0x93, 0, 0}, 3},
		 {{0xc9, 0xff, 0xff, 0xff, 0xff, 1}, 6},
		 {{0xd8, 1, 2}, 3}};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint8_t *p = malloc(t[i].len);
		struct mp_reader r = mp_reader_of(p, t[i].len);
		struct str s;
		uint32_t n;

		memcpy(p, t[i].b, t[i].len);
		CHECK(mp_read_str(&r, &s) < 0 && mp_read_bytes(&r, true, &s) < 0);
		CHECK(mp_read_array(&r, &n) < 0 && mp_read_map(&r, &n) < 0);
		CHECK_EQ(mp_skip(&r), -ENODATA);
		CHECK(r.p == p); // nothing consumed
		free(p);
	}
}

static void bytes_forms(void)
{
	struct mp_reader r;
	struct str s;

	r = mp_reader_of(BYTES(0xc4, 2, 'a', 'b', 0xa1, 'c', 0xc0, 0xc0, 7));
	CHECK(mp_read_bytes(&r, false, &s) == 0 && str_eq(s, STR("ab")));
	CHECK(mp_read_bytes(&r, false, &s) == 0 && str_eq(s, STR("c")));
	CHECK_EQ(mp_read_bytes(&r, false, &s), -ENOMSG);
	CHECK(mp_read_bytes(&r, true, &s) == 0 && s.p == NULL && s.len == 0);
	CHECK_EQ(mp_read_str(&r, &s), -ENOMSG); // D18's neighbour: nil where a name is expected
	CHECK_EQ(mp_read_nil(&r), 0);
	CHECK_EQ(mp_read_bytes(&r, true, &s), -ENOMSG);
}

// The plugin's rtc message, read key by key as the control plane does; also as an array.
static void message(void)
{
	static const char map[] = "\x82\xaasession_id\xa2s1\xa4type\x03", array[] = "\x93\xa2s1\xc2\x91\xcb";
	struct mp_reader r = mp_reader_of(map, sizeof(map) - 1);
	struct str key, id;
	uint32_t n;
	int64_t type;
	bool b;

	CHECK_EQ(mp_peek(&r), MP_MAP);
	CHECK_EQ(mp_read_array(&r, &n), -ENOMSG);
	CHECK(mp_read_map(&r, &n) == 0 && n == 2);
	CHECK_EQ(mp_peek(&r), MP_STR);
	CHECK(mp_read_str(&r, &key) == 0 && str_eq(key, STR("session_id")));
	CHECK(mp_read_str(&r, &id) == 0 && str_eq(id, STR("s1")));
	CHECK(mp_skip(&r) == 0);
	CHECK_EQ(mp_peek(&r), MP_INT);
	CHECK(mp_read_int(&r, &type) == 0 && type == 3);
	CHECK_EQ(mp_peek(&r), MP_END);
	CHECK_EQ(mp_read_int(&r, &type), -ENODATA);
	r = mp_reader_of(array, sizeof(array) - 1);
	CHECK(mp_read_array(&r, &n) == 0 && n == 3);
	CHECK(mp_read_bytes(&r, false, &id) == 0 && str_eq(id, STR("s1")));
	CHECK_EQ(mp_peek(&r), MP_BOOL);
	CHECK(mp_read_bool(&r, &b) == 0 && !b);
	CHECK(mp_read_array(&r, &n) == 0 && n == 1);
	CHECK_EQ(mp_peek(&r), MP_FLOAT);
	CHECK_EQ(mp_skip(&r), -ENODATA);
}

static void deep(void)
{
	struct mp_reader r;

	memset(buf, 0x91, sizeof(buf));
	r = mp_reader_of(buf, sizeof(buf));
	CHECK_EQ(mp_skip(&r), -ELOOP);
	buf[MP_MAX_DEPTH] = 0xc0;
	CHECK_EQ(mp_skip(&r), 0);
	CHECK_EQ((size_t)(r.p - buf), MP_MAX_DEPTH + 1);
	memset(buf, 0x90, sizeof(buf)); // empty ones have no depth
	r = mp_reader_of(buf, sizeof(buf));
	for (unsigned i = 0; i < 100; i++)
		CHECK_EQ(mp_skip(&r), 0);
	r = mp_reader_of(BYTES(0xc1));
	CHECK_EQ(mp_skip(&r), -EBADMSG);
	CHECK_EQ(mp_peek(&r), MP_INVALID);
}

static void full_buffer(void)
{
	for (size_t size = 0; size < 12; size++) {
		struct wbuf w = wbuf_of(buf, size);
		mp_write_str(&w, STR("0123456789ab"));
		CHECK(w.full && wbuf_len(&w) == 0);
		w = wbuf_of(buf, size < 9 ? size : 8);
		mp_write_uint(&w, UINT64_MAX);
		CHECK(w.full && wbuf_len(&w) == 0);
	}
}

// --- against libmsgpack -------------------------------------------------------------------------

// Pack a random value with libmsgpack, write the same with ours into *w.
static void random_value(msgpack_packer *pk, struct wbuf *w, unsigned depth)
{
	static const unsigned lens[] = {0, 1, 15, 16, 31, 32, 255, 256, 1000, 65535, 65536};
	uint32_t kind = rand_u32() % (depth > 4 ? 4 : 5), shift = rand_u32() % 64;
	uint64_t u = rand_u64() >> shift;
	unsigned len = lens[rand_u32() % (rand_u32() % 50 ? 7 : 11)], n = rand_u32() % 20;
	static char text[65536];

	switch (kind) {
	case 0:
		msgpack_pack_uint64(pk, u);
		mp_write_uint(w, u);
		break;
	case 1:
		if (u & 1)
			msgpack_pack_true(pk);
		else
			msgpack_pack_false(pk);
		mp_write_bool(w, u & 1);
		break;
	case 2:
		msgpack_pack_str(pk, len);
		msgpack_pack_str_body(pk, text, len);
		mp_write_str(w, (struct str){text, len});
		break;
	case 3:
		msgpack_pack_bin(pk, len);
		msgpack_pack_bin_body(pk, text, len);
		mp_write_bin(w, text, len);
		break;
	case 4:
		msgpack_pack_map(pk, n);
		mp_write_map(w, n);
		for (unsigned k = 0; k < 2 * n; k++)
			random_value(pk, w, depth + 2);
		break;
	}
}

static void same_encodings(void)
{
	static uint8_t ours[1 << 23];

	rand_seed(31);
	for (unsigned round = 0; round < 3000; round++) {
		msgpack_sbuffer sb;
		msgpack_packer pk;
		struct wbuf w = wbuf_of(ours, sizeof(ours));

		msgpack_sbuffer_init(&sb);
		msgpack_packer_init(&pk, &sb, msgpack_sbuffer_write);
		random_value(&pk, &w, 0);
		struct mp_reader r = written(&w);
		CHECK_OR_RETURN(wbuf_len(&w) == sb.size && memcmp(ours, sb.data, sb.size) == 0);
		CHECK_OR_RETURN(mp_skip(&r) == 0 && mp_left(&r) == 0);
		msgpack_sbuffer_destroy(&sb);
	}
	rand_seed(0);
}

// Nesting depth of an object; arrays and maps count when they hold something.
static unsigned depth_of(const msgpack_object *o)
{
	unsigned most = 0;

	if (o->type == MSGPACK_OBJECT_ARRAY)
		for (uint32_t i = 0; i < o->via.array.size; i++) {
			unsigned d = 1 + depth_of(&o->via.array.ptr[i]);
			most = d > most ? d : most;
		}
	if (o->type == MSGPACK_OBJECT_MAP)
		for (uint32_t i = 0; i < o->via.map.size; i++) {
			unsigned k = 1 + depth_of(&o->via.map.ptr[i].key),
				 v = 1 + depth_of(&o->via.map.ptr[i].val);
			most = k > most ? k : most;
			most = v > most ? v : most;
		}
	return most;
}

static bool scalar_agrees(const uint8_t *p, size_t len, const msgpack_object *o)
{
	struct mp_reader r = mp_reader_of(p, len);
	struct str s;
	uint64_t u;
	int64_t i;
	double d;
	bool b;

	switch (o->type) {
	case MSGPACK_OBJECT_NIL:
		return mp_read_nil(&r) == 0;
	case MSGPACK_OBJECT_BOOLEAN:
		return mp_read_bool(&r, &b) == 0 && b == o->via.boolean;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		return mp_read_uint(&r, &u) == 0 && u == o->via.u64;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return mp_read_int(&r, &i) == 0 && i == o->via.i64;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		return mp_read_number(&r, &d) == 0 && (d == o->via.f64 || (isnan(d) && isnan(o->via.f64)));
	case MSGPACK_OBJECT_STR:
		return mp_read_str(&r, &s) == 0 && str_eq(s, (struct str){o->via.str.ptr, o->via.str.size});
	case MSGPACK_OBJECT_BIN:
		return mp_read_bytes(&r, false, &s) == 0 && str_eq(s, (struct str){o->via.bin.ptr, o->via.bin.size});
	default:
		return true;
	}
}

static void random_bytes(void)
{
	static const uint8_t heads[] = {0x81, 0x92, 0xa3, 0xc4, 0xc5, 0xc7, 0xca, 0xcb, 0xcc, 0xcd,
					0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd8, 0xd9,
					0xda, 0xdc, 0xde, 0xc0, 0xc2, 0xc1, 0xff, 0x05};
	unsigned n_good = 0;

	rand_seed(32);
	for (unsigned round = 0; round < 200000; round++) {
		uint8_t p[24];
		size_t len = 1 + rand_u32() % sizeof(p), off = 0;
		msgpack_unpacked un;
		struct mp_reader r = mp_reader_of(p, len);
		int theirs, ours;

		for (size_t i = 0; i < len; i++)
			p[i] = rand_u32() % 3 ? (uint8_t)(rand_u32() % 4) : heads[rand_u32() % sizeof(heads)];
		msgpack_unpacked_init(&un);
		theirs = msgpack_unpack_next(&un, (const char *)p, len, &off);
		ours = mp_skip(&r);
		if (theirs == MSGPACK_UNPACK_SUCCESS) {
			n_good++;
			CHECK_OR_RETURN(ours == 0 ? (size_t)(r.p - p) == off
						  : ours == -ELOOP && depth_of(&un.data) > 16);
			CHECK_OR_RETURN(scalar_agrees(p, len, &un.data));
		} else {
			CHECK_OR_RETURN(ours < 0);
		}
		msgpack_unpacked_destroy(&un);
	}
	CHECK(n_good > 50000);
	rand_seed(0);
}

CU_TestInfo msgpack_tests[] = {
	{"messages of the API have their exact bytes", golden_bytes},
	{"integers take the shortest form and every cut is noticed", widths},
	{"an integer is read from any form", any_int_form},
	{"floats of both widths and integers are numbers", floats},
	{"D18: a declared length counts only when the bytes are there", declared_lengths},
	{"str, bin and nil stand for bytes where allowed", bytes_forms},
	{"a message is read key by key", message},
	{"depth is limited when skipping", deep},
	{"what does not fit is not written", full_buffer},
	{"3000 random values are encoded as libmsgpack encodes them", same_encodings},
	{"200000 random strings are taken or refused as libmsgpack does", random_bytes},
	CU_TEST_INFO_NULL,
};
