#include "lib/rtc/recv/srtpidx.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/base/rand.h"

static struct srtpidx s;

static void reset(void)
{
	s = (struct srtpidx){};
}

// Estimate and, when allowed, accept: the code, and the index in *at.
static int take(uint16_t seq, uint64_t *at)
{
	int rc = srtpidx_estimate(&s, seq, at);

	if (rc == 0)
		srtpidx_accept(&s, *at);
	return rc;
}

// Receive a chosen 48-bit index the way a packet does.
static int recv_index(uint64_t index)
{
	uint64_t at = 0;
	int rc = srtpidx_estimate(&s, (uint16_t)index, &at);

	if (rc == 0) {
		CHECK_EQ(at, index);
		srtpidx_accept(&s, at);
	}
	return rc;
}

#define W SRTPIDX_WINDOW
// Numbered one-liners: T(number, packet, verdict), on one window after the other.
#define T(n, index, want)                                                           \
	do {                                                                        \
		int got_ = recv_index(index);                                       \
		if (got_ != (want))                                                 \
			check_note(__FILE__, __LINE__, "case %d: got %d", n, got_); \
		CHECK(got_ == (want));                                              \
	} while (0)

static void window_cases(void)
{
	reset();
	T(1, 0, 0);
	T(2, 1, 0);
	T(3, 1, -EALREADY);
	T(4, 9, 0);
	T(5, 8, 0);
	T(6, 7, 0);
	T(7, 7, -EALREADY);
	T(8, W, 0);
	T(9, W - 1, 0);
	T(10, W - 1, -EALREADY);
	T(11, W - 2, 0);
	T(12, 2, 0);
	T(13, 2, -EALREADY);
	T(14, W + 16, 0);
	T(15, 3, -ERANGE);
	T(16, W + 16, -EALREADY);
	T(17, 17, 0); // exactly W - 1 behind
	T(18, 17, -EALREADY);
	T(19, 16, -ERANGE); // exactly W behind
	T(20, W * 4, 0);
	T(21, W * 4 - (W - 1), 0);
	T(22, W * 4 - W, -ERANGE);
	T(23, W * 4 - 64, 0);
	T(24, W * 4 - 64, -EALREADY);
	T(25, W * 4 + 64, 0); // same bit position as 21..24 may not be confused
	T(26, W * 4 + 63, 0);
	T(27, W * 5 + 64, 0); // moves by exactly one window
	T(28, W * 4 + 64, -ERANGE);
	T(29, W * 5 + 63, 0);
	T(30, W * 5 + 64, -EALREADY);
	T(31, W * 6 + 63, 0); // one less than a window
	T(32, W * 5 + 64, -EALREADY);
	T(33, W * 5 + 65, 0);
	T(34, W * 20, 0); // everything forgotten
	T(35, W * 20 - 1, 0);
	T(36, W * 20 - (W - 1), 0);
}

static void window_across_wrap(void)
{
	reset();
	T(1, 0xfffd, 0);
	T(2, 0x10002, 0); // loss over the wrap
	T(3, 0xffff, 0);  // late from before it
	T(4, 0xffff, -EALREADY);
	T(5, 0x10000, 0);
	T(6, 0xfffd, -EALREADY);
	T(7, 0x10001, 0);
	T(8, 0x10002 - W + 1, 0);
	T(9, 0x10002 - W, -ERANGE);
	CHECK_EQ(s.top >> 16, 1);
}

// RFC 3711 appendix A and section 3.3.1: estimates around the halves of the sequence space.
static void estimate_cases(void)
{
	static const struct {
		uint64_t top;
		uint16_t seq;
		uint64_t want; // UINT64_MAX: refused
	} t[] = {
		{0x00000, 0x0001, 0x00001},
		{0x00000, 0x7fff, 0x07fff},
		{0x00000, 0x8000, 0x08000},
		{0x00000, 0x8001, UINT64_MAX},
		{0x00000, 0xffff, UINT64_MAX},
		{0x07fff, 0xffff, 0x0ffff},
		{0x07fff, 0xfffe, 0x0fffe},
		{0x08000, 0xffff, 0x0ffff},
		{0x08000, 0x0000, 0x00000},
		{0x08001, 0x0000, 0x10000},
		{0x0ffff, 0x0000, 0x10000},
		{0x0ffff, 0x7ffe, 0x17ffe},
		{0x0ffff, 0x7fff, 0x07fff},
		{0x10000, 0xffff, 0x0ffff},
		{0x10000, 0x8000, 0x18000},
		{0x10000, 0x8001, 0x08001},
		{0x17fff, 0x0000, 0x10000},
		{0x2fffe, 0x0001, 0x30001},
		{0xffffffff0000, 0x0001, 0xffffffff0001},
		{0xffffffffffff, 0x0000, UINT64_MAX}, // keys used up
	};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint64_t at = UINT64_MAX;

		reset();
		srtpidx_accept(&s, t[i].top);
		(void)srtpidx_estimate(&s, t[i].seq, &at);
		if (at != t[i].want)
			check_note(__FILE__, __LINE__, "row %u", i);
		CHECK_EQ(at, t[i].want);
	}
}

static void first_packet(void)
{
	uint64_t at;

	reset();
	CHECK_EQ(srtpidx_estimate(&s, 0xfffd, &at), 0);
	CHECK_EQ(at, 0xfffd);
	CHECK(!s.started); // estimating keeps nothing
	CHECK_EQ(take(0xfffd, &at), 0);
	CHECK_EQ(take(0x0003, &at), 0);
	CHECK_EQ(at, 0x10003);
}

// Sender begins at 65533, the first ten packets are lost, ROC is already 1 when we hear of it.
static void wrapped_before_first(void)
{
	uint64_t at;

	reset();
	CHECK_EQ(srtpidx_estimate(&s, 7, &at), 0);
	CHECK_EQ(at, 7); // does not authenticate
	CHECK(srtpidx_trial(&s, 7, &at));
	CHECK_EQ(at, 0x10007);
	srtpidx_accept(&s, at);
	CHECK_EQ(take(8, &at), 0);
	CHECK_EQ(at, 0x10008);
	CHECK_EQ(take(0xffff, &at), 0); // late from before the wrap
	CHECK_EQ(at, 0xffff);
	CHECK(!srtpidx_trial(&s, 9, &at)); // only for the first packet
}

static void trial_limits(void)
{
	uint64_t at;

	reset();
	CHECK(srtpidx_trial(&s, 0x1fff, &at));
	CHECK(!srtpidx_trial(&s, 0x2000, &at));
	CHECK(!srtpidx_trial(&s, 0xffff, &at));
}

// Through wraps with reordering up to 1000, duplicates, and losses of 30000: always the right index.
static void random_walk(void)
{
	enum { N = 400000 };
	uint64_t next = 1 + 0x7ffe, n_dup = 0;

	rand_seed(4);
	reset();
	for (unsigned i = 0; i < N; i++) {
		uint32_t r = rand_u32();
		uint64_t index;

		if (r % 5000 == 0)
			next += rand_u32() % 30000;
		index = next;
		if (r % 10 == 1 && next > 2000)
			index -= 1 + rand_u32() % 1000;
		else
			next++;
		uint64_t at = 0;
		int rc = srtpidx_estimate(&s, (uint16_t)index, &at);
		n_dup += rc == -EALREADY;
		if (rc != -ERANGE)
			CHECK_OR_RETURN(at == index);
		if (rc == 0)
			srtpidx_accept(&s, at);
	}
	CHECK(s.top > 5 * 65536);
	CHECK(n_dup > 1000);
	rand_seed(0);
}

// The ring agrees with a list of everything that was ever taken.
static void window_against_model(void)
{
	enum { SPACE = 20000 };
	bool *seen = calloc(SPACE, sizeof(bool));
	uint64_t top = 0;
	bool any = false;

	rand_seed(6);
	reset();
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t index = top + rand_u32() % 6, back = rand_u32() % 1100;
		int want, got;

		if (rand_u32() % 3 == 0)
			index = top > back ? top - back : top;
		if (index >= SPACE)
			break;
		want = !any || index > top ? 0 : top - index >= W ? -ERANGE : seen[index] ? -EALREADY : 0;
		got = recv_index(index);
		CHECK_OR_RETURN(got == want);
		if (got == 0) {
			seen[index] = any = true;
			top = index > top ? index : top;
		}
	}
	CHECK(top > SPACE / 2);
	free(seen);
	rand_seed(0);
}

static void big_loss(void)
{
	uint64_t at;

	reset();
	CHECK_EQ(take(100, &at), 0);
	// 40000 later the estimate is a roll-over short: authentication will fail, nothing else happens.
	CHECK_EQ(srtpidx_estimate(&s, (uint16_t)(100 + 40000), &at), -ERANGE);
	CHECK_EQ(s.top, 100);
}

static void replay_edges(void)
{
	uint64_t at;

	reset();
	for (uint32_t i = 0; i < 3000; i++)
		CHECK_OR_RETURN(take((uint16_t)i, &at) == 0);
	for (uint32_t i = 0; i < 3000; i++)
		CHECK_OR_RETURN(srtpidx_estimate(&s, (uint16_t)i, &at) ==
				(2999 - i >= W ? -ERANGE : -EALREADY));
}

#define R(n, index, want)                                                           \
	do {                                                                        \
		int got_ = srtcpidx_check(&c, index);                               \
		if (got_ != (want))                                                 \
			check_note(__FILE__, __LINE__, "case %d: got %d", n, got_); \
		CHECK(got_ == (want));                                              \
		if (got_ == 0)                                                      \
			srtcpidx_accept(&c, index);                                 \
	} while (0)

static void rtcp_window(void)
{
	struct srtcpidx c = {};

	R(1, 5, 0);
	R(2, 5, -EALREADY);
	R(3, 4, 0);
	R(4, 132, 0);
	R(5, 5, -EALREADY); // 127 behind
	R(6, 4, -ERANGE);   // 128 behind
	R(7, 133, 0);
	R(8, 5, -ERANGE);
	R(9, 6, 0);
	R(10, 0x7fffffff, 0);
	R(11, 0x7fffffff, -EALREADY);
	R(12, 0x7ffffffe, 0);
	R(13, 0, -ERANGE); // wrapped: the session is over
	R(14, 0x7fffffff - 127, 0);
	R(15, 0x7fffffff - 128, -ERANGE);
}

CU_TestInfo srtpidx_tests[] = {
	{"replay window: 36 numbered cases", window_cases},
	{"replay window across the 16-bit wrap", window_across_wrap},
	{"RFC 3711 appendix A: estimates around the halves", estimate_cases},
	{"the first packet starts at roll-over counter 0 and estimating keeps nothing", first_packet},
	{"ten packets lost from 65533 on: one trial with counter 1, in step afterwards",
	 wrapped_before_first},
	{"the trial is for small first numbers only", trial_limits},
	{"wraps with reordering by 1000 and losses of 30000 keep the index right", random_walk},
	{"the window ring agrees with a list of all packets", window_against_model},
	{"a loss of 40000 is refused and changes nothing", big_loss},
	{"replays 0 to 1023 old are seen, 1024 old are too old", replay_edges},
	{"SRTCP window: 15 numbered cases", rtcp_window},
	CU_TEST_INFO_NULL,
};
