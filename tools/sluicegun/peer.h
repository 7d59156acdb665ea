// One participant: joins, negotiates, connects, speaks, shares its screen, listens, reports, leaves.
//
//   peer.c       life: join, path, DTLS, data channel, timers, leave
//   peer_nego.c  descriptions and the signalling lock
//   peer_tx.c    voice and screen
//   peer_rx.c    datagrams in: opened in bursts, entered into the books
//   peer_rtcp.c  reports, NACK, PLI, transport-wide feedback, both ways
//
// thread: the worker's
#pragma once

#include "lib/peer/dchan.h"
#include "lib/peer/dtls.h"
#include "lib/rtc/recv/nackgen.h"
#include "lib/rtc/wire/rtcp.h"
#include "lib/rtc/recv/srtpidx.h"
#include "lib/rtc/recv/stats.h"
#include "lib/rtc/wire/twcc.h"
#include "tools/sluicegun/desc.h"
#include "tools/sluicegun/gun.h"
#include "tools/sluicegun/iceclient.h"
#include "tools/sluicegun/mark.h"

#define PEER_ID_LEN 26
#define PEER_JOIN_NS (20 * NS_PER_S) // not ready after this: failed
#define PEER_HISTORY 512             // packets of a screen layer that can be sent again
#define PEER_MAX_PKT 1500
#define PEER_TWCC_SLOTS 1024

enum peer_state { PEER_OUT, PEER_JOINING, PEER_READY, PEER_FAILED };

enum peer_track { TRACK_VOICE = 1, TRACK_SCREEN = 2 };

// What the participant has in hand towards the server.
enum peer_nego { NEGO_IDLE, NEGO_LOCKING, NEGO_OFFERED };

// A packet as it was sent.
struct sent_pkt {
	uint16_t seq, len;
	uint8_t data[PEER_MAX_PKT];
};

// One SSRC that we send.
struct sender {
	uint32_t ssrc, ts;
	uint64_t index;              // of the next packet
	uint32_t stream;             // number in the whole load
	uint32_t count;              // packets of this generation
	uint64_t n_packets, n_bytes; // for SR
	uint32_t bps;                // screen: of this layer, on the wire
	uint16_t picture_id;
	uint8_t tl0;
	bool wants_key, is_on;
	uint8_t pt;
	const char *rid;          // NULL: not simulcast
	struct sent_pkt *history; // owned; PEER_HISTORY, video only
	ns_t last_key, next_sr;
};

// One SSRC that we hear.
struct heard {
	uint32_t ssrc, rtx_of; // rtx_of: this one resends packets of that SSRC; 0: it is media itself
	uint32_t stream;       // of the newest packet
	uint8_t kind;          // enum sdp_kind
	bool has_nack, has_twcc;
	struct srtpidx idx;
	struct rx_stats stats;
	struct track track;
	struct nackgen nack;
	struct nackgen_item *items; // owned; video with NACK only
};

struct peer {
	struct worker *w; // borrowed
	uint32_t id;      // in the whole load
	uint32_t call;
	uint8_t tracks; // enum peer_track bits: what it will send
	uint8_t want;   // of them not yet negotiated
	uint8_t generation;
	uint8_t state;    // enum peer_state
	uint8_t nego;     // enum peer_nego
	uint8_t offering; // track bits in the offer that is out
	bool is_muted, is_turning_on, has_answer, has_channel, is_up;
	uint16_t n_agreed; // lines of the last agreed description
	char session[PEER_ID_LEN + 1], call_id[PEER_ID_LEN + 1];
	uint64_t handle;    // Janus: its handle of the plugin, 0: none yet
	uint32_t speaks_as; // whose streams are its own: its id, or that of the same person's publisher
	bool is_asking;     // Janus: has to ask again
	int fd;
	ns_t joined, up_since;
	struct timer care; // timers of the participant itself
	struct timer voice_timer, screen_timer;
	ns_t next_ping, next_rr, next_churn, lock_at, turn_at;
	struct iceclient ice;
	struct dtls_fingerprint remote_cert;
	struct dtls *dtls;   // owned
	struct dchan *dchan; // owned
	uint16_t channel;
	uint16_t twcc_seq;
	struct seal_key *tx, *rx; // owned; NULL before DTLS is up
	enum seal_profile profile;
	uint32_t rtcp_index, rtcp_ssrc;
	struct desc *desc; // owned
	struct sender voice, screen[GUN_LAYERS];
	struct spurt spurt;
	struct heard *heard; // owned: array
	uint16_t n_heard, max_heard;
	struct twcc_log twcc;
	uint32_t *twcc_ring; // owned
	uint8_t *held;       // owned: packet held back by --reorder
	uint16_t held_len;
};

// --- life (peer.c) ---------------------------------------------------------------------------------------
void peer_init(struct peer *, struct worker *, uint32_t id);
void peer_fini(struct peer *);  // frees all of it, says nothing to the server
void peer_leave(struct peer *); // with a goodbye; may join again later
void peer_fail(struct peer *, const char *why);
void peer_silence(struct peer *); // stop sending media, go on listening
void peer_send(struct peer *, const void *data, size_t len);
void peer_on_closed(struct peer *); // the server ended the session
// Hand a datagram that is no media to whom it concerns.
void peer_on_stun(struct peer *, uint8_t *msg, size_t len, const union ice_addr *from);
void peer_on_dtls(struct peer *, const uint8_t *msg, size_t len);

// --- negotiation (peer_nego.c) -----------------------------------------------------------------------------
void peer_offer_first(struct peer *);
void peer_on_sdp(struct peer *, bool is_offer, struct str text);
void peer_on_candidate(struct peer *, struct str line);
void peer_on_channel(struct peer *, const uint8_t *msg, size_t len);
void peer_negotiate(struct peer *); // go on with what is wanted
void peer_ping(struct peer *);

// --- media (peer_tx.c, peer_rx.c, peer_rtcp.c) ------------------------------------------------------------
void peer_start_track(struct peer *, enum peer_track);
void peer_mute(struct peer *, bool is_muted);
void peer_turn(struct peer *); // completes it when its pause is over
void peer_resend(struct peer *, uint32_t ssrc, const uint16_t *seq, unsigned n);
void peer_want_key(struct peer *, uint32_t ssrc);
struct sender *peer_sender(struct peer *, unsigned i); // i-th of GUN_STREAMS; NULL when it does not send
struct heard *peer_heard(struct peer *, uint32_t ssrc);
struct heard *peer_heard_add(struct peer *, const struct desc_source *);
void peer_receive(struct peer *); // all that has come
void peer_finish(struct peer *);  // enter what is lost into the tally
void peer_on_rtcp(struct peer *, uint8_t *pkt, size_t len);
void peer_reports(struct peer *);  // once a second: SR, RR
void peer_feedback(struct peer *); // every 20 ms or so: NACK, transport-wide feedback
void peer_pli(struct peer *, uint32_t ssrc);

// --- signalling: one table for each kind of server (rtcd.c, janus.c) -------------------------------------
struct signaling {
	int (*open)(struct worker *); // connects w->ws; 0 or a negative errno
	void (*on_message)(void *worker, uint8_t *data, size_t len);
	void (*join)(struct peer *);
	void (*leave)(struct peer *);
	void (*sdp)(struct peer *, bool is_offer, struct str text);
	void (*track)(struct peer *, enum peer_track, bool is_on); // announces it
	void (*tick)(struct worker *);                             // each second
	bool has_channel; // signalling lock and pings on a data channel
};
extern const struct signaling signaling_rtcd, signaling_janus;
static inline const struct signaling *peer_signaling(const struct peer *p)
{
	return p->w->conf->protocol == GUN_JANUS ? &signaling_janus : &signaling_rtcd;
}
// Participant by its session id, NULL when it is none of ours.
struct peer *worker_find(struct worker *, struct str session);
