// Rooms of the model: which calls have more than a few open microphones is counted by the room's worker; who is in a
// call is known here.
#include <assert.h>
#include <stdlib.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/ctl/model_priv.h"
#include "dataplane/media/room.h"
#include "dataplane/media/source.h"
#include "lib/base/list.h"

#define BUCKET(call) ((call) % MODEL_ROOM_BUCKETS)

struct m_room {
	LIST_ENTRY(m_room) link;
	uint32_t call, n;    // ranked tracks that are enabled
	struct room *room;   // owned until retired
	struct worker *home; // borrowed
	LIST_HEAD(, m_track) tracks;
	TAILQ_ENTRY(m_room) dirty_link;
	bool is_dirty; // members changed since the list was published
};

static struct m_room *find_room(const struct model *m, uint32_t call)
{
	struct m_room *r;

	LIST_FOREACH (r, &m->rooms[BUCKET(call)], link)
		if (r->call == call)
			return r;
	return NULL;
}

static void post_room(struct m_room *r, uint32_t type)
{
	struct mail mail = {.type = type, .room = r->room};

	model_send(r->home, &mail);
}

static void mark_room(struct model *m, struct m_room *r)
{
	if (!r->is_dirty)
		TAILQ_INSERT_TAIL(&m->dirty_rooms, r, dirty_link);
	r->is_dirty = true;
}

static struct m_room *open_room(struct model *m, uint32_t call)
{
	const struct conf *conf = m->dp->conf;
	struct m_room *r = calloc(1, sizeof(*r));

	if (r == NULL || (r->room = room_new(call, (uint8_t)conf->audio.speakers,
					     (uint16_t)conf->audio.speakers_from)) == NULL) {
		free(r);
		return NULL;
	}
	r->call = call;
	r->home = m->dp->worker[call % m->dp->n_workers];
	LIST_INIT(&r->tracks);
	LIST_INSERT_HEAD(&m->rooms[BUCKET(call)], r, link);
	post_room(r, MAIL_ROOM_ADD);
	return r;
}

static void close_room(struct model *m, struct m_room *r)
{
	assert(r->n == 0 && !r->is_dirty);
	post_room(r, MAIL_ROOM_DEL);
	LIST_REMOVE(r, link);
	model_retire(m, room_free, r->room, r->home);
	free(r);
}

static struct room_list *list_of(const struct m_room *r)
{
	struct room_list *l = calloc(1, sizeof(*l) + r->n * sizeof(l->member[0]));
	struct m_track *t;

	if (l == NULL)
		return NULL;
	LIST_FOREACH (t, &r->tracks, of_room)
		l->member[l->n++] = (struct room_member){t->source, source_gen(t->source)};
	return l;
}

void model_room_enter(struct model *m, struct m_track *t)
{
	struct m_room *r;

	if (m->dp->conf->audio.speakers == 0 || !t->add.is_ranked || t->room)
		return;
	r = find_room(m, t->owner->call);
	if (r == NULL && (r = open_room(m, t->owner->call)) == NULL)
		return; // no memory: it is heard
	t->room = r;
	LIST_INSERT_HEAD(&r->tracks, t, of_room);
	r->n++;
	mark_room(m, r);
}

void model_room_leave(struct model *m, struct m_track *t)
{
	struct m_room *r = t->room;

	assert(r == NULL || r->n > 0);
	if (r == NULL)
		return;
	t->room = NULL;
	LIST_REMOVE(t, of_room);
	r->n--;
	mark_room(m, r);
}

// Open, change or close one room. False: out of memory, it stays as it was.
static bool publish_room(struct model *m, struct m_room *r)
{
	struct room_list *l = list_of(r);

	if (l == NULL)
		return false;
	// release: complete before it is seen; pairs with the look of room.c
	model_retire(m, free, (void *)atomic_exchange_explicit(&r->room->list, l, memory_order_acq_rel),
		     NULL);
	if (r->n == 0)
		close_room(m, r);
	else
		post_room(r, MAIL_ROOM_CHANGED);
	return true;
}

bool model_room_publish(struct model *m)
{
	struct m_room *r, *next;

	TAILQ_EACH_SAFE (r, &m->dirty_rooms, dirty_link, next) {
		TAILQ_REMOVE(&m->dirty_rooms, r, dirty_link);
		r->is_dirty = false;
		if (!publish_room(m, r)) {
			mark_room(m, r);
			return false;
		}
	}
	return true;
}
