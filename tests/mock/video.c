// Screens for the mock: a publisher with two encodings, viewers with feedback.
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/rtp.h"
#include "tests/mock/mock.h"

#define TRACK 1
#define MID "1"
#define FRAME_TS 3000 // 30 frames a second

static const char *const rid[2] = {"l", "h"};
static const unsigned n_bytes[2] = {300, 900}; // of a payload

// --- the publisher ---------------------------------------------------------------------------------------------

void mock_share(struct mock_screen *v, struct mock_peer *from)
{
	struct ipc_track_add add = {
		.sid = from->sid,
		.track = TRACK,
		.kind = KIND_VIDEO,
		.enabled = 1,
		.mid = MID,
		.clock_hz = 90000,
		.n_rids = 2,
		.rid = {"l", "h"},
		.codec = {{.pt = MOCK_VP8, .codec = CODEC_VP8, .fb = FB_NACK | FB_PLI | FB_TWCC},
			  {.pt = MOCK_RTX, .codec = CODEC_RTX, .apt = MOCK_VP8}}};

	*v = (struct mock_screen){.from = from, .wants_key = {true, true}};
	for (unsigned i = 0; i < 2; i++) {
		v->ssrc[i] = rand_u32() | 1;
		v->ts[i] = rand_u32();
		v->index[i] = 1 + rand_u32() % 0x7fff;
		v->pid[i] = (uint16_t)(rand_u32() % 0x7fff);
	}
	if (mock_cmd(from->dp, &add, CMD_TRACK_ADD) != 0)
		die(EXIT_SOFTWARE, "screen refused: %d", from->dp->ack.err);
}

unsigned mock_video_header(struct mock_peer *p, uint8_t *hdr, uint8_t pt, uint16_t seq, uint32_t ts,
			   uint32_t ssrc, const char *rid_text, bool marker)
{
	uint8_t twcc[2];
	struct rtp_ext ext[] = {
		{.id = MOCK_TWCC_ID, .data = twcc, .len = 2},
		{.id = MOCK_MID_ID, .data = (const uint8_t *)MID, .len = 1},
		{.id = MOCK_RID_ID, .data = (const uint8_t *)rid_text, .len = 1},
	};

	be16_put(twcc, p->twcc++);
	rtp_write(hdr, true, marker, pt, seq, ts, ssrc);
	return (unsigned)(RTP_HDR_LEN + rtp_ext_write(hdr + RTP_HDR_LEN, 64, ext, rid_text ? 3 : 2));
}

static size_t seal(struct mock_peer *p, uint8_t *out, const uint8_t *hdr, unsigned hdr_len,
		   const uint8_t *payload, unsigned len, uint64_t index)
{
	struct seal_rtp job = {.key = p->tx,
			       .hdr = out,
			       .src = payload,
			       .dst = out + hdr_len,
			       .hdr_len = (uint16_t)hdr_len,
			       .len = (uint16_t)len,
			       .ssrc = be32_get(hdr + 8),
			       .index = index};

	memcpy(out, hdr, hdr_len);
	if (seal_rtp_protect(p->seal, &job, 1) != 1)
		die(EXIT_SOFTWARE, "client cannot seal video");
	return hdr_len + len + seal_rtp_tag_len(p->profile);
}

void mock_seal_send(struct mock_peer *p, const uint8_t *hdr, unsigned hdr_len, const uint8_t *payload,
		    unsigned len, uint64_t index)
{
	uint8_t pkt[2048];

	mock_send(p, pkt, seal(p, pkt, hdr, hdr_len, payload, len, index));
}

// VP8 with a 15-bit picture id and TL0PICIDX. Byte 7 says which encoding it is.
static void payload_write(uint8_t *p, const struct mock_screen *v, unsigned layer, bool is_start, bool is_key)
{
	memset(p, (int)(v->index[layer] & 0xff), n_bytes[layer]);
	p[0] = (uint8_t)(0x80 | (is_start ? 0x10 : 0));
	p[1] = 0x80 | 0x40;
	be16_put(p + 2, 0x8000 | v->pid[layer]);
	p[4] = (uint8_t)v->pid[layer];
	p[5] = is_start && is_key ? 0x10 : 0x11; // frame tag
	p[6] = 0;
	p[7] = (uint8_t)layer;
}

// Key frames that were asked for since the last frame.
static void take_wishes(struct mock_screen *v)
{
	if (v->n_pli == v->from->n_pli)
		return;
	v->n_pli = v->from->n_pli;
	v->wants_key[0] = v->wants_key[1] = true; // a PLI each may have come: the peer keeps the last SSRC
}

void mock_frame(struct mock_screen *v, unsigned layer, bool is_key, unsigned n, unsigned skip)
{
	uint8_t hdr[128], payload[1400], pkt[1500];

	take_wishes(v);
	is_key |= v->wants_key[layer];
	v->wants_key[layer] = false;
	v->ts[layer] += FRAME_TS;
	v->pid[layer] = (uint16_t)((v->pid[layer] + 1) & 0x7fff);
	for (unsigned i = 0; i < n; i++) {
		unsigned hdr_len = mock_video_header(v->from, hdr, MOCK_VP8, (uint16_t)v->index[layer],
						     v->ts[layer], v->ssrc[layer], rid[layer], i == n - 1);
		size_t len;

		payload_write(payload, v, layer, i == 0, is_key);
		len = seal(v->from, pkt, hdr, hdr_len, payload, n_bytes[layer], v->index[layer]++);
		if (i != skip) {
			mock_send(v->from, pkt, len);
			continue;
		}
		memcpy(v->skipped, pkt, len);
		v->skipped_len = len;
	}
}

void mock_send_skipped(struct mock_screen *v)
{
	mock_send(v->from, v->skipped, v->skipped_len);
}

// --- viewers ---------------------------------------------------------------------------------------------------

uint32_t mock_watch(struct mock_peer *to, const struct mock_peer *from, bool has_rtx)
{
	struct ipc_leg_add add = {.sid = to->sid,
				  .leg = to->next_leg++,
				  .kind = KIND_VIDEO,
				  .pt = MOCK_VP8,
				  .src_sid = from->sid,
				  .src_track = TRACK,
				  .codec = CODEC_VP8,
				  .rtx_pt = has_rtx ? MOCK_RTX : 0,
				  .ssrc = rand_u32() & ~1u,
				  .clock_hz = 90000,
				  .mid = "5",
				  .fb = FB_NACK | FB_PLI | FB_TWCC};

	add.rtx_ssrc = has_rtx ? add.ssrc + 1 : 0;
	if (mock_cmd(to->dp, &add, CMD_LEG_ADD) != 0)
		die(EXIT_SOFTWARE, "video leg refused: %d", to->dp->ack.err);
	return add.ssrc;
}

void mock_tell(struct mock_peer *p)
{
	uint8_t bytes[1400];
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));

	if (clock_now() >= twcc_log_due(&p->arrivals) &&
	    twcc_log_write(&p->arrivals, &w, p->ssrc, p->lose_ssrc, clock_now()) > 0)
		mock_rtcp(p, bytes, wbuf_len(&w));
}

void mock_ask_key(struct mock_peer *p, uint32_t ssrc)
{
	uint8_t bytes[64];
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));

	rtcp_write_pli(&w, p->ssrc, ssrc);
	mock_rtcp(p, bytes, wbuf_len(&w));
}

void mock_nack(struct mock_peer *p, uint32_t ssrc)
{
	uint8_t bytes[256];
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));

	for (unsigned i = 0; i < p->n_lost; i++) // one each: the list is in no order
		rtcp_write_nack(&w, p->ssrc, ssrc, &p->lost[i], 1);
	mock_rtcp(p, bytes, wbuf_len(&w));
}

unsigned mock_layer(struct mock_peer *p, uint32_t ssrc)
{
	struct mock_stream *s = mock_stream(p, ssrc);

	return s ? s->last_payload[7] : ~0u;
}
