// The device path on devices without hardware, with what a device claims to do forced on and off: net_ring gives back
// what it is sent, net_null takes all and makes up frames.
#include <rte_ethdev.h>

#include "tests/support/dataplane/frames.h"
#include "tests/support/dataplane/rig.h"

static struct {
	bool is_on;           // else the device speaks for itself
	uint64_t rx, tx, rss; // claimed
	uint16_t n_queues;
} forced;
static struct rte_eth_conf asked; // by the port, of the device
static uint8_t asked_key[64];

static int info_forced(uint16_t dev, struct rte_eth_dev_info *info)
{
	int err = rte_eth_dev_info_get(dev, info);

	if (!forced.is_on)
		return err;
	info->rx_offload_capa = forced.rx;
	info->tx_offload_capa = forced.tx;
	info->flow_type_rss_offloads = forced.rss;
	info->hash_key_size = 40;
	return err;
}

// The real device is asked for nothing it cannot do.
static int configure_forced(uint16_t dev, uint16_t n_rxq, uint16_t n_txq, const struct rte_eth_conf *conf)
{
	struct rte_eth_conf able = *conf;

	asked = *conf;
	if (conf->rx_adv_conf.rss_conf.rss_key)
		memcpy(asked_key, conf->rx_adv_conf.rss_conf.rss_key, conf->rx_adv_conf.rss_conf.rss_key_len);
	if (forced.is_on) {
		able.rxmode = (struct rte_eth_rxmode){};
		able.txmode = (struct rte_eth_txmode){};
		able.rx_adv_conf.rss_conf = (struct rte_eth_rss_conf){};
	}
	return rte_eth_dev_configure(dev, n_rxq, n_txq, &able);
}

static int tx_queue_forced(uint16_t dev, uint16_t q, uint16_t n, unsigned socket,
			   const struct rte_eth_txconf *conf)
{
	struct rte_eth_txconf able = *conf;

	if (forced.is_on)
		able.offloads = 0;
	return rte_eth_tx_queue_setup(dev, q, n, socket, &able);
}

#define rte_eth_dev_info_get info_forced
#define rte_eth_dev_configure configure_forced
#define rte_eth_tx_queue_setup tx_queue_forced
#include "dataplane/port/ethdev_device.c"
#undef rte_eth_dev_info_get
#undef rte_eth_dev_configure
#undef rte_eth_tx_queue_setup

#define ALL_TX (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
#define ALL_RX (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
#define ALL_RSS (RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_UDP)

static struct port *port;
static char error[256];

static void force(bool can)
{
	forced.is_on = true;
	forced.rx = can ? ALL_RX : 0;
	forced.tx = can ? ALL_TX : 0;
	forced.rss = can ? ALL_RSS : 0;
}

static bool open_port(const char *spec)
{
	struct port_env env = {.conf = &rig.conf,
			       .index = 0,
			       .n_queues = 2,
			       .media_port = 8443,
			       .rx_pool = rig.dp->rx_pool,
			       .error = error,
			       .error_size = sizeof(error)};

	error[0] = '\0';
	rig.conf.dataplane.addresses = (struct conf_list){.item = {"192.0.2.5/24", "2001:db8::5/64"}, .n = 2};
	asked = (struct rte_eth_conf){};
	port = port_ethdev_open(&env, spec);
	return port != NULL;
}

static void close_port(void)
{
	if (port)
		port->ops->close(port);
	port = NULL;
	forced.is_on = false;
	rig.conf.dataplane.addresses = (struct conf_list){};
}

// What the other end of the cable sees and sends.
static bool wire_put(const struct test_udp *u, uint64_t ol_flags, bool is_damaged)
{
	static struct test_frame f;
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.dp->rx_pool);

	test_udp(&f, u);
	memcpy(rte_pktmbuf_append(m, f.m.data_len), rte_pktmbuf_mtod(&f.m, void *), f.m.data_len);
	if (is_damaged)
		rte_pktmbuf_mtod(m, uint8_t *)[f.m.data_len - 1] ^= 1;
	m->ol_flags = ol_flags;
	return rte_eth_tx_burst(ethdev_of(port)->dev, 0, &m, 1) == 1;
}

static struct rte_mbuf *wire_get(void)
{
	struct rte_mbuf *m;

	for (uint16_t q = 0; q < ethdev_of(port)->n_rxq; q++)
		if (rte_eth_rx_burst(ethdev_of(port)->dev, q, &m, 1) == 1)
			return m;
	return NULL;
}

static struct rte_mbuf *receive(void)
{
	struct rte_mbuf *m[BURST];
	unsigned n = 0;

	for (unsigned q = 0; q < 2 && n == 0; q++)
		n = port->ops->rx(port, q, m, BURST);
	return n == 1 ? m[0] : NULL;
}

// A datagram comes and is answered. can: the device makes checksums, so those on the wire are its own to finish.
static void echo(bool is_v6, bool has_vlan, bool can)
{
	struct test_udp u = {.is_v6 = is_v6, .has_vlan = has_vlan, .sport = 5000, .dport = 8443, .len = 50};
	struct frame_ours peers = {.media_port = 5000, .check_udp = true};
	struct rte_mbuf *m, *answer = rte_pktmbuf_alloc(rig.dp->tx_pool);
	const struct path *paths[1];
	struct path path;
	uint64_t want = RTE_MBUF_F_TX_UDP_CKSUM |
			(is_v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM);

	CHECK(wire_put(&u, 0, false));
	m = receive();
	CHECK_OR_RETURN(m != NULL);
	CHECK_EQ(m->data_len, 50);
	CHECK_EQ(pkt_of(m)->key.remote_port, 5000);
	port->ops->path_fill(port, m, &path);
	mbuf_done(m);
	memset(rte_pktmbuf_append(answer, 33), 7, 33);
	paths[0] = &path;
	port->ops->tx(port, 0, &answer, paths, 1);
	m = wire_get();
	CHECK_OR_RETURN(m != NULL);
	CHECK_EQ(m->ol_flags & (RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_IPV4 |
				RTE_MBUF_F_TX_IPV6),
		 can ? want : 0);
	CHECK_EQ(rte_pktmbuf_mtod(m, uint8_t *)[12] == 0x81, has_vlan);
	CHECK_EQ(frame_add_address(&peers, is_v6 ? "2001:db8:100::7" : "198.51.100.7"), 0);
	m->ol_flags =
		can ? RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0; // as if it were finished
	CHECK_EQ(frame_parse(&peers, m), FRAME_MEDIA);
	CHECK_EQ(m->data_len, 33);
	mbuf_done(m);
}

static void checksums(void)
{
	CHECK_OR_RETURN(rig_open(2));
	for (unsigned can = 0; can < 2; can++) {
		force(can);
		CHECK_OR_RETURN(open_port("net_ring0,kernel=off"));
		CHECK_EQ(asked.txmode.offloads, can ? ALL_TX : 0);
		CHECK_EQ(asked.rxmode.offloads, can ? ALL_RX : 0);
		for (unsigned shape = 0; shape < 4; shape++)
			echo(shape & 1, shape & 2, can);
		close_port();
	}
	rig_close();
}

static void offloads_off(void)
{
	CHECK_OR_RETURN(rig_open(2));
	force(true);
	CHECK_OR_RETURN(open_port("net_ring0,kernel=off,offloads=off"));
	CHECK_EQ(asked.txmode.offloads, 0);
	CHECK_EQ(asked.rxmode.offloads, 0);
	echo(false, false, false);
	close_port();
	CHECK(!open_port("net_ring0,offloads=maybe"));
	CHECK_STR(error, "port 0: net_ring0,offloads=maybe: \"offloads=\" is on or off");
	close_port();
	rig_close();
}

// The device's word about a checksum counts, where it gives one; else the sum is made here.
static void damaged_ones(void)
{
	const struct test_udp u = {.sport = 5000, .dport = 8443, .len = 50};
	struct rte_mbuf *m;

	CHECK_OR_RETURN(rig_open(2));
	force(true);
	CHECK_OR_RETURN(open_port("net_ring0,kernel=off"));
	CHECK(wire_put(&u, 0, true));
	CHECK(receive() == NULL);
	CHECK(wire_put(&u, RTE_MBUF_F_RX_L4_CKSUM_BAD, false));
	CHECK(receive() == NULL);
	CHECK_EQ(port->stats[0].rx_bad + port->stats[1].rx_bad, 2);
	CHECK(wire_put(&u, RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD, true));
	m = receive();
	CHECK(m != NULL); // not looked at again: SRTP and STUN authenticate
	mbuf_done(m);
	close_port();
	rig_close();
}

static void queues_and_keys(void)
{
	uint8_t key[2][40];

	CHECK_OR_RETURN(rig_open(2));
	force(false);
	CHECK_OR_RETURN(open_port("net_ring0,kernel=off"));
	CHECK_EQ(ethdev_of(port)->n_rxq, 1); // nothing spreads flows: one worker receives
	CHECK_EQ(asked.rxmode.mq_mode, RTE_ETH_MQ_RX_NONE);
	close_port();
	for (unsigned i = 0; i < 2; i++) {
		force(true);
		CHECK_OR_RETURN(open_port("net_ring0,kernel=off"));
		CHECK_EQ(ethdev_of(port)->n_rxq, 2);
		CHECK_EQ(asked.rxmode.mq_mode, RTE_ETH_MQ_RX_RSS);
		CHECK_EQ(asked.rx_adv_conf.rss_conf.rss_hf, ALL_RSS);
		CHECK_EQ(asked.rx_adv_conf.rss_conf.rss_key_len, 40);
		memcpy(key[i], asked_key, sizeof(key[i]));
		close_port();
	}
	CHECK(memcmp(key[0], key[1], sizeof(key[0])) != 0); // nobody can know which worker a flow goes to
	rig_close();
}

// Through the whole path: frames of 64 zeros come from every queue, and a burst leaves.
static void feed_on_nothing(unsigned n_queues)
{
	struct rte_mbuf *m[BURST], *out[BURST];
	const struct path *paths[BURST];
	struct path path = {.hdr_len = 42, .key = {.family = 4}};

	CHECK_EQ(ethdev_of(port)->n_rxq, n_queues);
	CHECK_EQ(asked.rxmode.mq_mode, n_queues > 1 ? RTE_ETH_MQ_RX_RSS : RTE_ETH_MQ_RX_NONE);
	for (unsigned i = 0; i < 1000; i++)
		CHECK_EQ(port->ops->rx(port, i % 2, m, BURST), 0);
	CHECK_EQ(port->stats[0].rx_packets + port->stats[1].rx_packets, 0);
	for (unsigned i = 0; i < BURST; i++) {
		out[i] = rte_pktmbuf_alloc(rig.dp->tx_pool);
		memset(rte_pktmbuf_append(out[i], 100), 1, 100);
		paths[i] = &path;
	}
	port->ops->tx(port, 0, out, paths, BURST);
	CHECK_EQ(port->stats[0].tx_packets, BURST);
	close_port();
}

static void made_up_frames(void)
{
	CHECK_OR_RETURN(rig_open(2));
	CHECK_OR_RETURN(open_port("net_null0,kernel=off")); // as it is: it has RSS, and no checksums
	feed_on_nothing(2);
	for (unsigned can = 0; can < 2; can++) {
		force(can);
		CHECK_OR_RETURN(open_port("net_null0,kernel=off"));
		CHECK_EQ(asked.txmode.offloads, can ? ALL_TX : 0);
		CHECK_EQ(asked.rxmode.offloads, can ? ALL_RX : 0);
		feed_on_nothing(1 + can);
	}
	rig_close();
}

CU_TestInfo port_ethdev_tests[] = {
	{"checksums are the device's when it makes them, else ours: IPv4, IPv6, VLAN", checksums},
	{"offloads=off: ours, whatever the device says", offloads_off},
	{"a damaged datagram is dropped, by the device's word or ours", damaged_ones},
	{"flows are spread by a key that is drawn anew, or not at all", queues_and_keys},
	{"net_null, as it is and forced both ways: zeros are nobody's, what is sent is counted",
	 made_up_frames},
	CU_TEST_INFO_NULL,
};
