#include "tests/perf/support/stages.h"

#include <stdio.h>
#include <stdlib.h>

#include <rte_prefetch.h>

#include "dataplane/core/session.h"
#include "dataplane/deliver/egress.h"
#include "dataplane/media/fanout.h"
#include "dataplane/port/frame.h"
#include "tests/perf/support/cipher.h"
#include "tests/perf/support/perf.h"

#define STAGES_RING 1024
#define STAGES_RUNS 101

enum stage { STAGE_BUFFERS, STAGE_SEAL, STAGE_NETWORK, N_STAGES };

static const char *const stage_name[N_STAGES] = {"buffers", "seal", "network headers"};

static struct rte_mbuf *stages_ring[STAGES_RING];

static void stage_seal(struct bed *b, uint32_t i, unsigned n, struct rte_mbuf **out)
{
	struct seal_rtp job[EGRESS_SLICE];
	const uint8_t *payload = rte_pktmbuf_mtod_offset(b->m, const uint8_t *, pkt_of(b->m)->hdr_len);

	for (unsigned k = 0; k < n; k++) {
		uint8_t *hdr = rte_pktmbuf_mtod(out[k], uint8_t *);
		job[k] = (struct seal_rtp){.key = b->to[i + k].session->tx_key,
					   .hdr = hdr,
					   .src = payload,
					   .dst = hdr + CIPHER_HDR,
					   .hdr_len = CIPHER_HDR,
					   .len = b->is->len,
					   .ssrc = i + k,
					   .index = ++b->index};
	}
	if (seal_rtp_protect(b->w->seal, job, n) != n)
		die(EXIT_SOFTWARE, "a packet was not sealed");
}

static void stage_network(struct bed *b, uint32_t i, unsigned n, struct rte_mbuf **out)
{
	for (unsigned k = 0; k < n; k++) {
		if (k + 4 < n)
			rte_prefetch0(b->to[i + k + 4].session->path.hdr);
		out[k]->data_off = RTE_PKTMBUF_HEADROOM;
		out[k]->data_len = (uint16_t)(CIPHER_HDR + b->is->len);
		frame_write(out[k], &b->to[i + k].session->path,
			    RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM);
	}
}

static void stage_buffers(struct bed *b, unsigned n, struct rte_mbuf **out)
{
	mbufs_done(out, n);
	if (rte_pktmbuf_alloc_bulk(b->dp->tx_pool, out, n) != 0)
		die(EXIT_SOFTWARE, "pool is too small");
}

// All receivers once. Returns cycles per packet.
static double stage_run(struct bed *b, enum stage stage)
{
	uint64_t began = rte_rdtsc();

	for (uint32_t i = 0; i < b->n; i += EGRESS_SLICE) {
		unsigned n = RTE_MIN(b->n - i, (uint32_t)EGRESS_SLICE);
		struct rte_mbuf **out = stages_ring + i % STAGES_RING;
		if (stage == STAGE_BUFFERS)
			stage_buffers(b, n, out);
		else if (stage == STAGE_SEAL)
			stage_seal(b, i, n, out);
		else
			stage_network(b, i, n, out);
	}
	return (double)(rte_rdtsc() - began) / b->n;
}

void stages_print(struct bed *b)
{
	if (rte_pktmbuf_alloc_bulk(b->dp->tx_pool, stages_ring, STAGES_RING) != 0)
		die(EXIT_SOFTWARE, "pool is too small");
	for (unsigned stage = 0; stage < N_STAGES; stage++) {
		struct samples s = {};
		for (unsigned i = 0; i <= STAGES_RUNS; i++) {
			double cycles = stage_run(b, stage);
			if (i > 0)
				samples_add(&s, cycles);
		}
		printf("{\"name\": \"stage %s\", \"stage_of\": \"%s\", ", stage_name[stage], b->is->name);
		samples_print(&s, "cycles_per_packet");
		printf("}\n");
	}
	mbufs_done(stages_ring, STAGES_RING);
}
