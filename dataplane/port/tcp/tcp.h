// ICE-TCP (passive): kernel TCP on a thread of its own, one more port to the workers.
//
// Frames cross in byte rings (lib/ipc/pktring.h), one up and one down per worker: bytes are copied, so no packet buffer
// and no pool is shared with this thread, and a slow connection holds memory of this thread alone. A full ring drops.
//
//   port_tcp.c    the worker's side, opening and closing
//   tcp_thread.c  the loop of the thread
//   tcp_listen.c  listeners and what they accept
//   tcp_frames.c  frames in and out of a connection
//   tcp_conn.c    the life of connections: who may stay
//   tcp_sources.c where strangers' connections come from
//   tcp_rings.c   the thread's ends of the rings
//   tcp_queue.c   what waits to be written, and what a slow reader does not get
//
// A connection is of a stranger until the ICE code of a worker binds it to a session (port_ops.bind); each further check
// on the pair says so again. When it closes, its worker gets an mbuf without data.
//
// source: RFC 6544, RFC 4571; the bounds are ours (docs/packet-path.md, "ICE over TCP")
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "dataplane/port/port.h"
#include "dataplane/port/tcp/tcp_queue.h"
#include "lib/ipc/pktring.h"
#include "lib/ipc/statseg.h"
#include "lib/rtc/wire/deframe.h"

#define TCP_UP_BYTES (1u << 20)   // of each ring towards a worker
#define TCP_DOWN_BYTES (4u << 20) // of each ring from a worker
#define TCP_MAX_LISTEN (CONF_MAX_LIST + 2)
#define TCP_FIRST_FRAME 512 // bytes
#define TCP_EARLY_FRAMES 32 // of a connection that no session takes
#define TCP_SOURCES 4096    // buckets; power of two

// The bounds; tests shorten the times.
struct tcp_limits {
	ns_t first;                    // from accept to a session, at most
	ns_t partial;                  // from the first to the last byte of a frame
	ns_t blocked;                  // the peer takes nothing while something waits
	ns_t idle;                     // no word from the session
	uint32_t strangers;            // connections without session, at most
	uint32_t strangers_per_source; // of them from one source (IPv4 address, IPv6 /64), at least 1
};
extern const struct tcp_limits tcp_limits_default;

// Worker -> thread, before the bytes of a frame.
enum tcp_op { TCP_SEND, TCP_BIND, TCP_UNBIND };
struct tcp_down {
	uint16_t conn, remote_port;
	uint8_t op, class; // enum tcp_op, enum pkt_class
	uint16_t rsvd;
	uint32_t sid; // TCP_BIND, TCP_UNBIND
};

// Thread -> worker; nothing behind it: the connection is gone.
struct tcp_up {
	struct flow_key key;
};

enum tcp_state {
	TCP_NEW,     // nothing came yet
	TCP_CHECKED, // the first frame was a STUN request
	TCP_BOUND,   // a session uses it
	TCP_GONE,    // closed; its worker is still to be told
};

struct tcp_conn {
	int fd; // owned
	uint16_t id;
	uint8_t state;   // enum tcp_state
	uint8_t n_early; // frames while a stranger
	bool wants_write, is_dirty;
	uint16_t queue; // worker its frames go to
	uint32_t sid;   // TCP_BOUND
	struct tcp_source *source; // borrowed; of a stranger
	struct flow_key key;
	ns_t since;         // accept; TCP_BOUND: the last word from its session
	ns_t partial_since; // 0: no frame is incomplete
	ns_t blocked_since; // 0: it takes what it gets
	TAILQ_ENTRY(tcp_conn) of_state, of_partial, of_blocked, of_source;
	STAILQ_ENTRY(tcp_conn) of_dirty;
	struct tcp_queue out;
	struct deframe in;
};

TAILQ_HEAD(tcp_list, tcp_conn);

// Connections without session of one IPv4 address or IPv6 /64; there is none without.
struct tcp_source {
	uint8_t family, prefix[8];
	uint16_t bucket;
	unsigned n;
	struct tcp_list strangers; // oldest first
	TAILQ_ENTRY(tcp_source) of_bucket, of_count;
};

TAILQ_HEAD(tcp_source_list, tcp_source);

// One worker's ends of its rings.
struct tcp_side {
	alignas(64) struct pktring_rx up;
	struct pktring_tx down;
	struct rte_mbuf *spare; // owned: allocated and not used
	int bell;               // owned: readable when `up` has something for one who announced sleep
	bool has_announced;
};

// The thread's ends of the same.
struct tcp_end {
	struct pktring_tx up;
	struct pktring_rx down;
	bool is_pushed; // `up` is to be kicked
};

struct port_tcp {
	struct port port;
	struct rte_mempool *pool; // borrowed
	uint16_t tcp_port;
	struct pktring_mem up_mem, down_mem;
	int doorbell; // owned: the thread's
	pthread_t thread;
	bool has_thread;
	_Atomic bool stop;
	struct tcp_side *side; // owned: one per worker

	// the thread's alone, once it runs
	struct statseg_block *stats; // borrowed
	struct tcp_limits limits;
	struct tcp_end *end; // owned: one per worker
	int epoll_fd;
	unsigned n_listen;
	int listen[TCP_MAX_LISTEN]; // owned
	ns_t accept_again;          // 0: accepting
	uint32_t seed;
	unsigned max_conns, n_conns, n_strangers;
	struct tcp_conn **conn; // owned, by id; max_conns + 1
	uint16_t *free_ids;     // owned: ring of max_conns, so that a number comes back as late as can be
	unsigned free_at, n_free;
	struct tcp_list strangers, bound, gone; // by `since`
	struct tcp_list partial, blocked;       // by those times
	STAILQ_HEAD(, tcp_conn) dirty;          // something to write
	struct tcp_source_list source[TCP_SOURCES]; // by address; owned
	struct tcp_source_list *by_count;           // owned: those with so many strangers
	ns_t now;
};

// As port_tcp_open with other limits.
struct port *port_tcp_open_with(const struct port_env *, const struct tcp_limits *);

// The loop of the thread; arg is the struct port_tcp.
void *tcp_thread(void *arg);

// Everything below: thread: the TCP thread, or main before it runs.

// Tags of epoll events: connections have their id.
#define TCP_TAG_DOORBELL (UINT64_C(1) << 32)
#define TCP_TAG_LISTEN (UINT64_C(2) << 32) // + index

// op: EPOLL_CTL_*. False: errno says why.
static inline bool tcp_watch(struct port_tcp *p, int fd, uint64_t tag, uint32_t events, int op)
{
	struct epoll_event ev = {.events = events, .data.u64 = tag};

	return epoll_ctl(p->epoll_fd, op, fd, &ev) == 0;
}

// --- tcp_listen.c
// Open the listeners. 0, -errno with env->error filled.
int tcp_listen(struct port_tcp *, const struct port_env *);
void tcp_listen_accept(struct port_tcp *, unsigned i); // listener i is readable
void tcp_listen_resume(struct port_tcp *); // after a pause for want of descriptors, when it is over

// --- tcp_frames.c
void tcp_frames_in(struct port_tcp *, struct tcp_conn *);  // readable; may close it
void tcp_frames_out(struct port_tcp *, struct tcp_conn *); // write what waits; may close it
// What a worker says: a frame to send, or whose the connection is.
void tcp_frames_down(struct port_tcp *, const struct tcp_down *, const void *data, size_t len);
void tcp_frames_flush(struct port_tcp *); // all that got something to write

// --- tcp_conn.c
void tcp_conn_accept(struct port_tcp *, int fd, const struct sockaddr_storage *remote); // fd is consumed
struct tcp_conn *tcp_conn_find(struct port_tcp *, uint16_t id); // an open one, NULL
// A session uses it, or says so again.
void tcp_conn_bind(struct port_tcp *, struct tcp_conn *, uint32_t sid);
// A frame is incomplete; the peer takes nothing: from now on, or no more.
void tcp_conn_set_partial(struct port_tcp *, struct tcp_conn *, bool is_partial);
void tcp_conn_set_blocked(struct port_tcp *, struct tcp_conn *, bool is_blocked);
// why: CTR_NONE when the peer or its session wants it.
void tcp_conn_close(struct port_tcp *, struct tcp_conn *, enum counter why);
void tcp_conn_timers(struct port_tcp *);
ns_t tcp_conn_due(const struct port_tcp *); // next timer, NS_NEVER
// Close the oldest stranger of a source that has most; false: there is none.
bool tcp_conn_make_room(struct port_tcp *);
void tcp_conn_free_all(struct port_tcp *);

// --- tcp_sources.c
[[nodiscard]] bool tcp_sources_add(struct port_tcp *, struct tcp_conn *); // false: out of memory
void tcp_sources_remove(struct port_tcp *, struct tcp_conn *);
// The oldest stranger from the address of this key, when it has as many as one may; NULL: it has not.
struct tcp_conn *tcp_sources_full(struct port_tcp *, const struct flow_key *);
struct tcp_conn *tcp_sources_greediest(struct port_tcp *); // the oldest stranger of who has most, NULL: none
void tcp_sources_free_all(struct port_tcp *);

// --- tcp_rings.c
// One frame to the worker of its connection; a full ring drops it, counted.
void tcp_rings_up(struct port_tcp *, struct tcp_conn *, const void *data, size_t len);
void tcp_rings_kick(struct port_tcp *);  // workers that got something and sleep
bool tcp_rings_sleep(struct port_tcp *); // announce it; false: something is there already
void tcp_rings_wake(struct port_tcp *);  // the sleep is over
