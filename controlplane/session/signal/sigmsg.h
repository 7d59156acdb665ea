// JSON inside signaling messages: session descriptions, candidates, stream ids. Pure; input is hostile.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

#define SIGMSG_MAX_JSON (128 * 1024) // bytes

enum sigmsg_type { SIGMSG_OFFER, SIGMSG_ANSWER };

struct sigmsg_sdp {
	enum sigmsg_type type;
	struct str sdp; // view of text
	char *text;     // owned
};

// {"type":"offer"|"answer","sdp":"..."}; type without regard to case. returns: 0, -E2BIG, -EBADMSG, -ENOMEM
[[nodiscard]] int sigmsg_parse_sdp(struct str json, struct sigmsg_sdp *);
void sigmsg_free(struct sigmsg_sdp *); // parsed or zeroed

// The same, written with <, >, & escaped. Check w->full.
void sigmsg_write_sdp(struct wbuf *, enum sigmsg_type, struct str sdp);

// The string value of one key, "" when it is missing or no string. out is NUL-terminated.
// returns: 0, -EBADMSG no object, another value is no string, or the value does not fit
[[nodiscard]] int sigmsg_parse_id(struct str json, const char *key, char *out, size_t size);

// Is it a candidate as browsers send it? Empty ones (end of candidates) count. returns: 0, -EBADMSG
[[nodiscard]] int sigmsg_check_candidate(struct str json);
