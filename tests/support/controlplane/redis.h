// A real redis-server of the test's own, on a free port, without persistence; and a relay that can hold
// traffic back or cut it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "controlplane/sys/loop.h"

struct redis_server {
	pid_t pid;
	uint16_t port;
	char dir[40];
};

uint16_t free_port(void); // of TCP, on loopback

// Start on s->port (0: a free one). False: not installed or does not come up.
bool redis_start(struct redis_server *s, const char *password);
void redis_kill(struct redis_server *s);
void redis_stop(struct redis_server *s);

// --- relay ---------------------------------------------------------------------------------------------
struct relay_pair {
	struct relay *relay;
	int fd[2];
	struct loop_fd *watch[2];
};
struct relay {
	struct loop *loop;
	int listener;
	uint16_t port, to;
	struct loop_fd *watch;
	bool is_held;    // nothing passes
	bool is_one_way; // answers do not pass
	struct relay_pair pairs[16];
};

void relay_open(struct relay *r, struct loop *loop, uint16_t to); // listens at r->port
void relay_hold(struct relay *r, bool is_held);
void relay_cut(struct relay *r); // the connections that are
void relay_close(struct relay *r);
