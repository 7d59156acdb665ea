// HTTP/1.1 requests as bytes: head parser, chunked decoder, path rules. Pure code, no allocation.
//
// source: RFC 9110, RFC 9112; paths as rtcd's router treats them
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

#define HTTP_MAX_HEAD 32768 // bytes, request line and all header lines
#define HTTP_MAX_HEADERS 100
#define HTTP_MAX_SEGMENTS 8 // path segments of the longest route, and some

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

// --- bodies ------------------------------------------------------------------------------------------
struct http_chunks {
	enum {
		CHUNK_SIZE,
		CHUNK_EXT,
		CHUNK_SIZE_LF,
		CHUNK_DATA,
		CHUNK_CR,
		CHUNK_LF,
		CHUNK_TRAILER,
		CHUNK_DONE
	} state;
	uint64_t left;
	unsigned n_digits, n_line, n_trailer; // characters
};
// Decode as much of in as possible; data goes to out, which may be in itself. Returns bytes of in consumed
// (less than len only when state is CHUNK_DONE) or -EBADMSG; *n_out bytes were written.
[[nodiscard]] int http_chunks_feed(struct http_chunks *, const char *in, size_t len, char *out,
				   size_t *n_out);

// --- paths -------------------------------------------------------------------------------------------
// Is it free of empty, "." and ".." segments (a trailing slash is fine)?
bool http_path_is_clean(struct str path);
// The cleaned path into out (path.len + 2 bytes are always enough). Returns its length, or -ENOSPC.
[[nodiscard]] int http_path_clean(struct str path, char *out, size_t size);
// Percent-decode one segment into out, NUL-terminated. Length, or -EBADMSG (bad escape), -ENOSPC.
[[nodiscard]] int http_unescape(struct str segment, char *out, size_t size);
// Split at '/', without the leading one. Returns how many, or -E2BIG.
[[nodiscard]] int http_path_split(struct str path, struct str out[HTTP_MAX_SEGMENTS]);
