// WebSocket frames as bytes (RFC 6455 section 5), server side. No I/O; memory only for the message that is
// being put together, grown as its bytes arrive.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

#define WS_MAX_HEADER 10 // bytes of a header we write

enum ws_opcode { WS_CONT = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
enum ws_close_code {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_NO_STATUS = 1005, // never on the wire
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_TRY_LATER = 1013,
};

// Bytes of messages that are not finished, of several readers together. Small ones are not counted.
struct wsframe_share {
	size_t held, most;
};

struct wsframe_reader {
	struct wsframe_share *share;   // borrowed, NULL: none; set after wsframe_init
	size_t max_message;            // bytes, sum of the fragments
	uint8_t header[14];            // being collected
	unsigned n_header, header_len; // bytes there; bytes needed (0: not known yet)
	uint64_t left;                 // payload bytes of this frame still to come
	uint64_t at;                   // payload bytes of this frame consumed, for the mask
	uint8_t opcode;                // of this frame
	bool is_final, in_payload;
	uint8_t message_opcode; // of the message in progress; 0: none
	uint8_t *message;       // owned
	size_t message_len, message_cap;
	uint8_t control[125];
	unsigned control_len;
};

enum wsframe_what { WSFRAME_MORE, WSFRAME_MESSAGE, WSFRAME_PING, WSFRAME_PONG, WSFRAME_CLOSE, WSFRAME_ERROR };
struct wsframe_event {
	enum wsframe_what what;
	bool is_text;       // MESSAGE
	struct str payload; // MESSAGE, PING, PONG: borrowed until the next call
	uint16_t code;      // CLOSE: peer's code or 1005; ERROR: what to close with
	const char *reason; // ERROR: short, static
};

void wsframe_init(struct wsframe_reader *, size_t max_message);
void wsframe_fini(struct wsframe_reader *);

// Consume bytes until something is complete. p is unmasked in place. Returns bytes consumed; all of them
// when ev->what is WSFRAME_MORE. After WSFRAME_ERROR and WSFRAME_CLOSE nothing more may be fed.
size_t wsframe_read(struct wsframe_reader *, uint8_t *p, size_t len, struct wsframe_event *ev);

// Header of an unfragmented, unmasked frame. Returns its bytes.
size_t wsframe_header(uint8_t out[WS_MAX_HEADER], enum ws_opcode, size_t payload_len);

// Is a Sec-WebSocket-Key base64 of 16 bytes?
bool wsframe_key_is_valid(struct str key);
