// Bringing calls, store and dataplane to agree: at start, and whenever the link to the dataplane comes back.
//
// thread: loop.
#pragma once

#include "controlplane/calls/hub_state.h"

// Begin to read state back; hub->restoring until it is done, hub_replay then.
void resync_start(struct hub *);
void resync_end(struct hub *);

// From the link: one message of the snapshot; snapshot complete; link lost.
void resync_snap(struct hub *, const union ipc_msg *);
void resync_link_up(struct hub *);
void resync_link_down(struct hub *);
