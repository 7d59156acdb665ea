// SRTP packet index estimate and replay windows. No cipher here.
//
// Receiving a packet: 1. srtpidx_estimate  2. authenticate and decrypt at that index  3. srtpidx_accept.
// When 2 fails on the first packet of an SSRC: srtpidx_trial may name one other index to try.
// State for an SSRC is to be kept only after its first packet authenticated.
//
// thread: owner worker of the stream
// source: RFC 3711 sections 3.3.1, 3.3.2, 3.4 and appendix A
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SRTPIDX_WINDOW 1024      // packets, RTP
#define SRTCPIDX_WINDOW 128      // packets, RTCP
#define SRTPIDX_TRIAL_SEQ 0x2000 // first packets below this may have wrapped before they reached us

// Zeroed is valid: nothing received yet.
struct srtpidx {
	uint64_t top;                       // highest authenticated index, ROC << 16 | seq
	uint64_t seen[SRTPIDX_WINDOW / 64]; // ring of bits by index; bit of top is always set once started
	bool started;
};

// Estimate the 48-bit index of seq and check the replay window. Does not change state.
//
// in:      seq    16-bit sequence number, host order
// out:     index  ROC << 16 | seq; also set with -EALREADY and -ERANGE unless ROC would be negative
// returns: 0; -EALREADY replayed; -ERANGE older than the window, or before index 0
// cost:    about 5 ns
[[nodiscard]] int srtpidx_estimate(const struct srtpidx *, uint16_t seq, uint64_t *index);

// The other index worth one try after the first packet failed to authenticate: ROC 1, when seq is small
// enough that the sender may have wrapped before its first packet reached us. There is no further search.
//
// returns: true with *index
bool srtpidx_trial(const struct srtpidx *, uint16_t seq, uint64_t *index);

// Record an authenticated index. It must come from srtpidx_estimate or srtpidx_trial on the current state.
void srtpidx_accept(struct srtpidx *, uint64_t index);

// Begin again with nothing but the highest index known: whatever is not above it counts as seen.
void srtpidx_restore(struct srtpidx *, uint64_t top);

// SRTCP carries its 31-bit index explicitly. Zeroed is valid.
struct srtcpidx {
	uint32_t top;
	bool started;
	uint64_t seen[SRTCPIDX_WINDOW / 64];
};

// returns: 0; -EALREADY replayed; -ERANGE older than the window
[[nodiscard]] int srtcpidx_check(const struct srtcpidx *, uint32_t index);
void srtcpidx_accept(struct srtcpidx *, uint32_t index); // authenticated, srtcpidx_check said 0
void srtcpidx_restore(struct srtcpidx *, uint32_t top); // as srtpidx_restore
