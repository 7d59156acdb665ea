// An API server inside the test process, on a free port, with a store of its own; raw sockets talk to it
// while the loop turns. Everything is removed by rig_close.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/api/api.h"
#include "controlplane/auth/auth.h"
#include "controlplane/plugin/plugins.h"

#define RIG_KEY "0123456789abcdef0123456789abcdef" // 32 bytes
#define RIG_ADMIN "an-admin-key-that-is-long-enough-000"
#define RIG_WAIT (5 * NS_PER_S)

struct rig {
	char dir[64];
	struct conf conf;
	struct loop *loop;
	struct metrics *metrics;
	struct store *store;
	struct sysload *sysload;
	struct auth *auth;
	struct plugins *plugins;
	struct api *api;
	struct http *http;
	char gone[64]; // last client that was unregistered
};

// url NULL: LMDB in a new directory. Limits NULL: the defaults.
bool rig_open_limits(struct rig *r, const char *url, const struct http_limits *limits,
		     bool self_registration);
bool rig_open(struct rig *r);
void rig_close(struct rig *r);
void rig_turn(struct rig *r, ns_t how_long);
void rig_on_gone(void *arg, struct str client); // auth's listener; arg: the rig

int rig_connect_port(uint16_t port);
int rig_connect(struct rig *r);
// Send all, turning the loop when the socket is full. False: the peer reset.
bool rig_send(struct rig *r, int fd, const void *p, size_t len);
// Receive until want bytes are there, text appears, the peer ends (then *ended), or the time is over.
// Returns bytes; out is NUL-terminated.
size_t rig_recv(struct rig *r, int fd, char *out, size_t size, size_t want, const char *text, ns_t wait,
		bool *ended);

// One whole request on a connection of its own; the answer (head and body) into out. Returns the status.
int rig_ask(struct rig *r, const char *request, char *out, size_t size);
int rig_post(struct rig *r, const char *path, const char *headers, const char *body, char *out, size_t size);
int rig_get(struct rig *r, const char *path, const char *headers, char *out, size_t size);
int rig_register(struct rig *r, const char *client, const char *key);
// "Authorization: Basic ...\r\n"; static buffer.
const char *rig_basic(const char *user, const char *key);

// Open a WebSocket as client; returns the descriptor after the 101, or -1.
int rig_ws(struct rig *r, const char *client, const char *key);
// Send one masked client frame (payload below 64 KiB).
bool rig_frame(struct rig *r, int fd, uint8_t first, const void *payload, size_t len);

double rig_metric(struct rig *r, const char *line); // -1: there is none
