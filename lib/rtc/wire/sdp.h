// Session descriptions for the subset an SFU needs: parse offers and answers, write ours.
//
// Pure code: no allocation, no I/O. Parsing yields views into the text, which must outlive them; writing
// goes into a struct wbuf. Parsing one description costs one pass over at most SDP_MAX_TEXT bytes, and
// one more pass over a section for each list (codecs, header extensions, sources) asked of it.
//
// Use: 1. sdp_parse fills a struct sdp and the caller's array of struct sdp_media. Everything listed below
//         has then been checked, so the list functions of step 2 cannot fail on their input.
//      2. sdp_codecs, sdp_exts, sdp_sources and sdp_rids fill small arrays from one section.
//      3. sdp_write_session, then sdp_write_media per section; check wbuf.full once at the end.
//
// Understood: m, mid, direction, rtpmap, fmtp, rtcp-fb, extmap, ssrc, ssrc-group, msid, rid, simulcast,
// ice-ufrag, ice-pwd, ice-lite, fingerprint, setup, candidate (counted only), group BUNDLE (the first),
// sctp-port, sctpmap, max-message-size, rtcp-mux, rtcp-rsize, extmap-allow-mixed. Attributes that may stand at session or at
// media level are looked up at both. Everything else is skipped.
//
// thread: any. source: RFC 8866, 8829 (JSEP), 8843 (BUNDLE), 8841 (SCTP), 8853 (simulcast), 8851 (rid), 8285.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

enum sdp_limits {
	SDP_MAX_TEXT = 128 * 1024, // bytes of one description
	SDP_MAX_LINE = 4096,       // bytes of one line without its end
	SDP_MAX_LINES = 1024,      // lines of one section, and of the session part
	SDP_MAX_CODECS = 64,       // payload types on one m-line
	SDP_MAX_EXTS = 32,         // extmap lines of one section
	SDP_MAX_SSRCS = 16,        // different SSRCs of one section
	SDP_MAX_RIDS = 8,          // rid lines of one section
	SDP_MAX_PROTO = 64,        // bytes of an m-line's protocol, which an answer repeats
	SDP_MAX_NAME = 16,         // bytes of an m-line's kind of media, which an answer repeats
	SDP_MAX_MID = 64,          // bytes
	SDP_MAX_MID_EXT = 16,      // bytes; what the one-byte header extension carries of a mid
	SDP_MAX_RID = 16,          // bytes; the same
	SDP_MAX_UFRAG = 256,       // bytes (RFC 8839 section 5.4)
	SDP_MAX_PWD = 256,         // bytes
};

enum sdp_kind { SDP_AUDIO, SDP_VIDEO, SDP_DATA, SDP_OTHER };

// Direction as seen by whoever wrote the description: bit 0 sends, bit 1 receives.
enum sdp_dir { SDP_INACTIVE = 0, SDP_SENDONLY = 1, SDP_RECVONLY = 2, SDP_SENDRECV = 3 };

// Protocols of m-lines that JSEP knows (RFC 8829 section 5.1.2): whichever is written, DTLS over ICE is meant.
enum sdp_proto {
	SDP_PROTO_OTHER,
	SDP_UDP_TLS_RTP_SAVPF,
	SDP_UDP_TLS_RTP_SAVP,
	SDP_TCP_DTLS_RTP_SAVPF,
	SDP_TCP_DTLS_RTP_SAVP,
	SDP_RTP_SAVPF,
	SDP_RTP_SAVP,
	SDP_RTP_AVPF,
	SDP_RTP_AVP,
	SDP_UDP_DTLS_SCTP,
	SDP_TCP_DTLS_SCTP,
	SDP_DTLS_SCTP,
	SDP_N_PROTOS
};

enum sdp_setup { SDP_SETUP_NONE, SDP_ACTPASS, SDP_ACTIVE, SDP_PASSIVE, SDP_HOLDCONN };

// rtcp-fb lines of one payload type.
enum sdp_fb {
	SDP_FB_NACK = 1,
	SDP_FB_PLI = 2,
	SDP_FB_FIR = 4,
	SDP_FB_TWCC = 8,
	SDP_FB_REMB = 16,
};

// Why a description was refused.
struct sdp_error {
	const char *reason; // static text, "" when there is none
	unsigned line;      // from 1; 0 when it concerns the whole text
};

// A certificate fingerprint: sha-256, sha-384 or sha-512, told apart by len 32, 48, 64; len 0 is none.
struct sdp_fingerprint {
	uint8_t len;
	uint8_t hash[64];
};

// One m-section. ufrag, pwd, setup and fingerprint fall back to the session's.
struct sdp_media {
	struct str name;  // view: "audio", "video", "application" or another; never longer than SDP_MAX_NAME
	struct str mid;   // view; never longer than SDP_MAX_MID; empty when missing
	struct str proto; // view; never longer than SDP_MAX_PROTO
	struct str formats;                 // view: what follows the protocol on the m-line
	struct str body;                    // view: all lines after the m-line
	struct str ufrag, pwd;              // views
	struct str msid_stream, msid_track; // views: first a=msid of the section; "-" as a stream is kept
	struct sdp_fingerprint fingerprint;
	uint32_t max_message_size; // data only; bytes; 65536 when the line is missing (RFC 8841); 0: any
	uint16_t sctp_port;        // data only, of a=sctp-port or a=sctpmap; 0 when missing
	uint16_t n_candidates;
	uint8_t kind;        // enum sdp_kind
	uint8_t proto_known; // enum sdp_proto
	uint8_t dir;         // enum sdp_dir
	uint8_t setup;       // enum sdp_setup
	uint8_t n_rids;
	bool rejected; // port 0 and not bundle-only
	bool bundled;  // its mid is in the first BUNDLE group
	bool rtcp_mux, rtcp_rsize;
	bool sctpmap;        // its port stands on the m-line and in a=sctpmap (drafts of RFC 8841)
	bool simulcast_send; // a=simulcast names at least one rid that its writer sends
};

// A description.
struct sdp {
	struct str text;
	uint64_t origin_id, origin_version; // of the o= line, 0 when not numeric
	struct sdp_media *media;            // borrowed: the caller's array
	unsigned n_media;
	bool has_bundle;
	bool ice_lite;
	bool extmap_mixed; // extmap-allow-mixed at session level
};

struct sdp_codec {
	struct str name; // view: "opus", "VP8"; static payload types without rtpmap have an empty name
	struct str fmtp; // view: parameters after the payload type; empty when missing
	uint32_t clock_hz;
	uint8_t pt;
	uint8_t channels; // 1 when not given
	uint8_t fb;       // enum sdp_fb bits, "*" lines included
};

struct sdp_ext {
	struct str uri;
	uint8_t id;  // 1..14 one-byte form, 15..255 two-byte form
	uint8_t dir; // enum sdp_dir; SDP_SENDRECV when not given
};

// The a=ssrc and a=ssrc-group lines of one section.
struct sdp_source {
	uint32_t ssrc;
	uint32_t rtx;             // other member of its FID group, 0 when none
	bool is_rtx;              // it is the second member of a FID group
	struct str cname;         // view
	struct str stream, track; // views: from "a=ssrc:N msid:stream track"
};

struct sdp_rid {
	struct str id;
	bool send;   // "send", else "recv"
	bool listed; // named in the a=simulcast list of its direction
	bool paused; // "~" in front of it there
};

// Parse a description into *out and its sections into media[0..max_media).
//
// A section without mid is accepted here: whether it will do is the caller's decision. Line ends may be
// CRLF or LF. Any other control character but TAB is refused, so is a list with an empty alternative.
//
// returns: 0; -EBADMSG malformed; -E2BIG a limit of enum sdp_limits or max_media; err says where and why
[[nodiscard]] int sdp_parse(struct str text, struct sdp *out, struct sdp_media *media, unsigned max_media,
			    struct sdp_error *err);

// The payload types of a section in the order of its m-line. Returns how many were written.
unsigned sdp_codecs(const struct sdp_media *, struct sdp_codec out[SDP_MAX_CODECS]);

// The header extensions of a section in order of appearance. Returns how many were written.
unsigned sdp_exts(const struct sdp_media *, struct sdp_ext out[SDP_MAX_EXTS]);

// The sources of a section in order of appearance. Returns how many were written.
unsigned sdp_sources(const struct sdp_media *, struct sdp_source out[SDP_MAX_SSRCS]);

// The rids of a section in order of appearance. Returns how many were written.
unsigned sdp_rids(const struct sdp_media *, struct sdp_rid out[SDP_MAX_RIDS]);

// The value of one fmtp parameter ("apt", "profile"), compared without case; STR_NONE when missing.
struct str sdp_fmtp_get(struct str fmtp, struct str name);

// --- writing -----------------------------------------------------------------------------------

// A host candidate of ours (component 1).
struct sdp_candidate {
	char address[46];    // IPv4 or IPv6, no brackets, no zone
	uint16_t port;       // host order
	bool tcp;            // passive ICE-TCP instead of UDP
	uint32_t priority;   // RFC 8445 5.1.2
	uint32_t foundation; // same for same address and protocol
};

// Fill a candidate: priority falls with rank (0 is preferred) and is lower for TCP than for any UDP; the
// foundation is the CRC-32 of "host" + address + network name, as rtcd has it.
// returns: 0, -EINVAL when address is empty, longer than 45 bytes, or has other than [0-9a-fA-F:.]
[[nodiscard]] int sdp_candidate_init(struct sdp_candidate *, struct str address, uint16_t port, bool tcp,
				     unsigned rank);

// Write "candidate:F 1 udp P A PORT typ host" (with "tcptype passive" for TCP), as it stands after "a=" and
// in a trickled candidate. ufrag is appended as the "ufrag" extension unless it is empty.
void sdp_candidate_write(struct wbuf *, const struct sdp_candidate *, struct str ufrag);

struct sdp_session_out {
	uint64_t origin_id;      // 63 bits, constant for the session
	uint64_t origin_version; // one more with each description
	const struct sdp_fingerprint *fingerprint;
	const struct str *bundle; // mids in the group
	unsigned n_bundle;        // 0: no group line
	bool ice_lite;
	bool extmap_mixed;
};

struct sdp_codec_out {
	const char *name; // "opus"
	const char *fmtp; // NULL: no line
	uint32_t clock_hz;
	uint8_t pt;
	uint8_t channels; // written when above 1
	uint8_t fb;       // enum sdp_fb bits
};

struct sdp_ext_out {
	const char *uri;
	uint8_t id;
};

struct sdp_rid_out {
	struct str id;
	bool send;
	bool simulcast; // also listed in a=simulcast
	bool paused;
};

// One section to write. Empty strings and zero counts leave their lines out.
struct sdp_media_out {
	uint8_t kind;  // enum sdp_kind
	uint8_t dir;   // enum sdp_dir
	uint8_t setup; // enum sdp_setup
	bool rejected; // "m=... 0" and nothing but mid; formats as given
	struct str mid;
	struct str name, formats; // only for rejected sections, else derived; one format is enough
	struct str proto;         // empty: as the kind has it
	struct str ufrag, pwd;
	const struct sdp_codec_out *codecs;
	unsigned n_codecs;
	const struct sdp_ext_out *exts;
	unsigned n_exts;
	const struct sdp_rid_out *rids;
	unsigned n_rids;
	const struct sdp_candidate *candidates;
	unsigned n_candidates; // end-of-candidates follows them
	struct str msid_stream, msid_track, cname;
	uint32_t ssrc, rtx_ssrc; // 0: none; rtx adds the FID group
	uint16_t sctp_port;      // data only
	bool sctpmap;            // data only: the port as its writer had it
	uint32_t max_message_size;
};

// Write the session part: v, o, s, t, ice-lite, fingerprint, extmap-allow-mixed, msid-semantic, BUNDLE.
void sdp_write_session(struct wbuf *, const struct sdp_session_out *);

// Write one section, a=msid before a=ssrc. An audio line with Opus, three header extensions and a voice
// track whose session id has 26 characters stays below 660 bytes.
void sdp_write_media(struct wbuf *, const struct sdp_media_out *);

// "UDP/TLS/RTP/SAVPF"; empty for SDP_PROTO_OTHER.
struct str sdp_proto_name(enum sdp_proto);

// The standard name of a direction: "sendrecv", "sendonly", "recvonly", "inactive".
const char *sdp_dir_name(enum sdp_dir);

// The direction with the roles exchanged: what an answerer sees.
static inline enum sdp_dir sdp_dir_mirror(enum sdp_dir d)
{
	return (enum sdp_dir)(((d & 1) << 1) | ((d & 2) >> 1));
}
