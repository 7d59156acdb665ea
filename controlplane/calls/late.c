#include "controlplane/calls/late.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum late_part { PART_CLIENT, PART_CALL, PART_USER, PART_SESSION, PART_CHANNEL, PART_DATA, N_PARTS };

struct late_kept {
	STAILQ_ENTRY(late_kept) next;
	struct late_msg msg; // its views look into text
	size_t size;         // of it all
	char text[];
};

void late_init(struct late *l)
{
	*l = (struct late){};
	STAILQ_INIT(&l->kept);
}

static void list_parts(struct late_msg *m, struct str *part[N_PARTS])
{
	part[PART_CLIENT] = &m->client;
	part[PART_CALL] = &m->join.call_id;
	part[PART_USER] = &m->join.user_id;
	part[PART_SESSION] = &m->join.session_id;
	part[PART_CHANNEL] = &m->join.channel_id;
	part[PART_DATA] = &m->data;
}

// Copy the texts and make the views look at the copies.
static void own_texts(struct late_kept *k)
{
	struct str *part[N_PARTS];
	char *at = k->text;

	list_parts(&k->msg, part);
	for (unsigned i = 0; i < N_PARTS; i++) {
		if (part[i]->len > 0)
			memcpy(at, part[i]->p, part[i]->len);
		part[i]->p = at;
		at += part[i]->len;
	}
	assert((size_t)(at - (char *)k) <= k->size);
}

bool late_keep(struct late *l, const struct late_msg *m)
{
	struct late_msg copy = *m;
	struct str *part[N_PARTS];
	size_t size = sizeof(struct late_kept);
	struct late_kept *k;

	list_parts(&copy, part);
	for (unsigned i = 0; i < N_PARTS; i++)
		size += part[i]->len;
	k = l->n < LATE_MAX && l->bytes + size <= LATE_MAX_BYTES ? malloc(size) : NULL;
	if (k == NULL)
		return false;
	k->msg = copy;
	k->size = size;
	own_texts(k);
	STAILQ_INSERT_TAIL(&l->kept, k, next);
	l->n++;
	l->bytes += size;
	return true;
}

static struct late_kept *take_first(struct late *l)
{
	struct late_kept *k = STAILQ_FIRST(&l->kept);

	if (k == NULL)
		return NULL;
	assert(l->n > 0 && l->bytes >= k->size);
	STAILQ_REMOVE_HEAD(&l->kept, next);
	l->n--;
	l->bytes -= k->size;
	return k;
}

static void replay_one(const struct late_msg *m, const struct plugin_ops *ops, void *arg)
{
	struct str session = m->join.session_id;

	switch (m->kind) {
	case LATE_JOIN:
		ops->join(arg, m->conn, m->client, &m->join);
		break;
	case LATE_LEAVE:
		ops->leave(arg, m->conn, m->client, session);
		break;
	case LATE_RECONNECT:
		ops->reconnect(arg, m->conn, m->client, session);
		break;
	case LATE_RTC:
		ops->rtc(arg, m->conn, m->client, session, m->type, m->data);
		break;
	}
}

void late_replay(struct late *l, const struct plugin_ops *ops, void *arg)
{
	struct late_kept *k;

	while ((k = take_first(l)) != NULL) {
		replay_one(&k->msg, ops, arg);
		free(k);
	}
}

void late_drop(struct late *l)
{
	struct late_kept *k;

	while ((k = take_first(l)) != NULL)
		free(k);
}
