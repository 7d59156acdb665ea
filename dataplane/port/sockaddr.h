// Socket addresses of either family, for what uses kernel sockets here. thread: any
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct port_env;

union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static inline socklen_t sockaddr_len(const union sockaddr_any *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

// "192.0.2.1" or "::1" with a port, host order. False: text is neither.
bool sockaddr_parse(const char *text, uint16_t port, union sockaddr_any *out);
void sockaddr_set_port(union sockaddr_any *, uint16_t port);
// Port a socket is bound to, 0: none.
uint16_t sockaddr_bound_port(int fd);

// Has this machine IPv6?
bool sockaddr_has_ipv6(void);

// What is wrong with an address that could not be bound, and what fixes it: into env->error.
//
// in: proto  "udp" or "tcp", as in rtc.ice_port_* and rtc.ice_address_*
//     err    negative errno
void sockaddr_explain(const struct port_env *env, const char *proto, const union sockaddr_any *,
		      uint16_t port, int err);
