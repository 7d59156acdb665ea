// What can be told of an AV1 packet without decoding it: aggregation header and first OBU.
//
// source: AOMedia "RTP Payload Format For AV1" section 4.4; AV1 bitstream section 5.3
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Aggregation header |Z|Y|W W|N|-|-|-|
struct av1_agg {
	bool is_continued;    // Z: the first element continues an OBU of the packet before
	bool is_unfinished;   // Y: the last element goes on in the next packet
	bool is_new_sequence; // N: first packet of a coded video sequence
	uint8_t n_elements;   // W: 1..3, 0: each element carries its length
	uint8_t first_obu;    // type of the first OBU that begins here; AV1_OBU_NONE when none is seen
};

enum av1_obu {
	AV1_OBU_NONE = 0,
	AV1_OBU_SEQUENCE = 1,
	AV1_OBU_TEMPORAL = 2,
	AV1_OBU_FRAME_HDR = 3,
	AV1_OBU_FRAME = 6
};

// returns: 0; -ENODATA nothing follows the header; -EBADMSG Z with N, or a length that overruns the payload
[[nodiscard]] int av1_agg_parse(const uint8_t *payload, size_t len, struct av1_agg *);
