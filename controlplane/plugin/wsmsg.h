// Messages of /ws: two msgpack values back to back, a type word and its data. Pure code.
//
// source: the protocol of rtcd's clients; encodings as
//         vmihailenco/msgpack 5.4.1 writes and tolerates them
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/plugin/plugin.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

#define WSMSG_MAX 1048576 // bytes of a message, both directions
#define WSMSG_MAX_ID 256  // bytes of any id
#define WSMSG_CONN_ID_LEN 26

enum wsmsg_type {
	WSMSG_UNKNOWN,
	WSMSG_HELLO,
	WSMSG_JOIN,
	WSMSG_RECONNECT,
	WSMSG_LEAVE,
	WSMSG_RTC,
	WSMSG_VAD,
	WSMSG_CLOSE,
	N_WSMSG
};

struct wsmsg {
	enum wsmsg_type type;
	struct join_msg join;  // JOIN
	struct str session_id; // LEAVE, RECONNECT, RTC
	enum rtc_type rtc;     // RTC
	struct str data;       // RTC: may be empty
	const char *error;     // when refused: why, static
};

// The word of a type; "unknown" for what we do not know: a metrics label (D16).
const char *wsmsg_type_name(enum wsmsg_type);

// Decode what a plugin sent. Views are borrowed from p. Bytes after the second value are ignored.
//
// returns: 0; -EBADMSG not even a type; -EINVAL the type is in m->type, but the message is malformed,
//          incomplete, or not one that a plugin sends: m->error says which
[[nodiscard]] int wsmsg_decode(const void *p, size_t len, struct wsmsg *m);

// Encoders; overflow sets w->full. None ever writes nil, an empty map, or bin where str is expected.
void wsmsg_write_hello(struct wbuf *, struct str client, struct str conn);
void wsmsg_write_close(struct wbuf *, struct str session_id);
void wsmsg_write_rtc(struct wbuf *, const struct rtc_msg *);
// Enough room for wsmsg_write_rtc.
size_t wsmsg_rtc_size(const struct rtc_msg *);

// A new connection id: 26 characters of z-base-32, NUL-terminated.
void wsmsg_conn_id(char out[WSMSG_CONN_ID_LEN + 1]);
