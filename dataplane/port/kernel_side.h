// What an ethdev port needs of the kernel beside it: for interfaces the kernel shares, a claim on the UDP port so
// that it stays silent about our packets; for devices taken over whole, a tap that carries our addresses.
//
// thread: main
#pragma once

#include <stddef.h>

#include "dataplane/port/frame.h"

// Sockets that hold the media port on each address of ours and take nothing: the kernel sends no ICMP "port
// unreachable" for its copies, and nobody else binds the port.
struct kernel_claim {
	unsigned n;
	int fd[FRAME_MAX_ADDRS];
};

// 0; -EADDRINUSE or another -errno with *error filled.
[[nodiscard]] int kernel_claim_open(struct kernel_claim *, const struct frame_ours *, char *error,
				    size_t error_size);
void kernel_claim_close(struct kernel_claim *);

// Receive queues of an interface, and how many of them are halves of a combined queue (the only ones DPDK's
// AF_XDP driver counts). Drivers that do not say have one. 0, -errno.
struct kernel_queues {
	unsigned n_rx, n_combined;
};
[[nodiscard]] int kernel_queues(const char *iface, struct kernel_queues *);

// Put our addresses on an interface and set it up. 0, -errno of the first that failed.
[[nodiscard]] int kernel_set_addresses(const char *iface, const struct frame_ours *);
