// What the measuring programs share: memory, a core of one's own, datagrams. Samples are in samples.h.
#pragma once

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/err.h"
#include "tests/perf/support/samples.h"

// Zeroed, aligned to cache lines; dies without memory.
void *perf_alloc(size_t size);

// The last core this process may use: the first one gets the machine's interrupts.
int perf_core(void);

// One of those that sendmmsg or recvmmsg takes at once. What it points to stays the caller's.
struct msghdr perf_datagram(struct sockaddr_in *name, struct iovec *data);
