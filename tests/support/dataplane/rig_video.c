#include "tests/support/dataplane/rig_video.h"

#include <stdio.h>
#include <string.h>

uint16_t rig_twcc;

int rig_video_track(const struct rig_peer *p, uint16_t track, const char *mid, uint32_t ssrc, unsigned n_rids)
{
	static const char *const rid[2][3] = {{"l", "h"}, {"l", "m", "h"}};
	struct ipc_track_add add = {
		.sid = p->sid,
		.track = track,
		.kind = KIND_VIDEO,
		.enabled = 1,
		.clock_hz = 90000,
		.ssrc = {ssrc},
		.n_rids = (uint8_t)n_rids,
		.codec = {{.pt = RIG_VP8, .codec = CODEC_VP8, .fb = FB_NACK | FB_PLI | FB_TWCC},
			  {.pt = RIG_RTX, .codec = CODEC_RTX, .apt = RIG_VP8}}};

	snprintf(add.mid, sizeof(add.mid), "%s", mid);
	for (unsigned i = 0; i < n_rids; i++)
		snprintf(add.rid[i], sizeof(add.rid[i]), "%s", rid[n_rids == 3][i]);
	return rig_cmd(&add, CMD_TRACK_ADD);
}

void rig_vp8(uint8_t *payload, unsigned n_bytes, const struct rig_frame_packet *f)
{
	memset(payload, (int)(f->index & 0xff), n_bytes);
	payload[0] = (uint8_t)(0x80 | ((f->flags & LAYER_START) ? 0x10 : 0) |
			       ((f->flags & LAYER_DISCARDABLE) ? 0x20 : 0));
	payload[1] = 0x80 | 0x40 | 0x20;
	be16_put(payload + 2, 0x8000 | f->pid);
	payload[4] = (uint8_t)f->pid; // TL0PICIDX
	payload[5] = (uint8_t)(f->tid << 6 | ((f->flags & LAYER_SWITCH_UP) ? 0x20 : 0));
	payload[6] = (f->flags & LAYER_KEY) ? 0x10 : 0x11; // frame tag: bit 0 clear is a key frame
	be64_put(payload + 8, f->index);
}

enum layer_added rig_feed(struct worker *w, struct source *src, unsigned layer, struct rig_frame_packet f)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->dp->rx_pool), *copy;
	unsigned n = f.n_bytes ? f.n_bytes : 100;
	struct pkt *pkt = pkt_of(m);
	uint8_t *data = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(RTP_HDR_LEN + n));
	enum layer_added added;

	memset(pkt, 0, sizeof(*pkt));
	rtp_write(data, false, f.flags & LAYER_MARKER, RIG_VP8, (uint16_t)f.index, f.ts, 0x9000 + layer);
	rig_vp8(data + RTP_HDR_LEN, n, &f);
	*pkt = (struct pkt){.place = f.index,
			    .ts = f.ts,
			    .arrival = w->now,
			    .seq = (uint16_t)f.index,
			    .hdr_len = RTP_HDR_LEN,
			    .pt = RIG_VP8,
			    .codec = CODEC_VP8,
			    .marker = (f.flags & LAYER_MARKER) != 0,
			    .layer = (uint8_t)layer,
			    .source = src,
			    .gen = source_gen(src)};
	CHECK_EQ(vp8_parse(data + RTP_HDR_LEN, n, &pkt->vp8), 0);
	added = layer_add(w, src->video->layer[layer], m, f.flags, &copy);
	mbuf_done(m);
	return added;
}

static unsigned rig_shot_payload(const struct rig_shot *s, uint8_t *payload)
{
	struct rig_frame_packet f = {
		.index = s->is_rtx ? s->osn : s->index, .flags = s->flags, .tid = s->tid, .pid = s->pid};
	unsigned n = s->n_bytes ? s->n_bytes : 100;

	if (s->is_padding) {
		memset(payload, 0, n);
		payload[n - 1] = (uint8_t)n;
	} else if (s->payload) {
		memcpy(payload, s->payload, n);
	} else if (s->is_rtx) {
		be16_put(payload, (uint16_t)s->osn);
		rig_vp8(payload + 2, n, &f);
		n = s->cut ? s->cut - 1 : n + 2;
	} else {
		rig_vp8(payload, n, &f);
	}
	return n;
}

void rig_shoot(const struct rig_peer *p, struct rig_shot s)
{
	uint8_t pkt[1500], payload[1400], twcc[2];
	struct rtp_ext ext[4] = {{.id = 3, .data = twcc, .len = 2}};
	const struct {
		const char *text;
		uint8_t id;
	} text[3] = {{s.mid, 4}, {s.rid, 5}, {s.rrid, 6}};
	unsigned n_ext = 1, n = rig_shot_payload(&s, payload);
	struct seal_rtp job = {.key = p->tx, .hdr = pkt, .src = payload, .len = (uint16_t)n, .ssrc = s.ssrc};

	be16_put(twcc, rig_twcc++);
	for (unsigned i = 0; i < 3; i++)
		if (text[i].text)
			ext[n_ext++] = (struct rtp_ext){.id = text[i].id,
							.data = (const uint8_t *)text[i].text,
							.len = (uint8_t)strlen(text[i].text)};
	rtp_write(pkt, true, s.flags & LAYER_MARKER, s.pt ? s.pt : RIG_VP8, (uint16_t)s.index, s.ts, s.ssrc);
	if (s.is_padding)
		pkt[0] |= 0x20;
	job.index = s.index;
	job.hdr_len = (uint16_t)(RTP_HDR_LEN + rtp_ext_write(pkt + RTP_HDR_LEN, 100, ext, n_ext));
	job.dst = pkt + job.hdr_len;
	CHECK_EQ(seal_rtp_protect(rig.seal, &job, 1), 1);
	rig_receive(p, pkt, job.hdr_len + n + seal_rtp_tag_len(p->profile));
}

struct source *rig_source(unsigned slot, unsigned track)
{
	return atomic_load(&rig.dp->session[slot])->track[track];
}
