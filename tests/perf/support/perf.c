#include "tests/perf/support/perf.h"

#include <sched.h>

void *perf_alloc(size_t size)
{
	size = (size + 63) / 64 * 64;
	void *p = aligned_alloc(64, size);

	if (p == NULL)
		die(EXIT_OS, "out of memory");
	return memset(p, 0, size);
}

int perf_core(void)
{
	cpu_set_t set;
	int core = 0;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			core = i;
	return core;
}

struct msghdr perf_datagram(struct sockaddr_in *name, struct iovec *data)
{
	return (struct msghdr){
		.msg_name = name, .msg_namelen = sizeof(*name), .msg_iov = data, .msg_iovlen = 1};
}
