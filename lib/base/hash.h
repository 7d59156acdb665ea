// Keyed SipHash-1-3 and an open-addressing map from byte strings to pointers, for control-plane tables
// whose keys come from outside.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

// SipHash-1-3 (Aumasson, Bernstein 2012) with a 128-bit key.
uint64_t hash_sip13(const uint64_t key[2], const void *data, size_t len);

// A map owns copies of its keys; values are borrowed pointers, never NULL. Grows by doubling, keyed
// randomly at init. thread: owner only.
struct map;

struct map *map_new(void);   // NULL + errno when out of memory
void map_free(struct map *); // values are the caller's; NULL is allowed
[[nodiscard]] int map_put(struct map *, struct str key, void *value); // 0, -EEXIST, -ENOMEM
void *map_find(const struct map *, struct str key);                   // NULL when absent
void *map_del(struct map *, struct str key);                          // the value that was there, or NULL
size_t map_count(const struct map *);

// Iterate: start with *cursor = 0; NULL at the end. Deleting the entry just returned is allowed,
// inserting while iterating is not.
void *map_next(const struct map *, size_t *cursor, struct str *key);
