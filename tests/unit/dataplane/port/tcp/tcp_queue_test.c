// What waits to be written to a TCP connection: who goes first when it does not drain.
#include "dataplane/port/tcp/tcp_queue.h"

#include <string.h>

#include "dataplane/port/port.h"
#include "tests/unit/check.h"

static unsigned waiting(const struct tcp_queue *q, uint8_t fill)
{
	static struct iovec iov[2048];
	unsigned n = tcp_queue_peek(q, iov, 2048), found = 0;

	for (unsigned i = 0; i < n; i++)
		found += ((const uint8_t *)iov[i].iov_base)[iov[i].iov_len - 1] == fill;
	return found;
}

static void fill(struct tcp_queue *q, enum pkt_class class, unsigned n, uint16_t len, ns_t now)
{
	static uint8_t data[PORT_MAX_PAYLOAD];

	memset(data, (int)class, sizeof(data));
	for (unsigned i = 0; i < n; i++)
		tcp_queue_add(q, class, data, len, now);
}

static void by_bytes(void)
{
	struct tcp_queue q;

	tcp_queue_init(&q);
	fill(&q, CLASS_VIDEO, 100, 1000, 0);
	fill(&q, CLASS_KEY, 30, 1000, 0); // just under half
	CHECK_EQ(q.n_video, 0);
	fill(&q, CLASS_KEY, 60, 1000, 0);
	CHECK(q.n_video >= 55 && q.n_video <= 62); // the oldest of what is not key went
	CHECK_EQ(waiting(&q, CLASS_KEY), 90);
	fill(&q, CLASS_CONTROL, 130, 1000, 0);
	CHECK_EQ(waiting(&q, CLASS_VIDEO), 0);
	CHECK(waiting(&q, CLASS_KEY) < 70);
	CHECK_EQ(waiting(&q, CLASS_CONTROL), 130);
	CHECK_EQ(q.n_other, 0);
	fill(&q, CLASS_CONTROL, 300, 1000, 0);
	CHECK(q.bytes <= TCP_QUEUE_BYTES && q.n_other > 0);
	tcp_queue_clear(&q);
	CHECK_EQ(q.bytes, 0);
}

static void by_age(void)
{
	struct tcp_queue q;

	tcp_queue_init(&q);
	fill(&q, CLASS_AUDIO, 1, 100, 0);
	tcp_queue_written(&q, 50); // started: stays whatever comes
	fill(&q, CLASS_AUDIO, 5, 100, 100 * NS_PER_MS);
	fill(&q, CLASS_VIDEO, 5, 100, 100 * NS_PER_MS);
	fill(&q, CLASS_KEY, 5, 100, 200 * NS_PER_MS);
	CHECK_EQ(q.n_video, 0);
	fill(&q, CLASS_VIDEO, 1, 100, 260 * NS_PER_MS);
	CHECK_EQ(waiting(&q, CLASS_VIDEO), 0);
	CHECK_EQ(waiting(&q, CLASS_KEY), 5);
	fill(&q, CLASS_AUDIO, 1, 100, 380 * NS_PER_MS);
	CHECK_EQ(waiting(&q, CLASS_KEY), 0);
	CHECK_EQ(q.n_video, 11);
	CHECK_EQ(q.n_audio, 0);
	fill(&q, CLASS_AUDIO, 1, 100, 480 * NS_PER_MS); // older than 200 ms: five
	CHECK_EQ(q.n_audio, 5);
	CHECK_EQ(waiting(&q, CLASS_AUDIO), 3);
	tcp_queue_written(&q, 52); // the rest of the first
	CHECK_EQ(waiting(&q, CLASS_AUDIO), 2);
	fill(&q, CLASS_VIDEO, 1, 100, 490 * NS_PER_MS);
	CHECK_EQ(q.n_video, 12); // after a hole only a key frame helps
	fill(&q, CLASS_KEY, 1, 100, 490 * NS_PER_MS);
	fill(&q, CLASS_VIDEO, 1, 100, 490 * NS_PER_MS);
	CHECK_EQ(waiting(&q, CLASS_VIDEO), 1);
	tcp_queue_clear(&q);
}

CU_TestInfo tcp_queue_tests[] = {
	{"by bytes video goes before key frames, and these before control", by_bytes},
	{"by age video goes first, then old voice; a started frame stays", by_age},
	CU_TEST_INFO_NULL,
};
