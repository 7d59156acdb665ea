// Values of credentials and bearer tokens in the store, as JSON (docs/store.md). What comes back from a shared
// store is checked like anything from the network. Pure code.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

#define CREDVAL_MAX 2560 // bytes that any value here takes
#define CREDVAL_MAX_CLIENT 250
#define CREDVAL_TOKEN_HASH_LEN 64 // SHA-256 in hex

struct credval {
	char hash[64];   // bcrypt, NUL-terminated
	int64_t created; // unix seconds
};
struct credval_token {
	char client[CREDVAL_MAX_CLIENT + 1];
	int64_t expires; // unix seconds
};

bool credval_is_token_hash(struct str);

// Lengths; 0 when the parts are too long.
size_t credval_write(char out[CREDVAL_MAX], const char *hash, int64_t created, const char *node);
size_t credval_write_token(char out[CREDVAL_MAX], struct str client, int64_t expires);
size_t credval_write_bearer(char out[CREDVAL_MAX], const char *token_hash);

// False: not such a value.
bool credval_read(struct str value, struct credval *);
bool credval_read_token(struct str value, struct credval_token *);
bool credval_read_bearer(struct str value, char token_hash[CREDVAL_TOKEN_HASH_LEN + 1]);
