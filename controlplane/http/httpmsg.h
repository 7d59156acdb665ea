// Heads of HTTP/1.1 requests as bytes (RFC 9110, RFC 9112). Pure code, no allocation.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

#define HTTP_MAX_HEAD 32768 // bytes, request line and all header lines
#define HTTP_MAX_HEADERS 100

struct http_header {
	struct str name, value;
};

// A parsed request head. All views are borrowed from the bytes that were parsed.
struct http_head {
	struct str method;
	struct str path;  // as sent (percent-encoded), starts with '/' unless the target is "*"
	struct str query; // after '?', without it
	unsigned minor;   // HTTP/1.minor
	uint64_t content_length;
	bool has_length, is_chunked, keep_alive, wants_continue;
	unsigned n_headers;
	struct http_header headers[HTTP_MAX_HEADERS];
};

// Length of the head including its empty line, or 0 when p[0..len) does not hold it whole. Bytes before
// scanned are known not to end it (incremental search).
size_t http_head_end(const char *p, size_t len, size_t scanned);

// Parse the len bytes found by http_head_end.
//
// returns: 0; -EBADMSG malformed or ambiguous (400); -E2BIG too many headers (431); -ENOTSUP version (505);
//          -ENOSYS unknown transfer coding (501)
[[nodiscard]] int http_parse_head(const char *p, size_t len, struct http_head *);

// First header of that name (case-insensitive), or STR_NONE.
struct str http_find(const struct http_head *, struct str name);
// Does any header of that name hold this token in its comma list (case-insensitive)?
bool http_has_token(const struct http_head *, struct str name, struct str token);
