// The dataplane is the other end of a real ipc link on the same loop. It acknowledges what it is told, keeps
// it in the struct client it is about, and gives it back as a snapshot.
#pragma once

#include "lib/ipc/ipc.h"
#include "tests/support/calls/client.h"

void dp_listen(void);
void dp_hang_up(void); // the link breaks
void dp_die(void);     // and nobody listens

void dp_event(void *msg); // any EVT_ message
void dp_path(struct client *);
void dp_liveness(struct client *, enum ipc_liveness_state);
void dp_live(struct client *); // first packet of the track that was declared last
void dp_live_track(struct client *, unsigned track, uint8_t codec);
void dp_voice(struct client *, bool on);
void dp_punt_to_cp(uint32_t sid, const uint8_t *data, size_t len); // a DTLS packet
