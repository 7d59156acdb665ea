#include "controlplane/http/httppath.h"

#include <errno.h>

int http_unescape(struct str s, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (c == '%') {
			int hi = i + 2 < s.len ? str_hex_digit(s.p[i + 1]) : -1;
			int lo = i + 2 < s.len ? str_hex_digit(s.p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return -EBADMSG;
			c = (char)(hi << 4 | lo);
			i += 2;
		}
		if (n + 1 >= size)
			return -ENOSPC;
		out[n++] = c;
	}
	if (size == 0)
		return -ENOSPC;
	out[n] = '\0';
	return (int)n;
}

enum segment { SEGMENT_NAME, SEGMENT_EMPTY, SEGMENT_DOT, SEGMENT_DOTDOT };

static enum segment segment_kind(struct str s)
{
	char plain[8];
	int n;

	if (s.len == 0)
		return SEGMENT_EMPTY;
	n = http_unescape(s, plain, sizeof(plain));
	if (n == 1 && plain[0] == '.')
		return SEGMENT_DOT;
	if (n == 2 && plain[0] == '.' && plain[1] == '.')
		return SEGMENT_DOTDOT;
	return SEGMENT_NAME;
}

bool http_path_is_clean(struct str path)
{
	struct str rest = str_skip(path, 1);

	while (rest.len > 0) {
		struct str s = str_cut(&rest, '/');
		if (segment_kind(s) != SEGMENT_NAME)
			return false;
	}
	return true;
}

int http_path_clean(struct str path, char *out, size_t size)
{
	struct str rest = str_skip(path, 1);
	bool slash_last = path.len > 0 && path.p[path.len - 1] == '/';
	size_t n = 0;

	if (size < path.len + 2)
		return -ENOSPC;
	while (rest.len > 0) {
		struct str s = str_cut(&rest, '/');
		enum segment kind = segment_kind(s);

		if (kind == SEGMENT_NAME) {
			out[n++] = '/';
			memcpy(out + n, s.p, s.len);
			n += s.len;
		} else if (kind == SEGMENT_DOTDOT) {
			while (n > 0 && out[--n] != '/')
				;
		}
	}
	if (n == 0 || slash_last)
		out[n++] = '/';
	out[n] = '\0';
	return (int)n;
}

int http_path_split(struct str path, struct str out[HTTP_MAX_SEGMENTS])
{
	struct str rest = str_skip(path, 1);
	int n = 0;

	if (path.len > 0 && path.p[path.len - 1] == '/' && path.len > 1)
		return -E2BIG; // no route ends with a slash
	while (rest.len > 0) {
		if (n == HTTP_MAX_SEGMENTS)
			return -E2BIG;
		out[n++] = str_cut(&rest, '/');
	}
	return n;
}
