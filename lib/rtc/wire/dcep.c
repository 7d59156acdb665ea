//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |  message type |  channel type |            priority           |
// |                    reliability parameter                      |
// |         label length          |       protocol length         |
// |  label ...                       protocol ...                 |
#include "lib/rtc/wire/dcep.h"

#include <errno.h>

int dcep_parse(const uint8_t *p, size_t len, struct dcep_open *open)
{
	struct rbuf r = rbuf_of(p, len);
	uint8_t type = rbuf_u8(&r);
	struct dcep_open o = {};

	if (r.bad)
		return -ENODATA;
	if (type == DCEP_ACK)
		return DCEP_ACK;
	if (type != DCEP_OPEN)
		return -ENOTSUP;
	o.channel = rbuf_u8(&r);
	o.priority = rbuf_u16(&r);
	o.reliability = rbuf_u32(&r);
	o.label.len = rbuf_u16(&r);
	o.protocol.len = rbuf_u16(&r);
	o.label.p = (const char *)rbuf_take(&r, o.label.len);
	o.protocol.p = (const char *)rbuf_take(&r, o.protocol.len);
	if (r.bad)
		return -ENODATA;
	if ((o.channel & ~DCEP_UNORDERED) > DCEP_PARTIAL_TIMED)
		return -ENOTSUP;
	*open = o;
	return DCEP_OPEN;
}

void dcep_write_open(struct wbuf *w, const struct dcep_open *o)
{
	if (o->label.len > UINT16_MAX || o->protocol.len > UINT16_MAX ||
	    wbuf_room(w) < 12 + o->label.len + o->protocol.len) {
		w->full = true;
		return;
	}
	wbuf_u8(w, DCEP_OPEN);
	wbuf_u8(w, o->channel);
	wbuf_u16(w, o->priority);
	wbuf_u32(w, o->reliability);
	wbuf_u16(w, (uint16_t)o->label.len);
	wbuf_u16(w, (uint16_t)o->protocol.len);
	wbuf_bytes(w, o->label.p, o->label.len);
	wbuf_bytes(w, o->protocol.p, o->protocol.len);
}

void dcep_write_ack(struct wbuf *w)
{
	wbuf_u8(w, DCEP_ACK);
}
