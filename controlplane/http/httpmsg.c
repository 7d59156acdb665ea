// Strict where two readers could disagree about where a request ends (both length and chunked, folded
// lines, blanks before the colon), lenient where Go's server is (bare LF).
#include "controlplane/http/httpmsg.h"

#include <errno.h>

static bool is_token_char(unsigned char c)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != 0 && strchr(others, c) != NULL);
}

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_token_char((unsigned char)s.p[i]))
			return false;
	return s.len > 0;
}

// No control characters but tab.
static bool is_field_text(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

size_t http_head_end(const char *p, size_t len, size_t scanned)
{
	for (size_t i = scanned > 2 ? scanned - 2 : 0; i < len; i++) {
		if (p[i] != '\n')
			continue;
		if (i + 1 < len && p[i + 1] == '\n')
			return i + 2;
		if (i + 2 < len && p[i + 1] == '\r' && p[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

// Next line without its end; the caller knows that every line ends.
static struct str next_line(struct str *rest)
{
	struct str line = str_cut(rest, '\n');

	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	return line;
}

static int parse_target(struct str target, struct http_head *h)
{
	if (str_starts(target, STR("http://")) || str_starts(target, STR("https://"))) {
		struct str rest = target;
		const char *slash;

		str_cut(&rest, '/');
		rest = str_skip(rest, 1);
		slash = rest.len ? memchr(rest.p, '/', rest.len) : NULL;
		if (slash == NULL)
			target = STR("/");
		else
			target = str_skip(rest, (size_t)(slash - rest.p));
	}
	if (target.len == 0 || (target.p[0] != '/' && !str_eq(target, STR("*"))))
		return -EBADMSG;
	for (size_t i = 0; i < target.len; i++)
		if ((unsigned char)target.p[i] <= 0x20 || target.p[i] == 0x7f)
			return -EBADMSG;
	h->query = target;
	h->path = str_cut(&h->query, '?');
	return 0;
}

static int parse_request_line(struct str line, struct http_head *h)
{
	struct str rest = line, target;

	h->method = str_cut(&rest, ' ');
	target = str_cut(&rest, ' ');
	if (!is_token(h->method) || !str_starts(rest, STR("HTTP/")) || rest.len != 8 || rest.p[6] != '.')
		return -EBADMSG;
	if (rest.p[5] != '1')
		return rest.p[5] >= '0' && rest.p[5] <= '9' ? -ENOTSUP : -EBADMSG;
	if (rest.p[7] < '0' || rest.p[7] > '9')
		return -EBADMSG;
	h->minor = (unsigned)(rest.p[7] - '0');
	return parse_target(target, h);
}

static int parse_header(struct str line, struct http_head *h)
{
	struct str name, value = line;

	if (memchr(line.p, ':', line.len) == NULL)
		return -EBADMSG;
	name = str_cut(&value, ':');
	value = str_trim(value);
	if (!is_token(name) || !is_field_text(value))
		return -EBADMSG;
	if (h->n_headers == HTTP_MAX_HEADERS)
		return -E2BIG;
	h->headers[h->n_headers++] = (struct http_header){name, value};
	return 0;
}

struct str http_find(const struct http_head *h, struct str name)
{
	for (unsigned i = 0; i < h->n_headers; i++)
		if (str_ieq(h->headers[i].name, name))
			return h->headers[i].value;
	return STR_NONE;
}

static unsigned count_of(const struct http_head *h, struct str name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h->n_headers; i++)
		n += str_ieq(h->headers[i].name, name);
	return n;
}

bool http_has_token(const struct http_head *h, struct str name, struct str token)
{
	for (unsigned i = 0; i < h->n_headers; i++) {
		struct str rest = h->headers[i].value;

		if (!str_ieq(h->headers[i].name, name))
			continue;
		while (rest.len > 0)
			if (str_ieq(str_trim(str_cut(&rest, ',')), token))
				return true;
	}
	return false;
}

// How the body is delimited (RFC 9112 section 6.3).
static int parse_framing(struct http_head *h)
{
	unsigned n_te = count_of(h, STR("transfer-encoding")), n_cl = count_of(h, STR("content-length"));

	if (n_te > 0) {
		if (n_cl > 0 || n_te > 1 || h->minor == 0)
			return -EBADMSG;
		if (!str_ieq(http_find(h, STR("transfer-encoding")), STR("chunked")))
			return -ENOSYS;
		h->is_chunked = true;
		return 0;
	}
	if (n_cl > 1)
		return -EBADMSG;
	if (n_cl == 1) {
		h->has_length = true;
		if (!str_u64(http_find(h, STR("content-length")), INT64_MAX, &h->content_length))
			return -EBADMSG;
	}
	return 0;
}

int http_parse_head(const char *p, size_t len, struct http_head *h)
{
	struct str rest = {p, len}, line;
	int rc;

	*h = (struct http_head){};
	line = next_line(&rest);
	rc = parse_request_line(line, h);
	while (rc == 0 && rest.len > 0) {
		line = next_line(&rest);
		if (line.len == 0)
			break;
		rc = parse_header(line, h);
	}
	if (rc < 0)
		return rc;
	if (h->minor > 0 && count_of(h, STR("host")) != 1)
		return -EBADMSG;
	h->keep_alive = h->minor > 0 ? !http_has_token(h, STR("connection"), STR("close"))
				     : http_has_token(h, STR("connection"), STR("keep-alive"));
	h->wants_continue = h->minor > 0 && str_ieq(http_find(h, STR("expect")), STR("100-continue"));
	return parse_framing(h);
}
