// What a UDP payload is, from its first bytes: several protocols share one port.
//
// source: RFC 7983 (first byte), RFC 5761 section 4 (RTCP beside RTP), RFC 8489 section 6 (STUN)
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum demux {
	DEMUX_UNKNOWN, // empty, a first byte nobody owns, ZRTP
	DEMUX_SHORT,   // class recognised, shorter than its minimum
	DEMUX_BAD, // class recognised, static check failed (STUN cookie or length, DTLS version or length)
	DEMUX_STUN,
	DEMUX_DTLS,
	DEMUX_TURN, // TURN channel data; we never have a TURN allocation
	DEMUX_RTP,
	DEMUX_RTCP,
};

#define DEMUX_RTP_MIN (12 + 4)      // bytes: header and the shortest tag of any profile
#define DEMUX_RTCP_MIN (8 + 4 + 10) // bytes: first words, index, tag (AES-CM; GCM needs 28)

static inline enum demux demux_stun(const uint8_t *p, size_t len)
{
	if (len < 20)
		return DEMUX_SHORT;
	if (len % 4 != 0 || be32_get(p + 4) != 0x2112a442 || be16_get(p + 2) + 20u != len)
		return DEMUX_BAD;
	return DEMUX_STUN;
}

// A datagram may carry several records; the first must fit.
static inline enum demux demux_dtls(const uint8_t *p, size_t len)
{
	if (len < 13)
		return DEMUX_SHORT;
	if (p[0] > 26 || p[1] != 0xfe || (p[2] != 0xfd && p[2] != 0xff) || be16_get(p + 11) + 13u > len)
		return DEMUX_BAD;
	return DEMUX_DTLS;
}

// Classify one UDP payload. Reads at most the first 13 bytes.
//
// in:     p    payload; may be NULL when len is 0
// thread: any
static inline enum demux demux_classify(const uint8_t *p, size_t len)
{
	if (len == 0)
		return DEMUX_UNKNOWN;
	if (p[0] <= 3)
		return demux_stun(p, len);
	if (p[0] >= 20 && p[0] <= 63)
		return demux_dtls(p, len);
	if (p[0] >= 64 && p[0] <= 79)
		return len < 4 ? DEMUX_SHORT : DEMUX_TURN;
	if (p[0] < 128 || p[0] > 191)
		return DEMUX_UNKNOWN;
	if (len < 2)
		return DEMUX_SHORT;
	if (p[1] >= 192 && p[1] <= 223)
		return len < DEMUX_RTCP_MIN ? DEMUX_SHORT : DEMUX_RTCP;
	return len < DEMUX_RTP_MIN ? DEMUX_SHORT : DEMUX_RTP;
}
