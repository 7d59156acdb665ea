// Which packets of an inbound video layer are missing, and when to ask its publisher for them (NACK).
//
// thread: worker of the publisher
// source: RFC 4585 section 6.2.1 (generic NACK), RFC 4588 section 4 (original number of a retransmission)
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"

#define NACKGEN_ITEMS 1000                // a useful size of the list; a larger gap clears it
#define NACKGEN_TICK_NS (20 * NS_PER_MS)  // how often nackgen_tick wants to be called
#define NACKGEN_HOLD_NS (10 * NS_PER_MS)  // not asked for earlier, it may just be out of order ...
#define NACKGEN_HOLD_PACKETS 3            // ... unless this many later ones came
#define NACKGEN_TRIES 10                  // then given up
#define NACKGEN_MAX_AGE_NS (1 * NS_PER_S) // then given up
#define NACKGEN_MAX_BEHIND 10000          // packets behind the newest, then given up
#define NACKGEN_RTT_NS (100 * NS_PER_MS)  // assumed while unknown
#define NACKGEN_RETRY_NS (20 * NS_PER_MS) // shortest time between two requests for one packet
#define NACKGEN_MAX_SEQ 250               // asked for per tick
#define NACKGEN_MAX_LOST 64               // given up per tick, the rest in the next

struct nackgen_item {
	uint64_t index;
	ns_t found; // when it was found missing
	ns_t asked; // last request
	uint8_t n_asked;
	bool is_done; // arrived; removed by the next tick
};

// One per inbound layer. Use:
//   1. nackgen_init with a list of the owner
//   2. nackgen_packet for every authenticated packet, recovered ones (nackgen_rtx) and padding included
//   3. nackgen_tick when now >= nackgen_due
struct nackgen {
	struct nackgen_item *item; // borrowed; ascending index, [0, n)
	uint16_t n, n_max;
	uint16_t n_missing; // of them not arrived
	bool started;
	bool has_key;
	uint64_t top; // highest index
	uint64_t key; // where the newest key frame begins
	ns_t last_tick;
};

enum nackgen_event {
	NACKGEN_NONE,
	NACKGEN_RECOVERED, // a missing packet arrived
	NACKGEN_OLD,       // behind the newest and not missing: late after being given up, or a duplicate
	NACKGEN_OVERFLOW,  // more is missing than can be asked for: ask for a key frame instead
};

void nackgen_init(struct nackgen *, struct nackgen_item *list, uint16_t n_max);

// in: index         srtpidx index (ROC << 16 | seq)
//     is_key_start  first packet of a key frame: what is missing before it may be dropped in need
enum nackgen_event nackgen_packet(struct nackgen *, uint64_t index, bool is_key_start, ns_t now);

// Read the original number of an RTX payload (its first two bytes).
//
// out:     index  of the packet that it carries
// returns: false when it is too short or not missing: bandwidth probe or duplicate, drop it
[[nodiscard]] bool nackgen_rtx(const struct nackgen *, const uint8_t *payload, size_t len, uint64_t *index);

// When nackgen_tick has work; NS_NEVER while nothing is missing.
ns_t nackgen_due(const struct nackgen *);

struct nackgen_out {
	uint16_t n_seq, n_lost;
	uint16_t seq[NACKGEN_MAX_SEQ];   // to ask for, ascending: rtcp_write_nack
	uint64_t lost[NACKGEN_MAX_LOST]; // given up: rtxring_give_up, and ask for a key frame
};

// in: rtt  of the publisher, 0: unknown
void nackgen_tick(struct nackgen *, ns_t rtt, ns_t now, struct nackgen_out *);
