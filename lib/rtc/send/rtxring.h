// Which packets of a source layer are at hand: index only, the payloads lie in the caller's shared ring.
//
// The publisher's worker adds each packet once; the workers of all receivers look up what a NACK asks for, and
// walk it when they lag. Every packet has a rank for each *temporal cap* (a receiver may get all temporal
// layers or only those up to 0, 1 or 2); rank and cap find the packet again, so that a receiver needs no map of
// its own: lib/rtc/send/rewrite.h turns its number into (layer, cap, rank).
//
// A missing packet keeps its place in all caps, as nobody knows what it is. The place is filled once and for
// good: by the packet, when it comes late, or by *filler* - a padding-only packet - when it turns out to be
// padding, above the cap, or is given up. A receiver thus never waits for a number that cannot come, and no
// number ever carries two different plaintexts.
//
// source: RFC 4588 (retransmission), RFC 3711 section 9.1 (no keystream reuse)
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

#define RTXRING_CAPS 4                    // temporal caps 0, 1, 2 and all
#define RTXRING_ALL 3                     // the cap that leaves nothing out
#define RTXRING_FILLER_PAD 1              // bytes of padding in a filler packet; the same in each resend
#define RTXRING_KEY_AGE_NS (2 * NS_PER_S) // of the key-frame cache: age, packets and bytes
#define RTXRING_KEY_PACKETS 600
#define RTXRING_KEY_BYTES 800000

// One cache line. A reader trusts what it read when index was the same before and after.
struct rtxring_slot {
	_Atomic uint64_t key;  // index + 1; 0: being written
	_Atomic uint64_t word; // state, caps, temporal id, flags, handle: changed as one
	_Atomic uint64_t rank[RTXRING_CAPS];
	_Atomic uint64_t n_dropped; // 16 bits per cap
	_Atomic uint32_t ts;
};

// thread: worker of the publisher writes, any reads (rtxring_find, rtxring_at, rtxring_key)
struct rtxring {
	struct rtxring_slot *slot;   // borrowed: n_slots
	_Atomic uint64_t *of_rank;   // borrowed: RTXRING_CAPS x n_slots, index of a rank
	uint32_t mask;               // n_slots - 1
	_Atomic uint64_t top;        // highest index
	uint64_t rank[RTXRING_CAPS]; // highest rank
	uint16_t n_dropped[RTXRING_CAPS];
	uint32_t dropped_ts[RTXRING_CAPS]; // frame counted last in n_dropped
	uint8_t has_dropped;               // caps whose dropped_ts is valid
	bool started;
	uint32_t last_ts;
	_Atomic uint64_t key_index; // key-frame cache: index + 1 of its first packet, 0: none
	_Atomic int64_t key_arrival;
	uint32_t key_packets, key_bytes; // since then
};

// in: n_slots  power of two, 64..4096
void rtxring_init(struct rtxring *, struct rtxring_slot *slot, _Atomic uint64_t *of_rank, uint32_t n_slots);

// Forget all packets: as after rtxring_init, but readers of its former life may still look (and find nothing).
void rtxring_reset(struct rtxring *);

struct rtxring_pkt {
	uint64_t index; // srtpidx index; each at most once
	uint32_t ts;
	uint32_t handle; // caller's: where the payload is
	uint32_t n_bytes;
	ns_t arrival;
	uint8_t tid;     // temporal id 0..3, 0 when unknown
	uint8_t flags;   // caller's: marker, frame start ...
	bool is_padding; // nothing to forward
	bool is_key_start;
};

enum rtxring_state {
	RTXRING_UNKNOWN, // never known, recycled, not for this cap, or its payload was let go: ignore
	RTXRING_MISSING, // not arrived yet; it will be forwarded when it does
	RTXRING_HELD,
	RTXRING_FILLER, // padding-only, RTXRING_FILLER_PAD bytes, marker clear, timestamp ts
};

struct rtxring_entry {
	uint64_t index;
	uint64_t rank[RTXRING_CAPS];
	uint16_t n_dropped[RTXRING_CAPS]; // frames below it that the cap left out, modulo 2^16
	uint32_t ts;
	uint32_t handle;
	enum rtxring_state state;
	uint8_t caps; // bit T: receivers with cap T are given it
	uint8_t tid;
	uint8_t flags;
	bool is_late; // fills a place that was kept
};

// Name of a source for lib/rtc/send/rewrite.h: ranks mean something only within layer and cap.
static inline uint32_t rtxring_source(uint32_t layer, unsigned cap)
{
	return layer * RTXRING_CAPS + cap;
}

// A packet arrived.
//
// out:     what to forward: to receivers with cap T when bit T of caps is set, as rank[T]
// returns: false: do not forward (padding, given up already, too old)
[[nodiscard]] bool rtxring_add(struct rtxring *, const struct rtxring_pkt *, struct rtxring_entry *out);

// The packet will not come: its place becomes filler.
//
// returns: false when it was not missing
bool rtxring_give_up(struct rtxring *, uint64_t index);

// The payload of a held packet is let go: nobody finds it any more. Call it before the payload is reused.
void rtxring_drop(struct rtxring *, uint64_t index);

// Find the packet a receiver was given as this rank. Its state is that for this cap.
enum rtxring_state rtxring_find(const struct rtxring *, unsigned cap, uint64_t rank, struct rtxring_entry *);

// The same by index.
enum rtxring_state rtxring_at(const struct rtxring *, unsigned cap, uint64_t index, struct rtxring_entry *);

// First packet of the newest key frame, when it and all packets since are few and young enough to begin a new
// receiver with.
bool rtxring_key(const struct rtxring *, ns_t now, uint64_t *index);
