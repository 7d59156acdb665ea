// The main thread of sluice-dp: serves the control plane (lib/ipc), applies its commands, brings it events
// and DTLS, watches the workers, and frees what they no longer use. One epoll loop.
#pragma once

#include <stdint.h>

struct ctl;
struct dp;

// Listen on the ipc socket. NULL + errno (EADDRINUSE: another sluice-dp serves there). thread: main
struct ctl *ctl_open(struct dp *, uint16_t media_port);
// Serve until SIGINT or SIGTERM, which must be blocked in all threads. 0, or -errno.
int ctl_run(struct ctl *);
// After the workers have stopped: frees all sessions. NULL is allowed.
void ctl_close(struct ctl *);
