// Clients of the rig: sessions with keys and a path, what they send and what they were sent.
#pragma once

#include "lib/rtc/wire/rtp.h"
#include "lib/rtc/wire/stun.h"
#include "tests/support/dataplane/rig.h"

struct rig_peer {
	uint32_t sid;
	uint16_t port;  // its address is 127.0.0.1:port
	unsigned queue; // its packets arrive at this worker
	char ufrag[IPC_UFRAG_LEN], pwd[IPC_PWD_LEN];
	enum seal_profile profile;
	uint8_t key[32], salt[16]; // the same both ways
	struct seal_key *tx, *rx;
	uint32_t ssrc, ts;
	uint64_t index;
};

// Where its packets come from.
struct flow_key rig_key(const struct rig_peer *p);

// A datagram of the peer for the next rig_run. At most BURST between two.
void rig_receive(const struct rig_peer *p, const void *data, size_t len);

// stun_mac.hmac; e is a seal engine.
void rig_hmac(void *e, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len, uint8_t out[20]);

// A connectivity check that nominates.
void rig_check(const struct rig_peer *p);

// Everything but keys and track.
void rig_add(struct rig_peer *p, unsigned slot, enum seal_profile profile);

// The same keys both ways.
void rig_keys(struct rig_peer *p);

// An Opus track.
void rig_track(const struct rig_peer *p, uint16_t track, const char *mid, uint32_t ssrc);

// In with a path, keys and track 0.
void rig_join(struct rig_peer *p, unsigned slot, enum seal_profile profile);

// Its keys here; the session stays.
void rig_leave(struct rig_peer *p);

// A voice leg to one peer from track 0 of another; err of the command.
int rig_leg(const struct rig_peer *to, uint16_t leg, const struct rig_peer *from, uint32_t ssrc);

struct rig_voice {
	uint8_t pt, level;
	const char *mid;  // NULL: no extension
	unsigned payload; // bytes
	bool pad;         // P bit; the last payload byte says how much
	uint8_t pad_len;
};

// One SRTP packet of the peer with its next numbers.
void rig_say_as(struct rig_peer *p, struct rig_voice v);
void rig_say(struct rig_peer *p);

// Opens the newest RTP packet sent to the peer under this SSRC at this index guess; NULL when there is none.
const uint8_t *rig_heard(const struct rig_peer *p, uint32_t ssrc, struct rtp_view *v);

// RTP packets sent to the peer under this SSRC.
unsigned rig_n_heard(const struct rig_peer *p, uint32_t ssrc);
