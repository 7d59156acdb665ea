#include "lib/rtc/send/tsalign.h"

#include "tests/unit/check.h"

#include "lib/base/rand.h"
#include "lib/rtc/wire/rtp.h"

#define HZ 90000
#define MS NS_PER_MS
#define NTP0 (UINT64_C(0xe0000000) << 32)

// Two layers of one camera; at time t (ns since the beginning) they show t plus their own base.
static const uint32_t base[2] = {0xffffff00, 0x12345678};
static struct tsalign a;
static struct sr_map map[2];
static uint32_t offset;

static uint32_t ts_at(unsigned layer, ns_t t)
{
	return base[layer] + (uint32_t)(t * 9 / 100000);
}

static void report(unsigned layer, ns_t t)
{
	map[layer] = (struct sr_map){.ntp = NTP0 + ((uint64_t)t / NS_PER_S << 32) +
					    ((uint64_t)t % NS_PER_S << 32) / NS_PER_S,
				     .rtp = ts_at(layer, t),
				     .clock_hz = HZ,
				     .valid = true};
}

static void begin(void)
{
	a = (struct tsalign){};
	memset(map, 0, sizeof(map));
}

// Switch from `from` at time t; the first frame of the other layer shows an instant `behind` earlier.
static enum tsalign_verdict change(unsigned from, uint32_t cur, ns_t t, ns_t behind, ns_t idle)
{
	return tsalign_switch(&a,
			      &(struct tsalign_in){.from = &map[from],
						   .to = &map[!from],
						   .layer = !from,
						   .ts = ts_at(!from, t - behind),
						   .offset = cur,
						   .last_ts = ts_at(from, t - idle) + cur,
						   .last_sent = t - idle,
						   .clock_hz = HZ,
						   .now = t},
			      &offset);
}

static void exact(void)
{
	begin();
	report(0, 1000 * MS);
	report(1, 1700 * MS);
	CHECK_EQ(change(0, 77, 5000 * MS, 0, 33 * MS), TSALIGN_OK);
	CHECK_EQ((uint32_t)(ts_at(1, 9000 * MS) + offset), (uint32_t)(ts_at(0, 9000 * MS) + 77));
	// and back: no error adds up
	uint32_t there = offset;
	CHECK_EQ(change(1, there, 6000 * MS, 0, 33 * MS), TSALIGN_OK);
	CHECK_EQ(offset, 77);
}

static void no_report(void)
{
	begin();
	report(0, 1000 * MS);
	CHECK_EQ(change(0, 0, 5000 * MS, 0, 33 * MS), TSALIGN_WAIT);
	CHECK_EQ(change(0, 0, 6000 * MS, 0, 33 * MS), TSALIGN_WAIT);
	CHECK_EQ(change(0, 0, 6500 * MS, 0, 33 * MS), TSALIGN_OK);
	CHECK_EQ((uint32_t)(ts_at(1, 6500 * MS) + offset), ts_at(0, 6500 * MS));
}

// A frame that shows an instant a little before the last one sent: one step forward, and the exact offset is not
// forgotten.
static void slightly_behind(void)
{
	uint32_t last;

	begin();
	report(0, 1000 * MS);
	report(1, 1000 * MS);
	CHECK_EQ(change(0, 0, 5000 * MS, 60 * MS, 20 * MS), TSALIGN_OK); // 40 ms behind
	last = ts_at(0, 4980 * MS);
	CHECK_EQ((uint32_t)(ts_at(1, 4940 * MS) + offset), last + 90);
	CHECK_EQ(change(1, offset, 8000 * MS, -100 * MS, 33 * MS), TSALIGN_OK);
	CHECK_EQ(offset, 0);
}

static void far_behind(void)
{
	begin();
	report(0, 1000 * MS);
	report(1, 1000 * MS);
	CHECK_EQ(change(0, 0, 5000 * MS, 133 * MS, 33 * MS), TSALIGN_RETRY);
	CHECK_EQ(change(0, 0, 5500 * MS, 133 * MS, 33 * MS), TSALIGN_OK);
	CHECK_EQ((uint32_t)(ts_at(1, 5367 * MS) + offset), ts_at(0, 5467 * MS) + 90);
}

static void wrong_report(void)
{
	begin();
	report(0, 1000 * MS);
	report(1, 1000 * MS);
	map[1].rtp -= 10 * HZ; // 10 s ahead
	CHECK_EQ(change(0, 0, 5000 * MS, 0, 33 * MS), TSALIGN_OK);
	CHECK_EQ((uint32_t)(ts_at(1, 5000 * MS) + offset), ts_at(0, 5000 * MS));
	begin();
	report(0, 1000 * MS);
	report(1, 1000 * MS);
	map[1].rtp += 10 * HZ; // 10 s behind
	CHECK_EQ(change(0, 0, 5000 * MS, 0, 33 * MS), TSALIGN_RETRY);
	CHECK_EQ(change(0, 0, 6000 * MS, 0, 33 * MS), TSALIGN_OK);
	CHECK_EQ((uint32_t)(ts_at(1, 6000 * MS) + offset), ts_at(0, 6000 * MS));
}

// The publisher's clock was set between the two reports: they say nothing about each other.
static void other_era(void)
{
	begin();
	report(0, 1000 * MS);
	report(1, 1000 * MS);
	map[1].era = 1;
	CHECK_EQ(change(0, 0, 5000 * MS, 0, 33 * MS), TSALIGN_WAIT);
}

// 1000 switches with lag, idle times and missing reports: never back, never 300 ms ahead of time.
static void thousand(void)
{
	uint32_t cur = 5;
	unsigned on = 0, n = 0;
	ns_t t = 5000 * MS;

	rand_seed(23);
	begin();
	for (unsigned i = 0; i < 3000; i++) {
		ns_t idle = (ns_t)(rand_u32() % 500) * MS, behind = (ns_t)(rand_u32() % 120) * MS;
		uint32_t last = ts_at(on, t - idle) + cur, first;

		report(0, t - (ns_t)(rand_u32() % 2000) * MS);
		report(1, t - (ns_t)(rand_u32() % 2000) * MS);
		if (rand_u32() % 10 == 0)
			map[1].valid = false;
		if (change(on, cur, t, behind, idle) == TSALIGN_OK) {
			first = ts_at(!on, t - behind) + offset;
			CHECK_OR_RETURN(seq32_diff(first, last) > 0);
			CHECK_OR_RETURN(seq32_diff(first, last) <= (idle / MS + 300) * 90);
			cur = offset;
			on = !on;
			n++;
		}
		t += (ns_t)(700 + rand_u32() % 2000) * MS;
	}
	CHECK(n > 1000);
	rand_seed(0);
}

CU_TestInfo tsalign_tests[] = {
	{"sender reports of both layers give the exact offset, there and back", exact},
	{"without a report the switch waits 1.5 s, then arrival times count", no_report},
	{"a frame a little behind goes one step forward, the debt is not carried on", slightly_behind},
	{"a layer that lags 100 ms is asked for another key frame once", far_behind},
	{"a report that is wrong by 10 s moves nothing", wrong_report},
	{"reports from before and after a step of the publisher's clock do not match", other_era},
	{"1000 switches: timestamps never run back nor far ahead", thousand},
	CU_TEST_INFO_NULL,
};
