// The port of the hall: it makes what talkers send when it is due, and takes what receivers get.
#include "tests/perf/support/hall_priv.h"

#include <string.h>
#include <time.h>

#include "dataplane/port/frame.h"
#include "lib/base/buf.h"
#include "lib/rtc/wire/rtp.h"
#include "tests/perf/support/card.h"
#include "tests/perf/support/perf.h"

#define HALL_LOOK_NS 30000 // longer without a look at the port: was the core taken away?

struct rte_mbuf *hall_mbuf(uint32_t person, const void *data, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(hall.dp->rx_pool);

	if (m == NULL)
		die(EXIT_SOFTWARE, "no buffer to send from");
	memset(pkt_of(m), 0, sizeof(struct pkt));
	pkt_of(m)->key = (struct flow_key){
		.remote = {10, (uint8_t)(person >> 16), (uint8_t)(person >> 8), (uint8_t)person},
		.local = {10, 255, 0, 1},
		.remote_port = 40000,
		.local_port = 8443,
		.family = 4};
	m->l2_len = FRAME_ETH_LEN;
	m->l3_len = 20;
	memset(rte_pktmbuf_mtod(m, uint8_t *) - 42, 0, 42);
	*(rte_pktmbuf_mtod(m, uint8_t *) - 42 + 12) = 0x08; // EtherType of IPv4
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), data, len);
	return m;
}

// VP8 without temporal layers: descriptor with a 15-bit picture id, then the frame tag.
static void hall_vp8(uint8_t *payload, const struct talker *t, bool is_key)
{
	payload[0] = t->n_of_time == 0 ? 0x90 : 0x80;
	payload[1] = 0x80;
	be16_put(payload + 2, (uint16_t)(0x8000 | t->n));
	payload[4] = is_key ? 0x10 : 0x11;
}

static bool hall_is_key(const struct talker *t)
{
	return t->is_video && t->n % t->key_every == 0;
}

static uint64_t hall_due_of(const struct talker *t, uint64_t n)
{
	return t->start + n * t->period;
}

static bool hall_counts(uint64_t due)
{
	return due >= hall.from && due < hall.until;
}

// The next packet of a talker.
static struct rte_mbuf *hall_speak(struct hall_queue *q, unsigned i)
{
	struct talker *t = &hall.talker[i];
	unsigned burst = hall_is_key(t) ? t->key_burst : t->burst;
	uint8_t pkt[1500], payload[1400] = {}, level = 20;
	struct rtp_ext ext = {.id = 1, .data = &level, .len = 1};
	struct seal_rtp job = {.key = t->key,
			       .hdr = pkt,
			       .src = payload,
			       .len = t->n_bytes,
			       .ssrc = HALL_SSRC + i,
			       .index = t->index++};

	if (t->is_video)
		hall_vp8(payload, t, hall_is_key(t));
	rtp_write(pkt, true, t->n_of_time + 1 == burst, HALL_PT, (uint16_t)job.index,
		  (uint32_t)(t->n * t->ts_step), job.ssrc);
	job.hdr_len = (uint16_t)(RTP_HDR_LEN + rtp_ext_write(pkt + RTP_HDR_LEN, 100, &ext, 1));
	job.dst = pkt + job.hdr_len;
	if (seal_rtp_protect(q->seal, &job, 1) != 1)
		die(EXIT_SOFTWARE, "a packet was not sealed");
	q->n_in[t->is_video] += hall_counts(hall_due_of(t, t->n));
	if (++t->n_of_time == burst) {
		t->n_of_time = 0;
		t->n++;
	}
	return hall_mbuf(t->sid & 0xffffff, pkt, job.hdr_len + t->n_bytes + 16u);
}

// Others run on this core too. How long they did is what the thread's own clock lacks; after short gaps it is not asked.
static void hall_look(struct hall_queue *q, uint64_t now)
{
	double hz = (double)rte_get_tsc_hz();
	uint64_t stolen = q->stolen, cpu;
	struct timespec t;

	if (q->began == 0 || (double)(now - q->looked) > hz * HALL_LOOK_NS / 1e9) {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
		if (q->began == 0) {
			q->began = q->looked = now;
			q->cpu_began = t.tv_sec * NS_PER_S + t.tv_nsec;
		}
		cpu = (uint64_t)((double)(t.tv_sec * NS_PER_S + t.tv_nsec - q->cpu_began) * hz / 1e9);
		q->stolen = RTE_MAX(q->stolen, now - q->began > cpu ? now - q->began - cpu : 0);
		stolen = RTE_MIN(q->stolen - stolen, now - q->looked);
		if ((double)stolen > hz * HALL_LOOK_NS / 1e9) {
			q->theft[q->n_thefts++ % HALL_THEFTS] = (struct theft){q->looked, now, stolen};
		}
	}
	q->looked = now;
}

// What was stolen since then. When in a gap that was is not known: as early as can be.
static uint64_t hall_stolen_since(const struct hall_queue *q, uint64_t then)
{
	uint64_t sum = 0;

	for (unsigned k = 1; k <= RTE_MIN(q->n_thefts, (unsigned)HALL_THEFTS); k++) {
		const struct theft *t = &q->theft[(q->n_thefts - k) % HALL_THEFTS];
		uint64_t own = t->until - t->from - t->stolen;
		if (t->until <= then)
			break;
		if (t->from >= then)
			sum += t->stolen;
		else
			sum += t->until - then - RTE_MIN(t->until - then, own);
	}
	return sum;
}

static unsigned hall_rx(struct port *p, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	struct hall_queue *q = &hall.queue[queue];
	unsigned got = rte_ring_sc_dequeue_burst(q->in, (void **)pkts, n / 2, NULL);
	uint64_t now = rte_rdtsc();

	if (!atomic_load_explicit(&hall.talks, memory_order_acquire)) // pairs with hall_run
		return got;
	hall_look(q, now);
	got += hall_watch(queue, now, pkts + got, (n - got) / 2);
	for (unsigned i = queue; i < hall.n_talkers; i += hall.n_workers) {
		struct talker *t = &hall.talker[i];
		uint64_t due = hall_due_of(t, t->n);
		if (due > now || due >= hall.until)
			continue;
		for (uint64_t time = t->n; t->n == time && got < n;)
			pkts[got++] = hall_speak(q, i);
	}
	return got;
}

// Of which talker this packet is; NULL: of none.
static struct talker *hall_talker_of(const uint8_t *rtp)
{
	uint32_t i = be32_get(rtp + 8) - HALL_SSRC;

	if (rtp[0] >> 6 != 2 || (rtp[1] >= 192 && rtp[1] <= 223) || i >= hall.n_talkers)
		return NULL;
	return &hall.talker[i];
}

static void hall_heard(struct hall_queue *q, struct talker *t, const uint8_t *rtp, uint64_t now)
{
	uint64_t due = hall_due_of(t, be32_get(rtp + 4) / t->ts_step);
	double ns = 1e9 / (double)rte_get_tsc_hz();

	if (!hall_counts(due))
		return;
	q->n_out[t->is_video]++;
	hist_add(&q->latency[t->is_video], (uint64_t)((double)(now - due) * ns));
	if (!t->is_video && hall.n_workers == 1) {
		hist_add(&q->own, (uint64_t)((double)(now - due - hall_stolen_since(q, due)) * ns));
	}
}

static void hall_tx(struct port *p, unsigned queue, struct rte_mbuf **pkts,
			   const struct path *const *paths, unsigned n)
{
	struct hall_queue *q = &hall.queue[queue];
	uint64_t now = rte_rdtsc();

	hall_look(q, now);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *rtp = rte_pktmbuf_mtod(pkts[i], const uint8_t *);
		struct talker *t = hall_talker_of(rtp);
		frame_write(pkts[i], paths[i], RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM);
		if (t)
			hall_heard(q, t, rtp, now);
		else
			q->n_control++;
		hall_watched(queue, paths[i]->key.remote, rtp, now);
	}
	mbufs_done(pkts, n);
}

static void hall_path_fill(struct port *p, struct rte_mbuf *rx, struct path *out)
{
	static const struct frame_ours ours = {.mac = {2, 0, 0, 0, 0, 1}};

	frame_path(&ours, rx, out);
}

static int hall_wait_fd(struct port *p, unsigned queue)
{
	return -1;
}

const struct port_ops hall_ops = {.name = "hall",
					 .rx = hall_rx,
					 .tx = hall_tx,
					 .path_fill = hall_path_fill,
					 .wait_fd = hall_wait_fd,
					 .close = card_close};
