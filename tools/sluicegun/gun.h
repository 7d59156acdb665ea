// What the parts of sluicegun share: the settings, the figures every worker process counts, and the worker.
//
// The load is spread over worker processes (--threads), participant by participant, so that each is a plain
// single-threaded program: usrsctp and the cipher keep state per process. They meet only in struct shared, an
// anonymous shared mapping: a worker writes its own tally, senders write how much they have sent, the parent
// reads all of it and says when to stop.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/hist.h"
#include "lib/base/wheel.h"
#include "lib/rtc/wire/stun.h"
#include "lib/seal/seal.h"
#include "tools/sluicegun/plan.h"

#define GUN_MAX_PIDS 16
#define GUN_MAX_WORKERS 64
#define GUN_LAYERS 2  // of a screen sent as simulcast: l and h
#define GUN_STREAMS 3 // streams a participant can send: voice, screen (h), screen (l)
#define GUN_DRAIN_NS (700 * NS_PER_MS)

enum gun_protocol { GUN_RTCD, GUN_JANUS };

struct gun_conf {
	const char *url; // borrowed
	char host[128], port[8];
	const char *client; // borrowed: "id:key"; NULL: register one
	enum gun_protocol protocol;
	unsigned calls, people, voices, screens;
	unsigned n_publishers; // Janus: seats of a call before those who listen, counted in people; else 0
	unsigned persons;      // of a call, one seat or two each
	unsigned n_workers, seconds, ramp, seed;
	double churn;    // events per participant and minute
	double loss;     // 0..1, of what is sent and of what is received
	double reorder;  // 0..1
	double max_loss; // 0..1
	bool simulcast;
	bool cm; // offer AES128_CM_SHA1_80 alone
	int pid[GUN_MAX_PIDS];
	unsigned n_pids;
	const char *json; // borrowed; NULL: stdout
	bool quiet;
};

// Figures of one worker. One writer; the parent reads while it runs.
struct tally {
	uint64_t n_joins, n_ready, n_failed, n_left, n_up; // n_up: ready now
	uint64_t voice_sent, video_sent, bytes_sent;
	uint64_t voice_in, video_in, bytes_in; // different packets of the load received
	uint64_t n_dup, n_late, n_old;
	uint64_t voice_lost, video_lost, n_missing; // final: legs never heard
	uint64_t n_legs;                            // final: legs heard
	uint64_t n_dropped;                         // by --loss
	uint64_t n_send_failed;                     // the kernel refused
	uint64_t n_bad;                             // packets that do not authenticate
	uint64_t n_nacks, n_rtx, n_resent, n_plis_in, n_plis_out, n_keys, n_twcc, n_pongs, n_vad;
	uint64_t n_gcm128, n_gcm256, n_cm; // SRTP profiles agreed on
	uint64_t n_path_lost, n_closed, n_lock_waits;
	uint64_t cpu_us; // user and system time of this process
	struct hist voice_us, video_us, join_us;
};

enum gun_phase { GUN_RUN, GUN_DRAIN, GUN_STOP };

struct shared {
	_Atomic int phase;        // enum gun_phase; parent writes
	_Atomic uint32_t n_ended; // workers that have handed in their final figures
	uint32_t n_streams;
	struct tally tally[GUN_MAX_WORKERS];
	// Packets sent so far by generation: generation << 32 | packets. One writer each.
	_Atomic uint64_t sent[];
};

static inline uint64_t gun_wall_us(void)
{
	return (uint64_t)clock_wall() / 1000;
}

struct peer;
struct ws;
struct dtls_ctx;

struct worker {
	const struct gun_conf *conf; // borrowed
	struct shared *shared;       // borrowed
	struct tally *tally;         // borrowed: ours in shared
	unsigned index;
	ns_t now;
	struct rng rng;
	struct wheel wheel;
	struct seal_engine *seal; // owned
	struct stun_mac mac;
	struct dtls_ctx *dtls; // owned
	struct ws *ws;         // owned
	uint64_t session;      // Janus: of the WebSocket; 0: none yet
	int epoll;
	struct peer *peer; // owned: array
	unsigned n_peers;
	unsigned n_busy; // participants that are joining: then the loop turns faster
	bool is_over;    // senders are silent
};

// Run a worker until the parent says stop. returns: exit status
int worker_run(const struct gun_conf *, struct shared *, unsigned index);
