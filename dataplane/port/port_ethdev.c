// Any DPDK ethdev as a port. Two sorts:
//
//   shared  net_af_packet and net_af_xdp, beside a kernel interface. The kernel keeps the address and answers ARP,
//           ND, ICMP and TCP. With af_packet we get a copy of every frame and drop what is not media; with af_xdp
//           our filter takes only media. Sockets that take nothing claim the UDP port, so that the kernel does not
//           answer our packets with ICMP errors.
//   whole   everything else: a NIC on vfio, mlx5, ENA, virtio, tap. Frames that are not media go to a tap
//           ("sluice0" for the first port) that carries our addresses, and what the kernel sends there goes out.
//           With "kernel=off" in the spec, or where no tap can be made, neigh.c answers ARP, ND and ping itself
//           and the rest is dropped.
//
// "offloads=off" in the spec: checksums are made and verified here whatever the device says it can do.
//
// Replies go to the layer-2 address their flow came in by (frame.h), so no routes or neighbours are kept.
// A worker polls the receive queues that are its number modulo the number of workers (AF_XDP must serve every
// queue the interface has) and sends on one queue; where the device has too few to go round they are locked.
#include "dataplane/port/ethdev.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "dataplane/port/neigh.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

static void ethdev_path_fill(struct port *port, struct rte_mbuf *rx, struct path *out)
{
	frame_path(&ethdev_of(port)->ours, rx, out);
}

// --- housekeeping ------------------------------------------------------------------------------
static void ethdev_announce(struct ethdev *d, struct rte_mempool *pool)
{
	for (unsigned i = 0; i < d->ours.n; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		if (!m)
			return;
		if (neigh_announce(&d->ours, i, m))
			ethdev_send(d, 0, &m, 1);
		else
			mbuf_unused(m);
	}
}

static void ethdev_tick(struct port *port, ns_t now)
{
	struct ethdev *d = ethdev_of(port);
	struct rte_eth_link link = {};
	struct rte_eth_stats stats;

	if (rte_eth_link_get_nowait(d->dev, &link) == 0 && link.link_status != d->link_up) {
		d->link_up = link.link_status;
		log_notice("port %u (%s): link is %s", port->index, d->name, d->link_up ? "up" : "down");
	}
	if (rte_eth_stats_get(d->dev, &stats) == 0)
		atomic_store_explicit(&d->n_lost, stats.rx_nombuf + stats.imissed, memory_order_relaxed);
}

static void ethdev_close(struct port *port)
{
	struct ethdev *d = ethdev_of(port);

	if (d->has_kernel)
		device_close(d->kernel_dev, true);
	device_close(d->dev, true);
	kernel_claim_close(&d->claim);
	free(d);
}

static const struct port_ops ethdev_ops = {
	.name = "ethdev",
	.rx = ethdev_rx,
	.tx = ethdev_tx,
	.path_fill = ethdev_path_fill,
	.tick = ethdev_tick,
	.close = ethdev_close,
};

// --- opening -----------------------------------------------------------------------------------
static int ethdev_read_addresses(struct ethdev *d, const struct port_env *env)
{
	const struct conf_list *list = &env->conf->dataplane.addresses;

	for (unsigned i = 0; i < list->n; i++) {
		int err = frame_add_address(&d->ours, list->item[i]);
		if (err < 0)
			return ethdev_fail(env, err, list->item[i], "correct dataplane.addresses");
	}
	if (d->ours.n == 0)
		return ethdev_fail(env, -EINVAL, "no address", "list ours in dataplane.addresses");
	return 0;
}

static int ethdev_open_device(struct ethdev *d, const struct port_env *env, const char *spec)
{
	char args[SPEC_SIZE];
	bool wants_kernel;
	int object = -1, err;

	spec_copy(spec, args, sizeof(args));
	err = spec_switch(env, spec, "kernel", &wants_kernel);
	if (err == 0)
		err = spec_switch(env, spec, "offloads", &d->has_offloads);
	if (err == 0 && d->is_shared) {
		err = shared_prepare(d, env, args);
		if (err == 0)
			err = shared_complete_args(d, env, args, &object);
	}
	if (err == 0)
		err = device_open(d, env, args);
	if (object >= 0)
		close(object);
	if (err == 0 && !d->is_shared && wants_kernel)
		device_open_tap(d, env);
	if (err == 0 && !d->is_shared && !d->has_kernel)
		ethdev_announce(d, env->rx_pool);
	return err;
}

struct port *port_ethdev_open(const struct port_env *env, const char *spec)
{
	struct ethdev *d = calloc(1, sizeof(*d));

	if (!d)
		return err_null(ENOMEM);
	d->port = (struct port){.ops = &ethdev_ops, .index = env->index, .n_queues = env->n_queues};
	d->ours.media_port = env->media_port;
	d->is_af_xdp = spec_names(spec, "net_af_xdp");
	d->is_shared = d->is_af_xdp || spec_names(spec, "net_af_packet");
	for (unsigned i = 0; i < MAX_DEV_QUEUES; i++)
		rte_spinlock_init(&d->tx_lock[i]);
	int err = ethdev_read_addresses(d, env);
	if (err == 0)
		err = ethdev_open_device(d, env, spec);
	if (err < 0) {
		kernel_claim_close(&d->claim);
		free(d);
		return err_null(-err);
	}
	return &d->port;
}
