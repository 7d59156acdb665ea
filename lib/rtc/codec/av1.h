// What can be told of an AV1 packet without decoding it: aggregation header, first OBU, and the mandatory
// fields of the dependency descriptor.
//
// source: AOMedia "RTP Payload Format For AV1" section 4.4 and appendix A.8; AV1 bitstream section 5.3
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

#define AV1_DD_MIN 3 // bytes of the mandatory fields

// |S|E| template id (6) | frame number (16) |, then optionally more
struct av1_dd {
	bool is_frame_start, is_frame_end;
	bool has_structure; // a template structure is attached: a key frame, and receivers need it first
	uint8_t template_id;
	uint16_t frame_number;
};

// Read an extension element.
//
// returns: 0, -EBADMSG shorter than 3 bytes
[[nodiscard]] int av1_dd_parse(const uint8_t *data, size_t len, struct av1_dd *);
