// RTP headers. The header of a protected packet is in the clear, so everything but padding can be judged
// before any cipher runs; all offsets are 16 bits because a UDP payload is.
#include "lib/rtc/wire/rtp.h"

#include <errno.h>

int rtp_parse(const uint8_t *pkt, size_t len, size_t tag_len, struct rtp_view *v)
{
	size_t hdr;

	if (len < RTP_HDR_LEN + tag_len || len > UINT16_MAX)
		return -ENODATA;
	if (pkt[0] >> 6 != 2)
		return -EBADMSG;
	*v = (struct rtp_view){
		.has_pad = pkt[0] & 0x20,
		.n_csrc = pkt[0] & 0x0f,
		.marker = pkt[1] & 0x80,
		.pt = pkt[1] & 0x7f,
		.seq = be16_get(pkt + 2),
		.ts = be32_get(pkt + 4),
		.ssrc = be32_get(pkt + 8),
	};
	hdr = RTP_HDR_LEN + 4u * v->n_csrc;
	if (pkt[0] & 0x10) {
		if (len < hdr + 4 + tag_len)
			return -ENODATA;
		v->ext_profile = be16_get(pkt + hdr);
		v->ext_off = (uint16_t)(hdr + 4);
		hdr += 4 + 4u * be16_get(pkt + hdr + 2);
	}
	if (len < hdr + tag_len)
		return -ENODATA;
	v->ext_len = v->ext_off ? (uint16_t)(hdr - v->ext_off) : 0;
	v->hdr_len = (uint16_t)hdr;
	v->payload_len = (uint16_t)(len - hdr - tag_len);
	return 0;
}

int rtp_pad_len(const uint8_t *payload, size_t len)
{
	if (len == 0 || payload[len - 1] == 0 || payload[len - 1] > len)
		return -EBADMSG;
	return payload[len - 1];
}

void rtp_write(uint8_t out[RTP_HDR_LEN], bool has_ext, bool marker, uint8_t pt, uint16_t seq, uint32_t ts,
	       uint32_t ssrc)
{
	out[0] = (uint8_t)(0x80 | (has_ext ? 0x10 : 0));
	out[1] = (uint8_t)((marker ? 0x80 : 0) | (pt & 0x7f));
	be16_put(out + 2, seq);
	be32_put(out + 4, ts);
	be32_put(out + 8, ssrc);
}

// One element at `at`, in the form of the block. Returns where the next begins, 0 at the end (or one-byte id
// 15), -EBADMSG when it overruns. Padding bytes are skipped first.
static int ext_step(const struct rtp_ext_iter *it, struct rtp_ext *e)
{
	unsigned at = it->at, head = it->is_two_byte ? 2 : 1;

	while (at < it->end && it->pkt[at] == 0 && (it->is_two_byte || it->pkt[at] >> 4 == 0))
		at++;
	if (at >= it->end)
		return 0;
	if (it->is_two_byte) {
		if (at + 2 > it->end)
			return -EBADMSG;
		e->id = it->pkt[at];
		e->len = it->pkt[at + 1];
	} else {
		e->id = it->pkt[at] >> 4;
		e->len = (uint8_t)((it->pkt[at] & 0x0f) + 1);
		if (e->id == 15) // RFC 8285 section 4.2: stop, what was read stays valid
			return 0;
	}
	if (at + head + e->len > it->end)
		return -EBADMSG;
	e->off = (uint16_t)(at + head);
	e->data = it->pkt + e->off;
	return (int)(at + head + e->len);
}

int rtp_ext_begin(struct rtp_ext_iter *it, const uint8_t *pkt, const struct rtp_view *v)
{
	struct rtp_ext_iter check;
	struct rtp_ext e;
	int next;

	*it = (struct rtp_ext_iter){.pkt = pkt, .at = v->ext_off, .end = v->ext_off};
	if (v->ext_profile == 0xbede)
		it->is_two_byte = false;
	else if ((v->ext_profile & 0xfff0) == 0x1000)
		it->is_two_byte = true;
	else
		return 0;
	it->end = (uint16_t)(v->ext_off + v->ext_len);
	check = *it;
	while ((next = ext_step(&check, &e)) > 0)
		check.at = (uint16_t)next;
	if (next < 0)
		it->end = it->at;
	return next;
}

bool rtp_ext_next(struct rtp_ext_iter *it, struct rtp_ext *e)
{
	int next = ext_step(it, e);

	if (next <= 0) {
		it->at = it->end;
		return false;
	}
	it->at = (uint16_t)next;
	return true;
}

static void ext_take_str(struct str *slot, const struct rtp_ext *e)
{
	if (slot->len == 0 && e->len > 0)
		*slot = (struct str){(const char *)e->data, e->len};
}

static void ext_take(struct rtp_exts *x, enum rtp_ext_kind kind, const struct rtp_ext *e)
{
	switch (kind) {
	case RTP_EXT_MID:
		ext_take_str(&x->mid, e);
		break;
	case RTP_EXT_RID:
		ext_take_str(&x->rid, e);
		break;
	case RTP_EXT_RRID:
		ext_take_str(&x->rrid, e);
		break;
	case RTP_EXT_LEVEL:
		if (e->len != 1 || x->has_level)
			break;
		x->has_level = true;
		x->is_voice = e->data[0] & 0x80;
		x->level = e->data[0] & 0x7f;
		break;
	case RTP_EXT_TWCC:
		if (e->len != 2 || x->has_twcc)
			break;
		x->has_twcc = true;
		x->twcc = be16_get(e->data);
		break;
	case RTP_EXT_ABS_SEND_TIME:
		if (e->len != 3 || x->has_abs_send_time)
			break;
		x->has_abs_send_time = true;
		x->abs_send_time = be24_get(e->data);
		break;
	case RTP_EXT_DD:
	case RTP_N_EXTS:
		break;
	}
}

int rtp_ext_read(const uint8_t *pkt, const struct rtp_view *v, const uint8_t id[RTP_N_EXTS],
		 struct rtp_exts *out)
{
	struct rtp_ext_iter it;
	struct rtp_ext e;
	int rc;

	*out = (struct rtp_exts){};
	rc = rtp_ext_begin(&it, pkt, v);
	if (rc < 0)
		return rc;
	while (rtp_ext_next(&it, &e))
		for (unsigned k = 0; k < RTP_N_EXTS; k++)
			if (id[k] == e.id && id[k] != 0)
				ext_take(out, k, &e);
	return 0;
}

int rtp_ext_write(uint8_t *out, size_t size, struct rtp_ext *elem, unsigned n)
{
	size_t at = 4, padded;

	for (unsigned i = 0; i < n; i++) {
		struct rtp_ext *e = &elem[i];
		e->off = 0;
		if (e->id == 0 || e->id > 14 || e->len == 0 || e->len > 16)
			continue;
		if (at + 1 + e->len > size)
			return -ENOSPC;
		out[at] = (uint8_t)(e->id << 4 | (e->len - 1));
		e->off = (uint16_t)(at + 1);
		if (e->data)
			memcpy(out + e->off, e->data, e->len);
		else
			memset(out + e->off, 0, e->len);
		at += 1u + e->len;
	}
	if (at == 4)
		return 0;
	padded = (at + 3) & ~(size_t)3;
	if (padded > size)
		return -ENOSPC;
	memset(out + at, 0, padded - at);
	be16_put(out, 0xbede);
	be16_put(out + 2, (uint16_t)((padded - 4) / 4));
	return (int)padded;
}
