// Engines of lib/seal as this CPU has them, and keys for them.
#pragma once

#include "lib/seal/seal.h"

// Run test on every engine that works here.
void each_engine(void (*test)(struct seal_engine *));

// Room for a key; with a made-up master key; released with key_end.
struct seal_key *key_new(struct seal_engine *);
struct seal_key *key_ready(struct seal_engine *, enum seal_profile);
void key_end(struct seal_key *);
