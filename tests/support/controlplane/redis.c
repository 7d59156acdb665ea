#include "tests/support/controlplane/redis.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int local_socket(uint16_t port, bool is_listener, uint16_t *actual)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (is_listener) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 16) == 0) {
			getsockname(fd, (struct sockaddr *)&at, &len);
			*actual = ntohs(at.sin_port);
			return fd;
		}
	} else if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0) {
		return fd;
	}
	close(fd);
	return -1;
}

uint16_t free_port(void)
{
	uint16_t port = 0;

	close(local_socket(0, true, &port));
	return port;
}

bool redis_start(struct redis_server *s, const char *password)
{
	char port[8];

	if (s->port == 0)
		s->port = free_port();
	if (s->dir[0] == '\0') {
		strcpy(s->dir, "/tmp/sluice-redis-XXXXXX");
		if (mkdtemp(s->dir) == NULL)
			return false;
	}
	snprintf(port, sizeof(port), "%u", s->port);
	s->pid = fork();
	if (s->pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
		       "--appendonly", "no", "--dir", s->dir, password ? "--requirepass" : "--loglevel",
		       password ? password : "warning", (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 250; i++) {
		int status, fd = local_socket(s->port, false, NULL);

		if (fd >= 0) {
			close(fd);
			return true;
		}
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			s->pid = 0;
			return false;
		}
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	}
	return false;
}

void redis_kill(struct redis_server *s)
{
	if (s->pid > 0) {
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
	}
	s->pid = 0;
}

void redis_stop(struct redis_server *s)
{
	redis_kill(s);
	if (s->dir[0])
		rmdir(s->dir);
}

static void relay_end(struct relay_pair *p)
{
	for (int i = 0; i < 2; i++) {
		loop_unwatch(p->watch[i]);
		p->watch[i] = NULL;
		if (p->fd[i] > 0)
			close(p->fd[i]);
		p->fd[i] = 0;
	}
}

static void relay_pass(struct relay_pair *p, int from)
{
	char buf[65536];
	ssize_t n;

	if (p->relay->is_held || (p->relay->is_one_way && from == 1)) {
		loop_rewatch(p->watch[from], 0);
		return;
	}
	n = recv(p->fd[from], buf, sizeof(buf), MSG_DONTWAIT);
	if (n == 0 || (n > 0 && send(p->fd[1 - from], buf, (size_t)n, MSG_NOSIGNAL) != n))
		relay_end(p);
}

static void relay_on_client(void *arg, unsigned events)
{
	relay_pass(arg, 0);
}

static void relay_on_server(void *arg, unsigned events)
{
	relay_pass(arg, 1);
}

static void relay_on_accept(void *arg, unsigned events)
{
	struct relay *r = arg;

	for (unsigned i = 0; i < 16; i++) {
		struct relay_pair *p = &r->pairs[i];

		if (p->fd[0] > 0)
			continue;
		p->relay = r;
		p->fd[0] = accept(r->listener, NULL, NULL);
		p->fd[1] = local_socket(r->to, false, NULL);
		p->watch[0] = loop_watch(r->loop, p->fd[0], LOOP_READ, relay_on_client, p);
		p->watch[1] = loop_watch(r->loop, p->fd[1], LOOP_READ, relay_on_server, p);
		return;
	}
}

void relay_open(struct relay *r, struct loop *loop, uint16_t to)
{
	*r = (struct relay){.loop = loop, .to = to};
	r->listener = local_socket(0, true, &r->port);
	r->watch = loop_watch(loop, r->listener, LOOP_READ, relay_on_accept, r);
}

void relay_hold(struct relay *r, bool is_held)
{
	r->is_held = is_held;
	for (unsigned i = 0; i < 16; i++)
		for (int k = 0; k < 2; k++)
			if (r->pairs[i].watch[k] && !is_held)
				loop_rewatch(r->pairs[i].watch[k], LOOP_READ);
}

void relay_cut(struct relay *r)
{
	for (unsigned i = 0; i < 16; i++)
		relay_end(&r->pairs[i]);
}

void relay_close(struct relay *r)
{
	relay_cut(r);
	loop_unwatch(r->watch);
	close(r->listener);
}
