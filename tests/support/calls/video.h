// Clients with cameras and screens: offers line by line, and what a viewer was given.
#pragma once

#include "tests/support/calls/client.h"

// An m-line of a client.
struct offer_line {
	char kind;          // 'a' or 'v'
	const char *stream; // msid stream, NULL: the client stopped it
	uint32_t ssrc, rtx; // 0: none
	const char *codec;  // video: "VP8" or "AV1"
	const char *rids;   // text of rid and simulcast lines
};

extern const struct offer_line camera[1], screen[2]; // the screen with its sound
extern const struct offer_line twins[2];             // one screen as VP8 and as AV1

// Offer a data channel and these lines, by the plugin.
void client_offer_lines(struct client *, const struct offer_line *, unsigned n);
// Join "call1"; av1: with av1Support.
void client_join_av1(struct client *, bool av1);
// Join "call1", offer these lines, connect, open the channel.
struct client *client_connect_with(const char *id, bool av1, const struct offer_line *, unsigned n);
// The client is offered something, its offer number n_offers, and takes it.
void client_takes(struct client *, unsigned n_offers);

unsigned client_n_legs(const struct client *);
// The leg through which c gets the sender's track; NULL: none.
const struct ipc_leg_add *client_leg_of(const struct client *c, const struct client *sender, unsigned track);
// The newest media map has this line, "type sender".
bool client_map_has(const struct client *, const char *entry);
unsigned sdp_m_lines(const char *sdp); // how many
