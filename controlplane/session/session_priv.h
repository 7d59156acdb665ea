// What the parts of a session are to each other. For session/ alone; session.h is what others use.
#pragma once

#include <string.h>

#include "controlplane/session/session.h"

// What a part below tells the whole, which it knows nothing of.
struct session_ops {
	void (*closed)(struct session *, enum session_end); // it is in LIFE_CLOSED: take it apart
	void (*described)(struct session *, struct str json, bool by_dc); // the client sent a description
};

// --- session_base.c ----------------------------------------------------------------------------------
// An event of its life. One that is illegal in its state is a mistake of ours: it ends the process.
void session_turn(struct session *, enum life_event);
// The same with ON_NO_CHANNEL or ON_CHANNEL; the first time it gets the tracks of its call.
void session_become_ready(struct session *, enum life_event);
void session_error(struct session *, const char *type);  // rtcd_rtc_errors_total
void session_drop(struct session *, const char *reason); // sluice_signaling_drops_total
void session_observe(struct session *, enum metric, double value);
// rtcd_rtc_rtp_tracks_total; direction "in" or "out"
void session_count_track(struct session *, const char *direction, uint8_t codec, double delta);
void session_tell_plugin(struct session *, enum deliver, enum rtc_type, struct str data);

// --- session.c ---------------------------------------------------------------------------------------
// A zeroed one of the pool.
void session_init(struct session *, struct session_env *, handle_t sid, conn_id);
void session_begin(struct session *, enum life_event); // it is in the model: ON_JOINED or ON_TAKEN_BACK
void session_add(struct session *);                    // to the dataplane

// --- session_media.c ---------------------------------------------------------------------------------
extern const struct negotiate_ops session_negotiate_ops;
void session_sync_media(struct session *); // transport, tracks and legs to the dataplane

// --- session_path.c ----------------------------------------------------------------------------------
void session_path_init(struct session *);
void session_resume_path(struct session *, bool is_there); // as the snapshot has it
void session_new_ice(struct negotiate_ice *);

// --- signal/ -----------------------------------------------------------------------------------------
// Hand a description of the client to the negotiation.
void session_on_sdp(struct session *, struct str json, bool by_dc);
// Send a description to the client; offers after their media map.
void session_send_sdp(struct session *, const struct negotiate_sdp *);
void session_drop_held(struct session *);  // the offer that waits for its map
void session_dtls_start(struct session *); // a path is there: as DTLS client we speak first
void session_dtls_close(struct session *);
void session_dc_open(struct session *); // SCTP over the DTLS that is up
// returns: 0, -ENOTCONN without a channel, or as dchan_send; failures are counted
int session_dc_send(struct session *, enum dchan_kind, const void *data, size_t len);

// --- track/ ------------------------------------------------------------------------------------------
struct track *track_by_mid(struct session *, struct str mid); // NULL: none
struct track *track_new(struct session *, struct str mid);    // NULL: too many
void track_new_suffix(struct track *);
void track_fill(struct session *, struct track *, const struct negotiate_upstream *);
void track_send_gate(struct session *, const struct track *); // open or shut, as mute and shares say
// What it is, by what its session has announced. False while nothing is known.
bool track_classify(const struct session *, const struct track *, enum negotiate_type *);
void track_decide(struct session *, struct track *, enum negotiate_type);   // it is this, for good
void session_decide_held(struct session *);                                 // those that can be told by now
void session_on_upstream(void *session, const struct negotiate_upstream *); // an op of its negotiation
void session_sync_tracks(struct session *);                                 // to the dataplane

void session_set_mic(struct session *, bool on);
void session_tell_voice(struct session *, bool on); // to the call, when it has changed
void session_screen_on(struct session *, struct str data);
void session_screen_off(struct session *);
void session_video_on(struct session *, struct str data);
void session_video_off(struct session *);

void session_publish(struct session *, const struct track *); // to those it is for; its video twins with it
void session_unpublish(struct session *, const struct track *);
void session_publish_all(struct session *); // all it sends
void session_unwanted(struct session *);    // it leaves: nobody wants its tracks any more

// Of the stream with this id; an empty one is nobody's.
static inline bool track_has_stream(const struct track *t, const char *id)
{
	return id[0] != '\0' && strcmp(t->stream_id, id) == 0;
}
static inline bool track_same_stream(const struct track *a, const struct track *b)
{
	return track_has_stream(a, b->stream_id);
}
