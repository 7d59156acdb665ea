// What the choice of speakers keeps with each voice of a large call (room.h). Part of struct source, and like it of
// memory that is never used for anything else.
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/rtc/recv/speakers.h"

struct seat {
	// the publisher's worker writes, the room's reads
	alignas(64) _Atomic uint64_t
		heard; // newest packet: milliseconds << 16 | flags << 8 | level or size class

	// the room's worker writes, the publisher's reads
	alignas(64) _Atomic bool is_silenced; // not among those that are heard
	// the room's worker
	uint32_t gen;  // source_gen that speaker belongs to
	uint32_t turn; // of the room's last list that has this voice
	uint64_t seen; // value of heard that was taken in last
	struct speaker speaker;
};

enum seat_flags { SEAT_VOICE_BIT = 1, SEAT_GUESS = 2 };

// A packet of this voice came. level: RFC 6464 when has_level, else ignored. thread: publisher's worker
static inline void seat_hear(struct seat *s, bool has_level, uint8_t level, bool is_voice,
			     unsigned payload_len, ns_t now)
{
	uint64_t flags = has_level ? (is_voice ? SEAT_VOICE_BIT : 0) : SEAT_GUESS;
	uint64_t value = has_level ? level : payload_len < UINT8_MAX ? payload_len : UINT8_MAX;

	atomic_store_explicit(&s->heard, (uint64_t)(now / NS_PER_MS) << 16 | flags << 8 | value,
			      memory_order_relaxed);
}

// Is this voice left out at present? thread: publisher's worker
static inline bool seat_is_silenced(const struct seat *s)
{
	return atomic_load_explicit(&s->is_silenced, memory_order_relaxed);
}
