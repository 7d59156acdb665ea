// Between the plugin connections (wsconn.c, wsmsg.c) and the calls (registry.c, session.c): what each side
// may ask of the other. Neither includes the other's headers.
//
// thread: the control-plane loop. ownership: every struct str is borrowed for the duration of the call.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

typedef uint32_t conn_id; // one plugin WebSocket; handle_t of its pool; 0 = none

// rtc message types on /ws.
enum rtc_type {
	RTC_ICE = 1,
	RTC_SDP,
	RTC_MUTE,
	RTC_UNMUTE,
	RTC_SCREEN_ON,
	RTC_SCREEN_OFF,
	RTC_VOICE_ON,
	RTC_VOICE_OFF,
	RTC_VIDEO_ON,
	RTC_VIDEO_OFF,
};

struct join_msg {
	struct str call_id, user_id, session_id, channel_id;          // first three non-empty
	bool has_channel, av1_support, has_av1, dc_signaling, has_dc; // has_x: present with the right type
};

// --- implemented by the calls, called by the connections ---------------------------------------
// client is the authenticated client id of the connection = group id of its calls. All of them tolerate
// unknown sessions (count, log, go on) and never touch a session of another client (D10).
struct hub; // the calls' root object

struct loop;
struct conf;
struct plugins; // all plugin WebSockets
struct store;
struct metrics;
// All borrowed until hub_free. NULL + errno, after logging what to fix.
struct hub *hub_new(struct loop *, const struct conf *, struct plugins *, struct store *, struct metrics *);
void hub_free(struct hub *); // ends all sessions with their `close`; NULL is allowed

// From now on refuse joins that would make a new call (close {sessionID}); existing calls still take joins.
// drained is called once, from the loop, when no session is left.
void hub_drain(struct hub *, void (*drained)(void *arg), void *arg);

void hub_join(struct hub *, conn_id, struct str client, const struct join_msg *);
// A join that could not be decoded but names its session: told by `close`, unless the session lives (D53).
void hub_join_invalid(struct hub *, conn_id, struct str client, struct str session_id);
void hub_leave(struct hub *, conn_id, struct str client, struct str session_id);
void hub_reconnect(struct hub *, conn_id, struct str client, struct str session_id);
void hub_rtc(struct hub *, conn_id, struct str client, struct str session_id, enum rtc_type, struct str data);
void hub_conn_closed(struct hub *, conn_id, struct str client);
void hub_client_gone(struct hub *, struct str client); // unregistered: end all its sessions (D12)

// For GET /calls/{callID}/sessions[/{sessionID}]. Returns 0, or -ENOENT with *what = "group", "call" or
// "session" not found. emit is called once per session with a JSON-ready view.
struct session_view {
	struct str group_id, call_id, user_id, session_id;
	struct str channel_id;
	bool has_channel, av1_support, has_av1, dc_signaling, has_dc;
};
typedef void (*session_emit_fn)(void *arg, const struct session_view *);
int hub_sessions(struct hub *, struct str client, struct str call_id, struct str session_id /* or none */,
		 const char **what, session_emit_fn emit, void *arg);

// For /system, drain and /metrics.
struct hub_load {
	unsigned n_sessions, n_calls;
	bool draining, restoring; // restoring: answer 503 on /calls until state is read back
};
void hub_load(const struct hub *, struct hub_load *);
struct link;
struct link *hub_link(struct hub *); // its link to the dataplane, for /metrics; borrowed

// --- implemented by the connections, called by the calls ---------------------------------------
enum deliver {       // who gets a message when the session's own connection is gone (D13)
	DELIVER_ALL, // every live connection of the client: SDP, ICE, close
	DELIVER_ONE, // any one live connection of the client: VAD
};

// Send {type, rtc message} to conn when it lives, else by policy. Queued while the client has no live
// connection: `close` up to 60 s and 1000 messages a client; anything else is dropped and counted.
// data may be empty (then the key is omitted).
void plugins_send_rtc(struct plugins *, struct str client, conn_id preferred, enum deliver, enum rtc_type,
		      struct str user_id, struct str session_id, struct str call_id, struct str data);
void plugins_send_close(struct plugins *, struct str client, conn_id preferred, struct str session_id);
