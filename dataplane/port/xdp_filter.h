// Our XDP program (xdp/media_filter.bpf.c), which is inside this executable: handed to DPDK as a file, checked for
// on an interface, told what is ours. DPDK's net_af_xdp attaches and removes it.
//
// thread: main, before the workers start
#pragma once

#include <stddef.h>

#include "dataplane/port/frame.h"

// A descriptor with the program's object file: DPDK loads it as /proc/self/fd/N. -errno.
[[nodiscard]] int xdp_filter_object(void);

// Make way on the interface: a program of ours that a killed predecessor left is removed. 0, or -EBUSY with
// *error saying whose program is in the way, -EPERM.
[[nodiscard]] int xdp_filter_prepare(int ifindex, char *error, size_t error_size);

// Once attached: let UDP to ours and its media port through to the sockets. 0, -ENOENT (our program is not
// there), -errno.
[[nodiscard]] int xdp_filter_set(int ifindex, const struct frame_ours *);
