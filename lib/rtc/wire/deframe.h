// Datagrams out of a TCP stream: a 16-bit length in network order before each. Pure; input is hostile, memory is one
// frame.
//
// source: RFC 4571 section 2; the bounds are ours
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEFRAME_MAX 1472     // bytes of a datagram; a longer one ends the connection
#define DEFRAME_MAX_EMPTY 10 // frames of length 0 in a row that end it too
#define DEFRAME_HDR 2

struct deframe {
	uint16_t have;   // bytes of an incomplete frame in buf, its length field included
	uint8_t n_empty; // frames of length 0 since the last other one
	uint8_t buf[DEFRAME_HDR + DEFRAME_MAX];
};

void deframe_init(struct deframe *);

// The next datagram of the stream.
//
// in:      p, n   what was read and not yet taken; moved past what this call took
// out:     frame  the datagram: borrowed, lies in the input or in the deframer, until the next call
// returns: its length; 0: the input is used up; -EMSGSIZE, -EPROTO (empty frames): close the connection
[[nodiscard]] int deframe_next(struct deframe *, uint8_t **p, size_t *n, uint8_t **frame);

// A frame has begun and is not complete.
static inline bool deframe_is_partial(const struct deframe *d)
{
	return d->have > 0;
}
