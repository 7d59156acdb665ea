// WebSocket frames: the same bytes at once and in pieces give the same events, and no message is larger than
// the limit. The first byte of the input says how the bytes are cut.
// sources: controlplane/http/wsframe.c
// max_len: 131072
#include <stdlib.h>

#include "controlplane/http/wsframe.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"

#define LIMIT 3000

// A digest of all events.
static uint64_t read_all(const uint8_t *data, size_t size, size_t piece)
{
	static const uint64_t key[2] = {1, 2};
	struct wsframe_reader r;
	uint64_t sum = 0;
	uint8_t *p = malloc(size + 1);
	size_t at = 0;

	memcpy(p, data, size);
	wsframe_init(&r, LIMIT);
	while (at < size) {
		size_t n = size - at < piece ? size - at : piece, used;
		struct wsframe_event ev;

		used = wsframe_read(&r, p + at, n, &ev);
		MUST(used > 0 && used <= n);
		at += used;
		if (ev.what == WSFRAME_MORE) {
			MUST(used == n);
			continue;
		}
		MUST(ev.payload.len <= LIMIT);
		sum = sum * 31 + ev.what * 7 + ev.code +
		      hash_sip13(key, ev.payload.p ? ev.payload.p : "", ev.payload.len);
		if (ev.what == WSFRAME_ERROR)
			MUST(ev.reason != NULL && (ev.code == 1002 || ev.code == 1009));
		if (ev.what == WSFRAME_ERROR || ev.what == WSFRAME_CLOSE)
			break;
	}
	wsframe_fini(&r);
	free(p);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	MUST(read_all(data + 1, size - 1, SIZE_MAX) == read_all(data + 1, size - 1, 1 + data[0] % 37));
	return 0;
}
