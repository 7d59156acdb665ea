// The kernel's own floor for `make bench`: CPU of one sendmmsg(2) to 50 loopback sockets that are drained, per
// delivered packet. What an SFU over kernel sockets costs is read beside this figure of the same run. JSON on stdout.
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RECEIVERS = 50, BYTES = 198, ROUNDS = 2000, REPEATS = 7 };

static int bind_loopback(struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	*at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0 || bind(fd, (struct sockaddr *)at, sizeof(*at)) < 0 ||
	    getsockname(fd, (struct sockaddr *)at, &len) < 0) {
		perror("socket");
		exit(71);
	}
	return fd;
}

static double thread_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(void)
{
	struct sockaddr_in self, to[RECEIVERS];
	int from = bind_loopback(&self), sink[RECEIVERS];
	static uint8_t payload[RECEIVERS][BYTES], drain[2048];
	struct mmsghdr msgs[RECEIVERS] = {};
	struct iovec iov[RECEIVERS];
	double us[REPEATS];

	for (int i = 0; i < RECEIVERS; i++) {
		sink[i] = bind_loopback(&to[i]);
		iov[i] = (struct iovec){payload[i], BYTES};
		msgs[i].msg_hdr = (struct msghdr){.msg_name = &to[i], .msg_namelen = sizeof(to[i]), .msg_iov = &iov[i],
						  .msg_iovlen = 1};
	}
	for (int k = 0; k < REPEATS; k++) {
		double spent = 0;
		long delivered = 0;
		for (int r = 0; r < ROUNDS; r++) {
			double begin = thread_us();
			if (sendmmsg(from, msgs, RECEIVERS, 0) != RECEIVERS) {
				perror("sendmmsg");
				return 71;
			}
			spent += thread_us() - begin;
			for (int i = 0; i < RECEIVERS; i++)
				delivered += recv(sink[i], drain, sizeof(drain), 0) == BYTES;
		}
		us[k] = spent / (double)delivered;
	}
	qsort(us, REPEATS, sizeof(us[0]), by_value);
	printf("{\"name\": \"kernel_sendmmsg_50\", \"us_per_packet\": %.3f, \"min\": %.3f, \"max\": %.3f}\n",
	       us[REPEATS / 2], us[0], us[REPEATS - 1]);
	return 0;
}
