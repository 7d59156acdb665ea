// Names and STUN, on the loop, against servers of our own.
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/nat/natdiscover.h"
#include "tests/unit/check.h"

static struct nat_candidate out[NAT_MAX_CANDIDATES];

static bool conf_of(struct conf *c, const char *yaml)
{
	struct conf_error error;

	if (conf_parse(c, "test", yaml, strlen(yaml), &error) == 0)
		return true;
	printf("# %s\n", error.text);
	return false;
}

static unsigned wait_for(struct loop *l, struct nat *n, const char *addr)
{
	ns_t until = clock_now() + 5 * NS_PER_S;

	while (clock_now() < until) {
		unsigned got = nat_candidates(n, out);

		if (got > 0 && strcmp(out[0].addr, addr) == 0)
			return got;
		loop_turn(l, 10 * NS_PER_MS);
	}
	return 0;
}

static void names(void)
{
	struct loop *l = loop_new();
	struct conf c;
	struct nat *n;
	ns_t from = clock_now();

	CHECK_OR_RETURN(
		conf_of(&c, "rtc:\n  ice_address_udp: [127.0.0.2]\n  ice_host_override: localhost\n"));
	n = nat_new(l, &c);
	CHECK_OR_RETURN(n != NULL);
	CHECK(clock_now() - from < 200 * NS_PER_MS);
	CHECK_EQ(nat_candidates(n, out), 0); // not resolved yet, and nobody waits for it
	CHECK_EQ(wait_for(l, n, "127.0.0.1"), 1);
	CHECK_STR(out[0].base, "127.0.0.2");
	nat_free(n);
	conf_fini(&c);
	loop_free(l);
}

static void names_that_fail(void)
{
	struct loop *l = loop_new();
	struct conf c;
	struct nat *n;

	CHECK_OR_RETURN(conf_of(&c, "rtc:\n  ice_host_override: no-such-host.invalid\n"));
	n = nat_new(l, &c);
	CHECK_OR_RETURN(n != NULL);
	for (int i = 0; i < 5; i++)
		loop_turn(l, 10 * NS_PER_MS);
	CHECK_EQ(nat_candidates(n, out), 0);
	nat_free(n); // the look-up may still be under way
	conf_fini(&c);
	loop_free(l);
}

static void answer_stun(void *arg, unsigned events)
{
	static const uint8_t success[] = {0x01, 0x01, 0, 12, 0x21, 0x12, 0xa4, 0x42};
	int fd = *(int *)arg;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	uint8_t in[100], msg[32];
	ssize_t n = recvfrom(fd, in, sizeof(in), MSG_DONTWAIT, (struct sockaddr *)&from, &len);

	if (n != 20)
		return;
	memcpy(msg, success, 8);
	memcpy(msg + 8, in + 8, 12);
	memcpy(msg + 20, "\x00\x20\x00\x08\x00\x01\x00\x00", 8);
	memcpy(msg + 28, "\xea\x12\xd5\x45", 4);                 // 203.0.113.7 xor the cookie
	sendto(fd, "junk", 4, 0, (struct sockaddr *)&from, len); // not an answer
	sendto(fd, msg, sizeof(msg), 0, (struct sockaddr *)&from, len);
}

static void stun(void)
{
	struct loop *l = loop_new();
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct loop_fd *w;
	struct conf c;
	struct nat *n;
	char yaml[256];

	CHECK_EQ(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	getsockname(fd, (struct sockaddr *)&at, &len);
	w = loop_watch(l, fd, LOOP_READ, answer_stun, &fd);
	snprintf(yaml, sizeof(yaml),
		 "rtc:\n  ice_address_udp: [127.0.0.1]\n  ice_host_port_override: 30443\n  ice_servers: "
		 "[\"stun:127.0.0.1:%u\"]\n",
		 ntohs(at.sin_port));
	CHECK_OR_RETURN(conf_of(&c, yaml));
	n = nat_new(l, &c);
	CHECK_OR_RETURN(n != NULL);
	CHECK_EQ(nat_candidates(n, out), 1); // our own, until the answer
	CHECK_STR(out[0].addr, "127.0.0.1");
	CHECK_EQ(wait_for(l, n, "203.0.113.7"), 1);
	CHECK_EQ(out[0].port, 30443);
	nat_free(n);
	conf_fini(&c);
	loop_unwatch(w);
	close(fd);
	loop_free(l);
}

CU_TestInfo natdiscover_tests[] = {
	{"D49: a name is resolved in the background", names},
	{"D49: a name that does not resolve blocks nothing", names_that_fail},
	{"STUN discovery does not delay the start; strangers' answers do not count", stun},
	CU_TEST_INFO_NULL,
};
