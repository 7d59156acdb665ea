// The life of a session as a state machine: which event is legal in which state, and where it leads. Pure code.
//
//                 joined               answered            secured
//        NEW ------------> JOINED ------------> ANSWERED ----------> SECURED
//         |                                                           |    |
//         | taken back                                     no channel |    | channel
//         |                                                           v    v
//         +--------------------------------------------------> READY ----> CHANNEL --+
//                                                                ^  channel   |  ^   | channel (another one
//                                                                +------------+  +---+ takes over)
//                                                                  channel lost
//        any state but NEW and CLOSED: closed --> CLOSED
//
//   NEW       being made; not yet in a call
//   JOINED    waits for the first offer (rtc.first_offer_s)
//   ANSWERED  the first offer is answered; waits for path and DTLS (rtc.dc_open_s, D60)
//   SECURED   the dataplane has its keys; waits for the data channel, within the same limit
//   READY     gets the tracks of its call; descriptions go by WebSocket
//   CHANNEL   the same, and a data channel is open
//   CLOSED    left the model, waits to be freed at the end of this turn
//
// A session that a restarted control plane takes back begins in READY: its keys live in the dataplane, its data channel
// is lost with the association that was in our memory.
//
// What else a session knows is independent of this: the path (session_path.c), who is heard and seen (session_tracks.c),
// what the client's offers ask for (negotiate.h), what of it is in the store (persist.c).
#pragma once

#include <stdbool.h>

enum life {
	LIFE_ILLEGAL = -1, // of life_next: the event is not one of this state
	LIFE_NEW,
	LIFE_JOINED,
	LIFE_ANSWERED,
	LIFE_SECURED,
	LIFE_READY,
	LIFE_CHANNEL,
	LIFE_CLOSED,
	N_LIVES
};

enum life_event {
	ON_JOINED,       // the model has it
	ON_TAKEN_BACK,   // the same, out of the store and the dataplane's snapshot
	ON_ANSWERED,     // its first offer
	ON_SECURED,      // DTLS is up and the keys are on their way to the dataplane
	ON_NO_CHANNEL,   // secured, and the client wants no data channel
	ON_CHANNEL,      // a data channel is open
	ON_CHANNEL_LOST, // closed by the peer, or with its association
	ON_CLOSED,
	N_LIFE_EVENTS
};

enum life life_next(enum life, enum life_event);
const char *life_name(enum life); // lower case, for logs

// Its keys are in the dataplane: media flows, and it is worth storing.
static inline bool life_has_keys(enum life l)
{
	return l == LIFE_SECURED || l == LIFE_READY || l == LIFE_CHANNEL;
}

// It gets the tracks of its call.
static inline bool life_is_ready(enum life l)
{
	return l == LIFE_READY || l == LIFE_CHANNEL;
}
