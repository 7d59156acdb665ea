// ICE-lite agent of one session: answers checks, keeps up to eight address pairs, selects one, and knows
// whether the peer still consents. Sans-I/O: STUN, bytes and time go in; replies, probes and events come out.
//
// Owned by the session's home worker. Use:
//   1. icelite_init, icelite_set_creds when credentials come (again: ICE restart)
//   2. stun_parse a datagram, find the session by the left part of USERNAME (requests) or by its tuple
//   (responses),
//      icelite_on_stun: verdict, reply bytes and events; behind the reply, icelite_check_back
//   3. icelite_on_rx for every datagram of a pair (bytes); icelite_on_media for every authenticated SRTP,
//      SRTCP or DTLS record; icelite_on_keys when DTLS completed; icelite_on_acked when the peer
//      acknowledged media
//   4. before sending anything but STUN: icelite_may_send
//   5. icelite_tick every 50..500 ms
// It holds passwords: the owner wipes its memory.
// Every call may leave events in struct icelite_out; apply all that are set.
//
// Time is kept in 32-bit milliseconds since icelite_init internally.
//
// source: RFC 8445 (lite), RFC 7675 (consent), RFC 8489 (checks of a request), RFC 9000 section 8.1 (the
// factor 3)
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/rtc/wire/stun.h"

#define ICELITE_PAIRS 8
#define ICELITE_TXIDS 64
#define ICELITE_UFRAG_LEN 16 // bytes, ours
#define ICELITE_PWD_LEN 32   // bytes, ours
#define ICELITE_REMOTE_UFRAG 32
#define ICELITE_REMOTE_PWD 64 // longer remote passwords: no path probes

// Where packets come from and go to. Compared as bytes: zero what is unused.
struct icelite_tuple {
	uint8_t family; // 4 or 6
	uint8_t proto;  // 17 UDP, 6 TCP
	uint16_t port;  // remote, host order
	uint8_t ip[16]; // remote, network order; IPv4 in the first four bytes
	uint32_t conn;  // TCP connection id; UDP: 0
	uint32_t local; // caller's name of port and local address the packet came in on; replies leave there
};
static_assert(sizeof(struct icelite_tuple) == 28);

enum icelite_verdict {
	ICELITE_REPLY,            // send out->reply to where the packet came from
	ICELITE_OK,               // taken, nothing to send (response to a probe)
	ICELITE_DROP_METHOD,      // not Binding, indication, or a response nobody asked for
	ICELITE_DROP_FINGERPRINT, // missing, not last or wrong
	ICELITE_DROP_USERNAME,    // missing, malformed, not ours (any more), or the remote part is wrong
	ICELITE_DROP_RATE,        // token bucket of the pair, or of all unknown addresses together
	ICELITE_DROP_INTEGRITY,   // missing or wrong
	ICELITE_DROP_REPLAY,      // transaction seen from another address
	ICELITE_DROP_PAIRS,       // table full of busy pairs, or too many new ones in a minute
	ICELITE_N_VERDICTS,
};

// Same order as enum ipc_liveness_state of lib/ipc/wire.h.
enum icelite_liveness {
	ICELITE_LIVE,    // authenticated packets arrive (again)
	ICELITE_SUSPECT, // none for 3 s
	ICELITE_LOST,    // no consent for 30 s: nothing is sent any more
	ICELITE_NO_PATH, // no valid check within 30 s of the start
};

enum icelite_event {
	ICELITE_EV_PATH = 1,        // selected pair or its nomination changed: icelite_path (NULL: gone)
	ICELITE_EV_LIVENESS = 2,    // a->liveness changed
	ICELITE_EV_PAIR_NEW = 4,    // out->pair_new is a new pair: bind its tuple to the session
	ICELITE_EV_PAIR_GONE = 8,   // out->gone[0..n_gone): unbind these tuples
	ICELITE_EV_CREDS_GONE = 16, // out->gone_ufrag is no longer ours: unbind it
	ICELITE_EV_SEND = 32,       // a path probe: send out->reply[0..reply_len) to out->to
};

// Results of one call. The caller provides it, uninitialised.
struct icelite_out {
	uint32_t events; // enum icelite_event bits
	uint8_t pair_new;
	uint8_t n_gone;
	uint16_t reply_len;      // bytes in reply; 0: none
	struct icelite_tuple to; // destination of a probe (ICELITE_EV_SEND); replies go back to the source
	struct icelite_tuple gone[ICELITE_PAIRS];
	char gone_ufrag[ICELITE_UFRAG_LEN];
	uint8_t reply[STUN_MAX_PROBE];
};

// What the caller supplies; the same for all sessions of a worker.
struct icelite_env {
	struct stun_mac mac;
	uint64_t (*random)(void *arg); // for transaction ids of probes
	void *arg;                     // borrowed, of random
	uint32_t consent_ms;           // silence after which consent is lost; 0: 30000
};

struct icelite_creds {
	char ufrag[ICELITE_UFRAG_LEN];
	char pwd[ICELITE_PWD_LEN];
	char remote_ufrag[ICELITE_REMOTE_UFRAG];
	uint8_t remote_ufrag_len; // 0: not known, any is accepted
	bool is_set;
	bool is_used; // a valid check came in under it
};

struct icelite_pair {
	struct icelite_tuple tuple;
	uint32_t priority;   // of the last check
	uint32_t last_check; // ms
	uint32_t media_from; // ms, last_media when n_media began
	uint32_t bucket_at;  // ms
	uint32_t n_rx_bytes; // since it became a pair or was selected; saturating
	uint32_t n_tx_bytes; // sent to it while unproven; saturating
	uint16_t bucket;     // ms of credit; a check costs 20
	uint8_t n_flagged;   // flagged checks in a row without one on the selected pair in between
	uint8_t n_media;     // newer authenticated records in a row while the selected pair had none
	bool is_used : 1;    // slot holds a pair
	bool is_nominated : 1;
	bool last_flagged : 1; // the last check had USE-CANDIDATE or NOMINATION
	bool is_proven : 1;    // the peer is known to receive there
	bool is_asked : 1;     // a probe waits for its answer
	uint8_t generation;    // of the credentials of its last check, low bits
	uint8_t n_probes;      // sent under the credentials of now, since it was selected unproven
	uint8_t probe_salt;    // random, of the transaction that is_asked
	uint32_t probe_at;     // ms, next (re)transmission
};

struct icelite {
	struct icelite_creds creds[2]; // [generation & 1] is the current one
	struct icelite_pair pair[ICELITE_PAIRS];
	uint32_t txid[ICELITE_TXIDS];     // folded to 32 bits, ring
	uint8_t txid_pair[ICELITE_TXIDS]; // where it came from; 0xff: that pair is gone
	char remote_pwd[ICELITE_REMOTE_PWD];
	uint8_t proven_ip[17];  // family and address on which the peer last proved to receive
	uint8_t remote_pwd_len; // 0: not known, no probes
	uint8_t generation;     // counts credentials
	uint8_t txid_at;
	int8_t selected;     // pair, -1: none
	uint8_t liveness;    // enum icelite_liveness
	uint8_t n_new_pairs; // in the current minute
	uint8_t n_changes;   // of selection in the current 10 s
	bool has_keys;       // DTLS completed
	bool has_old_deadline;
	uint32_t nomination;           // highest NOMINATION value of this generation
	uint32_t last_rx;              // ms, any authenticated packet of the session
	uint32_t last_media;           // ms, authenticated media on the selected pair
	uint32_t selected_at;          // ms
	uint32_t minute_at, change_at; // ms, begin of those windows
	uint32_t old_deadline;         // ms, when the old credentials go
	uint32_t rate_at;              // ms, bucket of unknown addresses
	uint16_t rate_bucket;
	bool had_path;         // some check was valid
	uint64_t probe_key[2]; // of transaction ids; 0: not drawn yet
	ns_t born;
};
static_assert(sizeof(struct icelite) <= 1152, "an idle session must stay small");

void icelite_init(struct icelite *, ns_t now);

// New credentials: the first, or those of an ICE restart. Before an ICE restart's answer is known,
// remote_ufrag is empty; calling again with the same ufrag fills it in. The previous ones stay valid until 30
// s after the first check under the new ones, or the next restart.
//
// in: ufrag  ICELITE_UFRAG_LEN bytes; pwd ICELITE_PWD_LEN bytes; remote_* may be empty
// returns: 0, -EINVAL when a remote value is too long (remote_pwd beyond ICELITE_REMOTE_PWD only disables
// probes)
[[nodiscard]] int icelite_set_creds(struct icelite *, const char *ufrag, const char *pwd,
				    struct str remote_ufrag, struct str remote_pwd, struct icelite_out *);

// One parsed STUN message for this session.
enum icelite_verdict icelite_on_stun(struct icelite *, const struct icelite_env *, const struct stun_msg *,
				     const struct icelite_tuple *from, ns_t now, struct icelite_out *);

// To be called behind the reply to a check on this pair: a check of our own, as ICELITE_EV_SEND, when this is the first
// one under its credentials. It asks the address for proof; and a client that nominates only in rounds of its own (Pion)
// takes it as a sign to nominate now (RFC 8445 section 7.3.1.4 has triggered checks for that).
void icelite_check_back(struct icelite *, const struct icelite_env *, unsigned pair, ns_t now,
			struct icelite_out *);

// Pair of a tuple, -1 when it is none of ours. Media from elsewhere is to be dropped whatever it decrypts to.
int icelite_find(const struct icelite *, const struct icelite_tuple *);

// n bytes came in on a pair (STUN, DTLS, SRTP; before authentication).
void icelite_on_rx(struct icelite *, unsigned pair, unsigned n);

// An SRTP, SRTCP or DTLS record from a pair passed authentication and replay check.
//
// in: is_newer  its index is above all before: only such records may move the path
void icelite_on_media(struct icelite *, unsigned pair, bool is_newer, ns_t now, struct icelite_out *);

// The connection of a TCP pair was closed. If it was the path, the best of the pairs that are being checked takes over;
// without one liveness becomes ICELITE_SUSPECT at once.
void icelite_on_gone(struct icelite *, unsigned pair, ns_t now, struct icelite_out *);

// DTLS completed on this pair, selected or not: it has proved that it receives. -1: the caller cannot tell which pair
// it was, nothing is proved.
void icelite_on_keys(struct icelite *, int pair);

// DTLS is about to complete with a flight from this pair: it is the path from now on if it has answered a check of ours
// and the selected one has not (whose way back may not work). Call before icelite_on_keys.
void icelite_on_handshake(struct icelite *, unsigned pair, ns_t now, struct icelite_out *);

// Where to answer DTLS from this pair before there are keys: there, if it is proven and the selected one is not; else on
// the selected one. -1: nowhere.
int icelite_dtls_pair(const struct icelite *, int from);

// The peer acknowledged something of ours that it cannot have guessed (the exact time of a sender report, LSR) and that
// was sent at sent_at. A proof if that was after the pair was selected; else it may have gone the old way.
void icelite_on_acked(struct icelite *, ns_t sent_at);

// May n bytes be sent on the selected pair now? True counts them. False: no path, consent lost, or an
// unproven address has had three times what came from it.
bool icelite_may_send(struct icelite *, unsigned n);

// The same for a DTLS datagram that answers one from this pair.
bool icelite_may_send_to(struct icelite *, unsigned pair, unsigned n);

// Timers: idle pairs, silent selection, liveness, probes of what is unproven, old credentials. Call every 50..500 ms; a probe
// comes out as ICELITE_EV_SEND.
void icelite_tick(struct icelite *, const struct icelite_env *, ns_t now, struct icelite_out *);

// Selected pair; NULL when there is none.
static inline const struct icelite_pair *icelite_path(const struct icelite *a)
{
	return a->selected < 0 ? NULL : &a->pair[a->selected];
}
