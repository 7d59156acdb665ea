// Calls of any size in a real dataplane: workers on their threads, sessions made by commands, paths proven by STUN,
// packets of talkers decrypted on the way in. Only the port is ours: it makes what talkers send when it is due, and
// takes what receivers get, with the time that each packet was due known from its timestamp. Receivers of video answer
// with transport-wide feedback.
//
// 1. hall_open  2. hall_add people, hall_admit  3. hall_talk  4. hall_run while time passes  5. hall_close
// thread: main, but for what the port does on its worker
#pragma once

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/ctl/model.h"
#include "lib/base/hist.h"

#define HALL_MAX_TALKERS 64
#define HALL_QUEUES 2
#define HALL_SSRC 0x40000000u // of talker 0, in and out
#define HALL_THEFTS 64
#define HALL_WATCH_MAX 192 // packets between two answers; more are not answered

// What one source sends: n_bytes of payload each period.
struct talker {
	uint32_t sid;
	uint16_t n_bytes, burst, ts_step; // burst: packets each time; ts_step: between times
	bool is_video;
	uint16_t key_every, key_burst; // video: each so many times it is a key frame of key_burst packets
	uint64_t period, start;        // TSC
	uint64_t n;                    // times so far
	unsigned n_of_time;            // packets so far of this time
	uint64_t index;
	struct seal_key *key; // of the worker's engine below
};

enum { HALL_VOICE, HALL_SCREEN, HALL_KINDS };

// One per worker, on cache lines of its own.
struct hall_queue {
	alignas(64) struct rte_ring *in; // from main: what people send besides media
	struct seal_engine *seal;
	uint64_t n_in[HALL_KINDS], n_out[HALL_KINDS], n_control,
		n_feedback; // of what was due in the time measured
	// TSC. stolen: time in all that this thread did not have its core for; theft: the last gaps between two looks in
	// which there was such time
	uint64_t began, looked, stolen;
	struct theft {
		uint64_t from, until, stolen;
	} theft[HALL_THEFTS];
	unsigned n_thefts;
	ns_t cpu_began;
	uint64_t n_watched;              // turns of receivers of video
	struct hist latency[HALL_KINDS]; // ns from due to sent
	struct hist own;                 // the same of voice without what was stolen
};

// A receiver of video.
struct watcher {
	struct seal_key *key;    // owned; NULL: watches nothing
	_Atomic bool is_leaving; // set by main; no answers from here on
	uint16_t base;           // number of the first packet since the last answer
	uint8_t n, queue, fb_count;
	uint32_t index;                // SRTCP
	uint64_t first, last;          // ticks since `from` of the hall's first second
	uint8_t delta[HALL_WATCH_MAX]; // ticks after the one before
};

struct hall {
	struct conf conf;
	struct dp *dp;
	struct model *model;
	struct seal_engine *seal;
	struct port port, *kernel;
	unsigned n_workers, n_people, n_talkers, n_keyed;
	bool *is_keyed;          // by person
	struct watcher *watcher; // by person
	uint32_t max_people;
	uint64_t from, until; // TSC: what is due between them is measured
	uint32_t seq;
	struct talker talker[HALL_MAX_TALKERS];
	_Atomic bool talks;
	struct hall_queue queue[HALL_QUEUES];
};

extern struct hall hall;

// A dataplane of so many workers, for max_people sessions at most.
void hall_open(unsigned n_workers, unsigned max_people);
void hall_close(void);

// A person comes into a call: commands and a connectivity check. Numbers go from 0 on.
void hall_add(uint32_t person, uint32_t call);
void hall_leave(uint32_t person);

// Until all have a path and keys.
void hall_admit(void);

// person's track sends from the start of hall_run.
void hall_talk(uint32_t person, uint16_t track, const struct talker *how);

// person hears talker i, who is `from` with this track.
void hall_hear(uint32_t person, unsigned i, uint32_t from, uint16_t track);

// What main does between commands.
void hall_tend(void);

// Talk for so long, and measure after the first part of it, the warm-up; tend is called about every millisecond with the
// time since the measuring began, negative before.
void hall_run(ns_t warm, ns_t duration, void (*tend)(ns_t since));
