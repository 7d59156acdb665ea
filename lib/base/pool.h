// Fixed-size object pool whose handles carry a generation: a stale handle finds nothing.
//
// handle = generation << 24 | slot; generation 1..255, so 0 is never a valid handle. Slots are reused
// last-in first-out only after all never-used ones of the grown part, generations differ each time.
// thread: owner only.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define POOL_MAX_SLOTS (1u << 24)

typedef uint32_t handle_t;

static inline uint32_t handle_slot(handle_t h)
{
	return h & (POOL_MAX_SLOTS - 1);
}

struct pool;

// Objects start at multiples of 16 bytes, of 64 when object_size is a multiple of 64.
struct pool *pool_new(size_t object_size, uint32_t max_slots); // NULL + errno
void pool_free(struct pool *);                                 // NULL is allowed

// A zeroed object and its handle; NULL + ENOSPC at max_slots, ENOMEM. Address is stable until pool_put.
void *pool_get(struct pool *, handle_t *handle);

// Take exactly this handle (restoring state after a restart). NULL + EEXIST when the slot is in use,
// EINVAL when it cannot be a handle of this pool.
void *pool_get_at(struct pool *, handle_t handle);

void *pool_find(const struct pool *, handle_t); // NULL when stale or never given
void pool_put(struct pool *, handle_t);         // must be live
uint32_t pool_count(const struct pool *);

// Iterate live objects: start with *cursor = 0; NULL at the end. pool_put of the returned one is allowed.
void *pool_next(const struct pool *, uint32_t *cursor, handle_t *handle);
