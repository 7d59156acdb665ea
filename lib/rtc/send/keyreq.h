// When to ask a publisher for a key frame: many wishes, few requests.
//
// A wish inside the hold-off is remembered and asked for at its end; a request that brings no key frame is
// repeated while somebody waits.
//
// source: RFC 4585 section 6.3.1 (PLI), RFC 5104 section 4.3.1 (FIR)
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

#define KEYREQ_HOLD_NS (500 * NS_PER_MS)   // between two requests of one layer
#define KEYREQ_MAX_RETRY_NS (4 * NS_PER_S) // retries double up to this
#define KEYREQ_MANY 50                     // more subscribers than this: wishes are gathered ...
#define KEYREQ_GATHER_NS (300 * NS_PER_MS) // ... for so long
#define KEYREQ_CROWD 200                   // more than this: a sustained budget of one key frame ...
#define KEYREQ_BUDGET_NS (3 * NS_PER_S)    // ... per this time ...
#define KEYREQ_BUDGET_BURST 3              // ... after this many

// --- one per source layer -----------------------------------------------------------------------

// Zeroed is valid. thread: worker of the publisher. Use:
//   1. keyreq_ask on every cause (PLI, FIR, new subscriber, switch, packets given up, resume)
//   2. keyreq_poll when now >= keyreq_due: true: send one PLI
//   3. keyreq_on_key when a key frame's first packet arrives
struct keyreq {
	ns_t asked;  // newest wish
	ns_t first;  // oldest wish not yet sent on
	ns_t sent;   // last request
	ns_t budget; // theoretical time of the next request within the sustained budget
	ns_t rtt;    // of the publisher, at the last poll
	uint32_t n_subscribers;
	uint8_t n_tries; // requests since the last key frame
	bool is_wanted;  // wishes that no request was sent for
	bool is_pending; // requested, no key frame yet
	bool has_sent;   // sent is valid
};

// in: n_subscribers  of the layer, for the limits of large calls
void keyreq_ask(struct keyreq *, uint32_t n_subscribers, ns_t now);

// When keyreq_poll may have to send; NS_NEVER when nothing is wanted.
ns_t keyreq_due(const struct keyreq *);

// in:      rtt        of the publisher, 0: unknown
//          is_needed  somebody still waits for a key frame; false ends the retries
// returns: true: send a request now
[[nodiscard]] bool keyreq_poll(struct keyreq *, ns_t rtt, bool is_needed, ns_t now);

// A key frame begins; whoever asked before is served.
//
// in: arrival  of its first packet
void keyreq_on_key(struct keyreq *, ns_t arrival);

// --- one per receiver and stream ----------------------------------------------------------------

#define KEYREQ_LEG_GAP_NS (200 * NS_PER_MS)  // plus RTT, between two wishes of one receiver
#define KEYREQ_LEG_MAX 3                     // wishes ...
#define KEYREQ_LEG_WINDOW_NS (10 * NS_PER_S) // ... within this time

// Zeroed is valid. thread: worker of the receiver. Limits one broken decoder.
struct keyreq_leg {
	ns_t at[KEYREQ_LEG_MAX]; // ring of accepted wishes
	uint8_t next, n;
	uint8_t fir_seq;
	bool has_fir;
};

// Is a PLI or a new FIR of this receiver passed on?
[[nodiscard]] bool keyreq_leg_allow(struct keyreq_leg *, ns_t rtt, ns_t now);

// Is this FIR a new one? Repetitions carry the same number, reordered ones an older.
[[nodiscard]] bool keyreq_leg_fir_is_new(struct keyreq_leg *, uint8_t seq_nr);
