// The plugins' WebSockets, by client: implements `struct plugins` of plugin.h. Each connection has its own
// bounded queue and is cut when slow, so one plugin never holds up another (D11). thread: loop.
#pragma once

#include <stdbool.h>

#include "controlplane/http/http.h"
#include "controlplane/plugin/plugin.h"
#include "controlplane/sys/loop.h"
#include "controlplane/sys/metrics.h"

#define PLUGINS_PING_NS (10 * NS_PER_S)
#define PLUGINS_PONG_NS (20 * NS_PER_S)   // without a pong for so long: cut
#define PLUGINS_WRITE_NS (10 * NS_PER_S)  // without progress in sending for so long: cut
#define PLUGINS_MAX_QUEUE (4u << 20)      // bytes waiting for one connection; more: cut
#define PLUGINS_MAX_UNFINISHED \
	(16u << 20) // bytes of messages that a client has begun, on all its connections; more: close
#define PLUGINS_MAX_PER_CLIENT 256        // connections of one client; more: 503

struct plugins *plugins_new(struct loop *, struct metrics *); // NULL + errno
void plugins_free(struct plugins *);                          // after http_free; NULL is allowed
// All borrowed; arg is handed to ops. ops NULL: messages are dropped (start and end of the process).
void plugins_bind(struct plugins *, struct http *, const struct plugin_ops *ops, void *arg);

// The request of an authenticated client: upgrade it (or refuse it as RFC 6455 says), say hello, replay.
void plugins_accept(struct plugins *, http_id, struct str client);
// The client is no longer registered: close its connections, forget what waits for it (D12).
void plugins_drop_client(struct plugins *, struct str client);
unsigned plugins_count(const struct plugins *);
