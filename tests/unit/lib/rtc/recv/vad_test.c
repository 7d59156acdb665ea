#include "lib/rtc/recv/vad.h"

#include "tests/unit/check.h"

#include <math.h>
#include <stdbool.h>

#include "lib/base/rand.h"

// The rule of docs/ipc.md ("Voice activity") in floating point.
struct model {
	uint8_t ring[50];
	unsigned n;
	bool on;
	ns_t t_on;
};

static enum vad_change model_push(struct model *m, uint8_t level, ns_t now)
{
	double sum = 0, sq = 0;
	uint8_t avg, dev;

	m->ring[m->n++ % 50] = level;
	if (m->n <= 50)
		return VAD_SAME;
	for (unsigned i = 0; i < 50; i++)
		sum += m->ring[i];
	avg = (uint8_t)round(sum / 50);
	for (unsigned i = 0; i < 50; i++)
		sq += (m->ring[i] - avg) * (m->ring[i] - avg);
	dev = (uint8_t)round(sqrt(sq / 49));
	if (!m->on && dev > 10) {
		m->on = true;
		m->t_on = now;
		return VAD_ON;
	}
	if (m->on && dev < 4 && now - m->t_on >= 2 * NS_PER_S) {
		m->on = false;
		return VAD_OFF;
	}
	return VAD_SAME;
}

static void same_as_model(void)
{
	struct vad v = {};
	struct model m = {};
	unsigned n_changes = 0;
	ns_t now = 0;

	rand_seed(9);
	for (unsigned i = 0, base = 60, spread = 1; i < 300000; i++) {
		if (rand_u32() % 120 == 0) { // speech, silence and what lies between
			base = rand_u32() % 128;
			spread = 1 + rand_u32() % 40;
		}
		uint8_t level = (uint8_t)((base + rand_u32() % spread) % 128);
		enum vad_change got = vad_push(&v, level, now), want = model_push(&m, level, now);
		CHECK_OR_RETURN(got == want);
		n_changes += got != VAD_SAME;
		now += 20 * NS_PER_MS;
	}
	CHECK(n_changes > 500);
	rand_seed(0);
}

// Push n packets of 20 ms each alternating between two levels; changes seen last, times advanced.
static enum vad_change feed(struct vad *v, ns_t *now, unsigned n, uint8_t a, uint8_t b)
{
	enum vad_change last = VAD_SAME;

	for (unsigned i = 0; i < n; i++) {
		enum vad_change c = vad_push(v, i % 2 ? a : b, *now);
		*now += 20 * NS_PER_MS;
		if (c != VAD_SAME)
			last = c;
	}
	return last;
}

static void ring_fills_first(void)
{
	struct vad v = {};
	ns_t now = 0;

	CHECK_EQ(feed(&v, &now, 50, 0, 127), VAD_SAME);
	CHECK_EQ(feed(&v, &now, 1, 0, 127), VAD_ON);
}

static void loud_is_not_talking(void)
{
	struct vad v = {};
	ns_t now = 0;

	CHECK_EQ(feed(&v, &now, 500, 0, 0), VAD_SAME); // level 0: as loud as can be, but constant
	CHECK(!v.on);
}

static void minimum_time(void)
{
	struct vad v = {};
	ns_t now = 0, on_at;

	feed(&v, &now, 50, 20, 60);
	on_at = now;
	CHECK_EQ(vad_push(&v, 20, now), VAD_ON);
	for (unsigned i = 0; i < 400 && v.on; i++) { // silent from now on
		now += 20 * NS_PER_MS;
		(void)vad_push(&v, 127, now);
	}
	CHECK(!v.on);
	CHECK_EQ((now - on_at) / NS_PER_MS, 2000);
}

static void thresholds(void)
{
	// 25 levels a, 25 levels b: S = 50 * ((a - b) / 2)^2 for even distance, mean exact.
	struct vad v = {};
	ns_t now = 0;

	feed(&v, &now, 51, 40, 60); // S = 5000, dev = round(10.10) = 10: not above 10
	CHECK(!v.on);
	vad_reset(&v);
	feed(&v, &now, 51, 40, 62); // S = 6050, dev = round(11.1) = 11
	CHECK(v.on);
	feed(&v, &now, 200, 40,
	     47); // mean 43.5 -> 44, S = 25 * 16 + 25 * 9 = 625, dev = round(3.57) = 4: stays
	CHECK(v.on);
	CHECK_EQ(feed(&v, &now, 200, 40, 46), VAD_OFF); // S = 450, dev = 3
}

static void mute_emits_once(void)
{
	struct vad v = {};
	ns_t now = 0;

	CHECK_EQ(vad_reset(&v), VAD_SAME); // never on: nothing to say
	feed(&v, &now, 60, 20, 80);
	CHECK(v.on);
	CHECK_EQ(vad_reset(&v), VAD_OFF);
	CHECK_EQ(vad_reset(&v), VAD_SAME);
	CHECK_EQ(feed(&v, &now, 50, 20, 80), VAD_SAME); // the ring was cleared
	CHECK_EQ(feed(&v, &now, 1, 20, 80), VAD_ON);
}

CU_TestInfo vad_tests[] = {
	{"300000 packets: the same decisions as the rule in floating point", same_as_model},
	{"the first 50 levels only fill the ring", ring_fills_first},
	{"constant loudness is not talking", loud_is_not_talking},
	{"talking is shown for at least two seconds", minimum_time},
	{"deviation must be above 10 to begin and below 4 to end", thresholds},
	{"D44: mute reports voice off only when it was on, and only once", mute_emits_once},
	CU_TEST_INFO_NULL,
};
