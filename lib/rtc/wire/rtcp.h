// RTCP: bounded walk over a compound packet, readers and builders. Works on plain (decrypted) bytes.
//
// source: RFC 3550 section 6, RFC 4585 (feedback), RFC 5104 (FIR), RFC 5506 (reduced size),
//         draft-alvestrand-rmcat-remb-03 (REMB)
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

enum rtcp_pt {
	RTCP_SR = 200,
	RTCP_RR = 201,
	RTCP_SDES = 202,
	RTCP_BYE = 203,
	RTCP_APP = 204,
	RTCP_RTPFB = 205,
	RTCP_PSFB = 206,
	RTCP_XR = 207,
};
enum rtcp_rtpfb { RTPFB_NACK = 1, RTPFB_TMMBR = 3, RTPFB_TMMBN = 4, RTPFB_CCFB = 11, RTPFB_TWCC = 15 };
enum rtcp_psfb { PSFB_PLI = 1, PSFB_SLI = 2, PSFB_RPSI = 3, PSFB_FIR = 4, PSFB_AFB = 15 };

#define RTCP_MAX_PACKETS 64 // sub-packets walked per compound; the rest is not looked at
#define RTCP_MAX_BLOCKS 31
#define RTCP_MAX_NACKS 300 // sequence numbers a caller should take from one compound

// --- walk ---------------------------------------------------------------------------------------

struct rtcp_pkt {
	const uint8_t *body; // borrowed; after the 4-byte header
	uint16_t len;        // bytes of body, padding removed
	uint8_t pt;          // any value 192..223, also ones we do not know
	uint8_t count;       // RC, SC or FMT field
};

// 1. rtcp_begin  2. rtcp_next until false  3. bad tells whether the walk ended early; what came before it
// stays valid.
struct rtcp_iter {
	const uint8_t *p, *end; // borrowed
	uint8_t n;              // packets returned so far
	bool bad;               // version, length or padding wrong, or more than RTCP_MAX_PACKETS
};

void rtcp_begin(struct rtcp_iter *, const uint8_t *compound, size_t len);
bool rtcp_next(struct rtcp_iter *, struct rtcp_pkt *);

// --- readers ------------------------------------------------------------------------------------
// All take a packet of the right type (the caller has looked at pt and count) and return 0 or -EBADMSG when
// it is too short for what it claims. Indexed readers return -ENOENT past the last element.

struct rtcp_sr {
	uint32_t ssrc;
	uint32_t rtp;
	uint64_t ntp; // 32.32 fixed point since 1900
	uint32_t n_packets, n_octets;
};
[[nodiscard]] int rtcp_sr_read(const struct rtcp_pkt *, struct rtcp_sr *);

struct rtcp_block {
	uint32_t ssrc;
	uint32_t ext_seq; // extended highest sequence number received
	uint32_t jitter;  // RTP clock units
	uint32_t lsr;     // middle 32 bits of the last SR's NTP time, 0: none
	uint32_t dlsr;    // 1/65536 s since then
	int32_t lost;     // cumulative, 24 bits signed
	uint8_t fraction; // lost / 256 since the last report
};
// i-th report block of an SR or RR.
[[nodiscard]] int rtcp_block_read(const struct rtcp_pkt *, unsigned i, struct rtcp_block *);
// i-th source of a BYE.
[[nodiscard]] int rtcp_bye_read(const struct rtcp_pkt *, unsigned i, uint32_t *ssrc);

// Feedback (RTPFB, PSFB): the two SSRCs. fci is what follows them.
struct rtcp_fb {
	uint32_t sender, media;
	const uint8_t *fci; // borrowed
	uint16_t fci_len;
};
[[nodiscard]] int rtcp_fb_read(const struct rtcp_pkt *, struct rtcp_fb *);
// Sequence numbers a NACK asks for, in FCI order, at most max.
//
// returns: how many were written to seq
unsigned rtcp_nack_read(const struct rtcp_fb *, uint16_t *seq, unsigned max);
// i-th entry of a FIR.
[[nodiscard]] int rtcp_fir_read(const struct rtcp_fb *, unsigned i, uint32_t *ssrc, uint8_t *seq_nr);
// Bit rate of a REMB, saturated at 2^32-1 bit/s; -ENOENT when the AFB is something else.
[[nodiscard]] int rtcp_remb_read(const struct rtcp_fb *, uint32_t *bps);

// --- builders -----------------------------------------------------------------------------------
// Append one packet; when it does not fit, w->full is set and nothing of it is written.

void rtcp_write_sr(struct wbuf *, const struct rtcp_sr *, const struct rtcp_block *, unsigned n_blocks);
void rtcp_write_rr(struct wbuf *, uint32_t ssrc, const struct rtcp_block *, unsigned n_blocks);
void rtcp_write_sdes(struct wbuf *, uint32_t ssrc, struct str cname); // cname up to 255 bytes
// seq ascending (serially); packed as PID and BLP.
void rtcp_write_nack(struct wbuf *, uint32_t sender, uint32_t media, const uint16_t *seq, unsigned n);
void rtcp_write_pli(struct wbuf *, uint32_t sender, uint32_t media);
void rtcp_write_fir(struct wbuf *, uint32_t sender, uint32_t media, uint8_t seq_nr);
