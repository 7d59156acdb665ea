// XDP program of AF_XDP ports: UDP to one of our addresses and the media port goes to the socket of the queue it
// came in on; everything else (ARP, ICMP, TCP, other UDP, fragments, frames we do not understand) stays with the
// kernel, and so does media while no socket serves its queue.
//
// DPDK's net_af_xdp loads it (xdp_prog=) and fills xsks_map; xdp_filter.c fills the other two maps.
#include "media_filter.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define IP_FRAGMENT 0x3fff // more fragments, or an offset

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 256); // rx queues
	__type(key, __u32);
	__type(value, __u32);
} xsks_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct media_conf);
} media_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MEDIA_FILTER_ADDRS);
	__type(key, struct media_addr);
	__type(value, __u8);
} media_addrs SEC(".maps");

struct vlan_tag {
	__be16 tci;
	__be16 type;
};

// UDP header behind an IPv4 or IPv6 header that starts at ip, with the destination address in addr; NULL when
// it is something else.
static __always_inline struct udphdr *find_udp(void *ip, void *end, __be16 type, struct media_addr *addr)
{
	if (type == bpf_htons(ETH_P_IP)) {
		struct iphdr *v4 = ip;
		if ((void *)(v4 + 1) > end || v4->protocol != IPPROTO_UDP || v4->ihl < 5 ||
		    (v4->frag_off & bpf_htons(IP_FRAGMENT)))
			return 0;
		addr->family = 4;
		__builtin_memcpy(addr->ip, &v4->daddr, 4);
		return ip + v4->ihl * 4;
	}
	if (type == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *v6 = ip;
		if ((void *)(v6 + 1) > end || v6->nexthdr != IPPROTO_UDP)
			return 0;
		addr->family = 6;
		__builtin_memcpy(addr->ip, &v6->daddr, 16);
		return (void *)(v6 + 1);
	}
	return 0;
}

SEC("xdp")
int media_filter(struct xdp_md *ctx)
{
	void *at = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct media_addr addr = {};
	struct media_conf *conf;
	struct ethhdr *eth = at;
	struct udphdr *udp;
	__u32 zero = 0;
	__be16 type;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	type = eth->h_proto;
	at = eth + 1;
	if (type == bpf_htons(ETH_P_8021Q)) {
		struct vlan_tag *tag = at;
		if ((void *)(tag + 1) > end)
			return XDP_PASS;
		type = tag->type;
		at = tag + 1;
	}
	udp = find_udp(at, end, type, &addr);
	if (!udp || (void *)(udp + 1) > end)
		return XDP_PASS;
	conf = bpf_map_lookup_elem(&media_conf, &zero);
	if (!conf || conf->port_be == 0 || udp->dest != conf->port_be ||
	    !bpf_map_lookup_elem(&media_addrs, &addr))
		return XDP_PASS;
	return bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
}

char program_license[] SEC("license") = "Dual BSD/GPL"; // no helper used here needs the GPL
