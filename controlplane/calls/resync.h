// Bringing calls, store and dataplane to agree: at start, and whenever the link to the dataplane comes back.
//
// thread: loop.
#pragma once

#include <stdbool.h>

#include "controlplane/session/env.h"
#include "lib/ipc/ipc.h"

enum resync_limits {
	RESYNC_READ_AGAIN_MS = 250, // pause between attempts to read the store
	RESYNC_RESTORE_S = 5,       // reading back state ends after this, whatever is missing
};

struct resync;

// Begin to read state back. restored is called once, from a later turn of the loop, when that is done. env is borrowed.
// NULL + errno.
struct resync *resync_new(struct session_env *, void (*restored)(void *arg), void *arg);
void resync_free(struct resync *); // NULL is allowed
bool resync_is_restoring(const struct resync *);

// From the link: one message of the snapshot; snapshot complete; link lost.
void resync_snap(struct resync *, const union ipc_msg *);
void resync_link_up(struct resync *);
void resync_link_down(struct resync *);
