// What a session receives at present, asked of the dataplane: CMD_QUERY out, EVT_LEG_STATE and EVT_SESSION_STATE in.
// thread: loop.
#pragma once

#include <stdbool.h>

#include "controlplane/calls/hub.h"
#include "lib/ipc/ipc.h"

enum query_limits {
	QUERY_MAX = 32,        // in flight
	QUERY_MAX_VIDEOS = 64, // told of one session
	QUERY_LIMIT_MS = 1000,
};

// A video that the session receives.
struct query_video {
	struct str sender_id; // session id
	const char *type;     // "screen" or "video"
	const char *codec;    // "VP8" or "AV1"
	struct ipc_leg_state state;
};

struct query_view {
	struct str session_id;
	struct ipc_session_state state;
	unsigned n_videos;
	const struct query_video *video;
};

// view is NULL when err is: -ETIMEDOUT no answer in time, -ENOENT the session has ended, or what the dataplane said.
typedef void (*query_done_fn)(void *arg, int err, const struct query_view *view);

// Ask. done is called once, from a later turn of the loop, unless the hub is freed before.
//
// returns: 0; -ENOENT with *what as hub_sessions; -EBUSY QUERY_MAX are in flight; -ENOTCONN no dataplane; -ENOMEM
[[nodiscard]] int hub_query(struct hub *, struct str client, struct str call_id, struct str session_id,
			    const char **what, query_done_fn done, void *arg);
void hub_query_forget(struct hub *, const void *arg); // done is not called any more for this arg

// For hub.c: an event of the dataplane, and the end.
void query_on_event(struct hub *, const union ipc_msg *);
void query_drop_all(struct hub *);

// The view as a JSON object, as docs/operations.md describes it.
struct wbuf;
void query_write_json(struct wbuf *, const struct query_view *);
#define QUERY_MAX_JSON (160 * 1024) // bytes it needs at most: ids of 256 bytes, all of them escaped
