#include "lib/ipc/bell.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <mqueue.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define TRIES 8 // names may be taken by others

static const struct timespec long_ago = {0, 0};

int bell_new(void)
{
	struct mq_attr room = {.mq_maxmsg = 1, .mq_msgsize = 1};
	char name[48];
	int fd = -1;

	for (unsigned i = 0; i < TRIES && fd < 0; i++) {
		snprintf(name, sizeof(name), "/sluice-%d-%" PRIx64, (int)getpid(), (uint64_t)clock_now());
		fd = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &room);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0)
		return -errno;
	mq_unlink(name); // the descriptor is all of it
	return fd;
}

void bell_ring(int bell)
{
	if (mq_timedsend(bell, "", 0, 0, &long_ago) < 0) {
		// ETIMEDOUT or EAGAIN: it rings
	}
}

void bell_hush(int bell)
{
	char none[1];

	if (mq_timedreceive(bell, none, sizeof(none), NULL, &long_ago) < 0) {
		// ETIMEDOUT or EAGAIN: woken by something else
	}
}
