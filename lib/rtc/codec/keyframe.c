#include "lib/rtc/codec/keyframe.h"

#include <errno.h>

#include "lib/base/buf.h"

//      0 1 2 3 4 5 6 7
//     |X|R|N|S|R| PID |
// X:  |I|L|T|K|  RSV  |
// I:  |M| PictureID   |  M: one more byte
// L:  |   TL0PICIDX   |
// TK: |TID|Y| KEYIDX  |
int vp8_parse(const uint8_t *payload, size_t len, struct vp8_desc *d)
{
	struct rbuf r = rbuf_of(payload, len);
	uint8_t b0 = rbuf_u8(&r), x = b0 & 0x80 ? rbuf_u8(&r) : 0;

	*d = (struct vp8_desc){.is_start = (b0 & 0x17) == 0x10, .is_discardable = b0 & 0x20};
	if (x & 0x80) {
		d->has_picture_id = true;
		d->picture_id_off = (uint8_t)(r.p - payload);
		d->picture_id = rbuf_u8(&r);
		if (d->picture_id & 0x80) {
			d->is_picture_id_15 = true;
			d->picture_id = (uint16_t)((d->picture_id & 0x7f) << 8 | rbuf_u8(&r));
		}
	}
	if (x & 0x40) {
		d->has_tl0 = true;
		d->tl0_off = (uint8_t)(r.p - payload);
		d->tl0 = rbuf_u8(&r);
	}
	if (x & 0x30) {
		uint8_t b = rbuf_u8(&r);
		d->has_tid = x & 0x20;
		d->tid = d->has_tid ? b >> 6 : 0;
		d->is_switch_up = d->has_tid && (b & 0x20);
		d->key_idx = x & 0x10 ? b & 0x1f : 0;
	}
	if (r.bad)
		return -ENODATA;
	d->len = (uint8_t)(r.p - payload);
	return rbuf_left(&r) > 0 ? 0 : -EBADMSG;
}

bool keyframe_vp8(const uint8_t *payload, size_t len)
{
	struct vp8_desc d;

	return vp8_parse(payload, len, &d) == 0 && d.is_start && (payload[d.len] & 1) == 0;
}

// Aggregation header |Z|Y| W |N|-|-|-|: Z continues an OBU of the packet before, so Z with N is a
// contradiction.
bool keyframe_av1(const uint8_t *payload, size_t len)
{
	return len > 1 && (payload[0] & 0x88) == 0x08;
}
