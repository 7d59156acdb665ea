// Freeing what workers may still look at: an object that was taken out of every shared place is freed when
// its worker has done the mails posted so far, and then every worker has reported a quiescent state.
// thread: main
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct dp;
struct worker;

struct reclaim; // queue of what waits

struct reclaim *reclaim_new(struct dp *); // NULL + ENOMEM
// Frees the rest at once: only after the workers have stopped. NULL is allowed.
void reclaim_free(struct reclaim *);

// Call free_fn(object) later. home: the worker whose mails mention the object, NULL when none does.
void reclaim_later(struct reclaim *, void (*free_fn)(void *object), void *object, struct worker *home);

// Free what may be freed. True when something still waits: call again in some milliseconds.
bool reclaim_run(struct reclaim *);
