// The whole dataplane (struct dp), one worker of it (struct worker), and the small services that everything on a worker
// uses: counting and dropping, sending, handing over, random numbers.
//
// Ownership: every session has one home worker, and all that changes with its packets is touched by that
// worker alone. Main (ctl.c, model.c) makes and frees objects, and speaks to workers by mail; workers answer
// by notes, and hand packets to each other by single-producer rings. Tables read by all workers are written
// so that readers need no lock, and what is taken out of them is freed after a grace period (reclaim.h).
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "dataplane/port/dpdk.h" // before what includes rte_cycles.h

#include <rte_rcu_qsbr.h>

#include "dataplane/core/overload.h"
#include "dataplane/core/parking.h"
#include "dataplane/core/payload.h"
#include "dataplane/core/strangers.h"
#include "dataplane/port/port.h"
#include "lib/base/wheel.h"
#include "lib/conf/conf.h"
#include "lib/ipc/statseg.h"
#include "lib/rtc/ice/icelite.h"
#include "lib/seal/seal.h"

#define BURST PORT_MAX_BURST
#define HANDOFF_RING 1024 // packets between one pair of workers: 10 ms at 100 kpps
#define MAIL_RING 2048
#define NOTE_RING 2048
// A packet that waited longer inside is dropped: on cores of our own the wait is our overload, and old voice must make
// room. On shared cores it is the scheduler's doing, as the wait in a socket's buffer is; there the receiver's jitter
// buffer decides.
#define STALE_POLLING_NS (100 * NS_PER_MS)
#define STALE_SLEEPING_NS NS_PER_S
#define STALL_WARN_NS (1 * NS_PER_S)   // a worker that did not turn for so long is reported
#define STALL_FATAL_NS (10 * NS_PER_S) // and here the process gives up, for its supervisor to restart

struct audience;
struct punt_end;
struct session;
struct source;
struct worker;

struct dp {
	const struct conf *conf; // borrowed
	unsigned n_workers, n_ports;
	struct worker *worker[PORT_MAX_WORKERS]; // owned
	struct port *port[PORT_MAX];             // owned
	struct port *tcp;                        // borrowed: the one of them for ICE-TCP, NULL without
	struct rte_mempool *rx_pool, *tx_pool;   // owned: 2 KiB buffers in, fresh ones out
	struct payload_store *video;             // owned: packets of video that are kept
	struct rte_mempool *stream_pool;         // owned: struct stream
	struct rte_mempool *twcc_pool;           // owned: struct twcc_state
	struct rte_mempool *twcc_wide_pool;      // owned: the same for publishers of video
	struct rte_mempool *tomb_pool;           // owned: struct tombs
	struct rte_rcu_qsbr *qsbr;               // owned: one reader per worker
	struct rte_hash *ufrags, *flows;         // owned: flow.c
	struct session *_Atomic *session;        // owned array by slot; rcu: written by main, read by workers
	_Atomic uint32_t n_flows;                // under the lock of flow.c
	uint32_t max_sessions;
	uint16_t rx_burst;   // packets per look at a port, 1..BURST
	uint16_t tx_burst;   // packets given to a port at a time, 1..BURST
	int64_t wall_offset; // wall clock minus ns_t, fixed at start: steps of the wall clock stay out of SRs
	struct statseg *statseg; // owned; block i is worker i's, then main's, then the TCP thread's
	int main_doorbell;       // eventfd: notes wait for main
	_Atomic bool main_asleep;
	_Atomic bool stop;
};

// Packets on their way to one port, sent when full and at the end of each round.
struct outq {
	unsigned n;
	struct rte_mbuf *m[BURST];
	const struct path *path[BURST]; // borrowed until the flush of this round
};

// Packets on their way to another worker.
struct handoff {
	unsigned n;
	struct rte_mbuf *m[BURST];
};

struct worker {
	// set before launch
	struct dp *dp;  // borrowed
	uint16_t id;    // also lcore order, queue of every port, reader of the QSBR variable
	bool sleeps;    // when idle; else polls
	ns_t stale_ns;  // STALE_*_NS
	bool naps;      // asleep it looks at ports every millisecond: one has no descriptor to wait on
	ns_t linger_ns; // it goes on looking for so long before it sleeps
	bool may_skip;  // looks at ports: all of them have descriptors, and it sleeps
	int epoll_fd, doorbell, punt_bell;     // owned; bells: of dataplane threads, of the control plane
	struct seal_engine *seal;              // owned
	struct statseg_block *stats;           // borrowed
	struct rte_ring *in[PORT_MAX_WORKERS]; // owned: packets from worker i; NULL for i == id
	struct rte_ring *mail, *notes;         // owned: from main, to main
	struct icelite_env ice;
	uint64_t random[4]; // state of worker_random

	// owner only
	ns_t now;       // time of this round
	ns_t worked_at; // last round that had something to do
	struct wheel wheel;
	struct outq out[PORT_MAX];
	struct handoff hand[PORT_MAX_WORKERS];
	bool noted;            // notes were posted in this round
	struct punt_end *punt; // borrowed: rings with the control plane, NULL: it is not there
	uint32_t n_sessions, n_tracks, n_legs;
	struct port_stats seen[PORT_MAX]; // what was already added to stats
	uint8_t n_skip[PORT_MAX]; // looks at the port that can be left out: it has just said that it is empty
	ns_t stats_due;
	struct strangers strangers;
	struct parking_lot parking;
	TAILQ_HEAD(, audience) audiences; // of video, that wait to be served
	struct payload_retired retired;   // of video, that wait for a grace period
	struct overload overload;
	struct rte_mbuf *news[BURST]; // borrowed: newest packet of each video that had any in this burst
	unsigned n_news;
	unsigned n_paced; // packets of video that timers have sent in this round

	// main only
	uint64_t n_mails_posted;
	uint32_t n_placed; // sessions at home here

	// written by the owner, read by main and by other workers
	alignas(64) _Atomic uint32_t asleep; // 1: ring the doorbell
	_Atomic uint64_t n_mails_done;
	_Atomic bool returned; // worker_run is over; what it owned may be touched by main
	_Atomic int64_t beat;  // ns_t of the last round
};

// Has every worker been quiescent since this token of dp->qsbr was taken? rte_rcu_qsbr_check keeps the oldest token in
// a field of all callers, which it reads without acquire: who trusts that has not synchronised with the workers. This
// one looks at each of them. thread: any
static inline bool grace_is_over(const struct dp *dp, uint64_t token)
{
	for (unsigned i = 0; i < dp->n_workers; i++) {
		uint64_t at = __atomic_load_n(&dp->qsbr->qsbr_cnt[i].cnt, __ATOMIC_ACQUIRE);

		if (at != 0 && at < token) // 0: offline
			return false;
	}
	return true;
}

// All of these: thread: the worker itself.
void drop(struct worker *, struct rte_mbuf *m, enum counter why); // m is consumed
static inline void count(struct worker *w, enum counter id, uint64_t n)
{
	statseg_add(w->stats, id, n);
}
// Queue a datagram; path is borrowed until the end of the round.
void worker_send(struct worker *, const struct path *path, struct rte_mbuf *m);
// Send what is queued now: before a path changes that packets may have been queued for.
void worker_send_queued(struct worker *);
// A fresh buffer of the transmit pool with `len` bytes copied in and CLASS_CONTROL, NULL (counted) when there
// is none.
struct rte_mbuf *worker_packet(struct worker *, const void *data, size_t len);
// Pass a packet to another worker: when there are enough for it, or at the end of the round.
void worker_hand_over(struct worker *, unsigned to, struct rte_mbuf *m);
// Pass on now what waits for other workers.
void worker_send_handed(struct worker *);
// 64 random bits, not for keys: jitter, start values that are no secret (xoshiro256**, seeded by the kernel).
uint64_t worker_random(struct worker *);

// Wake a worker that sleeps. thread: any
void worker_wake(struct worker *);
