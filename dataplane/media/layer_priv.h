// Inside of a layer: shared by layer.c (its life and its ring), layer_read.c (what readers find there) and layer_info.c
// (what publisher and receivers tell each other).
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "dataplane/core/payload.h"
#include "lib/base/seqlock.h"
#include "lib/rtc/send/rtxring.h"

#define LAYER_KEYS 8 // key frame starts that are remembered
#define LAYER_INFO_WORDS 7

struct layer {
	// set once
	struct payload_store *store; // borrowed
	struct rtxring_slot *slot;   // owned
	_Atomic uint64_t *of_rank;   // owned
	uint32_t *held;              // owned: handle in each slot, PAYLOAD_NONE none; writer only

	// publisher's worker writes, all read
	struct rtxring ring;
	_Atomic uint64_t top;              // highest index + 1, 0: none
	_Atomic uint64_t keys[LAYER_KEYS]; // index + 1 of the newest key frame starts, 0: none
	struct seqlock info_lock;
	_Atomic uint64_t info[LAYER_INFO_WORDS];

	// publisher's worker
	uint64_t oldest; // no payload is held below
	unsigned next_key;

	// any worker
	alignas(64) _Atomic uint32_t wishes;
};
