#include "lib/rtc/codec/vp8.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/rand.h"

// X, I (15 bit), L, T and K all present; key frame.
static const uint8_t full[] = {0x90, 0xf0, 0x81, 0x02, 0x07, 0x65, 0x10, 0, 0, 0x9d, 1, 0x2a};

static void descriptor(void)
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
	CHECK(vp8_is_key(full, sizeof(full)));
}

static void truncated(void)
{
	for (size_t len = 0; len <= 6; len++) {
		uint8_t *p = malloc(len ? len : 1);
		struct vp8_desc d;
		memcpy(p, full, len);
		CHECK(vp8_parse(p, len, &d) < 0);
		CHECK(!vp8_is_key(p, len));
		free(p);
	}
}

static void not_key(void)
{
	CHECK(vp8_is_key((uint8_t[]){0x10, 0x10}, 2));
	CHECK(!vp8_is_key((uint8_t[]){0x10, 0x11}, 2)); // inter frame
	CHECK(!vp8_is_key((uint8_t[]){0x00, 0x10}, 2)); // not a start
	CHECK(!vp8_is_key((uint8_t[]){0x11, 0x10}, 2)); // partition 1
}

// X I(15) L T K
static void payload_of(uint8_t p[8], uint16_t pid, uint8_t tl0)
{
	memcpy(p, (uint8_t[]){0x90, 0xf0, 0x80 | pid >> 8, (uint8_t)pid, tl0, 0x20, 0x10, 0xaa}, 8);
}

static void plain_before_switch(void)
{
	struct vp8_leg l = {};
	struct vp8_desc d;
	uint8_t p[8], q[8];

	payload_of(p, 0x7fff, 255);
	memcpy(q, p, 8);
	CHECK_EQ(vp8_parse(p, 8, &d), 0);
	vp8_leg_switch(&l, &d, 0);
	CHECK(vp8_is_plain(l.pid_offset, l.tl0_offset, 0));
	vp8_patch(p, &d, l.pid_offset, l.tl0_offset, 0);
	CHECK_MEM(p, q, 8);
}

static void continues(void)
{
	struct vp8_leg l = {};
	struct vp8_desc d;
	uint8_t p[8];

	payload_of(p, 0x7fff, 254);
	CHECK_EQ(vp8_parse(p, 8, &d), 0);
	vp8_leg_switch(&l, &d, 0);
	vp8_leg_sent(&l, &d, 0);
	payload_of(p, 77, 9);
	CHECK_EQ(vp8_parse(p, 8, &d), 0);
	vp8_leg_switch(&l, &d, 5);
	vp8_patch(p, &d, l.pid_offset, l.tl0_offset, 5);
	CHECK_EQ(vp8_parse(p, 8, &d), 0);
	CHECK_EQ(d.picture_id, 0);
	CHECK_EQ(d.tl0, 255);
	CHECK(d.is_picture_id_15);
	CHECK_EQ(p[1], 0xf0);
	CHECK_EQ(p[5], 0x20);
	CHECK_EQ(p[7], 0xaa);
}

static void seven_bits(void)
{
	struct vp8_leg l = {.last_pid = 0x1234, .has_pid = true};
	struct vp8_desc d;
	uint8_t p[] = {0x90, 0x80, 0x05, 0x10, 1};

	CHECK_EQ(vp8_parse(p, sizeof(p), &d), 0);
	vp8_leg_switch(&l, &d, 0);
	vp8_patch(p, &d, l.pid_offset, l.tl0_offset, 0);
	CHECK_EQ(p[2], 0x35); // 0x1235 modulo 128, still one byte
	CHECK_EQ(p[3], 0x10);
}

// A descriptor without numbers passes.
static void without_numbers(void)
{
	struct vp8_leg l = {.last_pid = 5, .has_pid = true, .last_tl0 = 3, .has_tl0 = true};
	struct vp8_desc d;
	uint8_t p[] = {0x10, 0x10, 1}, q[] = {0x10, 0x10, 1};

	CHECK_EQ(vp8_parse(p, sizeof(p), &d), 0);
	vp8_leg_switch(&l, &d, 0);
	vp8_patch(p, &d, l.pid_offset, l.tl0_offset, 0);
	CHECK_MEM(p, q, 3);
	vp8_leg_sent(&l, &d, 0);
	CHECK_EQ(l.last_pid, 5);
}

// 1000 switches between two layers that count for themselves.
static void thousand_switches(void)
{
	struct vp8_leg l = {};
	uint16_t pid[2] = {0x7ff0, 0x10}, last_pid = 0;
	uint8_t tl0[2] = {250, 3}, last_tl0 = 0;

	rand_seed(3);
	for (unsigned i = 0; i < 1000; i++) {
		unsigned n = 1 + rand_u32() % 40;
		for (unsigned k = 0; k < n; k++) {
			struct vp8_desc d;
			uint8_t p[8];

			payload_of(p, pid[i & 1], tl0[i & 1]);
			CHECK_OR_RETURN(vp8_parse(p, 8, &d) == 0);
			if (k == 0)
				vp8_leg_switch(&l, &d, 0);
			vp8_leg_sent(&l, &d, 0);
			vp8_patch(p, &d, l.pid_offset, l.tl0_offset, 0);
			CHECK_OR_RETURN(vp8_parse(p, 8, &d) == 0);
			CHECK_OR_RETURN((i == 0 && k == 0) || d.picture_id == ((last_pid + 1) & 0x7fff));
			CHECK_OR_RETURN((i == 0 && k == 0) || d.tl0 == (uint8_t)(last_tl0 + 1));
			last_pid = d.picture_id;
			last_tl0 = d.tl0;
			pid[i & 1] = (pid[i & 1] + 1) & 0x7fff;
			tl0[i & 1]++;
		}
		pid[!(i & 1)] = (pid[!(i & 1)] + n) & 0x7fff;
		tl0[!(i & 1)] = (uint8_t)(tl0[!(i & 1)] + n / 2);
	}
	rand_seed(0);
}

CU_TestInfo vp8_tests[] = {
	{"a VP8 descriptor with every field is read", descriptor},
	{"a VP8 descriptor cut at each byte claims no key frame", truncated},
	{"only the first packet of a VP8 key frame begins one", not_key},
	{"a receiver that never switched gets the payload as it is", plain_before_switch},
	{"picture id and TL0PICIDX continue over a switch and their wraps", continues},
	{"a 7-bit picture id keeps its length", seven_bits},
	{"a descriptor without numbers is not touched", without_numbers},
	{"1000 switches: picture id and TL0PICIDX go up by one", thousand_switches},
	CU_TEST_INFO_NULL,
};
