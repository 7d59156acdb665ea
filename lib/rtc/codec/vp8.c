#include "lib/rtc/codec/vp8.h"

#include "lib/base/buf.h"

#define PID_BITS 15

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
