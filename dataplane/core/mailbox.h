// Mail: what main tells a worker. Notes: what a worker tells main. Fixed-size messages in single-producer
// single-consumer rings; order is kept. What a mail points to belongs to main again once the worker has
// counted it in n_mails_done and a grace period has passed (reclaim.h).
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"
#include "lib/ipc/wire.h"

struct dp;
struct leg;
struct punt;
struct punt_end;
struct room;
struct seal_key;
struct session;
struct source;
struct worker;

enum mail_type {
	MAIL_SESSION_ADD,
	MAIL_SESSION_DEL,
	MAIL_CREDS,  // creds
	MAIL_KEYS,   // keys: both, made by main
	MAIL_EXTMAP, // ext
	MAIL_TRACK,  // source, track: bind or change
	MAIL_GATE,   // source, enabled
	MAIL_TRACK_DEL,
	MAIL_LEG_ADD, // leg, bwe
	MAIL_LEG_DEL,
	MAIL_ROOM_ADD, // room, no session: it begins
	MAIL_ROOM_CHANGED,
	MAIL_ROOM_DEL,
	MAIL_PUNT,  // punt, no session: its rings with the control plane from here on
	MAIL_QUERY, // seq: answered by NOTE_LEG_STATE ... NOTE_SESSION_STATE
};

struct mail {
	uint32_t type; // enum mail_type
	uint32_t rsvd;
	struct session *session;
	union {
		const struct ipc_session_ice *creds; // borrowed until reclaimed
		struct {
			struct seal_key *rx, *tx; // borrowed: live as long as the session
			uint32_t rtcp_ssrc;
		} keys;
		uint8_t ext[IPC_N_EXTS];
		struct {
			struct source *source;             // borrowed until MAIL_TRACK_DEL is reclaimed
			const struct ipc_track_add *track; // borrowed until reclaimed
			bool enabled;
		} track;
		struct {
			struct leg *leg; // borrowed until MAIL_LEG_DEL is reclaimed
			struct bwe *
				bwe; // the session's, borrowed until MAIL_SESSION_DEL is reclaimed; NULL without video
		} leg;
		uint32_t seq;
		struct room *room;     // borrowed until MAIL_ROOM_DEL is reclaimed
		struct punt_end *punt; // borrowed until the next MAIL_PUNT is done; NULL: nobody is connected
		uint8_t pad[48];
	};
};
static_assert(sizeof(struct mail) == 64);

enum note_type {
	NOTE_PATH,
	NOTE_LIVENESS,
	NOTE_TRACK_LIVE,
	NOTE_VOICE,
	NOTE_PUNT_BROKEN, // no session: the control plane broke the rules of a ring
	NOTE_UFRAG_GONE,
	NOTE_LEG_STATE, // leg_state, session_state: what main knows better is left out
	NOTE_SESSION_STATE,
};

struct note {
	uint32_t type; // enum note_type
	uint32_t sid;
	union {
		struct {
			uint8_t nominated;
			struct flow_key key;
		} path;
		uint8_t liveness; // enum ipc_liveness_state
		struct {
			uint16_t track;
			uint8_t pt, codec;
			uint32_t ssrc;
			char rid[IPC_RID_LEN]; // NUL-padded
		} live;
		struct {
			uint16_t track;
			uint8_t on;
		} voice;
		char ufrag[IPC_UFRAG_LEN];
		const struct punt *punt; // borrowed: the one meant, a name only
		struct ipc_leg_state leg_state;
		struct ipc_session_state session_state;
	};
};
static_assert(sizeof(struct note) == 72);

// Deliver, waiting for room if need be: main may wait for a worker, never the other way round. Once workers have
// returned main does their mails itself (worker/mail.h). thread: main
void mail_post(struct worker *to, const struct mail *mail);
// Wait until all mails posted so far are done. thread: main
void mail_wait(struct worker *);

// False when main does not keep up (counted). thread: the worker
bool note_post(struct worker *, const struct note *note);
// Wake main if it sleeps and notes were posted in this round. thread: the worker
void note_flush(struct worker *);
// Next note of a worker. thread: main
bool note_take(struct worker *from, struct note *note);
