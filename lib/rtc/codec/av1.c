#include "lib/rtc/codec/av1.h"

#include <errno.h>

#include "lib/base/buf.h"

// Length of an element, LEB128; a value that needs more than 4 bytes cannot fit a packet.
static uint32_t leb128(struct rbuf *r)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint8_t b = rbuf_u8(r);
		v |= (uint32_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}

// Type of the OBU whose header this is; the forbidden bit must be 0.
static uint8_t obu_type(const uint8_t *p, size_t len)
{
	return len > 0 && !(p[0] & 0x80) ? p[0] >> 3 & 0xf : AV1_OBU_NONE;
}

int av1_agg_parse(const uint8_t *payload, size_t len, struct av1_agg *a)
{
	struct rbuf r = rbuf_of(payload, len);
	uint8_t b = rbuf_u8(&r);

	*a = (struct av1_agg){.is_continued = b & 0x80,
			      .is_unfinished = b & 0x40,
			      .is_new_sequence = b & 0x08,
			      .n_elements = b >> 4 & 3};
	if (r.bad || rbuf_left(&r) == 0)
		return -ENODATA;
	if (a->is_continued && a->is_new_sequence)
		return -EBADMSG;
	for (unsigned i = 0; i < 2 && rbuf_left(&r) > 0; i++) {
		// With W elements the last one has no length.
		size_t n = a->n_elements == i + 1 ? rbuf_left(&r) : leb128(&r);
		const uint8_t *p = rbuf_take(&r, n);

		if (r.bad)
			return -EBADMSG;
		if (i == 0 && a->is_continued)
			continue;
		a->first_obu = obu_type(p, n);
		break;
	}
	return 0;
}
