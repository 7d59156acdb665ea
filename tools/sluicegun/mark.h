// What a packet of the load carries, so that whoever receives it knows whose it is, which one, and how long it
// took; and the book that a receiver keeps of one stream.
//
// The mark is the last MARK_LEN bytes of the payload: servers look at the first bytes only (VP8 descriptor).
//
// thread: owner only
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARK_LEN 16
#define TRACK_WINDOW 2048 // packets; what comes later than this is not counted as delivered

struct mark {
	uint32_t stream;    // number of the stream in the whole load
	uint32_t count;     // of the packet in its stream, from 0
	uint64_t sent_us;   // wall clock, low 48 bits
	uint8_t generation; // of the stream: one more each time its sender joins again
};

void mark_write(uint8_t out[MARK_LEN], const struct mark *);
// Read the mark at the end of a payload. returns: false when there is none
[[nodiscard]] bool mark_read(const uint8_t *payload, size_t len, struct mark *);

// Time that a packet took, in microseconds; 0 when the clocks say that it came before it was sent.
uint64_t mark_latency_us(const struct mark *, uint64_t now_us);

enum track_verdict {
	TRACK_NEW,
	TRACK_LATE, // new, behind one that was sent later
	TRACK_DUP,
	TRACK_OLD, // behind the window
};

// Zeroed is valid.
struct track {
	uint64_t first, top; // counts
	uint64_t n;          // different packets from first to top
	uint64_t lost;       // of generations that are over
	uint64_t seen[TRACK_WINDOW / 64];
	uint8_t generation;
	bool started;
};

enum track_verdict track_add(struct track *, const struct mark *);

// How many are missing: up to the newest that came, or up to the last that was sent.
uint64_t track_lost(const struct track *);
uint64_t track_lost_until(const struct track *, uint64_t n_sent);
