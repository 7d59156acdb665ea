// A WebSocket client and the one HTTP request that goes before it. Setting up blocks (a few seconds at most);
// afterwards nothing does: what the kernel does not take waits in a buffer.
//
// thread: owner only
// source: RFC 6455
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

#define WS_MAX_MSG (1024 * 1024) // bytes of a message we take

struct ws;

enum ws_kind { WS_TEXT = 1, WS_BINARY = 2 };

// Split "http://host:port"; a missing port is 80. returns: 0, -EINVAL
[[nodiscard]] int ws_url_split(struct str url, char *host, size_t host_size, char *port, size_t port_size);

// One POST with a JSON body. returns: the status code, or a negative errno
int http_post(const char *host, const char *port, const char *path, const char *body);

// Open path. basic: "user:password" for Basic authentication, or NULL; protocol: Sec-WebSocket-Protocol, or
// NULL. NULL + errno (EPROTO: the server does not answer 101).
struct ws *ws_open(const char *host, const char *port, const char *path, const char *basic,
		   const char *protocol);
void ws_close(struct ws *); // NULL is allowed
int ws_fd(const struct ws *);

// Queue a message and send what the kernel takes. returns: 0, -ENOMEM, -EPIPE
[[nodiscard]] int ws_send(struct ws *, enum ws_kind, const void *data, size_t len);
// Send more of what waits. returns: 0, -EPIPE
[[nodiscard]] int ws_flush(struct ws *);

// Read what has come and hand out whole messages; pings are answered. returns: 0, -EPIPE closed, -EPROTO
[[nodiscard]] int ws_read(struct ws *, void (*on_message)(void *arg, uint8_t *data, size_t len), void *arg);

// Base64 of n bytes, NUL-terminated; out has 4 * ((n + 2) / 3) + 1 bytes.
void base64(char *out, const void *data, size_t n);
