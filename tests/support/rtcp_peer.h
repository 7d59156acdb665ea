// RTCP that clients write and we only read, and SDES that we only write: the other side of lib/rtc/wire/rtcp.h.
#pragma once

#include <errno.h>

#include "lib/rtc/wire/rtcp.h"

// Append a BYE of one source.
static inline void peer_write_bye(struct wbuf *w, uint32_t ssrc)
{
	wbuf_u8(w, 0x81);
	wbuf_u8(w, RTCP_BYE);
	wbuf_u16(w, 1);
	wbuf_u32(w, ssrc);
}

// Append a REMB of bps bit/s about one source.
static inline void peer_write_remb(struct wbuf *w, uint32_t from, uint64_t bps, uint32_t ssrc)
{
	unsigned exp = 0;

	while (bps >> exp > 0x3ffff)
		exp++;
	wbuf_u8(w, 0x80 | PSFB_AFB);
	wbuf_u8(w, RTCP_PSFB);
	wbuf_u16(w, 5);
	wbuf_u32(w, from);
	wbuf_u32(w, 0);
	wbuf_bytes(w, "REMB", 4);
	wbuf_u32(w, 1u << 24 | exp << 18 | (uint32_t)(bps >> exp));
	wbuf_u32(w, ssrc);
}

// SSRC and CNAME of an SDES of one chunk that starts with its CNAME. 0, -EBADMSG.
static inline int peer_read_sdes(const struct rtcp_pkt *pkt, uint32_t *ssrc, struct str *cname)
{
	struct rbuf r = rbuf_of(pkt->body, pkt->len);

	*cname = STR_NONE;
	*ssrc = rbuf_u32(&r);
	if (pkt->count != 1 || rbuf_u8(&r) != 1)
		return -EBADMSG;
	cname->len = rbuf_u8(&r);
	cname->p = (const char *)rbuf_take(&r, cname->len);
	if (rbuf_u8(&r) != 0) // the end of the chunk, then zeros up to a multiple of 4
		return -EBADMSG;
	while ((r.p - pkt->body) & 3)
		if (rbuf_u8(&r) != 0 || r.bad)
			return -EBADMSG;
	return r.bad || rbuf_left(&r) > 0 ? -EBADMSG : 0;
}
