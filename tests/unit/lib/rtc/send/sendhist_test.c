#include "lib/rtc/send/sendhist.h"

#include "tests/unit/check.h"

#include <errno.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"

#define MS NS_PER_MS

static struct sendhist h;
static struct sendhist_slot slots[256];
static struct twcc_log rx;
static uint32_t rx_ring[1024];

// FCI: base, count, reference time, fb count; run-length chunk of n received (1) with small deltas of 1 ms.
static struct rtcp_fb feedback(uint8_t *b, uint16_t base, uint16_t n, uint32_t ref, bool is_received)
{
	be16_put(b, base);
	be16_put(b + 2, n);
	be32_put(b + 4, ref << 8);
	be16_put(b + 8, (uint16_t)((is_received ? 0x2000 : 0) | n));
	memset(b + 10, 4, is_received ? n : 0);
	return (struct rtcp_fb){.fci = b, .fci_len = (uint16_t)(10 + (is_received ? n : 0))};
}

static unsigned read_all(const struct rtcp_fb *fb, ns_t now, struct sendhist_ack *a, unsigned max)
{
	struct sendhist_iter it;
	unsigned n = 0;

	if (sendhist_begin(&h, &it, fb) < 0)
		return 0;
	while (n < max && sendhist_next(&h, &it, now, &a[n]))
		n++;
	return n;
}

static void begin(unsigned n_packets)
{
	sendhist_init(&h, slots, ARRAY_LEN(slots));
	for (unsigned i = 0; i < n_packets; i++)
		CHECK_EQ(sendhist_add(&h, (uint16_t)(100 + i), i == 3, 1000 * NS_PER_S + i * MS), i);
}

static void once_each(void)
{
	struct sendhist_ack a[64];
	uint8_t b[256];
	struct rtcp_fb fb;

	begin(10);
	fb = feedback(b, 0, 5, 10, true);
	CHECK_EQ(read_all(&fb, 1001 * NS_PER_S, a, 64), 5);
	CHECK_EQ(a[3].sent_us, 1000003000);
	CHECK_EQ(a[3].arrival_us, 644000);
	CHECK_EQ(a[3].n_bytes, 103);
	CHECK_EQ(a[3].cluster, 1);
	CHECK_EQ(a[3].event, SENDHIST_ACKED);
	CHECK_EQ(read_all(&fb, 1001 * NS_PER_S, a, 64), 0); // repeated
	fb = feedback(b, 3, 5, 10, false);
	CHECK_EQ(read_all(&fb, 1001 * NS_PER_S, a, 64), 3); // 5, 6, 7: the others did arrive
	CHECK_EQ(a[0].n_bytes, 105);
	CHECK_EQ(a[0].event, SENDHIST_LOST);
	CHECK_EQ(read_all(&fb, 1001 * NS_PER_S, a, 64), 0);
	fb = feedback(b, 5, 2, 10, true);
	CHECK_EQ(read_all(&fb, 1001 * NS_PER_S, a, 64), 2);
	CHECK_EQ(a[1].event, SENDHIST_LATE);
}

static void never_sent(void)
{
	struct sendhist_ack a[64];
	struct sendhist_iter it;
	uint8_t b[256];
	struct rtcp_fb fb;

	begin(0);
	fb = feedback(b, 0, 5, 10, true);
	CHECK_EQ(sendhist_begin(&h, &it, &fb), -ERANGE);
	begin(10);
	fb = feedback(b, 10, 5, 10, true);
	CHECK_EQ(sendhist_begin(&h, &it, &fb), -ERANGE); // the future
	fb = feedback(b, 8, 5, 10, true);
	CHECK_EQ(read_all(&fb, 1001 * NS_PER_S, a, 64), 2);
	fb = feedback(b, 0xfff0, 5, 10, true);
	CHECK_EQ(sendhist_begin(&h, &it, &fb), -ERANGE); // before the first
	fb.fci_len = 9;
	CHECK_EQ(sendhist_begin(&h, &it, &fb), -EBADMSG);
	begin(256 + 20);
	fb = feedback(b, 15, 10, 10, true);
	CHECK_EQ(read_all(&fb, 1001 * NS_PER_S, a, 64), 5); // 20..24 are still known
}

static void arrival_wraps(void)
{
	struct sendhist_ack a[4];
	uint8_t b[64];
	struct rtcp_fb fb;
	int64_t before;

	begin(4);
	fb = feedback(b, 0, 1, 0xffffff, true);
	CHECK_EQ(read_all(&fb, 1001 * NS_PER_S, a, 4), 1);
	before = a[0].arrival_us;
	fb = feedback(b, 1, 1, 1, true);
	CHECK_EQ(read_all(&fb, 1001 * NS_PER_S, a, 4), 1);
	CHECK_EQ(a[0].arrival_us - before, 2 * 64000);
}

// A lossy way with reordering, the real log on the other side, feedback lost and doubled: every packet has at most one
// first news, its bytes and times are its own.
static void real_log(void)
{
	enum { N = 100000 };
	static uint8_t seen[N];
	static ns_t sent_at[N];
	unsigned n_acked = 0, n_lost = 0, n_late = 0;
	uint32_t delayed = 0;
	bool has_delayed = false;

	memset(seen, 0, sizeof(seen));
	rand_seed(12);
	sendhist_init(&h, slots, ARRAY_LEN(slots));
	twcc_log_init(&rx, rx_ring, ARRAY_LEN(rx_ring), 50 * MS);
	for (uint32_t i = 0; i < N; i++) {
		ns_t now = 5 * NS_PER_S + i * 2 * MS;

		sent_at[i] = now;
		CHECK_OR_RETURN(sendhist_add(&h, (uint16_t)(i % 1000), 0, now) == (uint16_t)i);
		if (has_delayed && i - delayed > 40) {
			twcc_log_add(&rx, (uint16_t)delayed, now);
			has_delayed = false;
		}
		if (rand_u32() % 50 == 0) {
			if (!has_delayed) {
				delayed = i;
				has_delayed = true;
			}
			continue;
		}
		twcc_log_add(&rx, (uint16_t)i, now);
		if (now < twcc_log_due(&rx))
			continue;
		uint8_t msg[TWCC_MAX_MSG];
		struct wbuf w = wbuf_of(msg, sizeof(msg));
		struct rtcp_iter ri;
		struct rtcp_pkt pkt;
		struct rtcp_fb fb;
		struct sendhist_iter it;
		struct sendhist_ack a;
		CHECK_OR_RETURN(twcc_log_write(&rx, &w, 1, 2, now) > 0);
		if (rand_u32() % 20 == 0)
			continue; // feedback lost
		for (unsigned twice = rand_u32() % 2; twice < 2; twice++) {
			rtcp_begin(&ri, msg, wbuf_len(&w));
			CHECK_OR_RETURN(rtcp_next(&ri, &pkt) && rtcp_fb_read(&pkt, &fb) == 0);
			CHECK_OR_RETURN(sendhist_begin(&h, &it, &fb) == 0);
			while (sendhist_next(&h, &it, now, &a)) {
				int64_t k = (a.sent_us * NS_PER_US - 5 * NS_PER_S) / (2 * MS);
				CHECK_OR_RETURN(k >= 0 && k <= i && a.n_bytes == k % 1000);
				CHECK_OR_RETURN(sent_at[k] / NS_PER_US == a.sent_us);
				CHECK_OR_RETURN(seen[k] == (a.event == SENDHIST_LATE ? 2 : 0));
				seen[k] = a.event == SENDHIST_LOST ? 2 : 1;
				n_acked += a.event == SENDHIST_ACKED;
				n_lost += a.event == SENDHIST_LOST;
				n_late += a.event == SENDHIST_LATE;
			}
		}
	}
	CHECK(n_acked > N * 9 / 10);
	CHECK(n_lost > N / 70 && n_lost < N / 30);
	CHECK(n_late > 100);
	rand_seed(0);
}

CU_TestInfo sendhist_tests[] = {
	{"each packet is news once, a late one corrects its loss", once_each},
	{"feedback about what was never sent or is forgotten is ignored", never_sent},
	{"arrival times go on over the wrap of their reference", arrival_wraps},
	{"100000 packets through a lossy way and the real log", real_log},
	CU_TEST_INFO_NULL,
};
