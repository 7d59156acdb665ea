// Sending and receiving the structs of wire.h on SOCK_SEQPACKET, and the checks both sides owe each other:
// type, direction, length, and every id and enum value that can be judged without state. What passes
// ipc_recv may still name things that do not exist.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/ipc/wire.h"

// Any message, with the alignment of the strictest.
union ipc_msg {
	struct ipc_hdr hdr;
	struct ipc_bare bare;
	struct ipc_hello hello;
	struct ipc_session_add session_add;
	struct ipc_session_ice session_ice;
	struct ipc_session_keys session_keys;
	struct ipc_session_extmap session_extmap;
	struct ipc_session_ref session_ref;
	struct ipc_track_add track_add;
	struct ipc_track_gate track_gate;
	struct ipc_track_ref track_ref;
	struct ipc_leg_add leg_add;
	struct ipc_leg_ref leg_ref;
	struct ipc_ack ack;
	struct ipc_path path;
	struct ipc_liveness liveness;
	struct ipc_track_live track_live;
	struct ipc_voice voice;
	struct ipc_snap_session snap_session;
	struct ipc_snap_track snap_track;
	struct ipc_snap_leg snap_leg;
	struct ipc_leg_state leg_state;
	struct ipc_session_state session_state;
	uint8_t bytes[IPC_MAX_MSG];
};

enum ipc_side { IPC_FROM_CP, IPC_FROM_DP };

// "CMD_SESSION_ADD" and so on; "unknown" for other values.
const char *ipc_type_name(unsigned type);
// Bytes of a message of this type; 0 when unknown.
size_t ipc_type_size(unsigned type);

// Is data a well-formed message of that side? 0; -EPROTO when a hello has another IPC_VERSION; -EBADMSG.
// *why (may be NULL) says in words what is wrong.
[[nodiscard]] int ipc_check(const void *data, size_t len, enum ipc_side from, const char **why);

// Start a message: zeroes it and fills the header. The struct must be the one of the type.
#define ipc_begin(msg, msg_type) ipc_begin_sized((msg), sizeof(*(msg)), (msg_type))
void ipc_begin_sized(void *msg, size_t size, enum ipc_type type);

// --- sockets -----------------------------------------------------------------------------------
// Listen on a Unix SOCK_SEQPACKET socket of mode 0660; a stale socket file is replaced, a live one is
// -EADDRINUSE. fd or -errno.
[[nodiscard]] int ipc_listen(const char *path);
[[nodiscard]] int ipc_accept(int listen_fd);     // fd, -EAGAIN, -errno
// Answer the hello that the other end is about to say, with a negative errno, and close.
void ipc_refuse(int fd, int err);
int ipc_peer_pid(int fd); // of whom it was opened by; 0: not known
[[nodiscard]] int ipc_connect(const char *path); // fd, -ENOENT or -ECONNREFUSED when nobody serves, -errno

// --- one connection ----------------------------------------------------------------------------
// Messages that the socket does not take wait in a queue of at most max_queued bytes; queued keys are
// wiped once sent. thread: owner only.
struct ipc_chan;

// Takes over fd. NULL + ENOMEM (fd is then still the caller's).
struct ipc_chan *ipc_chan_new(int fd, enum ipc_side we_are, size_t max_queued);
void ipc_chan_free(struct ipc_chan *); // closes; NULL is allowed
int ipc_chan_fd(const struct ipc_chan *);

// Send one message. 0 when sent or queued; -ENOBUFS when the queue is full (nothing is queued; the
// connection should be dropped, or the sender should wait for ipc_chan_is_idle); -EPIPE, -errno.
// fds (n_fds <= IPC_MAX_FDS) are duplicated by the kernel and stay the caller's; a message with fds is
// not queued: -EAGAIN.
[[nodiscard]] int ipc_chan_send(struct ipc_chan *, const void *msg);
[[nodiscard]] int ipc_chan_send_fds(struct ipc_chan *, const void *msg, const int *fds, unsigned n_fds);

bool ipc_chan_wants_write(const struct ipc_chan *);  // watch for POLLOUT, then ipc_chan_flush
[[nodiscard]] int ipc_chan_flush(struct ipc_chan *); // 0, also when something is left; -EPIPE, -errno

// Receive one valid message. Its length; 0 when the peer closed; -EAGAIN; -EBADMSG or -EPROTO for an
// invalid message (its header is in *msg for an answer; *why as in ipc_check); -errno.
// fds: room for IPC_MAX_FDS descriptors, *n_fds how many came; they are the caller's. NULL: messages
// with descriptors are invalid. Only EVT_HELLO may carry any.
[[nodiscard]] int ipc_chan_recv(struct ipc_chan *, union ipc_msg *msg, int *fds, unsigned *n_fds,
				const char **why);
