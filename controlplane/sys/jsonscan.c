#include "controlplane/sys/jsonscan.h"

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/utf8.h"

static void skip_blanks(struct str *s)
{
	while (s->len > 0 && (s->p[0] == ' ' || s->p[0] == '\t' || s->p[0] == '\n' || s->p[0] == '\r'))
		*s = str_skip(*s, 1);
}

// The next byte that is no blank, consumed; '\0' at the end.
static char take(struct str *s)
{
	char c;

	skip_blanks(s);
	if (s->len == 0)
		return '\0';
	c = s->p[0];
	*s = str_skip(*s, 1);
	return c;
}

// Behind an opening quote: its bytes up to the closing one, which is consumed.
static int take_string(struct str *s, struct str *raw)
{
	for (size_t i = 0; i < s->len; i++) {
		if (s->p[i] == '"') {
			*raw = (struct str){s->p, i};
			*s = str_skip(*s, i + 1);
			return 0;
		}
		if ((unsigned char)s->p[i] < ' ')
			return -EBADMSG;
		i += s->p[i] == '\\'; // whatever is escaped does not end it
	}
	return -EBADMSG;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t count_digits(struct str s, size_t at)
{
	size_t n = 0;

	while (at + n < s.len && is_digit(s.p[at + n]))
		n++;
	return n;
}

// Length of a number at the beginning of s, 0: there is none.
static size_t number_length(struct str s)
{
	size_t at = s.len > 0 && s.p[0] == '-', n = count_digits(s, at);

	if (n == 0 || (n > 1 && s.p[at] == '0'))
		return 0;
	at += n;
	if (at < s.len && s.p[at] == '.') {
		n = count_digits(s, at + 1);
		if (n == 0)
			return 0;
		at += 1 + n;
	}
	if (at < s.len && (s.p[at] == 'e' || s.p[at] == 'E')) {
		at += 1 + (at + 1 < s.len && (s.p[at + 1] == '+' || s.p[at + 1] == '-'));
		n = count_digits(s, at);
		if (n == 0)
			return 0;
		at += n;
	}
	return at;
}

// A number or a literal.
static int take_plain(struct str *s)
{
	static const struct str words[] = {{"true", 4}, {"false", 5}, {"null", 4}};
	size_t n = number_length(*s);

	for (unsigned i = 0; n == 0 && i < ARRAY_LEN(words); i++)
		if (s->len >= words[i].len && memcmp(s->p, words[i].p, words[i].len) == 0)
			n = words[i].len;
	if (n == 0)
		return -EBADMSG;
	*s = str_skip(*s, n);
	return 0;
}

static int take_name(struct str *s, struct str *name)
{
	if (take(s) != '"' || take_string(s, name) < 0 || take(s) != ':')
		return -EBADMSG;
	return 0;
}

// Arrays and objects that are open: a bit each, the innermost lowest, 1: an object.
struct nest {
	uint32_t is_object;
	unsigned depth;
};

static int nest_open(struct nest *n, bool is_object)
{
	if (n->depth == JSONSCAN_DEPTH)
		return -EBADMSG;
	n->is_object = n->is_object << 1 | is_object;
	n->depth++;
	return 0;
}

// One value begins: skip it, or enter it (*entered). returns: 0, -EBADMSG
static int value_begin(struct str *s, struct nest *n, bool *entered)
{
	struct str ignored;

	skip_blanks(s);
	*entered = s->len > 0 && (s->p[0] == '{' || s->p[0] == '[');
	if (*entered)
		return nest_open(n, take(s) == '{');
	if (s->len > 0 && s->p[0] == '"') {
		*s = str_skip(*s, 1);
		return take_string(s, &ignored);
	}
	return take_plain(s);
}

// Behind a value, or behind what opened an array or object: close what ends here. True: another value follows.
// returns: 1 a value follows, 0 all is closed, -EBADMSG
static int value_end(struct str *s, struct nest *n, bool is_empty)
{
	while (n->depth > 0) {
		bool is_object = n->is_object & 1;
		struct str before, name;
		char c;

		skip_blanks(s);
		before = *s;
		c = take(s);
		if (c == (is_object ? '}' : ']')) {
			n->is_object >>= 1;
			n->depth--;
			is_empty = false;
			continue;
		}
		if (is_empty)
			*s = before;
		else if (c != ',')
			return -EBADMSG;
		return is_object && take_name(s, &name) < 0 ? -EBADMSG : 1;
	}
	return 0;
}

static int skip_value(struct str *s)
{
	struct nest n = {};
	bool entered;
	int more;

	do {
		if (value_begin(s, &n, &entered) < 0)
			return -EBADMSG;
		more = value_end(s, &n, entered);
	} while (more > 0);
	return more;
}

int jsonscan_begin(struct jsonscan *j, struct str text)
{
	*j = (struct jsonscan){.rest = text, .is_first = true};
	return take(&j->rest) == '{' ? 0 : -EBADMSG;
}

int jsonscan_next(struct jsonscan *j, struct jsonscan_member *m)
{
	struct str *s = &j->rest;

	skip_blanks(s);
	if (s->len > 0 && s->p[0] == '}')
		return 0;
	if (!j->is_first && take(s) != ',')
		return -EBADMSG;
	j->is_first = false;
	if (take_name(s, &m->name) < 0)
		return -EBADMSG;
	skip_blanks(s);
	if (s->len > 0 && s->p[0] == '"') {
		m->kind = JSONSCAN_STRING;
		*s = str_skip(*s, 1);
		return take_string(s, &m->value) < 0 ? -EBADMSG : 1;
	}
	m->kind = JSONSCAN_OTHER;
	m->value = *s;
	if (skip_value(s) < 0)
		return -EBADMSG;
	m->value.len -= s->len;
	return 1;
}

// --- strings ----------------------------------------------------------------------------------------
static int hex4(struct str s, size_t at, uint32_t *out)
{
	if (at + 4 > s.len)
		return -EBADMSG;
	*out = 0;
	for (size_t i = at; i < at + 4; i++) {
		char c = s.p[i] | 0x20;

		if (!is_digit(s.p[i]) && (c < 'a' || c > 'f'))
			return -EBADMSG;
		*out = *out << 4 | (uint32_t)(is_digit(s.p[i]) ? s.p[i] - '0' : c - 'a' + 10);
	}
	return 0;
}

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

// \uXXXX, or two of them that are a pair, whose digits begin at *at.
static int take_code(struct str raw, size_t *at, uint32_t *code)
{
	uint32_t low;

	if (hex4(raw, *at, code) < 0)
		return -EBADMSG;
	*at += 4;
	if (*code < 0xd800 || *code > 0xdfff)
		return 0;
	if (*code > 0xdbff || *at + 2 > raw.len || raw.p[*at] != '\\' || raw.p[*at + 1] != 'u' ||
	    hex4(raw, *at + 2, &low) < 0 || low < 0xdc00 || low > 0xdfff)
		return -EBADMSG;
	*at += 6;
	*code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
	return 0;
}

int jsonscan_unescape(struct str raw, char *out, size_t *len)
{
	static const char letters[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	size_t n = 0;

	for (size_t i = 0; i < raw.len;) {
		const char *at;
		uint32_t code;

		if (raw.p[i] != '\\') {
			out[n++] = raw.p[i++];
			continue;
		}
		if (i + 1 == raw.len || raw.p[i + 1] == '\0')
			return -EBADMSG;
		at = strchr(letters, raw.p[i + 1]);
		i += 2;
		if (at != NULL) {
			out[n++] = means[at - letters];
			continue;
		}
		if (raw.p[i - 1] != 'u' || take_code(raw, &i, &code) < 0)
			return -EBADMSG;
		n += put_utf8(out + n, code);
	}
	*len = n;
	return utf8_is_valid((struct str){out, n}) ? 0 : -EBADMSG;
}

bool jsonscan_is(struct str raw, struct str word)
{
	char out[128];
	size_t len;

	if (raw.len > sizeof(out) || raw.len > word.len * 6)
		return false;
	return jsonscan_unescape(raw, out, &len) == 0 && str_eq((struct str){out, len}, word);
}
