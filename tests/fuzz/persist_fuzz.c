// A session record from the store: what decodes must encode to the same bytes again.
// sources: controlplane/session/persist_record.c
// libs: -lcrypto
#include <stddef.h>
#include <stdint.h>

#include "controlplane/session/persist.h"
#include "lib/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[PERSIST_MAX_RECORD], plain[PERSIST_MAX_RECORD];
	struct persist_record r;
	int n;

	if (size > PERSIST_MAX_RECORD || persist_decode((struct str){(const char *)data, size}, &r) < 0)
		return 0;
	n = persist_encode(&r, again, sizeof(again));
	MUST(n > 0 && (size_t)n <= size && memcmp(again + 2, data + 2, (size_t)n - 2) == 0);
	MUST(persist_open(7, r.sid, r.sealed, plain) < 0 || r.sealed.len >= PERSIST_SEAL_EXTRA);
	return 0;
}
