#include "controlplane/http/httpchunks.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/base/str.h"

enum { CHUNK_MAX_LINE = 256, CHUNK_MAX_TRAILER = 4096 };

// The size line is over: data, or the trailer after the last chunk.
static void chunk_begin(struct http_chunks *c)
{
	c->state = c->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
	c->n_digits = c->n_line = 0;
}

// One byte outside of data. False: malformed.
static bool chunk_byte(struct http_chunks *c, char b)
{
	int digit;

	switch (c->state) {
	case CHUNK_SIZE:
		digit = str_hex_digit(b);
		if (digit >= 0) {
			c->left = c->left * 16 + (unsigned)digit;
			return ++c->n_digits <= 8;
		}
		if (c->n_digits == 0)
			return false;
		c->state = b == '\r' ? CHUNK_SIZE_LF : CHUNK_EXT;
		if (b == '\n')
			chunk_begin(c);
		return b == '\r' || b == '\n' || b == ';' || b == ' ' || b == '\t';
	case CHUNK_EXT:
		if (b == '\n')
			chunk_begin(c);
		return ++c->n_line < CHUNK_MAX_LINE;
	case CHUNK_SIZE_LF:
		chunk_begin(c);
		return b == '\n';
	case CHUNK_CR:
		c->state = b == '\r' ? CHUNK_LF : CHUNK_SIZE;
		return b == '\r' || b == '\n';
	case CHUNK_LF:
		c->state = CHUNK_SIZE;
		return b == '\n';
	case CHUNK_TRAILER:
		if (b == '\n') {
			if (c->n_line == 0)
				c->state = CHUNK_DONE;
			c->n_line = 0;
		} else if (b != '\r') {
			c->n_line++;
		}
		return ++c->n_trailer < CHUNK_MAX_TRAILER;
	default:
		return false;
	}
}

int http_chunks_feed(struct http_chunks *c, const char *in, size_t len, char *out, size_t *n_out)
{
	size_t at = 0;

	*n_out = 0;
	while (at < len && c->state != CHUNK_DONE) {
		if (c->state == CHUNK_DATA) {
			size_t n = len - at < c->left ? len - at : (size_t)c->left;

			assert(c->left > 0);
			memmove(out + *n_out, in + at, n);
			*n_out += n;
			at += n;
			c->left -= n;
			if (c->left == 0)
				c->state = CHUNK_CR;
		} else if (!chunk_byte(c, in[at++])) {
			return -EBADMSG;
		}
	}
	return (int)at;
}
