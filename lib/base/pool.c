// Objects live in chunks that never move. Free slots sit in two doubly linked lists by index: never-used
// ones, handed out first and in order, and used ones, last-in first-out. Doubly linked, so that
// pool_get_at can take any of them.
#include "lib/base/pool.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"

#define CHUNK_SLOTS 64u
#define OBJECT_ALIGN 64u
#define NO_SLOT UINT32_MAX

struct slot {
	uint32_t prev, next; // in the free list it is in; NO_SLOT at the ends
	uint8_t generation;  // of the live object, or of the last one; 0: never used
	bool is_live;
};

struct pool_chunk {
	struct slot slot[CHUNK_SLOTS];
	uint8_t *objects; // owned
};

struct free_list {
	uint32_t head, tail;
};

struct pool {
	size_t stride;
	uint32_t max_slots, n_slots, n_live;
	struct free_list fresh, used;
	struct pool_chunk **chunks; // owned, room for max_slots
};

static size_t chunks_for(uint32_t n_slots)
{
	return (n_slots + CHUNK_SLOTS - 1) / CHUNK_SLOTS;
}

struct pool *pool_new(size_t object_size, uint32_t max_slots)
{
	struct pool *p;

	if (object_size == 0 || max_slots == 0 || max_slots > POOL_MAX_SLOTS)
		return err_null(EINVAL);
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return err_null(ENOMEM);
	p->chunks = calloc(chunks_for(max_slots), sizeof(*p->chunks));
	if (p->chunks == NULL) {
		free(p);
		return err_null(ENOMEM);
	}
	p->stride = (object_size + 15) & ~(size_t)15;
	p->max_slots = max_slots;
	p->fresh = p->used = (struct free_list){NO_SLOT, NO_SLOT};
	return p;
}

void pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < chunks_for(p->n_slots); i++) {
		free(p->chunks[i]->objects);
		free(p->chunks[i]);
	}
	free(p->chunks);
	free(p);
}

static struct slot *slot_at(const struct pool *p, uint32_t i)
{
	return &p->chunks[i / CHUNK_SLOTS]->slot[i % CHUNK_SLOTS];
}

static void *object_at(const struct pool *p, uint32_t i)
{
	return p->chunks[i / CHUNK_SLOTS]->objects + (i % CHUNK_SLOTS) * p->stride;
}

static void list_unlink(struct pool *p, struct free_list *list, uint32_t i)
{
	struct slot *s = slot_at(p, i);

	*(s->prev == NO_SLOT ? &list->head : &slot_at(p, s->prev)->next) = s->next;
	*(s->next == NO_SLOT ? &list->tail : &slot_at(p, s->next)->prev) = s->prev;
}

static void list_push_tail(struct pool *p, struct free_list *list, uint32_t i)
{
	struct slot *s = slot_at(p, i);

	s->prev = list->tail;
	s->next = NO_SLOT;
	*(list->tail == NO_SLOT ? &list->head : &slot_at(p, list->tail)->next) = i;
	list->tail = i;
}

static int pool_grow(struct pool *p)
{
	uint32_t n_new = p->max_slots - p->n_slots;
	size_t at = p->n_slots / CHUNK_SLOTS;
	struct pool_chunk *c;

	if (n_new == 0)
		return err_set(ENOSPC);
	n_new = n_new < CHUNK_SLOTS ? n_new : CHUNK_SLOTS;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return err_set(ENOMEM);
	c->objects = aligned_alloc(OBJECT_ALIGN,
				   (n_new * p->stride + OBJECT_ALIGN - 1) & ~(size_t)(OBJECT_ALIGN - 1));
	if (c->objects == NULL) {
		free(c);
		return err_set(ENOMEM);
	}
	p->chunks[at] = c;
	for (uint32_t i = 0; i < n_new; i++)
		list_push_tail(p, &p->fresh, p->n_slots++);
	return 0;
}

static void *slot_take(struct pool *p, uint32_t i, uint8_t generation)
{
	struct slot *s = slot_at(p, i);

	assert(!s->is_live && generation != 0);
	list_unlink(p, s->generation == 0 ? &p->fresh : &p->used, i);
	s->generation = generation;
	s->is_live = true;
	p->n_live++;
	return memset(object_at(p, i), 0, p->stride);
}

void *pool_get(struct pool *p, handle_t *handle)
{
	uint32_t i;
	uint8_t generation;

	if (p->fresh.head == NO_SLOT && p->used.tail == NO_SLOT && pool_grow(p) < 0)
		return NULL;
	i = p->fresh.head != NO_SLOT ? p->fresh.head : p->used.tail;
	generation = slot_at(p, i)->generation;
	generation = generation == UINT8_MAX ? 1 : generation + 1;
	*handle = (handle_t)generation << 24 | i;
	return slot_take(p, i, generation);
}

void *pool_get_at(struct pool *p, handle_t handle)
{
	uint32_t i = handle_slot(handle);
	uint8_t generation = (uint8_t)(handle >> 24);

	if (generation == 0 || i >= p->max_slots)
		return err_null(EINVAL);
	while (i >= p->n_slots)
		if (pool_grow(p) < 0)
			return NULL;
	if (slot_at(p, i)->is_live)
		return err_null(EEXIST);
	return slot_take(p, i, generation);
}

void *pool_find(const struct pool *p, handle_t handle)
{
	uint32_t i = handle_slot(handle);
	const struct slot *s;

	if (i >= p->n_slots)
		return NULL;
	s = slot_at(p, i);
	return s->is_live && s->generation == handle >> 24 ? object_at(p, i) : NULL;
}

void pool_put(struct pool *p, handle_t handle)
{
	uint32_t i = handle_slot(handle);

	// cannot: handles from outside are looked up before; the owner puts an object once
	MUST(pool_find(p, handle) != NULL);
	slot_at(p, i)->is_live = false;
	p->n_live--;
	list_push_tail(p, &p->used, i);
}

uint32_t pool_count(const struct pool *p)
{
	return p->n_live;
}

void *pool_next(const struct pool *p, uint32_t *cursor, handle_t *handle)
{
	while (*cursor < p->n_slots) {
		uint32_t i = (*cursor)++;
		const struct slot *s = slot_at(p, i);

		if (s->is_live) {
			if (handle)
				*handle = (handle_t)s->generation << 24 | i;
			return object_at(p, i);
		}
	}
	return NULL;
}
