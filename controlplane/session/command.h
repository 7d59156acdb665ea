// Commands to the dataplane about sessions, tracks and legs: the one place that fills the CMD_* structs of lib/ipc/wire.h.
// While the link is down nothing is sent: when it comes back its snapshot is compared with what should be (calls/resync.h).
//
// thread: loop.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/link/link.h"
#include "controlplane/negotiate/negotiate.h"
#include "lib/peer/keys.h"

struct command_session {
	uint32_t sid;
	uint32_t call;                   // number of its call
	uint64_t cookie;                 // comes back in the snapshot
	const struct negotiate_ice *ice; // ours
	const char *name;                // session id of the API
	struct str tenant;               // client id
	bool every_voice;                // no choice of speakers for it
};
// returns: the command's sequence number, which a refusal names; 0: not sent
uint32_t command_session_add(struct link *, const struct command_session *);
void command_session_del(struct link *, uint32_t sid);
// remote_ufrag empty: any is accepted. Those longer than the message has room for, 32 and 255 bytes, are left out: the
// dataplane needs them only to ask an address that it does not know yet.
void command_session_ice(struct link *, uint32_t sid, const struct negotiate_ice *local,
			 struct str remote_ufrag, struct str remote_pwd);
[[nodiscard]] int command_session_keys(struct link *, uint32_t sid, const struct keys *, uint32_t rtcp_ssrc);
void command_session_extmap(struct link *, uint32_t sid, const uint8_t id[IPC_N_EXTS]);

struct command_track {
	uint16_t number;
	bool enabled;   // forward from the first packet on
	bool is_ranked; // a voice: takes part in the choice of speakers
};
void command_track_add(struct link *, uint32_t sid, const struct command_track *,
		       const struct negotiate_upstream *);
void command_track_gate(struct link *, uint32_t sid, uint16_t track, bool enabled);
void command_track_del(struct link *, uint32_t sid, uint16_t track);

void command_leg_add(struct link *, uint32_t sid, const struct negotiate_leg *);
void command_leg_del(struct link *, uint32_t sid, uint16_t leg);

// Ask what the session receives. returns: the sequence number that the answer bears, 0: not sent
uint32_t command_query(struct link *, uint32_t sid);
