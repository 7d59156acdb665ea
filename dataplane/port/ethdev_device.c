// Setting an ethdev up: queues, RSS and offloads, and the tap that carries what is not media.
#include "dataplane/port/ethdev.h"

#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "dataplane/port/xdp_filter.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define N_RX_DESC 1024
#define N_TX_DESC 1024
#define WANTED_TX (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
#define WANTED_RX (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)

int ethdev_fail(const struct port_env *env, int err, const char *what, const char *fix)
{
	snprintf(env->error, env->error_size, "port %u: %s: %s%s%s", env->index, what, strerror(-err),
		 *fix ? ": " : "", fix);
	return err;
}

// --- opening: the device -----------------------------------------------------------------------
void device_close(uint16_t dev, bool is_started)
{
	struct rte_eth_dev_info info;

	if (rte_eth_dev_info_get(dev, &info) < 0)
		return;
	if (is_started)
		rte_eth_dev_stop(dev);
	rte_eth_dev_close(dev);
	rte_dev_remove(info.device);
}

static int device_probe(struct ethdev *d, const struct port_env *env, const char *args)
{
	snprintf(d->name, sizeof(d->name), "%.*s", (int)strcspn(args, ","), args);
	int err = rte_dev_probe(args);
	if (err < 0)
		return ethdev_fail(
			env, err == -ENOENT ? -ENODEV : err, args,
			"DPDK does not find the device: is the name right, is a NIC bound to vfio-pci "
			"(dpdk-devbind.py -s), has this process CAP_NET_RAW and CAP_NET_ADMIN?");
	if (rte_eth_dev_get_port_by_name(d->name, &d->dev) < 0)
		return ethdev_fail(env, -ENODEV, args, "it is no network device");
	return 0;
}

static void device_choose_queues(struct ethdev *d, const struct rte_eth_dev_info *info)
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
static void device_choose_rss(struct ethdev *d, const struct rte_eth_dev_info *info,
			      struct rte_eth_conf *conf, uint8_t key[64])
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

static int device_set_up_queues(struct ethdev *d, const struct port_env *env, const struct rte_eth_conf *conf,
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

static int device_configure(struct ethdev *d, const struct port_env *env)
{
	struct rte_eth_conf conf = {};
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	uint8_t rss_key[64];
	int err = rte_eth_dev_info_get(d->dev, &info);

	if (err < 0)
		return ethdev_fail(env, err, d->name, "");
	device_choose_queues(d, &info);
	device_choose_rss(d, &info, &conf, rss_key);
	conf.rxmode.offloads = d->has_offloads ? info.rx_offload_capa & WANTED_RX : 0;
	conf.txmode.offloads = d->has_offloads ? info.tx_offload_capa & WANTED_TX : 0;
	err = rte_eth_dev_configure(d->dev, d->n_rxq, d->n_txq, &conf);
	if (err == 0)
		err = device_set_up_queues(d, env, &conf, &info);
	if (err == 0)
		err = rte_eth_macaddr_get(d->dev, &mac);
	if (err == 0)
		err = rte_eth_dev_start(d->dev);
	if (err < 0)
		return ethdev_fail(
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

int device_open(struct ethdev *d, const struct port_env *env, const char *args)
{
	int err = device_probe(d, env, args);

	if (err < 0)
		return err;
	err = device_configure(d, env);
	if (err == 0 && d->is_af_xdp) {
		err = xdp_filter_set((int)if_nametoindex(d->iface), &d->ours);
		if (err < 0)
			ethdev_fail(env, err, "XDP filter",
				    "another program took its place on the interface");
	}
	if (err < 0)
		device_close(d->dev, false);
	return err;
}

// --- the kernel's side -------------------------------------------------------------------------
// --- opening: the kernel's side ----------------------------------------------------------------
static int tap_start(struct ethdev *d, const struct port_env *env)
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

void device_open_tap(struct ethdev *d, const struct port_env *env)
{
	char name[32], iface[IFNAMSIZ], args[128];
	const uint8_t *mac = d->ours.mac;

	snprintf(name, sizeof(name), "net_tap_sluice%u", env->index);
	snprintf(iface, sizeof(iface), "sluice%u", env->index);
	snprintf(args, sizeof(args), "%s,iface=%s,mac=%02x:%02x:%02x:%02x:%02x:%02x", name, iface, mac[0],
		 mac[1], mac[2], mac[3], mac[4], mac[5]);
	int err = rte_dev_probe(args);
	if (err == 0 && rte_eth_dev_get_port_by_name(name, &d->kernel_dev) == 0) {
		err = tap_start(d, env);
		if (err == 0)
			err = kernel_set_addresses(iface, &d->ours);
		d->has_kernel = err == 0;
		if (err < 0)
			device_close(d->kernel_dev, false);
	}
	if (!d->has_kernel)
		log_warn("port %u (%s): no kernel interface %s for what is not media (%s): answering ARP, "
			 "neighbour "
			 "solicitations and ping here, dropping the rest",
			 env->index, d->name, iface, strerror(-err));
}
