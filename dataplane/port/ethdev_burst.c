// Bursts of an ethdev port: frames out, and what comes in told apart.
#include "dataplane/port/ethdev.h"

#include <assert.h>

#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "dataplane/port/neigh.h"

#define KERNEL_BURST 16 // frames from the kernel per call of rx

// --- send --------------------------------------------------------------------------------------
// --- send --------------------------------------------------------------------------------------
unsigned ethdev_send(struct ethdev *d, unsigned worker, struct rte_mbuf **frames, unsigned n)
{
	uint16_t q = (uint16_t)(worker % d->n_txq);
	bool is_locked = d->n_txq < d->port.n_queues;
	unsigned sent = n;

	assert(q < MAX_DEV_QUEUES && worker < d->port.n_queues);
	if (is_locked)
		rte_spinlock_lock(&d->tx_lock[q]);
	if (d->tx_flags)
		sent = rte_eth_tx_prepare(d->dev, q, frames, (uint16_t)n);
	sent = rte_eth_tx_burst(d->dev, q, frames, (uint16_t)sent);
	if (is_locked)
		rte_spinlock_unlock(&d->tx_lock[q]);
	if (sent < n)
		mbufs_lost(frames + sent, n - sent);
	return sent;
}

void ethdev_tx(struct port *port, unsigned queue, struct rte_mbuf **pkts, const struct path *const *paths,
	       unsigned n)
{
	struct ethdev *d = ethdev_of(port);
	struct port_stats *stats = &port->stats[queue];
	uint64_t bytes = 0;

	assert(n <= PORT_MAX_BURST);
	for (unsigned i = 0; i < n; i++) {
		assert(paths[i]->key.port == port->index && pkts[i]->data_len <= PORT_MAX_PAYLOAD);
		bytes += pkts[i]->data_len;
		frame_write(pkts[i], paths[i], d->tx_flags);
	}
	unsigned sent = ethdev_send(d, queue, pkts, n);
	stats->tx_packets += sent;
	stats->tx_dropped += n - sent;
	stats->tx_bytes +=
		sent == n ? bytes : bytes * sent / n; // which ones were refused is not known any more
}

// --- receive -----------------------------------------------------------------------------------
// --- receive -----------------------------------------------------------------------------------
// A frame that is not media. Consumes m.
static void frame_other(struct ethdev *d, unsigned worker, struct rte_mbuf *m)
{
	if (d->has_kernel) {
		if (rte_eth_tx_burst(d->kernel_dev, (uint16_t)worker, &m, 1) == 1)
			return;
	} else if (!d->is_shared && neigh_answer(&d->ours, m)) {
		m->ol_flags = 0;
		ethdev_send(d, worker, &m, 1);
		return;
	}
	mbuf_done(m); // the kernel has a copy, or has no room, or nobody is there to answer
}

// Keep the media of n frames, in order; deal with the others.
static unsigned frames_sort(struct ethdev *d, unsigned worker, struct rte_mbuf **frames, unsigned n)
{
	struct port_stats *stats = &d->port.stats[worker];
	unsigned n_media = 0;

	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = frames[i];
		if (i + 2 < n)
			rte_prefetch0(rte_pktmbuf_mtod(frames[i + 2], void *));
		enum frame_kind kind = frame_parse(&d->ours, m);
		if (kind == FRAME_OTHER) {
			frame_other(d, worker, m);
			continue;
		}
		stats->rx_packets++;
		stats->rx_bytes += m->data_len;
		if (kind == FRAME_MEDIA) {
			pkt_of(m)->key.port = d->port.index;
			frames[n_media++] = m;
			continue;
		}
		stats->rx_long += kind == FRAME_LONG;
		stats->rx_bad += kind == FRAME_BAD;
		mbuf_lost(m);
	}
	return n_media;
}

// What the kernel wants to send by the device.
static void frames_from_kernel(struct ethdev *d, unsigned worker)
{
	struct rte_mbuf *frames[KERNEL_BURST];
	unsigned n = rte_eth_rx_burst(d->kernel_dev, (uint16_t)worker, frames, KERNEL_BURST);

	for (unsigned i = 0; i < n; i++)
		frames[i]->ol_flags = 0;
	if (n > 0)
		ethdev_send(d, worker, frames, n);
}

unsigned ethdev_rx(struct port *port, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	struct ethdev *d = ethdev_of(port);
	unsigned got = 0;

	assert(queue < port->n_queues && n <= PORT_MAX_BURST);
	if (queue == 0)
		port->stats[0].rx_nombuf = atomic_load_explicit(&d->n_lost, memory_order_relaxed);
	if (d->has_kernel)
		frames_from_kernel(d, queue);
	for (unsigned q = queue; q < d->n_rxq && got < n; q += port->n_queues) {
		unsigned more = rte_eth_rx_burst(d->dev, (uint16_t)q, pkts + got, (uint16_t)(n - got));
		got += frames_sort(d, queue, pkts + got, more);
	}
	return got;
}
