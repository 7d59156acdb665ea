// One participant: from join to close. Joins what the plugin says, what the dataplane sees, DTLS, the data
// channel and the negotiation.
//
//   JOINED      waits for the first offer (rtc.first_offer_s)
//   NEGOTIATED  answered; waits for path, DTLS, data channel (rtc.dc_open_s, D60)
//   READY       gets the tracks of its call
//   CLOSED      left the model, waits to be freed at the end of this turn
//
// Split over six files: session.c (life, plugin), session_tracks.c (what it sends), session_audience.c (who gets it),
// session_media.c (what it receives), session_link.c (DTLS, data channel), session_path.c (path, ICE restarts).
// thread: loop.
#pragma once

#include "controlplane/calls/hub_state.h"
#include "controlplane/session/persist.h"
#include "controlplane/session/signal/sigmsg.h"
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
};

enum session_state { SESSION_JOINED, SESSION_NEGOTIATED, SESSION_READY, SESSION_CLOSED };

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
	END_ORPHAN, // came back from the store or the dataplane without the other half
};
const char *session_end_text(enum session_end); // metric label

struct bucket {
	double tokens;
	ns_t filled;
};

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

struct session {
	struct member member; // first
	STAILQ_ENTRY(session) next_dead;
	struct hub *hub;
	conn_id conn; // the plugin connection it was last heard of on
	enum session_state state;
	ns_t joined_at, negotiated_at;
	struct negotiate_ice ice;
	uint64_t cookie; // kept by the dataplane for us; seals what we store
	struct negotiate *neg;
	struct dtls *dtls;
	struct dchan *dchan;
	struct dtls_fingerprint peer;
	bool is_dtls_client, wants_data, has_keys, in_dp, has_path;
	bool has_dc, is_suspect, answers_by_dc;
	bool wants_again; // the negotiation has room for what it refused
	bool mic_on;      // last word of mute/unmute; on before any (D56)
	bool voice_on;    // the call was told that this one talks
	uint16_t dc_stream;
	uint8_t worker;     // of the dataplane, that its last datagram came from
	uint32_t add_seq;   // of CMD_SESSION_ADD
	ns_t heard_at;      // of the client's last DTLS datagram
	ns_t repaired_at;   // last ICE restart of ours, 0: never
	unsigned n_repairs; // since the path was good
	bool was_asked;     // to repair, by `reconnect`, since the path was good
	ns_t lock_asked_at; // the client was refused the lock then and has not got it since, 0: not
	ns_t lock_at;       // the client got the lock then, 0: it has not
	char screen_id[SESSION_MAX_STREAM_ID], video_id[SESSION_MAX_STREAM_ID];
	struct track tracks[IPC_MAX_TRACKS];
	struct timer life, dtls_timer, neg_timer, held_timer, repair_timer;
	char *held_offer; // owned: JSON that waits until its media map has arrived
	ns_t held_since;
	struct bucket offers, dc_messages, plugin_messages;
	uint32_t saved_version; // of neg, last stored
	bool is_stored, is_dirty;
};

// Names for logs and metrics.
static inline struct str session_client(const struct session *s)
{
	return str_of(s->member.call ? s->member.call->group->client : "");
}
#define SESSION_FMT "session %s"
#define SESSION_ARG(s) ((s)->member.session_id ? (s)->member.session_id : "?")

// --- session.c -----------------------------------------------------------------------------------
// A session for a join. NULL when refused; *result says why.
struct session *session_new(struct hub *, conn_id, struct str client, const struct join_msg *,
			    enum join_result *result);
// Take one up again that the dataplane still has: saved is negotiate_save's form. NULL when it cannot be.
struct session *session_restore(struct hub *, const struct ipc_snap_session *, const struct persist_record *,
				const void *saved, size_t len);
void session_close(struct session *, enum session_end); // `close` to the plugin included; idempotent
void session_free(struct session *);                    // for hub's reap

void session_on_rtc(struct session *, enum rtc_type, struct str data);
// Tell the dataplane everything again. is_known: it has the session.
void session_sync(struct session *, bool is_known);

bool bucket_take(struct bucket *, ns_t now, double burst, double per_s);
void session_arm_negotiation(struct session *); // after any call into s->neg
// Hand a description of the client to the negotiation.
void session_on_sdp(struct session *, struct str json, bool by_dc);
void session_error(struct session *, const char *type);  // rtcd_rtc_errors_total
void session_drop(struct session *, const char *reason); // sluice_signaling_drops_total
void session_tell_plugin(struct session *, enum deliver, enum rtc_type, struct str data);

// --- session_media.c -----------------------------------------------------------------------------
extern const struct negotiate_ops session_negotiate_ops;
void session_sync_media(struct session *); // tracks and legs to the dataplane

// --- session_tracks.c ----------------------------------------------------------------------------
void session_on_upstream(void *session, const struct negotiate_upstream *); // an op of its negotiation
void session_on_track_live(struct session *, const struct ipc_track_live *);
void session_on_voice(struct session *, const struct ipc_voice *);
void session_set_mic(struct session *, bool on);
void session_screen_on(struct session *, struct str data);
void session_screen_off(struct session *);
void session_video_on(struct session *, struct str data);
void session_video_off(struct session *);
void session_sync_tracks(struct session *); // to the dataplane
// Number the tracks as the dataplane has them and take them for what they were; then session_restore_track tells
// what it saw on each, and session_publish_all passes them on.
void session_restore_tracks(struct session *, const struct ipc_snap_track *, unsigned n,
			    const struct persist_record *);
void session_restore_track(struct session *, const struct ipc_snap_track *);

// --- session_audience.c --------------------------------------------------------------------------
void session_publish(struct session *, const struct track *); // to those it is for; its video twins with it
void session_unpublish(struct session *, const struct track *);
void session_publish_all(struct session *); // all it sends
void session_want_all(struct session *);    // what the others of its call send
void session_unwanted(struct session *);    // it leaves: nobody wants its tracks any more
// rtcd_rtc_rtp_tracks_total; direction "in" or "out"
void session_count_track(struct session *, const char *direction, uint8_t codec, double delta);

// Of the stream with this id; an empty one is nobody's.
static inline bool track_has_stream(const struct track *t, const char *id)
{
	return id[0] != '\0' && strcmp(t->stream_id, id) == 0;
}
static inline bool track_same_stream(const struct track *a, const struct track *b)
{
	return track_has_stream(a, b->stream_id);
}

// --- session_path.c ------------------------------------------------------------------------------
void session_path_init(struct session *);
void session_new_ice(struct negotiate_ice *);
void session_on_reconnect(struct session *, conn_id);
void session_on_path(struct session *, const struct ipc_path *);
void session_on_liveness(struct session *, enum ipc_liveness_state);

// --- session_link.c ------------------------------------------------------------------------------
void session_on_datagram(struct session *, unsigned worker, const uint8_t *data, size_t len);
void session_link_start(struct session *); // a path is there: as DTLS client we speak first
void session_link_close(struct session *);
// Send a description to the client; offers after their media map.
void session_send_sdp(struct session *, const struct negotiate_sdp *);
