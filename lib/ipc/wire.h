// The contract between sluice-dp and sluice-cp: every message that may cross, as C structs of this
// machine (both processes are built together; IPC_VERSION and the size checks refuse a mixed pair).
//
// Transport: SOCK_SEQPACKET on a Unix socket that sluice-dp owns; one message is one struct whose first
// field is struct ipc_hdr. sluice-dp answers a new connection with EVT_HELLO, which carries descriptors
// (enum ipc_hello_fd): memfd of the punt rings, memfd of the statistics segment (read only), doorbell of all
// rings dp->cp, and for each worker that of its ring cp->dp. sluice-cp then sends CMD_HELLO and CMD_SNAPSHOT, gets
// EVT_SNAP_* ... EVT_SNAP_END, reconciles, and from then on sends commands. A second connection
// gets EVT_ACK of CMD_HELLO with -EBUSY instead of EVT_HELLO and is closed, while the first lives. sluice-dp
// forwards media with or without a peer.
//
// Every command is idempotent and answered by EVT_ACK with the same seq and 0 or a negative errno;
// commands are applied in order. Neither side trusts the other's lengths, ids or enum values: an invalid
// message is answered with EVT_ACK -EINVAL (dp) or closes the connection (cp).
//
// Identities (all chosen by sluice-cp):
//   sid    session: generation (8 bit, 1..255) << 24 | slot; 0 is "none" (lib/base/pool.h handles)
//   track  what a session publishes, 0..IPC_MAX_TRACKS-1, unique within the session
//   leg    what a session receives, 0..IPC_MAX_LEGS-1, unique within the session
#pragma once

#include <assert.h>
#include <stdint.h>

#define IPC_VERSION 4
#define IPC_MAX_MSG 1024  // bytes, largest struct below
#define IPC_MAX_TRACKS 16 // per session
#define IPC_MAX_LEGS 256  // per session
#define IPC_MAX_WORKERS 64

enum ipc_type {
	// sluice-cp -> sluice-dp
	CMD_HELLO = 1,      // struct ipc_hello
	CMD_SNAPSHOT,       // struct ipc_bare
	CMD_SESSION_ADD,    // struct ipc_session_add
	CMD_SESSION_ICE,    // struct ipc_session_ice: (further) ICE credentials; the old ones stay valid 30 s
	CMD_SESSION_KEYS,   // struct ipc_session_keys: media may flow from here on
	CMD_SESSION_EXTMAP, // struct ipc_session_extmap
	CMD_SESSION_DEL, // struct ipc_session_ref: its tracks and legs go too, also legs of others fed by it
	CMD_TRACK_ADD,   // struct ipc_track_add: also changes an existing track
	CMD_TRACK_GATE,  // struct ipc_track_gate: mute and unmute
	CMD_TRACK_DEL,   // struct ipc_track_ref
	CMD_LEG_ADD,     // struct ipc_leg_add
	CMD_LEG_DEL,     // struct ipc_leg_ref
	CMD_QUERY, // struct ipc_session_ref: answered by EVT_LEG_STATE ... EVT_SESSION_STATE, after the EVT_ACK

	// sluice-dp -> sluice-cp
	EVT_HELLO = 100,   // struct ipc_hello, with IPC_HELLO_FDS(n_workers) descriptors
	EVT_ACK,           // struct ipc_ack
	EVT_PATH,          // struct ipc_path: selected or changed path of a session
	EVT_LIVENESS,      // struct ipc_liveness
	EVT_TRACK_LIVE,    // struct ipc_track_live: first authenticated RTP of an SSRC of a track
	EVT_VOICE,         // struct ipc_voice: talking or not, rule of docs/ipc.md
	EVT_SNAP_SESSION,  // struct ipc_snap_session
	EVT_SNAP_TRACK,    // struct ipc_snap_track
	EVT_SNAP_LEG,      // struct ipc_snap_leg
	EVT_SNAP_END,      // struct ipc_bare
	EVT_LEG_STATE,     // struct ipc_leg_state: one video leg of the session that was asked about
	EVT_SESSION_STATE, // struct ipc_session_state: last of an answer to CMD_QUERY
};

struct ipc_hdr {
	uint16_t type; // enum ipc_type
	uint16_t len;  // bytes of the whole message, this header included
	uint32_t seq;  // commands: chosen by cp, echoed in EVT_ACK; events: 0
};

struct ipc_bare {
	struct ipc_hdr hdr;
};

// Descriptors of EVT_HELLO. From the last on there is one for each worker.
enum ipc_hello_fd { HELLO_RINGS, HELLO_STATS, HELLO_BELL_TO_CP, HELLO_BELL_TO_DP };
#define IPC_HELLO_FDS(n_workers) (HELLO_BELL_TO_DP + (n_workers))
#define IPC_MAX_FDS IPC_HELLO_FDS(IPC_MAX_WORKERS)

struct ipc_hello {
	struct ipc_hdr hdr;
	uint32_t version; // IPC_VERSION
	uint32_t pid;
	uint64_t boot_id;      // random per start of the sender: tells "same process" from "restarted"
	uint32_t punt_size;    // dp only: bytes of each ring's data area
	uint32_t max_sessions; // dp only
	uint16_t n_workers;    // dp only
	uint16_t media_port;   // dp only: UDP port that serves, host order
	uint16_t tcp_port;     // dp only: TCP port that serves ICE-TCP, 0: none
	uint16_t rsvd;
};

// A transport address as seen on the wire.
struct ipc_addr {
	uint8_t family; // 4, 6, or 0 when absent
	uint8_t proto;  // 17 UDP, 6 TCP
	uint16_t port;  // host order
	uint32_t conn;  // TCP: connection id of the dataplane; UDP: 0
	uint8_t ip[16]; // network order; IPv4 in the first four bytes
};
static_assert(sizeof(struct ipc_addr) == 24);

struct ipc_session_ref {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint32_t rsvd;
};

#define IPC_UFRAG_LEN 16 // bytes, ice-chars, ours
#define IPC_PWD_LEN 32

// Creates a session with its first ICE credentials. -EEXIST when the slot is live with other credentials.
struct ipc_session_add {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint32_t call;             // call number, for statistics and placement only
	uint64_t cookie;           // opaque to dp, returned in the snapshot
	char ufrag[IPC_UFRAG_LEN]; // local; found by exact match, so random enough never to collide
	char pwd[IPC_PWD_LEN];     // local
	char name[32]; // session id of the API, NUL-terminated when shorter: CNAME we send, shown by tools
	uint8_t flags; // enum ipc_session_flags
	uint8_t rsvd[3];
	uint32_t tenant; // number of the tenant, for its share of what sessions share; any that few others have
};
enum ipc_session_flags { SESSION_EVERY_VOICE = 1 }; // a recorder or transcriber: no choice of speakers for it

struct ipc_session_ice {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint8_t remote_ufrag_len; // 0: any remote ufrag is accepted
	uint8_t rsvd[3];
	char ufrag[IPC_UFRAG_LEN]; // local
	char pwd[IPC_PWD_LEN];     // local
	char remote_ufrag[32];
	char remote_pwd[256]; // NUL-terminated; for path probes
};

// Master keys and salts, split by RFC 5764 section 4.2: rx opens what the client sends, tx seals what we
// send. The session keys are derived in the dataplane (lib/seal), so both its backends can serve.
// Sender wipes its copy after sending; receiver wipes after expanding.
struct ipc_session_keys {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint16_t profile; // enum seal_profile = DTLS-SRTP profile id (RFC 5764, RFC 7714)
	uint16_t rsvd;
	uint32_t rtcp_ssrc;               // sender SSRC of RTCP we send where no media SSRC fits
	uint8_t rx_key[32], tx_key[32];   // first 16 bytes for 128-bit profiles
	uint8_t rx_salt[16], tx_salt[16]; // 12 (GCM) or 14 (CM) bytes
};

// RTP header extension ids negotiated in the session's bundle (RFC 8285); 0 = not negotiated.
enum ipc_ext { EXT_MID, EXT_RID, EXT_RRID, EXT_LEVEL, EXT_TWCC, EXT_ABS_SEND_TIME, EXT_DD, IPC_N_EXTS = 8 };

struct ipc_session_extmap {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint8_t id[IPC_N_EXTS];
	uint32_t rsvd;
};

enum ipc_kind { KIND_AUDIO, KIND_VIDEO };
enum ipc_codec { CODEC_NONE, CODEC_OPUS, CODEC_VP8, CODEC_AV1, CODEC_RTX };

#define IPC_TRACK_SSRCS 4
#define IPC_TRACK_CODECS 4
#define IPC_TRACK_RIDS 3 // simulcast encodings of a track
#define IPC_RID_LEN 12   // bytes of a rid that can be told apart; longer ones are refused

// Declares what an m-line of the session may send. SSRCs are bound by the listed ones, else by the MID
// extension, else by payload type when exactly one track has it: docs/packet-path.md, "Which track an SSRC
// belongs to".
struct ipc_track_add {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint16_t track;
	uint8_t kind;    // enum ipc_kind
	uint8_t enabled; // forward from the first packet on (voice starts enabled)
	char mid[16];    // NUL-terminated when shorter
	uint32_t clock_hz;
	uint32_t ssrc[IPC_TRACK_SSRCS]; // 0: unused entry
	uint32_t rtx_ssrc
		[IPC_TRACK_SSRCS]; // repairs ssrc of the same index; 0: none, or learnt from the RRID extension
	uint8_t n_rids; // 0: one encoding. Layers are numbered in the order of rid. A change to more is -EEXIST
	uint8_t is_ranked; // a voice: takes part in the choice of speakers
	uint8_t rsvd[2];
	char rid[IPC_TRACK_RIDS][IPC_RID_LEN]; // NUL-padded
	struct {
		uint8_t pt;
		uint8_t codec; // enum ipc_codec
		uint8_t apt;   // CODEC_RTX: the payload type it repairs
		uint8_t fb;    // enum ipc_fb bits
	} codec[IPC_TRACK_CODECS];
};
enum ipc_fb { FB_NACK = 1, FB_PLI = 2, FB_FIR = 4, FB_TWCC = 8, FB_REMB = 16 };

struct ipc_track_gate {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint16_t track;
	uint8_t enabled;
	uint8_t rsvd;
};

struct ipc_track_ref {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint16_t track;
	uint16_t rsvd;
};

// From now on packets of (src_sid, src_track) are sealed for session sid under ssrc. The ssrc is new for
// the session's keys: never one used before in this session.
struct ipc_leg_add {
	struct ipc_hdr hdr;
	uint32_t sid; // receiver
	uint16_t leg;
	uint8_t kind;
	uint8_t pt; // payload type the receiver expects
	uint32_t src_sid;
	uint16_t src_track;
	uint8_t codec;  // enum ipc_codec
	uint8_t rtx_pt; // 0: no RTX
	uint32_t ssrc;
	uint32_t rtx_ssrc;
	uint32_t clock_hz;
	char mid[16];
	uint8_t importance; // video: 0 comes first when not everything fits (a screen), equal ones share
	uint8_t fb;         // enum ipc_fb bits that the receiver sends
	uint8_t rsvd[2];
};

struct ipc_leg_ref {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint16_t leg;
	uint16_t rsvd;
};

struct ipc_ack {
	struct ipc_hdr hdr; // seq of the command
	int32_t err;        // 0 or negative errno
	uint16_t cmd;       // enum ipc_type of the command
	uint16_t leg;       // of CMD_LEG_ADD
	uint32_t sid;       // that the command was about; 0: none, or it was not valid
};

struct ipc_path {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint8_t nominated; // 0: provisional
	uint8_t rsvd[3];
	struct ipc_addr remote;
	struct ipc_addr local;
};

enum ipc_liveness_state {
	LIVE_OK,      // authenticated packets arrive (again)
	LIVE_SUSPECT, // none for 3 s
	LIVE_LOST,    // no consent for 30 s: nothing is sent any more (RFC 7675)
	LIVE_NO_PATH, // no valid check within 30 s of CMD_SESSION_ADD
};

struct ipc_liveness {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint8_t state; // enum ipc_liveness_state
	uint8_t rsvd[3];
};

struct ipc_track_live {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint16_t track;
	uint8_t pt;
	uint8_t codec; // enum ipc_codec
	uint32_t ssrc;
	char rid[IPC_RID_LEN]; // NUL-padded; of the SSRC that came first, empty when none
};

struct ipc_voice {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint16_t track;
	uint8_t on;
	uint8_t rsvd;
};

// What a receiver of video gets at present; bit/s are means of the last one or two seconds.
struct ipc_leg_state {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint16_t leg;
	uint8_t layer;     // forwarded now, 0xff: none
	uint8_t n_layers;  // of the source
	uint8_t is_paused; // for want of bandwidth
	uint8_t rsvd[3];
	uint32_t src_sid;
	uint16_t src_track;
	uint16_t rsvd2;
	uint32_t layer_bps[IPC_TRACK_RIDS]; // as the publisher sends them, 0: inactive
	uint32_t sent_bps;
	uint32_t n_switches, n_nacked, n_resent, n_key_requests; // since the leg began
};

struct ipc_session_state {
	struct ipc_hdr hdr; // seq of the CMD_QUERY
	uint32_t sid;
	uint32_t estimate_bps; // 0: receives no video, so nothing is estimated
	uint32_t rtt_us;       // 0: unknown
	uint32_t queue_ms;
	uint16_t loss; // per mille, smoothed
	uint8_t rsvd[2];
	uint32_t n_probes;
	struct ipc_addr remote; // selected path, family 0 when none
};

struct ipc_snap_session {
	struct ipc_hdr hdr;
	uint32_t sid;
	uint32_t call;
	uint64_t cookie;
	char name[32];
	char ufrag[IPC_UFRAG_LEN];
	char pwd[IPC_PWD_LEN];
	uint16_t profile; // 0: no keys yet
	uint8_t worker;   // home worker
	uint8_t liveness; // enum ipc_liveness_state
	uint32_t rtcp_ssrc;
	struct ipc_addr remote; // selected path, family 0 when none
	struct ipc_addr local;
	uint8_t ext[IPC_N_EXTS];
	uint8_t flags; // enum ipc_session_flags
	uint8_t rsvd[7];
};

struct ipc_snap_track {
	struct ipc_hdr hdr; // the rest as in the command that made it
	struct ipc_track_add add;
	uint32_t live_ssrc; // 0: nothing received yet
	uint8_t live_pt, voice_on, rsvd[2];
};

struct ipc_snap_leg {
	struct ipc_hdr hdr;
	struct ipc_leg_add add;
};

static_assert(sizeof(struct ipc_snap_session) <= IPC_MAX_MSG &&
	      sizeof(struct ipc_session_ice) <= IPC_MAX_MSG);

// --- punt rings --------------------------------------------------------------------------------
// One frame in a punt ring (lib/ipc/pktring.h). dp -> cp: a DTLS datagram that came in on the session's path, in the ring
// of its home worker. cp -> dp: a DTLS datagram for the session's selected path; a worker that is not the session's home
// passes it on.
enum punt_kind { PUNT_DTLS = 1 };

struct punt_hdr {
	uint32_t sid;
	uint8_t kind; // enum punt_kind
	uint8_t rsvd;
	uint16_t len; // payload bytes after this header, at most PUNT_MAX_PAYLOAD
};
#define PUNT_MAX_PAYLOAD 2048
static_assert(sizeof(struct punt_hdr) == 8);
