// One stream as a receiver gets it: everything the fan-out of a voice packet reads or writes per receiver is
// in the first line. Owned by the receiver's home worker from MAIL_LEG_ADD on; made and freed by main.
#pragma once

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"

struct session;
struct source;
struct viewer;

struct leg {
	alignas(64) uint64_t base; // output index = rank + base; valid once started
	uint64_t first_rank;       // ranks below came before this leg: not sent
	uint32_t ssrc;
	uint32_t n_packets, n_octets; // sent, as sender reports count them
	uint32_t sr_packets;          // n_packets at the last sender report
	uint32_t last_ts;             // of the last packet
	uint8_t pt;
	uint8_t codec; // enum ipc_codec: other codecs of the source are not sent
	bool started;
	uint8_t rsvd0;
	ns_t last_sent;
	struct session *session; // borrowed: the receiver
	struct viewer *viewer;   // owned: NULL for audio

	// cold
	alignas(64) struct source *source; // borrowed: type-stable, compare source_gen
	uint32_t source_gen;
	uint32_t clock_hz;
	uint32_t sid; // of the receiver
	uint16_t id;  // leg number of the session
	uint16_t rsvd;
	uint8_t lost_fraction; // /256, of the last report block
	uint8_t kind;          // enum ipc_kind
	uint8_t importance;    // video: 0 comes first
	uint8_t rsvd2;
	uint32_t jitter;    // RTP clock units
	uint32_t sr_mid[2]; // middle 32 bits of the NTP time of the last two sender reports, 0: none
	ns_t sr_at[2];      // when they were made
	struct leg *next;   // of the session: video first, in order of importance
};
static_assert(sizeof(struct leg) == 128 && offsetof(struct leg, source) == 64);
