#include "dataplane/port/neigh.h"

#include <arpa/inet.h>
#include <string.h>

#include <rte_ip.h>

#include "lib/base/buf.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IPV6 0x86dd
#define ARP_LEN 28
#define ARP_REQUEST 1
#define ARP_REPLY 2
#define IPV4_LEN 20
#define IPV6_LEN 40
#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO 8
#define ICMP6_ECHO 128
#define ICMP6_ECHO_REPLY 129
#define ICMP6_SOLICIT 135
#define ICMP6_ADVERT 136
#define ADVERT_LEN 32 // with the target's link-layer address option
#define ADVERT_SOLICITED 0x40
#define ADVERT_OVERRIDE 0x20
#define ND_HOP_LIMIT 255

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void swap(uint8_t *a, uint8_t *b, size_t len)
{
	uint8_t tmp[16];

	memcpy(tmp, a, len);
	memcpy(a, b, len);
	memcpy(b, tmp, len);
}

// Ethernet header of the answer: back to whom it came from.
static void turn_eth(const struct frame_ours *ours, uint8_t *eth)
{
	memcpy(eth, eth + 6, 6);
	memcpy(eth + 6, ours->mac, 6);
}

static void store_sum(uint8_t *at, uint16_t sum) // inverted, in memory order
{
	sum = (uint16_t)~sum;
	memcpy(at, &sum, 2);
}

// Checksum of an ICMPv6 message over its pseudo header, 0xffff when the field in it is right.
static uint16_t icmp6_sum(const uint8_t *ip, const uint8_t *icmp, uint16_t len)
{
	uint32_t sum = rte_raw_cksum(ip + 8, 32) + rte_raw_cksum(icmp, len);

	sum += htons(len) + htons(IPPROTO_ICMPV6);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

// --- IPv4 --------------------------------------------------------------------------------------
static bool answer_arp(const struct frame_ours *ours, uint8_t *eth, size_t l2_len, size_t len)
{
	static const uint8_t ether_ipv4[6] = {0, 1, 8, 0, 6, 4};
	uint8_t *arp = eth + l2_len;

	if (len < l2_len + ARP_LEN || memcmp(arp, ether_ipv4, 6) != 0 || be16_get(arp + 6) != ARP_REQUEST ||
	    !frame_is_ours(ours, 4, arp + 24) || frame_is_ours(ours, 4, arp + 14))
		return false;
	be16_put(arp + 6, ARP_REPLY);
	memcpy(arp + 18, arp + 8, 6); // target MAC: who asked
	swap(arp + 14, arp + 24, 4);  // sender IP: the one asked for
	memcpy(arp + 8, ours->mac, 6);
	turn_eth(ours, eth);
	return true;
}

static bool answer_ping4(const struct frame_ours *ours, uint8_t *eth, size_t l2_len, size_t len)
{
	uint8_t *ip = eth + l2_len, *icmp = ip + IPV4_LEN;

	if (len < l2_len + IPV4_LEN + 8 || ip[0] != 0x45 || ip[9] != IPPROTO_ICMP ||
	    be16_get(ip + 6) & 0x3fff)
		return false;
	uint16_t ip_len = be16_get(ip + 2);
	if (ip_len < IPV4_LEN + 8 || ip_len > len - l2_len || icmp[0] != ICMP_ECHO || icmp[1] != 0 ||
	    !frame_is_ours(ours, 4, ip + 16) || frame_is_ours(ours, 4, ip + 12) || ip[12] >= 224 ||
	    ip[12] == 127 || ip[12] == 0 || rte_raw_cksum(ip, IPV4_LEN) != 0xffff ||
	    rte_raw_cksum(icmp, (size_t)(ip_len - IPV4_LEN)) != 0xffff)
		return false;
	swap(ip + 12, ip + 16, 4);
	ip[8] = FRAME_TTL;
	memset(ip + 10, 0, 2);
	store_sum(ip + 10, rte_raw_cksum(ip, IPV4_LEN));
	icmp[0] = ICMP_ECHO_REPLY;
	memset(icmp + 2, 0, 2);
	store_sum(icmp + 2, rte_raw_cksum(icmp, (size_t)(ip_len - IPV4_LEN)));
	turn_eth(ours, eth);
	return true;
}

// --- IPv6 --------------------------------------------------------------------------------------
static void write_advert(const struct frame_ours *ours, uint8_t *ip, const uint8_t *target, uint8_t flags)
{
	uint8_t *icmp = ip + IPV6_LEN;

	be16_put(ip + 4, ADVERT_LEN);
	ip[7] = ND_HOP_LIMIT;
	memmove(icmp + 8, target, 16);
	memset(icmp, 0, 8);
	icmp[0] = ICMP6_ADVERT;
	icmp[4] = flags;
	icmp[24] = 2; // option: target's link-layer address
	icmp[25] = 1; // 8 bytes
	memcpy(icmp + 26, ours->mac, 6);
	store_sum(icmp + 2, icmp6_sum(ip, icmp, ADVERT_LEN));
}

// The asker gave its link-layer address, or is the source of the frame; either way eth's source is right.
static bool answer_solicit(const struct frame_ours *ours, struct rte_mbuf *m, uint8_t *eth, size_t l2_len)
{
	static const uint8_t zeros[16];
	uint8_t *ip = eth + l2_len, *icmp = ip + IPV6_LEN;
	uint16_t len = be16_get(ip + 4);
	uint8_t target[16], flags = ADVERT_SOLICITED | ADVERT_OVERRIDE;
	size_t want = l2_len + IPV6_LEN + ADVERT_LEN;

	if (len < 24 || ip[7] != ND_HOP_LIMIT || icmp[1] != 0 || !frame_is_ours(ours, 6, icmp + 8) ||
	    icmp6_sum(ip, icmp, len) != 0xffff || ip[8] == 0xff ||
	    (want > m->data_len && want - m->data_len > rte_pktmbuf_tailroom(m)))
		return false;
	memcpy(target, icmp + 8, 16);
	m->data_len = (uint16_t)RTE_MAX(want, (size_t)m->data_len);
	m->pkt_len = m->data_len;
	turn_eth(ours, eth);
	if (memcmp(ip + 8, zeros, 16) == 0) { // duplicate address detection: tell all nodes
		static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
		static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
		memcpy(ip + 24, all_nodes, 16);
		memcpy(eth, all_nodes_mac, 6);
		flags = ADVERT_OVERRIDE;
	} else {
		memcpy(ip + 24, ip + 8, 16);
	}
	memcpy(ip + 8, target, 16);
	write_advert(ours, ip, target, flags);
	return true;
}

static bool answer_ping6(const struct frame_ours *ours, uint8_t *eth, size_t l2_len)
{
	uint8_t *ip = eth + l2_len, *icmp = ip + IPV6_LEN;
	uint16_t len = be16_get(ip + 4);

	if (icmp[1] != 0 || !frame_is_ours(ours, 6, ip + 24) || frame_is_ours(ours, 6, ip + 8) ||
	    ip[8] == 0xff || icmp6_sum(ip, icmp, len) != 0xffff)
		return false;
	swap(ip + 8, ip + 24, 16);
	ip[7] = FRAME_TTL;
	icmp[0] = ICMP6_ECHO_REPLY;
	memset(icmp + 2, 0, 2);
	store_sum(icmp + 2, icmp6_sum(ip, icmp, len));
	turn_eth(ours, eth);
	return true;
}

static bool answer_ipv6(const struct frame_ours *ours, struct rte_mbuf *m, uint8_t *eth, size_t l2_len)
{
	uint8_t *ip = eth + l2_len;

	if (m->data_len < l2_len + IPV6_LEN + 8 || ip[0] >> 4 != 6 || ip[6] != IPPROTO_ICMPV6 ||
	    be16_get(ip + 4) < 8 || be16_get(ip + 4) > m->data_len - l2_len - IPV6_LEN)
		return false;
	if (ip[IPV6_LEN] == ICMP6_SOLICIT)
		return answer_solicit(ours, m, eth, l2_len);
	return ip[IPV6_LEN] == ICMP6_ECHO && answer_ping6(ours, eth, l2_len);
}

bool neigh_answer(const struct frame_ours *ours, struct rte_mbuf *m)
{
	uint8_t *eth = rte_pktmbuf_mtod(m, uint8_t *);
	size_t l2_len = FRAME_ETH_LEN;

	if (m->data_len < FRAME_ETH_LEN + 4 + 2)
		return false;
	uint16_t type = be16_get(eth + 12);
	if (type == 0x8100) {
		type = be16_get(eth + 16);
		l2_len += 4;
	}
	switch (type) {
	case ETHERTYPE_ARP:
		return answer_arp(ours, eth, l2_len, m->data_len);
	case ETHERTYPE_IPV4:
		return answer_ping4(ours, eth, l2_len, m->data_len);
	case ETHERTYPE_IPV6:
		return answer_ipv6(ours, m, eth, l2_len);
	default:
		return false;
	}
}

// --- announcements -----------------------------------------------------------------------------
static void announce_arp(const struct frame_ours *ours, const uint8_t *ip, uint8_t *eth)
{
	static const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, ARP_REQUEST};
	uint8_t *arp = eth + FRAME_ETH_LEN;

	memcpy(eth, broadcast, 6);
	memcpy(eth + 6, ours->mac, 6);
	be16_put(eth + 12, ETHERTYPE_ARP);
	memcpy(arp, head, sizeof(head));
	memcpy(arp + 8, ours->mac, 6);
	memcpy(arp + 14, ip, 4);
	memset(arp + 18, 0, 6);
	memcpy(arp + 24, ip, 4);
}

static void announce_advert(const struct frame_ours *ours, const uint8_t *target, uint8_t *eth)
{
	static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
	uint8_t *ip = eth + FRAME_ETH_LEN;

	memcpy(eth, all_nodes_mac, 6);
	memcpy(eth + 6, ours->mac, 6);
	be16_put(eth + 12, ETHERTYPE_IPV6);
	memset(ip, 0, IPV6_LEN);
	ip[0] = 0x60;
	ip[6] = IPPROTO_ICMPV6;
	memcpy(ip + 8, target, 16);
	ip[24] = 0xff;
	ip[25] = 0x02;
	ip[39] = 1;
	write_advert(ours, ip, target, ADVERT_OVERRIDE);
}

bool neigh_announce(const struct frame_ours *ours, unsigned i, struct rte_mbuf *m)
{
	bool is_v4 = ours->addr[i].family == 4;
	uint8_t *eth =
		(void *)rte_pktmbuf_append(m, FRAME_ETH_LEN + (is_v4 ? ARP_LEN : IPV6_LEN + ADVERT_LEN));

	if (!eth)
		return false;
	if (is_v4)
		announce_arp(ours, ours->addr[i].ip, eth);
	else
		announce_advert(ours, ours->addr[i].ip, eth);
	return true;
}
