// A participant as the browser and its plugin see it: joins through the hub's own functions, speaks real
// DTLS and SCTP through the fake dataplane, and counts what it is told.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/calls/hub.h"
#include "controlplane/session/signal/sigmsg.h"
#include "lib/ipc/ipc.h"
#include "lib/peer/dchan.h"
#include "lib/peer/dtls.h"

struct client {
	char id[32];
	uint32_t sid; // learnt from CMD_SESSION_ADD
	char ufrag[IPC_UFRAG_LEN + 1];
	struct dtls *dtls;
	struct dchan *dchan;
	bool is_up, has_channel, is_down;
	uint64_t cookie;
	struct ipc_session_add add;
	struct ipc_session_keys keys;
	bool has_keys, is_deleted, is_silent, is_lost, talks; // the rest: what the snapshot says
	char *answer, *offer;                                 // SDP text, newest
	bool offer_by_dc, map_before_offer;
	unsigned n_answers, n_offers, n_closes, n_maps, n_pongs, n_text_pongs, n_locks, n_voice_on,
		n_voice_off;
	unsigned n_legs_up, n_legs_down, n_tracks, n_track_dels, n_gates, n_ice;
	bool lock_granted, last_gate, track_enabled;
	struct ipc_leg_add last_leg;
	struct ipc_track_add last_track;
	struct ipc_track_add tracks[IPC_MAX_TRACKS]; // sid 0: none; gates are in `enabled`
	uint32_t live_ssrc[IPC_MAX_TRACKS];          // video only
	uint8_t live_pt[IPC_MAX_TRACKS];
	struct ipc_leg_add legs[IPC_MAX_LEGS]; // sid 0: none
	char map_sender[64], map_type[16];     // last line of the newest media map
	char map[16][48];                      // all of it: "type sender"
	unsigned n_map;
	conn_id last_conn;
};

struct client *client_new(const char *id); // the world's; lives as long as it
struct client *client_by_id(struct str id);
struct client *client_by_sid(uint32_t sid);
void client_gone(struct client *); // closes the tab: DTLS and data channel end without a word

void client_join(struct client *, const char *call, bool dc_signaling);
void client_rtc(struct client *, enum rtc_type, const char *data); // an rtc message of the plugin

// Send a description, by data channel or by the plugin.
void client_send_sdp(struct client *, enum sigmsg_type, const char *sdp, bool by_dc);
// Offer a data channel, and a microphone when ssrc is not 0.
void client_offer(struct client *, uint32_t ssrc, bool by_dc);
// An answer to the newest offer as a browser writes it that has nothing to add. The caller frees it.
char *client_accept(struct client *);
void client_answer(struct client *);

// The fingerprint the answer announced.
struct dtls_fingerprint client_answer_fingerprint(const struct client *);
extern const struct dtls_ops client_dtls_ops; // arg: the client
void client_start_dtls(struct client *);
// Join, negotiate, connect, open the channel.
struct client *client_connect(const char *id, const char *call, uint32_t ssrc, bool dc_signaling);
void client_dc(struct client *, const void *data, size_t len, enum dchan_kind); // on stream 0

// A description reached the client. by_dc: through its data channel.
void client_on_sdp(struct client *, struct str json, bool by_dc);
