// What a Calls plugin says and is told, in words that its connections (plugins.c, wsmsg.c) and the calls share; neither
// includes the other's headers.
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

// What a join says beside its ids. has_x: x was present with the right type.
struct join_flags {
	bool has_channel, av1_support, has_av1, dc_signaling, has_dc;
};

struct join_msg {
	struct str call_id, user_id, session_id, channel_id; // first three non-empty
	struct join_flags flags;
};

// A message about one session, of either direction.
struct rtc_msg {
	struct str client, user_id, session_id, call_id; // client: the plugin's id, group_id on the wire
	enum rtc_type type;                              // VOICE_ON and VOICE_OFF go out as "vad"
	struct str data;                                 // empty: the key is omitted
};

// What plugins say, told to the calls. client is the authenticated client id of the connection = group id of its calls.
// All of them tolerate unknown sessions (count, log, go on) and never touch a session of another client (D10).
struct plugin_ops {
	void (*join)(void *arg, conn_id, struct str client, const struct join_msg *);
	// A join that could not be decoded but names its session: told by `close`, unless the session lives (D53).
	void (*join_invalid)(void *arg, conn_id, struct str client, struct str session_id);
	void (*leave)(void *arg, conn_id, struct str client, struct str session_id);
	void (*reconnect)(void *arg, conn_id, struct str client, struct str session_id);
	void (*rtc)(void *arg, conn_id, struct str client, struct str session_id, enum rtc_type,
		    struct str data);
};

struct plugins; // all plugin WebSockets

enum deliver {       // who gets a message when the session's own connection is gone (D13)
	DELIVER_ALL, // every live connection of the client: SDP, ICE, close
	DELIVER_ONE, // any one live connection of the client: VAD
};

// Send it to the connection preferred when it lives, else by policy. Without a live connection of the client it is
// dropped and counted.
void plugins_send_rtc(struct plugins *, conn_id preferred, enum deliver, const struct rtc_msg *);
// The session has ended. Waits for a connection of the client up to 60 s, 1000 of them a client.
void plugins_send_close(struct plugins *, struct str client, conn_id preferred, struct str session_id);
