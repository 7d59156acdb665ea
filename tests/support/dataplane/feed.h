// Layers fed by hand, without a publisher's packets, and a receiver of them whose packets are opened.
#pragma once

#include "tests/support/dataplane/rig_video.h"

#define FEED_PT 120
#define FEED_RTX_PT 121
#define FEED_SSRC 0x8800 // of the receiver
#define FEED_RTX_SSRC 0x8801
#define FEED_FRAME_NS (50 * NS_PER_MS)
#define FEED_FRAME_TS 4500

struct feed {
	struct rig_peer from, to; // sessions 1 and 2
	uint64_t at[2];           // next index of each layer
	uint32_t ts[2];
	uint16_t pid[2];
};
extern struct feed feed;

// One track with n_rids layers, which the receiver watches, with RTX or without.
bool feed_open(unsigned n_workers, unsigned n_rids, bool rtx);
void feed_close(void);

// Another leg for the track; err of the command.
int feed_watch(struct rig_peer *, uint16_t leg, uint32_t ssrc, bool rtx);

// The home worker of the track; session and video leg of a peer.
struct worker *feed_publisher(void);
struct session *feed_session(const struct rig_peer *);
struct leg *feed_leg(const struct rig_peer *);

// The layer is alive at this rate.
void feed_tell(unsigned layer, uint32_t bps);

// One frame of n packets into a layer, without telling anybody; tell of what is new; both, and time passes.
void feed_frame(unsigned layer, bool is_key, unsigned n);
void feed_news(void);
void feed_show(unsigned layer, bool is_key, unsigned n);

// A late packet of what was left out before.
void feed_late(uint64_t missing);

// A frame per 50 ms for so many frames after a key frame; the receiver has what it gives.
void feed_warm_up(unsigned layer, unsigned n_frames);

// The receiver shall get this layer from now on, whatever its estimate says.
void feed_want_rung(unsigned rung);

// Numbers that a receiver misses.
void feed_nack(const struct rig_peer *, const uint16_t *seq, unsigned n);

// What a receiver got under an SSRC, at most max packets. Returns how many.
struct feed_got {
	struct rtp_view v;
	uint64_t source_index; // what rig_vp8 wrote
	uint16_t pid;
	uint8_t payload[1400];
	uint16_t len;
	bool is_open; // could be decrypted at roll-over counter 0
};
unsigned feed_collect(const struct rig_peer *, uint32_t ssrc, struct feed_got *, unsigned max);
