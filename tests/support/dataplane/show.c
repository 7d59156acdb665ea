#include "tests/support/dataplane/show.h"

#include <string.h>
#include "dataplane/media/layer_read.h"

struct rig_peer sender, watcher;
struct told told;

static void take_twcc(const struct rtcp_fb *fb)
{
	struct twcc_status status;
	struct twcc_fb twcc;

	CHECK_EQ(twcc_fb_begin(&twcc, fb), 0);
	told.n_twcc++;
	while (twcc_fb_next(&twcc, &status)) {
		told.n_received += status.is_received;
		told.n_lost += !status.is_received;
	}
}

static void take_rtcp(const struct rtcp_pkt *pkt)
{
	struct rtcp_block block;
	struct rtcp_fb fb = {};

	if (pkt->pt == RTCP_RR) {
		told.n_rr++;
		for (unsigned i = 0; rtcp_block_read(pkt, i, &block) == 0 && told.n_blocks < 80; i++) {
			told.block_lost[told.n_blocks] = block.lost;
			told.block_ssrc[told.n_blocks++] = block.ssrc;
		}
		return;
	}
	if ((pkt->pt != RTCP_RTPFB && pkt->pt != RTCP_PSFB) || rtcp_fb_read(pkt, &fb) < 0)
		return;
	if (pkt->pt == RTCP_RTPFB && pkt->count == RTPFB_TWCC) {
		take_twcc(&fb);
	} else if (pkt->pt == RTCP_RTPFB && pkt->count == RTPFB_NACK) {
		told.n_nack++;
		told.n_seq += rtcp_nack_read(&fb, told.seq, 64);
	} else if (pkt->pt == RTCP_PSFB && pkt->count == PSFB_PLI) {
		told.n_pli++;
		told.pli_ssrc = fb.media;
	} else if (pkt->pt == RTCP_PSFB && pkt->count == PSFB_FIR) {
		told.n_fir++;
	}
}

void show_listen(void)
{
	memset(&told, 0, sizeof(told));
	for (unsigned i = 0; i < rig.n_sent; i++) {
		struct rig_out *o = &rig.sent[i];
		struct rtcp_iter it;
		struct rtcp_pkt pkt;
		uint32_t index;
		int len;

		if (o->to.remote_port != sender.port || o->len < 8 || o->data[0] >> 6 != 2 ||
		    o->data[1] < 192 || o->data[1] > 223)
			continue;
		len = seal_rtcp_unprotect(rig.seal, sender.rx, o->data, o->len, &index);
		CHECK_OR_RETURN(len > 0);
		rtcp_begin(&it, o->data, (size_t)len);
		while (rtcp_next(&it, &pkt))
			take_rtcp(&pkt);
		CHECK(!it.bad);
	}
	rig.n_sent = 0;
}

int show_leg(uint16_t leg, uint32_t ssrc)
{
	struct ipc_leg_add add = {.sid = watcher.sid,
				  .leg = leg,
				  .kind = KIND_VIDEO,
				  .pt = 120,
				  .src_sid = sender.sid,
				  .src_track = 1,
				  .codec = CODEC_VP8,
				  .rtx_pt = 121,
				  .ssrc = ssrc,
				  .rtx_ssrc = ssrc + 1,
				  .clock_hz = 90000};

	return rig_cmd(&add, CMD_LEG_ADD);
}

bool show_open(unsigned n_workers, uint32_t ssrc, unsigned n_rids)
{
	if (!rig_open(n_workers))
		return false;
	rig_twcc = 0;
	rig_join(&sender, 1, SEAL_AEAD_AES_128_GCM);
	rig_join(&watcher, 2, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig_video_track(&sender, 1, "1", ssrc, n_rids), 0);
	CHECK_EQ(show_leg(0, 0x8001), 0);
	rig_run(MS);
	rig.n_sent = 0;
	return rig_source(1, 1) != NULL;
}

void show_close(void)
{
	rig_leave(&sender);
	rig_leave(&watcher);
	rig_close();
}

enum rtxring_state show_state(unsigned layer, uint64_t index, struct rtxring_entry *e, struct rte_mbuf **m)
{
	return layer_read(rig_source(1, 1)->video->layer[layer], RTXRING_ALL, index, e, m);
}

bool show_is_held(unsigned layer, uint64_t index)
{
	struct rtxring_entry e;
	struct rte_mbuf *m;

	return show_state(layer, index, &e, &m) == RTXRING_HELD &&
	       be64_get(rte_pktmbuf_mtod_offset(m, uint8_t *, pkt_of(m)->hdr_len + 8)) == index;
}

uint64_t show_top(unsigned layer)
{
	uint64_t top;

	return layer_top(rig_source(1, 1)->video->layer[layer], &top) ? top : 0;
}

void show_shoot(uint32_t ssrc, uint64_t index, uint8_t flags)
{
	rig_shoot(&sender, (struct rig_shot){.ssrc = ssrc,
					     .index = index,
					     .ts = (uint32_t)index * 3000,
					     .flags = LAYER_START | LAYER_MARKER | flags,
					     .pid = (uint16_t)index});
}

void show_shoot_run(uint32_t ssrc, uint64_t first, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		show_shoot(ssrc, first + i, i == 0 ? LAYER_KEY : 0);
		rig_run(5 * MS);
	}
}

unsigned show_n_kept(void)
{
	return rte_mempool_in_use_count(rte_mempool_lookup("video"));
}
