// First byte: size of the pieces the rest is fed in. What comes out must be what reading it at once would give.
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/rtc/wire/deframe.h"

// The same by the definition: a length, that many bytes. Returns how many bytes of the stream are before its end.
struct walk {
	const uint8_t *p;
	size_t size, at;
	unsigned n_empty;
};

// Length of the next frame that is not empty; 0: no complete one, -1: the connection ends.
static int walk_next(struct walk *w, const uint8_t **frame)
{
	while (w->size - w->at >= DEFRAME_HDR) {
		size_t len = be16_get(w->p + w->at);

		if (len > DEFRAME_MAX)
			return -1;
		if (w->size - w->at - DEFRAME_HDR < len)
			return 0;
		*frame = w->p + w->at + DEFRAME_HDR;
		w->at += DEFRAME_HDR + len;
		w->n_empty = len == 0 ? w->n_empty + 1 : 0;
		if (w->n_empty == DEFRAME_MAX_EMPTY)
			return -1;
		if (len > 0)
			return (int)len;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk w = {.p = data + 1, .size = size ? size - 1 : 0};
	const uint8_t *want;
	uint8_t piece[256], *frame;
	struct deframe d;
	int len = 0;

	if (size < 2)
		return 0;
	deframe_init(&d);
	for (size_t at = 1; at < size && len >= 0;) {
		size_t n = 1 + (size_t)data[0] < size - at ? 1 + (size_t)data[0] : size - at;
		uint8_t *p = piece;

		memcpy(piece, data + at, n);
		at += n;
		while ((len = deframe_next(&d, &p, &n, &frame)) > 0) {
			MUST(walk_next(&w, &want) == len);
			MUST(memcmp(frame, want, (size_t)len) == 0);
		}
	}
	MUST(walk_next(&w, &want) == (len < 0 ? -1 : 0));
	return 0;
}
