// What the control plane told us, as main keeps it: sessions, tracks and legs by their ids. It checks each
// command against what exists, makes and frees the workers' objects, and is what a snapshot is written from.
//
// Commands change the model at once; model_flush then publishes the fan-out lists they touched (one new list
// per track, however many commands) and retires what is no longer used. thread: main
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/ipc/ipc.h"

struct dp;
struct model;
struct note;

struct model *model_new(struct dp *); // NULL + ENOMEM
void model_free(struct model *);      // after the workers have stopped; NULL is allowed

// Apply one command that passed ipc_check. 0, or the negative errno of its EVT_ACK:
//   -EINVAL   ids out of range or contradictory        -ENOENT  names a session, track or leg that is not there
//   -EEXIST   id or SSRC is in use for something else  -ENOSPC  table full     -ENOMEM
[[nodiscard]] int model_apply(struct model *, const union ipc_msg *cmd);

// Publish and retire. True when memory still waits for a grace period: call again in some milliseconds.
bool model_flush(struct model *);

// Enter what a worker reported. Returns the length of the event to send, 0 when there is none (stale).
size_t model_note(struct model *, const struct note *, union ipc_msg *event);

// One slot of the snapshot: calls send for each message of the session in it. False at the end of the slots.
// send returns 0 or a negative errno, which ends the walk of this slot (the caller gives up the peer).
bool model_snapshot(struct model *, uint32_t *slot, int (*send)(void *arg, const void *msg), void *arg);
