// What is read as an OPEN is written back as the same bytes.
#include "lib/base/err.h"
#include "lib/rtc/wire/dcep.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[1 << 18];
	uint8_t *p = malloc(size ? size : 1);
	struct wbuf w = wbuf_of(out, sizeof(out));
	struct dcep_open o;

	memcpy(p, data, size);
	if (dcep_parse(p, size, &o) == DCEP_OPEN) {
		dcep_write_open(&w, &o);
		MUST(!w.full && wbuf_len(&w) <= size && memcmp(out, p, wbuf_len(&w)) == 0);
	}
	free(p);
	return 0;
}
