// Video for the rig: tracks, and a way to put packets into a layer without a publisher.
#pragma once

#include "dataplane/media/layer.h"
#include "dataplane/media/video.h"
#include "tests/support/dataplane/rig_peer.h"

#define RIG_VP8 96
#define RIG_RTX 97

// A video track of the peer with VP8 and RTX, n_rids encodings l, m, h in the order of l h for two (0: one without rid).
int rig_video_track(const struct rig_peer *p, uint16_t track, const char *mid, uint32_t ssrc,
		    unsigned n_rids);

struct rig_frame_packet {
	uint64_t index;
	uint32_t ts;
	uint8_t flags, tid; // enum layer_flags
	uint16_t pid;       // VP8 picture id
	unsigned n_bytes;   // of the payload, 16 at least; 0: 100
};

// VP8 payload with a 15-bit picture id, TL0PICIDX and temporal id; the rest of it depends on the index.
void rig_vp8(uint8_t *payload, unsigned n_bytes, const struct rig_frame_packet *f);

// Put a packet into a layer of a source as the worker of its publisher does. The buffer it comes from is the caller's.
enum layer_added rig_feed(struct worker *w, struct source *src, unsigned layer, struct rig_frame_packet f);

// --- a publisher ----------------------------------------------------------------------------------------------

// One RTP packet as a browser would send it. Zeroed fields are absent.
struct rig_shot {
	uint32_t ssrc, ts;
	uint64_t index;
	uint8_t pt; // 0: RIG_VP8
	const char *mid, *rid, *rrid;
	uint8_t flags, tid; // enum layer_flags
	uint16_t pid;
	unsigned n_bytes; // of the payload, 16 at least; 0: 100
	bool is_padding;  // nothing but padding
	bool is_rtx;      // carries what rtx says instead: the packet with this index
	uint64_t osn;
	unsigned cut;           // is_rtx: so many bytes of payload only
	const uint8_t *payload; // this instead, n_bytes of it
};

extern uint16_t rig_twcc; // next transport-wide number, one publisher at a time

// Seal and receive it.
void rig_shoot(const struct rig_peer *p, struct rig_shot s);

// The source of a track of the session in this slot.
struct source *rig_source(unsigned slot, unsigned track);
