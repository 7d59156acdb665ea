// Every reader checks against the body that rtcp_next delimited; no reader trusts a count field.
#include "lib/rtc/wire/rtcp.h"

#include <assert.h>
#include <errno.h>

#include "lib/rtc/wire/rtp.h"

#define BLOCK_LEN 24 // bytes of a report block
#define SR_LEN 24    // bytes of an SR's body before its blocks

// --- walk ---------------------------------------------------------------------------------------

void rtcp_begin(struct rtcp_iter *it, const uint8_t *compound, size_t len)
{
	*it = (struct rtcp_iter){.p = compound, .end = compound + len};
}

static bool walk_ends(struct rtcp_iter *it)
{
	it->bad = true;
	it->p = it->end;
	return false;
}

bool rtcp_next(struct rtcp_iter *it, struct rtcp_pkt *pkt)
{
	size_t left = (size_t)(it->end - it->p), len;

	if (left == 0)
		return false;
	if (left < 4 || it->p[0] >> 6 != 2 || it->n == RTCP_MAX_PACKETS)
		return walk_ends(it);
	len = 4u + 4u * be16_get(it->p + 2);
	if (len > left)
		return walk_ends(it);
	*pkt = (struct rtcp_pkt){
		.body = it->p + 4, .len = (uint16_t)(len - 4), .pt = it->p[1], .count = it->p[0] & 0x1f};
	if (it->p[0] & 0x20) { // padding: only in the last packet; libwebrtc's TWCC pads by 1 to 3 bytes
		uint8_t pad = pkt->len > 0 ? pkt->body[pkt->len - 1] : 0;
		if (len != left || pad == 0 || pad > pkt->len)
			return walk_ends(it);
		pkt->len = (uint16_t)(pkt->len - pad);
	}
	it->p += len;
	it->n++;
	return true;
}

// --- readers ------------------------------------------------------------------------------------

int rtcp_sr_read(const struct rtcp_pkt *pkt, struct rtcp_sr *sr)
{
	const uint8_t *b = pkt->body;

	if (pkt->len < SR_LEN)
		return -EBADMSG;
	*sr = (struct rtcp_sr){.ssrc = be32_get(b),
			       .ntp = be64_get(b + 4),
			       .rtp = be32_get(b + 12),
			       .n_packets = be32_get(b + 16),
			       .n_octets = be32_get(b + 20)};
	return 0;
}

int rtcp_block_read(const struct rtcp_pkt *pkt, unsigned i, struct rtcp_block *block)
{
	size_t at = (pkt->pt == RTCP_SR ? SR_LEN : 4) + (size_t)BLOCK_LEN * i;
	const uint8_t *b = pkt->body + at;

	if (i >= pkt->count)
		return -ENOENT;
	if (at + BLOCK_LEN > pkt->len)
		return -EBADMSG;
	*block = (struct rtcp_block){.ssrc = be32_get(b),
				     .fraction = b[4],
				     .lost = (int32_t)(be24_get(b + 5) << 8) >> 8,
				     .ext_seq = be32_get(b + 8),
				     .jitter = be32_get(b + 12),
				     .lsr = be32_get(b + 16),
				     .dlsr = be32_get(b + 20)};
	return 0;
}

int rtcp_bye_read(const struct rtcp_pkt *pkt, unsigned i, uint32_t *ssrc)
{
	if (i >= pkt->count)
		return -ENOENT;
	if (4u * i + 4 > pkt->len)
		return -EBADMSG;
	*ssrc = be32_get(pkt->body + 4 * i);
	return 0;
}

int rtcp_fb_read(const struct rtcp_pkt *pkt, struct rtcp_fb *fb)
{
	if (pkt->len < 8)
		return -EBADMSG;
	*fb = (struct rtcp_fb){.sender = be32_get(pkt->body),
			       .media = be32_get(pkt->body + 4),
			       .fci = pkt->body + 8,
			       .fci_len = (uint16_t)(pkt->len - 8)};
	return 0;
}

unsigned rtcp_nack_read(const struct rtcp_fb *fb, uint16_t *seq, unsigned max)
{
	unsigned n = 0;

	for (unsigned at = 0; at + 4 <= fb->fci_len; at += 4) {
		uint16_t pid = be16_get(fb->fci + at), blp = be16_get(fb->fci + at + 2);
		for (unsigned bit = 0; bit <= 16; bit++) {
			if (bit > 0 && !(blp >> (bit - 1) & 1))
				continue;
			if (n == max)
				return n;
			seq[n++] = (uint16_t)(pid + bit);
		}
	}
	return n;
}

int rtcp_fir_read(const struct rtcp_fb *fb, unsigned i, uint32_t *ssrc, uint8_t *seq_nr)
{
	if (8u * i + 8 > fb->fci_len)
		return -ENOENT;
	*ssrc = be32_get(fb->fci + 8 * i);
	*seq_nr = fb->fci[8 * i + 4];
	return 0;
}

int rtcp_remb_read(const struct rtcp_fb *fb, uint32_t *bps)
{
	uint32_t mantissa;
	unsigned exp;

	if (fb->fci_len < 4 || memcmp(fb->fci, "REMB", 4) != 0)
		return -ENOENT;
	if (fb->fci_len < 8 || fb->fci_len < 8 + 4u * fb->fci[4])
		return -EBADMSG;
	exp = fb->fci[5] >> 2;
	mantissa = be24_get(fb->fci + 5) & 0x3ffff;
	*bps = mantissa == 0                                         ? 0
	       : exp >= 32 || (uint64_t)mantissa << exp > UINT32_MAX ? UINT32_MAX
								     : mantissa << exp;
	return 0;
}

// --- builders -----------------------------------------------------------------------------------

// Header and room for the body; the cursor stands at the body. False when it does not fit.
static bool put_header(struct wbuf *w, unsigned count, enum rtcp_pt pt, size_t body)
{
	assert(count <= 31 && body % 4 == 0);
	if (w->full || wbuf_room(w) < 4 + body) {
		w->full = true;
		return false;
	}
	wbuf_u8(w, (uint8_t)(0x80 | count));
	wbuf_u8(w, (uint8_t)pt);
	wbuf_u16(w, (uint16_t)(body / 4));
	return true;
}

static void put_blocks(struct wbuf *w, const struct rtcp_block *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		wbuf_u32(w, b[i].ssrc);
		wbuf_u32(w, (uint32_t)b[i].fraction << 24 | ((uint32_t)b[i].lost & 0xffffff));
		wbuf_u32(w, b[i].ext_seq);
		wbuf_u32(w, b[i].jitter);
		wbuf_u32(w, b[i].lsr);
		wbuf_u32(w, b[i].dlsr);
	}
}

void rtcp_write_sr(struct wbuf *w, const struct rtcp_sr *sr, const struct rtcp_block *blocks,
		   unsigned n_blocks)
{
	unsigned n = n_blocks > RTCP_MAX_BLOCKS ? RTCP_MAX_BLOCKS : n_blocks;

	if (!put_header(w, n, RTCP_SR, SR_LEN + BLOCK_LEN * n))
		return;
	wbuf_u32(w, sr->ssrc);
	wbuf_u64(w, sr->ntp);
	wbuf_u32(w, sr->rtp);
	wbuf_u32(w, sr->n_packets);
	wbuf_u32(w, sr->n_octets);
	put_blocks(w, blocks, n);
}

void rtcp_write_rr(struct wbuf *w, uint32_t ssrc, const struct rtcp_block *blocks, unsigned n_blocks)
{
	unsigned n = n_blocks > RTCP_MAX_BLOCKS ? RTCP_MAX_BLOCKS : n_blocks;

	if (!put_header(w, n, RTCP_RR, 4 + BLOCK_LEN * n))
		return;
	wbuf_u32(w, ssrc);
	put_blocks(w, blocks, n);
}

void rtcp_write_sdes(struct wbuf *w, uint32_t ssrc, struct str cname)
{
	size_t len = cname.len > 255 ? 255 : cname.len;
	size_t body = (4 + 2 + len + 1 + 3) & ~(size_t)3; // at least one zero ends the chunk
	static const uint8_t zero[4];

	if (!put_header(w, 1, RTCP_SDES, body))
		return;
	wbuf_u32(w, ssrc);
	wbuf_u8(w, 1); // CNAME
	wbuf_u8(w, (uint8_t)len);
	wbuf_bytes(w, cname.p, len);
	wbuf_bytes(w, zero, body - 6 - len);
}

// How many of seq one FCI entry covers, and its bitmask.
static unsigned nack_entry(const uint16_t *seq, unsigned n, uint16_t *blp)
{
	unsigned i = 1;

	*blp = 0;
	for (; i < n; i++) {
		int d = seq16_diff(seq[i], seq[0]);
		if (d < 0 || d > 16)
			break;
		if (d > 0)
			*blp |= (uint16_t)(1u << (d - 1));
	}
	return i;
}

void rtcp_write_nack(struct wbuf *w, uint32_t sender, uint32_t media, const uint16_t *seq, unsigned n)
{
	unsigned n_entries = 0;
	uint16_t blp;

	for (unsigned i = 0; i < n; i += nack_entry(seq + i, n - i, &blp))
		n_entries++;
	if (n_entries == 0 || !put_header(w, RTPFB_NACK, RTCP_RTPFB, 8 + 4 * (size_t)n_entries))
		return;
	wbuf_u32(w, sender);
	wbuf_u32(w, media);
	for (unsigned i = 0; i < n;) {
		unsigned step = nack_entry(seq + i, n - i, &blp);
		wbuf_u16(w, seq[i]);
		wbuf_u16(w, blp);
		i += step;
	}
}

void rtcp_write_pli(struct wbuf *w, uint32_t sender, uint32_t media)
{
	if (!put_header(w, PSFB_PLI, RTCP_PSFB, 8))
		return;
	wbuf_u32(w, sender);
	wbuf_u32(w, media);
}

void rtcp_write_fir(struct wbuf *w, uint32_t sender, uint32_t media, uint8_t seq_nr)
{
	if (!put_header(w, PSFB_FIR, RTCP_PSFB, 16))
		return;
	wbuf_u32(w, sender);
	wbuf_u32(w, 0); // RFC 5104 section 4.3.1.2: the media SSRC is in the entry
	wbuf_u32(w, media);
	wbuf_u32(w, (uint32_t)seq_nr << 24);
}
