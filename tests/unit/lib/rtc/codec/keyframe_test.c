#include "lib/rtc/codec/keyframe.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>

// X, I (15 bit), L, T and K all present; key frame.
static const uint8_t full[] = {0x90, 0xf0, 0x81, 0x02, 0x07, 0x65, 0x10, 0, 0, 0x9d, 1, 0x2a};

static void vp8_descriptor(void)
{
	struct vp8_desc d;

	CHECK_EQ(vp8_parse(full, sizeof(full), &d), 0);
	CHECK_EQ(d.len, 6);
	CHECK(d.is_start && d.has_picture_id && d.is_picture_id_15 && d.has_tl0 && d.has_tid);
	CHECK_EQ(d.picture_id, 0x102);
	CHECK_EQ(d.picture_id_off, 2);
	CHECK_EQ(d.tl0, 7);
	CHECK_EQ(d.tl0_off, 4);
	CHECK_EQ(d.tid, 1);
	CHECK(d.is_switch_up);
	CHECK_EQ(d.key_idx, 5);
	CHECK(keyframe_vp8(full, sizeof(full)));
}

static void vp8_truncated(void)
{
	for (size_t len = 0; len <= 6; len++) {
		uint8_t *p = malloc(len ? len : 1);
		struct vp8_desc d;
		memcpy(p, full, len);
		CHECK(vp8_parse(p, len, &d) < 0);
		CHECK(!keyframe_vp8(p, len));
		free(p);
	}
}

static void vp8_not_key(void)
{
	CHECK(keyframe_vp8((uint8_t[]){0x10, 0x10}, 2));
	CHECK(!keyframe_vp8((uint8_t[]){0x10, 0x11}, 2)); // inter frame
	CHECK(!keyframe_vp8((uint8_t[]){0x00, 0x10}, 2)); // not a start
	CHECK(!keyframe_vp8((uint8_t[]){0x11, 0x10}, 2)); // partition 1
}

static void av1(void)
{
	CHECK(keyframe_av1((uint8_t[]){0x08, 0x0a}, 2));
	CHECK(keyframe_av1((uint8_t[]){0x58, 0x0a}, 2));
	CHECK(!keyframe_av1((uint8_t[]){0x88, 0x0a}, 2)); // Z = N = 1
	CHECK(!keyframe_av1((uint8_t[]){0x10, 0x0a}, 2));
	CHECK(!keyframe_av1((uint8_t[]){0x08}, 1));
	CHECK(!keyframe_av1(NULL, 0));
}

CU_TestInfo keyframe_tests[] = {
	{"a VP8 descriptor with every field is read", vp8_descriptor},
	{"a VP8 descriptor cut at each byte claims no key frame", vp8_truncated},
	{"only the first packet of a VP8 key frame begins one", vp8_not_key},
	{"AV1 key frames by the N bit, never with Z", av1},
	CU_TEST_INFO_NULL,
};
