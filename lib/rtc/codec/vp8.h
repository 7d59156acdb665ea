// The VP8 payload descriptor: what it says, and its numbers in a forwarded stream. Picture id and TL0PICIDX
// continue over switches of layer, as decoders find reference frames by them.
//
// The offsets belong to an epoch of the leg (lib/rtc/send/rewrite.h), so that a resend is the same bytes.
// Never applied to the shared ring, only to the receiver's copy.
//
// source: RFC 7741 section 4
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

// Does this payload begin a key frame: first packet (S, partition 0) of a frame whose P bit is 0? Bounds-checked; in
// doubt: no.
bool vp8_is_key(const uint8_t *payload, size_t len);

// Zeroed is valid: pass through. Owner: worker of the receiver.
struct vp8_leg {
	uint16_t pid_offset, last_pid;
	uint8_t tl0_offset, last_tl0;
	bool has_pid, has_tl0; // last_* are valid
};

// Choose the offsets so that this frame, a key frame, follows the last one sent by 1. Before the first packet
// nothing is changed.
//
// in: n_dropped  frames below it that this receiver's temporal cap left out (0 without a cap)
void vp8_leg_switch(struct vp8_leg *, const struct vp8_desc *, uint16_t n_dropped);

// Note what went out, after the packet was given an index in order (not late, not resent).
void vp8_leg_sent(struct vp8_leg *, const struct vp8_desc *, uint16_t n_dropped);

// Is the payload sent unchanged with these offsets?
static inline bool vp8_is_plain(uint16_t pid_offset, uint8_t tl0_offset, uint16_t n_dropped)
{
	return pid_offset == n_dropped && tl0_offset == 0;
}

// Patch a copy of the payload in place, at most three bytes; its length never changes. A 7-bit picture id
// stays one.
//
// in: pid_offset  of the packet's epoch
//     n_dropped   of the packet (see rtxring_entry)
void vp8_patch(uint8_t *payload, const struct vp8_desc *, uint16_t pid_offset, uint8_t tl0_offset,
	       uint16_t n_dropped);
