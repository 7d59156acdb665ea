// The life of a session on its home worker: it begins, gets keys, is looked at when something is due, and ends.
// thread: home worker
#pragma once

#include <stdint.h>

struct seal_key;
struct session;
struct worker;

// What the mails of core/mailbox.h say.
void session_start(struct worker *, struct session *);
void session_stop(struct worker *, struct session *);
void session_keys(struct worker *, struct session *, const struct seal_key *rx, const struct seal_key *tx,
		  uint32_t rtcp_ssrc);
