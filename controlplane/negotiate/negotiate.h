// Offer/answer negotiation of one session, without I/O: what the peer sends us, what it is to receive,
// and how the two sides come to agree on it.
//
// The caller states what the session should receive (negotiate_want, negotiate_unwant) and hands over what
// arrives (offers, answers, lock requests, time). The reconciler closes the gap between wanted and
// negotiated: it gathers changes for a moment, takes the signaling lock, sends one offer with all of them,
// and on the answer reports the legs that may be fed. An unanswered offer is rolled back and made again;
// nothing wanted is ever lost in a queue (D24, D26), and what is no longer wanted is not negotiated (D43).
//
// Use: 1. negotiate_new with the session's first ICE credentials.
//      2. negotiate_remote_offer for each offer; the answer comes through ops.send_sdp before it returns.
//      3. negotiate_ready when the server may make offers: data channel open (dcSignaling) or connected.
//      4. negotiate_tick at negotiate_next_due, which may change with every call here.
//
// Rules of the protocol kept here: server offers only while the server holds the lock; a client offer that
// meets a pending server offer is ignored (the server is impolite); an answer counts only while an offer is
// pending (D25); m-lines are never removed, and those of departed senders are used again with a new SSRC
// (D42); the media map goes out with every server offer, before it (D27).
//
// thread: the control-plane loop. ownership: strings and structs passed in are copied, those passed to ops
// are borrowed for the duration of the call. ops must not call back into the same struct negotiate.
// source: RFC 8829, RFC 8843; where rtcd did otherwise: docs/rtcd-differences.md
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/ipc/wire.h"
#include "lib/rtc/wire/sdp.h"

struct negotiate;

enum negotiate_limits {
	NEGOTIATE_MAX_WANTS = 255,       // tracks wanted at a time per session; below IPC_MAX_LEGS
	NEGOTIATE_MAX_VOICE_LINES = 100, // of negotiate_conf.voice_lines; what a client can answer is bounded
	NEGOTIATE_MAX_PEER_LINES =
		120,                // m-lines a peer may create: more do not fit into what the plugin takes
	NEGOTIATE_MAX_LINES = 192,  // all m-lines of a session
	NEGOTIATE_MAX_ID = 64,      // bytes of a session id
	NEGOTIATE_MAX_REFUSALS = 3, // offers of one track that the peer may refuse before we stop
};

// What a track is to the clients; its name is the first part of the track id and the type in the media map.
enum negotiate_type { TYPE_VOICE, TYPE_SCREEN, TYPE_SCREEN_AUDIO, TYPE_VIDEO };

// "voice", "screen", "screen-audio", "video".
const char *negotiate_type_name(enum negotiate_type);

// Settings shared by all sessions. Zero means the default in brackets.
struct negotiate_conf {
	struct sdp_fingerprint fingerprint;     // of our DTLS certificate
	const struct sdp_candidate *candidates; // borrowed: lives as long as the sessions; may be replaced
	unsigned n_candidates;
	unsigned voice_lines;      // voice tracks a session receives at a time [64], at most
				   // NEGOTIATE_MAX_VOICE_LINES
	uint32_t max_message_size; // bytes, of the data channel [262144]
	ns_t coalesce;             // changes are gathered this long before an offer [120 ms]
	ns_t answer_timeout;       // [10 s]
	ns_t lock_lease;           // a client's lock is freed after this [10 s]
	bool dtls_active;          // answer setup:active instead of passive when the peer leaves the choice
	bool video;                // receive and send video; off: video lines are accepted inactive
	bool rtx;                  // with video: answer and offer RTX, unless the peer is known to have none
};

// One set of ICE credentials of ours.
struct negotiate_ice {
	char ufrag[IPC_UFRAG_LEN + 1]; // NUL-terminated
	char pwd[IPC_PWD_LEN + 1];
};

// Names a published track: session handle and track number as in lib/ipc/wire.h.
struct negotiate_key {
	uint32_t sid;
	uint16_t track;
};

// A track the session should receive.
struct negotiate_want {
	struct negotiate_key key;
	enum negotiate_type type;
	uint8_t codec; // enum ipc_codec: CODEC_OPUS, CODEC_VP8, CODEC_AV1; gives the kind
	struct str
		session_id; // of the sender: msid stream, cname, sender_id in the media map; token characters
	struct str
		track_suffix; // 1..16 random letters and digits: track id is "<type>_<session_id>_<suffix>"
};

// The peer's half of the transport, from the newest description that we accepted.
struct negotiate_transport {
	struct str ufrag, pwd;
	const struct sdp_fingerprint *fingerprint; // what its DTLS certificate must hash to; never changes
	bool we_are_dtls_client;                   // false: setup:passive was or will be answered
	bool has_data;                             // a data section was accepted
	bool ice_restart;          // not the first: the peer wants a new generation of credentials
	uint32_t max_message_size; // bytes the peer takes in one data-channel message, 0: any
};

// What the peer may send on one m-line: everything for struct ipc_track_add.
struct negotiate_upstream {
	struct str mid;
	uint8_t kind; // enum ipc_kind
	bool active;  // false: the peer stopped (line inactive or rejected); only mid and kind are valid
	bool is_new;  // first time, or first time after it stopped; else something below changed
	uint32_t clock_hz;
	unsigned n_codecs; // preferred first, RTX after what it repairs
	struct {
		uint8_t pt;
		uint8_t codec; // enum ipc_codec
		uint8_t apt;   // CODEC_RTX: payload type it repairs
		uint8_t fb;    // enum ipc_fb
	} codec[IPC_TRACK_CODECS];
	unsigned n_ssrcs;               // none with simulcast: they are learnt from mid and rid extensions
	uint32_t ssrc[IPC_TRACK_SSRCS]; // media; video without simulcast: at most one
	uint32_t rtx_ssrc[IPC_TRACK_SSRCS]; // of the same index, 0: none
	unsigned n_rids;                    // simulcast encodings in the sender's order
	struct str rid[IPC_TRACK_RIDS];     // shorter than IPC_RID_LEN
	struct str stream_id;               // msid stream: tells screen from camera
	struct str track_id;                // msid track; not dependable (Firefox)
};

// One track that the session receives from now on: everything for struct ipc_leg_add.
struct negotiate_leg {
	struct negotiate_key key;
	uint16_t leg;  // 0..IPC_MAX_LEGS-1, unique among the session's live legs
	uint8_t kind;  // enum ipc_kind
	uint8_t type;  // enum negotiate_type
	uint8_t codec; // enum ipc_codec
	uint8_t fb;    // enum ipc_fb bits that the peer sends
	uint8_t pt;
	uint8_t rtx_pt;    // 0: no RTX
	uint32_t ssrc;     // never used before in this session
	uint32_t rtx_ssrc; // 0: no RTX
	uint32_t clock_hz;
	struct str mid;
};

// One line of the media map: what the m-line with this mid carries, and whose it is.
struct negotiate_map_entry {
	struct str mid;
	const char *type;
	struct str sender_id;
};

// A description to send. Offers carry the whole media map, which must be sent (and, where the two travel on
// different transports, acknowledged) before the offer.
struct negotiate_sdp {
	bool is_offer;
	bool ice_restart; // offer with new credentials: send it by WebSocket, the data path may be dead
	struct str text;
	const struct negotiate_map_entry *map; // offers only
	unsigned n_map;
};

struct negotiate_ops {
	// Send it. Answers go back on the path of their offer, which the caller knows.
	void (*send_sdp)(void *arg, const struct negotiate_sdp *);

	// The first description, a changed data section, an ICE restart by the peer, or its new credentials in
	// the answer to an ICE restart of ours. With t->ice_restart fill *local with new credentials and tell
	// the dataplane before returning; else leave it alone. Called before send_sdp of the answer.
	// Returns 0, or a negative errno: the description is then refused with it.
	int (*transport)(void *arg, const struct negotiate_transport *t, struct negotiate_ice *local);

	// The peer starts, changes or stops sending on an m-line. Called before send_sdp of the answer.
	void (*upstream)(void *arg, const struct negotiate_upstream *);

	// RTP header extension ids of the bundle changed (0: not negotiated). Called before upstream.
	void (*extmap)(void *arg, const uint8_t id[IPC_N_EXTS]);

	// The peer has accepted the track: feed it.
	void (*leg_up)(void *arg, const struct negotiate_leg *);

	// Stop feeding at once. The track stays wanted when the reason lies with the peer.
	void (*leg_down)(void *arg, const struct negotiate_leg *);

	// A negotiate_want was refused with -ENOSPC and there is room again, or negotiate_takes has changed:
	// want everything once more, in a later turn of the loop. May be NULL.
	void (*room)(void *arg);

	// A description of ours would be longer than any can be: end the session. Nothing was sent.
	void (*too_long)(void *arg);
};

// Counters since creation; not saved.
struct negotiate_stats {
	uint32_t offers_in, offers_ignored, offers_bad;  // ignored: met a pending offer of ours
	uint32_t answers_in, answers_stale, answers_bad; // stale: no offer pending, or not made for it
	uint32_t offers_out, answer_timeouts;
	uint32_t leases_expired, foreign_unlocks, locks_refused;
	uint32_t tracks_refused; // wanted tracks that the peer refused for good
};

// conf and ops are borrowed and outlive the session; arg is handed to ops. NULL + ENOMEM.
struct negotiate *negotiate_new(const struct negotiate_conf *conf, const struct negotiate_ice *local,
				const struct negotiate_ops *ops, void *arg);
void negotiate_free(struct negotiate *); // calls no op; NULL is allowed

// An offer of the peer (the text inside the JSON). Answers it by ops.send_sdp.
//
// returns: 0 answered
//          -EBUSY   ignored without an answer: it met a pending offer of ours, the peer rolls back
//          -EBADMSG malformed, -E2BIG over a limit, -ENOTSUP no common ground, -EPERM certificate changed,
//          -ENOMEM, or what ops.transport returned: not answered, state unchanged; *why says it
//          (static text). -ENOBUFS: not answered, after ops.too_long. On the first offer of a session the caller closes it.
[[nodiscard]] int negotiate_remote_offer(struct negotiate *, struct str text, ns_t now, const char **why);

// An answer of the peer to our offer.
//
// returns: 0 applied, -EALREADY no offer is pending, -ESTALE made for another offer of ours, -EBADMSG,
//          -E2BIG, -ENOMEM; all but 0 leave the state unchanged (the answer time-out goes on)
[[nodiscard]] int negotiate_remote_answer(struct negotiate *, struct str text, ns_t now, const char **why);

// The session should receive this track. Idempotent: a key that is wanted already changes nothing.
//
// returns: 0, -EINVAL bad ids or codec, -ENOTSUP video is off, -ENOSPC NEGOTIATE_MAX_WANTS reached (ops.room
// tells
//          when to come again), -ENOMEM. Voice beyond conf.voice_lines is kept and waits for a line.
[[nodiscard]] int negotiate_want(struct negotiate *, const struct negotiate_want *, ns_t now);

// It should no longer. ops.leg_down is called at once when it was up. Unknown keys are fine.
void negotiate_unwant(struct negotiate *, struct negotiate_key, ns_t now);

// The dataplane has refused this leg: it goes down (ops.leg_down) and is offered anew, under another SSRC. False: that was
// tried NEGOTIATE_MAX_REFUSALS times; nothing has changed.
[[nodiscard]] bool negotiate_leg_failed(struct negotiate *, uint16_t leg, ns_t now);

// Has the peer a payload type for this codec (enum ipc_codec)? Before it has offered any video: unknown, so yes.
// No once it has refused a track of it for good.
bool negotiate_takes(const struct negotiate *, uint8_t codec);
// Has it offered this codec itself?
bool negotiate_has_offered(const struct negotiate *, uint8_t codec);

// Everything published by session sid at once (it left).
void negotiate_unwant_session(struct negotiate *, uint32_t sid, ns_t now);

// The client asks for the signaling lock. True: it has it until negotiate_unlock, at most conf.lock_lease.
[[nodiscard]] bool negotiate_lock(struct negotiate *, ns_t now);

// The client frees it. Without effect when it does not hold it (D21). May send the offer that waited for it.
void negotiate_unlock(struct negotiate *, ns_t now);

// Offers of ours may be sent from now on, or not any more (the data channel is gone and no other path).
void negotiate_ready(struct negotiate *, bool ready, ns_t now);

// Offer new ICE credentials (RFC 8445 section 9). Goes out at once and regardless of a client's lock; an offer
// of ours that is pending is given up. Needs an answered first offer: -EAGAIN before. The credentials of the last
// time again: the offer may have been lost, and one that was not is harmless.
[[nodiscard]] int negotiate_restart_ice(struct negotiate *, const struct negotiate_ice *, ns_t now);

// An offer of that kind is unanswered.
bool negotiate_restarts(const struct negotiate *);

// Do what is due: offers, answer time-outs, lock leases. Cheap when nothing is.
void negotiate_tick(struct negotiate *, ns_t now);

// When negotiate_tick has something to do next; NS_NEVER when only an event can change that.
ns_t negotiate_next_due(const struct negotiate *);

// A fresh SSRC that no leg of this session uses, used or will use: for the RTCP we send.
uint32_t negotiate_new_ssrc(struct negotiate *);

bool negotiate_established(const struct negotiate *); // the first offer was answered
void negotiate_stats(const struct negotiate *, struct negotiate_stats *);

// Call fn for each leg that is up, and for each m-line the peer sends on: what the dataplane should have.
void negotiate_each_leg(const struct negotiate *, void (*fn)(void *arg, const struct negotiate_leg *),
			void *arg);
void negotiate_each_upstream(const struct negotiate *,
			     void (*fn)(void *arg, const struct negotiate_upstream *), void *arg);
// The extension ids and the peer's half of the transport, as last given to ops.
void negotiate_extmap(const struct negotiate *, uint8_t id[IPC_N_EXTS]);
bool negotiate_transport(const struct negotiate *,
			 struct negotiate_transport *); // false before the first offer

// --- surviving a restart of the control plane ---------------------------------------------------
// The saved form holds the agreed state: lines, legs that are up, payload types, extension ids, our ICE
// credentials, the peer's transport, the counters for SSRCs and o= versions. It holds secrets (ICE
// passwords): store it sealed. A pending offer, the lock and wants that are not up are not saved.

// Bytes that negotiate_save needs now. Grows with the number of lines, about 100 bytes each.
size_t negotiate_save_size(const struct negotiate *);

// Write it. returns: bytes written, or -ENOSPC
[[nodiscard]] int negotiate_save(const struct negotiate *, void *buf, size_t size);

// A counter that moves whenever the saved form would differ: save when it does.
uint32_t negotiate_version(const struct negotiate *);

// Restore. Legs in it count as up and are not reported by ops.leg_up (see negotiate_each_leg); each must be
// wanted again before negotiate_load_done, which takes down (ops.leg_down) those that are not. The client may
// have been given the lock before the restart: for 2 s it counts as holding it, unless it asks for it or frees it.
//
// returns: NULL + EBADMSG (damaged), ENOTSUP (another version of the form), ENOMEM
struct negotiate *negotiate_load(const struct negotiate_conf *, const struct negotiate_ops *, void *arg,
				 const void *buf, size_t len);
void negotiate_load_done(struct negotiate *, ns_t now);

// The peer answers where we do not hear it any more: on a data channel whose keys ended with the process before this
// one. From now on an offer counts as taken whole one second after it went out, unless an answer came until then.
void negotiate_assume_answers(struct negotiate *);
