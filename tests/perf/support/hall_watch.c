// Receivers of video answer with transport-wide feedback ten times a second, each at its own time, made and read on
// the worker that they are at home on: draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1. Everything
// arrives, so one run-length chunk says it.
#include "tests/perf/support/hall_priv.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "tests/perf/support/perf.h"

#define WATCH_NS (100 * NS_PER_MS)
#define WATCH_TICK 250000 // ns
#define WATCH_TICKS_REF 256

void hall_watch_add(uint32_t person)
{
	struct watcher *to = &hall.watcher[person];
	uint8_t key[32], salt[16];

	if (to->key)
		return;
	hall_secret(person, key, salt);
	to->key = perf_alloc(seal_key_size(hall.seal));
	if (seal_key_init(hall.seal, to->key, SEAL_AEAD_AES_128_GCM, key, salt) < 0)
		die(EXIT_SOFTWARE, "key");
}

void hall_watch_free(void)
{
	for (uint32_t i = 0; i < hall.max_people; i++)
		free(hall.watcher[i].key);
	free(hall.watcher);
}

static uint64_t watch_tick(uint64_t now)
{
	return (uint64_t)((double)now * 1e9 / (double)rte_get_tsc_hz() / WATCH_TICK);
}

void hall_watched(unsigned queue, const uint8_t *address, const uint8_t *rtp, uint64_t now)
{
	uint32_t person = (uint32_t)address[1] << 16 | (uint32_t)address[2] << 8 | address[3];
	struct watcher *to = &hall.watcher[person];
	uint64_t tick, delta;

	if (rtp[0] >> 4 != 9 || be32_get(rtp + 12) != 0xbede0001 || rtp[16] != (HALL_TWCC << 4 | 1) ||
	    to->n == HALL_WATCH_MAX)
		return;
	tick = watch_tick(now);
	to->queue = (uint8_t)queue;
	if (to->n == 0) {
		to->base = be16_get(rtp + 17);
		to->first = to->last = tick;
	}
	delta = to->n == 0 ? tick % WATCH_TICKS_REF : RTE_MIN(tick - to->last, UINT64_C(255));
	to->delta[to->n++] = (uint8_t)delta;
	to->last = tick;
}

static struct rte_mbuf *watch_answer(struct hall_queue *q, uint32_t person)
{
	struct watcher *to = &hall.watcher[person];
	uint8_t msg[20 + 2 + HALL_WATCH_MAX + 3 + SEAL_MAX_RTCP_GROWTH] = {0x8f, 205};
	size_t len = (22u + to->n + 3) / 4 * 4;
	int sealed;

	be16_put(msg + 2, (uint16_t)(len / 4 - 1));
	be32_put(msg + 4, 0x30000000 + person);
	be32_put(msg + 8, HALL_SSRC);
	be16_put(msg + 12, to->base);
	be16_put(msg + 14, to->n);
	be32_put(msg + 16, (uint32_t)(to->first / WATCH_TICKS_REF) << 8 | to->fb_count++);
	be16_put(msg + 20, (uint16_t)(0x2000 | to->n)); // so many, small deltas
	memcpy(msg + 22, to->delta, to->n);
	to->n = 0;
	sealed = seal_rtcp_protect(q->seal, to->key, msg, len, sizeof(msg), ++to->index);
	if (sealed < 0)
		die(EXIT_SOFTWARE, "an answer was not sealed");
	q->n_feedback++;
	return hall_mbuf(person, msg, (size_t)sealed);
}

unsigned hall_watch(unsigned queue, uint64_t now, struct rte_mbuf **pkts, unsigned n)
{
	struct hall_queue *q = &hall.queue[queue];
	double seconds = (double)(now - q->began) / (double)rte_get_tsc_hz();
	uint64_t turns = (uint64_t)(seconds * 1e9 / WATCH_NS * hall.max_people);
	unsigned got = 0;

	for (; q->n_watched < turns && got < n; q->n_watched++) {
		uint32_t person = (uint32_t)(q->n_watched % hall.max_people);
		struct watcher *to = &hall.watcher[person];
		if (to->n > 0 && to->queue == queue &&
		    !atomic_load_explicit(&to->is_leaving, memory_order_relaxed))
			pkts[got++] = watch_answer(q, person);
	}
	return got;
}
