// Who of a large call is heard: the few voices that stand out, chosen from audio levels (RFC 6464), so that the cost
// of a call grows with its members and not with their square.
//
// Per member: energy above its own noise floor, smoothed over a short and a long time. The set holds up to K voices
// with the best scores, and besides them the dominant one (best over the long time, changed slowly). Entering takes
// 40 ms; who has entered stays for 1.5 s at least, and goes after 2 s of silence or when somebody better takes its
// place. Talk-over beyond that is lost by design.
//
// thread: the one that ticks the call. units: levels in -dBov (0 loud, 127 silent), energies in dB
// source: RFC 6464; the two time scales follow Volfin and Cohen, "Dominant Speaker Identification" (2012)
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

#define SPEAKERS_TICK_NS (20 * NS_PER_MS)
#define SPEAKERS_MAX 8 // highest K

#define SPEAKERS_GONE_NS (60 * NS_PER_MS)   // without a packet: silent
#define SPEAKERS_FLOOR_NS (5 * NS_PER_S)    // one of three windows of the noise floor
#define SPEAKERS_MAX_FLOOR 75               // dB: who never pauses is measured against this (-52 dBov)
#define SPEAKERS_ENTER_DB 12                // energy above the floor to enter ...
#define SPEAKERS_ENTER_LEVEL 70             // ... and no quieter than this
#define SPEAKERS_ENTER_TICKS 2              // for so long
#define SPEAKERS_HOLD_NS (1500 * NS_PER_MS) // not replaced before
#define SPEAKERS_QUIET_DB 8                 // below this short energy ...
#define SPEAKERS_QUIET_NS (2 * NS_PER_S)    // ... for so long: out
#define SPEAKERS_LEAD_DB 5                  // to become dominant: ahead by this ...
#define SPEAKERS_LEAD_NS (600 * NS_PER_MS)  // ... for so long
#define SPEAKERS_BONUS_DB 8                 // of those in the set
#define SPEAKERS_CHANGES_PER_S 10           // of the set
#define SPEAKERS_LIAR_NS (60 * NS_PER_S)    // the same level for so long ...
#define SPEAKERS_LIAR_LEVEL 40              // ... counts as no louder than this

// One member with an open microphone. Zeroed is valid.
struct speaker {
	float energy, brief, lasting, score; // brief and lasting: smoothed energy
	uint8_t level;
	bool is_voice;     // V bit of the newest packet
	bool is_guess;     // level guessed from sizes: ranked behind all that say theirs
	bool is_selected;  // out: forward it
	uint8_t n_strong;  // ticks in a row with what it takes to enter
	uint8_t floor[3];  // lowest 127 - level of the current and the last two windows
	uint8_t steady_at; // level it has not left by 1 dB
	ns_t heard, entered, quiet_since, floor_since, steady_since;
	bool has_floor;
};

// One per call. Zeroed is valid but for k.
struct speakers {
	uint8_t k;                        // 1..SPEAKERS_MAX; may change between ticks
	struct speaker *dominant, *rival; // borrowed, NULL: none; dropped when they are no members any more
	ns_t rival_since;
	float changes; // that may be made now
	ns_t ticked;
	uint64_t n_changes;
};

// A packet: its level and V bit.
void speaker_hear(struct speaker *, uint8_t level, bool is_voice, ns_t now);
// A packet of a sender without levels: Opus spends bytes on what is loud.
void speaker_guess(struct speaker *, unsigned payload_bytes, ns_t now);

// Every SPEAKERS_TICK_NS: choose. member: those with an open microphone, borrowed until they are missing in a call: who
// left is not looked at any more, and comes back zeroed.
void speakers_tick(struct speakers *, struct speaker *const *member, unsigned n, ns_t now);
