#include "dataplane/port/frame.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#define VLAN_ID_MASK 0x0fff
#define UDP_LEN sizeof(struct rte_udp_hdr)
#define IPV4_LEN sizeof(struct rte_ipv4_hdr)
#define IPV6_LEN sizeof(struct rte_ipv6_hdr)
#define IPV4_FRAGMENT (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)

// Ethernet headers are on even addresses in buffers and paths, the others' structs are packed.
static_assert(sizeof(struct rte_ether_hdr) == FRAME_ETH_LEN);
static_assert((offsetof(struct path, hdr) + sizeof(((struct path *)NULL)->hdr)) %
		      alignof(struct rte_ether_hdr) ==
	      0);

// --- one's complement sums in memory order -----------------------------------------------------
static uint16_t sum_bytes(const void *data, size_t len)
{
	return rte_raw_cksum(data, len);
}

static uint16_t sum_add(uint32_t a, uint32_t b)
{
	uint32_t sum = a + b;

	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

// --- addresses ---------------------------------------------------------------------------------
int frame_add_address(struct frame_ours *ours, const char *text)
{
	char ip[INET6_ADDRSTRLEN + 4];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned bits = 0;

	if (ours->n == FRAME_MAX_ADDRS)
		return -ENOSPC;
	if (len >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, text, len);
	ip[len] = '\0';
	typeof(ours->addr[0]) *a = &ours->addr[ours->n];
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, ip, a->ip) == 1)
		a->family = 4;
	else if (inet_pton(AF_INET6, ip, a->ip) == 1)
		a->family = 6;
	else
		return -EINVAL;
	unsigned max = a->family == 4 ? 32 : 128;
	for (const char *p = slash ? slash + 1 : NULL; p && *p; p++) {
		if (*p < '0' || *p > '9' || (bits = bits * 10 + (unsigned)(*p - '0')) > max)
			return -EINVAL;
	}
	a->prefix = (uint8_t)(slash ? bits : max);
	ours->n++;
	return 0;
}

bool frame_is_ours(const struct frame_ours *ours, uint8_t family, const uint8_t *ip)
{
	for (unsigned i = 0; i < ours->n; i++)
		if (ours->addr[i].family == family && memcmp(ours->addr[i].ip, ip, family == 4 ? 4 : 16) == 0)
			return true;
	return false;
}

// --- receive -----------------------------------------------------------------------------------
// What the headers say, all of it inside the frame.
struct headers {
	const void *ip;
	const uint8_t *src, *dst; // addresses in it, dst right behind src
	const struct rte_udp_hdr *udp;
	uint16_t l2_len, l3_len;
	uint16_t ip_len; // bytes from ip to the end of the datagram, by the IP header
	uint8_t family;
};

static size_t address_len(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

// A source no honest host has: unspecified, loopback, multicast, broadcast, or our own address.
static bool is_bad_source(const struct frame_ours *ours, const struct headers *h)
{
	static const uint8_t zeros[16];
	const uint8_t *src = h->src;

	if (frame_is_ours(ours, h->family, src))
		return true;
	if (h->family == 4)
		return src[0] == 0 || src[0] == 127 || src[0] >= 224;
	return src[0] == 0xff || memcmp(src, zeros, 15) == 0; // also ::1
}

// Find IP and UDP; FRAME_OTHER unless it is a datagram to our address and port, FRAME_BAD if it is one that
// cannot be used.
static enum frame_kind find_ipv4(const struct frame_ours *ours, struct headers *h, size_t left)
{
	const struct rte_ipv4_hdr *ip = h->ip;

	if (left < IPV4_LEN || ip->version != 4 || ip->next_proto_id != IPPROTO_UDP ||
	    !frame_is_ours(ours, 4, (const uint8_t *)&ip->dst_addr))
		return FRAME_OTHER;
	h->family = 4;
	h->src = (const uint8_t *)&ip->src_addr;
	h->dst = (const uint8_t *)&ip->dst_addr;
	h->l3_len = rte_ipv4_hdr_len(ip);
	h->ip_len = ntohs(ip->total_length);
	if (h->l3_len < IPV4_LEN || h->ip_len < h->l3_len || h->ip_len > left)
		return FRAME_BAD;
	if (ntohs(ip->fragment_offset) & IPV4_FRAGMENT)
		return FRAME_OTHER; // only the kernel could put it together
	return FRAME_MEDIA;
}

static enum frame_kind find_ipv6(const struct frame_ours *ours, struct headers *h, size_t left)
{
	const struct rte_ipv6_hdr *ip = h->ip;

	// Extension headers are not followed: media does not have them.
	if (left < IPV6_LEN || ntohl(ip->vtc_flow) >> 28 != 6 || ip->proto != IPPROTO_UDP ||
	    !frame_is_ours(ours, 6, ip->dst_addr))
		return FRAME_OTHER;
	h->family = 6;
	h->src = ip->src_addr;
	h->dst = ip->dst_addr;
	h->l3_len = IPV6_LEN;
	h->ip_len = (uint16_t)RTE_MIN(IPV6_LEN + ntohs(ip->payload_len), (size_t)UINT16_MAX);
	return h->ip_len > left ? FRAME_BAD : FRAME_MEDIA;
}

static enum frame_kind find_headers(const struct frame_ours *ours, const void *frame, size_t len,
				    struct headers *h)
{
	const struct rte_ether_hdr *eth = frame;
	const struct rte_vlan_hdr *tag = (const void *)(eth + 1);

	if (len < FRAME_ETH_LEN)
		return FRAME_OTHER;
	uint16_t type = eth->ether_type;
	h->l2_len = FRAME_ETH_LEN;
	if (type == htons(RTE_ETHER_TYPE_VLAN) && len >= FRAME_ETH_LEN + sizeof(*tag)) {
		type = tag->eth_proto;
		h->l2_len += sizeof(*tag);
	}
	h->ip = (const uint8_t *)frame + h->l2_len;
	enum frame_kind kind = FRAME_OTHER;
	if (type == htons(RTE_ETHER_TYPE_IPV4))
		kind = find_ipv4(ours, h, len - h->l2_len);
	else if (type == htons(RTE_ETHER_TYPE_IPV6))
		kind = find_ipv6(ours, h, len - h->l2_len);
	if (kind != FRAME_MEDIA)
		return kind;
	h->udp = (const void *)((const uint8_t *)h->ip + h->l3_len);
	if (h->ip_len < h->l3_len + UDP_LEN)
		return FRAME_BAD;
	return h->udp->dst_port == htons(ours->media_port) ? FRAME_MEDIA : FRAME_OTHER;
}

// What the device verified counts; else the IPv4 header always is, and UDP where ours->check_udp says.
static bool checksums_good(const struct frame_ours *ours, const struct rte_mbuf *m, const struct headers *h)
{
	uint64_t ip = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK,
		 l4 = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	if (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD || l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return false;
	if (h->family == 4 && ip != RTE_MBUF_F_RX_IP_CKSUM_GOOD && sum_bytes(h->ip, h->l3_len) != 0xffff)
		return false;
	if (!ours->check_udp || l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	if (h->udp->dgram_cksum == 0)
		return h->family == 4; // RFC 8200 section 8.1 wants one
	uint16_t pseudo = sum_add(sum_bytes(h->src, 2 * address_len(h->family)),
				  (uint32_t)htons(IPPROTO_UDP) + h->udp->dgram_len);
	return sum_add(pseudo, sum_bytes(h->udp, ntohs(h->udp->dgram_len))) == 0xffff;
}

static void fill_key(struct flow_key *key, const struct headers *h)
{
	memset(key, 0, sizeof(*key));
	key->family = h->family;
	memcpy(key->remote, h->src, address_len(h->family));
	memcpy(key->local, h->dst, address_len(h->family));
	key->remote_port = ntohs(h->udp->src_port);
	key->local_port = ntohs(h->udp->dst_port);
}

enum frame_kind frame_parse(const struct frame_ours *ours, struct rte_mbuf *m)
{
	struct headers h;
	enum frame_kind kind = find_headers(ours, rte_pktmbuf_mtod(m, const void *), m->data_len, &h);

	if (kind != FRAME_MEDIA)
		return kind;
	uint16_t udp_len = ntohs(h.udp->dgram_len);
	if (udp_len <= UDP_LEN || udp_len > h.ip_len - h.l3_len || h.udp->src_port == 0 ||
	    is_bad_source(ours, &h))
		return FRAME_BAD;
	if (udp_len - UDP_LEN > PORT_MAX_PAYLOAD)
		return FRAME_LONG;
	if (!checksums_good(ours, m, &h))
		return FRAME_BAD;
	fill_key(&pkt_of(m)->key, &h);
	pkt_of(m)->ifindex = 0;
	m->l2_len = h.l2_len;
	m->l3_len = h.l3_len;
	m->data_off = (uint16_t)(m->data_off + h.l2_len + h.l3_len + UDP_LEN);
	m->data_len = (uint16_t)(udp_len - UDP_LEN); // without Ethernet's padding
	m->pkt_len = m->data_len;
	return FRAME_MEDIA;
}

// --- path --------------------------------------------------------------------------------------
// Headers of the way back, without lengths and what depends on them (frame.h).
static void fill_ipv4(const struct flow_key *key, struct rte_ipv4_hdr *ip)
{
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->fragment_offset = htons(RTE_IPV4_HDR_DF_FLAG); // id 0: RFC 6864
	ip->time_to_live = FRAME_TTL;
	ip->next_proto_id = IPPROTO_UDP;
	memcpy(&ip->src_addr, key->local, 4);
	memcpy(&ip->dst_addr, key->remote, 4);
	ip->hdr_checksum = sum_bytes(ip, sizeof(*ip));
}

static void fill_ipv6(const struct flow_key *key, struct rte_ipv6_hdr *ip)
{
	ip->vtc_flow = htonl(6u << 28);
	ip->proto = IPPROTO_UDP;
	ip->hop_limits = FRAME_TTL;
	memcpy(ip->src_addr, key->local, sizeof(ip->src_addr));
	memcpy(ip->dst_addr, key->remote, sizeof(ip->dst_addr));
}

static void fill_udp(const struct flow_key *key, struct rte_udp_hdr *udp)
{
	size_t len = address_len(key->family);

	udp->src_port = htons(key->local_port);
	udp->dst_port = htons(key->remote_port);
	udp->dgram_cksum =
		sum_add(sum_add(sum_bytes(key->local, len), sum_bytes(key->remote, len)), htons(IPPROTO_UDP));
}

// Back to whom it came from, on the same VLAN without the sender's priority. Returns where IP begins.
static void *fill_ether(const struct frame_ours *ours, const struct rte_ether_hdr *rx, bool has_tag,
			struct rte_ether_hdr *eth)
{
	const struct rte_vlan_hdr *rx_tag = (const void *)(rx + 1);
	struct rte_vlan_hdr *tag = (void *)(eth + 1);

	eth->dst_addr = rx->src_addr;
	memcpy(&eth->src_addr, ours->mac, sizeof(eth->src_addr));
	eth->ether_type = rx->ether_type;
	if (!has_tag)
		return eth + 1;
	tag->vlan_tci = rx_tag->vlan_tci & htons(VLAN_ID_MASK);
	tag->eth_proto = rx_tag->eth_proto;
	return tag + 1;
}

void frame_path(const struct frame_ours *ours, struct rte_mbuf *m, struct path *out)
{
	const struct rte_ether_hdr *rx =
		rte_pktmbuf_mtod_offset(m, const void *, -(ptrdiff_t)(UDP_LEN + m->l3_len + m->l2_len));
	const struct flow_key *key = &pkt_of(m)->key;
	assert(m->l2_len == FRAME_ETH_LEN || m->l2_len == FRAME_ETH_LEN + sizeof(struct rte_vlan_hdr));
	assert(m->l3_len >= IPV4_LEN &&
	       (key->family == 4 || key->family == 6)); // frame_parse has accepted it
	size_t ip_len = key->family == 4 ? IPV4_LEN : IPV6_LEN;

	memset(out, 0, sizeof(*out));
	out->key = *key;
	out->hdr_len = (uint8_t)(m->l2_len + ip_len + UDP_LEN);
	void *eth = out->hdr + sizeof(out->hdr) - out->hdr_len;
	uint8_t *ip = fill_ether(ours, rx, m->l2_len > FRAME_ETH_LEN, eth);
	if (key->family == 4)
		fill_ipv4(key, (void *)ip);
	else
		fill_ipv6(key, (void *)ip);
	fill_udp(key, (void *)(ip + ip_len));
}

// --- send --------------------------------------------------------------------------------------
static void finish_udp(struct rte_udp_hdr *udp, uint16_t udp_len, bool is_offloaded)
{
	uint16_t pseudo = sum_add(udp->dgram_cksum, htons(udp_len));

	udp->dgram_len = htons(udp_len);
	udp->dgram_cksum = is_offloaded ? pseudo : 0;
	if (is_offloaded)
		return;
	uint16_t sum = (uint16_t)~sum_add(pseudo, sum_bytes(udp, udp_len));
	udp->dgram_cksum = sum ? sum : 0xffff; // RFC 768: 0 would mean "none"
}

static void finish_ipv4(struct rte_ipv4_hdr *ip, uint16_t udp_len, bool is_offloaded)
{
	ip->total_length = htons((uint16_t)(IPV4_LEN + udp_len));
	ip->hdr_checksum = is_offloaded ? 0 : (uint16_t)~sum_add(ip->hdr_checksum, ip->total_length);
}

void frame_write(struct rte_mbuf *m, const struct path *path, uint64_t ol_flags)
{
	uint8_t *udp = rte_pktmbuf_mtod(m, uint8_t *) - UDP_LEN;
	uint16_t udp_len = (uint16_t)(m->data_len + UDP_LEN);
	bool is_v4 = path->key.family == 4;
	void *ip = udp - (is_v4 ? IPV4_LEN : IPV6_LEN);

	assert(rte_pktmbuf_headroom(m) >= sizeof(path->hdr) && path->hdr_len <= sizeof(path->hdr));
	assert(path->hdr_len >=
	       FRAME_ETH_LEN + UDP_LEN + (is_v4 ? IPV4_LEN : IPV6_LEN)); // frame_path made it
	memcpy(udp + UDP_LEN - sizeof(path->hdr), path->hdr, sizeof(path->hdr));
	finish_udp((void *)udp, udp_len, ol_flags & RTE_MBUF_F_TX_UDP_CKSUM);
	if (is_v4) {
		finish_ipv4(ip, udp_len, ol_flags & RTE_MBUF_F_TX_IP_CKSUM);
	} else {
		((struct rte_ipv6_hdr *)ip)->payload_len = htons(udp_len);
		ol_flags &= ~RTE_MBUF_F_TX_IP_CKSUM;
	}
	m->ol_flags = ol_flags ? ol_flags | (is_v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6) : 0;
	m->l2_len = path->hdr_len - UDP_LEN - (is_v4 ? IPV4_LEN : IPV6_LEN);
	m->l3_len = is_v4 ? IPV4_LEN : IPV6_LEN;
	m->data_off = (uint16_t)(m->data_off - path->hdr_len);
	m->data_len = (uint16_t)(m->data_len + path->hdr_len);
	m->pkt_len = m->data_len;
}
