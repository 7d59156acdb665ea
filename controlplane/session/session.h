// One participant: from join to close. Joins what the plugin says, what the dataplane sees, DTLS, the data channel and
// the negotiation. Its life is the state machine of life.h.
//
// This header is what the calls use; what the parts of a session are to each other is session_priv.h. The parts, each
// of which calls only those after it:
//   session_restore.c  out of the store and the snapshot
//   session.c          from join to end, and what the plugin says
//   session_media.c    what it receives
//   session_path.c     path and ICE restarts
//   track/             what it sends (session_share.c, session_voice.c, session_tracks.c, session_classify.c) and who
//                      gets it (session_audience.c)
//   signal/            descriptions (session_sdp_in.c, session_sdp_out.c), session_dtls.c, session_dc.c
//   session_base.c     state, end, counts
// thread: loop.
#pragma once

#include "controlplane/session/env.h"
#include "controlplane/session/life.h"
#include "controlplane/session/persist.h"
#include "controlplane/sys/budget.h"
#include "lib/base/tokens.h"
#include "lib/peer/dchan.h"

enum session_limits {
	SESSION_OFFERS_BURST = 30,
	SESSION_OFFERS_PER_S = 5, // client offers (D17)
	SESSION_DC_BURST = 200,
	SESSION_DC_PER_S = 60, // data-channel messages (D17)
	SESSION_PLUGIN_BURST = 200,
	SESSION_PLUGIN_PER_S = 50,   // messages by the plugin
	SESSION_MAP_ACK_MS = 400,    // an offer by WebSocket waits this long for its map to be acknowledged
	SESSION_REPAIRS = 3,         // ICE restarts that are offered while a path is silent,
	SESSION_REPAIR_S = 5,        // so far apart
	SESSION_SILENT_MS = 1500,    // clients ping every second
	SESSION_MAX_STREAM_ID = 128, // bytes of a msid stream id
	SESSION_OVER_S = 10,         // a session whose work is over its budget for so long ends
};

// Processor time of this process that one session may take, within what its tenant may: a join costs 3 to 5 ms, an hour
// of pings 100.
static const struct budget_rate session_work = {250 * NS_PER_MS, 0.05};

enum session_end {
	END_LEAVE,       // the plugin said so
	END_NO_OFFER,    // first offer did not come in time
	END_BAD_OFFER,   // first offer unusable
	END_NO_CHANNEL,  // data channel did not open in time
	END_NO_PATH,     // no ICE check ever
	END_PATH_LOST,   // consent ran out
	END_DTLS,        // handshake failed
	END_PEER_CLOSED, // close_notify
	END_DATAPLANE,   // the dataplane lost or refused it
	END_CLIENT_GONE, // unregistered
	END_SHUTDOWN,
	END_OVER_BUDGET, // the work it causes was more than it may have, for SESSION_OVER_S
	END_ORPHAN,      // came back from the store or the dataplane without the other half
};
const char *session_end_text(enum session_end); // metric label

// What the session sends on one of its m-lines.
struct track {
	bool used, live; // declared to the dataplane; RTP has come
	bool is_held;    // a video of which nobody has said what it is: gated, for nobody (D39)
	bool withdrawn;  // its share ended: nobody is to receive it any more
	uint8_t kind, codec, n_rids;
	uint16_t number;          // index in tracks[]
	enum negotiate_type type; // for good, once it is not held
	char mid[SDP_MAX_MID + 1];
	char stream_id[SESSION_MAX_STREAM_ID];
	char suffix[9]; // random part of its track id
};

// The path of packets, as the dataplane sees it. Independent of the life: a client may send checks before it is answered.
enum session_path {
	PATH_NONE,    // never seen
	PATH_GOOD,    // selected, and not known to be silent
	PATH_SUSPECT, // nothing authenticated for 3 s
};

struct session_ops;

// Booleans here are independent of the life and of each other; what follows from the life or from the negotiation is
// asked there (life_has_keys, negotiate_transport).
struct session {
	struct member member; // first
	STAILQ_ENTRY(session) next_dead;
	struct session_env *env;       // borrowed
	const struct session_ops *ops; // what its parts tell the whole
	conn_id conn;                  // the plugin connection it was last heard of on
	enum life life;                // changed by session_turn alone
	enum session_path path;        // changed by session_path.c alone
	ns_t joined_at, answered_at;
	struct negotiate_ice ice;
	uint64_t cookie; // kept by the dataplane for us; seals what we store
	struct negotiate *neg;
	struct dtls *dtls;
	struct dchan *dchan;
	bool answers_by_dc; // the client's last offer came by data channel, so our answer goes there
	bool wants_again;   // the negotiation has room for what it refused
	bool mic_on;        // last word of mute/unmute; on before any (D56)
	bool voice_on;      // the call was told that this one talks
	uint16_t dc_stream; // in LIFE_CHANNEL
	uint8_t worker;     // of the dataplane, that its last datagram came from
	uint32_t add_seq;   // of CMD_SESSION_ADD
	ns_t refusal_logged; // last refusal of a command
	ns_t heard_at;      // of the client's last DTLS datagram
	ns_t repaired_at;   // last ICE restart of ours, 0: never
	unsigned n_repairs; // since the path was good
	bool was_asked;     // to repair, by `reconnect`, since the path was good
	ns_t lock_asked_at; // the client was refused the lock then and has not got it since, 0: not
	ns_t lock_at;       // the client got the lock then, 0: it has not
	char screen_id[SESSION_MAX_STREAM_ID], video_id[SESSION_MAX_STREAM_ID];
	struct track tracks[IPC_MAX_TRACKS];
	struct timer limit_timer; // of the first offer, then of the data channel
	struct timer dtls_timer, neg_timer, held_timer, repair_timer;
	char *held_offer; // owned: JSON that waits until its media map has arrived
	ns_t held_since;
	struct tokens offers, dc_messages, plugin_messages;
	struct budget work;
	struct persist_state saved;
};

// Names for logs and metrics.
static inline struct str session_client(const struct session *s)
{
	return str_of(s->member.call ? s->member.call->group->client : "");
}
#define SESSION_FMT "session %s"
#define SESSION_ARG(s) ((s)->member.session_id ? (s)->member.session_id : "?")

// A session that the dataplane told of in its snapshot.
struct session_snap {
	struct ipc_snap_session session;
	unsigned n_tracks;
	struct ipc_snap_track tracks[IPC_MAX_TRACKS];
	uint64_t legs[IPC_MAX_LEGS / 64]; // bit: the dataplane feeds this leg
};

// --- begin and end -----------------------------------------------------------------------------------
// A session for a join. NULL when refused; *result says why.
struct session *session_new(struct session_env *, conn_id, struct str client, const struct join_msg *,
			    enum join_result *result);
// Take one up again that the dataplane still has. NULL when it cannot be: no keys, or a record that its cookie does not
// open.
struct session *session_restore(struct session_env *, const struct session_snap *,
				const struct persist_record *);
// The link came back: make the dataplane have what it should, or end the session. NULL: the snapshot lacks it.
void session_resync(struct session *, const struct session_snap *);
void session_close(struct session *, enum session_end); // `close` to the plugin included; idempotent
void session_close_all(const struct session_env *, enum session_end);
void session_free(struct session *); // a closed one; see session_env.closed

struct session *session_find(const struct session_env *, uint32_t sid); // NULL: gone, or closed

// May work be done for it now? False: what came is to be left, it is counted.
bool session_may_work(struct session *);
// What was done for it since clock_work() was began; kind: static text for the log. The session may be closed by now.
void session_worked(struct session *, const char *kind, ns_t began);

// --- what others tell it -------------------------------------------------------------------------------
// The plugin:
void session_on_rtc(struct session *, enum rtc_type, struct str data);
void session_on_reconnect(struct session *, conn_id);
// The dataplane:
void session_on_path(struct session *, const struct ipc_path *);
// A command about it was refused. What can be repaired is, and else the session ends: nobody goes on without hearing others.
void session_on_refused(struct session *, const struct ipc_ack *);
void session_on_liveness(struct session *, enum ipc_liveness_state);
void session_on_track_live(struct session *, const struct ipc_track_live *);
void session_on_voice(struct session *, const struct ipc_voice *);
void session_on_datagram(struct session *, unsigned worker, const uint8_t *data, size_t len);

// --- its negotiation -----------------------------------------------------------------------------------
void session_want_all(struct session *);        // what the others of its call send
void session_arm_negotiation(struct session *); // after any call into s->neg
