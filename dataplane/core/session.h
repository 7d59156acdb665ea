// One participant as its home worker sees it. Made and freed by main; between MAIL_SESSION_ADD and
// MAIL_SESSION_DEL everything but sid and home is touched by the home worker only.
//
// Size matters twice: the first three lines are read for every packet sent to the session, and the whole
// struct times dataplane.max_sessions is what an idle conference costs.
#pragma once

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "dataplane/core/parking.h"
#include "dataplane/port/port.h"
#include "lib/base/wheel.h"
#include "lib/ipc/wire.h"
#include "lib/rtc/ice/icelite.h"
#include "lib/rtc/recv/srtpidx.h"
#include "lib/rtc/recv/stats.h"

#define SESSION_MAX_SSRCS 64    // inbound; about 10 are needed
#define SESSION_BAD_TAGS 20     // failures in a second before unknown SSRCs are no longer tried
#define SESSION_RTCP_SENDERS 16 // sender SSRCs whose SRTCP replay window is kept

struct bwe;
struct leg;
struct seal_key;
struct source;
struct stream;
struct tombs;
struct twcc_state;
struct worker;

enum send_gate {
	SEND_NOT,  // no path, or consent lost
	SEND_FREE, // the selected path is proven
	SEND_ASK,  // not proven: icelite_may_send decides by volume
};

enum owed { OWED_PATH = 1, OWED_LIVENESS = 2 };

#define DTLS_PAIR_GONE 0xff // of dtls_to, dtls_from

struct rtcp_sender {
	uint32_t ssrc;
	struct srtcpidx idx;
	ns_t last; // used
};

// Token bucket in packets; refilled by elapsed time.
struct bucket {
	ns_t at;
	uint16_t tokens;
};

struct session {
	// read for each packet sent
	alignas(64) const struct seal_key *tx_key; // borrowed; NULL before MAIL_KEYS
	uint32_t sid;
	uint8_t home;            // worker id
	uint8_t send;            // enum send_gate
	bool rtcp_armed;         // the timer runs at the RTCP pace
	bool every_voice;        // is sent voices that are not chosen, too
	uint8_t ext[IPC_N_EXTS]; // negotiated extension ids, 0: not
	uint32_t rtcp_ssrc;
	uint32_t rtcp_index;           // of the next SRTCP packet: one counter for all our SSRCs
	const struct seal_key *rx_key; // borrowed
	uint16_t profile;              // enum seal_profile
	uint8_t rtp_tag;               // bytes
	uint8_t n_streams;
	uint8_t n_tracks;
	uint8_t n_rtcp_senders;
	uint16_t n_legs;
	struct bwe *bwe;  // borrowed: NULL until a video leg comes
	struct path path; // selected

	// receiving
	alignas(64) struct stream *streams;   // owned: list, most recently created first
	struct source *track[IPC_MAX_TRACKS]; // borrowed; by track number
	struct leg *legs;                     // borrowed: list
	struct leg *told;                     // borrowed: leg of the last feedback, NULL: none
	struct twcc_state *twcc;              // owned; NULL until a packet carries the extension
	struct parking sealed;                // wait for keys
	struct parking unclaimed;             // opened, wait for a track that claims their SSRC
	struct tombs *tombs;                  // owned: what is left of SSRCs that ended; NULL: none did
	struct rtcp_sender rtcp_sender[SESSION_RTCP_SENDERS];
	struct pub_clock clock;
	struct rtt rtt;
	ns_t bad_since; // second in which n_bad counts
	uint32_t n_bad;
	struct bucket punt, rtcp_in;

	// timers
	struct timer timer;    // the one timer of a session: ICE, RTCP, TWCC
	struct worker *worker; // borrowed: home, for the timer
	ns_t ice_due, rtcp_due;
	uint8_t n_rtcp_sent; // compounds, modulo: every fifth carries SDES
	uint8_t dtls_to;     // pair + 1 the first DTLS datagram of ours went to, 0: none yet
	uint8_t dtls_from;   // pair + 1 the last one came from before the keys, 0: none
	uint8_t n_bad_lsr;   // report blocks since the last proof that named no report of ours
	bool dead;           // MAIL_SESSION_DEL was seen
	uint8_t owed;        // enum owed bits: notes main had no room for, posted again by the timer

	// addresses
	char name[33]; // NUL-terminated: CNAME of what we send
	struct icelite ice;
	struct path pair_path[ICELITE_PAIRS]; // way back of each pair of ice
};
static_assert(sizeof(struct session) <= 4096, "memory of an idle session");
static_assert(offsetof(struct session, path) == 64 && offsetof(struct session, streams) == 192,
	      "what is read for each packet sent: three lines");

// At the entry of what only the session's home worker may call.
#define ASSERT_HOME(w, s) ASSERT_HOT((s)->home == (w)->id)

// The live session at home on this worker, NULL when it is gone or lives elsewhere. thread: home worker
struct session *session_find(struct worker *, uint32_t sid);
// The session wherever it is at home, NULL: there is none. Elsewhere only its sid and home may be looked at.
struct session *session_anywhere(struct worker *, uint32_t sid);

// Bring the timer forward. thread: home worker
void session_due(struct worker *, struct session *, ns_t due);

#define SESSION_REPORT_NS \
	(1 * NS_PER_S) // mean interval of RTCP reports; each is drawn from half to one and a half of it

// When the next reports are due. thread: home worker
ns_t session_next_report(struct worker *);
// Start the report timer of a session that begins to send or receive media. thread: home worker
void session_arm_reports(struct worker *, struct session *);

// Refill by n per second up to burst, take one; false when empty.
bool bucket_take(struct bucket *, ns_t now, unsigned per_s, unsigned burst);
