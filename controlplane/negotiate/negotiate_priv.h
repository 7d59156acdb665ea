// Inside of struct negotiate, shared by negotiate*.c only.
//
// Two halves meet in a line: `wanted` is what we want to send on it, `agreed_ssrc` what the peer has accepted.
// They differ exactly when an offer is due. While an offer is pending, `offered_ssrc` is what it announced.
#pragma once

#include "controlplane/negotiate/negotiate.h"

#include "lib/base/list.h"

// URIs of the header extensions, by enum ipc_ext; NULL for those we never use.
extern const char *const negotiate_ext_uri[IPC_N_EXTS];

struct codec {
	uint8_t pt;
	uint8_t codec; // enum ipc_codec
	uint8_t apt;   // CODEC_RTX only
	uint8_t fb;    // enum ipc_fb = enum sdp_fb
};

// What the peer sends on one line. Compared byte by byte to see changes, so it is made zeroed.
struct upstream {
	uint16_t size; // bytes of the whole object
	uint8_t n_codecs, n_ssrcs, n_rids, stream_len, track_len;
	uint8_t rid_len[IPC_TRACK_RIDS];
	struct codec codec[IPC_TRACK_CODECS];
	uint32_t clock_hz;
	uint32_t ssrc[IPC_TRACK_SSRCS], rtx_ssrc[IPC_TRACK_SSRCS];
	char text[]; // stream id, track id, rids in a row
};

// A wanted track.
struct wanted {
	TAILQ_ENTRY(wanted) link; // in the order of wanting
	struct negotiate_key key;
	uint32_t ssrc, rtx_ssrc; // 0: not chosen yet
	int16_t line;            // index it is placed on, -1: none
	int16_t offered_line;    // index its SSRC was offered on, -1: never
	uint16_t number;         // valid while up
	uint8_t type;            // enum negotiate_type
	uint8_t codec;           // enum ipc_codec
	uint8_t refusals;
	uint8_t n_failed; // legs of it that the dataplane refused
	bool up;        // ops.leg_up was called
	bool confirmed; // wanted since negotiate_load
	uint8_t id_len, suffix_len;
	char text[]; // session id, suffix
};

struct line {
	struct wanted *wanted; // borrowed: placed here
	struct upstream *up;   // owned: NULL when the peer does not send
	uint32_t agreed_ssrc, offered_ssrc;
	struct codec codec[IPC_TRACK_CODECS]; // agreed or, for a new line, proposed
	char mid[SDP_MAX_MID + 1];
	char name[SDP_MAX_NAME + 1]; // SDP_OTHER: what the peer calls it
	uint8_t kind;                // enum sdp_kind
	uint8_t proto;               // enum sdp_proto, the peer's; SDP_PROTO_OTHER: as the kind has it
	uint8_t peer_dir;            // enum sdp_dir, by the peer's newest accepted description
	uint8_t offered_dir;         // enum sdp_dir, ours, in the pending offer
	uint8_t n_codecs;
	uint8_t exts;  // bit per enum ipc_ext
	bool rejected; // port 0; always with SDP_OTHER
	bool sctpmap;  // the peer writes the port of its data section as drafts had it
	bool proposed; // so far only in offers of ours: the peer may not know it
	bool peer_made;
	bool refused;   // the peer did not take what we sent here: not for ours until it offers otherwise
	bool simulcast; // mirrored in answers
	bool unfit;     // we do not take what the peer would send here
};

enum lock_owner { LOCK_FREE, LOCK_CLIENT, LOCK_SERVER };

struct negotiate {
	const struct negotiate_conf *conf; // borrowed
	const struct negotiate_ops *ops;   // borrowed
	void *arg;

	struct line *lines; // owned, in m-line order
	unsigned n_lines, n_lines_room;
	unsigned n_peer_made;
	int data_line; // index, -1: none
	TAILQ_HEAD(wanted_list, wanted) wanted;
	unsigned n_wanted;
	uint64_t numbers[IPC_MAX_LEGS / 64]; // bit per leg number in use

	struct negotiate_ice local;
	// Of our certificate when the peer shook hands. It stays after a restart of ours with another certificate: a
	// peer that sees another one drops the running association, and its media with it.
	struct sdp_fingerprint fingerprint;
	uint64_t origin_id, origin_version;
	uint64_t ssrc_key;
	uint32_t ssrc_count;
	uint32_t version; // of the saved form

	char peer_ufrag[SDP_MAX_UFRAG + 1], peer_pwd[SDP_MAX_PWD + 1];
	struct sdp_fingerprint peer_fingerprint;
	uint32_t peer_max_message;
	uint8_t ext_id[IPC_N_EXTS];
	uint16_t peer_ids; // bit per extension id that the peer's newest offer used
	uint8_t pt_opus, pt_vp8, pt_vp8_rtx, pt_av1, pt_av1_rtx; // for lines of ours; rtx 0: peer has none
	uint8_t offered_codecs; // bit per enum ipc_codec: video that the peer offered
	uint8_t refused_codecs; // it refused a track of it for good
	bool dtls_client;
	bool established, ready, starved;

	bool pending;    // an offer of ours is unanswered
	bool assumes;    // no answer in a second is an answer: negotiate_assume_answers
	bool restarting; // the next offer carries new credentials
	bool reassert;   // an offer was superseded: its late answer means the peer applied old credentials
	enum lock_owner lock;
	bool lock_assumed; // after negotiate_load: the client may hold it, unless it asks for it
	bool client_waits; // was refused while the server held it
	ns_t lock_until;   // LOCK_CLIENT
	ns_t answer_until; // pending
	ns_t offer_at;     // NS_NEVER: nothing to look at
	ns_t hold_until;   // no offer of ours before, so that the client gets its turn

	struct negotiate_stats stats;
};

// --- negotiate_offer.c ---------------------------------------------------------------------------
ns_t negotiate_coalesce(const struct negotiate *); // settings, defaults applied
ns_t negotiate_lock_lease(const struct negotiate *);
void offer_settle(struct negotiate *, ns_t now); // after an answer or a rollback: free the lock, look again
void offer_soon(struct negotiate *, ns_t now);   // something changed

// --- negotiate_lines.c ---------------------------------------------------------------------------
uint8_t codec_kind(uint8_t codec);                           // enum sdp_kind of an enum ipc_codec
void extmap_fill(struct negotiate *, uint8_t exts);          // choose ids for extensions that have none
int line_add(struct negotiate *, struct line **out);         // a zeroed line at the end; 0 or -ENOMEM
void line_stop_upstream(struct negotiate *, unsigned index); // forget it and tell
void wanted_drop(struct negotiate *, struct wanted *);       // down and off its line; stays wanted
void wanted_start(struct negotiate *, struct wanted *);      // number it and tell
void wanted_refuse(struct negotiate *, struct wanted *);     // drop, and count against it
void wanted_place(struct negotiate *);                       // put wanted legs on lines, as far as they go
bool offer_needed(const struct negotiate *);                 // wanted and agreed differ
void wanted_view(const struct negotiate *, const struct wanted *, struct negotiate_leg *out);
void upstream_view(const struct line *, struct negotiate_upstream *out);

static inline struct str wanted_id(const struct wanted *l)
{
	return (struct str){l->text, l->id_len};
}

// --- negotiate_text.c ----------------------------------------------------------------------------
int answer_send(struct negotiate *, const struct sdp *offer); // 0 or -ENOMEM
int offer_send(struct negotiate *);                           // 0 or -ENOMEM

// --- negotiate_plan.c ----------------------------------------------------------------------------
// One section of a remote description, judged.
struct judged {
	struct codec codec[IPC_TRACK_CODECS]; // common codecs, in the peer's order
	struct upstream *up;                  // owned until applied: what it sends; NULL: nothing
	uint8_t n_codecs;
	uint8_t exts; // bit per enum ipc_ext
	bool accepted;
	bool simulcast;
};

struct plan {
	struct sdp sdp;
	struct sdp_media *media;    // owned
	struct judged *section;     // owned, one per m-line
	unsigned transport;         // index of the section that carries the transport
	int data;                   // index of the accepted data section, -1: none
	uint8_t ext_id[IPC_N_EXTS]; // as the peer numbers them here; 0: not in this description
	uint32_t ids_used;          // bit per id 1..14 it uses for anything
	uint64_t pts[2];            // bit per payload type that it uses in the bundle, for whatever
	const char *why;
};

int plan_refuse(struct plan *, int err, const char *why); // note the reason, return err
int plan_parse(struct plan *, struct str text);           // 0 or a negative errno; plan_free in any case
void plan_free(struct plan *);
int judge_sections(struct negotiate *, struct plan *); // codecs, extensions, what the peer sends
int judge_transport(const struct negotiate *, struct plan *);
int judge_setup(const struct negotiate *, struct plan *, bool *dtls_client); // offers only
