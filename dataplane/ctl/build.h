// Building and taking down the dataplane around a started EAL: pools, tables, ports, workers.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct dp;
struct eal_plan;
struct conf;

// Everything up to the point where workers may be launched. NULL + errno with *error filled; errno is
// EADDRINUSE, EACCES, ENODEV, EINVAL, ENOMEM. conf is borrowed. thread: main
struct dp *dp_open(const struct conf *, const struct eal_plan *, char *error, size_t error_size);
void dp_close(struct dp *); // workers must have stopped; NULL is allowed

[[nodiscard]] int dp_launch(struct dp *); // start the workers. 0, or -errno
void dp_stop(struct dp *);                // stop them and wait

uint16_t dp_tcp_port(const struct dp *);   // TCP port of ICE-TCP, 0: none
uint16_t dp_media_port(const struct dp *); // UDP port that is served, host order
