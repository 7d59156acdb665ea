// Which track, and which encoding of it, an SSRC belongs to. Asked for an SSRC until it is known, never again after.
//
// In this order: an SSRC that signalling listed; MID with RID, or with RRID for what repairs that encoding; MID alone
// where a track has one encoding; the payload type when one track only has it.
//
// thread: home worker of the publisher. source: RFC 8843 section 9.2, RFC 8852
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/rtc/wire/rtp.h"

struct session;
struct source;

struct binding {
	struct source *source; // borrowed
	uint8_t layer;         // number of the encoding of a video
	bool is_rtx;           // repairs it
};

enum bind_result {
	BIND_FOUND,
	BIND_NOT_YET,    // a track may come, or a packet that says more
	BIND_UNKNOWN_RID // an encoding that was not negotiated
};

enum bind_result bind_find(const struct session *, uint32_t ssrc, uint8_t pt, const struct rtp_exts *,
			   struct binding *);
