#include "lib/rtc/wire/twcc.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/rand.h"

#define MS NS_PER_MS
#define RING 1024

static uint32_t ring[4096];
static struct twcc_log l;

// Feedback of a message, checked to be one RTCP packet.
static int open_msg(const uint8_t *p, size_t len, struct twcc_fb *f)
{
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	struct rtcp_fb fb;

	rtcp_begin(&it, p, len);
	CHECK(rtcp_next(&it, &pkt));
	CHECK(!rtcp_next(&it, &pkt) && !it.bad);
	CHECK(pkt.pt == RTCP_RTPFB && pkt.count == RTPFB_TWCC);
	CHECK_EQ(rtcp_fb_read(&pkt, &fb), 0);
	return twcc_fb_begin(f, &fb);
}

// Next message of the log as text "base: seq@ms seq@ms -seq ...", ms to two digits relative to t0.
static const char *next_msg(ns_t now, ns_t t0)
{
	static char text[4096];
	uint8_t buf[TWCC_MAX_MSG];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	int len = twcc_log_write(&l, &w, 1, 2, now);
	struct twcc_status st;
	struct twcc_fb f;
	size_t n;

	if (len <= 0)
		return len == 0 ? "none" : "error";
	CHECK_EQ((size_t)len, wbuf_len(&w));
	CHECK_EQ(open_msg(buf, (size_t)len, &f), 0);
	n = (size_t)snprintf(text, sizeof(text), "%u:", f.base);
	while (twcc_fb_next(&f, &st)) {
		double ms = ((double)st.arrival_us * 1e3 - (double)t0) / 1e6;
		if (st.is_received)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %u@%.2f", st.seq, ms);
		else
			n += (size_t)snprintf(text + n, sizeof(text) - n, " -%u", st.seq);
	}
	return text;
}

static void golden(void)
{
	// Arrivals 64 ms * 5 + {1, 2.25, 3 (after a hole), 400} ms.
	static const uint8_t want[] = {
		0xaf, 205,  0, 6,    0,    0, 0, 1, 0, 0, 0, 2, // header with padding, SSRCs
		0,    10,   0, 5,                               // base, count
		0,    0,    5, 0,                               // reference time, count of feedback
		0xd4, 0x60,                                     // 2-bit vector: small small lost small large
		4,    5,    3, 0x06, 0x34, 1,                   // 250 us each; 397 ms = 1588; padding of 1
	};
	uint8_t buf[64];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	ns_t t = 5 * 64 * MS;

	twcc_log_init(&l, ring, RING, 0);
	twcc_log_add(&l, 10, t + 1 * MS);
	twcc_log_add(&l, 11, t + 2250 * NS_PER_US);
	twcc_log_add(&l, 13, t + 3 * MS);
	twcc_log_add(&l, 14, t + 400 * MS);
	CHECK_EQ(twcc_log_write(&l, &w, 1, 2, t + 401 * MS), sizeof(want));
	CHECK_MEM(buf, want, sizeof(want));
}

static void golden_run(void)
{
	static const uint8_t head[] = {0xff, 0xf8, 0, 20, 0, 0, 2, 0, 0x20, 20}; // 20 small as one run
	uint8_t buf[128];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	ns_t t = 2 * 64 * MS;
	int len;

	twcc_log_init(&l, ring, RING, 0);
	for (unsigned i = 0; i < 20; i++)
		twcc_log_add(&l, (uint16_t)(65528 + i), t + i * MS);
	len = twcc_log_write(&l, &w, 1, 2, t + 20 * MS);
	CHECK_EQ(len, 12 + 10 + 20 + 2);
	CHECK_MEM(buf + 12, head, sizeof(head));
}

static void holes_and_reorder(void)
{
	ns_t t = 64 * MS;

	twcc_log_init(&l, ring, RING, 0);
	twcc_log_add(&l, 65534, t);
	twcc_log_add(&l, 1, t + 2 * MS);
	twcc_log_add(&l, 65535, t + 3 * MS); // late, after the wrap was seen
	twcc_log_add(&l, 1, t + 9 * MS);     // duplicate keeps its first time
	CHECK_STR(next_msg(t + 10 * MS, t), "65534: 65534@0.00 65535@3.00 -0 1@2.00");
	CHECK_STR(next_msg(t + 10 * MS, t), "none");
}

static void late_is_reported_again(void)
{
	ns_t t = 64 * MS;

	twcc_log_init(&l, ring, RING, 0);
	twcc_log_add(&l, 1, t);
	twcc_log_add(&l, 3, t + 2 * MS);
	CHECK_STR(next_msg(t + 10 * MS, t), "1: 1@0.00 -2 3@2.00");
	twcc_log_add(&l, 2, t + 20 * MS);
	twcc_log_add(&l, 4, t + 21 * MS);
	CHECK_STR(next_msg(t + 30 * MS, t), "2: 2@20.00 3@2.00 4@21.00"); // 3 is not reported as lost
	twcc_log_add(&l, 6, t + 40 * MS);
	CHECK_STR(next_msg(t + 50 * MS, t), "5: -5 6@40.00");
	twcc_log_add(&l, 5, t + 1000 * MS); // too late to matter
	CHECK_STR(next_msg(t + 1000 * MS, t), "none");
	twcc_log_add(&l, 7, t + 1001 * MS);
	CHECK_STR(next_msg(t + 1001 * MS, t), "7: 7@1001.00");
}

static void restarts(void)
{
	ns_t t = 64 * MS;

	twcc_log_init(&l, ring, RING, 0);
	twcc_log_add(&l, 1, t);
	twcc_log_add(&l, 3000, t + 1 * MS); // a jump: begin anew
	CHECK_STR(next_msg(t + 10 * MS, t), "3000: 3000@1.00");
	twcc_log_add(&l, 20000, t + 12 * MS);
	twcc_log_add(&l, 100, t + 13 * MS); // sender began from the start
	CHECK_STR(next_msg(t + 20 * MS, t), "100: 100@13.00");
}

static void delta_ends_message(void)
{
	ns_t t = 64 * MS;

	twcc_log_init(&l, ring, RING, 0);
	twcc_log_add(&l, 1, t);
	twcc_log_add(&l, 2, t + 9000 * MS); // 36000 ticks do not fit 16 bits
	CHECK_STR(next_msg(t + 9001 * MS, t), "1: 1@0.00");
	CHECK_STR(next_msg(t + 9001 * MS, t), "2: 2@9000.00");
	CHECK_STR(next_msg(t + 9001 * MS, t), "none");
}

static void timing(void)
{
	ns_t t = 1000 * MS;

	twcc_log_init(&l, ring, RING, 0);
	CHECK(twcc_log_due(&l) == NS_NEVER);
	twcc_log_add(&l, 1, t);
	CHECK_EQ(twcc_log_due(&l), t + 100 * MS);
	next_msg(t + 100 * MS, 0);
	CHECK(twcc_log_due(&l) == NS_NEVER);
	twcc_log_add(&l, 2, t + 110 * MS);
	CHECK_EQ(twcc_log_due(&l), t + 200 * MS);
	for (unsigned i = 3; i < 103; i++)
		twcc_log_add(&l, (uint16_t)i, t + 120 * MS);
	CHECK(twcc_log_due(&l) <= t + 120 * MS); // 100 packets do not wait
}

static void no_room(void)
{
	uint8_t buf[TWCC_MAX_MSG];
	struct wbuf w = wbuf_of(buf, 23);

	twcc_log_init(&l, ring, RING, 0);
	twcc_log_add(&l, 1, 64 * MS);
	CHECK_EQ(twcc_log_write(&l, &w, 1, 2, 65 * MS), -ENOSPC);
	CHECK_EQ(wbuf_len(&w), 0);
	w = wbuf_of(buf, 24);
	CHECK_EQ(twcc_log_write(&l, &w, 1, 2, 65 * MS), 24); // nothing was lost
}

// Truth of a random run, and what the reports of it said.
struct truth {
	bool arrived, reported;
	int64_t tick;
};

static void check_report(struct truth *truth, uint32_t n, uint32_t base, struct twcc_fb *f, ns_t now,
			 unsigned round)
{
	struct twcc_status st;
	uint32_t first = base;

	while (twcc_fb_next(f, &st)) {
		uint32_t i = first - (uint16_t)(first - st.seq) % 65536;
		CHECK_OR_RETURN(i < n);
		if (!st.is_received) {
			CHECK_OR_RETURN(!truth[i].reported); // never taken back
			continue;
		}
		CHECK_OR_RETURN(truth[i].arrived);
		CHECK_OR_RETURN(st.arrival_us / 250 == truth[i].tick);
		truth[i].reported = true;
	}
}

// Random loss, reordering within 20 and delay jitter, for one ring size: every packet that arrived is reported with
// its time, none that did not, none is taken back.
static void random_run(uint32_t n_slots, uint64_t seed)
{
	enum { N = 70000 };
	struct truth *truth = calloc(N, sizeof(*truth));
	ns_t now = 64 * MS;
	unsigned missing = 0;

	rand_seed(seed);
	twcc_log_init(&l, ring, n_slots, 0);
	for (uint32_t i = 0; i + 20 < N; i += 20) {
		for (unsigned k = 0; k < 20; k++) {
			uint32_t at = i + (k * 7 + i / 20) % 20;
			if (rand_u32() % 10 == 0 || at == 0)
				continue;
			now += rand_u32() % (4 * MS);
			if (k == 0 && i % 2000 == 0) // reordered across a pause, yet within the back window
				now += 300 * MS;
			twcc_log_add(&l, (uint16_t)at, now);
			truth[at].arrived = true;
			truth[at].tick = now / (250 * NS_PER_US);
		}
		while (twcc_log_due(&l) <= now) {
			uint8_t buf[TWCC_MAX_MSG];
			struct wbuf w = wbuf_of(buf, sizeof(buf));
			struct twcc_fb f;
			int len = twcc_log_write(&l, &w, 1, 2, now);
			CHECK_OR_RETURN(len > 0 && open_msg(buf, (size_t)len, &f) == 0);
			check_report(truth, N, i + 20, &f, now, i);
		}
	}
	for (uint32_t i = 0; i + 200 < N; i++)
		missing += truth[i].arrived && !truth[i].reported;
	CHECK_EQ(missing, 0);
	free(truth);
	rand_seed(0);
}

static void random_large(void)
{
	random_run(4096, 21);
	random_run(1024, 22);
}

static void random_small(void)
{
	random_run(256, 23);
}

static int parse(const uint8_t *fci, uint16_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct rtcp_fb fb = {.fci = exact, .fci_len = len};
	struct twcc_status st;
	struct twcc_fb f;
	int rc;

	memcpy(exact, fci, len);
	rc = twcc_fb_begin(&f, &fb);
	if (rc == 0)
		while (twcc_fb_next(&f, &st))
			rc++;
	free(exact);
	return rc;
}
#define PARSE(...) parse((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void malformed(void)
{
	CHECK_EQ(PARSE(0, 1, 0, 1, 0, 0, 1, 0, 0x20, 1, 4), 1);
	CHECK_EQ(PARSE(0, 1, 0, 1, 0, 0, 1, 0, 0x20, 1), -EBADMSG);          // delta missing
	CHECK_EQ(PARSE(0, 1, 0, 0, 0, 0, 1, 0), -EBADMSG);                   // no statuses
	CHECK_EQ(PARSE(0, 1, 0, 1, 0, 0, 1, 0), -EBADMSG);                   // no chunk
	CHECK_EQ(PARSE(0, 1, 0, 1, 0, 0, 1, 0, 0, 0), -EBADMSG);             // run of length 0, then nothing
	CHECK_EQ(PARSE(0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0x20, 1, 4), 1);  // skipped
	CHECK_EQ(PARSE(0, 1, 0, 1, 0, 0, 1, 0, 0x60, 1, 4, 4), -EBADMSG);    // reserved symbol in a run
	CHECK_EQ(PARSE(0, 1, 0, 1, 0, 0, 1, 0, 0xf0, 0, 4, 4, 4), -EBADMSG); // and in a vector
	CHECK_EQ(PARSE(0, 1, 0, 1, 0, 0, 1, 0, 0xd0, 3, 4, 4, 4), 1); // beyond the count nothing is looked at
	CHECK_EQ(PARSE(0, 1, 0, 2, 0, 0, 1, 0, 0x3f, 0xff, 4, 4), 2); // run longer than the count
	CHECK_EQ(PARSE(0, 1, 0xff, 0xff, 0, 0, 1, 0, 0x1f, 0xff), -EBADMSG);
	CHECK_EQ(PARSE(0, 1, 0, 1, 0, 0, 1), -EBADMSG);
}

static void negative_delta(void)
{
	static const uint8_t fci[] = {0, 1, 0, 2, 0, 0, 1, 9, 0xd8, 0, 8, 0xff, 0xfc};
	struct rtcp_fb fb = {.fci = fci, .fci_len = sizeof(fci)};
	struct twcc_status st;
	struct twcc_fb f;

	CHECK_EQ(twcc_fb_begin(&f, &fb), 0);
	CHECK_EQ(f.fb_count, 9);
	CHECK(twcc_fb_next(&f, &st) && st.arrival_us == 66000);
	CHECK(twcc_fb_next(&f, &st) && st.arrival_us == 65000);
	CHECK(!twcc_fb_next(&f, &st));
}

CU_TestInfo twcc_tests[] = {
	{"a report with hole, large delta and padding has the draft's bytes", golden},
	{"twenty packets across the wrap are one run", golden_run},
	{"reordering across the wrap, holes and duplicates", holes_and_reorder},
	{"a late packet is reported in the next message, received ones never as lost",
	 late_is_reported_again},
	{"a jump of more than 2000 starts over", restarts},
	{"a delta beyond 16 bits ends the message and starts the next", delta_ends_message},
	{"reports are due 100 ms after the last, at once after 100 packets, never without packets", timing},
	{"without room nothing is written and nothing lost", no_room},
	{"70000 packets with loss, reordering and pauses are reported exactly", random_large},
	{"the same with a ring of 256", random_small},
	{"malformed messages yield nothing", malformed},
	{"negative deltas go back in time", negative_delta},
	CU_TEST_INFO_NULL,
};
