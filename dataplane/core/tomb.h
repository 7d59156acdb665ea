// What is left of the SSRCs of a session that ended and made room for others: the highest index each had, so that
// nothing of them can be replayed. A session forgets the oldest after TOMBS more have ended.
//
// thread: home worker of the session. source: RFC 3711 section 3.3.2
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TOMBS 256

struct session;
struct worker;

enum tomb_kind { TOMB_RTP, TOMB_RTCP };

struct tombs {
	uint16_t n;
	struct tomb {
		uint64_t top;
		uint32_t ssrc;
		uint32_t kind; // enum tomb_kind
	} of[TOMBS];           // oldest first
};

// False: no memory. The SSRC must then keep its state.
[[nodiscard]] bool tomb_put(struct worker *, struct session *, enum tomb_kind, uint32_t ssrc, uint64_t top);
// Highest index of an SSRC that ended; false: it is not known.
bool tomb_find(const struct session *, enum tomb_kind, uint32_t ssrc, uint64_t *top);
// It has come back to life.
void tomb_take(struct session *, enum tomb_kind, uint32_t ssrc);
void tombs_free(struct worker *, struct session *);
