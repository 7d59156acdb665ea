// First 5 bytes: offsets; the rest is a video payload. A patched VP8 payload must say what was meant, keep its length
// and everything else; AV1 headers must be read within bounds.
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/rtc/codec/av1.h"
#include "lib/rtc/codec/vp8.h"

static void patch(uint8_t *p, size_t len, const uint8_t *off)
{
	struct vp8_desc before, after;
	uint16_t mask;

	if (vp8_parse(p, len, &before) < 0)
		return;
	vp8_patch(p, &before, be16_get(off), off[2], be16_get(off + 3));
	MUST(vp8_parse(p, len, &after) == 0);
	MUST(after.len == before.len && after.is_picture_id_15 == before.is_picture_id_15);
	MUST(after.is_start == before.is_start && after.tid == before.tid && after.key_idx == before.key_idx);
	mask = before.is_picture_id_15 ? 0x7fff : 0x7f;
	if (before.has_picture_id)
		MUST(after.picture_id == ((before.picture_id + be16_get(off) - be16_get(off + 3)) & mask));
	if (before.has_tl0)
		MUST(after.tl0 == (uint8_t)(before.tl0 + off[2]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct av1_agg agg;
	size_t len;
	uint8_t *p;

	if (size < 5)
		return 0;
	len = size - 5;
	p = malloc(len ? len : 1);
	memcpy(p, data + 5, len);
	if (av1_agg_parse(p, len, &agg) == 0) {
		MUST(agg.first_obu < 16 && agg.n_elements < 4);
		MUST(!(agg.is_new_sequence && agg.is_continued));
	}
	patch(p, len, data);
	free(p);
	return 0;
}
