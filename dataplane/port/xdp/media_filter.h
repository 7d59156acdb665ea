// What the XDP program of AF_XDP ports is told, shared by media_filter.bpf.c and xdp_filter.c.
#pragma once

#ifdef __bpf__
#include <linux/types.h>
#else
#include <stdint.h>
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
#endif

#define MEDIA_FILTER_ADDRS 32

// The one entry of map media_conf. All zero: everything goes to the kernel.
struct media_conf {
	__u16 port_be; // UDP port, network order
	__u16 rsvd;
};

// Key of map media_addrs: an address of ours. IPv4 in the first four bytes, the rest 0.
struct media_addr {
	__u8 ip[16];
	__u32 family; // 4 or 6
};
