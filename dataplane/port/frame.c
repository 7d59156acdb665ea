#include "dataplane/port/frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "lib/base/buf.h"

#define VLAN_LEN 4
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define VLAN_ID_MASK 0x0fff
#define UDP_LEN 8
#define IPV4_LEN 20
#define IPV6_LEN 40
#define IPV4_FRAGMENT 0x3fff // more fragments, or an offset

// --- one's complement sums in memory order -----------------------------------------------------
static uint16_t sum16(const void *data, size_t len)
{
	return rte_raw_cksum(data, len);
}

static uint16_t sum_add(uint32_t a, uint32_t b)
{
	uint32_t sum = a + b;

	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static void store16(uint8_t *at, uint16_t v) // memory order
{
	memcpy(at, &v, 2);
}

static uint16_t load16(const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, 2);
	return v;
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
	const uint8_t *ip, *udp;
	uint16_t l2_len, l3_len;
	uint16_t ip_len; // bytes from ip to the end of the datagram, by the IP header
	uint8_t family;
};

// A source no honest host has: unspecified, loopback, multicast, broadcast, or our own address.
static bool is_bad_source(const struct frame_ours *ours, const struct headers *h, const uint8_t *src)
{
	static const uint8_t zeros[16];

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
	if (left < IPV4_LEN || h->ip[0] >> 4 != 4 || h->ip[9] != IPPROTO_UDP ||
	    !frame_is_ours(ours, 4, h->ip + 16))
		return FRAME_OTHER;
	h->family = 4;
	h->l3_len = (uint16_t)((h->ip[0] & 0xf) * 4);
	h->ip_len = be16_get(h->ip + 2);
	if (h->l3_len < IPV4_LEN || h->ip_len < h->l3_len || h->ip_len > left)
		return FRAME_BAD;
	if (be16_get(h->ip + 6) & IPV4_FRAGMENT)
		return FRAME_OTHER; // only the kernel could put it together
	return FRAME_MEDIA;
}

static enum frame_kind find_ipv6(const struct frame_ours *ours, struct headers *h, size_t left)
{
	// Extension headers are not followed: media does not have them.
	if (left < IPV6_LEN || h->ip[0] >> 4 != 6 || h->ip[6] != IPPROTO_UDP ||
	    !frame_is_ours(ours, 6, h->ip + 24))
		return FRAME_OTHER;
	h->family = 6;
	h->l3_len = IPV6_LEN;
	h->ip_len = (uint16_t)RTE_MIN(IPV6_LEN + be16_get(h->ip + 4), UINT16_MAX);
	return h->ip_len > left ? FRAME_BAD : FRAME_MEDIA;
}

static enum frame_kind find_headers(const struct frame_ours *ours, const uint8_t *frame, size_t len,
				    struct headers *h)
{
	if (len < FRAME_ETH_LEN)
		return FRAME_OTHER;
	uint16_t type = be16_get(frame + 12);
	h->l2_len = FRAME_ETH_LEN;
	if (type == ETHERTYPE_VLAN && len >= FRAME_ETH_LEN + VLAN_LEN) {
		type = be16_get(frame + 16);
		h->l2_len += VLAN_LEN;
	}
	h->ip = frame + h->l2_len;
	enum frame_kind kind = FRAME_OTHER;
	if (type == ETHERTYPE_IPV4)
		kind = find_ipv4(ours, h, len - h->l2_len);
	else if (type == ETHERTYPE_IPV6)
		kind = find_ipv6(ours, h, len - h->l2_len);
	if (kind != FRAME_MEDIA)
		return kind;
	h->udp = h->ip + h->l3_len;
	if (h->ip_len < h->l3_len + UDP_LEN)
		return FRAME_BAD;
	return be16_get(h->udp + 2) == ours->media_port ? FRAME_MEDIA : FRAME_OTHER;
}

// What the device verified counts; else the IPv4 header always is, and UDP where ours->check_udp says.
static bool checksums_good(const struct frame_ours *ours, const struct rte_mbuf *m, const struct headers *h)
{
	uint64_t ip = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK,
		 l4 = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	if (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD || l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return false;
	if (h->family == 4 && ip != RTE_MBUF_F_RX_IP_CKSUM_GOOD && rte_raw_cksum(h->ip, h->l3_len) != 0xffff)
		return false;
	if (!ours->check_udp || l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	if (be16_get(h->udp + 6) == 0)
		return h->family == 4; // RFC 8200 section 8.1 wants one
	unsigned addr_at = h->family == 4 ? 12 : 8, addr_len = h->family == 4 ? 8 : 32; // both addresses
	uint16_t udp_len = be16_get(h->udp + 4);
	uint16_t pseudo =
		sum_add(sum16(h->ip + addr_at, addr_len), (uint32_t)htons(IPPROTO_UDP) + htons(udp_len));
	return sum_add(pseudo, sum16(h->udp, udp_len)) == 0xffff;
}

static void fill_key(struct flow_key *key, const struct headers *h)
{
	memset(key, 0, sizeof(*key));
	key->family = h->family;
	if (h->family == 4) {
		memcpy(key->remote, h->ip + 12, 4);
		memcpy(key->local, h->ip + 16, 4);
	} else {
		memcpy(key->remote, h->ip + 8, 16);
		memcpy(key->local, h->ip + 24, 16);
	}
	key->remote_port = be16_get(h->udp);
	key->local_port = be16_get(h->udp + 2);
}

enum frame_kind frame_parse(const struct frame_ours *ours, struct rte_mbuf *m)
{
	struct headers h;
	enum frame_kind kind = find_headers(ours, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &h);

	if (kind != FRAME_MEDIA)
		return kind;
	uint16_t udp_len = be16_get(h.udp + 4);
	if (udp_len <= UDP_LEN || udp_len > h.ip_len - h.l3_len || be16_get(h.udp) == 0 ||
	    is_bad_source(ours, &h, h.ip + (h.family == 4 ? 12 : 8)))
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
static void write_ip(const struct flow_key *key, uint8_t *ip)
{
	if (key->family == 4) {
		ip[0] = 0x45;
		ip[6] = 0x40; // DF, id 0: RFC 6864
		ip[8] = FRAME_TTL;
		ip[9] = IPPROTO_UDP;
		memcpy(ip + 12, key->local, 4);
		memcpy(ip + 16, key->remote, 4);
		store16(ip + 10, sum16(ip, IPV4_LEN));
	} else {
		ip[0] = 0x60;
		ip[6] = IPPROTO_UDP;
		ip[7] = FRAME_TTL;
		memcpy(ip + 8, key->local, 16);
		memcpy(ip + 24, key->remote, 16);
	}
}

void frame_path(const struct frame_ours *ours, struct rte_mbuf *m, struct path *out)
{
	const uint8_t *rx = rte_pktmbuf_mtod(m, const uint8_t *) - UDP_LEN - m->l3_len - m->l2_len;
	const struct flow_key *key = &pkt_of(m)->key;
	unsigned ip_len = key->family == 4 ? IPV4_LEN : IPV6_LEN, addr_len = key->family == 4 ? 4 : 16;

	memset(out, 0, sizeof(*out));
	out->key = *key;
	out->hdr_len = (uint8_t)(m->l2_len + ip_len + UDP_LEN);
	uint8_t *eth = out->hdr + sizeof(out->hdr) - out->hdr_len;
	uint8_t *ip = eth + m->l2_len, *udp = ip + ip_len;
	memcpy(eth, rx + 6, 6);
	memcpy(eth + 6, ours->mac, 6);
	memcpy(eth + 12, rx + 12, m->l2_len - 12u);
	if (m->l2_len > FRAME_ETH_LEN) // the VLAN, not the sender's priority
		be16_put(eth + 14, be16_get(rx + 14) & VLAN_ID_MASK);
	write_ip(key, ip);
	be16_put(udp, key->local_port);
	be16_put(udp + 2, key->remote_port);
	uint16_t sum = sum_add(sum16(key->local, addr_len), sum16(key->remote, addr_len));
	store16(udp + 6, sum_add(sum, htons(IPPROTO_UDP)));
}

// --- send --------------------------------------------------------------------------------------
void frame_write(struct rte_mbuf *m, const struct path *path, uint64_t ol_flags)
{
	uint8_t *udp = rte_pktmbuf_mtod(m, uint8_t *) - UDP_LEN;
	uint16_t udp_len = (uint16_t)(m->data_len + UDP_LEN);
	bool is_v4 = path->key.family == 4;
	uint8_t *ip = udp - (is_v4 ? IPV4_LEN : IPV6_LEN);

	memcpy(udp + UDP_LEN - sizeof(path->hdr), path->hdr, sizeof(path->hdr));
	be16_put(udp + 4, udp_len);
	uint16_t pseudo = sum_add(load16(udp + 6), htons(udp_len));
	if (ol_flags & RTE_MBUF_F_TX_UDP_CKSUM) {
		store16(udp + 6, pseudo);
	} else {
		store16(udp + 6, 0);
		uint16_t sum = (uint16_t)~sum_add(pseudo, sum16(udp, udp_len));
		store16(udp + 6, sum ? sum : 0xffff); // RFC 768: 0 would mean "none"
	}
	if (is_v4) {
		be16_put(ip + 2, (uint16_t)(IPV4_LEN + udp_len));
		store16(ip + 10,
			ol_flags & RTE_MBUF_F_TX_IP_CKSUM
				? 0
				: (uint16_t)~sum_add(load16(ip + 10), htons((uint16_t)(IPV4_LEN + udp_len))));
	} else {
		be16_put(ip + 4, udp_len);
		ol_flags &= ~RTE_MBUF_F_TX_IP_CKSUM;
	}
	m->ol_flags = ol_flags ? ol_flags | (is_v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6) : 0;
	m->l2_len = (uint64_t)(path->hdr_len - UDP_LEN - (is_v4 ? IPV4_LEN : IPV6_LEN));
	m->l3_len = is_v4 ? IPV4_LEN : IPV6_LEN;
	m->data_off = (uint16_t)(m->data_off - path->hdr_len);
	m->data_len = (uint16_t)(m->data_len + path->hdr_len);
	m->pkt_len = m->data_len;
}
