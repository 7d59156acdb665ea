// What a session receives at present, asked of the dataplane: CMD_QUERY out, EVT_LEG_STATE and EVT_SESSION_STATE in.
// thread: loop.
#pragma once

#include <stdbool.h>

#include "controlplane/session/env.h"
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

// The questions in flight.
struct queries;
struct queries *queries_new(struct session_env *); // NULL + errno; borrowed
void queries_free(struct queries *);               // done is called for none of them; NULL is allowed

// Ask. done is called once, from a later turn of the loop, unless the questions are freed before.
//
// returns: 0; -ENOENT with *what = "group", "call" or "session", which is not there; -EBUSY QUERY_MAX are in flight;
//          -ENOTCONN no dataplane; -ENOMEM
[[nodiscard]] int queries_ask(struct queries *, const struct session_key *, const char **what,
			      query_done_fn done, void *arg);
void queries_forget(struct queries *, const void *arg); // done is not called any more for this arg

void queries_on_event(struct queries *,
		      const union ipc_msg *); // of the dataplane: ACK with an error, or an answer
