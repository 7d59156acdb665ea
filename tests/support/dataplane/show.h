// A show: one peer publishes video, the other is there to watch, and what the publisher is told is read.
#pragma once

#include "dataplane/media/layer_read.h"
#include "lib/rtc/wire/rtcp.h"
#include "lib/rtc/wire/twcc.h"
#include "tests/support/dataplane/rig_video.h"

#define L 0x7001
#define H 0x7002
#define L_RTX 0x7003
#define H_RTX 0x7004
#define MS NS_PER_MS

extern struct rig_peer sender, watcher;

// --- what the publisher is told ---------------------------------------------------------------------------------

struct told {
	unsigned n_nack, n_seq, n_pli, n_fir, n_twcc, n_received, n_lost, n_blocks, n_rr;
	uint16_t seq[64];
	uint32_t pli_ssrc;
	uint32_t block_ssrc[80];
	int32_t block_lost[80];
};
extern struct told told;

// Read the SRTCP sent to the sender since the last call into `told`, which is emptied before.
void show_listen(void);

// --- scenes -------------------------------------------------------------------------------------------------------

// A video leg to the watcher; err of the command.
int show_leg(uint16_t leg, uint32_t ssrc);

// The sender publishes video with n_rids encodings as track 1 with MID "1"; the watcher watches.
bool show_open(unsigned n_workers, uint32_t ssrc, unsigned n_rids);
void show_close(void);

// Of a packet in the ring of a layer, as layer_read.
enum rtxring_state show_state(unsigned layer, uint64_t index, struct rtxring_entry *e, struct rte_mbuf **m);

// Is the packet with this number in the ring, with its own payload?
bool show_is_held(unsigned layer, uint64_t index);

// 0: the layer is empty.
uint64_t show_top(unsigned layer);

// One packet of one frame each.
void show_shoot(uint32_t ssrc, uint64_t index, uint8_t flags);

// n of them, 5 ms apart, the first one a key frame.
void show_shoot_run(uint32_t ssrc, uint64_t first, unsigned n);

// Buffers of the store in use.
unsigned show_n_kept(void);
