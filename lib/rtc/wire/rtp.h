// RTP headers: parse, write, header extensions, serial number arithmetic.
//
// source: RFC 3550 section 5, RFC 8285 (header extensions), RFC 1982 (serial arithmetic)
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

#define RTP_HDR_LEN 12 // bytes, without CSRCs and extension

// --- serial arithmetic --------------------------------------------------------------------------

// a - b on the circle of 16-bit numbers: positive when a is newer. Exactly half a turn counts as older.
static inline int seq16_diff(uint16_t a, uint16_t b)
{
	return (int16_t)(uint16_t)(a - b);
}
// a - b on the circle of 32-bit numbers (RTP timestamps, extended sequence numbers).
static inline int32_t seq32_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}
// The 32-bit extended number next to `near` whose low 16 bits are seq.
static inline uint32_t seq32_extend(uint32_t near, uint16_t seq)
{
	return near + (uint32_t)seq16_diff(seq, (uint16_t)near);
}
// The same on a 64-bit counter that never goes below 0: false when it would.
static inline bool seq64_extend(uint64_t near, uint16_t seq, uint64_t *out)
{
	int64_t v = (int64_t)near + seq16_diff(seq, (uint16_t)near);

	if (v < 0)
		return false;
	*out = (uint64_t)v;
	return true;
}

// --- header -------------------------------------------------------------------------------------

//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |V=2|P|X|  CC   |M|     PT      |       sequence number         |
// |                           timestamp                           |
// |           synchronization source (SSRC) identifier            |
// |            contributing source (CSRC) identifiers ...         |
// |      defined by profile       |           length              |  when X = 1
struct rtp_view {
	uint32_t ssrc;
	uint32_t ts;
	uint16_t seq;
	uint16_t hdr_len;     // bytes: fixed header, CSRCs and extension block; payload starts here
	uint16_t payload_len; // bytes between header and tag, padding still included
	uint16_t ext_profile; // 0xBEDE, 0x1000..0x100F or something unknown; 0 without an extension block
	uint16_t ext_off;     // first byte after the extension's 4-byte header
	uint16_t ext_len;     // bytes of the extension block
	uint8_t pt;           // 0..127
	uint8_t n_csrc;
	bool marker;
	bool has_pad; // P bit; evaluate with rtp_pad_len after decryption
};

// Read the (clear) header of a protected or plain packet.
//
// in:      len      bytes of the datagram
//          tag_len  bytes of the authentication tag at its end, 0 for plain packets
// returns: 0; -ENODATA shorter than header and tag; -EBADMSG version is not 2
// thread:  any
[[nodiscard]] int rtp_parse(const uint8_t *pkt, size_t len, size_t tag_len, struct rtp_view *);

// Padding bytes at the end of a decrypted payload whose packet had the P bit.
//
// returns: 1..len (len: padding-only packet), or -EBADMSG when the count is 0 or does not fit
[[nodiscard]] int rtp_pad_len(const uint8_t *payload, size_t len);

// Write the 12-byte header: version 2, no padding, no CSRC.
//
// in: has_ext  the X bit; the caller appends the extension block
void rtp_write(uint8_t out[RTP_HDR_LEN], bool has_ext, bool marker, uint8_t pt, uint16_t seq, uint32_t ts,
	       uint32_t ssrc);

// --- header extensions --------------------------------------------------------------------------

// One element. Reading: data points into the packet. Writing: data NULL makes a zeroed slot of len bytes.
struct rtp_ext {
	const uint8_t *data; // borrowed
	uint8_t id;          // 1..14 (one-byte form), 1..255 (two-byte form)
	uint8_t len;         // bytes; reading two-byte form may give 0
	uint16_t off;        // offset of data: in the packet (reading), in the block (writing, out)
};

// Iterate the elements of a packet: rtp_ext_begin once, rtp_ext_next until false. Elements come in packet
// order; padding (id 0) is skipped, id 15 of the one-byte form ends the walk. A block of unknown form has no
// elements. The whole block is checked first, so that no element of a malformed block is ever used.
struct rtp_ext_iter {
	const uint8_t *pkt; // borrowed
	uint16_t at, end;   // offsets in pkt
	bool is_two_byte;
};

// returns: 0 (also without extension), -EBADMSG when an element overruns the block: ignore the whole block
[[nodiscard]] int rtp_ext_begin(struct rtp_ext_iter *, const uint8_t *pkt, const struct rtp_view *);
bool rtp_ext_next(struct rtp_ext_iter *, struct rtp_ext *);

// Kinds of extension we understand; same order as enum ipc_ext of lib/ipc/wire.h.
enum rtp_ext_kind {
	RTP_EXT_MID,
	RTP_EXT_RID,
	RTP_EXT_RRID,
	RTP_EXT_LEVEL,
	RTP_EXT_TWCC,
	RTP_EXT_ABS_SEND_TIME,
	RTP_EXT_DD,
	RTP_N_EXTS = 8,
};

// What a packet says in its extensions.
struct rtp_exts {
	struct str mid, rid, rrid; // borrowed from the packet; empty when absent
	uint32_t abs_send_time;    // 24 bits
	uint16_t twcc;
	uint8_t level; // RFC 6464: -dBov 0 loud .. 127 silent, V bit removed
	bool is_voice; // RFC 6464 V bit
	bool has_level, has_twcc, has_abs_send_time;
};

// Read all extensions we understand. The first element of a kind counts; one of a wrong length is ignored.
//
// in:      id   negotiated id of each kind, 0 = not negotiated
// returns: 0, or -EBADMSG with *out empty (see rtp_ext_begin)
[[nodiscard]] int rtp_ext_read(const uint8_t *pkt, const struct rtp_view *, const uint8_t id[RTP_N_EXTS],
			       struct rtp_exts *out);

// Write an extension block in one-byte form, its 4-byte header included, padded to a multiple of 4.
// Elements that this form cannot carry (id 0 or > 14, length 0 or > 16) are left out: their off becomes 0.
//
// out:     elem[i].off   offset of the element's data from out, for patching (TWCC slot)
// returns: bytes written, 0 when no element remains (then clear the X bit), -ENOSPC
[[nodiscard]] int rtp_ext_write(uint8_t *out, size_t size, struct rtp_ext *elem, unsigned n);
