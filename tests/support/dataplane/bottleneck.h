// A receiver behind a bottleneck: a publisher with two layers, the link, and feedback on what came through. Time is the
// test's own, a millisecond a step.
#pragma once

#include "lib/rtc/send/simulcast.h"
#include "lib/rtc/wire/twcc.h"
#include "tests/support/dataplane/rig_video.h"
#include "tests/support/rtcp_peer.h"

#define NET_VIDEO_SSRC 0x8800 // of the receiver; RTX is the next
#define NET_VOICE_SSRC 77
#define NET_LOW_BPS 500000
#define NET_HIGH_BPS 2500000
#define NET_PIPE 4096
#define NET_FRAME_MS 33

// The link, and who is at its ends.
struct net {
	struct rig_peer from, to; // sessions 1 and 2
	double bps;
	ns_t delay;
	uint32_t queue_max; // bytes
	bool is_deaf;       // sends no feedback
	uint32_t video_ssrc;
	ns_t busy_until;
	struct {
		uint16_t seq;
		bool has_seq;
		ns_t arrival;
	} pipe[NET_PIPE];
	unsigned head, tail;
	struct twcc_log log;
	uint32_t ring[4096];
	uint32_t rtcp_index;
	uint32_t lsr; // of the last sender report about video
	ns_t lsr_at;
	// seen since mark
	ns_t max_queue;
	unsigned n_video, n_voice, n_voice_lost, n_lost, n_said, n_rtx;
	double sum_target;
	unsigned n_ms, n_switches, ms_high;
	int8_t last;
};
extern struct net net;

// What the sender sends: two layers, key frames when asked for.
struct sharer {
	uint64_t index[2];
	uint16_t pid[2];
	uint32_t ts;
	bool key[2];
	bool is_off[2];
	unsigned ms;
	uint32_t rtcp_index;
	double owed[2]; // bytes
};
extern struct sharer sharer;

// The sender shares for 3 s already when the receiver comes, behind a link of so many bits a second.
bool net_open(double bps);
void net_close(void);

// Another video leg for the receiver; err of the command.
int net_watch(uint16_t leg, uint16_t track, uint32_t ssrc, uint8_t importance);

// Time passes. Figures of struct net count from net_mark on.
void net_run(unsigned ms);
void net_mark(void);
double net_mean_target(void);

// Of the receiver.
struct session *net_receiver(void);
struct bwe *net_estimate(void);
const struct simulcast *net_choice(void);

// RTCP in the clear, from the receiver.
void net_answer(const uint8_t *plain, size_t len);
