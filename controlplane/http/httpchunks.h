// Chunked bodies as bytes (RFC 9112 section 7.1). Pure code, no allocation.
#pragma once

#include <stddef.h>
#include <stdint.h>

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
