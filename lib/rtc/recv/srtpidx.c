// Index estimate (RFC 3711 appendix A, on 64-bit integers instead of ROC and s_l) and windows kept as rings
// of bits: bit (index mod window) tells whether index was seen, so that moving on clears bits instead of
// shifting words.
#include "lib/rtc/recv/srtpidx.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static bool bit_get(const uint64_t *seen, uint32_t window, uint64_t index)
{
	uint32_t i = (uint32_t)index & (window - 1);

	return seen[i / 64] >> (i % 64) & 1;
}

static void bit_set(uint64_t *seen, uint32_t window, uint64_t index)
{
	uint32_t i = (uint32_t)index & (window - 1);

	seen[i / 64] |= UINT64_C(1) << (i % 64);
}

// Forget the bits of (from, to], which become the newest part of the window.
static void bits_clear(uint64_t *seen, uint32_t window, uint64_t from, uint64_t to)
{
	if (to - from >= window) {
		memset(seen, 0, window / 8);
		return;
	}
	for (uint64_t i = from + 1; i <= to; i++) {
		uint32_t at = (uint32_t)i & (window - 1);
		seen[at / 64] &= ~(UINT64_C(1) << (at % 64));
	}
}

static int window_check(const uint64_t *seen, uint32_t window, uint64_t top, uint64_t index)
{
	if (index > top)
		return 0;
	if (top - index >= window)
		return -ERANGE;
	return bit_get(seen, window, index) ? -EALREADY : 0;
}

int srtpidx_estimate(const struct srtpidx *s, uint16_t seq, uint64_t *index)
{
	uint16_t s_l = (uint16_t)s->top;
	uint64_t roc = s->top >> 16;

	if (!s->started) {
		*index = seq;
		return 0;
	}
	if (s_l < 0x8000) {
		if (seq - s_l > 0x8000) {
			if (roc == 0)
				return -ERANGE;
			roc--;
		}
	} else if (s_l - 0x8000 > seq) {
		roc++;
	}
	if (roc > UINT32_MAX)
		return -ERANGE; // 2^48 packets under one key: RFC 3711 section 9.2
	*index = roc << 16 | seq;
	return window_check(s->seen, SRTPIDX_WINDOW, s->top, *index);
}

bool srtpidx_trial(const struct srtpidx *s, uint16_t seq, uint64_t *index)
{
	if (s->started || seq >= SRTPIDX_TRIAL_SEQ)
		return false;
	*index = UINT64_C(1) << 16 | seq;
	return true;
}

void srtpidx_accept(struct srtpidx *s, uint64_t index)
{
	if (!s->started) {
		memset(s->seen, 0, sizeof(s->seen));
		s->started = true;
		s->top = index;
	} else if (index > s->top) {
		bits_clear(s->seen, SRTPIDX_WINDOW, s->top, index);
		s->top = index;
	}
	assert(s->top - index < SRTPIDX_WINDOW);
	bit_set(s->seen, SRTPIDX_WINDOW, index);
}

void srtpidx_restore(struct srtpidx *s, uint64_t top)
{
	assert(top >> 48 == 0);
	*s = (struct srtpidx){.top = top, .started = true};
	memset(s->seen, 0xff, sizeof(s->seen));
}

int srtcpidx_check(const struct srtcpidx *s, uint32_t index)
{
	if (!s->started)
		return 0;
	return window_check(s->seen, SRTCPIDX_WINDOW, s->top, index);
}

void srtcpidx_accept(struct srtcpidx *s, uint32_t index)
{
	if (!s->started) {
		memset(s->seen, 0, sizeof(s->seen));
		s->started = true;
		s->top = index;
	} else if (index > s->top) {
		bits_clear(s->seen, SRTCPIDX_WINDOW, s->top, index);
		s->top = index;
	}
	assert(s->top - index < SRTCPIDX_WINDOW);
	bit_set(s->seen, SRTCPIDX_WINDOW, index);
}

void srtcpidx_restore(struct srtcpidx *s, uint32_t top)
{
	*s = (struct srtcpidx){.top = top, .started = true};
	memset(s->seen, 0xff, sizeof(s->seen));
}
