// Where SRTP keys live: memory of their own that is left out of core dumps and wiped when given back.
// thread: main makes and frees; workers read
#pragma once

#include <stdint.h>

struct keyring;
struct seal_engine;
struct seal_key;

// engine makes the keys and is borrowed. NULL + ENOMEM.
struct keyring *keyring_new(struct seal_engine *engine);
void keyring_free(struct keyring *); // all keys must have been given back; NULL is allowed

// Expand a master key and salt. NULL + EINVAL or ENOMEM.
struct seal_key *keyring_get(struct keyring *, uint16_t profile, const uint8_t *master_key,
			     const uint8_t *master_salt);
void keyring_put(struct keyring *, struct seal_key *);
