// Inside of controlplane/http: one connection, as the files http*.c see it; each calls only those above its own in
// the list below.
#pragma once

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "controlplane/http/forwarded.h"
#include "controlplane/http/http.h"
#include "controlplane/http/httpchunks.h"
#include "lib/base/hash.h"

enum conn_state {
	CONN_HEAD, // waiting for, or inside of, a request head
	CONN_BODY,
	CONN_HANDLED, // the handler owes a reply; nothing is read
	CONN_WS,
	CONN_LAST, // what is queued is sent, then the connection ends
};

struct ws_side { // owned by a connection in CONN_WS
	struct wsframe_reader reader;
	struct ws_limits limits;
	struct ws_handler handler;
	void *arg; // borrowed
	ns_t next_ping, pong_due;
};

struct conn {
	http_id id;
	struct http *http; // borrowed
	int fd;
	struct loop_fd *watch;
	struct tls *tls; // owned; NULL: plain
	struct http_address peer;
	struct http_source source; // of its last request
	enum conn_state state;
	bool is_dead;          // to be destroyed by the deferred call
	bool close_after;      // the reply is the last
	bool is_shut;          // CONN_LAST: all is sent, the peer's end is awaited
	size_t n_swallowed;    // bytes read after the last answer
	struct deferred later; // flush, or destroy
	struct timer timer;
	ns_t write_due; // while out holds something; NS_NEVER
	struct conn_list *listed; // waiting or lingering; NULL: none
	TAILQ_ENTRY(conn) list_link;

	char *in; // owned: request head, and what follows it
	size_t in_len, in_cap, in_scanned;
	size_t head_len;
	struct http_head *head; // owned; views into in
	char *body;             // owned
	size_t body_len, body_cap;
	struct http_chunks chunks;

	uint8_t *out; // owned: bytes [out_at, out_len) wait to be sent
	size_t out_at, out_len, out_cap;

	struct unread *unread; // its owner's account of unread_len bytes in out; NULL: nobody's
	size_t unread_len;

	struct ws_side *ws; // owned; NULL before the upgrade
};

struct unread { // answers of one owner that wait to be read; lives while there are any
	char *owner;
	size_t held;
	bool is_logged; // that it is too much
};

TAILQ_HEAD(conn_list, conn);

struct http {
	struct map *unread;      // owned: by owner
	struct loop *loop;       // borrowed
	struct metrics *metrics; // borrowed
	struct tls_ctx *tls;     // borrowed
	struct http_limits limits;
	struct http_proxies proxies;
	http_handler_fn handler;
	void *arg;
	struct pool *conns;
	struct conn_list waiting;   // those without a complete request, longest first
	struct conn_list lingering; // those that have had their last answer
	int listen_fd[4];
	struct loop_fd *listen_watch[4];
	unsigned n_listen;
	uint16_t port;
	uint32_t serial;           // of the newest connection
	struct timer accept_timer; // out of descriptors: try again
	bool is_closing;
};

#define HTTP_LINGER_NS (2 * NS_PER_S) // for the end of the peer, after the last answer

// --- http_conn.c -------------------------------------------------------------------------------------
struct conn *conn_find(const struct http *, http_id); // NULL when it is gone
void conn_kill(struct conn *); // destroys at the end of this turn; nothing else happens on it
[[nodiscard]] bool conn_queue(struct conn *, const void *p, size_t len); // false: out of memory, killed
void conn_flush(struct conn *);                        // send what is queued, as far as it goes
ssize_t conn_read(struct conn *, void *p, size_t len); // bytes; 0: the peer has ended; or -errno
void conn_watch(struct conn *);                        // for the events that its state waits for
void conn_finish(struct conn *);                       // send what is queued, then end
void conn_wait(struct conn *);                         // among those without a complete request
void conn_stop_waiting(struct conn *);                 // not one that makes room for others any more
void conn_next_request(struct conn *);                 // the reply is queued: on to the next one

void conn_answer_is_read(struct conn *); // all of it, or the connection ends

// --- http_reply.c ------------------------------------------------------------------------------------
void conn_refuse(struct conn *, unsigned status, const char *reason); // cannot be read: one answer, the end

// --- http_request.c ----------------------------------------------------------------------------------
// Read once and go on as far as it goes: bytes; 0: the peer has ended; or -errno.
ssize_t request_read_head(struct conn *);
ssize_t request_read_body(struct conn *);
void request_try_head(struct conn *); // with what is there already

// --- http_ws.c ---------------------------------------------------------------------------------------
void ws_input(struct conn *, uint8_t *p, size_t len);
void ws_timer(struct conn *, ns_t now);
void ws_ended(struct conn *); // called once when the connection is destroyed

// --- http.c ------------------------------------------------------------------------------------------
void http_on_accept(void *arg, unsigned events); // arg: struct http
