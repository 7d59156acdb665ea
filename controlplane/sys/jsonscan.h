// The members of a JSON object, one after another, without a tree and without memory: what a message costs is one look at
// each of its bytes, whatever is in it. Pure; input is hostile. source: RFC 8259
#pragma once

#include <stdbool.h>

#include "lib/base/str.h"

#define JSONSCAN_DEPTH 32 // arrays and objects inside of each other; deeper: malformed

enum jsonscan_kind { JSONSCAN_STRING, JSONSCAN_OTHER };

struct jsonscan {
	struct str rest; // borrowed
	bool is_first;
};

struct jsonscan_member {
	struct str name;  // as it stands between its quotes; see jsonscan_is
	struct str value; // STRING: as it stands between its quotes; OTHER: its bytes
	enum jsonscan_kind kind;
};

// text begins with an object; what follows its end is not looked at. returns: 0, -EBADMSG
[[nodiscard]] int jsonscan_begin(struct jsonscan *, struct str text);
// returns: 1 with *member, 0 after the last one, -EBADMSG
[[nodiscard]] int jsonscan_next(struct jsonscan *, struct jsonscan_member *member);

// Does this raw string, escapes resolved, say that? word: plain ASCII
bool jsonscan_is(struct str raw, struct str word);
// Resolve the escapes of a raw string into out, which has raw.len bytes: never more are needed. A lone surrogate and
// bytes that are no UTF-8 are refused. returns: 0 with *len, -EBADMSG
[[nodiscard]] int jsonscan_unescape(struct str raw, char *out, size_t *len);
