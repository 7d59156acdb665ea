// A hostile receiver's TWCC feedback (FCIs, each after its length byte) against a history of packets: each packet is
// news once, and the estimate stays within its bounds.
#include "lib/base/err.h"
#include "lib/rtc/send/gcc.h"
#include "lib/rtc/send/probe.h"
#include "lib/rtc/send/sendhist.h"

#define N 256

static void read_one(struct sendhist *h, struct gcc *g, struct probe *p, const struct rtcp_fb *fb, ns_t now,
		     uint8_t *news)
{
	struct sendhist_iter it;
	struct sendhist_ack a;
	unsigned n = 0;
	uint32_t bps;
	bool is_full;

	if (sendhist_begin(h, &it, fb) < 0)
		return;
	while (sendhist_next(h, &it, now, &a)) {
		MUST(++n <= 2 * N);
		MUST(a.n_bytes < N);
		MUST(news[a.n_bytes] == (a.event == SENDHIST_LATE));
		MUST(a.sent_us == a.n_bytes * 1000 + 5000000);
		news[a.n_bytes] = a.event == SENDHIST_LOST ? 1 : 2;
		gcc_ack(g, &a);
		probe_ack(p, &a);
	}
	gcc_update(g, 0, now);
	bps = probe_result(p, gcc_target(g), now, &is_full);
	if (bps > 0)
		gcc_probe(g, bps, is_full, now);
	MUST(gcc_target(g) >= GCC_MIN_BPS && gcc_target(g) <= GCC_MAX_BPS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sendhist_slot slots[N];
	uint8_t news[N] = {};
	struct sendhist h;
	struct gcc g;
	struct probe p;
	struct probe_plan pl;
	ns_t now = 5 * NS_PER_S;

	sendhist_init(&h, slots, N);
	gcc_init(&g, &(struct gcc_conf){GCC_MIN_BPS, GCC_START_BPS, GCC_MAX_BPS}, now);
	probe_init(&p, 0);
	(void)probe_want(&p, &(struct probe_ask){2000000, 600000, true, 1200, now}, &pl);
	for (unsigned i = 0; i < N; i++, now += NS_PER_MS)
		(void)sendhist_add(&h, (uint16_t)i, i >= 100 && i < 110 ? pl.cluster : 0, now);
	while (size > 1 && data[0] > 0 && data[0] < size) {
		size_t len = data[0];
		uint8_t *fci = malloc(len);
		memcpy(fci, data + 1, len);
		read_one(&h, &g, &p, &(struct rtcp_fb){.fci = fci, .fci_len = (uint16_t)len}, now, news);
		free(fci);
		data += 1 + len;
		size -= 1 + len;
		now += 20 * NS_PER_MS;
	}
	return 0;
}
