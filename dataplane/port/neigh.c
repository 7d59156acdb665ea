#include "dataplane/port/neigh.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>

#define IPV4_FRAGMENT (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)
#define ICMP6_ECHO 128
#define ICMP6_ECHO_REPLY 129
#define ICMP6_SOLICIT 135
#define ICMP6_ADVERT 136
#define SOLICIT_LEN offsetof(struct nd_msg, option)
#define ADVERT_LEN sizeof(struct nd_msg)
#define ADVERT_SOLICITED 0x40
#define ADVERT_OVERRIDE 0x20
#define ND_HOP_LIMIT 255
#define ND_OPTION_TARGET 2 // its link-layer address

// Neighbour solicitation, up to option, and advertisement: RFC 4861 sections 4.3, 4.4 and 4.6.1. DPDK has no struct
// for them.
struct nd_msg {
	uint8_t type, code;
	rte_be16_t cksum;
	uint8_t flags, rsvd[3];
	uint8_t target[16];
	struct {
		uint8_t type;
		uint8_t n_units; // of eight bytes, the whole option
		uint8_t mac[6];
	} option;
} __rte_packed;
static_assert(sizeof(struct nd_msg) == 32);

static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static bool is_our_ipv4(const struct frame_ours *ours, const void *ip)
{
	return frame_is_ours(ours, 4, ip);
}

// Ethernet header of the answer: back to whom it came from.
static void turn_ether(const struct frame_ours *ours, struct rte_ether_hdr *eth)
{
	eth->dst_addr = eth->src_addr;
	memcpy(&eth->src_addr, ours->mac, sizeof(eth->src_addr));
}

// Checksum of an ICMPv6 message over its pseudo header, in memory order: 0xffff when the field in it is right.
static uint16_t icmp6_sum(const struct rte_ipv6_hdr *ip, const void *icmp)
{
	uint16_t len = ntohs(ip->payload_len);
	uint32_t sum = rte_raw_cksum(ip->src_addr, 2 * sizeof(ip->src_addr)) + rte_raw_cksum(icmp, len);

	sum += ip->payload_len + htons(IPPROTO_ICMPV6);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

// --- IPv4 --------------------------------------------------------------------------------------
static bool answer_arp(const struct frame_ours *ours, struct rte_ether_hdr *eth, struct rte_arp_hdr *arp,
		       size_t left)
{
	struct rte_arp_ipv4 *who = &arp->arp_data;

	if (left < sizeof(*arp) || arp->arp_hardware != htons(RTE_ARP_HRD_ETHER) ||
	    arp->arp_protocol != htons(RTE_ETHER_TYPE_IPV4) || arp->arp_hlen != RTE_ETHER_ADDR_LEN ||
	    arp->arp_plen != sizeof(who->arp_tip) || arp->arp_opcode != htons(RTE_ARP_OP_REQUEST) ||
	    !is_our_ipv4(ours, &who->arp_tip) || is_our_ipv4(ours, &who->arp_sip))
		return false;
	uint32_t asked_for = who->arp_tip;
	arp->arp_opcode = htons(RTE_ARP_OP_REPLY);
	who->arp_tha = who->arp_sha;
	who->arp_tip = who->arp_sip;
	who->arp_sip = asked_for;
	memcpy(&who->arp_sha, ours->mac, sizeof(who->arp_sha));
	turn_ether(ours, eth);
	return true;
}

// An echo request to us from another host: RFC 792.
static bool is_ping4(const struct frame_ours *ours, const struct rte_ipv4_hdr *ip, size_t left)
{
	const struct rte_icmp_hdr *icmp = (const void *)(ip + 1);
	const uint8_t *src = (const void *)&ip->src_addr;

	if (left < sizeof(*ip) + sizeof(*icmp) || ip->version_ihl != RTE_IPV4_VHL_DEF ||
	    ip->next_proto_id != IPPROTO_ICMP || ntohs(ip->fragment_offset) & IPV4_FRAGMENT)
		return false;
	size_t ip_len = ntohs(ip->total_length);
	return ip_len >= sizeof(*ip) + sizeof(*icmp) && ip_len <= left &&
	       icmp->icmp_type == RTE_IP_ICMP_ECHO_REQUEST && icmp->icmp_code == 0 &&
	       is_our_ipv4(ours, &ip->dst_addr) && !is_our_ipv4(ours, src) && src[0] < 224 && src[0] != 127 &&
	       src[0] != 0 && rte_raw_cksum(ip, sizeof(*ip)) == 0xffff &&
	       rte_raw_cksum(icmp, ip_len - sizeof(*ip)) == 0xffff;
}

static bool answer_ping4(const struct frame_ours *ours, struct rte_ether_hdr *eth, struct rte_ipv4_hdr *ip,
			 size_t left)
{
	struct rte_icmp_hdr *icmp = (void *)(ip + 1);

	if (!is_ping4(ours, ip, left))
		return false;
	uint32_t us = ip->dst_addr;
	ip->dst_addr = ip->src_addr;
	ip->src_addr = us;
	ip->time_to_live = FRAME_TTL;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	icmp->icmp_type = RTE_IP_ICMP_ECHO_REPLY;
	icmp->icmp_cksum = 0;
	icmp->icmp_cksum = (uint16_t)~rte_raw_cksum(icmp, ntohs(ip->total_length) - sizeof(*ip));
	turn_ether(ours, eth);
	return true;
}

// --- IPv6 --------------------------------------------------------------------------------------
// The advertisement behind ip, whose addresses are set.
static void write_advert(const struct frame_ours *ours, struct rte_ipv6_hdr *ip, const uint8_t target[16],
			 uint8_t flags)
{
	struct nd_msg *nd = (void *)(ip + 1);

	ip->payload_len = htons(sizeof(*nd));
	ip->hop_limits = ND_HOP_LIMIT;
	*nd = (struct nd_msg){
		.type = ICMP6_ADVERT, .flags = flags, .option = {.type = ND_OPTION_TARGET, .n_units = 1}};
	memcpy(nd->target, target, sizeof(nd->target));
	memcpy(nd->option.mac, ours->mac, sizeof(nd->option.mac));
	nd->cksum = (uint16_t)~icmp6_sum(ip, nd);
}

// Whoever asks gave its link-layer address, or is the source of the frame; either way eth's source is right.
static bool answer_solicit(const struct frame_ours *ours, struct rte_mbuf *m, struct rte_ether_hdr *eth,
			   struct rte_ipv6_hdr *ip)
{
	static const uint8_t zeros[16];
	const struct nd_msg *nd = (const void *)(ip + 1);
	size_t want = (size_t)((const uint8_t *)(nd + 1) - (const uint8_t *)eth);
	uint8_t target[16], flags = ADVERT_SOLICITED | ADVERT_OVERRIDE;

	if (ntohs(ip->payload_len) < SOLICIT_LEN || ip->hop_limits != ND_HOP_LIMIT || nd->code != 0 ||
	    !frame_is_ours(ours, 6, nd->target) || icmp6_sum(ip, nd) != 0xffff || ip->src_addr[0] == 0xff ||
	    (want > m->data_len && want - m->data_len > rte_pktmbuf_tailroom(m)))
		return false;
	memcpy(target, nd->target, sizeof(target));
	m->data_len = (uint16_t)RTE_MAX(want, (size_t)m->data_len);
	m->pkt_len = m->data_len;
	turn_ether(ours, eth);
	if (memcmp(ip->src_addr, zeros, sizeof(zeros)) == 0) { // duplicate address detection: tell all nodes
		memcpy(ip->dst_addr, all_nodes, sizeof(ip->dst_addr));
		memcpy(&eth->dst_addr, all_nodes_mac, sizeof(eth->dst_addr));
		flags = ADVERT_OVERRIDE;
	} else {
		memcpy(ip->dst_addr, ip->src_addr, sizeof(ip->dst_addr));
	}
	memcpy(ip->src_addr, target, sizeof(ip->src_addr));
	write_advert(ours, ip, target, flags);
	return true;
}

static bool answer_ping6(const struct frame_ours *ours, struct rte_ether_hdr *eth, struct rte_ipv6_hdr *ip)
{
	struct rte_icmp_hdr *icmp = (void *)(ip + 1);
	uint8_t us[16];

	if (icmp->icmp_code != 0 || !frame_is_ours(ours, 6, ip->dst_addr) ||
	    frame_is_ours(ours, 6, ip->src_addr) || ip->src_addr[0] == 0xff || icmp6_sum(ip, icmp) != 0xffff)
		return false;
	memcpy(us, ip->dst_addr, sizeof(us));
	memcpy(ip->dst_addr, ip->src_addr, sizeof(us));
	memcpy(ip->src_addr, us, sizeof(us));
	ip->hop_limits = FRAME_TTL;
	icmp->icmp_type = ICMP6_ECHO_REPLY;
	icmp->icmp_cksum = 0;
	icmp->icmp_cksum = (uint16_t)~icmp6_sum(ip, icmp);
	turn_ether(ours, eth);
	return true;
}

static bool answer_ipv6(const struct frame_ours *ours, struct rte_mbuf *m, struct rte_ether_hdr *eth,
			struct rte_ipv6_hdr *ip, size_t left)
{
	const struct rte_icmp_hdr *icmp = (const void *)(ip + 1); // what all messages begin with

	if (left < sizeof(*ip) + sizeof(*icmp) || ntohl(ip->vtc_flow) >> 28 != 6 ||
	    ip->proto != IPPROTO_ICMPV6 || ntohs(ip->payload_len) < sizeof(*icmp) ||
	    ntohs(ip->payload_len) > left - sizeof(*ip))
		return false;
	if (icmp->icmp_type == ICMP6_SOLICIT)
		return answer_solicit(ours, m, eth, ip);
	return icmp->icmp_type == ICMP6_ECHO && answer_ping6(ours, eth, ip);
}

bool neigh_answer(const struct frame_ours *ours, struct rte_mbuf *m)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, void *);
	struct rte_vlan_hdr *tag = (void *)(eth + 1);

	if (m->data_len < sizeof(*eth) + sizeof(*tag))
		return false;
	bool has_tag = eth->ether_type == htons(RTE_ETHER_TYPE_VLAN);
	void *l3 = has_tag ? (void *)(tag + 1) : tag;
	size_t left = m->data_len - sizeof(*eth) - (has_tag ? sizeof(*tag) : 0);
	switch (ntohs(has_tag ? tag->eth_proto : eth->ether_type)) {
	case RTE_ETHER_TYPE_ARP:
		return answer_arp(ours, eth, l3, left);
	case RTE_ETHER_TYPE_IPV4:
		return answer_ping4(ours, eth, l3, left);
	case RTE_ETHER_TYPE_IPV6:
		return answer_ipv6(ours, m, eth, l3, left);
	default:
		return false;
	}
}

// --- announcements -----------------------------------------------------------------------------
static void start_ether(const struct frame_ours *ours, const uint8_t to[6], uint16_t type,
			struct rte_ether_hdr *eth)
{
	memcpy(&eth->dst_addr, to, sizeof(eth->dst_addr));
	memcpy(&eth->src_addr, ours->mac, sizeof(eth->src_addr));
	eth->ether_type = htons(type);
}

static void announce_arp(const struct frame_ours *ours, const uint8_t ip[4], struct rte_ether_hdr *eth)
{
	struct rte_arp_hdr *arp = (void *)(eth + 1);

	start_ether(ours, broadcast_mac, RTE_ETHER_TYPE_ARP, eth);
	*arp = (struct rte_arp_hdr){.arp_hardware = htons(RTE_ARP_HRD_ETHER),
				    .arp_protocol = htons(RTE_ETHER_TYPE_IPV4),
				    .arp_hlen = RTE_ETHER_ADDR_LEN,
				    .arp_plen = sizeof(arp->arp_data.arp_sip),
				    .arp_opcode = htons(RTE_ARP_OP_REQUEST)};
	memcpy(&arp->arp_data.arp_sha, ours->mac, sizeof(arp->arp_data.arp_sha));
	memcpy(&arp->arp_data.arp_sip, ip, sizeof(arp->arp_data.arp_sip));
	arp->arp_data.arp_tip = arp->arp_data.arp_sip;
}

static void announce_advert(const struct frame_ours *ours, const uint8_t target[16],
			    struct rte_ether_hdr *eth)
{
	struct rte_ipv6_hdr *ip = (void *)(eth + 1);

	start_ether(ours, all_nodes_mac, RTE_ETHER_TYPE_IPV6, eth);
	*ip = (struct rte_ipv6_hdr){.vtc_flow = htonl(6u << 28), .proto = IPPROTO_ICMPV6};
	memcpy(ip->src_addr, target, sizeof(ip->src_addr));
	memcpy(ip->dst_addr, all_nodes, sizeof(ip->dst_addr));
	write_advert(ours, ip, target, ADVERT_OVERRIDE);
}

bool neigh_announce(const struct frame_ours *ours, unsigned i, struct rte_mbuf *m)
{
	bool is_v4 = ours->addr[i].family == 4;
	size_t len = is_v4 ? sizeof(struct rte_arp_hdr) : sizeof(struct rte_ipv6_hdr) + ADVERT_LEN;
	assert(i < ours->n && m->data_len == 0);
	void *eth = rte_pktmbuf_append(m, (uint16_t)(FRAME_ETH_LEN + len));

	if (!eth)
		return false;
	if (is_v4)
		announce_arp(ours, ours->addr[i].ip, eth);
	else
		announce_advert(ours, ours->addr[i].ip, eth);
	return true;
}
