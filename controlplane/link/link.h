// The dataplane as the control plane sees it: commands out, events in, DTLS datagrams both ways, and a
// connection that comes back by itself.
//
// State, not history, crosses after a break: when the link stands, sluice-dp tells all it has (on_snap,
// then on_synced), and the owner compares and sends what is missing. Until then link_send refuses, and
// nobody needs to remember what was refused.
//
// thread: loop.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/sys/loop.h"
#include "lib/base/str.h"
#include "lib/ipc/ipc.h"

struct link;
struct statseg;

// No callback is made from inside a dp_* call but link_look.
struct link_ops {
	void (*on_snap)(void *arg, const union ipc_msg *); // one EVT_SNAP_* but END
	void (*on_synced)(void *arg,
			  bool is_same_boot); // snapshot complete, commands are taken; is_same_boot:
					      // the process we talked to before
	void (*on_down)(void *arg);           // the link broke after on_synced
	void (*on_event)(void *arg,
			 const union ipc_msg *); // PATH, LIVENESS, TRACK_LIVE, VOICE; ACK with an error
	void (*on_punt)(void *arg, unsigned worker, const struct punt_hdr *, const uint8_t *data,
			size_t len); // worker: to name when something is sent back
};

// socket_path is copied. Connects in the background, with growing pauses of 50 ms to 1 s. NULL + errno.
struct link *link_new(struct loop *, const char *socket_path, const struct link_ops *, void *arg);
void link_free(struct link *); // NULL is allowed

// fn: sluice-dp serves another sluice-cp, and has never served us. Called once, from the loop; later the link only tries
// again.
void link_on_taken(struct link *, void (*fn)(void *arg), void *arg);

// Synced, so commands are taken.
bool link_is_up(const struct link *);

// Send one command (made by ipc_begin); the sequence number is filled in here. returns: 0, -ENOTCONN; a
// link that cannot take more is broken and comes back with a snapshot, so the caller needs no retry.
int link_send(struct link *, void *msg);

// Send a datagram to the session's selected path. worker: the one its datagrams come from; another one passes it on.
// returns: 0, -ENOTCONN, -ENOBUFS (dropped), -EMSGSIZE
int link_punt(struct link *, unsigned worker, uint32_t sid, const uint8_t *data, size_t len);

// on: the caller calls link_look several times a second, so datagrams that need no haste (acknowledgements on data channels)
// need not wake this process. In force from the next look on.
void link_doze(struct link *, bool on);
void link_look(struct link *); // take what has come
// For the next half second every datagram wakes: acknowledgements are what the caller waits for.
void link_await(struct link *);
bool link_awaits(const struct link *); // that half second is not over

struct link_stats {
	uint64_t n_connects, n_commands, n_acks_failed, n_bad_messages, punt_in, punt_out, punt_dropped;
};
// What sluice-dp shall know of a tenant: a number that nobody can foretell.
uint32_t link_tenant(const struct link *, struct str name);

void link_stats(const struct link *, struct link_stats *);
// The TCP port the dataplane serves as it said last, 0: none, or not known yet.
uint16_t link_tcp_port(const struct link *);
// What the dataplane counts, NULL while down; borrowed until on_down.
const struct statseg *link_counters(const struct link *);
// Time of all its workers in cycles, since its start. False while down.
struct link_cycles {
	uint64_t busy, idle; // idle: polling or asleep without work
	unsigned n_workers;
};
bool link_cycles(const struct link *, struct link_cycles *out);
ns_t link_down_for(const struct link *); // 0: up
// All its workers are so loaded that they give up video: no more sessions.
bool link_is_full(const struct link *);
