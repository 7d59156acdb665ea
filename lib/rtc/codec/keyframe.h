// Does this payload begin a key frame? Bounds-checked; in doubt: no.
//
// source: RFC 7741 section 4 (VP8), AOMedia "RTP Payload Format For AV1" section 4.4
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// VP8: first packet (S, partition 0) of a frame whose P bit is 0.
bool keyframe_vp8(const uint8_t *payload, size_t len);
// AV1: N bit: first packet of a coded video sequence.
bool keyframe_av1(const uint8_t *payload, size_t len);

// What a VP8 payload descriptor says.
struct vp8_desc {
	uint8_t len;         // bytes of the descriptor
	bool is_start;       // S and partition 0: first packet of a frame
	bool is_discardable; // N: no other frame depends on it
	bool is_switch_up;   // Y
	bool has_picture_id, has_tl0, has_tid;
	bool is_picture_id_15; // 15-bit picture id, else 7-bit
	uint16_t picture_id;
	uint8_t tl0, tid, key_idx;
	uint8_t picture_id_off, tl0_off; // offsets in the payload, for rewriting
};

// returns: 0, -ENODATA when cut off, -EBADMSG when nothing follows the descriptor
[[nodiscard]] int vp8_parse(const uint8_t *payload, size_t len, struct vp8_desc *);
