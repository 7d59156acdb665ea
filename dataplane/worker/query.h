// CMD_QUERY at the worker: what a session gets at present.
#pragma once

#include <stdint.h>

struct session;
struct worker;

// Answer by notes: one for each video leg, then one for the session. thread: home worker
void query_answer(struct worker *, struct session *, uint32_t seq);
