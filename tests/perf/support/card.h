// A port that behaves like a network card's.
#pragma once

#include "dataplane/port/port.h"

// Writes network headers as dataplane/port/ethdev_burst.c does for a card that makes checksums, and gives a buffer back
// `n_ring` packets after it was sent, 32 at a time, as a card does. That keeps n_ring buffers moving.
#define CARD_FREE 32
struct card {
	struct port port;
	unsigned n_ring, at;
	struct rte_mbuf **ring;
};

// port_ops.close for ports that own nothing.
void card_close(struct port *p);

// n_ring: a multiple of CARD_FREE.
void card_init(struct card *c, unsigned n_ring);

void card_fini(struct card *c);

// The way to receiver i, learned as from a frame that it sent. scratch: any buffer.
void card_path(struct path *path, uint32_t i, struct rte_mbuf *scratch);
