// "[address]:port" -> listening socket.
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/http/http_conn.h"

static bool listen_split(const char *text, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (colon == NULL || len >= size || colon[1] == '\0')
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		memmove(host, host + 1, len - 2);
		host[len - 2] = '\0';
	}
	*port = colon + 1;
	return true;
}

static int listener_open(const struct addrinfo *ai)
{
	int one = 1, zero = 0, fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 4096) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

static int listen_explain(const char *listen, int rc, char *why, size_t size)
{
	if (rc == -EADDRINUSE)
		snprintf(why, size, "%s is in use by another program: stop it or change api.listen", listen);
	else if (rc == -EACCES)
		snprintf(why, size, "%s: not permitted: choose a port of 1024 or more in api.listen", listen);
	else if (rc == -EADDRNOTAVAIL)
		snprintf(why, size, "%s: this machine has no such address: change api.listen", listen);
	else
		snprintf(why, size, "%s: %s", listen, strerror(-rc));
	return rc;
}

static int listener_add(struct http *h, int fd)
{
	struct sockaddr_storage ss = {}; // family 0 where getsockname fails
	socklen_t len = sizeof(ss);

	if (h->n_listen == sizeof(h->listen_fd) / sizeof(h->listen_fd[0]))
		return -ENOSPC;
	h->listen_watch[h->n_listen] = loop_watch(h->loop, fd, LOOP_READ, http_on_accept, h);
	if (h->listen_watch[h->n_listen] == NULL)
		return -errno;
	h->listen_fd[h->n_listen++] = fd;
	getsockname(fd, (struct sockaddr *)&ss, &len);
	h->port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
						 : ((struct sockaddr_in *)&ss)->sin_port);
	return 0;
}

int http_listen(struct http *h, const char *listen, char *why, size_t size)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *list;
	char host[256];
	const char *port;
	int rc, fd;

	if (!listen_split(listen, host, sizeof(host), &port)) {
		snprintf(why, size, "api.listen: \"%s\" is not [address]:port", listen);
		return -EINVAL;
	}
	rc = getaddrinfo(host[0] ? host : "::", port, &hints, &list);
	if (rc != 0) {
		snprintf(why, size, "api.listen: %s: %s", listen, gai_strerror(rc));
		return -EINVAL;
	}
	fd = listener_open(list);
	freeaddrinfo(list);
	if (fd == -EAFNOSUPPORT && host[0] == '\0' && getaddrinfo("0.0.0.0", port, &hints, &list) == 0) {
		fd = listener_open(list); // no IPv6 on this machine
		freeaddrinfo(list);
	}
	if (fd < 0)
		return listen_explain(listen, fd, why, size);
	rc = listener_add(h, fd);
	if (rc < 0) {
		close(fd);
		return listen_explain(listen, rc, why, size);
	}
	return 0;
}

uint16_t http_port(const struct http *h)
{
	return h->port;
}
