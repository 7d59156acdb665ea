// Messages on the data channel, as rtcd and its clients write them: a msgpack integer, the type, then at most one
// msgpack value. Pure: no state, no I/O; everything read may be hostile.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

enum dcmsg_type {
	DCMSG_PING = 1,
	DCMSG_PONG,
	DCMSG_SDP,    // bin: zlib stream of JSON {"type","sdp"}
	DCMSG_LOSS,   // number: fraction lost
	DCMSG_RTT,    // number: seconds
	DCMSG_JITTER, // number: seconds
	DCMSG_LOCK,
	DCMSG_UNLOCK,
	DCMSG_MEDIA_MAP,
	DCMSG_TEXT_PING = 256, // not msgpack: the four bytes "ping" of old clients, wants the text "pong"
};

#define DCMSG_MAX_JSON (128 * 1024) // bytes of an inflated SDP message (D17)

// Bytes that so many zipped ones may become. Descriptions shrink to a tenth, long ones of like sections to a thirtieth;
// what shrinks more is made to cost us time.
static inline size_t dcmsg_max_json(size_t zipped)
{
	size_t most = 4096 + 64 * zipped;

	return most < DCMSG_MAX_JSON ? most : DCMSG_MAX_JSON;
}

struct dcmsg {
	enum dcmsg_type type;
	struct str zipped; // SDP: borrowed
	double number;     // LOSS, RTT, JITTER: finite, not negative (D19)
};

// returns: 0; -ENOTSUP an unknown type; -EBADMSG not what the type needs; -ERANGE a number that would spoil
// the statistics; -ENODATA empty
[[nodiscard]] int dcmsg_parse(const void *data, size_t len, struct dcmsg *);

// Inflate an SDP message into out. returns: bytes, -E2BIG when it does not fit in size, -EBADMSG
[[nodiscard]] int dcmsg_inflate(struct str zipped, char *out, size_t size);

void dcmsg_write_pong(struct wbuf *);
void dcmsg_write_lock(struct wbuf *, bool granted); // the reply always carries its boolean

// An SDP message with json deflated. returns: 0, -ENOBUFS, -ENOMEM
[[nodiscard]] int dcmsg_write_sdp(struct wbuf *, struct str json);

// One line of the media map: what the m-line with this mid carries and whose it is (D23).
struct dcmsg_line {
	struct str mid, type, sender_id; // type: "voice", "screen", "screen-audio", "video"
};
void dcmsg_write_map(struct wbuf *, const struct dcmsg_line *, size_t n);
