// HTTP/1.1 and WebSocket server on the loop: connections, time limits, body limit, replies, upgrade.
//
// Requests of a connection are handled one after another: the handler gets a whole request (head and body
// within the limits) and answers it at once or later by its id. An id of a connection that is gone finds
// nothing, so nobody has to be told. thread: loop.
//
// Against slow or hostile clients: each phase has a deadline; when max_conns is reached a connection that has had its
// last answer, or else the one that has waited longest for a request, is closed for the new one, so neither refused nor
// half-sent requests can lock others out.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/http/httpmsg.h"
#include "controlplane/sys/loop.h"
#include "controlplane/sys/metrics.h"
#include "controlplane/http/tls.h"
#include "controlplane/http/wsframe.h"
#include "lib/base/pool.h"

// One connection: its pool handle, and above it a serial number. The handle alone comes back after 255
// connections on a slot, which is soon enough for a late answer (a bearer token, say) to reach a stranger.
typedef uint64_t http_id;

// Who is asking: an IPv4 address (mapped), or the /64 of an IPv6 address. Behind trusted proxies: the one they ask for.
struct http_source {
	uint8_t key[16];
	char text[48]; // numeric address, for logs
};

struct http_request {
	http_id id;
	const struct http_head *head;     // borrowed
	struct str body;                  // borrowed
	const struct http_source *source; // borrowed
};

struct http_limits {
	uint32_t max_conns;
	size_t max_body;        // bytes; more: 413
	ns_t read, write, idle; // whole request; whole answer; between requests
};
#define HTTP_READ_NS (30 * NS_PER_S)
#define HTTP_WRITE_NS (60 * NS_PER_S)
#define HTTP_IDLE_NS (30 * NS_PER_S)

typedef void (*http_handler_fn)(void *arg, const struct http_request *);

struct http;
// tls: NULL for plain; borrowed until http_free. NULL + errno. Serves nothing before http_listen.
struct http *http_new(struct loop *, const struct http_limits *, struct tls_ctx *tls, struct metrics *,
		      http_handler_fn, void *arg);
// Believe X-Forwarded-For of these, "10.0.0.0/8". Once, before http_listen. 0, -EINVAL, -ENOSPC.
[[nodiscard]] int http_trust(struct http *, char *const *prefix, unsigned n);
void http_free(struct http *); // drops all connections without a word; NULL is allowed

// listen: "[address]:port"; an empty address is any (dual stack). May be called for several addresses.
// 0, or -errno with why[size] naming the fix.
[[nodiscard]] int http_listen(struct http *, const char *listen, char *why, size_t size);
uint16_t http_port(const struct http *); // of the last http_listen, host order

struct http_response {
	unsigned status;
	const char *content_type; // NULL: none
	struct str body;          // copied
	const char *headers;      // further lines, each ending with \r\n, or NULL
	const char *route;        // metrics label; NULL: "other"
	struct str owner;         // whose answer it is: counts as unread until it is sent; empty: nobody's
	bool must_close;
};
// Ignored when the connection is gone or the request was answered already.
void http_reply(struct http *, http_id, const struct http_response *);
#define HTTP_UNREAD_MAX \
	(16u << 20) // bytes of answers of one owner that wait to be read; one answer may go beyond it
// Room for another answer to owner? Ask before it is made; false is counted, and logged once until all is read.
bool http_may_answer(struct http *, struct str owner);
// rtcd's plain errors: text/plain; charset=utf-8, nosniff. text ends with \n.
void http_reply_text(struct http *, http_id, unsigned status, const char *text, const char *route);

// --- WebSocket ---------------------------------------------------------------------------------------
struct ws_handler {
	void (*on_message)(void *arg, bool is_text, struct str payload);
	void (*on_closed)(void *arg); // last call; after it the id is dead
};
struct ws_limits {
	size_t max_message;     // bytes; more: close 1009
	size_t max_queue;       // bytes waiting to be sent; more: the connection is cut
	ns_t ping, pong, write; // ping every; cut without pong for; cut without progress in sending for
	struct wsframe_share *share; // borrowed until on_closed, NULL: none; beyond it: close 1013
};
// Answer the request with 101 when it is a correct upgrade request: then true, and handler is used from now
// on. Otherwise it has been refused (400, 403, and the reason) and false comes back.
[[nodiscard]] bool http_upgrade(struct http *, http_id, const struct ws_limits *, const struct ws_handler *,
				void *arg);
// Queue a binary message. 0, -ENOTCONN, -ENOBUFS (and the connection is cut).
int ws_send(struct http *, http_id, const void *p, size_t len);
// Send a close frame, then end the TCP connection; on_closed follows.
void ws_close(struct http *, http_id, uint16_t code, const char *reason);
