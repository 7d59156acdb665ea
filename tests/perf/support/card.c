#include "tests/perf/support/card.h"

#include <stdlib.h>
#include <string.h>

#include <rte_prefetch.h>

#include "dataplane/port/frame.h"
#include "tests/perf/support/perf.h"

static unsigned card_rx(struct port *p, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	return 0;
}

static void card_tx(struct port *p, unsigned queue, struct rte_mbuf **pkts,
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

void card_close(struct port *p)
{
}

static const struct port_ops card_ops = {.name = "card", .rx = card_rx, .tx = card_tx, .close = card_close};

void card_init(struct card *c, unsigned n_ring)
{
	memset(c, 0, sizeof(*c));
	c->port.ops = &card_ops;
	c->port.n_queues = 1;
	c->n_ring = n_ring;
	c->ring = perf_alloc(n_ring * sizeof(struct rte_mbuf *));
}

void card_fini(struct card *c)
{
	mbufs_done(c->ring, c->n_ring);
	free(c->ring);
}

void card_path(struct path *path, uint32_t i, struct rte_mbuf *scratch)
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
