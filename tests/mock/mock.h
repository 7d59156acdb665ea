// A control plane and its clients in one small program, to test sluice-dp alone: starts the daemon, speaks
// lib/ipc to it, and plays participants with STUN, SRTP and SRTCP over real sockets. Everything is bounded
// in time: a call that waits gives up after MOCK_WAIT_MS.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/ipc/ipc.h"
#include "lib/ipc/pktring.h"
#include "lib/ipc/statseg.h"
#include "lib/rtc/wire/rtcp.h"
#include "lib/rtc/recv/srtpidx.h"
#include "lib/rtc/wire/twcc.h"
#include "lib/seal/seal.h"

#define MOCK_WAIT_MS 5000
#define MOCK_STREAMS 64 // inbound SSRCs a participant keeps apart
#define MOCK_LEVEL_ID 1
#define MOCK_TWCC_ID 3
#define MOCK_MID_ID 4
#define MOCK_RID_ID 5
#define MOCK_RRID_ID 6
#define MOCK_PT 111
#define MOCK_VP8 96
#define MOCK_RTX 97
#define MOCK_LOSE 16 // packets a participant can lose on purpose at a time

// --- results ------------------------------------------------------------------------------------------
// "ok N - text" or "not ok N - text"; returns ok.
bool mock_ok(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int mock_done(void); // prints the plan; exit status of the program

// --- the daemon and the link ----------------------------------------------------------------------------
struct mock_dp {
	pid_t pid;
	char dir[64], socket[96];
	const char *server;    // borrowed: address participants send to; NULL: 127.0.0.1
	struct ipc_chan *chan; // NULL: not connected
	struct ipc_hello hello;
	struct pktring_mem punt;
	struct pktring_tx to_dp; // of worker 0, whoever's home it is
	struct pktring_rx to_cp[IPC_MAX_WORKERS];
	int doorbell[IPC_MAX_FDS]; // from HELLO_BELL_TO_CP on
	struct statseg *stats;
	uint32_t seq;
	uint32_t n_events[256];  // by type
	union ipc_msg last[256]; // newest of each type
	struct ipc_ack ack;
};

// Start build/.../sluice-dp (argv0's folder) on a free port with a temporary folder. yaml: further lines of
// the section `dataplane:`. Dies when it does not come up.
void mock_dp_start(struct mock_dp *, const char *argv0, const char *yaml);
// SIGTERM, wait, remove the folder. Its exit status, or 128 + signal.
int mock_dp_stop(struct mock_dp *);
void mock_connect(struct mock_dp *);    // hello both ways; dies when refused
void mock_disconnect(struct mock_dp *); // as if killed
// Send one command (header is filled in) and wait for its ack: its err. Events that come meanwhile are kept.
int mock_command(struct mock_dp *, void *msg, size_t size, enum ipc_type type);
#define mock_cmd(dp, msg, type) mock_command((dp), (msg), sizeof(*(msg)), (type))
// Take events until one of this type is there beyond `seen` of them, or the time is over.
bool mock_event(struct mock_dp *, enum ipc_type type, uint32_t seen);
void mock_poll(struct mock_dp *); // take what is there
uint64_t mock_counter(struct mock_dp *, enum counter);
void mock_counters(struct mock_dp *); // print those that are not 0, as TAP comments
// Wait until a counter reaches a value.
bool mock_counter_reaches(struct mock_dp *, enum counter, uint64_t value);

// --- participants ----------------------------------------------------------------------------------------
struct mock_stream { // as heard
	uint32_t ssrc;
	struct srtpidx idx;
	uint64_t first, top; // index
	uint64_t n, n_late;  // authentic packets; those behind top
	uint64_t n_gaps;     // numbers skipped
	uint32_t last_ts;
	uint8_t last_payload[8]; // first bytes
	uint8_t last_marker, last_level, pt;
	uint32_t n_sr;
	struct rtcp_sr sr;
};

// What came under an index of an SSRC: it may come again, but nothing else may.
struct mock_seen {
	uint64_t index, hash; // of the datagram; 0: nothing came
	uint32_t ssrc;
};
#define MOCK_SEEN (1u << 15) // kept of a participant

struct mock_peer {
	struct mock_dp *dp;
	uint32_t sid;
	char ufrag[IPC_UFRAG_LEN], pwd[IPC_PWD_LEN];
	int fd;
	struct seal_engine *seal;
	struct seal_key *tx, *rx; // what we send, what we hear
	enum seal_profile profile;
	uint8_t rx_key[32], rx_salt[16], tx_key[32], tx_salt[16]; // as sent in CMD_SESSION_KEYS
	uint32_t ssrc, ts, rtcp_index;
	uint64_t index; // of the next packet
	uint16_t twcc;
	uint16_t next_leg;
	struct mock_stream stream[MOCK_STREAMS];
	unsigned n_streams;
	uint64_t n_stun_ok, n_stun_error, n_dtls, n_bad, n_rtcp, n_rr, n_twcc, n_sdes;
	struct rtcp_block rr; // last one about us
	struct mock_seen *seen;
	uint64_t n_again, n_two; // datagrams that came again; other ones under an index that was used
	ns_t arrival;            // of the last datagram
	struct twcc_log arrivals;
	uint32_t arrival_ring[1024];
	uint32_t lose_ssrc; // the next n_to_lose packets of it are taken as lost
	unsigned n_to_lose, n_lost;
	uint16_t lost[MOCK_LOSE];
	uint64_t n_pli, n_nack, n_rtx;
	uint32_t pli_ssrc;        // of the last PLI
	uint16_t nack[MOCK_LOSE]; // what the last NACK asked for
	unsigned n_nack_seqs;
	uint8_t dtls[2048]; // last one
	size_t dtls_len;
};

// A participant that does not exist yet for sluice-dp.
void mock_peer_init(struct mock_peer *, struct mock_dp *, uint32_t sid, enum seal_profile);
void mock_peer_close(struct mock_peer *);  // sockets and keys; does not tell sluice-dp
void mock_peer_socket(struct mock_peer *); // another local port, as a NAT may do
// Steps of a join: each returns the ack.
int mock_peer_add(struct mock_peer *);
void mock_peer_check_send(struct mock_peer *, const char *pwd); // one check, not waited for
bool mock_peer_check(struct mock_peer *); // one nominating check; true when it was answered
int mock_peer_keys(struct mock_peer *);
int mock_peer_track(struct mock_peer *, bool enabled);
int mock_peer_gate(struct mock_peer *, bool enabled);
// All of it: add, check, keys, extension ids, track 0. Dies when something is refused.
void mock_join(struct mock_peer *, struct mock_dp *, uint32_t sid, enum seal_profile);
int mock_leave(struct mock_peer *); // CMD_SESSION_DEL and close
// Let `to` hear `from`: the leg's SSRC.
uint32_t mock_subscribe(struct mock_peer *to, const struct mock_peer *from);

// Send one voice packet of our track; the payload begins with its number. level: -dBov.
void mock_voice(struct mock_peer *, unsigned level);
// The same datagram built without sending; returns its length.
size_t mock_voice_build(struct mock_peer *, unsigned level, uint8_t *out, size_t size);
void mock_send(struct mock_peer *, const void *data, size_t len);
// One SRTCP compound.
void mock_rtcp(struct mock_peer *, const uint8_t *plain, size_t len);
// Read what came for at most ms; stops at once when `n` packets of voice arrived in this call (0: whole time).
unsigned mock_hear(struct mock_peer *, unsigned n, unsigned ms);
struct mock_stream *mock_stream(struct mock_peer *, uint32_t ssrc); // NULL: never heard

// --- video (video.c) ----------------------------------------------------------------------------------------

// A screen in two encodings, "l" and "h": track 1 of a participant.
struct mock_screen {
	struct mock_peer *from;
	uint32_t ssrc[2], ts[2];
	uint64_t index[2];
	uint16_t pid[2];
	bool wants_key[2];
	uint64_t n_pli; // of from, as answered
	uint8_t skipped[1500];
	size_t skipped_len;
};

void mock_share(struct mock_screen *, struct mock_peer *from); // declares the track; dies when refused
// One RTP packet of this peer with any header and payload: sealed and sent.
void mock_seal_send(struct mock_peer *, const uint8_t *hdr, unsigned hdr_len, const uint8_t *payload,
		    unsigned len, uint64_t index);
// A header with transport-wide number, mid and rid (NULL: none). Returns its length.
unsigned mock_video_header(struct mock_peer *, uint8_t *hdr, uint8_t pt, uint16_t seq, uint32_t ts,
			   uint32_t ssrc, const char *rid, bool marker);
// One frame of n packets into one encoding: a key frame when one was asked for. Packet `skip` is not sent (n: all are).
void mock_frame(struct mock_screen *, unsigned layer, bool is_key, unsigned n, unsigned skip);
// The packet that was skipped last.
void mock_send_skipped(struct mock_screen *);
// Let `to` see the screen of `from`; its RTX has the SSRC behind. The leg's SSRC.
uint32_t mock_watch(struct mock_peer *to, const struct mock_peer *from, bool has_rtx);
void mock_tell(struct mock_peer *);                   // transport-wide feedback about what came
void mock_ask_key(struct mock_peer *, uint32_t ssrc); // PLI
void mock_nack(struct mock_peer *, uint32_t ssrc);    // for what was lost on purpose
// The layer a viewer got last, by the payload.
unsigned mock_layer(struct mock_peer *, uint32_t ssrc);
