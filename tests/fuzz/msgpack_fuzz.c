// Every reader on every value: on error nothing is consumed, on success no more than is there, and mp_skip agrees
// with walking by hand.
#include "lib/base/err.h"
#include "lib/rtc/wire/msgpack.h"

// Consume one value by its type; false when it cannot be.
static bool walk(struct mp_reader *r, unsigned depth)
{
	enum mp_type type = mp_peek(r);
	struct str s;
	uint32_t n;
	uint64_t u;
	int64_t i;
	double d;
	bool b;

	switch (type) {
	case MP_NIL:
		return mp_read_nil(r) == 0;
	case MP_BOOL:
		return mp_read_bool(r, &b) == 0;
	case MP_INT:
		return mp_read_int(r, &i) == 0 || mp_read_uint(r, &u) == 0;
	case MP_FLOAT:
		return mp_read_number(r, &d) == 0;
	case MP_STR:
		return mp_read_str(r, &s) == 0;
	case MP_BIN:
		return mp_read_bytes(r, true, &s) == 0;
	case MP_ARRAY:
	case MP_MAP:
		if ((type == MP_ARRAY ? mp_read_array(r, &n) : mp_read_map(r, &n)) < 0)
			return false;
		if (n > 0 && depth == MP_MAX_DEPTH)
			return false;
		for (uint64_t k = 0; k < (type == MP_MAP ? 2 * (uint64_t)n : n); k++)
			if (!walk(r, depth + 1))
				return false;
		return true;
	case MP_EXT:
		return mp_skip(r) == 0;
	case MP_END:
	case MP_INVALID:
		break;
	}
	return false;
}

static void only_one_reader_takes(const struct mp_reader *at)
{
	struct mp_reader r = *at;
	struct str s;
	uint32_t n;
	int64_t i;
	bool b;
	unsigned n_taken = 0;

	n_taken += mp_read_nil(&r) == 0;
	r = *at;
	n_taken += mp_read_bool(&r, &b) == 0;
	r = *at;
	n_taken += mp_read_int(&r, &i) == 0;
	r = *at;
	n_taken += mp_read_str(&r, &s) == 0;
	r = *at;
	n_taken += mp_peek(&r) == MP_BIN && mp_read_bytes(&r, false, &s) == 0;
	r = *at;
	n_taken += mp_read_array(&r, &n) == 0;
	r = *at;
	n_taken += mp_read_map(&r, &n) == 0;
	MUST(n_taken <= 1 && r.p <= r.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *p = malloc(size ? size : 1);
	struct mp_reader r;

	memcpy(p, data, size);
	r = mp_reader_of(p, size);
	while (mp_left(&r) > 0) {
		struct mp_reader by_hand = r, before = r;
		only_one_reader_takes(&r);
		bool ok = walk(&by_hand, 0);
		if (mp_skip(&r) < 0) {
			MUST(!ok && r.p == before.p);
			break;
		}
		MUST(ok && r.p == by_hand.p && r.p > before.p && r.p <= r.end);
	}
	free(p);
	return 0;
}
