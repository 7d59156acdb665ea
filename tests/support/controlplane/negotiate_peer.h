// A peer for the tests of negotiate: what a browser (polite: rolls its own offer back when one of ours
// meets it) or Pion (cannot roll back, always locks) does with descriptions, and a judge of those it gets.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/negotiate/negotiate.h"

enum { PEER_LINES = 160, PEER_TEXT = 256 * 1024 };

struct peer_line {
	char mid[17];
	int kind;   // enum sdp_kind
	bool sends; // a track of the peer's is on it
	bool rejected;
	bool agreed;   // not only in an offer of its own that is pending
	uint32_t ssrc; // that we announced, 0: none
	char track[128];
};

struct peer {
	bool polite, locks;
	struct peer_line lines[PEER_LINES];
	unsigned n_lines;
	bool offering;   // have-local-offer
	bool need_offer; // negotiationneeded
	bool has_lock, wants_lock;
	unsigned n_answered; // offers of its own
	unsigned version;
	bool refuses_audio; // answers audio inactive
	char ufrag[17];
	// The judge's books.
	unsigned n_bad, n_lost;
	char why[160];
	struct {
		uint32_t ssrc;
		char mid[17], track[128];
	} seen[4096];
	unsigned n_seen;
};

void peer_init(struct peer *p, bool polite, bool locks);
// Count a fault of ours; the first is kept in p->why.
[[gnu::format(printf, 2, 3)]] void peer_bad(struct peer *p, const char *fmt, ...);
// The peer adds an audio track: a browser takes a line on which it only receives, Pion makes a new one.
void peer_add_audio(struct peer *p);
void peer_remove_audio(struct peer *p);
// Its description: an offer, or the answer to offer when that is not NULL.
void peer_write(struct peer *p, struct wbuf *w, const struct sdp *offer);
// An offer of ours arrives. True: *answer holds the peer's.
bool peer_on_offer(struct peer *p, struct str text, struct wbuf *answer);
void peer_on_answer(struct peer *p, struct str text);
