// Inside of the ICE-lite agent: icelite.c (who may speak to us) uses icelite_path.c (where we send), both use
// icelite_creds.c and icelite_pairs.c. Nobody else includes this.
#pragma once

#include <assert.h>

#include "lib/rtc/ice/icelite.h"

// Milliseconds unless named otherwise.
enum icelite_limits {
	CHECK_COST = 20,    // credit per check: 50/s
	BUCKET_MAX = 2000,  // burst of 100 checks
	FRESH = 2500,       // a pair checked within this time is alive (clients check every 2 to 6 s)
	SWITCH_IDLE = 8000, // selected pair without a check this long: another fresh nominated one takes over
	SWITCH_FRESH = 3000,
	EVICT_IDLE = 2000, // a full table gives up pairs idle this long
	PAIR_IDLE = 30000, // unselected pairs go
	CONSENT = 30000,   // RFC 7675 section 5.1
	SUSPECT_AFTER = 3000,
	NO_PATH_AFTER = 30000,
	OLD_CREDS = 30000,  // old credentials live on after the first check under new ones
	MEDIA_SILENT = 500, // selected path without media this long may be moved by media
	MEDIA_COUNT = 3,
	FLAGGED_COUNT = 3, // flagged checks in a row that outvote the selected pair
	NEW_PAIRS_PER_MINUTE = 16,
	CHANGES_PER_10S = 4,
	PROBES_FAST = 4, // of the path with keys, on which media wait for proof: at 0, 100, 300, 700
	PROBES_MAX = 8,  // then every 2 s
	PROBE_FIRST = 100,
	PROBE_RTO = 500, // of all others, doubled each time: RFC 8489 section 6.2.1
	PROBE_SLOW = 2000,
	PROBE_RESERVE = 160,   // bytes: a probe with ufrags of the usual lengths
	ALLOWANCE_FACTOR = 3,  // RFC 9000 section 8.1
	DTLS_ALLOWANCE = 4096, // bytes a new session may send before DTLS proves its address
};

#define NO_PAIR (-1)
#define TXID_PAIR_GONE 0xff

static inline uint32_t ms_of(const struct icelite *a, ns_t now)
{
	return (uint32_t)((now - a->born) / NS_PER_MS);
}

static inline struct icelite_creds *creds_now(struct icelite *a)
{
	return &a->creds[a->generation & 1];
}

static inline struct icelite_creds *creds_old(struct icelite *a)
{
	return &a->creds[(a->generation + 1) & 1];
}

static inline void out_clear(struct icelite_out *out)
{
	out->events = 0;
	out->n_gone = 0;
	out->reply_len = 0;
}

static inline void set_liveness(struct icelite *a, enum icelite_liveness state, struct icelite_out *out)
{
	if (a->liveness == state)
		return;
	a->liveness = (uint8_t)state;
	out->events |= ICELITE_EV_LIVENESS;
}

// Family and address, comparable.
static inline void ip_of(const struct icelite_tuple *t, uint8_t ip[17])
{
	ip[0] = t->family;
	memcpy(ip + 1, t->ip, 16);
}

// icelite_creds.c
bool icelite_creds_named(const struct icelite_creds *, struct str ufrag); // in constant time
// A valid check came in under these. The first one under the current credentials starts the clock of the old ones.
void icelite_creds_used(struct icelite *, struct icelite_creds *, uint32_t t);
void icelite_creds_drop_old(struct icelite *, struct icelite_out *);

// icelite_pairs.c
// A pair for a tuple that has none; NO_PAIR when the table is full of busy ones, or too many are new.
int icelite_pair_add(struct icelite *, const struct icelite_tuple *from, uint32_t t, struct icelite_out *);
void icelite_pair_remove(struct icelite *, int pair, struct icelite_out *);
// Was this transaction seen from another pair (NO_PAIR: of none of ours)? MESSAGE-INTEGRITY does not cover the source
// address, so an observer can send a copy from elsewhere.
bool icelite_txid_replayed(const struct icelite *, const uint8_t *txid, int pair);
void icelite_txid_note(struct icelite *, const uint8_t *txid, int pair);

// icelite_path.c: the transaction of the pair's probe. Nobody else can tell it, also not from those of other pairs.
void icelite_probe_txid(const struct icelite *, int pair, uint8_t txid[STUN_TXID_LEN]);

// icelite_path.c: an authenticated check on a pair refreshes it and may move the path.
//
// in: is_current  it came under the current credentials, not those of before an ICE restart
void icelite_on_check(struct icelite *, int pair, const struct stun_msg *, bool is_current, uint32_t t,
		      struct icelite_out *);
