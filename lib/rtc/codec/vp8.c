#include "lib/rtc/codec/vp8.h"

#include <errno.h>

#include "lib/base/buf.h"

#define PID_BITS 15

// --- reading ------------------------------------------------------------------------------------

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

bool vp8_is_key(const uint8_t *payload, size_t len)
{
	struct vp8_desc d;

	return vp8_parse(payload, len, &d) == 0 && d.is_start && (payload[d.len] & 1) == 0;
}

// --- rewriting ----------------------------------------------------------------------------------

static uint16_t pid_out(const struct vp8_desc *d, uint16_t offset, uint16_t n_dropped)
{
	uint16_t pid = (uint16_t)(d->picture_id + offset - n_dropped);

	return d->is_picture_id_15 ? pid & ((1u << PID_BITS) - 1) : pid & 0x7f;
}

void vp8_leg_switch(struct vp8_leg *l, const struct vp8_desc *d, uint16_t n_dropped)
{
	l->pid_offset = n_dropped;
	l->tl0_offset = 0;
	if (l->has_pid && d->has_picture_id)
		l->pid_offset = (uint16_t)(l->last_pid + 1 - d->picture_id + n_dropped);
	if (l->has_tl0 && d->has_tl0)
		l->tl0_offset = (uint8_t)(l->last_tl0 + 1 - d->tl0);
}

void vp8_leg_sent(struct vp8_leg *l, const struct vp8_desc *d, uint16_t n_dropped)
{
	if (d->has_picture_id) {
		l->last_pid = pid_out(d, l->pid_offset, n_dropped);
		l->has_pid = true;
	}
	if (d->has_tl0) {
		l->last_tl0 = (uint8_t)(d->tl0 + l->tl0_offset);
		l->has_tl0 = true;
	}
}

void vp8_patch(uint8_t *payload, const struct vp8_desc *d, uint16_t pid_offset, uint8_t tl0_offset,
	       uint16_t n_dropped)
{
	if (d->has_picture_id && d->is_picture_id_15)
		be16_put(payload + d->picture_id_off, 0x8000 | pid_out(d, pid_offset, n_dropped));
	else if (d->has_picture_id)
		payload[d->picture_id_off] = (uint8_t)pid_out(d, pid_offset, n_dropped);
	if (d->has_tl0)
		payload[d->tl0_off] = (uint8_t)(d->tl0 + tl0_offset);
}
