// What the measuring programs share: samples and their median, JSON rows, a core of one's own, datagrams, and a port that
// behaves like a network card's.
#pragma once

#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/port/frame.h"
#include "dataplane/port/port.h"
#include "lib/base/err.h"

// --- samples --------------------------------------------------------------------------------------------

#define PERF_MAX_SAMPLES 4096

struct samples {
	unsigned n;
	double v[PERF_MAX_SAMPLES];
};

static inline void samples_add(struct samples *s, double v)
{
	if (s->n < PERF_MAX_SAMPLES)
		s->v[s->n++] = v;
}

static inline int perf_by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

// part: 0.5 is the median. The samples are sorted by it.
static inline double samples_at(struct samples *s, double part)
{
	qsort(s->v, s->n, sizeof(s->v[0]), perf_by_value);
	return s->v[(unsigned)(part * (s->n - 1) + 0.5)];
}

// "NAME": median, "NAME_min": 5th, "NAME_max": 95th percentile.
static inline double samples_print(struct samples *s, const char *name)
{
	double median = samples_at(s, 0.5);

	printf("\"%s\": %.1f, \"%s_min\": %.1f, \"%s_max\": %.1f", name, median, name, samples_at(s, 0.05),
	       name, samples_at(s, 0.95));
	return median;
}

// --- memory and cores -----------------------------------------------------------------------------------

// Zeroed, aligned to cache lines; dies without memory.
static inline void *perf_alloc(size_t size)
{
	size = (size + 63) / 64 * 64;
	void *p = aligned_alloc(64, size);

	if (p == NULL)
		die(EXIT_OS, "out of memory");
	return memset(p, 0, size);
}

// The last core this process may use: the first one gets the machine's interrupts.
static inline int perf_core(void)
{
	cpu_set_t set;
	int core = 0;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			core = i;
	return core;
}

// --- datagrams ------------------------------------------------------------------------------------------

// One of those that sendmmsg or recvmmsg takes at once. What it points to stays the caller's.
static inline struct msghdr perf_datagram(struct sockaddr_in *name, struct iovec *data)
{
	return (struct msghdr){
		.msg_name = name, .msg_namelen = sizeof(*name), .msg_iov = data, .msg_iovlen = 1};
}

// --- a card ---------------------------------------------------------------------------------------------

// Writes network headers as dataplane/port/port_ethdev.c does for a card that makes checksums, and gives a buffer back
// `n_ring` packets after it was sent, 32 at a time, as a card does. That keeps n_ring buffers moving.
#define CARD_FREE 32
struct card {
	struct port port;
	unsigned n_ring, at;
	struct rte_mbuf **ring;
};

static inline unsigned card_rx(struct port *p, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	return 0;
}

static inline void card_tx(struct port *p, unsigned queue, struct rte_mbuf **pkts,
			   const struct path *const *paths, unsigned n)
{
	struct card *c = (struct card *)p;

	for (unsigned i = 0; i < n; i++) {
		if (i + 4 < n)
			rte_prefetch0(paths[i + 4]->hdr);
		frame_write(pkts[i], paths[i], RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM);
		if (c->at % CARD_FREE == 0 && c->ring[c->at] != NULL)
			mbufs_done(c->ring + c->at, CARD_FREE);
		c->ring[c->at] = pkts[i];
		c->at = (c->at + 1) % c->n_ring;
	}
	p->stats[queue].tx_packets += n;
}

static inline void card_close(struct port *p)
{
}

static const struct port_ops card_ops = {.name = "card", .rx = card_rx, .tx = card_tx, .close = card_close};

// n_ring: a multiple of CARD_FREE.
static inline void card_init(struct card *c, unsigned n_ring)
{
	memset(c, 0, sizeof(*c));
	c->port.ops = &card_ops;
	c->port.n_queues = 1;
	c->n_ring = n_ring;
	c->ring = perf_alloc(n_ring * sizeof(struct rte_mbuf *));
}

static inline void card_fini(struct card *c)
{
	mbufs_done(c->ring, c->n_ring);
	free(c->ring);
}

// The way to receiver i, learned as from a frame that it sent. scratch: any buffer.
static inline void card_path(struct path *path, uint32_t i, struct rte_mbuf *scratch)
{
	static const struct frame_ours ours = {.mac = {2, 0, 0, 0, 0, 1}};
	uint8_t *eth = rte_pktmbuf_mtod(scratch, uint8_t *) - 42;

	memset(eth, 0, 42);
	eth[11] = 2;
	eth[12] = 0x08;
	scratch->l2_len = FRAME_ETH_LEN;
	scratch->l3_len = 20;
	pkt_of(scratch)->key =
		(struct flow_key){.remote = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i},
				  .local = {10, 255, 0, 1},
				  .remote_port = 40000,
				  .local_port = 8443,
				  .family = 4};
	frame_path(&ours, scratch, path);
}
