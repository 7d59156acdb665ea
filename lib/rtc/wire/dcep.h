// Data channel establishment: the two messages that open an in-band channel.
//
// source: RFC 8832 section 5; PPIDs RFC 8831 section 8
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

enum dcep_ppid {
	DCEP_PPID_CONTROL = 50,
	DCEP_PPID_STRING = 51,
	DCEP_PPID_BINARY = 53,
	DCEP_PPID_STRING_EMPTY = 56, // one byte 0 stands for an empty message
	DCEP_PPID_BINARY_EMPTY = 57,
};

enum dcep_type { DCEP_ACK = 0x02, DCEP_OPEN = 0x03 };

// Channel types; | DCEP_UNORDERED for the unordered variants.
enum dcep_channel {
	DCEP_RELIABLE = 0x00,
	DCEP_PARTIAL_REXMIT = 0x01, // reliability: retransmissions
	DCEP_PARTIAL_TIMED = 0x02,  // reliability: lifetime, ms
	DCEP_UNORDERED = 0x80,
};

struct dcep_open {
	uint8_t channel; // enum dcep_channel
	uint16_t priority;
	uint32_t reliability;
	struct str label, protocol; // borrowed from the message
};

// Parse a message with PPID 50. Bytes after the protocol are ignored.
//
// out:     open     filled for DCEP_OPEN
// returns: DCEP_OPEN, DCEP_ACK; -ENODATA shorter than it says; -ENOTSUP unknown message or channel type
[[nodiscard]] int dcep_parse(const uint8_t *p, size_t len, struct dcep_open *open);

void dcep_write_open(struct wbuf *, const struct dcep_open *);
void dcep_write_ack(struct wbuf *);
