// Paths of requests, treated as rtcd's router does. Pure code, no allocation.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/str.h"

#define HTTP_MAX_SEGMENTS 8 // path segments of the longest route, and some

// Is it free of empty, "." and ".." segments (a trailing slash is fine)?
bool http_path_is_clean(struct str path);
// The cleaned path into out (path.len + 2 bytes are always enough). Returns its length, or -ENOSPC.
[[nodiscard]] int http_path_clean(struct str path, char *out, size_t size);
// Percent-decode one segment into out, NUL-terminated. Length, or -EBADMSG (bad escape), -ENOSPC.
[[nodiscard]] int http_unescape(struct str segment, char *out, size_t size);
// Split at '/', without the leading one. Returns how many, or -E2BIG.
[[nodiscard]] int http_path_split(struct str path, struct str out[HTTP_MAX_SEGMENTS]);
