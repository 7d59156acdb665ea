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
#include "dataplane/port/port.h"

#include <errno.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>
#include <rte_spinlock.h>

#include "dataplane/port/frame.h"
#include "dataplane/port/kernel_side.h"
#include "dataplane/port/neigh.h"
#include "dataplane/port/xdp_filter.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define N_RX_DESC 1024
#define N_TX_DESC 1024
#define MAX_DEV_QUEUES 128
#define AF_PACKET_MAX_PAIRS 16
#define KERNEL_BURST 16 // frames from the kernel per call of rx
#define SPEC_SIZE 256
#define WANTED_TX (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
#define WANTED_RX (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)

struct ethdev {
	struct port port;
	struct frame_ours ours;
	uint16_t dev; // DPDK port id
	uint16_t n_rxq, n_txq;
	uint64_t tx_flags; // checksums the device finishes: RTE_MBUF_F_TX_*
	bool is_shared, is_af_xdp;
	bool has_offloads; // that the device claims may be used
	bool has_kernel;   // kernel_dev is there
	bool link_up;
	_Atomic uint64_t n_lost; // packets the device had no room or buffer for: main writes, worker 0 reads
	uint16_t kernel_dev;     // DPDK port id of the tap
	struct kernel_claim claim;
	rte_spinlock_t tx_lock[MAX_DEV_QUEUES]; // taken when n_txq < workers
	char name[SPEC_SIZE];                   // of the device
	char iface[IFNAMSIZ];                   // shared: the kernel's name for it
};

static struct ethdev *of(struct port *port)
{
	return (struct ethdev *)port;
}

// --- send --------------------------------------------------------------------------------------
// All n frames are consumed. Returns how many left.
static unsigned send_frames(struct ethdev *d, unsigned worker, struct rte_mbuf **frames, unsigned n)
{
	uint16_t q = (uint16_t)(worker % d->n_txq);
	bool is_locked = d->n_txq < d->port.n_queues;
	unsigned sent = n;

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

static void ethdev_tx(struct port *port, unsigned queue, struct rte_mbuf **pkts,
		      const struct path *const *paths, unsigned n)
{
	struct ethdev *d = of(port);
	struct port_stats *stats = &port->stats[queue];
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		bytes += pkts[i]->data_len;
		frame_write(pkts[i], paths[i], d->tx_flags);
	}
	unsigned sent = send_frames(d, queue, pkts, n);
	stats->tx_packets += sent;
	stats->tx_dropped += n - sent;
	stats->tx_bytes +=
		sent == n ? bytes : bytes * sent / n; // which ones were refused is not known any more
}

// --- receive -----------------------------------------------------------------------------------
// A frame that is not media. Consumes m.
static void other_frame(struct ethdev *d, unsigned worker, struct rte_mbuf *m)
{
	if (d->has_kernel) {
		if (rte_eth_tx_burst(d->kernel_dev, (uint16_t)worker, &m, 1) == 1)
			return;
	} else if (!d->is_shared && neigh_answer(&d->ours, m)) {
		m->ol_flags = 0;
		send_frames(d, worker, &m, 1);
		return;
	}
	mbuf_done(m); // the kernel has a copy, or has no room, or nobody is there to answer
}

// Keep the media of n frames, in order; deal with the others.
static unsigned sort_frames(struct ethdev *d, unsigned worker, struct rte_mbuf **frames, unsigned n)
{
	struct port_stats *stats = &d->port.stats[worker];
	unsigned n_media = 0;

	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = frames[i];
		if (i + 2 < n)
			rte_prefetch0(rte_pktmbuf_mtod(frames[i + 2], void *));
		enum frame_kind kind = frame_parse(&d->ours, m);
		if (kind == FRAME_OTHER) {
			other_frame(d, worker, m);
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
static void from_kernel(struct ethdev *d, unsigned worker)
{
	struct rte_mbuf *frames[KERNEL_BURST];
	unsigned n = rte_eth_rx_burst(d->kernel_dev, (uint16_t)worker, frames, KERNEL_BURST);

	for (unsigned i = 0; i < n; i++)
		frames[i]->ol_flags = 0;
	if (n > 0)
		send_frames(d, worker, frames, n);
}

static unsigned ethdev_rx(struct port *port, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	struct ethdev *d = of(port);
	unsigned got = 0;

	if (queue == 0)
		port->stats[0].rx_nombuf = atomic_load_explicit(&d->n_lost, memory_order_relaxed);
	if (d->has_kernel)
		from_kernel(d, queue);
	for (unsigned q = queue; q < d->n_rxq && got < n; q += port->n_queues) {
		unsigned more = rte_eth_rx_burst(d->dev, (uint16_t)q, pkts + got, (uint16_t)(n - got));
		got += sort_frames(d, queue, pkts + got, more);
	}
	return got;
}

static void ethdev_path_fill(struct port *port, struct rte_mbuf *rx, struct path *out)
{
	frame_path(&of(port)->ours, rx, out);
}

// --- housekeeping ------------------------------------------------------------------------------
static void announce(struct ethdev *d, struct rte_mempool *pool)
{
	for (unsigned i = 0; i < d->ours.n; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		if (!m)
			return;
		if (neigh_announce(&d->ours, i, m))
			send_frames(d, 0, &m, 1);
		else
			mbuf_unused(m);
	}
}

static void ethdev_tick(struct port *port, ns_t now)
{
	struct ethdev *d = of(port);
	struct rte_eth_link link = {};
	struct rte_eth_stats stats;

	if (rte_eth_link_get_nowait(d->dev, &link) == 0 && link.link_status != d->link_up) {
		d->link_up = link.link_status;
		log_notice("port %u (%s): link is %s", port->index, d->name, d->link_up ? "up" : "down");
	}
	if (rte_eth_stats_get(d->dev, &stats) == 0)
		atomic_store_explicit(&d->n_lost, stats.rx_nombuf + stats.imissed, memory_order_relaxed);
}

static void close_dev(uint16_t dev, bool is_started)
{
	struct rte_eth_dev_info info;

	if (rte_eth_dev_info_get(dev, &info) < 0)
		return;
	if (is_started)
		rte_eth_dev_stop(dev);
	rte_eth_dev_close(dev);
	rte_dev_remove(info.device);
}

static void ethdev_close(struct port *port)
{
	struct ethdev *d = of(port);

	if (d->has_kernel)
		close_dev(d->kernel_dev, true);
	close_dev(d->dev, true);
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

// --- opening: what the spec says ---------------------------------------------------------------
// Value of "key=" in a device string, "" when absent.
static void spec_get(const char *spec, const char *key, char *out, size_t size)
{
	size_t key_len = strlen(key);

	out[0] = '\0';
	for (const char *p = strchr(spec, ','); p; p = strchr(p, ',')) {
		p++;
		if (strncmp(p, key, key_len) == 0 && p[key_len] == '=')
			snprintf(out, size, "%.*s", (int)strcspn(p + key_len + 1, ","), p + key_len + 1);
	}
}

static bool is_our_option(const char *part)
{
	return strncmp(part, "kernel=", 7) == 0 || strncmp(part, "offloads=", 9) == 0;
}

// Copy spec without our own options.
static void spec_copy(const char *spec, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (const char *part = spec; *part; part += strcspn(part, ","), part += *part == ',') {
		if (part > spec && is_our_option(part))
			continue;
		len += (size_t)snprintf(out + len, size - len, "%s%.*s", len ? "," : "",
					(int)strcspn(part, ","), part);
		if (len >= size)
			return; // too long for DPDK as well: it does not find the device
	}
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int fail(const struct port_env *env, int err, const char *what, const char *fix)
{
	snprintf(env->error, env->error_size, "port %u: %s: %s%s%s", env->index, what, strerror(-err),
		 *fix ? ": " : "", fix);
	return err;
}

static int read_addresses(struct ethdev *d, const struct port_env *env)
{
	const struct conf_list *list = &env->conf->dataplane.addresses;

	for (unsigned i = 0; i < list->n; i++) {
		int err = frame_add_address(&d->ours, list->item[i]);
		if (err < 0)
			return fail(env, err, list->item[i], "correct dataplane.addresses");
	}
	if (d->ours.n == 0)
		return fail(env, -EINVAL, "no address", "list ours in dataplane.addresses");
	return 0;
}

static bool has_sockets(const struct conf *conf)
{
	for (unsigned i = 0; i < conf->dataplane.ports.n; i++)
		if (strcmp(conf->dataplane.ports.item[i], "sockets") == 0)
			return true;
	return false;
}

// A copy of each packet would come by the kernel's sockets as well.
static bool would_come_twice(const struct ethdev *d, const struct conf *conf)
{
	return has_sockets(conf) && conf->rtc.address_udp.n == 0 && !d->is_af_xdp;
}

static int prepare_shared(struct ethdev *d, const struct port_env *env, const char *spec)
{
	spec_get(spec, "iface", d->iface, sizeof(d->iface));
	if (if_nametoindex(d->iface) == 0) {
		snprintf(env->error, env->error_size,
			 "port %u: %s: there is no interface \"%s\": see \"ip link\"", env->index, spec,
			 d->iface);
		return -ENODEV;
	}
	if (would_come_twice(d, env->conf))
		return fail(env, -EINVAL, "sockets beside net_af_packet would get each packet twice",
			    "list the sockets' addresses in rtc.ice_address_udp, or use net_af_xdp");
	int err = kernel_claim_open(&d->claim, &d->ours, env->error, env->error_size);
	// Our own sockets on all addresses hold the port as well as a claim does.
	return err == -EADDRINUSE && has_sockets(env->conf) ? 0 : err;
}

// DPDK's arguments for a shared interface: as many queues as we want or must serve, our filter.
static int complete_args(const struct ethdev *d, const struct port_env *env, char *args, int *object)
{
	char given[SPEC_SIZE];
	size_t len = strlen(args);

	if (!d->is_af_xdp) {
		spec_get(args, "qpairs", given, sizeof(given));
		if (!*given)
			snprintf(args + len, SPEC_SIZE - len, ",qpairs=%u",
				 RTE_MIN(env->n_queues, (uint16_t)AF_PACKET_MAX_PAIRS));
		return 0;
	}
	struct kernel_queues queues;
	int err = xdp_filter_prepare((int)if_nametoindex(d->iface), env->error, env->error_size);
	if (err == 0)
		err = kernel_queues(d->iface, &queues);
	if (err < 0)
		return err;
	if (queues.n_rx > queues.n_combined) { // a queue without a socket would lose its media to the kernel
		snprintf(env->error, env->error_size,
			 "port %u: %s has %u receive queues, DPDK's AF_XDP can serve %u: set \"ethtool -L %s "
			 "rx %u\", "
			 "or make a veth with numrxqueues 1",
			 env->index, d->iface, queues.n_rx, queues.n_combined, d->iface, queues.n_combined);
		return -ENODEV;
	}
	spec_get(args, "queue_count", given, sizeof(given));
	if (!*given)
		len += (size_t)snprintf(args + len, SPEC_SIZE - len, ",queue_count=%u", queues.n_combined);
	*object = xdp_filter_object();
	if (*object < 0)
		return fail(env, *object, "XDP filter", "");
	snprintf(args + len, SPEC_SIZE - len, ",xdp_prog=/proc/self/fd/%d", *object);
	return 0;
}

// --- opening: the device -----------------------------------------------------------------------
static int probe(struct ethdev *d, const struct port_env *env, const char *args)
{
	snprintf(d->name, sizeof(d->name), "%.*s", (int)strcspn(args, ","), args);
	int err = rte_dev_probe(args);
	if (err < 0)
		return fail(env, err == -ENOENT ? -ENODEV : err, args,
			    "DPDK does not find the device: is the name right, is a NIC bound to vfio-pci "
			    "(dpdk-devbind.py -s), has this process CAP_NET_RAW and CAP_NET_ADMIN?");
	if (rte_eth_dev_get_port_by_name(d->name, &d->dev) < 0)
		return fail(env, -ENODEV, args, "it is no network device");
	return 0;
}

static void choose_queues(struct ethdev *d, const struct rte_eth_dev_info *info)
{
	uint16_t workers = d->port.n_queues;

	// AF_XDP: a queue without a socket would hand its media to the kernel.
	d->n_rxq = d->is_af_xdp ? info->max_rx_queues : RTE_MIN(info->max_rx_queues, workers);
	d->n_txq = RTE_MIN(info->max_tx_queues, d->is_af_xdp ? info->max_tx_queues : workers);
	if (!d->is_shared && d->n_rxq > 1 && info->flow_type_rss_offloads == 0)
		d->n_rxq = 1;
	d->n_rxq = RTE_MIN(RTE_MAX(d->n_rxq, 1), MAX_DEV_QUEUES);
	d->n_txq = RTE_MIN(RTE_MAX(d->n_txq, 1), MAX_DEV_QUEUES);
}

// With a random key nobody outside can aim flows at one worker.
static void choose_rss(struct ethdev *d, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf,
		       uint8_t key[64])
{
	uint64_t types = info->flow_type_rss_offloads & (RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
							 RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_UDP);

	if (d->n_rxq < 2 || types == 0)
		return;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_hf = types;
	if (info->hash_key_size > 0 && info->hash_key_size <= 64) {
		rand_bytes(key, info->hash_key_size);
		conf->rx_adv_conf.rss_conf.rss_key = key;
		conf->rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
	}
}

static int set_up_queues(struct ethdev *d, const struct port_env *env, const struct rte_eth_conf *conf,
			 const struct rte_eth_dev_info *info)
{
	uint16_t n_rx = N_RX_DESC, n_tx = N_TX_DESC;
	struct rte_eth_txconf txconf = info->default_txconf;
	int socket = rte_eth_dev_socket_id(d->dev), err;

	txconf.offloads = conf->txmode.offloads;
	err = rte_eth_dev_adjust_nb_rx_tx_desc(d->dev, &n_rx, &n_tx);
	for (uint16_t q = 0; err == 0 && q < d->n_rxq; q++)
		err = rte_eth_rx_queue_setup(d->dev, q, n_rx, (unsigned)socket, NULL, env->rx_pool);
	for (uint16_t q = 0; err == 0 && q < d->n_txq; q++)
		err = rte_eth_tx_queue_setup(d->dev, q, n_tx, (unsigned)socket, &txconf);
	return err;
}

static int configure(struct ethdev *d, const struct port_env *env)
{
	struct rte_eth_conf conf = {};
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	uint8_t rss_key[64];
	int err = rte_eth_dev_info_get(d->dev, &info);

	if (err < 0)
		return fail(env, err, d->name, "");
	choose_queues(d, &info);
	choose_rss(d, &info, &conf, rss_key);
	conf.rxmode.offloads = d->has_offloads ? info.rx_offload_capa & WANTED_RX : 0;
	conf.txmode.offloads = d->has_offloads ? info.tx_offload_capa & WANTED_TX : 0;
	err = rte_eth_dev_configure(d->dev, d->n_rxq, d->n_txq, &conf);
	if (err == 0)
		err = set_up_queues(d, env, &conf, &info);
	if (err == 0)
		err = rte_eth_macaddr_get(d->dev, &mac);
	if (err == 0)
		err = rte_eth_dev_start(d->dev);
	if (err < 0)
		return fail(
			env, err, d->name,
			d->is_af_xdp
				? "AF_XDP needs CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, locked memory "
				  "(LimitMEMLOCK=infinity) and 2048 buffers a queue (dataplane.memory_mib)"
				: "is dataplane.memory_mib large enough for its queues?");
	memcpy(d->ours.mac, &mac, sizeof(d->ours.mac));
	if (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)
		d->tx_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	if (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
		d->tx_flags |= RTE_MBUF_F_TX_UDP_CKSUM;
	// Between interfaces of one machine the kernel leaves UDP checksums unfinished: a shared interface cannot
	// tell those from wrong ones. Everything in a datagram is authenticated above.
	d->ours.check_udp = !d->is_shared;
	if (!d->is_shared)
		rte_eth_allmulticast_enable(d->dev); // neighbour solicitations
	return 0;
}

// --- opening: the kernel's side ----------------------------------------------------------------
static int start_tap(struct ethdev *d, const struct port_env *env)
{
	struct rte_eth_conf conf = {};
	int err = rte_eth_dev_configure(d->kernel_dev, env->n_queues, env->n_queues, &conf);

	// A tap has as many queues as there are descriptors: the kernel may use each in either direction.
	for (uint16_t q = 0; err == 0 && q < env->n_queues; q++) {
		err = rte_eth_rx_queue_setup(d->kernel_dev, q, N_RX_DESC / 4, SOCKET_ID_ANY, NULL,
					     env->rx_pool);
		if (err == 0)
			err = rte_eth_tx_queue_setup(d->kernel_dev, q, N_TX_DESC / 4, SOCKET_ID_ANY, NULL);
	}
	return err ? err : rte_eth_dev_start(d->kernel_dev);
}

// A tap named sluiceN with the device's MAC and our addresses. Failing is no error: neigh.c answers then.
static void open_kernel_path(struct ethdev *d, const struct port_env *env)
{
	char name[32], iface[IFNAMSIZ], args[128];
	const uint8_t *mac = d->ours.mac;

	snprintf(name, sizeof(name), "net_tap_sluice%u", env->index);
	snprintf(iface, sizeof(iface), "sluice%u", env->index);
	snprintf(args, sizeof(args), "%s,iface=%s,mac=%02x:%02x:%02x:%02x:%02x:%02x", name, iface, mac[0],
		 mac[1], mac[2], mac[3], mac[4], mac[5]);
	int err = rte_dev_probe(args);
	if (err == 0 && rte_eth_dev_get_port_by_name(name, &d->kernel_dev) == 0) {
		err = start_tap(d, env);
		if (err == 0)
			err = kernel_set_addresses(iface, &d->ours);
		d->has_kernel = err == 0;
		if (err < 0)
			close_dev(d->kernel_dev, false);
	}
	if (!d->has_kernel)
		log_warn("port %u (%s): no kernel interface %s for what is not media (%s): answering ARP, "
			 "neighbour "
			 "solicitations and ping here, dropping the rest",
			 env->index, d->name, iface, strerror(-err));
}

// Value of an option of ours that is on or off, and on when it is absent.
static int spec_switch(const struct port_env *env, const char *spec, const char *key, bool *is_on)
{
	char value[8];

	spec_get(spec, key, value, sizeof(value));
	*is_on = strcmp(value, "off") != 0;
	if (*is_on && *value && strcmp(value, "on") != 0) {
		snprintf(env->error, env->error_size, "port %u: %s: \"%s=\" is on or off", env->index, spec,
			 key);
		return -EINVAL;
	}
	return 0;
}

static int open_device(struct ethdev *d, const struct port_env *env, const char *spec)
{
	char args[SPEC_SIZE];
	bool wants_kernel;
	int object = -1, err;

	spec_copy(spec, args, sizeof(args));
	err = spec_switch(env, spec, "kernel", &wants_kernel);
	if (err == 0)
		err = spec_switch(env, spec, "offloads", &d->has_offloads);
	if (err == 0 && d->is_shared) {
		err = prepare_shared(d, env, args);
		if (err == 0)
			err = complete_args(d, env, args, &object);
	}
	if (err == 0)
		err = probe(d, env, args);
	if (err == 0) {
		err = configure(d, env);
		if (err == 0 && d->is_af_xdp) {
			err = xdp_filter_set((int)if_nametoindex(d->iface), &d->ours);
			if (err < 0)
				fail(env, err, "XDP filter",
				     "another program took its place on the interface");
		}
		if (err < 0)
			close_dev(d->dev, false);
	}
	if (object >= 0)
		close(object);
	if (err == 0 && !d->is_shared && wants_kernel)
		open_kernel_path(d, env);
	if (err == 0 && !d->is_shared && !d->has_kernel)
		announce(d, env->rx_pool);
	return err;
}

struct port *port_ethdev_open(const struct port_env *env, const char *spec)
{
	struct ethdev *d = calloc(1, sizeof(*d));

	if (!d)
		return err_null(ENOMEM);
	d->port = (struct port){.ops = &ethdev_ops, .index = env->index, .n_queues = env->n_queues};
	d->ours.media_port = env->media_port;
	d->is_af_xdp = starts_with(spec, "net_af_xdp");
	d->is_shared = d->is_af_xdp || starts_with(spec, "net_af_packet");
	for (unsigned i = 0; i < MAX_DEV_QUEUES; i++)
		rte_spinlock_init(&d->tx_lock[i]);
	int err = read_addresses(d, env);
	if (err == 0)
		err = open_device(d, env, spec);
	if (err < 0) {
		kernel_claim_close(&d->claim);
		free(d);
		return err_null(-err);
	}
	return &d->port;
}
