// The shape of the load: who does what, and how large and how frequent what they send is. Figures are those of
// the media files that the Calls load test plays, so that results compare with its published table:
// docs/sluicegun.md.
//
// thread: owner only
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

#define PLAN_VOICE_NS (20 * NS_PER_MS) // between two packets of a voice
#define PLAN_FRAME_NS (50 * NS_PER_MS) // between two frames of a screen
#define PLAN_MAX_VOICE 325             // bytes of payload
#define PLAN_MAX_PAYLOAD 1180          // bytes of a video payload, VP8 descriptor included
#define PLAN_SCREEN_BPS 1600000        // on the wire, with IP and UDP
#define PLAN_KEY_NS (3 * NS_PER_S)     // longest time between key frames
#define PLAN_KEY_TIMES 7               // a key frame is so many times as large as another

// Small, seedable, the same on every machine (splitmix64).
struct rng {
	uint64_t state;
};
uint64_t rng_next(struct rng *);
double rng_unit(struct rng *);                // 0 <= x < 1
uint32_t rng_below(struct rng *, uint32_t n); // 0 .. n - 1
double rng_exponential(struct rng *, double mean); // waiting times of a Poisson process

// Payload bytes of the next voice packet: 7 % near-silence, else about 180, never less than a mark needs.
unsigned plan_voice_bytes(struct rng *);

// A speaker: talk spurts of 1.2 to 3 s, gaps of 0.6 to 2 s. Zeroed is valid.
struct spurt {
	ns_t until;
	bool is_talking;
};
// RFC 6464 level (-dBov) of the packet sent now.
uint8_t plan_level(struct spurt *, struct rng *, ns_t now);

// Payload bytes of the next frame of a screen.
//
// in: bps  of the encoding, on the wire
unsigned plan_frame_bytes(struct rng *, unsigned bps, bool is_key);
