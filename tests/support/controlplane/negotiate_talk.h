// A session's negotiation with everything it reports written down, at a time of its own.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/negotiate/negotiate.h"
#include "tests/support/controlplane/negotiate_peer.h"

#include "controlplane/negotiate/negotiate.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/rand.h"
#include "tests/unit/check.h"
#include "tests/support/controlplane/negotiate_peer.h"
#include "tests/unit/samples.h"

// --- a session with everything it reports written down -------------------------------------------

struct talk_upstream {
	char mid[17], stream[64], rid[2][8];
	bool active, is_new;
	unsigned n_ssrcs, n_codecs, n_rids;
	uint32_t ssrc, rtx_ssrc;
	uint8_t kind, pt[4], codec[4], fb;
};

struct talk {
	struct negotiate *n;
	struct negotiate_conf conf;
	struct sdp_candidate cand[2];
	ns_t now;
	// Descriptions sent, newest last.
	char *text;
	size_t text_len;
	unsigned n_sent, n_offers, n_answers;
	bool last_is_offer, last_restart;
	struct {
		char mid[17], type[16], sender[64];
	} map[128];
	unsigned n_map;
	// Events.
	struct negotiate_leg up[300];
	char up_mid[300][17];
	bool is_up[IPC_MAX_LEGS];
	unsigned n_up, n_leg_up, n_leg_down;
	struct talk_upstream upstream[16];
	unsigned n_upstream;
	uint8_t ext[IPC_N_EXTS];
	unsigned n_transport, n_restart, n_room, n_too_long;
	bool has_data;
	int transport_rc;
	char ufrag[64];
	unsigned n_bad; // contradictions: a leg up twice, down without up
};

extern const struct negotiate_ops talk_ops;     // arg: the talk
extern const struct negotiate_ice ice_1, ice_2; // of the session; after an ICE restart of the peer's

struct talk *talk_new(void);
struct talk *talk_joined(struct peer *);      // with a data channel, ready for offers
struct talk *talk_video(void);                // the same with a sample of Chromium's, video and RTX on
void talk_free(struct talk *);                // checks that legs came up and went down in pairs
void talk_done(struct talk *, struct peer *); // and that the peer found no fault

int talk_offer(struct talk *, struct str text);
int talk_offer_sample(struct talk *, const char *name);
int talk_peer_offers(struct talk *, struct peer *);
int talk_peer_answers(struct talk *, struct peer *); // what was sent last
void talk_pass(struct talk *, ns_t);                 // time passes, what is due is done

int talk_want(struct talk *, uint32_t sid, uint16_t track, enum negotiate_type, uint8_t codec);
int talk_want_voice(struct talk *, uint32_t sid);
void talk_unwant(struct talk *, uint32_t sid);

// Of the text that was sent last: has it needle, how often, its section of this index.
bool talk_has(const struct talk *, const char *needle);
unsigned talk_count(const struct talk *, const char *needle);
const char *talk_section(const struct talk *, unsigned index); // static buffer
// text with the first `from` replaced; static buffer.
char *sdp_edit(struct str text, const char *from, const char *to);
struct negotiate_stats talk_stats(const struct talk *);
bool talk_is_settled(const struct talk *); // nothing pending, nothing to offer
