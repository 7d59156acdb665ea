#include "dataplane/port/sockaddr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/port/port.h"

bool sockaddr_parse(const char *text, uint16_t port, union sockaddr_any *a)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1)
		a->sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1)
		a->sa.sa_family = AF_INET6;
	else
		return false;
	sockaddr_set_port(a, port);
	return true;
}

void sockaddr_set_port(union sockaddr_any *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET)
		a->v4.sin_port = htons(port);
	else
		a->v6.sin6_port = htons(port);
}

uint16_t sockaddr_bound_port(int fd)
{
	union sockaddr_any a = {};
	socklen_t len = sizeof(a);

	if (getsockname(fd, &a.sa, &len) < 0)
		return 0;
	return ntohs(a.sa.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
}

bool sockaddr_has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void sockaddr_explain(const struct port_env *env, const char *proto, const union sockaddr_any *a,
		      uint16_t port, int err)
{
	const char *name = proto[0] == 'u' ? "UDP" : "TCP";
	char text[INET6_ADDRSTRLEN] = "";

	if (a->sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->v4.sin_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &a->v6.sin6_addr, text, sizeof(text));
	if (err == -EADDRINUSE)
		snprintf(
			env->error, env->error_size,
			"%s port %u on %s is in use: see who holds it with \"ss -%clpn sport = :%u\", or set "
			"rtc.ice_port_%s to a free one",
			name, port, text, proto[0], port, proto);
	else if (err == -EADDRNOTAVAIL)
		snprintf(env->error, env->error_size,
			 "no interface has the address %s: correct rtc.ice_address_%s or leave it empty",
			 text, proto);
	else if (err == -EACCES)
		snprintf(env->error, env->error_size,
			 "%s port %u needs CAP_NET_BIND_SERVICE: choose one above 1023", name, port);
	else
		snprintf(env->error, env->error_size, "%s socket on %s port %u: %s", name, text, port,
			 strerror(-err));
}
